package replica

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// world is a network of replicas over pipes in one process. Most tests run it
// in virtual time (package synctest).
type world struct {
	t     testing.TB
	reg   *register
	start time.Time

	mu    sync.Mutex
	nodes map[string]*tnode // running
	links map[[2]string]bool
	wire  []frame // what crossed, where record is set
	taps  bool
	// chaos, if set, may change what crosses: the frames of a push stream.
	chaos func(from, to, proto string, b []byte) [][]byte
	// fails, if set, breaks a stream or call before it begins.
	fails func(from, to, proto string) bool
	// doors, if set, answer in a node's place.
	doors map[string]func(proto string, req []byte) ([]byte, error)
}

type frame struct {
	from, to, proto string
	body            []byte
}

// tnode is one running replica.
type tnode struct {
	*Replica
	w    *world
	name string
	self protocol.Node
	disk *disk
	ring *ring
	held func() members // nil: the newest

	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	seen []*protocol.Record
}

type ring struct {
	mu     sync.Mutex
	ids    []*seal.Identity
	locked bool
}

func (k *ring) Identities() ([]*seal.Identity, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids, !k.locked
}

func (k *ring) lock(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.locked = on
}

// inWorld runs a test in virtual time, in a world of the usual organisations.
func inWorld(t *testing.T, script string, f func(t *testing.T, w *world)) {
	for line := range strings.Lines(script) { // outside of the bubble, since it is shared
		if p := strings.Fields(line); len(p) > 0 && (p[0] == "org" || p[0] == "key") {
			identity(p[1] + "1")
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, script)
		defer w.close()
		f(t, w)
	})
}

func newWorld(t testing.TB, script string) *world {
	return &world{t: t, reg: newRegister(t, script), nodes: map[string]*tnode{}, links: map[[2]string]bool{}, doors: map[string]func(string, []byte) ([]byte, error){},
		start: time.Unix(int64(today)*86400+3600, 0)}
}

func (w *world) close() {
	for _, n := range w.all() {
		w.halt(n.name)
	}
}

func (w *world) all() []*tnode {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*tnode
	for _, n := range w.nodes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *tnode) int { return strings.Compare(a.name, b.name) })
	return out
}

// run starts a node on a new disk, connected to nobody.
func (w *world) run(name string, opts ...func(*Options)) *tnode {
	return w.runOn(name, newDisk(w.reg.network), opts...)
}

// runOn starts a node on a disk. A name may end in ', and is then a second
// place that runs the same node.
func (w *world) runOn(name string, d *disk, opts ...func(*Options)) *tnode {
	w.t.Helper()
	plain := strings.TrimRight(name, "'")
	self, ok := w.reg.now().NodeAt(nodeID(plain), w.reg.now().Size())
	if !ok {
		w.t.Fatalf("no node %s", plain)
	}
	org, _ := w.reg.now().OrgAt(self.Org, w.reg.now().Size())
	n := &tnode{w: w, name: name, self: self, disk: d, ring: &ring{ids: w.reg.identities(org.Name)}, done: make(chan struct{})}
	began := time.Now()
	o := Options{Org: self.Org, Node: self.ID, Key: w.reg.keys[plain], Disk: d, Net: netOf{n}, Keys: n.ring, Random: rand.Reader,
		Members:  func() Members { return n.members() },
		Now:      func() time.Time { return w.start.Add(time.Since(began)) },
		HeadWait: 30 * time.Second, RepairEvery: 30 * time.Second,
		OnRecord: func(rec *protocol.Record) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.seen = append(n.seen, rec)
		}}
	if os.Getenv("ALLIANCE_TEST_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
	}
	for _, f := range opts {
		f(&o)
	}
	var err error
	if n.Replica, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
	go func() {
		defer close(n.done)
		n.Replica.Run(ctx)
	}()
	<-n.started
	return n
}

func (n *tnode) members() members {
	n.mu.Lock()
	f := n.held
	n.mu.Unlock()
	if f != nil {
		return f()
	}
	return n.w.reg.now()
}

// halt stops a node as a crash would, but for what was enqueued.
func (w *world) halt(name string) {
	w.mu.Lock()
	n := w.nodes[name]
	delete(w.nodes, name)
	var others []string
	for l := range w.links {
		if l[0] == name || l[1] == name {
			others = append(others, l[0], l[1])
			delete(w.links, l)
		}
	}
	w.mu.Unlock()
	if n == nil {
		return
	}
	for _, o := range others {
		if p := w.node(o); p != nil {
			p.OnDisconnect(n.self.ID)
		}
	}
	n.stop()
	<-n.done
}

func (w *world) node(name string) *tnode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[name]
}

func pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

// link connects nodes: every pair of the names.
func (w *world) link(names ...string) {
	w.t.Helper()
	for i, a := range names {
		for _, b := range names[:i] {
			w.mu.Lock()
			x, y := w.nodes[a], w.nodes[b]
			was := w.links[pair(a, b)]
			w.links[pair(a, b)] = true
			w.mu.Unlock()
			if x == nil || y == nil {
				w.t.Fatalf("%s or %s does not run", a, b)
			}
			if !was {
				x.OnConnect(y.self)
				y.OnConnect(x.self)
			}
		}
	}
}

