package replica

import (
	"errors"
	"slices"
	"sync"

	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// feed is one feed's state in memory. tip runs ahead of the disk by what is
// enqueued; durable does not.
type feed struct {
	id protocol.FeedID

	mu      sync.Mutex
	tip     protocol.Chain
	durable protocol.Chain
	lacking map[uint64]bool // links at or below durable with sections missing here
	broken  bool            // a commit failed: reload from disk before going on
	keys    []seal.FeedKey  // own feeds: of tip.Key, by set; nil until opened

	receipts map[protocol.NodeID]protocol.Receipt // newest durable ones
	loaded   bool                                 // receipts are read from disk
	waiters  []*waiter
}

// waiter waits until a node vouches for a seq.
type waiter struct {
	seq  uint64
	node protocol.NodeID
	done chan struct{}
}

func (r *Replica) newFeed(id protocol.FeedID, c protocol.Chain) (*feed, error) {
	f := &feed{id: id, tip: c, durable: c, lacking: map[uint64]bool{}, receipts: map[protocol.NodeID]protocol.Receipt{}}
	if c.Seq > 0 {
		seqs, err := r.o.Disk.Lacking(id)
		if err != nil {
			return nil, err
		}
		for _, s := range seqs {
			f.lacking[s] = true
		}
	}
	return f, nil
}

// feed returns a feed's state, nil where there is none and make is false.
func (r *Replica) feed(id protocol.FeedID, make bool) *feed {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.feeds[id]
	if f == nil && make {
		f, _ = r.newFeed(id, protocol.Chain{})
		r.feeds[id] = f
	}
	return f
}

func (r *Replica) allFeeds() []*feed {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*feed, 0, len(r.feeds))
	for _, f := range r.feeds {
		out = append(out, f)
	}
	return out
}

// heal reloads a feed after a failed commit. Called with f.mu held.
func (f *feed) heal(r *Replica) error {
	if !f.broken {
		return nil
	}
	c, _, err := r.o.Disk.Chain(f.id)
	if err != nil {
		return err
	}
	f.tip, f.durable, f.keys, f.broken = c, c, nil, false
	return nil
}

// settle notes that the links up to c are durable; lack says that the last
// one has sections missing.
func (f *feed) settle(c protocol.Chain, lack bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Seq > f.durable.Seq {
		f.durable = c
	}
	if lack {
		f.lacking[c.Seq] = true
	}
}

func (f *feed) fail() {
	f.mu.Lock()
	f.broken = true
	f.mu.Unlock()
}

// whole is the seq up to which every section that is due is durable, and the
// refusals and held ranges up to there.
func (f *feed) whole() uint64 {
	w := f.durable.Seq
	for s := range f.lacking {
		w = min(w, s-1)
	}
	return w
}

// keyFor returns the key record's facts that govern a record of this feed,
// nil where it has none (a refused key).
func (r *Replica) keyFor(f *feed, rec *protocol.Record) *protocol.KeyLink {
	core := rec.Core()
	if core.Key != nil {
		if rec.State() == protocol.Refused {
			return nil
		}
		k, _ := protocol.KeyLinkOf(core)
		return &k
	}
	f.mu.Lock()
	tip := f.tip.Key
	f.mu.Unlock()
	if tip.Seq == core.Data.Key {
		return &tip
	}
	if k, ok := r.keys.link(f.id, core.Data.Key); ok {
		return k
	}
	kr, err := r.o.Disk.Record(f.id, core.Data.Key)
	if err != nil || kr.State() == protocol.Refused {
		return nil
	}
	k, ok := protocol.KeyLinkOf(kr.Core())
	if !ok {
		return nil
	}
	r.keys.putLink(f.id, &k)
	return &k
}

// entitled is [protocol.Entitles] for a record of this feed.
func (r *Replica) entitled(f *feed, rec *protocol.Record, org protocol.OrgID) protocol.Entitlement {
	key := r.keyFor(f, rec)
	f.mu.Lock()
	c := f.tip
	f.mu.Unlock()
	return protocol.Entitles(r.members(), &c, key, rec.Core(), rec.State(), org)
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

// receipt signs this node's word for a feed; false where it has nothing to
// vouch for.
func (r *Replica) receipt(f *feed) (protocol.SignedReceipt, bool) {
	f.mu.Lock()
	seq, c := f.whole(), f.durable
	f.mu.Unlock()
	if seq == 0 {
		return protocol.SignedReceipt{}, false
	}
	head := c.Head
	if seq < c.Seq {
		rec, err := r.o.Disk.Record(f.id, seq)
		if err != nil {
			return protocol.SignedReceipt{}, false
		}
		head = rec.ID()
	}
	out := protocol.Receipt{Version: protocol.Version, Network: r.network, Org: r.o.Org, Node: r.o.Node, Feed: f.id, Seq: seq, Head: head}
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
	return protocol.SignReceipt(r.o.Key, out), true
}

// loadReceipts reads a feed's receipts from disk once. Called with f.mu held.
func (f *feed) loadReceipts(r *Replica) error {
	if f.loaded {
		return nil
	}
	list, err := r.o.Disk.Receipts(f.id)
	if err != nil {
		return err
	}
	m := r.members()
	for _, s := range list {
		// Verified before it was stored; a node revoked since no longer counts.
		if got, err := s.Verify(m); err == nil && got.Seq > f.receipts[got.Node].Seq {
			f.receipts[got.Node] = got
		}
	}
	f.loaded = true
	return nil
}

var errStale = errors.New("an equal or newer receipt is held")
