package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/reconcile"
)

// repairLoop does the head check with a peer and then compares frontiers with
// it: at once, when either side learns of something, and now and then.
func (r *Replica) repairLoop(ctx context.Context, p *peer) {
	r.o.Before(ctx, p.node.ID)
	sure := false
	wait := time.Second
	for ctx.Err() == nil {
		var err error
		if !sure {
			sure, err = r.checkHeads(ctx, p)
		}
		if err == nil {
			err = r.compare(ctx, p)
		}
		if err != nil {
			if ctx.Err() == nil {
				r.o.Log.Debug("frontiers not compared", "peer", p.node.ID.Short(), "err", err)
			}
			if !pause(ctx, jitter(wait)) {
				return
			}
			wait = min(2*wait, r.o.RepairEvery)
			continue
		}
		p.mu.Lock()
		p.synced = r.o.Now()
		p.mu.Unlock()
		if p.node.Org == r.o.Org {
			r.mu.Lock()
			r.state.met = true
			r.mu.Unlock()
		}
		wait = time.Second
		r.handOver(p)
		next := r.o.RepairEvery
		if !sure {
			next = min(next, 2*time.Second) // it has only just started: ask again soon
		}
		t := time.NewTimer(jitter(next))
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-p.repair:
			pause(ctx, 20*time.Millisecond) // what comes in a burst is asked for once
		}
		t.Stop()
	}
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// frontier lists the feeds that both this organisation and a peer's are
// entitled to know, as far as the peer may have their cores.
func (r *Replica) frontier(org protocol.OrgID) (*reconcile.Frontier, error) {
	m := r.members()
	var out []reconcile.Entry
	for _, f := range r.allFeeds() {
		f.mu.Lock()
		c := f.durable
		whole := f.whole()
		f.mu.Unlock()
		// What is not whole here is asked for again, so we claim no more.
		seq := min(protocol.EntitledFeed(m, &c, org), whole)
		if seq == 0 {
			continue
		}
		head := c.Head
		if seq < c.Seq {
			rec, _ := r.record(f, seq)
			if rec == nil {
				continue
			}
			head = rec.ID()
		}
		out = append(out, reconcile.Entry{Feed: f.id, Seq: seq, Head: head})
	}
	return reconcile.NewFrontier(r.network, out)
}

