package transport

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func TestAStrangerIsNotAdmitted(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			// a knows only itself; b knows both.
			a := start(t, newRegister(t, 1), 1, "127.0.0.1:0", nil, serveEcho)
			b := start(t, newRegister(t, 2), 2, "", nil, nil)
			err := b.Connect(testCtx(t), protocol.NodeID{1}, only(a.Addrs(), kind)...)
			if err == nil {
				t.Fatal("a stranger is connected")
			}
			if n := len(a.swarm.Conns()); n != 0 {
				t.Fatalf("%d connections stand", n)
			}
			// And a does not dial one.
			if err := a.Connect(testCtx(t), protocol.NodeID{2}, "127.0.0.1:1"); !errors.Is(err, ErrNotActive) {
				t.Fatalf("dial a stranger: %v", err)
			}
		})
	}
}

// A revoked node is cut off at once, on both sides of a check, and stays out.
func TestRecheckClosesARevokedPeer(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			ra, rb := newRegister(t, 3), newRegister(t, 3)
			a := start(t, ra, 1, "127.0.0.1:0", nil, serveEcho)
			b := start(t, rb, 2, "", nil, nil)
			c := start(t, rb, 3, "", nil, nil)
			ctx := testCtx(t)
			addrs := only(a.Addrs(), kind)
			for _, x := range []*Transport{b, c} {
				if err := x.Connect(ctx, protocol.NodeID{1}, addrs...); err != nil {
					t.Fatal(err)
				}
				if _, err := x.Call(ctx, protocol.NodeID{1}, echoProto, nil); err != nil {
					t.Fatal(err)
				}
			}
			revoked := enrolled(t, 2, 2)
			revoked.Status = protocol.Revoked
			ra.put(revoked)
			// Before the recheck: no new stream either way, though the connection stands.
			if _, err := b.Open(ctx, protocol.NodeID{1}, "/alliance/other/1"); err == nil {
				t.Fatal("a revoked peer opened a stream")
			}
			if _, err := a.Open(ctx, protocol.NodeID{2}, echoProto); !errors.Is(err, ErrNotActive) {
				t.Fatalf("open to a revoked peer: %v", err)
			}
			a.Recheck()
			until(t, "the revoked peer is cut off", func() bool {
				return !a.Connected(protocol.NodeID{2}) && !b.Connected(protocol.NodeID{1})
			})
			if err := b.Connect(ctx, protocol.NodeID{1}, addrs...); err == nil {
				t.Fatal("a revoked peer came back")
			}
			if _, err := c.Call(ctx, protocol.NodeID{1}, echoProto, nil); err != nil {
				t.Fatalf("the other peer suffered: %v", err)
			}
		})
	}
}

// A member of another organisation, and a node of one's own that is revoked,
// cannot speak Raft: not as dialler, not as listener, and no byte of theirs
// is read.
func TestAttackRaftByStrangers(t *testing.T) {
	const raft = "/alliance/raft/1"
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			r := &register{}
			for n, org := range map[byte]byte{1: 7, 2: 7, 3: 8} { // 1 and 2 are one organisation's
				r.put(enrolled(t, n, org))
			}
			var served atomic.Int32
			same := func(tr *Transport) {
				tr.SetRules(raft, Rules{Admit: func(n protocol.Node) error {
					if n.Org != (protocol.OrgID{7}) {
						return errors.New("of another organisation")
					}
					return nil
				}})
				tr.ConnHandler(raft, func(_ protocol.Node, c net.Conn) {
					served.Add(1)
					b := make([]byte, 1)
					c.Read(b)
					c.Write(b)
				})
			}
			a := start(t, r, 1, "127.0.0.1:0", nil, same)
			b := start(t, r, 2, "127.0.0.1:0", nil, same)
			// The stranger's own rules admit everyone: it is hostile.
			c := start(t, r, 3, "127.0.0.1:0", nil, func(tr *Transport) {
				tr.ConnHandler(raft, func(protocol.Node, net.Conn) { served.Add(100) })
			})
			ctx := testCtx(t)
			for _, x := range []*Transport{b, c} {
				if err := x.Connect(ctx, protocol.NodeID{1}, only(a.Addrs(), kind)...); err != nil {
					t.Fatal(err)
				}
			}
			mine, err := b.Conn(ctx, protocol.NodeID{1}, raft)
			if err != nil {
				t.Fatal(err)
			}
			mine.Write([]byte("x"))
			if _, err := mine.Read(make([]byte, 1)); err != nil {
				t.Fatalf("own node: %v", err)
			}
			foreign, err := c.Conn(ctx, protocol.NodeID{1}, raft)
			if err == nil {
				foreign.Write([]byte("x"))
				if n, err := foreign.Read(make([]byte, 1)); err == nil {
					t.Fatalf("a stranger read %d bytes", n)
				}
			}
			until(t, "both ends are ready", func() bool { return a.Connected(protocol.NodeID{3}) })
			if _, err := a.Conn(ctx, protocol.NodeID{3}, raft); !errors.Is(err, ErrNotActive) {
				t.Fatalf("dial a stranger's Raft: %v", err)
			}
			if n := served.Load(); n != 1 {
				t.Fatalf("handlers ran %d times, want 1", n)
			}
			revoked := enrolled(t, 2, 7)
			revoked.Status = protocol.Revoked
			r.put(revoked)
			if late, err := b.Conn(ctx, protocol.NodeID{1}, raft); err == nil {
				if n, err := late.Read(make([]byte, 1)); err == nil {
					t.Fatalf("a revoked voter read %d bytes", n)
				}
			}
			if n := served.Load(); n != 1 {
				t.Fatalf("handlers ran %d times, want 1", n)
			}
		})
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			var addr string
			if network == "tcp" {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				addr = l.Addr().String()
			} else {
				l, err := net.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				addr = l.LocalAddr().String()
			}
			tr, err := New(Options{Network: testNetwork, Node: protocol.NodeID{1}, Key: testKey(t, 1), Directory: newRegister(t, 1), Listen: []string{addr}})
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			err = tr.Run(context.Background())
			if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "in use") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// Another node on the same port is refused too, and QUIC and TCP share the
// number.
func TestOnePortNumber(t *testing.T) {
	a := start(t, newRegister(t, 1), 1, "127.0.0.1:0", nil, nil)
	var ports []string
	for _, s := range a.Addrs() {
		ports = append(ports, strings.Split(s, "/")[4])
	}
	if len(ports) != 2 || ports[0] != ports[1] {
		t.Fatalf("addresses %v", a.Addrs())
	}
	b, err := New(Options{Network: testNetwork, Node: protocol.NodeID{2}, Key: testKey(t, 2), Directory: newRegister(t, 2), Listen: []string{"127.0.0.1:" + ports[0]}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Listen(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second node on the port: %v", err)
	}
}
