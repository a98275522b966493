package replica

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/time/rate"

	"github.com/national-alliance/alliance/protocol"
)

// taken is what became of one arriving record.
type taken struct {
	verdict Verdict
	code    uint64
	want    []uint64
	wait    func() error // until it is durable; nil where nothing was committed
	feed    *feed        // nil where nothing is to be settled
	seq     uint64
	chain   protocol.Chain // of a new link; Seq 0 where it is none
	rec     *protocol.Record
	bad     bool // bytes came that are not the section's
	apart   bool // it follows another record than the one held
	mended  bool // nothing of it lacks after all
}

func refused(code uint64) taken { return taken{verdict: Refuse, code: code} }

// take verifies a signed record that came from a peer, checks that this
// organisation may have it, and enqueues it. sections are the bytes that came
// with it, by index.
func (r *Replica) take(s *protocol.Signed, sections [][]byte) taken {
	f := r.lockFeed(s.Feed())
	defer f.mu.Unlock()
	t := r.takeIn(f, s, sections)
	r.forget(f)
	return t
}

func (r *Replica) takeIn(f *feed, s *protocol.Signed, sections [][]byte) taken {
	if err := f.heal(r); err != nil {
		return refused(RefusedBusy)
	}
	core := s.Core()
	if core.Node == r.o.Node && core.Seq > f.tip.Seq {
		// Our own hand, and we do not have it: this disk is old. What is
		// fetched must not make it look whole, so the mark comes first.
		if err := r.markReplaced(); err != nil {
			return refused(RefusedBusy)
		}
	}
	m := r.members()
	rec, chain, err := f.tip.Link(m, s)
	switch {
	case errors.Is(err, protocol.ErrKnown):
		return r.known(f, s, sections)
	case errors.Is(err, protocol.ErrDiverged):
		return taken{verdict: Gap, apart: true}
	case errors.Is(err, protocol.ErrGap):
		return taken{verdict: Gap}
	case err != nil:
		return refused(RefusedWait)
	}
	if r.forkedAt(f.id, core.Seq) {
		return refused(RefusedFork)
	}
	var key *protocol.KeyLink
	if rec.State() != protocol.Refused {
		key = &chain.Key
	}
	e := protocol.Entitles(m, &chain, key, core, rec.State(), r.o.Org)
	if !e.Core && core.Seq > protocol.EntitledFeed(m, &chain, r.o.Org) && core.Seq > r.expected(f.id) {
		return refused(RefusedNotOurs)
	}
	t := taken{verdict: Have, feed: f, seq: core.Seq, rec: rec, chain: chain}
	size := cost(s.Envelope().Core)
	for i, b := range sections {
		switch {
		case b == nil || !e.Section(i):
		case rec.Attach(i, b) != nil:
			t.bad = true
		default:
			size += len(b)
		}
	}
	r.authors.owe(core.Node, size)
	owe := rec.Missing(e)
	if len(owe) > 0 {
		t.wants(owe)
		f.lacking[core.Seq] = true
	}
	f.tip = chain
	t.wait = r.o.Disk.Enqueue(Change{Links: []Link{{rec, chain, owe}}})
	return t
}

func (t *taken) wants(missing []int) {
	for _, i := range missing {
		t.verdict = Want
		t.want = append(t.want, uint64(i))
	}
}

// expected is up to which seq cores of a feed are taken although nothing that
// is linked yet gives this organisation a right to it.
func (r *Replica) expected(id protocol.FeedID) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expect[id]
}

// expectCustody notes that a feed's author, in a signed key record, names this
// organisation a custodian: then it is due the feed's cores from 1 on, which it
// has to link before that key record.
func (r *Replica) expectCustody(s *protocol.Signed) bool {
	core := s.Core()
	if core.Key == nil || !slices.Contains(core.Key.Custodians, r.o.Org) {
		return false
	}
	m := r.members()
	if own, ok := m.OrgAt(r.o.Org, core.Size); !ok || !protocol.MayKeep(own) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.expect) >= maxExpected {
		clear(r.expect) // they are proven again when they are fetched again
	}
	r.expect[s.Feed()] = max(r.expect[s.Feed()], core.Seq)
	return true
}