// compare runs one frontier session with a peer and fetches what we lack.
func (r *Replica) compare(ctx context.Context, p *peer) error {
	s, err := r.o.Net.Open(ctx, p.node.ID, ProtoFrontier)
	if err != nil {
		return err
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	mine, err := r.frontier(p.node.Org)
	if err != nil {
		return err
	}
	res, err := converse(s, reconcile.New(mine), true)
	if err != nil {
		return err
	}
	return r.fetchAll(ctx, p, res)
}

// converse runs one session on a stream. The end that asked takes the stream's
// end, before any answer, as "equal".
func converse(s Stream, session *reconcile.Session, ask bool) (all reconcile.Result, err error) {
	if ask {
		if err := s.Write(session.Start().Encode()); err != nil {
			return all, err
		}
	}
	for first := true; ; first = false {
		b, err := s.Read()
		if ask && first && errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		m, err := reconcile.Decode(b)
		if err != nil {
			return all, err
		}
		reply, found, done, err := session.Step(m)
		if err != nil {
			return all, err
		}
		all.Want = append(all.Want, found.Want...)
		all.Offer = append(all.Offer, found.Offer...)
		all.Diverged = append(all.Diverged, found.Diverged...)
		if reply != nil {
			if err := s.Write(reply.Encode()); err != nil {
				return all, err
			}
		}
		if done {
			return all, nil
		}
	}
}

// ServeFrontier answers one session that a peer begins, and then fetches what
// the peer showed us to lack.
func (r *Replica) ServeFrontier(ctx context.Context, from protocol.Node, s Stream) {
	defer s.Close()
	if !r.speaks(from) || !r.charge(ctx, r.pushers.of(from.ID), compareCost) {
		return
	}
	mine, err := r.frontier(from.Org)
	if err != nil {
		r.o.Log.Error("frontier not made", "err", err)
		return
	}
	res, err := converse(s, reconcile.New(mine), false)
	if errors.Is(err, reconcile.ErrPeer) {
		s.Abuse()
	}
	if err == nil && len(res.Want)+len(res.Diverged) > 0 {
		r.needRepair(from.ID)
	}
}

// fetchAll fetches a comparison's wants, and the records behind a divergence.
// A feed that cannot be had does not hold up the others; the error is that of
// the connection.
func (r *Replica) fetchAll(ctx context.Context, p *peer, res reconcile.Result) error {
	fetch := func(id protocol.FeedID, from, to uint64) error {
		if from > to || r.forkedAt(id, from) {
			return nil
		}
		err := r.fetchRange(ctx, p, id, from, to)
		if errors.Is(err, errNotTaken) {
			r.o.Log.Info("feed not repaired from a peer", "feed", id.Short(), "peer", p.node.ID.Short(), "err", err)
			return nil
		}
		return err
	}
	for _, d := range res.Diverged {
		if err := fetch(d.Feed, d.Seq, d.Seq); err != nil {
			return err
		}
	}
	for _, w := range res.Want {
		// What is here already, behind something that is lacking, is not
		// fetched again.
		from := w.From
		if f := r.feed(w.Feed); f != nil {
			f.mu.Lock()
			err := f.heal(r)
			from = max(from, f.tip.Seq+1)
			f.mu.Unlock()
			if err != nil {
				continue
			}
		}
		if err := fetch(w.Feed, from, w.To); err != nil {
			return err
		}
	}
	for _, f := range r.allFeeds() {
		if err := r.fetchLacking(ctx, p, f); err != nil {
			return err
		}
	}
	return nil
}

// errNotTaken is the fault of one feed's records, or of their bearer, and not
// of the connection.
var errNotTaken = errors.New("records not taken")

func notTaken(format string, a ...any) error {
	return fmt.Errorf("%w: %w", errNotTaken, fmt.Errorf(format, a...))
}

// page is one fetched stretch of a feed, and what its signatures say.
type page struct {
	from    uint64 // the seq that its first record must have
	records []protocol.Envelope
	signed  []*protocol.Signed
	errs    []error
	err     error // of the fetch
}

// fetchRange fetches records from a peer and takes them. Pages are in
// work at once: while one becomes durable, the next is verified, and the one
// after that is on its way.
func (r *Replica) fetchRange(ctx context.Context, p *peer, id protocol.FeedID, from, to uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	fetched, verified := make(chan page, fetchAhead), make(chan page, 1)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		defer close(fetched)
		for at := from; at <= to; {
			a, err := r.fetch(ctx, p.node.ID, FetchRequest{Feed: id, From: at, To: to})
			select {
			case fetched <- page{from: at, records: a.Records, err: err}:
			case <-ctx.Done():
				return
			}
			if err != nil || len(a.Records) == 0 {
				return // failed, or not there, or not ours
			}
			at += uint64(len(a.Records))
		}
	})
	work.Go(func() {
		defer close(verified)
		for pg := range fetched {
			r.verify(&pg)
			select {
			case verified <- pg:
			case <-ctx.Done():
				return
			}
		}
	})
	var last []taken
	for pg := range verified {
		now, err := r.takePage(ctx, p, id, to, pg)
		if err = r.settlePage(last, err); err != nil {
			return r.settlePage(now, err)
		}
		last = now
	}
	return r.settlePage(last, ctx.Err())
}

