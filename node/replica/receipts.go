package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// ErrNotVouched: a node has a record and does not vouch for it: it refused it,
// or holds it back since its author is suspended or revoked.
var ErrNotVouched = errors.New("the node has the record and does not vouch for it")

// keepReceipt verifies a receipt and has it made durable; then whoever waits
// for it is told. It does not wait for the disk where more may come: receipts
// are cumulative, so what comes while one is being written is written as its
// newest alone. Where none is to come behind it (last, and the feed has no
// more), it does, which saves waking another goroutine.
func (r *Replica) keepReceipt(s protocol.SignedReceipt, last bool) error {
	m := r.members()
	got, err := s.Verify(m)
	if err != nil {
		return err
	}
	f := r.feed(got.Feed)
	if f == nil {
		return fmt.Errorf("%w: a receipt for a feed that is not here", protocol.ErrWait)
	}
	if got.Node == r.o.Node {
		return errStale // our own comes back
	}
	f.mu.Lock()
	f.loadReceipts(r)
	c := f.durable
	known := f.receipts[got.Node]
	head, recent := f.recent.at(got.Seq)
	f.mu.Unlock()
	switch {
	case protocol.EntitledFeed(m, &c, got.Org) == 0:
		return fmt.Errorf("%w: a receipt of an organisation that has nothing of the feed", protocol.ErrWait)
	case got.Seq > c.Seq:
		// It vouches for a head that cannot be compared yet. Whoever sent it
		// hands it over again.
		r.needRepair(got.Node)
		return protocol.ErrWait
	case !better(got, known):
		return errStale
	case got.Seq == c.Seq:
		head = c.Head
	case !recent:
		rec, err := r.record(f, got.Seq)
		if rec == nil {
			return err
		}
		head = rec.ID()
	}
	if head != got.Head {
		r.needRepair(got.Node) // it holds another record there: the fork is to be fetched
		return protocol.ErrDiverged
	}
	f.mu.Lock()
	next, busy := f.arriving[got.Node]
	if !busy || better(got, next.Receipt) {
		f.arriving[got.Node] = arriving{got, s}
	}
	f.mu.Unlock()
	if busy {
		return nil // whoever writes the one before writes this one too
	}
	if last && got.Seq == c.Seq && r.writeReceipts(f, got.Node, true) {
		return nil
	}
	go r.writeReceipts(f, got.Node, false)
	return nil
}

// arriving is a verified receipt that is not durable yet.
type arriving struct {
	protocol.Receipt
	signed protocol.SignedReceipt
}

// writeReceipts makes a node's newest receipt durable, and again what came
// meanwhile. When the disk fails it tries again, or with once set returns false
// for another to do so.
func (r *Replica) writeReceipts(f *feed, node protocol.NodeID, once bool) bool {
	done, failed := protocol.Receipt{}, false
	for {
		f.mu.Lock()
		a := f.arriving[node]
		if !better(a.Receipt, done) {
			delete(f.arriving, node)
			f.mu.Unlock()
			return true
		}
		f.mu.Unlock()
		if err := r.o.Disk.Enqueue(Change{Receipts: []protocol.SignedReceipt{a.signed}})(); err != nil {
			// Its sender takes it for delivered, so it is kept here until the
			// disk takes it.
			if once {
				return false
			}
			if !failed {
				r.o.Log.Warn("receipt not kept yet", "feed", f.id.Short(), "err", err)
			}
			if failed = true; !pause(r.running(), time.Second) {
				return false
			}
			continue
		}
		done = a.Receipt
		r.tookReceipt(f, a)
	}
}

// tookReceipt tells of a receipt that is durable.
func (r *Replica) tookReceipt(f *feed, a arriving) {
	f.mu.Lock()
	if better(a.Receipt, f.receipts[a.Node]) {
		f.receipts[a.Node] = a.Receipt
		f.version++
	}
	f.waiters = slices.DeleteFunc(f.waiters, func(w *waiter) bool {
		if w.node != a.Node || a.Seq < w.seq {
			return false
		}
		w.kept = a.Vouches(w.seq)
		close(w.done)
		return true
	})
	f.mu.Unlock()
	r.o.OnDelivery(a.Receipt)
	r.passOn(f, a.signed, a.Node)
}

