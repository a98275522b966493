package replica

import (
	"github.com/national-alliance/alliance/protocol"
)

// forkOf returns the proof against a feed's author node, if there is one.
func (r *Replica) forkOf(id protocol.FeedID) (protocol.Fork, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.forks[id]
	return f, ok
}

// keepFork keeps a verified proof, tells the others that hold the feed, and
// stops this node's writing where it is its own. Called with the feed's mu
// held.
func (r *Replica) keepFork(id protocol.FeedID, proof protocol.Fork) {
	r.mu.Lock()
	if _, known := r.forks[id]; known {
		r.mu.Unlock()
		return
	}
	r.forks[id] = proof
	f := r.feeds[id]
	r.mu.Unlock()
	r.o.Log.Error("a node signed two records at one place of a feed: the proof is kept, and no more of that feed is taken until the node is replaced", "feed", id.Short())
	done := r.o.Disk.Enqueue(Change{Forks: []ForkOf{{id, proof}}})
	if f == nil {
		return
	}
	c := f.tip
	if c.Node == r.o.Node {
		r.markReplaced()
	}
	go func() { // told once it is durable here
		if <-done != nil {
			return
		}
		m := r.members()
		for _, p := range r.connected() {
			if protocol.EntitledFeed(m, &c, p.node.Org) > 0 {
				r.sendBatch(p, ReceiptBatch{Forks: []protocol.Fork{proof}})
			}
		}
	}()
}

// Forks lists the feeds that have a fork proof.
func (r *Replica) Forks() map[protocol.FeedID]protocol.Fork {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[protocol.FeedID]protocol.Fork, len(r.forks))
	for k, v := range r.forks {
		out[k] = v
	}
	return out
}

// spread helps the audience of a record that came here as to a custodian or a
// further node: peers that may lack it compare frontiers soon.
func (r *Replica) spread(f *feed, rec *protocol.Record) {
	if rec.Core().Node == r.o.Node {
		return
	}
	for _, p := range r.connected() {
		if p.node.ID != rec.Core().Node && r.entitled(f, rec, p.node.Org).Core {
			p.spreadSoon(r)
		}
	}
}