func (r *Replica) fetch(ctx context.Context, to protocol.NodeID, req FetchRequest) (FetchAnswer, error) {
	b, err := r.o.Net.Call(ctx, to, ProtoFetch, protocol.Encode(req))
	if err != nil {
		return FetchAnswer{}, err
	}
	a, err := protocol.Decode[FetchAnswer](b, MaxFetchFrame)
	if err != nil {
		r.charge(ctx, r.pushers.of(to), dropCost)
		return a, fmt.Errorf("fetch: %w: %w", ErrPeer, err)
	}
	return a, nil
}

// fetchOne fetches one record and verifies its signature.
func (r *Replica) fetchOne(ctx context.Context, p *peer, id protocol.FeedID, seq uint64) (*protocol.Signed, [][]byte, error) {
	a, err := r.fetch(ctx, p.node.ID, FetchRequest{Feed: id, From: seq, To: seq})
	if err != nil {
		return nil, nil, err
	}
	if len(a.Records) != 1 {
		return nil, nil, notTaken("record %d is not there", seq)
	}
	s, err := protocol.Open(r.members(), a.Records[0])
	if err != nil {
		return nil, nil, notTaken("record %d: %w", seq, err)
	}
	if s.Feed() != id || s.Core().Seq != seq || len(a.Records[0].Sections) > len(s.Core().Sections()) {
		r.charge(ctx, r.pushers.of(p.node.ID), dropCost)
		return nil, nil, notTaken("another record than asked for")
	}
	return s, a.Records[0].Sections, nil
}

// verify checks a page's signatures, in parallel.
func (r *Replica) verify(pg *page) {
	pg.signed, pg.errs = make([]*protocol.Signed, len(pg.records)), make([]error, len(pg.records))
	m := r.members()
	const workers = 4
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for i := w; i < len(pg.records); i += workers {
				pg.signed[i], pg.errs[i] = protocol.Open(m, pg.records[i])
			}
		})
	}
	work.Wait()
}

// takePage links a verified page's records in order. What it took is to be
// settled, whatever the error.
func (r *Replica) takePage(ctx context.Context, p *peer, id protocol.FeedID, to uint64, pg page) (taken []taken, err error) {
	if pg.err != nil {
		return nil, pg.err
	}
	for i, s := range pg.signed {
		switch {
		case errors.Is(pg.errs[i], protocol.ErrDrop):
			r.charge(ctx, r.pushers.of(p.node.ID), dropCost)
			return taken, notTaken("%w", pg.errs[i])
		case pg.errs[i] != nil:
			r.o.OnAhead(p.node.ID)
			return taken, notTaken("%w", pg.errs[i])
		case s.Feed() != id || s.Core().Seq != pg.from+uint64(i) || len(pg.records[i].Sections) > len(s.Core().Sections()) || inline(pg.records[i].Sections) > protocol.MaxInline:
			r.charge(ctx, r.pushers.of(p.node.ID), dropCost)
			return taken, notTaken("another record than asked for")
		}
		if r.news(s) && !r.charge(ctx, r.authors.of(s.Core().Node), 0) { // it owes for what came before
			return taken, notTaken("the author's quota does not allow it now")
		}
		t := r.take(s, pg.records[i].Sections)
		if t.code == RefusedNotOurs {
			// A custodian named later is due the feed from 1 on.
			if err := r.proveCustody(ctx, p, id, to); err != nil {
				return taken, err
			}
			t = r.take(s, pg.records[i].Sections)
		}
		if t.bad {
			r.charge(ctx, r.pushers.of(p.node.ID), dropCost)
		}
		switch {
		case t.apart: // fetch the record it follows, for the proof
			return taken, r.fetchFork(ctx, p, id, s.Core().Seq-1)
		case t.verdict == Gap:
			return taken, notTaken("a gap before record %d", s.Core().Seq)
		case t.verdict == Refuse:
			return taken, notTaken("record %d, code %d", s.Core().Seq, t.code)
		}
		taken = append(taken, t)
	}
	return taken, nil
}

