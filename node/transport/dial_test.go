package transport

import (
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// A wanted node that restarts at its address is reached again, by both
// transports, without anybody asking.
func TestReconnectAfterRestart(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			r := newRegister(t, 2)
			serve := func(tr *Transport) { serveEcho(tr) }
			a := start(t, r, 1, "127.0.0.1:0", nil, serve)
			addrs := only(a.Addrs(), kind)
			port := strings.Split(addrs[0], "/")[4]
			b := start(t, r, 2, "", func(o *Options) { o.Limits.BackoffMin, o.Limits.BackoffMax = 20*time.Millisecond, 200*time.Millisecond }, nil)
			b.Want(map[protocol.NodeID][]string{{1}: addrs, {2}: {"127.0.0.1:1"}})
			until(t, "the wanted node is connected", func() bool { return b.Connected(protocol.NodeID{1}) })
			a.Close()
			until(t, "attempts fail", func() bool {
				p := b.Peers()
				return len(p) == 1 && !p[0].Connected && p[0].Attempts >= 2 && p[0].Error != "" && !p[0].Next.IsZero()
			})
			again := start(t, r, 1, net.JoinHostPort("127.0.0.1", port), nil, serve)
			until(t, "the node is connected again", func() bool { return b.Connected(protocol.NodeID{1}) })
			if _, err := b.Call(testCtx(t), protocol.NodeID{1}, echoProto, nil); err != nil {
				t.Fatal(err)
			}
			if p := b.Peers(); p[0].Error != "" || p[0].By != kind {
				t.Fatalf("peers %+v", p)
			}
			until(t, "the restarted node sees it too", func() bool { return again.Connected(protocol.NodeID{2}) })
		})
	}
}

// The waiting time doubles from its least to its most, and jitter takes up to
// half of it away.
func TestBackoffDoubles(t *testing.T) {
	jitter := 0.0
	tr, err := New(Options{
		Network: testNetwork, Node: protocol.NodeID{1}, Key: testKey(t, 1), Directory: newRegister(t, 2),
		Limits: Limits{BackoffMin: time.Second, BackoffMax: 10 * time.Second}, Jitter: func() float64 { return jitter },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	now := time.Unix(1_800_000_000, 0)
	waits := func() (out []time.Duration) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		p := tr.peerOf(protocol.NodeID{2})
		p.attempts = 0
		for range 6 {
			tr.retryLater(p, now)
			out = append(out, p.next.Sub(now))
		}
		p.attempts = 1000
		tr.retryLater(p, now)
		return append(out, p.next.Sub(now))
	}
	ms := func(list ...int) (out []time.Duration) {
		for _, n := range list {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	if got, want := waits(), ms(500, 1000, 2000, 4000, 5000, 5000, 5000); !reflect.DeepEqual(got, want) {
		t.Errorf("least: %v, want %v", got, want)
	}
	jitter = 1
	if got, want := waits(), ms(1000, 2000, 4000, 8000, 10000, 10000, 10000); !reflect.DeepEqual(got, want) {
		t.Errorf("most: %v, want %v", got, want)
	}
}

// A node that becomes active is tried at once, not after its back-off.
func TestRecheckDialsANewlyActiveNode(t *testing.T) {
	r := newRegister(t, 1)
	r2 := newRegister(t, 2)
	b := start(t, r2, 2, "127.0.0.1:0", nil, nil)
	a := start(t, r, 1, "127.0.0.1:0", func(o *Options) { o.Limits.BackoffMin, o.Limits.BackoffMax = time.Hour, time.Hour }, nil)
	a.Want(map[protocol.NodeID][]string{{2}: b.Addrs()})
	until(t, "the first attempt fails", func() bool { p := a.Peers(); return len(p) == 1 && p[0].Attempts == 1 })
	r.put(enrolled(t, 2, 2))
	a.Recheck()
	until(t, "the node is connected", func() bool { return a.Connected(protocol.NodeID{2}) })
}

func TestConnectSaysWhyNot(t *testing.T) {
	r := newRegister(t, 2)
	b := start(t, r, 2, "", nil, nil)
	ctx := testCtx(t)
	for _, tc := range []struct{ addr, want string }{
		{"", "not connected"},
		{"/ip4/127.0.0.1/tcp/1", "refused"},
		{"no port", "want host:port"},
	} {
		var addrs []string
		if tc.addr != "" {
			addrs = append(addrs, tc.addr)
		}
		if err := b.Connect(ctx, protocol.NodeID{1}, addrs...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q in it", tc.addr, err, tc.want)
		}
	}
}

// Both ends may dial at once: both connections stand, either is used.
func TestBothEndsDial(t *testing.T) {
	r := newRegister(t, 2)
	a := start(t, r, 1, "127.0.0.1:0", nil, serveEcho)
	b := start(t, r, 2, "127.0.0.1:0", nil, serveEcho)
	a.Want(map[protocol.NodeID][]string{{2}: b.Addrs()})
	b.Want(map[protocol.NodeID][]string{{1}: a.Addrs()})
	until(t, "both are connected", func() bool { return a.Connected(protocol.NodeID{2}) && b.Connected(protocol.NodeID{1}) })
	for range 10 {
		if _, err := a.Call(testCtx(t), protocol.NodeID{2}, echoProto, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Call(testCtx(t), protocol.NodeID{1}, echoProto, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseAddr(t *testing.T) {
	for in, want := range map[string][]string{
		"192.0.2.7:4001":                     {"/ip4/192.0.2.7/udp/4001/quic-v1", "/ip4/192.0.2.7/tcp/4001"},
		"[2001:db8::7]:4001":                 {"/ip6/2001:db8::7/udp/4001/quic-v1", "/ip6/2001:db8::7/tcp/4001"},
		"[::ffff:192.0.2.7]:1":               {"/ip4/192.0.2.7/udp/1/quic-v1", "/ip4/192.0.2.7/tcp/1"},
		"node.example:0":                     {"/dns/node.example/udp/0/quic-v1", "/dns/node.example/tcp/0"},
		":4001":                              {"/ip4/0.0.0.0/udp/4001/quic-v1", "/ip4/0.0.0.0/tcp/4001"},
		"/ip4/192.0.2.7/tcp/4001":            {"/ip4/192.0.2.7/tcp/4001"},
		"/dns/node.example/udp/4001/quic-v1": {"/dns/node.example/udp/4001/quic-v1"},
		"/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5": {"/ip4/192.0.2.7/tcp/4001"},
		"/ip4/192.0.2.7/tcp/4001/ws":                                nil,
		"/ip4/192.0.2.7/udp/4001":                                   nil,
		"/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5": nil,
		"/nonsense": nil, "node.example": nil, "": nil, "a b:1": nil, "192.0.2.7:65536": nil, "192.0.2.7:x": nil, "a/b:1": nil,
	} {
		got, err := ParseAddr(in)
		if !reflect.DeepEqual(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestPeerID(t *testing.T) {
	key := testKey(t, 1).Public()
	got, err := ParsePeerID(PeerID(key))
	if err != nil || got != key {
		t.Fatalf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "x", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"} { // the last is an RSA key's
		if _, err := ParsePeerID(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"127.0.0.1:1", "[::1]:2", "/ip4/127.0.0.1/tcp/1", "node.example:3", "/dns/x/udp/4/quic-v1", "[fe80::1%0]:5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseAddr(s)
		if err != nil {
			return
		}
		for _, a := range list {
			again, err := ParseAddr(a)
			if err != nil || len(again) != 1 || again[0] != a {
				t.Fatalf("%q became %q, which becomes %v, %v", s, a, again, err)
			}
		}
	})
}
