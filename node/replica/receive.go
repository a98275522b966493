package replica

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/national-alliance/alliance/protocol"
)

// taken is what became of one arriving record.
type taken struct {
	verdict Verdict
	code    uint64
	want    []uint64
	done    <-chan error // nil where nothing was committed
	feed    *feed
	chain   protocol.Chain
	rec     *protocol.Record
	lack    bool
	apart   bool // it follows another record than the one held
}

func refused(code uint64) taken { return taken{verdict: Refuse, code: code} }

// take verifies a signed record that came from a peer, checks that this
// organisation may have it, and enqueues it. sections are the bytes that came
// with it, by index.
func (r *Replica) take(s *protocol.Signed, sections [][]byte) taken {
	f := r.feed(s.Feed(), true)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.heal(r); err != nil {
		return refused(RefusedBusy)
	}
	core := s.Core()
	if core.Node == r.o.Node && core.Seq > f.tip.Seq {
		// Our own hand, and we do not have it: this disk is old.
		if err := r.markReplaced(); err != nil {
			return refused(RefusedBusy)
		}
	}
	m := r.members()
	rec, chain, err := f.tip.Link(m, s)
	switch {
	case errors.Is(err, protocol.ErrKnown):
		return r.known(f, s, sections)
	case errors.Is(err, protocol.ErrGap), errors.Is(err, protocol.ErrDiverged):
		r.forget(f)
		return taken{verdict: Gap, feed: f, apart: errors.Is(err, protocol.ErrDiverged)}
	case err != nil:
		r.forget(f)
		return refused(RefusedWait)
	}
	if _, forked := r.forkOf(s.Feed()); forked {
		// Until its author's node is replaced nothing more of this feed counts.
		return refused(RefusedFork)
	}
	var key *protocol.KeyLink
	if rec.State() != protocol.Refused {
		key = &chain.Key
	}
	e := protocol.Entitles(m, &chain, key, core, rec.State(), r.o.Org)
	if !e.Core && protocol.EntitledFeed(m, &chain, r.o.Org) == 0 {
		r.forget(f)
		return refused(RefusedNotOurs)
	}
	bad := false
	for i, b := range sections {
		if b != nil && e.Section(i) {
			bad = rec.Attach(i, b) != nil || bad
		}
	}
	t := taken{verdict: Have, feed: f, rec: rec, chain: chain}
	owe := rec.Missing(e)
	for _, i := range owe {
		t.verdict, t.lack = Want, true
		t.want = append(t.want, uint64(i))
	}
	if bad {
		t.code = RefusedDrop // the peer sent bytes that are not the section's
	}
	f.tip = chain
	t.done = r.o.Disk.Enqueue(Change{Links: []Link{{rec, chain, owe}}})
	return t
}

// forget drops the empty state of a feed that nothing was taken for.
// Called with f.mu held.
func (r *Replica) forget(f *feed) {
	if f.tip.Seq != 0 {
		return
	}
	r.mu.Lock()
	if r.feeds[f.id] == f {
		delete(r.feeds, f.id)
	}
	r.mu.Unlock()
}

// known handles a record whose place is taken: the same one, whose missing
// sections may come with it, or another one, which is a fork. Called with
// f.mu held.
func (r *Replica) known(f *feed, s *protocol.Signed, sections [][]byte) taken {
	core := s.Core()
	have, err := r.o.Disk.Record(f.id, core.Seq)
	if err != nil {
		if core.Seq > f.durable.Seq {
			return taken{verdict: Have, feed: f} // on its way to the disk
		}
		// Lost to damage: put it back if it is the one.
		return taken{verdict: Have, feed: f, done: r.refill(f, s, sections)}
	}
	if have.ID() != s.ID() {
		fork, ok := protocol.NewFork(have.SignedRecord(), s)
		if ok {
			r.keepFork(f.id, *fork)
		}
		return refused(RefusedFork)
	}
	if !f.lacking[core.Seq] {
		return taken{verdict: Have, feed: f}
	}
	var change Change
	for i, b := range sections {
		if b != nil && have.Section(i) == nil && r.entitledLocked(f, have).Section(i) && have.Attach(i, b) == nil {
			change.Sections = append(change.Sections, SectionOf{f.id, core.Seq, i, b})
		}
	}
	t := taken{verdict: Have, feed: f, rec: have}
	for _, i := range have.Missing(r.entitledLocked(f, have)) {
		t.verdict = Want
		t.want = append(t.want, uint64(i))
	}
	if len(change.Sections) > 0 {
		t.done = r.o.Disk.Enqueue(change)
	}
	return t
}