func (w *world) cut(a, b string) {
	w.mu.Lock()
	was := w.links[pair(a, b)]
	delete(w.links, pair(a, b))
	x, y := w.nodes[a], w.nodes[b]
	w.mu.Unlock()
	if was && x != nil && y != nil {
		x.OnDisconnect(y.self.ID)
		y.OnDisconnect(x.self.ID)
	}
}

func (w *world) linked(a, b string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links[pair(a, b)]
}

// moved tells every node of a newer register.
func (w *world) leaves(script string) {
	w.reg.leaves(w.t, script)
	for _, n := range w.all() {
		n.RegisterMoved()
	}
}

// until waits in virtual time.
func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	for range 60_000 {
		synctest.Wait()
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("never came: %s", what)
}

// settle lets everything that is under way come to its end: two comparisons
// of every pair.
func (w *world) settle() {
	time.Sleep(100 * time.Second)
	synctest.Wait()
}

// netOf is the network as one node sees it.
type netOf struct{ n *tnode }

func (x netOf) peer(to protocol.NodeID) (*tnode, error) {
	for _, p := range x.n.w.all() {
		if p.self.ID == to && x.n.w.linked(x.n.name, p.name) {
			return p, nil
		}
	}
	return nil, errors.New("test net: not connected")
}

func (x netOf) Connected() (out []protocol.Node) {
	for _, p := range x.n.w.all() {
		if x.n.w.linked(x.n.name, p.name) {
			out = append(out, p.self)
		}
	}
	return out
}

func (w *world) note(from, to, proto string, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taps {
		w.wire = append(w.wire, frame{from, to, proto, bytes.Clone(b)})
	}
}

// tap records what crosses while f runs.
func (w *world) tap(f func()) []frame {
	w.mu.Lock()
	w.taps, w.wire = true, nil
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taps = false
	return w.wire
}

func (w *world) broken(from, to, proto string) bool {
	w.mu.Lock()
	f := w.fails
	w.mu.Unlock()
	return f != nil && f(from, to, proto)
}

func (x netOf) Call(ctx context.Context, to protocol.NodeID, proto string, req []byte) ([]byte, error) {
	p, err := x.peer(to)
	if err != nil {
		return nil, err
	}
	w := x.n.w
	if w.broken(x.n.name, p.name, proto) {
		return nil, errors.New("test net: lost")
	}
	w.note(x.n.name, p.name, proto, req)
	req = bytes.Clone(req)
	var b []byte
	w.mu.Lock()
	door := w.doors[p.name]
	w.mu.Unlock()
	switch {
	case door != nil:
		b, err = door(proto, req)
	case proto == ProtoFetch:
		b, err = p.ServeFetch(ctx, x.n.self, req)
	case proto == ProtoReceipt:
		b, err = p.ServeReceipt(ctx, x.n.self, req)
	default:
		return nil, errors.New("test net: no such protocol")
	}
	if err != nil {
		return nil, fmt.Errorf("test net: the peer refused: %w", err)
	}
	w.note(p.name, x.n.name, proto, b)
	if w.broken(p.name, x.n.name, proto) || !w.linked(x.n.name, p.name) {
		return nil, errors.New("test net: the answer was lost")
	}
	return bytes.Clone(b), ctx.Err()
}

func (x netOf) Open(ctx context.Context, to protocol.NodeID, proto string) (Stream, error) {
	p, err := x.peer(to)
	if err != nil {
		return nil, err
	}
	w := x.n.w
	if w.broken(x.n.name, p.name, proto) {
		return nil, errors.New("test net: lost")
	}
	mine, theirs := newPipe(w, x.n.name, p.name, proto)
	sctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		defer theirs.Close()
		switch proto {
		case ProtoPush:
			p.ServePush(sctx, x.n.self, theirs)
		case ProtoFrontier:
			p.ServeFrontier(sctx, x.n.self, theirs)
		}
	}()
	return mine, nil
}

// pipe is one end of a stream: frames in order, none lost while it is open,
// unless the world's chaos says so.
type pipe struct {
	w               *world
	from, to, proto string
	in              *queue
	out             *queue
	abused          bool
}

type queue struct {
	mu     sync.Mutex
	cond   *sync.Cond
	frames [][]byte
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.cond = sync.NewCond(&q.mu)
	return q
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.cond.Broadcast()
}

func newPipe(w *world, from, to, proto string) (a, b *pipe) {
	x, y := newQueue(), newQueue()
	return &pipe{w: w, from: from, to: to, proto: proto, in: x, out: y}, &pipe{w: w, from: to, to: from, proto: proto, in: y, out: x}
}

func (p *pipe) Read() ([]byte, error) {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	for len(p.in.frames) == 0 {
		if p.in.closed {
			return nil, io.EOF
		}
		p.in.cond.Wait()
	}
	b := p.in.frames[0]
	p.in.frames = p.in.frames[1:]
	p.in.cond.Broadcast()
	return b, nil
}