// settlePage waits for a page's commits, tells others what is here now, and
// returns err, or the first of the commits'.
func (r *Replica) settlePage(page []taken, err error) error {
	due := map[*feed]bool{}
	for _, t := range page {
		var e error
		if t.wait != nil {
			e = t.wait()
		}
		if r.settle(t, e) {
			due[t.feed] = true
		}
		if e != nil && err == nil {
			err = notTaken("%w", e)
		}
	}
	for f := range due {
		if rc, ok := r.receipt(f); ok {
			r.passOn(f, rc, r.o.Node)
		}
	}
	return err
}

// proveCustody looks whether the feed's newest key record names this
// organisation a custodian, before cores are taken to which nothing else gives
// it a right.
func (r *Replica) proveCustody(ctx context.Context, p *peer, id protocol.FeedID, newest uint64) error {
	s, _, err := r.fetchOne(ctx, p, id, newest)
	if err == nil && s.Core().Data != nil {
		s, _, err = r.fetchOne(ctx, p, id, s.Core().Data.Key)
	}
	if err != nil {
		return err
	}
	if !r.expectCustody(s) {
		r.charge(ctx, r.pushers.of(p.node.ID), dropCost)
		return notTaken("the feed is not this organisation's business")
	}
	return nil
}

// fetchFork fetches one record that may differ from ours at its place.
func (r *Replica) fetchFork(ctx context.Context, p *peer, id protocol.FeedID, seq uint64) error {
	s, _, err := r.fetchOne(ctx, p, id, seq)
	if err != nil {
		return err
	}
	return r.settlePage([]taken{r.take(s, nil)}, notTaken("%w", protocol.ErrDiverged))
}