// known handles a record whose place is taken: the same one, whose missing
// parts may come with it, or another one, which is a fork. Called with f.mu
// held.
func (r *Replica) known(f *feed, s *protocol.Signed, sections [][]byte) taken {
	core := s.Core()
	have, _ := r.o.Disk.Record(f.id, core.Seq)
	if have == nil {
		if core.Seq > f.durable.Seq {
			return taken{verdict: Have, feed: f, seq: core.Seq} // on its way to the disk
		}
		// Lost to damage: put it back if it is the one.
		f.lacking[core.Seq] = true
		wait, err := r.refill(f, s, sections)
		if err != nil {
			return refused(RefusedBusy)
		}
		return taken{verdict: Have, feed: f, seq: core.Seq, wait: wait}
	}
	if have.ID() != s.ID() {
		if proof, ok := protocol.NewFork(have.SignedRecord(), s); ok {
			r.keepFork(f.id, *proof)
		}
		return refused(RefusedFork)
	}
	if !f.lacking[core.Seq] {
		return taken{verdict: Have, feed: f, seq: core.Seq}
	}
	var list []Section
	for i, b := range sections {
		if b != nil {
			list = append(list, Section{uint64(i), b})
		}
	}
	return r.addSections(f, have, list)
}

// addSections stores those of the given sections that are due and missing.
// Called with f.mu held.
func (r *Replica) addSections(f *feed, rec *protocol.Record, list []Section) taken {
	t := taken{verdict: Have, feed: f, seq: rec.Core().Seq, rec: rec}
	e, err := r.due(f.id, &f.tip, rec)
	if err != nil {
		return refused(RefusedBusy)
	}
	var change Change
	size := 0
	for _, sec := range list {
		i := int(min(sec.Index, protocol.MaxSections))
		if !e.Section(i) || rec.Section(i) != nil {
			continue
		}
		if rec.Attach(i, sec.Bytes) != nil {
			t.bad = true
			continue
		}
		change.Sections = append(change.Sections, SectionOf{f.id, t.seq, i, sec.Bytes})
		size += len(sec.Bytes)
	}
	r.authors.owe(rec.Core().Node, size)
	missing := rec.Missing(e)
	t.wants(missing)
	switch {
	case len(change.Sections) > 0:
		t.wait = r.o.Disk.Enqueue(change)
	case len(missing) == 0:
		delete(f.lacking, t.seq) // it was not lost after all
		f.version++
		t.mended = true
	}
	return t
}

// refill puts back a link whose bytes were lost. The store compares it with
// the ID it kept apart; sections that are not due here stay out. Called with
// f.mu held.
func (r *Replica) refill(f *feed, s *protocol.Signed, sections [][]byte) (func() error, error) {
	rec, err := protocol.Reload(r.network, s.ID(), s.Envelope(), stateAt(&f.tip, s.Core().Seq), 0)
	if err != nil {
		return nil, err
	}
	e, err := r.due(f.id, &f.tip, rec)
	if err != nil {
		return nil, err
	}
	for i, b := range sections {
		if b != nil && e.Section(i) {
			rec.Attach(i, b)
		}
	}
	return r.o.Disk.Enqueue(Change{Refills: []Refill{{rec, rec.Missing(e)}}}), nil
}

// stateAt is what a feed's chain says a link is.
func stateAt(c *protocol.Chain, seq uint64) protocol.State {
	for _, x := range c.Refused {
		if x.From <= seq && seq <= x.To {
			return protocol.Refused
		}
	}
	for _, x := range c.Held {
		if x.From <= seq && seq <= x.To {
			return protocol.Held
		}
	}
	return protocol.Linked
}

// settle notes what became of a taken record's commit; it reports whether a
// receipt is due.
func (r *Replica) settle(t taken, err error) bool {
	if t.feed == nil {
		return false
	}
	if err != nil {
		if t.chain.Seq > 0 {
			t.feed.fail()
		}
		r.o.Log.Warn("record not kept", "feed", t.feed.id.Short(), "seq", t.seq, "err", err)
		return false
	}
	rec := t.rec
	switch {
	case t.chain.Seq > 0:
		if t.feed.settle(t.chain, t.verdict == Want); t.verdict != Have {
			rec = nil // told when the rest of it came
		}
	case t.wait != nil:
		rec = r.recheck(t.feed, t.seq)
	default:
		if t.mended && t.rec != nil {
			r.o.OnRecord(t.rec)
		}
		return t.verdict == Have
	}
	// Also where sections are still wanted: the last of them may come in
	// another frame that saw the same lack.
	if rec != nil {
		r.o.OnRecord(rec)
		r.spread(t.feed, rec)
	}
	return true
}

