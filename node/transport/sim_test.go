package transport

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marcopolo/simnet"

	"github.com/national-alliance/alliance/protocol"
)

// world is a simulated network in virtual time: 10 ms each way, and nodes that
// can be cut off.
type world struct {
	net *simnet.Simnet
	cut sync.Map // IP address as text → true
}

func newWorld(t *testing.T) *world {
	w := &world{net: &simnet.Simnet{LatencyFunc: simnet.StaticLatency(10 * time.Millisecond)}}
	w.net.Start()
	t.Cleanup(w.net.Close)
	return w
}

// place is one machine of a world.
type place struct {
	w    *world
	ip   net.IP
	mu   sync.Mutex
	port int
}

func (w *world) place(n byte) *place {
	return &place{w: w, ip: net.IPv4(1, 2, 3, n), port: 40_000}
}

func (p *place) ListenUDP(_ string, addr *net.UDPAddr) (net.PacketConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := &net.UDPAddr{IP: p.ip, Port: addr.Port}
	if at.Port == 0 {
		p.port++
		at.Port = p.port
	}
	const mbps = 1_000_000
	link := simnet.LinkSettings{BitsPerSecond: 100 * mbps}
	return &cuttable{p.w.net.NewEndpoint(at, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}), p}, nil
}

func (p *place) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return p.ip, nil }

type cuttable struct {
	net.PacketConn
	place *place
}

func (c *cuttable) WriteTo(b []byte, to net.Addr) (int, error) {
	_, here := c.place.w.cut.Load(c.place.ip.String())
	_, there := c.place.w.cut.Load(to.(*net.UDPAddr).IP.String())
	if here || there {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func (p *place) options(n byte) func(*Options) {
	return func(o *Options) {
		o.Packets = p
		o.Listen = []string{net.JoinHostPort(p.ip.String(), "8000")}
		o.Jitter = func() float64 { return 1 }
	}
}

// In virtual time: connections come up by themselves, a cut is noticed, dials
// back off by doubling, and the connection comes back after the cut.
func TestSimulatedPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := newRegister(t, 3)
		var nodes []*Transport
		var places []*place
		var mu sync.Mutex
		var seen []string
		for n := byte(1); n <= 3; n++ {
			p := w.place(n)
			tr := start(t, r, n, "", p.options(n), func(tr *Transport) {
				serveEcho(tr)
				if n == 1 {
					tr.Notify(func(n protocol.Node) { mu.Lock(); seen = append(seen, "+"+n.ID.Short()); mu.Unlock() },
						func(id protocol.NodeID) { mu.Lock(); seen = append(seen, "-"+id.Short()); mu.Unlock() })
				}
			})
			nodes, places = append(nodes, tr), append(places, p)
		}
		all := map[protocol.NodeID][]string{}
		for i, tr := range nodes {
			all[tr.opt.Node] = []string{net.JoinHostPort(places[i].ip.String(), "8000")}
		}
		for _, tr := range nodes {
			tr.Want(all)
		}
		connected := func(a, b int) bool { return nodes[a].Connected(nodes[b].opt.Node) }
		until(t, "all are connected", func() bool {
			return connected(0, 1) && connected(1, 0) && connected(0, 2) && connected(2, 0) && connected(1, 2) && connected(2, 1)
		})
		w.cut.Store(places[1].ip.String(), true)
		cutAt := time.Now()
		for connected(0, 1) || connected(1, 0) {
			time.Sleep(time.Second)
		}
		if d := time.Since(cutAt); d > time.Minute {
			t.Fatalf("the cut was noticed after %s", d)
		}
		if !connected(0, 2) {
			t.Fatal("a bystander was cut off")
		}
		time.Sleep(10 * time.Minute) // virtual: it saturates the back-off
		for _, p := range nodes[0].Peers() {
			if p.Node == nodes[1].opt.Node && (p.Connected || p.Error == "" || p.Attempts < 5 || p.Attempts > 30) {
				t.Fatalf("after ten minutes: %+v", p)
			}
		}
		w.cut.Delete(places[1].ip.String())
		healedAt := time.Now()
		for !connected(0, 1) || !connected(1, 0) {
			time.Sleep(time.Second)
			if time.Since(healedAt) > 2*time.Minute {
				t.Fatalf("not connected again: %+v", nodes[0].Peers())
			}
		}
		if _, err := nodes[0].Call(t.Context(), nodes[1].opt.Node, echoProto, []byte("x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		up := map[string]bool{}
		for _, s := range seen { // strictly by turns for each node
			if up[s[1:]] == (s[0] == '+') {
				t.Fatalf("events %v", seen)
			}
			up[s[1:]] = s[0] == '+'
		}
		if len(seen) < 4 {
			t.Fatalf("events %v", seen)
		}
	})
}

func TestSimulatedQuotaAndDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := newRegister(t, 2)
		var mu sync.Mutex
		var arrivals []time.Duration
		begun := time.Now()
		start(t, r, 1, "", func(o *Options) { w.place(1).options(1)(o); o.Limits.FramesPerSecond = 5 }, func(tr *Transport) {
			tr.Handle(testProto, func(_ context.Context, _ protocol.Node, s *Stream) {
				for {
					if _, err := s.Read(); err != nil {
						return
					}
					mu.Lock()
					arrivals = append(arrivals, time.Since(begun))
					mu.Unlock()
				}
			})
		})
		b := start(t, r, 2, "", w.place(2).options(2), nil)
		ctx := context.Background()
		if err := b.Connect(ctx, protocol.NodeID{1}, "1.2.3.1:8000"); err != nil {
			t.Fatal(err)
		}
		s, err := b.Open(ctx, protocol.NodeID{1}, testProto)
		if err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		if err := s.Write(make([][]byte, 20)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		// A full bucket of five goes at once, and then five a second.
		if len(arrivals) != 20 || arrivals[4] > 100*time.Millisecond || arrivals[19].Round(100*time.Millisecond) != 3*time.Second {
			t.Fatalf("arrivals %v", arrivals)
		}
		mu.Unlock()

		// A frame begun and not finished ends the stream after FrameTimeout,
		// an hour of silence between frames does not.
		time.Sleep(time.Hour)
		if err := s.Write(nil); err != nil {
			t.Fatalf("after an idle hour: %v", err)
		}
		s.raw.Write([]byte{0, 0})
		before := time.Now()
		s.Read()
		if d := time.Since(before).Round(time.Second); d != 15*time.Second {
			t.Fatalf("the slow frame ended after %s, want 15s", d)
		}
	})
}

