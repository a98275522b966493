package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// feed is one feed's state in memory. tip runs ahead of the disk by what is
// enqueued; durable does not.
type feed struct {
	id protocol.FeedID

	mu       sync.Mutex
	tip      protocol.Chain
	durable  protocol.Chain
	lacking  map[uint64]bool // links of which something that is due here is not
	old      bool            // it was on the disk at the start
	broken   bool            // a commit failed: reload from disk before going on
	gone     bool            // forgotten, since nothing was taken for it
	released uint64          // held links up to here are released
	version  uint64          // grows with whatever a receipt of ours or another's would say

	keys   []seal.FeedKey // own feeds: of tip.Key, by set; nil until opened
	sent   uint64         // own feeds: announced up to here
	out    map[uint64]*protocol.Record
	recent recent

	receipts map[protocol.NodeID]protocol.Receipt // newest durable ones
	loaded   bool                                 // receipts are read from disk
	arriving map[protocol.NodeID]arriving         // receipts on their way to the disk
	waiters  []*waiter
}

// recent are the IDs of the newest links written since the start, by seq, so
// that a receipt for one a little behind the head is compared without reading
// the disk.
type recent []recentID

type recentID struct {
	seq uint64
	id  protocol.RecordID
}

const recentIDs = 128

func (r *recent) put(seq uint64, id protocol.RecordID) {
	if *r == nil {
		*r = make(recent, recentIDs)
	}
	(*r)[seq%recentIDs] = recentID{seq, id}
}

func (r recent) at(seq uint64) (protocol.RecordID, bool) {
	if r == nil || r[seq%recentIDs].seq != seq {
		return protocol.RecordID{}, false
	}
	return r[seq%recentIDs].id, true
}

// waiter waits until a node's receipt reaches a seq.
type waiter struct {
	seq  uint64
	node protocol.NodeID
	done chan struct{}
	kept bool // set before done is closed: it vouches for the record
}

func (r *Replica) newFeed(id protocol.FeedID, c protocol.Chain) (*feed, error) {
	f := &feed{id: id, out: map[uint64]*protocol.Record{}, receipts: map[protocol.NodeID]protocol.Receipt{}, arriving: map[protocol.NodeID]arriving{}}
	return f, f.set(r, c)
}

// set makes a chain from the disk the feed's. Called with f.mu held, or before
// anybody else has f.
func (f *feed) set(r *Replica, c protocol.Chain) error {
	f.lacking = map[uint64]bool{}
	if c.Seq > 0 {
		seqs, err := r.o.Disk.Lacking(f.id)
		if err != nil {
			return err
		}
		for _, s := range seqs {
			f.lacking[s] = true
		}
	}
	f.tip, f.durable, f.keys, f.released = c, c, nil, 0
	f.sent, f.recent = c.Seq, nil
	clear(f.out)
	f.version++
	return nil
}

// feed returns a feed's state, nil where there is none.
func (r *Replica) feed(id protocol.FeedID) *feed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.feeds[id]
}

// lockFeed returns a feed's state with its mu held, a new one where there is
// none. The order of locks is feed, then replica.
func (r *Replica) lockFeed(id protocol.FeedID) *feed {
	for {
		r.mu.Lock()
		f := r.feeds[id]
		if f == nil {
			f, _ = r.newFeed(id, protocol.Chain{}) // an empty one has nothing to read
			r.feeds[id] = f
		}
		r.mu.Unlock()
		f.mu.Lock()
		if !f.gone {
			return f
		}
		f.mu.Unlock()
	}
}

// forget drops the empty state of a feed that nothing was taken for.
// Called with f.mu held.
func (r *Replica) forget(f *feed) {
	if f.tip.Seq != 0 || f.broken {
		return
	}
	f.gone = true
	r.mu.Lock()
	if r.feeds[f.id] == f {
		delete(r.feeds, f.id)
	}
	r.mu.Unlock()
}

// allFeeds lists the feeds, in no order; some may be empty still.
func (r *Replica) allFeeds() []*feed {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*feed, 0, len(r.feeds))
	for _, f := range r.feeds {
		out = append(out, f)
	}
	return out
}

// chain is the feed as far as it is durable.
func (f *feed) chain() protocol.Chain {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable
}

// heal reloads a feed after a failed commit. Called with f.mu held.
func (f *feed) heal(r *Replica) error {
	if !f.broken {
		return nil
	}
	c, _, err := r.o.Disk.Chain(f.id)
	if err == nil {
		err = f.set(r, c)
	}
	if err != nil {
		return err
	}
	f.broken = false
	return nil
}

