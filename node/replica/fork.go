package replica

import (
	"fmt"

	"github.com/national-alliance/alliance/protocol"
)

// fork is a verified proof against a feed's author node.
type fork struct {
	proof protocol.Fork
	at    protocol.Core // of one of the two
}

func newFork(p protocol.Fork) (fork, error) {
	core, err := protocol.Decode[protocol.Core](p.A.Core, protocol.MaxCore)
	if err != nil {
		return fork{}, fmt.Errorf("read fork proof: %w", err)
	}
	return fork{p, core}, nil
}

// chain is as much of the feed as the proof shows.
func (k fork) chain() protocol.Chain {
	return protocol.Chain{Author: k.at.Author, Node: k.at.Node, Audience: k.at.Audience, Seq: k.at.Seq}
}

// forkOf returns the proof against a feed's author node, if there is one.
func (r *Replica) forkOf(id protocol.FeedID) (fork, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.forks[id]
	return f, ok
}

// forkedAt reports whether a feed is known to part at or before a seq: until
// its author's node is replaced nothing from there on is taken.
func (r *Replica) forkedAt(id protocol.FeedID, seq uint64) bool {
	k, ok := r.forkOf(id)
	return ok && seq >= k.at.Seq
}

// keepFork keeps a verified proof, tells the others that may have the feed, and
// stops this node's writing where it is its own. It may be called with a
// feed's mu held.
func (r *Replica) keepFork(id protocol.FeedID, proof protocol.Fork) {
	k, err := newFork(proof)
	if err != nil {
		return
	}
	r.mu.Lock()
	if _, known := r.forks[id]; known {
		r.mu.Unlock()
		return
	}
	r.forks[id] = k
	r.mu.Unlock()
	r.o.Log.Error("a node signed two records at one place of a feed: the proof is kept, and no more of that feed is taken until the node is replaced", "feed", id.Short(), "node", k.at.Node.Short())
	if k.at.Node == r.o.Node {
		r.markReplaced()
	}
	wait := r.o.Disk.Enqueue(Change{Forks: []ForkOf{{id, proof}}})
	go func() { // told once it is durable here
		if err := wait(); err != nil {
			r.o.Log.Error("a fork proof is not kept on disk yet", "feed", id.Short(), "err", err)
			r.mu.Lock()
			delete(r.forks, id) // it is found again, and kept then
			r.mu.Unlock()
			return
		}
		for _, p := range r.connected() {
			r.tellForks(p)
		}
		// Both that write under the one key are told, each on its own stream: a
		// call reaches only one of them.
		b := protocol.Encode(PushAnswer{Forks: []protocol.Fork{proof}})
		for _, s := range r.pushesOf(k.at.Node) {
			s.Write(b)
		}
	}()
}

func (r *Replica) pushesOf(id protocol.NodeID) (out []Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, n := range r.pushes {
		if n == id {
			out = append(out, s)
		}
	}
	return out
}

// forkFor returns the proof against a feed, for an organisation that is due
// something of the feed.
func (r *Replica) forkFor(id protocol.FeedID, org protocol.OrgID) (fork, bool) {
	k, ok := r.forkOf(id)
	if !ok {
		return k, false
	}
	c := k.chain()
	if f := r.feed(id); f != nil {
		c = f.chain()
	}
	return k, protocol.EntitledFeed(r.members(), &c, org) > 0
}

// tellForks hands a peer the proofs that concern it and that it was not handed
// on this connection.
func (r *Replica) tellForks(p *peer) {
	r.mu.Lock()
	forks := make(map[protocol.FeedID]fork, len(r.forks))
	for id, k := range r.forks {
		forks[id] = k
	}
	r.mu.Unlock()
	for id := range forks {
		k, ok := r.forkFor(id, p.node.Org)
		if !ok {
			continue
		}
		p.mu.Lock()
		told := p.forks[id]
		p.forks[id] = true
		p.mu.Unlock()
		if !told {
			r.sendBatch(p, ReceiptBatch{Forks: []protocol.Fork{k.proof}})
		}
	}
}

// takeFork takes a proof that a peer brought. One of a feed that is none of
// this organisation's business is dropped.
func (r *Replica) takeFork(proof protocol.Fork) error {
	m := r.members()
	id, _, _, err := proof.Verify(m)
	if err != nil {
		return err
	}
	k, err := newFork(proof)
	if err != nil {
		return err
	}
	c := k.chain()
	if f := r.feed(id); f != nil {
		c = f.chain()
	}
	if protocol.EntitledFeed(m, &c, r.o.Org) > 0 {
		r.keepFork(id, protocol.Fork{A: bare(proof.A), B: bare(proof.B)})
	}
	return nil
}

func bare(e protocol.Envelope) protocol.Envelope {
	return protocol.Envelope{Core: e.Core, Signature: e.Signature}
}

// Forks lists the feeds that have a fork proof.
func (r *Replica) Forks() map[protocol.FeedID]protocol.Fork {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[protocol.FeedID]protocol.Fork, len(r.forks))
	for id, k := range r.forks {
		out[id] = k.proof
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
		if p.node.ID != rec.Core().Node && !p.spread.Load() && r.entitled(f, rec, p.node.Org).Core {
			p.spreadSoon(r)
		}
	}
}