// entitledLocked is entitled for this organisation with f.mu held.
func (r *Replica) entitledLocked(f *feed, rec *protocol.Record) protocol.Entitlement {
	c := f.tip
	f.mu.Unlock()
	key := r.keyFor(f, rec)
	f.mu.Lock()
	return protocol.Entitles(r.members(), &c, key, rec.Core(), rec.State(), r.o.Org)
}

// refill puts back a link whose bytes were lost. The store compares it with
// the ID it kept apart, and takes no section that is not due here.
func (r *Replica) refill(f *feed, s *protocol.Signed, sections [][]byte) <-chan error {
	rec, err := protocol.Reload(r.network, s.ID(), s.Envelope(), protocol.Linked, 0)
	if err != nil {
		return nil
	}
	env := s.Envelope()
	e := r.entitledLocked(f, rec)
	for i, b := range sections {
		if b != nil && e.Section(i) && rec.Attach(i, b) == nil {
			if env.Sections == nil {
				env.Sections = make([][]byte, len(rec.Core().Sections()))
			}
			env.Sections[i] = b
		}
	}
	return r.o.Disk.Enqueue(Change{Refills: []protocol.Envelope{env}})
}

// settle notes what became of a taken record's commit; it reports whether a
// receipt is due.
func (r *Replica) settle(t taken, err error) bool {
	if t.feed == nil || t.verdict == Gap || t.verdict == Refuse {
		return false
	}
	if err != nil {
		t.feed.fail()
		r.o.Log.Warn("record not kept", "feed", t.feed.id.Short(), "err", err)
		return false
	}
	if t.chain.Seq > 0 {
		t.feed.settle(t.chain, t.lack)
	} else if t.done != nil && t.rec != nil && t.verdict == Have {
		t.feed.mu.Lock()
		delete(t.feed.lacking, t.rec.Core().Seq)
		t.feed.mu.Unlock()
	}
	if t.rec != nil && t.done != nil && t.verdict == Have {
		r.o.OnRecord(t.rec)
		r.spread(t.feed, t.rec)
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
	quota := r.quota(from.ID)
	pending := make(chan taken, maxInFlight)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		r.settleAll(ctx, from, s, pending)
	}()
	defer func() { close(pending); <-finished }()
	var gaps = map[protocol.FeedID]bool{}
	for ctx.Err() == nil {
		b, err := s.Read()
		if err != nil {
			return
		}
		p, err := protocol.Decode[Push](b, maxWireFrame)
		if err != nil || quota.WaitN(ctx, 1) != nil {
			return // what a stranger to the format sends is not read on
		}
		t := r.takePush(p)
		if t.verdict == Refuse && t.code == RefusedDrop || t.code == RefusedDrop {
			quota.WaitN(ctx, dropCost)
		}
		if t.verdict != Have || t.code != 0 {
			v := PushVerdict{Feed: p.Feed, Seq: p.Seq, Verdict: t.verdict, Code: t.code, Sections: t.want}
			if s.Write(protocol.Encode(PushAnswer{Verdicts: []PushVerdict{v}})) != nil {
				return
			}
		}
		if t.verdict == Gap && !gaps[p.Feed] {
			gaps[p.Feed] = len(gaps) < maxBatch
			r.needRepair(from.ID)
		}
		if t.feed != nil {
			pending <- t
		}
	}
}

