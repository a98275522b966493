package consensus

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// ledger is a machine that remembers every entry. It outlives its group, as
// one on disk would.
type ledger struct {
	mu      sync.Mutex
	applied uint64
	entries []string
	refuse  error // returned instead of applying
	batches int
}

func (l *ledger) Apply(c Command) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.apply(c)
}

func (l *ledger) apply(c Command) ([]byte, error) {
	if l.refuse != nil {
		return nil, l.refuse
	}
	if c.Index <= l.applied {
		panic(fmt.Sprintf("entry %d after %d", c.Index, l.applied))
	}
	l.applied = c.Index
	l.entries = append(l.entries, fmt.Sprintf("%v:%s", c.Tag, c.Data))
	return binary.BigEndian.AppendUint64(nil, uint64(len(l.entries))), nil
}

func (l *ledger) Applied() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.applied
}

func (l *ledger) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

type ledgerState struct {
	Applied uint64
	Entries []string
}

func (s ledgerState) Persist(w io.Writer) error { return json.NewEncoder(w).Encode(s) }
func (s ledgerState) Release()                  {}

func (l *ledger) Snapshot() (Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return ledgerState{l.applied, slices.Clone(l.entries)}, nil
}

func (l *ledger) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var s ledgerState
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied, l.entries = s.Applied, s.Entries
	return nil
}

// batchLedger is a ledger that takes batches.
type batchLedger struct{ *ledger }

func (l batchLedger) ApplyBatch(cs []Command) (out [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches++
	for _, c := range cs {
		r, err := l.apply(c)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// town is a network in memory with an authorisation table.
type town struct {
	t     testing.TB
	dir   string
	tweak func(*Options)

	mu    sync.Mutex
	nodes map[protocol.NodeID]*resident
	cut   map[protocol.NodeID]bool // reaches nobody
	known map[protocol.NodeID]bool // the table
	deaf  map[protocol.NodeID]bool // takes new connections and leaves them alone
}

type resident struct {
	id    protocol.NodeID
	m     *ledger
	g     *Group
	ended chan error
}

func newTown(t testing.TB) *town {
	w := &town{t: t, dir: t.TempDir(), nodes: map[protocol.NodeID]*resident{}, cut: map[protocol.NodeID]bool{}, known: map[protocol.NodeID]bool{}, deaf: map[protocol.NodeID]bool{}}
	t.Cleanup(func() {
		for _, r := range w.nodes {
			if r.g != nil {
				r.g.Close()
			}
		}
	})
	return w
}

// inTown runs a test in a bubble whose clock stands still while anyone works,
// so that a busy machine changes nothing.
func inTown(t *testing.T, f func(t *testing.T, w *town)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newTown(t)) })
}

func nodeID(n byte) protocol.NodeID { return protocol.NodeID{31: n} }

func (w *town) authorize(n protocol.NodeID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[n]
}

// road is one node's overlay.
type road struct {
	w    *town
	from protocol.NodeID
}

func (r road) Dial(_ context.Context, to protocol.NodeID) (net.Conn, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	n := r.w.nodes[to]
	if n == nil || n.g == nil || r.w.cut[to] || r.w.cut[r.from] {
		return nil, errors.New("no road")
	}
	a, b := net.Pipe()
	if r.w.deaf[to] {
		go io.Copy(io.Discard, b)
		return a, nil
	}
	go n.g.Serve(protocol.Node{ID: r.from}, b)
	return a, nil
}

func (w *town) options(id protocol.NodeID, m Machine) Options {
	o := Options{Dir: filepath.Join(w.dir, id.String()), Node: id, Key: [32]byte(id), Overlay: road{w, id}, Authorize: w.authorize, Machine: m,
		Heartbeat: 60 * time.Millisecond, Commit: 5 * time.Millisecond, Interval: 100 * time.Millisecond, Timeout: 2 * time.Second,
		Log: slog.New(slog.DiscardHandler)}
	if w.tweak != nil {
		w.tweak(&o)
	}
	return o
}

// open starts a node that was never there or was stopped.
func (w *town) open(n byte) *resident {
	w.t.Helper()
	id := nodeID(n)
	w.mu.Lock()
	r := w.nodes[id]
	if r == nil {
		r = &resident{id: id, m: &ledger{}}
		w.nodes[id] = r
	}
	w.known[id] = true
	w.mu.Unlock()
	g, err := Open(w.options(id, r.m))
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	r.g = g
	w.mu.Unlock()
	return r
}

func (r *resident) run() *resident {
	r.ended = make(chan error, 1)
	g := r.g
	go func() { r.ended <- g.Run(context.Background()) }()
	return r
}

// stop takes a node down and waits for it.
func (w *town) stop(r *resident) {
	w.t.Helper()
	if err := r.g.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := <-r.ended; err != nil {
		w.t.Fatal(err)
	}
}

// cutOff ends a node's connections and lets it make no more, or joins it again.
func (w *town) cutOff(r *resident, cut bool) {
	w.mu.Lock()
	w.cut[r.id] = cut
	groups := slices.Collect(maps.Values(w.nodes))
	w.mu.Unlock()
	for _, o := range groups {
		if o.g == nil {
			continue
		}
		if e := o.g.engine(); e != nil && cut {
			e.conns.drop(func(n protocol.NodeID) bool { return n == r.id || o == r })
		}
	}
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

// until waits for a condition that another goroutine brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// three opens a group of three voters, led by the first.
func (w *town) three() []*resident {
	w.t.Helper()
	a := w.open(1)
	if err := a.g.Bootstrap(); err != nil {
		w.t.Fatal(err)
	}
	a.run()
	b, c := w.open(2).run(), w.open(3).run()
	until(w.t, "a leader", a.g.IsLeader)
	for _, r := range []*resident{b, c, a} { // the others keep the names
		if err := r.g.SetVoters(ctx(w.t), []protocol.NodeID{a.id, b.id, c.id}); err != nil {
			w.t.Fatal(err)
		}
	}
	return []*resident{a, b, c}
}

func propose(t testing.TB, r *resident, text string) uint64 {
	t.Helper()
	out, err := r.g.Propose(ctx(t), Workspace, []byte(text))
	if err != nil {
		t.Fatalf("propose %q: %v", text, err)
	}
	return binary.BigEndian.Uint64(out)
}

func (w *town) agree(want []string, rs ...*resident) {
	w.t.Helper()
	for _, r := range rs {
		until(w.t, "agreement", func() bool { return len(r.m.all()) >= len(want) })
		if got := r.m.all(); !slices.Equal(got, want) {
			w.t.Fatalf("node %s has %q, want %q", r.id.Short(), got, want)
		}
	}
}

func TestThreeNodes(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		var want []string
		for i := range 9 { // in turn, so that two of three are forwarded
			text := fmt.Sprint("entry ", i)
			if n := propose(t, rs[i%3], text); n != uint64(i+1) {
				t.Fatalf("result of entry %d is %d", i, n)
			}
			want = append(want, "workspace:"+text)
			if got := rs[i%3].m.all(); !slices.Equal(got, want) {
				t.Fatalf("the proposer's own machine has %q after its call", got)
			}
		}
		w.agree(want, rs...)
		for _, r := range rs {
			if err := r.g.Barrier(ctx(t)); err != nil {
				t.Fatal(err)
			}
			s := r.g.Status()
			if len(s.Voters) != 3 || s.Leader != rs[0].id || s.Applied == 0 {
				t.Fatalf("status %+v", s)
			}
		}
	})
}