func TestSimulatedSilentDialler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := newRegister(t, 2)
		a := start(t, r, 1, "", w.place(1).options(1), nil)
		key, err := libKey(testKey(t, 2))
		if err != nil {
			t.Fatal(err)
		}
		limits := Limits{}.withDefaults()
		resources, err := limits.resources(ipRate(limits), false)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSwarm(key, ungated{}, limits, resources, w.place(2))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		addrs, _ := parseAddrs([]string{"1.2.3.1:8000"})
		id := peerID(a.opt.Key.Public())
		s.Peerstore().AddAddrs(id, addrs, time.Hour)
		c, err := s.DialPeer(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		for !c.IsClosed() {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(before); d < 4*time.Second || d > 6*time.Second {
			t.Fatalf("the silent dialler was hung up on after %s, want about 5s", d)
		}
	})
}

// Joining works in a simulated network too.
func TestSimulatedEnrolment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e, err := NewEnrolment(EnrolmentOptions{Key: testKey(t, 1), Listen: []string{"1.2.3.1:9000"}, Packets: w.place(1), Log: testLog(t, "door"),
			Handle: answerHello})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		if err := e.Serve(); err != nil {
			t.Fatal(err)
		}
		got, err := CallEnrolment(t.Context(), EnrolmentAt{Addrs: []string{"1.2.3.1:9000"}, Peer: testKey(t, 1).Public(), Packets: w.place(2)}, []byte("hello"))
		if err != nil || string(got) != "pending" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}