// ServeFetch answers a fetch. Unknown and not-yours take the same way to the
// same empty answer. Errors wrap [ErrPeer] where the peer is at fault.
func (r *Replica) ServeFetch(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
	quota := r.pushers.of(from.ID)
	if !r.speaks(from) {
		return nil, fmt.Errorf("%w: it is not an active member", ErrPeer)
	}
	q, err := protocol.Decode[FetchRequest](req, protocol.MaxReceipt)
	if err != nil {
		r.charge(ctx, quota, dropCost)
		return nil, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	if !r.charge(ctx, quota, fetchCost) {
		return nil, ctx.Err()
	}
	var a FetchAnswer
	switch {
	case q.Own:
		a = r.ownHeads(from, q.Feed)
	case len(q.Sections) > 0:
		if rec, e := r.lookup(q.Feed, q.From, from.Org); rec != nil {
			a.Sections = pick(rec, e, q.Sections)
		}
	default:
		a = r.page(from.Org, q)
	}
	return a.AppendCBOR(make([]byte, 0, a.size())), nil
}

func (r *Replica) page(org protocol.OrgID, q FetchRequest) (a FetchAnswer) {
	var c protocol.Chain
	f := r.feed(q.Feed)
	if f != nil {
		c = f.chain()
	}
	to := min(q.To, protocol.EntitledFeed(r.members(), &c, org))
	if q.From == 0 || to < q.From {
		return a
	}
	size := 0
	err := r.o.Disk.Range(q.Feed, q.From, to, func(rec *protocol.Record) error {
		e := r.entitledBy(q.Feed, &c, rec, org)
		if !e.Core || len(a.Records) == maxPage || size >= pageBytes {
			return errEnough
		}
		env := rec.Envelope(e)
		size += trim(&env) + len(env.Core)
		a.Records = append(a.Records, env)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) && len(a.Records) == 0 {
		// Something of the first one is lost here, and is asked for; the rest of
		// it is served, so that the asker comes past it.
		if rec, e := r.lookup(q.Feed, q.From, org); rec != nil {
			env := rec.Envelope(e)
			trim(&env)
			a.Records = append(a.Records, env)
		}
	}
	return a
}

var errEnough = errors.New("the page is full")

// fetchLacking asks a peer for what of a feed is lacking here and the peer may
// have.
func (r *Replica) fetchLacking(ctx context.Context, p *peer, f *feed) error {
	f.mu.Lock()
	c := f.durable
	var seqs []uint64
	for s := range f.lacking {
		if s <= c.Seq {
			seqs = append(seqs, s)
		}
	}
	f.mu.Unlock()
	upTo := protocol.EntitledFeed(r.members(), &c, p.node.Org)
	if len(seqs) == 0 || upTo == 0 {
		return nil
	}
	slices.Sort(seqs)
	slices.Reverse(seqs) // a lost record is known by the one after it
	asked, again, mended := 0, false, false
	defer func() {
		if again && mended {
			r.needRepair(p.node.ID)
		}
	}()
	for _, seq := range seqs {
		if seq > upTo || r.recheck(f, seq) != nil {
			continue
		}
		if asked++; asked > maxLacking {
			break
		}
		rec, _ := r.record(f, seq)
		if rec == nil {
			s, sections, err := r.fetchOne(ctx, p, f.id, seq)
			if errors.Is(err, errNotTaken) {
				continue
			}
			if err != nil {
				return err
			}
			t := r.take(s, sections)
			again = again || t.code == RefusedBusy // its key record comes first
			if err := r.settlePage([]taken{t}, nil); err != nil || t.feed == nil {
				continue
			}
			mended = true
			if rec, _ = r.record(f, seq); rec == nil {
				continue
			}
		}
		// Of the sections, ask for those that the peer has a right to.
		theirs := r.entitledBy(f.id, &c, rec, p.node.Org)
		var want []uint64
		for _, i := range rec.Missing(r.entitledBy(f.id, &c, rec, r.o.Org)) {
			if theirs.Section(i) {
				want = append(want, uint64(i))
			}
		}
		if len(want) == 0 {
			continue
		}
		a, err := r.fetch(ctx, p.node.ID, FetchRequest{Feed: f.id, From: seq, Sections: want})
		if err != nil {
			return err
		}
		if len(a.Sections) == 0 {
			continue
		}
		t := r.takeSections(Push{Feed: f.id, Seq: seq, Sections: a.Sections})
		if t.bad {
			r.charge(ctx, r.pushers.of(p.node.ID), dropCost)
		}
		r.settlePage([]taken{t}, nil)
	}
	return nil
}

// Refresh looks again at what the disk lacks, as after it was read from end to
// end, and asks peers for it.
func (r *Replica) Refresh() {
	for _, f := range r.allFeeds() {
		seqs, err := r.o.Disk.Lacking(f.id)
		if err != nil {
			r.o.Log.Warn("what a feed lacks cannot be read", "feed", f.id.Short(), "err", err)
			continue
		}
		f.mu.Lock()
		for _, seq := range seqs {
			f.lacking[seq] = true
		}
		f.mu.Unlock()
	}
	for _, p := range r.connected() {
		r.needRepair(p.node.ID)
	}
}

// FeedState is one feed held here.
type FeedState struct {
	Feed    protocol.FeedID
	Chain   protocol.Chain
	Lacking int // records of which sections are not here
	Forked  bool
}

// Feeds lists the feeds held, by ID.
func (r *Replica) Feeds() []FeedState {
	list := r.allFeeds()
	sortFeeds(list)
	out := make([]FeedState, 0, len(list))
	for _, f := range list {
		f.mu.Lock()
		x := FeedState{Feed: f.id, Chain: f.durable, Lacking: len(f.lacking)}
		f.mu.Unlock()
		_, x.Forked = r.forkOf(f.id)
		if x.Chain.Seq > 0 {
			out = append(out, x)
		}
	}
	return out
}

// Synced is when frontiers were last compared well with a peer, on the present
// connection.
func (r *Replica) Synced(id protocol.NodeID) time.Time {
	p := r.peer(id)
	if p == nil {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.synced
}
