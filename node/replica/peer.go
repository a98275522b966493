package replica

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// peer is one connected node: what waits to be pushed to it, and its repair.
type peer struct {
	node protocol.Node
	stop context.CancelFunc

	queue   chan item     // records to push
	repair  chan struct{} // a comparison of frontiers is due
	batches chan ReceiptBatch
	spread  atomic.Bool // a comparison is planned for what others brought
	unsure  atomic.Bool // it answered the head check and could not be sure
	since   time.Time   // connected
	mu      sync.Mutex
	passed  map[protocol.FeedID]uint64 // feed versions whose receipts were handed over on this connection
	forks   map[protocol.FeedID]bool   // proofs handed over on this connection
	synced  time.Time                  // last frontier comparison that ended well
}

// item is a record to push. A large one is read from the disk when its turn
// comes, so that a slow peer costs little memory.
type item struct {
	feed *feed
	seq  uint64
	rec  *protocol.Record // nil: on the disk
}

// queued is how many records wait for a slow peer before they are left to the
// comparison of frontiers, and largeItem from which size on one is not kept in
// memory for it.
const (
	queued    = 2048
	largeItem = 16 << 10
)

// OnConnect starts work with a peer whose hello was accepted.
func (r *Replica) OnConnect(n protocol.Node) {
	select {
	case <-r.started:
	default:
		return // Run starts with whoever is connected then
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.peers[n.ID]; old != nil {
		old.stop()
	}
	if r.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	p := &peer{node: n, stop: cancel, since: r.o.Now(), queue: make(chan item, queued), repair: make(chan struct{}, 1), batches: make(chan ReceiptBatch, 64),
		passed: map[protocol.FeedID]uint64{}, forks: map[protocol.FeedID]bool{}}
	r.peers[n.ID] = p
	r.group.Go(func() error { r.pushLoop(ctx, p); return nil })
	r.group.Go(func() error { r.repairLoop(ctx, p); return nil })
	r.group.Go(func() error {
		r.tellForks(p) // before a twin takes the connection away
		r.batchLoop(ctx, p)
		return nil
	})
}

// OnDisconnect ends work with a peer.
func (r *Replica) OnDisconnect(id protocol.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[id]; p != nil {
		p.stop()
		delete(r.peers, id)
	}
}

// RegisterMoved tells the replica of a newer register: what waited for it is
// asked for again, held links are judged again, and the outbox looked at.
func (r *Replica) RegisterMoved() {
	r.mu.Lock()
	r.moved = true
	r.mu.Unlock()
	for _, p := range r.connected() {
		r.needRepair(p.node.ID)
	}
	r.poke()
}

// Acquaintances lists the organisations with which this node shares a feed:
// those to stay connected with.
func (r *Replica) Acquaintances() []protocol.OrgID {
	seen := map[protocol.OrgID]bool{}
	for _, f := range r.allFeeds() {
		if c := f.chain(); c.Seq > 0 {
			for _, o := range readersOf(&c) {
				seen[o] = true
			}
		}
	}
	out := make([]protocol.OrgID, 0, len(seen))
	for o := range seen {
		out = append(out, o)
	}
	return out
}

// spreadSoon plans a comparison a little later: most often the author's own
// push arrives first, and then the comparison costs one message.
func (p *peer) spreadSoon(r *Replica) {
	if p.spread.CompareAndSwap(false, true) {
		time.AfterFunc(spreadAfter, func() {
			p.spread.Store(false)
			r.needRepair(p.node.ID)
		})
	}
}

func (r *Replica) connected() []*peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*peer, 0, len(r.peers))
	for _, p := range r.peers {
		out = append(out, p)
	}
	return out
}

func (r *Replica) peer(id protocol.NodeID) *peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[id]
}

// announce queues a durable record to every connected node that may have it. A
// full queue is dropped: the frontier finds what it held.
func (r *Replica) announce(f *feed, c *protocol.Chain, rec *protocol.Record) {
	it := item{f, rec.Core().Seq, rec}
	size := len(rec.CoreBytes())
	for i := range rec.Core().Sections() {
		size += len(rec.Section(i))
	}
	if size > largeItem {
		it.rec = nil
	}
	for _, p := range r.connected() {
		if !r.entitledBy(f.id, c, rec, p.node.Org).Core {
			continue
		}
		select {
		case p.queue <- it:
		default:
			r.needRepair(p.node.ID)
		}
	}
}

// needRepair asks for a comparison of frontiers with a peer, soon.
func (r *Replica) needRepair(id protocol.NodeID) {
	if p := r.peer(id); p != nil {
		select {
		case p.repair <- struct{}{}:
		default:
		}
	}
}

// pushLoop opens one push stream when there is something to push and keeps it.
func (r *Replica) pushLoop(ctx context.Context, p *peer) {
	for {
		var first item
		select {
		case <-ctx.Done():
			return
		case first = <-p.queue:
		}
		s, err := r.o.Net.Open(ctx, p.node.ID, ProtoPush)
		if err != nil {
			r.o.Log.Debug("push stream not opened", "peer", p.node.ID.Short(), "err", err)
			if !pause(ctx, time.Second) {
				return
			}
			r.needRepair(p.node.ID)
			continue
		}
		r.pushOn(ctx, p, s, first)
		r.needRepair(p.node.ID) // what was on its way may not have arrived
	}
}

