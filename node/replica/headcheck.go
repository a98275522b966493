package replica

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// flagReplaced marks, on disk, a node whose disk was found to be older than
// what it had published: fetching the rest must not make it look whole.
const flagReplaced = "replaced"

// writeState is what the head check has learned since the start.
type writeState struct {
	replaced bool
	flagged  bool // … and the mark is durable
	start    time.Time
	heard    map[protocol.NodeID]protocol.OrgID // nodes that answered, and could be sure
	met      bool                               // frontiers were compared with another node of the own organisation
}

// mayWrite is nil unless this node must be replaced.
func (r *Replica) mayWrite() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.replaced {
		return ErrReplaced
	}
	return nil
}

// siblings counts the other active nodes of an organisation; this node is not
// one of its own.
func (r *Replica) siblings() (n int) {
	for _, s := range r.members().Nodes(r.o.Org) {
		if s.ID != r.o.Node && s.Status == protocol.Active {
			n++
		}
	}
	return n
}

// keepersOf lists the organisations of which one must have answered before a
// draft becomes a record: the active custodians under its feed's newest key,
// or, of a feed that is not here, those that the draft names; without any,
// those that it is addressed to.
func (r *Replica) keepersOf(d Draft) (orgs []protocol.OrgID, custodians bool) {
	m := r.members()
	active := func(list []protocol.OrgID) (out []protocol.OrgID) {
		for _, o := range list {
			if org, ok := m.OrgAt(o, m.Size()); ok && o != r.o.Org && org.Status == protocol.Active {
				out = append(out, o)
			}
		}
		return out
	}
	if f := r.feed(protocol.FeedIDOf(r.network, r.o.Node, d.Audience)); f != nil {
		c := f.chain()
		if orgs = active(c.Key.Custodians); len(orgs) > 0 {
			return orgs, true
		}
	}
	if orgs = active(d.Custodians); len(orgs) > 0 {
		return orgs, true
	}
	return active(d.Audience.Orgs), false
}