// better reports whether a receipt says more than another of the same node and
// feed: it reaches further, or as far and vouches for more.
func better(a, b protocol.Receipt) bool {
	return a.Seq > b.Seq || a.Seq == b.Seq && vouched(a) > vouched(b)
}

func vouched(r protocol.Receipt) uint64 {
	n := r.Seq
	for _, x := range r.Refused {
		n -= x.To - x.From + 1
	}
	for _, x := range r.Held {
		n -= x.To - x.From + 1
	}
	return n
}

// passOn hands a receipt to the connected nodes that want it: the author's and
// the custodians', so that an author that was away gets it from any of them.
func (r *Replica) passOn(f *feed, s protocol.SignedReceipt, except protocol.NodeID) {
	c := f.chain()
	for _, p := range r.connected() {
		if p.node.ID == except || p.node.ID == r.o.Node || !wantsReceipts(&c, p.node.Org) {
			continue
		}
		r.sendBatch(p, ReceiptBatch{Receipts: []protocol.SignedReceipt{s}})
	}
}

func wantsReceipts(c *protocol.Chain, org protocol.OrgID) bool {
	return c.Author == org || slices.ContainsFunc(c.Custody, func(k protocol.Custody) bool { return k.Org == org && k.End == 0 })
}

// sendBatch queues a batch for a peer; it goes out from the peer's own loop.
func (r *Replica) sendBatch(p *peer, b ReceiptBatch) {
	select {
	case p.batches <- b:
	default:
		r.handAgain(p)
	}
}

// handAgain lets the next comparison of frontiers hand everything over again.
func (r *Replica) handAgain(p *peer) {
	p.mu.Lock()
	clear(p.passed)
	clear(p.forks)
	p.mu.Unlock()
	r.needRepair(p.node.ID)
}

// batchLoop sends what waits for a peer, several batches as one.
func (r *Replica) batchLoop(ctx context.Context, p *peer) {
	for {
		var b ReceiptBatch
		select {
		case <-ctx.Done():
			return
		case b = <-p.batches:
		}
		for more := true; more && len(b.Receipts) < maxBatch && b.size() < MaxReceiptFrame/4; {
			select {
			case x := <-p.batches:
				b.Receipts = append(b.Receipts, x.Receipts...)
				b.Heads = append(b.Heads, x.Heads...)
				b.Forks = append(b.Forks, x.Forks...)
			default:
				more = false
			}
		}
		if _, err := r.o.Net.Call(ctx, p.node.ID, ProtoReceipt, protocol.Encode(b)); err != nil && ctx.Err() == nil {
			r.o.Log.Debug("receipts not passed on", "peer", p.node.ID.Short(), "err", err)
			if !pause(ctx, jitter(r.o.RepairEvery)) {
				return
			}
			r.handAgain(p)
		}
	}
}

// size is about how long the batch is when encoded.
func (b *ReceiptBatch) size() (n int) {
	for _, s := range b.Receipts {
		n += len(s.Body) + 100
	}
	for _, f := range b.Forks {
		n += len(f.A.Core) + len(f.B.Core) + 200
	}
	return n
}

// handOver gives a newly compared peer every receipt that it may want, our own
// first, and the fork proofs that concern it.
func (r *Replica) handOver(p *peer) {
	var b ReceiptBatch
	flush := func() {
		if len(b.Receipts) > 0 {
			r.sendBatch(p, b)
		}
		b = ReceiptBatch{}
	}
	for _, f := range r.allFeeds() {
		f.mu.Lock()
		c, whole, version := f.durable, f.whole(), f.version
		f.mu.Unlock()
		if whole == 0 || !wantsReceipts(&c, p.node.Org) {
			continue
		}
		p.mu.Lock()
		last := p.passed[f.id]
		p.passed[f.id] = version
		p.mu.Unlock()
		if last == version {
			continue
		}
		if c.Node != r.o.Node {
			if s, ok := r.receipt(f); ok {
				b.Receipts = append(b.Receipts, s)
			}
		}
		stored, _ := r.o.Disk.Receipts(f.id) // those that are left, where some are lost
		for _, s := range stored {
			if _, err := s.Verify(r.members()); err != nil {
				continue // of a node revoked since
			}
			b.Receipts = append(b.Receipts, s)
			if len(b.Receipts) >= maxBatch || b.size() > MaxReceiptFrame/4 {
				flush()
			}
		}
	}
	flush()
	r.tellForks(p)
}