func (r *Replica) takePush(p Push) taken {
	if p.Record == nil {
		return r.takeSections(p)
	}
	m := r.members()
	s, err := protocol.Open(m, protocol.Envelope{Core: p.Record.Core, Signature: p.Record.Signature})
	switch {
	case errors.Is(err, protocol.ErrWait):
		return refused(RefusedWait)
	case err != nil, s.Feed() != p.Feed, s.Core().Seq != p.Seq:
		return refused(RefusedDrop)
	}
	if !r.authorQuota(s.Core().Node) {
		return refused(RefusedBusy)
	}
	sections := p.Record.Sections
	if len(sections) > len(s.Core().Sections()) {
		return refused(RefusedDrop)
	}
	return r.take(s, sections)
}

// takeSections adds sections that were wanted to a record that is here.
func (r *Replica) takeSections(p Push) taken {
	f := r.feed(p.Feed, false)
	if f == nil {
		return refused(RefusedNotOurs)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lacking[p.Seq] {
		if p.Seq <= f.tip.Seq {
			// Its record may be on its way to the disk: wait for it.
			if p.Seq > f.durable.Seq {
				return taken{verdict: Gap}
			}
			return taken{verdict: Have, feed: f}
		}
		return refused(RefusedNotOurs)
	}
	rec, err := r.o.Disk.Record(p.Feed, p.Seq)
	if err != nil {
		return refused(RefusedBusy)
	}
	var change Change
	e := r.entitledLocked(f, rec)
	for _, sec := range p.Sections {
		i := int(sec.Index)
		if !e.Section(i) || rec.Section(i) != nil {
			continue
		}
		if rec.Attach(i, sec.Bytes) != nil {
			return refused(RefusedDrop)
		}
		change.Sections = append(change.Sections, SectionOf{p.Feed, p.Seq, i, sec.Bytes})
	}
	t := taken{verdict: Have, feed: f, rec: rec}
	for _, i := range rec.Missing(e) {
		t.verdict = Want
		t.want = append(t.want, uint64(i))
	}
	if len(change.Sections) > 0 {
		t.done = r.o.Disk.Enqueue(change)
	}
	return t
}

// settleAll waits for taken records in order. A commit makes a run of them
// durable at once, and each run is answered with one receipt a feed.
func (r *Replica) settleAll(ctx context.Context, from protocol.Node, s Stream, pending <-chan taken) {
	due := map[*feed]bool{}
	flush := func() {
		for f := range due {
			delete(due, f)
			rc, ok := r.receipt(f)
			if !ok {
				continue
			}
			if s.Write(protocol.Encode(PushAnswer{Receipts: []protocol.SignedReceipt{rc}})) != nil {
				s.Close() // ends the reader too
			}
			r.passOn(f, rc, from.ID)
		}
	}
	for t := range pending {
		var err error
		if t.done != nil {
			select {
			case err = <-t.done:
			default:
				flush()
				err = <-t.done
			}
		}
		if r.settle(t, err) {
			due[t.feed] = true
		}
		if len(pending) == 0 {
			flush()
		}
	}
}

// quota is how much one peer may push.
func (r *Replica) quota(id protocol.NodeID) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.quotas[id]
	if q == nil {
		q = rate.NewLimiter(pushPerSecond, pushBurst)
		r.quotas[id] = q
	}
	return q
}

// authorQuota is how much one author's signature may bring, whoever pushes.
func (r *Replica) authorQuota(id protocol.NodeID) bool {
	r.mu.Lock()
	q := r.authors[id]
	if q == nil {
		q = rate.NewLimiter(pushPerSecond, pushBurst)
		r.authors[id] = q
	}
	r.mu.Unlock()
	return q.AllowN(time.Now(), 1)
}