// ServePush takes what a peer pushes on one stream until it ends. The peer
// pays for what it sends: a quota of records, of which a dropped one costs
// many.
func (r *Replica) ServePush(ctx context.Context, from protocol.Node, s Stream) {
	defer s.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.pushes[s] = from.ID
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.pushes, s)
		r.mu.Unlock()
	}()
	r.o.Before(ctx, from.ID)
	quota := r.pushers.of(from.ID)
	st := r.settler(from.ID, s)
	defer st.end()
	for {
		b, err := s.Read()
		if err != nil || !r.speaks(from) {
			return
		}
		p, err := protocol.Decode[Push](b, MaxPushFrame)
		if err != nil {
			r.charge(ctx, quota, dropCost)
			s.Abuse() // what a stranger to the format sends is not read on
			return
		}
		if !r.charge(ctx, quota, 1) {
			return
		}
		t := r.takePush(p)
		switch {
		case t.bad || t.verdict == Refuse && t.code == RefusedDrop:
			r.charge(ctx, quota, dropCost)
		case t.verdict == Refuse && t.code == RefusedWait:
			// Perhaps its signature could not be checked at all.
			r.charge(ctx, quota, waitCost)
			r.o.OnAhead(from.ID)
		case t.verdict == Refuse:
			r.charge(ctx, quota, waitCost)
			if p := r.peer(from.ID); p != nil && t.code == RefusedBusy {
				p.spreadSoon(r)
			}
		case t.verdict == Gap:
			r.needRepair(from.ID)
		}
		if t.verdict == Gap || t.verdict == Refuse {
			a := t.answer(p.Feed, p.Seq)
			if k, ok := r.forkFor(p.Feed, from.Org); ok && t.code == RefusedFork {
				a.Forks = []protocol.Fork{k.proof}
			}
			if s.Write(protocol.Encode(a)) != nil {
				return
			}
		}
		if t.feed != nil {
			st.add(t)
		}
	}
}

func (t taken) answer(id protocol.FeedID, seq uint64) PushAnswer {
	return PushAnswer{Verdicts: []PushVerdict{{Feed: id, Seq: seq, Verdict: t.verdict, Code: t.code, Sections: t.want}}}
}

// charge takes tokens, waiting for them; false where ctx ended.
func (r *Replica) charge(ctx context.Context, q *rate.Limiter, n int) bool {
	return q.WaitN(ctx, min(n, q.Burst())) == nil
}

func (r *Replica) takePush(p Push) taken {
	if p.Record == nil {
		return r.takeSections(p)
	}
	if p.Sections != nil || inline(p.Record.Sections) > protocol.MaxInline {
		return refused(RefusedDrop)
	}
	s, err := protocol.Open(r.members(), protocol.Envelope{Core: p.Record.Core, Signature: p.Record.Signature})
	switch {
	case errors.Is(err, protocol.ErrWait):
		return refused(RefusedWait)
	case err != nil, s.Feed() != p.Feed, s.Core().Seq != p.Seq, len(p.Record.Sections) > len(s.Core().Sections()):
		return refused(RefusedDrop)
	}
	if r.news(s) && !r.authors.allow(s.Core().Node, 0) { // it owes for what came before
		return refused(RefusedBusy)
	}
	return r.take(s, p.Record.Sections)
}

// news reports whether a record is its feed's next here.
func (r *Replica) news(s *protocol.Signed) bool {
	seq := s.Core().Seq
	f := r.feed(s.Feed())
	if f == nil {
		return seq == 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return seq == f.tip.Seq+1
}

func inline(sections [][]byte) (n int) {
	for _, s := range sections {
		n += len(s)
	}
	return n
}

// takeSections adds sections that were wanted to a record that is here.
func (r *Replica) takeSections(p Push) taken {
	f := r.feed(p.Feed)
	if f == nil {
		return refused(RefusedNotOurs)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Seq == 0 || p.Seq > f.durable.Seq {
		return refused(RefusedNotOurs)
	}
	if !f.lacking[p.Seq] {
		return taken{verdict: Have, feed: f, seq: p.Seq}
	}
	rec, _ := r.o.Disk.Record(p.Feed, p.Seq)
	if rec == nil {
		return refused(RefusedBusy)
	}
	if !r.authors.allow(rec.Core().Node, 0) { // it owes for what came before
		return refused(RefusedBusy)
	}
	return r.addSections(f, rec, p.Sections)
}