// settle notes that the links up to c are durable, and whether the last of them
// came without something that is due here: the feed may have been reloaded
// since, from a disk that did not have it.
func (f *feed) settle(c protocol.Chain, lacks bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Seq > f.durable.Seq {
		if lacks {
			f.lacking[c.Seq] = true
		}
		c.Held = heldAfter(c.Held, f.released)
		f.durable = c
		f.version++
	}
}

func (f *feed) fail() {
	f.mu.Lock()
	f.broken = true
	f.mu.Unlock()
}

// whole is the seq up to which everything that is due here is durable. Called
// with f.mu held.
func (f *feed) whole() uint64 {
	w := f.durable.Seq
	for s := range f.lacking {
		w = min(w, s-1)
	}
	return w
}

// record reads a durable record. What turns out to be lost is noted, so that
// it is asked for again and not vouched for. The record may come beside an
// error: then sections of it are lost.
func (r *Replica) record(f *feed, seq uint64) (*protocol.Record, error) {
	rec, err := r.o.Disk.Record(f.id, seq)
	if err != nil {
		f.mu.Lock()
		if seq > 0 && seq <= f.durable.Seq {
			f.lacking[seq] = true
		}
		f.mu.Unlock()
	}
	return rec, err
}

// recheck looks whether something that was lacking is whole now, and returns
// the record if so.
func (r *Replica) recheck(f *feed, seq uint64) *protocol.Record {
	rec, err := r.record(f, seq)
	if err != nil {
		return nil
	}
	c := f.chain()
	e, err := r.due(f.id, &c, rec)
	if err != nil || len(rec.Missing(e)) > 0 {
		return nil
	}
	f.mu.Lock()
	delete(f.lacking, seq)
	f.version++
	f.mu.Unlock()
	return rec
}

// keyOf returns the key record's facts that govern a record of a feed, nil
// where it has none (a refused key). An error says that the key record cannot
// be read here.
func (r *Replica) keyOf(id protocol.FeedID, c *protocol.Chain, rec *protocol.Record) (*protocol.KeyLink, error) {
	core := rec.Core()
	if core.Key != nil {
		if rec.State() == protocol.Refused {
			return nil, nil
		}
		k, _ := protocol.KeyLinkOf(core)
		return &k, nil
	}
	if c.Key.Seq == core.Data.Key {
		return &c.Key, nil
	}
	if k, ok := r.keys.link(id, core.Data.Key); ok {
		return k, nil
	}
	kr, err := r.o.Disk.Record(id, core.Data.Key)
	if kr == nil {
		if core.Data.Key > c.Seq {
			return nil, nil // a refused record names what it likes
		}
		return nil, err
	}
	k, ok := protocol.KeyLinkOf(kr.Core())
	if !ok || kr.State() == protocol.Refused {
		return nil, nil
	}
	r.keys.putLink(id, &k)
	return &k, nil
}

// entitledBy is [protocol.Entitles] for a record of a feed with this chain.
func (r *Replica) entitledBy(id protocol.FeedID, c *protocol.Chain, rec *protocol.Record, org protocol.OrgID) protocol.Entitlement {
	key, _ := r.keyOf(id, c, rec) // without its key nobody but the author gets a section
	return protocol.Entitles(r.members(), c, key, rec.Core(), rec.State(), org)
}

// due is what of a record belongs here. Without its key record that cannot be
// said.
func (r *Replica) due(id protocol.FeedID, c *protocol.Chain, rec *protocol.Record) (protocol.Entitlement, error) {
	key, err := r.keyOf(id, c, rec)
	if err != nil {
		return protocol.Entitlement{}, fmt.Errorf("read key record: %w", err)
	}
	return protocol.Entitles(r.members(), c, key, rec.Core(), rec.State(), r.o.Org), nil
}

// entitled is entitledBy for the feed as it is now.
func (r *Replica) entitled(f *feed, rec *protocol.Record, org protocol.OrgID) protocol.Entitlement {
	f.mu.Lock()
	c := f.tip
	f.mu.Unlock()
	return r.entitledBy(f.id, &c, rec, org)
}

// readersOf lists the organisations that are due something of a feed: its
// author's, its audience, and its custodians.
func readersOf(c *protocol.Chain) []protocol.OrgID {
	out := append([]protocol.OrgID{c.Author}, c.Audience.Orgs...)
	for _, k := range c.Custody {
		if k.End == 0 {
			out = append(out, k.Org)
		}
	}
	slices.SortFunc(out, protocol.OrgID.Compare)
	return slices.Compact(out)
}