func (p *pipe) Write(frames ...[]byte) error {
	if p.w != nil && !p.w.linked(p.from, p.to) {
		p.Close()
		return io.ErrClosedPipe
	}
	for _, b := range frames {
		out := [][]byte{bytes.Clone(b)}
		if p.w != nil {
			p.w.note(p.from, p.to, p.proto, b)
			p.w.mu.Lock()
			chaos := p.w.chaos
			p.w.mu.Unlock()
			if chaos != nil {
				out = chaos(p.from, p.to, p.proto, out[0])
			}
		}
		for _, b := range out {
			p.out.mu.Lock()
			for len(p.out.frames) >= 256 && !p.out.closed {
				p.out.cond.Wait()
			}
			if p.out.closed {
				p.out.mu.Unlock()
				return io.ErrClosedPipe
			}
			p.out.frames = append(p.out.frames, b)
			p.out.cond.Broadcast()
			p.out.mu.Unlock()
		}
	}
	return nil
}

func (p *pipe) Close() error {
	p.in.close()
	p.out.close()
	return nil
}

func (p *pipe) More() bool {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return len(p.in.frames) > 0
}

func (p *pipe) Abuse() {
	p.abused = true
	p.Close()
}

// What people write in these tests is invented.
const text = "an invented example body"

func body(s string) []protocol.Content {
	return []protocol.Content{{Kind: "test/example", Time: int64(today) * 86400, Body: []byte(s)}}
}

func draftTo(audience, custodians string) Draft {
	return Draft{Audience: protocol.ListAudience(orgIDs(audience)...), Custodians: orgIDs(custodians), Contents: body(text), Expiry: today + 100}
}

// send writes a record at once and fails where it is queued.
func (n *tnode) send(audience, custodians string) Sent {
	n.w.t.Helper()
	s := n.sendDraft(draftTo(audience, custodians))
	if s.Queued != 0 {
		n.w.t.Fatalf("queued: %s", s.Reason)
	}
	return s
}

func (n *tnode) sendDraft(d Draft) Sent {
	n.w.t.Helper()
	s, err := n.Send(context.Background(), d)
	if err != nil {
		n.w.t.Fatal(err)
	}
	return s
}

// ready waits until a node may write to an audience.
func (n *tnode) ready(audience, custodians string) {
	n.w.t.Helper()
	n.w.until(n.name+" may write", func() bool { return n.holdBack(draftTo(audience, custodians)) == "" })
}

func (n *tnode) has(f protocol.FeedID, seq uint64) bool {
	c, _, _ := n.disk.Chain(f)
	return c.Seq >= seq
}

// vouches reports whether a node holds another's receipt for a record.
func (n *tnode) vouched(f protocol.FeedID, seq uint64, by string) bool {
	list, err := n.Delivery(f, seq)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(list, func(h Holder) bool { return h.Node == nodeID(by) && h.Vouches })
}

func (n *tnode) record(f protocol.FeedID, seq uint64) *protocol.Record {
	n.w.t.Helper()
	rec, err := n.disk.Record(f, seq)
	if err != nil {
		n.w.t.Fatal(err)
	}
	return rec
}

// reads returns the bodies that a node opens of a record.
func (n *tnode) reads(f protocol.FeedID, seq uint64) (out []string, err error) {
	list, err := n.Open(n.record(f, seq))
	for _, o := range list {
		if o.Err != nil {
			return nil, o.Err
		}
		out = append(out, string(o.Body))
	}
	return out, err
}

// places fails where a node stores a section, or a core, that nothing gives it
// a right to. It reads the disks alone.
func (w *world) places() {
	w.t.Helper()
	for _, n := range w.all() {
		n.disk.mu.Lock()
		rows := n.disk.rows
		for k, r := range rows.records {
			core, err := protocol.Decode[protocol.Core](r.env.Core, protocol.MaxCore)
			if err != nil {
				w.t.Fatal(err)
			}
			chain := rows.chains[k.feed]
			may := func(set int) bool { // author, custodian under its key, or named in the set
				key := core
				if core.Data != nil {
					kr, ok := rows.records[at{k.feed, core.Data.Key}]
					if !ok {
						return core.Author == n.self.Org
					}
					if key, err = protocol.Decode[protocol.Core](kr.env.Core, protocol.MaxCore); err != nil || key.Key == nil {
						return false
					}
				}
				return core.Author == n.self.Org || slices.Contains(key.Key.Custodians, n.self.Org) || set < len(key.Key.Sets) && key.Key.Sets[set].Has(n.self.Org)
			}
			for i, ref := range core.Sections() {
				if i < len(r.env.Sections) && r.env.Sections[i] != nil && !may(int(ref.Set)) {
					w.t.Errorf("%s stores section %d of record %d, which is not its to have", n.name, i, k.seq)
				}
			}
			if protocol.EntitledFeed(n.members(), &chain, n.self.Org) == 0 {
				w.t.Errorf("%s stores record %d of a feed that is not its business", n.name, k.seq)
			}
		}
		n.disk.mu.Unlock()
	}
}

func seeded(t testing.TB) *mrand.Rand {
	seed := mrand.Uint64()
	t.Logf("seed %d", seed)
	return mrand.New(mrand.NewPCG(seed, 0))
}
