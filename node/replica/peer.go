package replica

import (
	"context"
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
	mu      sync.Mutex
	passed  map[protocol.FeedID]uint64 // receipts handed to it in this connection
	synced  time.Time                  // last frontier comparison that ended well
	failed  string
}

type item struct {
	feed *feed
	rec  *protocol.Record
}

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
	p := &peer{node: n, stop: cancel, queue: make(chan item, 4096), repair: make(chan struct{}, 1), batches: make(chan ReceiptBatch, 64), passed: map[protocol.FeedID]uint64{}}
	r.peers[n.ID] = p
	r.group.Go(func() error { r.pushLoop(ctx, p); return nil })
	r.group.Go(func() error { r.repairLoop(ctx, p); return nil })
	r.group.Go(func() error { r.batchLoop(ctx, p); return nil })
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
// asked for again, and the outbox looked at.
func (r *Replica) RegisterMoved() {
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
		f.mu.Lock()
		c := f.tip
		f.mu.Unlock()
		for _, o := range readersOf(&c) {
			seen[o] = true
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
func (r *Replica) announce(f *feed, rec *protocol.Record) {
	for _, p := range r.connected() {
		if !r.entitled(f, rec, p.node.Org).Core {
			continue
		}
		select {
		case p.queue <- item{f, rec}:
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
			b := r.pushFrame(p, next)
			frames, size = append(frames, b), size+len(b)
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
// they go at once.
func (r *Replica) pushFrame(p *peer, it item) []byte {
	env := it.rec.Envelope(r.entitled(it.feed, it.rec, p.node.Org))
	left := protocol.MaxInline
	for i, s := range env.Sections {
		if left -= len(s); left < 0 {
			env.Sections[i] = nil
		}
	}
	return protocol.Encode(Push{Record: &env, Feed: it.rec.Feed(), Seq: it.rec.Core().Seq})
}

// readAnswers takes verdicts and receipts from the other end of a push stream.
func (r *Replica) readAnswers(ctx context.Context, p *peer, s Stream) {
	for {
		b, err := s.Read()
		if err != nil {
			return
		}
		a, err := protocol.Decode[PushAnswer](b, maxWireFrame)
		if err != nil {
			r.o.Log.Warn("peer answers in no known form", "peer", p.node.ID.Short())
			return
		}
		for _, rc := range a.Receipts {
			if err := r.keepReceipt(rc); err != nil {
				r.o.Log.Debug("receipt not kept", "peer", p.node.ID.Short(), "err", err)
			}
		}
		for _, v := range a.Verdicts {
			switch v.Verdict {
			case Want:
				if frame := r.wantedFrame(p, v); frame != nil && s.Write(frame) != nil {
					return
				}
			case Refuse:
				r.o.Log.Info("peer refused a record", "peer", p.node.ID.Short(), "feed", v.Feed.Short(), "seq", v.Seq, "code", v.Code)
			}
		}
	}
}

func (r *Replica) wantedFrame(p *peer, v PushVerdict) []byte {
	rec, e := r.lookup(v.Feed, v.Seq, p.node.Org)
	if rec == nil {
		return nil
	}
	out := Push{Feed: v.Feed, Seq: v.Seq}
	size := 0
	for _, i := range v.Sections {
		if b := rec.Section(int(i)); b != nil && e.Section(int(i)) && size+len(b) < maxWireFrame-4096 {
			out.Sections = append(out.Sections, Section{i, b})
			size += len(b)
		}
	}
	if len(out.Sections) == 0 {
		return nil
	}
	return protocol.Encode(out)
}

// lookup returns a record and what an organisation may have of it, nil where
// that is nothing or it is not here.
func (r *Replica) lookup(id protocol.FeedID, seq uint64, org protocol.OrgID) (*protocol.Record, protocol.Entitlement) {
	f := r.feed(id, false)
	if f == nil {
		return nil, protocol.Entitlement{}
	}
	rec, err := r.o.Disk.Record(id, seq)
	if err != nil {
		return nil, protocol.Entitlement{}
	}
	e := r.entitled(f, rec, org)
	if !e.Core {
		return nil, e
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
