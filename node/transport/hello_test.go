package transport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"

	"github.com/national-alliance/alliance/protocol"
)

// ungated admits everything: the other end of a test of gates.
type ungated struct{}

func (ungated) InterceptPeerDial(peer.ID) bool                                           { return true }
func (ungated) InterceptAddrDial(peer.ID, ma.Multiaddr) bool                             { return true }
func (ungated) InterceptAccept(network.ConnMultiaddrs) bool                              { return true }
func (ungated) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool { return true }
func (ungated) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason)          { return true, 0 }

// rawSwarm speaks libp2p with a key, and nothing of ours.
func rawSwarm(t testing.TB, key libcrypto.PrivKey) *swarmOf {
	t.Helper()
	s, err := newSwarm(key, ungated{}, Limits{}.withDefaults(), &network.NullResourceManager{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func rawNode(t testing.TB, n byte) *swarmOf {
	key, err := libKey(testKey(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return rawSwarm(t, key)
}

func dialRaw(ctx context.Context, s *swarmOf, to *Transport, kind string) (network.Conn, error) {
	addrs, err := parseAddrs(only(to.Addrs(), kind))
	if err != nil {
		return nil, err
	}
	id := peerID(to.opt.Key.Public())
	s.Peerstore().AddAddrs(id, addrs, peerstore.PermanentAddrTTL)
	return s.DialPeer(ctx, id)
}

func TestHelloRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Options)
		want string
	}{
		{"another network", func(o *Options) { o.Network = protocol.NetworkID{9} }, "different networks"},
		{"another node ID", func(o *Options) { o.Node = protocol.NodeID{9} }, "node ID is not the one enrolled"},
		{"a body that is not accepted", func(o *Options) { o.Hello = func() []byte { return []byte("bad") } }, "view of the register"},
	} {
		for _, kind := range []string{"quic", "tcp"} {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				r := newRegister(t, 2)
				a := start(t, r, 1, "127.0.0.1:0", func(o *Options) {
					o.OnHello = func(from protocol.Node, hello []byte) error {
						if string(hello) == "bad" {
							return errors.New("an example of a bad note")
						}
						return nil
					}
				}, serveEcho)
				b := start(t, r, 2, "", tc.edit, nil)
				err := b.Connect(testCtx(t), protocol.NodeID{1}, only(a.Addrs(), kind)...)
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Fatalf("connect: %v, want %q in it", err, tc.want)
				}
				if b.Connected(protocol.NodeID{1}) || a.Connected(protocol.NodeID{2}) {
					t.Fatal("one end counts as connected")
				}
				until(t, "the connection is gone at both ends", func() bool {
					return len(a.swarm.Conns()) == 0 && len(b.swarm.Conns()) == 0
				})
			})
		}
	}
}

func TestHelloBodiesReachTheOtherEnd(t *testing.T) {
	r := newRegister(t, 2)
	heard := make(chan string, 2)
	edit := func(mine string) func(*Options) {
		return func(o *Options) {
			o.Hello = func() []byte { return []byte(mine) }
			o.OnHello = func(from protocol.Node, hello []byte) error {
				heard <- from.ID.Short() + " " + string(hello)
				return nil
			}
		}
	}
	a := start(t, r, 1, "127.0.0.1:0", edit("size 7"), nil)
	b := start(t, r, 2, "", edit("size 9"), nil)
	if err := b.Connect(testCtx(t), protocol.NodeID{1}, a.Addrs()...); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{<-heard: true, <-heard: true}
	if !got["01000000 size 7"] || !got["02000000 size 9"] {
		t.Fatalf("heard %v", got)
	}
}

// A dialler that says nothing, or speaks of something else first, is served
// nothing and hung up on.
func TestNothingIsServedBeforeHello(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			r := newRegister(t, 2)
			served := make(chan struct{}, 1)
			a := start(t, r, 1, "127.0.0.1:0", func(o *Options) { o.Limits.HelloTimeout = 300 * time.Millisecond }, func(tr *Transport) {
				tr.Handle(echoProto, func(context.Context, protocol.Node, *Stream) { served <- struct{}{} })
			})
			ctx := testCtx(t)
			c, err := dialRaw(ctx, rawNode(t, 2), a, kind)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := c.NewStream(ctx); err == nil {
				selectProto(ctx, s, echoProto, time.Minute)
				s.Write([]byte{0, 0, 0, 1, 'x'})
			}
			until(t, "the silent peer is hung up on", c.IsClosed)
			select {
			case <-served:
				t.Fatal("a stream was served before the hello")
			default:
			}
		})
	}
}

func TestHelloOfAnotherVersion(t *testing.T) {
	r := newRegister(t, 2)
	a := start(t, r, 1, "127.0.0.1:0", nil, nil)
	ctx := testCtx(t)
	c, err := dialRaw(ctx, rawNode(t, 2), a, "quic")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.NewStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := selectProto(ctx, raw, helloProto, time.Minute); err != nil {
		t.Fatal(err)
	}
	limits := Limits{}.withDefaults()
	s := newStream(ctx, raw, protocol.Node{}, helloProto, maxHello, &limits, func() {})
	s.Write(protocol.Encode(hello{Network: testNetwork, Node: protocol.NodeID{2}, Oldest: 7, Newest: 8}))
	b, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	h, err := protocol.Decode[hello](b, maxHello)
	if err != nil || h.Refusal != refusedVersion {
		t.Fatalf("got %+v, %v", h, err)
	}
	raw.Close()
	until(t, "the connection is closed", c.IsClosed)
}

func TestAnRSAPeerIsRefused(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			r := newRegister(t, 1)
			a := start(t, r, 1, "127.0.0.1:0", nil, nil)
			key, _, err := libcrypto.GenerateRSAKeyPair(2048, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			c, err := dialRaw(testCtx(t), rawSwarm(t, key), a, kind)
			if err == nil { // a refused dialler learns it a moment later
				until(t, "the RSA peer is hung up on", c.IsClosed)
			}
			if n := len(a.swarm.Conns()); n != 0 {
				t.Fatalf("%d connections stand", n)
			}
		})
	}
}

// Keys are agreed by X25519MLKEM768, and Noise is not spoken.
func TestKeyAgreementIsHybrid(t *testing.T) {
	r := newRegister(t, 2)
	a := start(t, r, 1, "127.0.0.1:0", nil, nil)
	c, err := dialRaw(testCtx(t), rawNode(t, 2), a, "quic")
	if err != nil {
		t.Fatal(err)
	}
	var q *quic.Conn
	if !c.As(&q) {
		t.Fatal("no QUIC connection")
	}
	if got := q.ConnectionState().TLS.CurveID; got != tls.X25519MLKEM768 {
		t.Fatalf("QUIC agreed by %s", got)
	}
	addrs, err := parseAddrs(only(a.Addrs(), "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	_, addr, err := manet.DialArgs(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	for proto, spoken := range map[string]bool{"/noise": false, "/plaintext/2.0.0": false, "/tls/1.0.0": true} {
		raw, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if err := multistream.SelectProtoOrFail(proto, raw); (err == nil) != spoken {
			t.Errorf("%s: %v", proto, err)
		}
		if !spoken {
			continue
		}
		// Offered the hybrid alone, it still agrees; the libp2p certificate
		// is not this test's matter.
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"libp2p"}, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}})
		if err := conn.HandshakeContext(testCtx(t)); err != nil {
			t.Errorf("TCP: %v", err)
		}
	}
}
