package replica

import (
	"context"
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// keepReceipt verifies a receipt, makes it durable, and then tells whoever
// waits for it.
func (r *Replica) keepReceipt(s protocol.SignedReceipt) error {
	got, err := s.Verify(r.members())
	if err != nil {
		return err
	}
	f := r.feed(got.Feed, false)
	if f == nil {
		return protocol.ErrDrop
	}
	f.mu.Lock()
	if err := f.loadReceipts(r); err != nil {
		f.mu.Unlock()
		return err
	}
	// A receipt for more than we hold vouches for a head that we cannot
	// compare: it is kept for what we do hold once we hold it, so not yet.
	if got.Seq > f.durable.Seq {
		f.mu.Unlock()
		r.needRepair(got.Node)
		return protocol.ErrWait
	}
	known := f.receipts[got.Node]
	head := f.durable.Head
	top := f.durable.Seq
	f.mu.Unlock()
	if got.Seq < known.Seq || got.Seq == known.Seq && slices.Equal(got.Refused, known.Refused) && slices.Equal(got.Held, known.Held) {
		return errStale
	}
	if got.Seq != top {
		rec, err := r.o.Disk.Record(got.Feed, got.Seq)
		if err != nil {
			return err
		}
		head = rec.ID()
	}
	if head != got.Head {
		r.needRepair(got.Node) // it holds another record there: the fork is to be fetched
		return protocol.ErrDiverged
	}
	if err := <-r.o.Disk.Enqueue(Change{Receipts: []protocol.SignedReceipt{s}}); err != nil {
		return err
	}
	f.mu.Lock()
	if got.Seq >= f.receipts[got.Node].Seq {
		f.receipts[got.Node] = got
	}
	for i := 0; i < len(f.waiters); {
		w := f.waiters[i]
		if w.node == got.Node && got.Seq >= w.seq {
			close(w.done)
			f.waiters = slices.Delete(f.waiters, i, i+1)
			continue
		}
		i++
	}
	f.mu.Unlock()
	r.o.OnDelivery(got)
	r.passOn(f, s, got.Node)
	return nil
}

// passOn hands a receipt to the connected nodes that want it: the author's and
// the custodians', so that an author that was away gets it from any of them.
func (r *Replica) passOn(f *feed, s protocol.SignedReceipt, except protocol.NodeID) {
	f.mu.Lock()
	c := f.durable
	f.mu.Unlock()
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
	default: // the next comparison of frontiers hands receipts over again
		r.needRepair(p.node.ID)
	}
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
		for more := true; more && len(b.Receipts) < maxBatch; {
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
		}
	}
}

// handOver gives a newly compared peer every receipt that it may want, our own
// word first.
func (r *Replica) handOver(p *peer) {
	var b ReceiptBatch
	for _, f := range r.allFeeds() {
		f.mu.Lock()
		c := f.durable
		whole := f.whole()
		err := f.loadReceipts(r)
		f.mu.Unlock()
		if err != nil || whole == 0 || !wantsReceipts(&c, p.node.Org) {
			continue
		}
		p.mu.Lock()
		last := p.passed[f.id]
		p.passed[f.id] = whole
		p.mu.Unlock()
		if last == whole {
			continue
		}
		if c.Node != r.o.Node {
			if s, ok := r.receipt(f); ok {
				b.Receipts = append(b.Receipts, s)
			}
		}
		if stored, err := r.o.Disk.Receipts(f.id); err == nil {
			b.Receipts = append(b.Receipts, stored...)
		}
		if len(b.Receipts) >= maxBatch {
			r.sendBatch(p, b)
			b = ReceiptBatch{}
		}
	}
	if len(b.Receipts) > 0 {
		r.sendBatch(p, b)
	}
}

// ServeReceipt takes a batch from a peer.
func (r *Replica) ServeReceipt(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
	b, err := protocol.Decode[ReceiptBatch](req, maxWireFrame)
	if err != nil {
		return nil, err
	}
	if err := r.quota(from.ID).WaitN(ctx, len(b.Receipts)+len(b.Heads)+len(b.Forks)+1); err != nil {
		return nil, err
	}
	for _, s := range b.Receipts {
		r.keepReceipt(s)
	}
	for i := range b.Forks {
		id, _, _, err := b.Forks[i].Verify(r.members())
		if err != nil {
			return nil, err
		}
		if f := r.feed(id, false); f != nil {
			f.mu.Lock()
			r.keepFork(id, b.Forks[i])
			f.mu.Unlock()
		}
	}
	return nil, nil
}

// Await returns when a node's durable receipt vouches for a record, or ctx
// ends.
func (r *Replica) Await(ctx context.Context, id protocol.FeedID, seq uint64, node protocol.NodeID) error {
	f := r.feed(id, false)
	if f == nil {
		return protocol.ErrDrop
	}
	f.mu.Lock()
	if err := f.loadReceipts(r); err != nil {
		f.mu.Unlock()
		return err
	}
	if f.receipts[node].Seq >= seq {
		f.mu.Unlock()
		return nil
	}
	w := &waiter{seq: seq, node: node, done: make(chan struct{})}
	f.waiters = append(f.waiters, w)
	f.mu.Unlock()
	select {
	case <-w.done:
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
	Seq     uint64 // how far its word reaches
	Vouches bool   // for this very record
	Refused protocol.Code
}

// Delivery lists whose receipts speak of a record, by node.
func (r *Replica) Delivery(id protocol.FeedID, seq uint64) ([]Holder, error) {
	f := r.feed(id, false)
	if f == nil {
		return nil, protocol.ErrDrop
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.loadReceipts(r); err != nil {
		return nil, err
	}
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