// ServeReceipt takes a batch from a peer. Errors wrap [ErrPeer] where the peer
// is at fault.
func (r *Replica) ServeReceipt(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
	quota := r.pushers.of(from.ID)
	if !r.speaks(from) {
		return nil, fmt.Errorf("%w: it is not an active member", ErrPeer)
	}
	b, err := protocol.Decode[ReceiptBatch](req, MaxReceiptFrame)
	if err != nil {
		r.charge(ctx, quota, dropCost)
		return nil, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	if !r.charge(ctx, quota, len(b.Receipts)+len(b.Heads)+2*len(b.Forks)+1) {
		return nil, ctx.Err()
	}
	// What is false costs the peer; the rest of the batch counts all the same,
	// and no error goes back, since an honest peer whose register is behind may
	// pass on what no longer stands.
	drop := func(err error) {
		if errors.Is(err, protocol.ErrDrop) {
			r.o.Log.Debug("part of a batch dropped", "peer", from.ID.Short(), "err", err)
			r.charge(ctx, quota, dropCost)
		}
	}
	for _, s := range b.Receipts {
		drop(r.keepReceipt(s, false))
	}
	for _, s := range b.Heads { // nothing is made of them yet, but of a false one
		_, err := s.Verify(r.members())
		drop(err)
	}
	for i := range b.Forks {
		drop(r.takeFork(b.Forks[i]))
	}
	return nil, nil
}

// Await returns when a node's durable receipt vouches for a record, or ctx
// ends. [ErrNotVouched]: the node's receipt reaches the record and leaves it out.
func (r *Replica) Await(ctx context.Context, id protocol.FeedID, seq uint64, node protocol.NodeID) error {
	f := r.feed(id)
	if f == nil {
		return fmt.Errorf("await receipt: no such feed is here")
	}
	f.mu.Lock()
	f.loadReceipts(r)
	if rc := f.receipts[node]; rc.Vouches(seq) {
		f.mu.Unlock()
		return nil
	} else if rc.Seq >= seq {
		f.mu.Unlock()
		return ErrNotVouched
	}
	w := &waiter{seq: seq, node: node, done: make(chan struct{})}
	f.waiters = append(f.waiters, w)
	f.mu.Unlock()
	select {
	case <-w.done:
		if !w.kept {
			return ErrNotVouched
		}
		return nil
	case <-ctx.Done():
		f.mu.Lock()
		if i := slices.Index(f.waiters, w); i >= 0 {
			f.waiters = slices.Delete(f.waiters, i, i+1)
		}
		f.mu.Unlock()
		return ctx.Err()
	}
}

// Holder is what one node said of one record.
type Holder struct {
	Org     protocol.OrgID
	Node    protocol.NodeID
	Seq     uint64 // how far its receipt reaches
	Vouches bool   // for this very record
	Refused protocol.Code
}

// Delivery lists whose receipts speak of a record, by node.
func (r *Replica) Delivery(id protocol.FeedID, seq uint64) ([]Holder, error) {
	f := r.feed(id)
	if f == nil {
		return nil, fmt.Errorf("list receipts: no such feed is here")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loadReceipts(r)
	var out []Holder
	for n, rc := range f.receipts {
		h := Holder{Org: rc.Org, Node: n, Seq: rc.Seq, Vouches: rc.Vouches(seq)}
		for _, x := range rc.Refused {
			if x.From <= seq && seq <= x.To {
				h.Refused = x.Code
			}
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Holder) int { return a.Node.Compare(b.Node) })
	return out, nil
}