// holdBack says why a draft may not become a record yet; "" where it may.
func (r *Replica) holdBack(d Draft) string {
	keepers, custodians := r.keepersOf(d)
	m := r.members()
	if self, _ := m.OrgAt(r.o.Org, m.Size()); len(keepers) == 0 && self.Class == protocol.ClassSecretariat && slices.Equal(d.Audience.Orgs, []protocol.OrgID{r.o.Org}) {
		if r.siblings() == 0 {
			return "" // a lone secretariat's own feed has nobody to ask
		}
		keepers = []protocol.OrgID{r.o.Org}
	}
	r.mu.Lock()
	start := r.state.start
	heard := map[protocol.OrgID]bool{}
	for _, o := range r.state.heard {
		heard[o] = true
	}
	r.mu.Unlock()
	if !slices.ContainsFunc(keepers, func(o protocol.OrgID) bool { return heard[o] }) {
		if custodians {
			return "no custodian has answered since this node started"
		}
		return "no organisation that it is addressed to has answered since this node started"
	}
	since := r.o.Now().Sub(start)
	if since >= 2*r.o.HeadWait {
		return ""
	}
	// Besides, whoever may hold a record of ours that we lack is waited for:
	// the readers of our feeds for a while, and of this one who is connected;
	// then those who came in that time and have not answered yet, as long
	// again, since nobody's silence may stop us for ever.
	readers := map[protocol.OrgID]bool{}
	for _, o := range d.Audience.Orgs {
		readers[o] = true
	}
	for _, f := range r.allFeeds() {
		c := f.chain()
		if c.Node != r.o.Node || !f.old {
			continue
		}
		for _, o := range append(slices.Clone(c.Audience.Orgs), c.Key.Custodians...) {
			readers[o] = true
			org, ok := m.OrgAt(o, m.Size())
			if since < r.o.HeadWait && ok && o != r.o.Org && org.Status == protocol.Active && !heard[o] {
				return "waiting for the nodes that it is addressed to, after a start"
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.peers {
		_, answered := r.state.heard[id]
		if readers[p.node.Org] && !answered && !p.unsure.Load() && p.since.Sub(start) < r.o.HeadWait {
			return "waiting for the answer of a node that it is addressed to, after a start"
		}
	}
	return ""
}

// Checked reports whether the head check has an answer from anybody.
func (r *Replica) Checked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.state.heard) > 0
}

// Replaced reports whether this node writes no more.
func (r *Replica) Replaced() bool { return r.mayWrite() != nil }

// checkHeads asks a peer which of this node's feeds it holds and how far. It
// reports whether the peer could be sure of it.
func (r *Replica) checkHeads(ctx context.Context, p *peer) (sure bool, err error) {
	req := FetchRequest{Own: true}
	sure = true
	for {
		a, err := r.fetch(ctx, p.node.ID, req)
		if err != nil {
			return false, err
		}
		sure = sure && !a.Unsure
		for _, h := range a.Heads {
			if h.Feed.Compare(req.Feed) <= 0 {
				return false, fmt.Errorf("check heads: %w", ErrPeer)
			}
			if err := r.checkHead(ctx, p, h); err != nil {
				return false, err
			}
			req.Feed = h.Feed
		}
		if !a.More || len(a.Heads) == 0 {
			break
		}
	}
	p.unsure.Store(!sure)
	if sure {
		r.mu.Lock()
		r.state.heard[p.node.ID] = p.node.Org
		r.mu.Unlock()
	}
	r.poke()
	return sure, nil
}

// checkHead compares one head that a peer told with ours. Only a record under
// our own valid signature proves anything.
func (r *Replica) checkHead(ctx context.Context, p *peer, h FeedHead) error {
	if protocol.VerifyCore(r.o.Key.Public(), r.network, h.Core, h.Sig) != nil {
		return nil
	}
	core, err := protocol.Decode[protocol.Core](h.Core, protocol.MaxCore)
	if err != nil || core.Node != r.o.Node || protocol.FeedIDOf(r.network, core.Node, core.Audience) != h.Feed {
		return nil
	}
	var tip uint64
	if f := r.feed(h.Feed); f != nil {
		f.mu.Lock()
		tip = f.tip.Seq
		f.mu.Unlock()
	}
	if core.Seq <= tip {
		have, _ := r.o.Disk.Record(h.Feed, core.Seq)
		if have == nil || have.ID() == protocol.RecordIDOf(r.network, h.Core) {
			return nil
		}
		if s, err := protocol.Open(r.members(), protocol.Envelope{Core: h.Core, Signature: h.Sig}); err == nil {
			if proof, ok := protocol.NewFork(have.SignedRecord(), s); ok {
				r.keepFork(h.Feed, *proof)
			}
		}
		return r.markReplaced()
	}
	if err := r.markReplaced(); err != nil {
		return err
	}
	if err := r.fetchRange(ctx, p, h.Feed, tip+1, core.Seq); err != nil {
		r.o.Log.Warn("records that this node wrote and lacks are not all fetched yet", "feed", h.Feed.Short(), "err", err)
	}
	return nil
}

// markReplaced stops this node's writing for good.
func (r *Replica) markReplaced() error {
	r.mu.Lock()
	was, flagged := r.state.replaced, r.state.flagged
	r.state.replaced = true
	r.mu.Unlock()
	if !was {
		r.o.Log.Error("this node's disk is older than what it has published, or its key is used elsewhere: it writes no more and must be replaced")
	}
	if flagged {
		return nil
	}
	if err := r.o.Disk.Enqueue(Change{Flags: map[string][]byte{flagReplaced: {1}}})(); err != nil {
		return err
	}
	r.mu.Lock()
	r.state.flagged = true
	r.mu.Unlock()
	return nil
}

// ownHeads answers a peer's head check: the heads of the feeds that its own
// node wrote, after a feed ID, in order of ID. A node that has others beside it
// and has not compared with any of them since its start cannot be sure, nor one
// that cannot read what it holds.
func (r *Replica) ownHeads(from protocol.Node, after protocol.FeedID) (out FetchAnswer) {
	r.mu.Lock()
	met := r.state.met
	r.mu.Unlock()
	out.Unsure = !met && from.Org != r.o.Org && r.siblings() > 0
	var ids []*feed
	for _, f := range r.allFeeds() {
		c := f.chain()
		if c.Node == from.ID && c.Seq > 0 && f.id.Compare(after) > 0 {
			ids = append(ids, f)
		}
	}
	sortFeeds(ids)
	for _, f := range ids {
		if len(out.Heads) == maxOwnHeads {
			out.More = true
			break
		}
		c := f.chain()
		rec, _ := r.record(f, c.Seq)
		if rec == nil {
			out.Unsure = true
			continue
		}
		out.Heads = append(out.Heads, FeedHead{Feed: f.id, Seq: c.Seq, Head: rec.ID(), Core: rec.CoreBytes(), Sig: crypto.Signature(rec.Signature())})
	}
	return out
}
