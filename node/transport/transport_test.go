package transport

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// register is a directory that a test changes.
type register struct {
	mu    sync.Mutex
	nodes map[crypto.PublicKey]protocol.Node
}

func (r *register) Peer(key crypto.PublicKey) (protocol.Node, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.nodes[key]
	return n, ok && n.Status == protocol.Active
}

func (r *register) Node(id protocol.NodeID) (protocol.Node, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.nodes {
		if n.ID == id {
			return n, n.Status == protocol.Active
		}
	}
	return protocol.Node{}, false
}

func (r *register) put(n protocol.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nodes == nil {
		r.nodes = map[crypto.PublicKey]protocol.Node{}
	}
	r.nodes[n.Transport] = n
}

var testNetwork = protocol.NetworkID{1, 2, 3}

func testKey(t testing.TB, n byte) crypto.PrivateKey {
	t.Helper()
	k, err := crypto.NewPrivateKey(bytes.Repeat([]byte{n}, crypto.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// enrolled is node n of organisation org in an invented register.
func enrolled(t testing.TB, n, org byte) protocol.Node {
	return protocol.Node{ID: protocol.NodeID{n}, Org: protocol.OrgID{org}, Transport: testKey(t, n).Public(), Status: protocol.Active}
}

// testLog shows the transport's log with a failed test.
func testLog(t testing.TB, name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
}

// start makes node n listen on loopback and run until the test ends. edit may
// change its options and add handlers.
func start(t testing.TB, r *register, n byte, listen string, edit func(*Options), ready func(*Transport)) *Transport {
	t.Helper()
	opt := Options{
		Network: testNetwork, Node: protocol.NodeID{n}, Key: testKey(t, n), Directory: r,
		Log: testLog(t, fmt.Sprintf("node-%d", n)),
	}
	if listen != "" {
		opt.Listen = []string{listen}
	}
	if edit != nil {
		edit(&opt)
	}
	tr, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	if ready != nil {
		ready(tr)
	}
	if err := tr.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); tr.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return tr
}

func newRegister(t testing.TB, n int) *register {
	r := &register{}
	for i := 1; i <= n; i++ {
		r.put(enrolled(t, byte(i), byte(i)))
	}
	return r
}

func testCtx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

const echoProto = "/alliance/echo/1"

func serveEcho(tr *Transport) {
	tr.Serve(echoProto, func(_ context.Context, _ protocol.Node, req []byte) ([]byte, error) { return req, nil })
}

// only keeps the addresses of one transport.
func only(addrs []string, kind string) []string {
	var out []string
	for _, a := range addrs {
		if kind == "quic" == bytes.Contains([]byte(a), []byte("/quic-v1")) {
			out = append(out, a)
		}
	}
	return out
}

func TestTwoNodesTalk(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			r := newRegister(t, 2)
			a := start(t, r, 1, "127.0.0.1:0", nil, serveEcho)
			b := start(t, r, 2, "127.0.0.1:0", nil, serveEcho)
			ctx := testCtx(t)
			if err := b.Connect(ctx, protocol.NodeID{1}, only(a.Addrs(), kind)...); err != nil {
				t.Fatal(err)
			}
			until(t, "the listener is ready too", func() bool { return a.Connected(protocol.NodeID{2}) })
			for _, x := range []struct {
				from *Transport
				to   protocol.NodeID
			}{{b, protocol.NodeID{1}}, {a, protocol.NodeID{2}}} {
				got, err := x.from.Call(ctx, x.to, echoProto, []byte("an example"))
				if err != nil || string(got) != "an example" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			p := b.Peers()
			if len(p) != 1 || !p[0].Connected || p[0].By != kind || p[0].Inbound || p[0].Address != only(a.Addrs(), kind)[0] {
				t.Fatalf("peers: %+v", p)
			}
		})
	}
}
