package replica

import (
	"context"
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
	start    time.Time
	heard    map[protocol.OrgID]bool // organisations of which one did
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

// holdBack says why a feed may not be written yet; "" where it may.
func (r *Replica) holdBack(a protocol.Audience, custodians bool) string {
	m := r.members()
	self, _ := m.OrgAt(r.o.Org, m.Size())
	if self.Class == protocol.ClassSecretariat && len(a.Orgs) == 1 && a.Orgs[0] == r.o.Org && !custodians {
		return "" // a lone secretariat's own feed has nobody to ask
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !custodians {
		for _, o := range a.Orgs {
			if o != r.o.Org && r.state.heard[o] {
				return ""
			}
		}
		return "no organisation that it is addressed to has answered since this node started"
	}
	kept := false
	for o := range r.state.heard {
		org, ok := m.OrgAt(o, m.Size())
		kept = kept || ok && o != r.o.Org && protocol.MayKeep(org)
	}
	if !kept {
		return "no custodian has answered since this node started"
	}
	if r.o.Now().Sub(r.state.start) >= r.o.HeadWait {
		return ""
	}
	// Inside the wait every connected node of an audience must have answered;
	// outside it, those that never connected are not waited for.
	for _, f := range r.feeds {
		if f.tip.Node != r.o.Node {
			continue
		}
		for _, o := range f.tip.Audience.Orgs {
			if o != r.o.Org && !r.state.heard[o] {
				return "waiting for the nodes that it is addressed to, after a start"
			}
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

// checkHeads asks a peer which of this node's feeds it holds and how far.
func (r *Replica) checkHeads(ctx context.Context, p *peer) error {
	req := FetchRequest{Own: true}
	for {
		b, err := r.o.Net.Call(ctx, p.node.ID, ProtoFetch, protocol.Encode(req))
		if err != nil {
			return err
		}
		a, err := protocol.Decode[FetchAnswer](b, maxWireFrame)
		if err != nil {
			return err
		}
		for _, h := range a.Heads {
			if err := r.checkHead(ctx, p, h); err != nil {
				return err
			}
			req.Feed = h.Feed
		}
		if !a.More || len(a.Heads) == 0 {
			break
		}
	}
	r.mu.Lock()
	r.state.heard[p.node.Org] = true
	r.mu.Unlock()
	r.poke()
	return nil
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
	id := protocol.RecordIDOf(r.network, h.Core)
	f := r.feed(h.Feed, true)
	f.mu.Lock()
	tip := f.tip
	f.mu.Unlock()
	if core.Seq <= tip.Seq {
		have, err := r.o.Disk.Record(h.Feed, core.Seq)
		if err != nil || have.ID() == id {
			return nil
		}
	}
	if err := r.markReplaced(); err != nil {
		return err
	}
	r.fetchRange(ctx, p, h.Feed, tip.Seq+1, core.Seq)
	return nil
}

// markReplaced stops this node's writing for good.
func (r *Replica) markReplaced() error {
	r.mu.Lock()
	was := r.state.replaced
	r.state.replaced = true
	r.mu.Unlock()
	if was {
		return nil
	}
	r.o.Log.Error("this node's disk is older than what it has published, or its key is used elsewhere: it writes no more and must be replaced")
	return <-r.o.Disk.Enqueue(Change{Flags: map[string][]byte{flagReplaced: {1}}})
}

// ownHeads answers a peer's head check: the heads of the feeds that its own
// node wrote, after a feed ID, in order of ID.
func (r *Replica) ownHeads(from protocol.Node, after protocol.FeedID) (out FetchAnswer) {
	var ids []*feed
	for _, f := range r.allFeeds() {
		f.mu.Lock()
		mine := f.durable.Node == from.ID && f.durable.Seq > 0 && f.id.Compare(after) > 0
		f.mu.Unlock()
		if mine {
			ids = append(ids, f)
		}
	}
	sortFeeds(ids)
	for _, f := range ids {
		if len(out.Heads) == maxOwnHeads {
			out.More = true
			break
		}
		f.mu.Lock()
		seq := f.durable.Seq
		f.mu.Unlock()
		rec, err := r.o.Disk.Record(f.id, seq)
		if err != nil {
			continue
		}
		out.Heads = append(out.Heads, FeedHead{Feed: f.id, Seq: seq, Head: rec.ID(), Core: rec.CoreBytes(), Sig: crypto.Signature(rec.Signature())})
	}
	return out
}
