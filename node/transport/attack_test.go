package transport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	libtls "github.com/libp2p/go-libp2p/p2p/security/tls"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"

	"github.com/national-alliance/alliance/protocol"
)

// Strangers who dial by the thousand, with keys made for it, with RSA keys, or
// with half a handshake, hold nothing for long: no connection, stream, peer
// state or goroutine stays, the handshakes under way are bounded, and a member
// is served throughout.
func TestAttackPreAuthExhaustion(t *testing.T) {
	const dials, atOnce = 2000, 8
	r := newRegister(t, 2)
	a := start(t, r, 1, "127.0.0.1:0", func(o *Options) {
		o.Limits.Handshakes, o.Limits.HelloTimeout = 16, 2*time.Second
		o.Log = nil
	}, serveEcho)
	b := start(t, r, 2, "", nil, nil)
	ctx := context.Background()
	if err := b.Connect(ctx, protocol.NodeID{1}, a.Addrs()...); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Call(ctx, protocol.NodeID{1}, echoProto, nil); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	before := runtime.NumGoroutine()

	target := peerID(a.opt.Key.Public())
	tcp, err := parseAddrs(only(a.Addrs(), "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	_, addr, err := manet.DialArgs(tcp[0])
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ResolveUDPAddr("udp", addr) // the same number
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	dialler := &quic.Transport{Conn: socket}
	defer dialler.Close()
	var finished atomic.Int32
	// stranger finishes a handshake, as far as it gets, and must then be hung
	// up on.
	stranger := func(key libcrypto.PrivKey, i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		identity, err := libtls.NewIdentity(key)
		if err != nil {
			return err
		}
		config, _ := identity.ConfigForPeer(target)
		if i%2 == 0 {
			config.NextProtos = []string{"libp2p"}
			c, err := dialler.Dial(ctx, udp, config, &quic.Config{})
			if err != nil {
				return nil
			}
			finished.Add(1)
			select {
			case <-c.Context().Done():
				return nil
			case <-ctx.Done():
				return errors.New("a stranger's QUIC connection was kept")
			}
		}
		raw, err := net.Dial("tcp", addr)
		if err != nil {
			return nil
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(30 * time.Second))
		if err := multistream.SelectProtoOrFail("/tls/1.0.0", raw); err != nil {
			return nil
		}
		c := tls.Client(raw, config)
		if c.HandshakeContext(ctx) == nil {
			finished.Add(1)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("a stranger's TCP connection was kept")
		}
		return nil
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range dials {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			key, _, err := libcrypto.GenerateEd25519Key(rand.Reader)
			if err == nil && i%500 == 499 {
				key, _, err = libcrypto.GenerateRSAKeyPair(2048, rand.Reader)
			}
			if err != nil {
				t.Error(err)
				return
			}
			if err := stranger(key, i); err != nil {
				t.Error(err)
			}
		})
		if i%200 == 0 { // a member is served in the middle of it
			if _, err := b.Call(ctx, protocol.NodeID{1}, echoProto, nil); err != nil {
				t.Fatalf("after %d strangers: %v", i, err)
			}
		}
	}
	wg.Wait()
	if n := finished.Load(); n < dials/2 {
		t.Fatalf("only %d of %d strangers came as far as a handshake: the gate was not tried", n, dials)
	}

	// Half-open: more sockets than handshakes are allowed, all silent.
	var halfOpen []net.Conn
	for range 64 {
		if c, err := net.Dial("tcp", addr); err == nil {
			halfOpen = append(halfOpen, c)
		}
	}
	until(t, "the handshakes under way reach their limit and no more", func() bool {
		stat := inbound(t, a)
		if stat.NumConnsInbound > 16 {
			t.Fatalf("%d handshakes at a time, at most 16 are allowed", stat.NumConnsInbound)
		}
		return stat.NumConnsInbound > 0
	})
	for _, c := range halfOpen { // hung up on, at once or after the time allowed
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			if _, err := c.Read(make([]byte, 512)); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Fatal("a silent socket was kept")
				}
				break
			}
		}
		c.Close()
	}
	until(t, "only the member's connection stands", func() bool {
		return len(a.swarm.Conns()) == 1 && inbound(t, a).NumConnsInbound == 0
	})
	a.mu.Lock()
	peers, conns := len(a.peers), len(a.conns)
	a.mu.Unlock()
	if peers != 1 || conns != 1 || len(a.swarm.Peerstore().PeersWithKeys()) > 2 {
		t.Fatalf("%d peers, %d connections, %d keys are remembered", peers, conns, len(a.swarm.Peerstore().PeersWithKeys()))
	}
	until(t, "no goroutines stay", func() bool { return runtime.NumGoroutine() <= before+10 })
	if _, err := b.Call(ctx, protocol.NodeID{1}, echoProto, nil); err != nil {
		t.Fatal(err)
	}
}

// inbound counts the connections that are not authenticated yet.
func inbound(t testing.TB, a *Transport) (stat network.ScopeStat) {
	if err := a.swarm.resources.ViewTransient(func(s network.ResourceScope) error { stat = s.Stat(); return nil }); err != nil {
		t.Fatal(err)
	}
	return stat
}

// An inbound stream whose opener never names a protocol is given up, and one
// peer cannot hold more than its share of them.
func TestAttackSlowLorisStreams(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			a, b := pair(t, kind, func(o *Options) { o.Limits.HelloTimeout, o.Limits.StreamsIn = 300*time.Millisecond, 10 }, Rules{}, echoFrames)
			k, _, err := b.readyConn(protocol.NodeID{1})
			if err != nil {
				t.Fatal(err)
			}
			held := func() (n int) {
				a.swarm.resources.ViewPeer(peerID(b.opt.Key.Public()), func(s network.PeerScope) error {
					n = s.Stat().NumStreamsInbound
					return nil
				})
				if n > 10 {
					t.Fatalf("%d streams at a time, at most 10 are allowed", n)
				}
				return n
			}
			until(t, "the peer's share is used up", func() bool {
				if raw, err := k.c.NewStream(testCtx(t)); err == nil {
					raw.Write([]byte{19}) // the first byte of multistream's name
				}
				return held() == 10
			})
			until(t, "they are given up", func() bool { return held() == 0 })
			if err := refusedNow(b); err != nil {
				t.Fatalf("afterwards: %v", err)
			}
		})
	}
}