// pushOn pushes on one stream until it breaks or ctx ends.
func (r *Replica) pushOn(ctx context.Context, p *peer, s Stream, next item) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		r.readAnswers(ctx, p, s)
	}()
	defer func() { s.Close(); <-done }()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	var frames [][]byte
	for {
		frames = frames[:0]
		size := 0
		for more := true; more; {
			if b := r.pushFrame(p, next); b != nil {
				frames, size = append(frames, b), size+len(b)
			}
			if size > pageBytes {
				break
			}
			select {
			case next = <-p.queue:
			default:
				more = false
			}
		}
		if err := s.Write(frames...); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case next = <-p.queue:
		}
	}
}

// pushFrame encodes a record for one peer: the sections it may have, as far as
// they go at once. It is nil where there is nothing that it may have, or that can
// be read.
func (r *Replica) pushFrame(p *peer, it item) []byte {
	rec := it.rec
	if rec == nil {
		if rec, _ = r.record(it.feed, it.seq); rec == nil {
			return nil
		}
	}
	e := r.entitled(it.feed, rec, p.node.Org)
	if !e.Core {
		return nil // no more: it was queued before
	}
	env := rec.Envelope(e)
	trim(&env)
	return protocol.Encode(Push{Record: &env, Feed: rec.Feed(), Seq: it.seq})
}

// trim leaves out what does not go inline, and returns the bytes of what does.
func trim(env *protocol.Envelope) (size int) {
	for i, s := range env.Sections {
		if size+len(s) > protocol.MaxInline {
			env.Sections[i] = nil
			continue
		}
		size += len(s)
	}
	return size
}

// readAnswers takes verdicts and receipts from the other end of a push stream.
func (r *Replica) readAnswers(ctx context.Context, p *peer, s Stream) {
	quota := r.pushers.of(p.node.ID)
	for {
		b, err := s.Read()
		if err != nil {
			return
		}
		a, err := protocol.Decode[PushAnswer](b, MaxPushFrame)
		if err != nil {
			r.o.Log.Warn("peer answers in no known form", "peer", p.node.ID.Short())
			r.charge(ctx, quota, dropCost)
			s.Abuse()
			return
		}
		if !r.charge(ctx, quota, 1+len(a.Receipts)+len(a.Verdicts)+2*len(a.Forks)) {
			return
		}
		for i, rc := range a.Receipts {
			if err := r.keepReceipt(rc, i == len(a.Receipts)-1); err != nil {
				r.o.Log.Debug("receipt not kept", "peer", p.node.ID.Short(), "err", err)
				if errors.Is(err, protocol.ErrDrop) {
					r.charge(ctx, quota, dropCost)
				}
			}
		}
		for _, k := range a.Forks {
			if err := r.takeFork(k); err != nil {
				r.charge(ctx, quota, dropCost)
			}
		}
		for _, v := range a.Verdicts {
			switch v.Verdict {
			case Want:
				frame := r.wantedFrame(p, v)
				if !r.charge(ctx, quota, wantCost+len(frame)/4096) || frame != nil && s.Write(frame) != nil {
					return
				}
			case Refuse:
				r.o.Log.Debug("peer refused a record", "peer", p.node.ID.Short(), "feed", v.Feed.Short(), "seq", v.Seq, "code", v.Code)
			}
		}
	}
}

func (r *Replica) wantedFrame(p *peer, v PushVerdict) []byte {
	rec, e := r.lookup(v.Feed, v.Seq, p.node.Org)
	if rec == nil {
		return nil
	}
	out := Push{Feed: v.Feed, Seq: v.Seq, Sections: pick(rec, e, v.Sections)}
	if len(out.Sections) == 0 {
		return nil
	}
	return protocol.Encode(out)
}

// pick returns those of the wanted sections that an entitlement allows and that
// are here, each once, as many as one message holds.
func pick(rec *protocol.Record, e protocol.Entitlement, want []uint64) (out []Section) {
	size := 0
	for n, i := range want {
		if i >= protocol.MaxSections || slices.Contains(want[:n], i) || !e.Section(int(i)) {
			continue
		}
		b := rec.Section(int(i))
		if b == nil || size+len(b) > protocol.MaxSection {
			continue
		}
		out = append(out, Section{i, b})
		size += len(b)
	}
	return out
}

// lookup returns a record and what an organisation may have of it, nil where
// that is nothing or it is not here. A feed that is unknown and one that is not
// the organisation's take the same way.
func (r *Replica) lookup(id protocol.FeedID, seq uint64, org protocol.OrgID) (*protocol.Record, protocol.Entitlement) {
	var c protocol.Chain
	f := r.feed(id)
	if f != nil {
		c = f.chain()
	}
	if seq == 0 || seq > protocol.EntitledFeed(r.members(), &c, org) {
		return nil, protocol.Entitlement{}
	}
	rec, _ := r.record(f, seq)
	if rec == nil {
		return nil, protocol.Entitlement{}
	}
	e := r.entitledBy(id, &c, rec, org)
	if !e.Core {
		return nil, protocol.Entitlement{}
	}
	return rec, e
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