// receipt signs what this node vouches for of a feed; false where that is
// nothing.
func (r *Replica) receipt(f *feed) (protocol.SignedReceipt, bool) {
	body, ok := r.vouch(f)
	if !ok {
		return protocol.SignedReceipt{}, false
	}
	return protocol.SignReceipt(r.o.Key, body), true
}

// vouch is what a receipt may say of a feed now; false where it has nothing to
// say.
func (r *Replica) vouch(f *feed) (protocol.Receipt, bool) {
	f.mu.Lock()
	seq, c := f.whole(), f.durable
	f.mu.Unlock()
	if seq == 0 {
		return protocol.Receipt{}, false
	}
	head := c.Head
	if seq < c.Seq {
		rec, _ := r.record(f, seq)
		if rec == nil {
			return protocol.Receipt{}, false
		}
		head = rec.ID()
	}
	return r.vouchTo(f.id, &c, seq, head), true
}

func (r *Replica) vouchTo(id protocol.FeedID, c *protocol.Chain, seq uint64, head protocol.RecordID) protocol.Receipt {
	out := protocol.Receipt{Version: protocol.Version, Network: r.network, Org: r.o.Org, Node: r.o.Node, Feed: id, Seq: seq, Head: head}
	for _, x := range c.Refused {
		if x.From <= seq {
			x.To = min(x.To, seq)
			out.Refused = append(out.Refused, x)
		}
	}
	for _, x := range c.Held {
		if x.From <= seq {
			x.To = min(x.To, seq)
			out.Held = append(out.Held, x)
		}
	}
	return out
}

// loadReceipts reads a feed's receipts from disk once. Called with f.mu held.
// Receipts that are lost come again from those who hold them.
func (f *feed) loadReceipts(r *Replica) {
	if f.loaded {
		return
	}
	list, err := r.o.Disk.Receipts(f.id)
	if err != nil {
		r.o.Log.Warn("receipts were lost; they are taken again from peers", "feed", f.id.Short(), "err", err)
	}
	m := r.members()
	for _, s := range list {
		// Verified before it was stored; a node revoked since no longer counts.
		if got, err := s.Verify(m); err == nil && got.Seq > f.receipts[got.Node].Seq {
			f.receipts[got.Node] = got
		}
	}
	f.loaded = true
}

// rejudge releases the held links of authors whose suspension has ended: they
// become links like others, are shown, and receipts vouch for them.
func (r *Replica) rejudge(ctx context.Context) {
	r.mu.Lock()
	moved := r.moved
	r.moved = false
	r.mu.Unlock()
	if !moved {
		return
	}
	for _, f := range r.allFeeds() {
		if ctx.Err() != nil {
			return
		}
		if err := r.release(f); err != nil {
			r.o.Log.Warn("held records are not released yet", "feed", f.id.Short(), "err", err)
			r.mu.Lock()
			r.moved = true // try again
			r.mu.Unlock()
		}
	}
}

func (r *Replica) release(f *feed) error {
	m := r.members()
	f.mu.Lock()
	if len(f.tip.Held) == 0 {
		f.mu.Unlock()
		return nil
	}
	if n, ok := m.NodeAt(f.tip.Node, m.Size()); !ok || n.Status == protocol.Suspended || n.Status == protocol.Revoked {
		f.mu.Unlock()
		return nil
	}
	if err := f.heal(r); err != nil {
		f.mu.Unlock()
		return err
	}
	held := f.tip.Held
	var change Change
	for _, x := range held {
		change.Releases = append(change.Releases, Release{f.id, x.From, x.To})
	}
	f.tip.Held, f.released = nil, f.tip.Seq
	upTo := f.released
	wait := r.o.Disk.Enqueue(change)
	f.mu.Unlock()
	if err := wait(); err != nil {
		f.fail()
		return err
	}
	f.mu.Lock()
	f.durable.Held = heldAfter(f.durable.Held, upTo)
	f.version++
	f.mu.Unlock()
	r.o.Log.Info("held records are released", "feed", f.id.Short())
	for _, x := range held {
		for seq := x.From; seq <= x.To; seq++ {
			if rec, err := r.record(f, seq); err == nil {
				r.o.OnRecord(rec)
			}
		}
	}
	if rc, ok := r.receipt(f); ok {
		r.passOn(f, rc, r.o.Node)
	}
	return nil
}

// heldAfter drops from a list of held ranges what is at or below a seq.
func heldAfter(held []protocol.Range, seq uint64) (out []protocol.Range) {
	for _, x := range held {
		if x.To > seq {
			out = append(out, protocol.Range{From: max(x.From, seq+1), To: x.To})
		}
	}
	return out
}

var errStale = errors.New("an equal or newer receipt is held")
