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
	checked := false
	wait := time.Second
	for ctx.Err() == nil {
		var err error
		if !checked {
			if err = r.checkHeads(ctx, p); err == nil {
				checked = true
			}
		}
		if err == nil {
			err = r.compare(ctx, p)
		}
		p.mu.Lock()
		p.failed = ""
		if err != nil {
			p.failed = err.Error()
		} else {
			p.synced = r.o.Now()
		}
		p.mu.Unlock()
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
		wait = time.Second
		r.handOver(p)
		t := time.NewTimer(jitter(r.o.RepairEvery))
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
		if c.Seq == 0 {
			continue
		}
		upTo := protocol.EntitledFeed(m, &c, org)
		// What is not whole here is asked for again, so we claim no more.
		seq := min(upTo, whole)
		if upTo == 0 || seq == 0 {
			continue
		}
		head := c.Head
		if seq < c.Seq {
			rec, err := r.o.Disk.Record(f.id, seq)
			if err != nil {
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

// ServeFrontier answers sessions that a peer begins, and then fetches what the
// peer showed us to lack.
func (r *Replica) ServeFrontier(ctx context.Context, from protocol.Node, s Stream) {
	defer s.Close()
	if r.quota(from.ID).WaitN(ctx, 100) != nil {
		return
	}
	mine, err := r.frontier(from.Org)
	if err != nil {
		return
	}
	res, err := converse(s, reconcile.New(mine), false)
	if err != nil {
		return
	}
	if len(res.Want)+len(res.Diverged) > 0 {
		r.needRepair(from.ID)
	}
}

// fetchAll fetches a comparison's wants, and the records behind a divergence.
func (r *Replica) fetchAll(ctx context.Context, p *peer, res reconcile.Result) error {
	for _, d := range res.Diverged {
		r.fetchRange(ctx, p, d.Feed, d.Seq, d.Seq)
	}
	for _, w := range res.Want {
		if err := r.fetchRange(ctx, p, w.Feed, w.From, w.To); err != nil {
			return err
		}
	}
	for _, f := range r.allFeeds() {
		if err := r.fetchSections(ctx, p, f); err != nil {
			return err
		}
	}
	return nil
}

// fetchRange fetches records from a peer and takes them. The next page is
// asked for while one is checked.
func (r *Replica) fetchRange(ctx context.Context, p *peer, id protocol.FeedID, from, to uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type page struct {
		a   FetchAnswer
		err error
	}
	pages := make(chan page, fetchAhead)
	go func() {
		defer close(pages)
		for at := from; at <= to; {
			a, err := r.fetch(ctx, p.node.ID, FetchRequest{Feed: id, From: at, To: to})
			select {
			case pages <- page{a, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || len(a.Records) == 0 {
				return // failed, or not there, or not ours
			}
			at += uint64(len(a.Records))
		}
	}()
	for pg := range pages {
		if pg.err != nil {
			return pg.err
		}
		if err := r.takePage(ctx, p, id, pg.a.Records); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (r *Replica) fetch(ctx context.Context, to protocol.NodeID, req FetchRequest) (FetchAnswer, error) {
	b, err := r.o.Net.Call(ctx, to, ProtoFetch, protocol.Encode(req))
	if err != nil {
		return FetchAnswer{}, err
	}
	return protocol.Decode[FetchAnswer](b, maxWireFrame)
}

// takePage verifies a page's signatures in parallel and links its records in
// order.
func (r *Replica) takePage(ctx context.Context, p *peer, id protocol.FeedID, page []protocol.Envelope) error {
	signed := make([]*protocol.Signed, len(page))
	errs := make([]error, len(page))
	m := r.members()
	var wg sync.WaitGroup
	const workers = 4
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < len(page); i += workers {
				signed[i], errs[i] = protocol.Open(m, page[i])
			}
		}()
	}
	wg.Wait()
	var last []taken
	for i, s := range signed {
		if errs[i] != nil {
			if errors.Is(errs[i], protocol.ErrDrop) {
				r.quota(p.node.ID).WaitN(ctx, dropCost)
			}
			return r.settlePage(last, fmt.Errorf("fetch: %w", errs[i]))
		}
		if s.Feed() != id || len(page[i].Sections) > len(s.Core().Sections()) {
			return r.settlePage(last, fmt.Errorf("fetch: %w: another record than asked for", protocol.ErrDrop))
		}
		t := r.take(s, page[i].Sections)
		if t.apart { // fetch the record it follows, for the proof
			return r.settlePage(last, r.fetchFork(ctx, p, id, s.Core().Seq-1))
		}
		if t.verdict == Gap || t.verdict == Refuse {
			return r.settlePage(last, fmt.Errorf("fetch: record not taken (code %d)", t.code))
		}
		last = append(last, t)
	}
	return r.settlePage(last, nil)
}

// settlePage waits for a page's commits and returns err, or the first of
// theirs.
func (r *Replica) settlePage(page []taken, err error) error {
	for _, t := range page {
		var e error
		if t.done != nil {
			e = <-t.done
		}
		r.settle(t, e)
		if e != nil && err == nil {
			err = e
		}
	}
	return err
}

// fetchFork fetches one record that may differ from ours at its place.
func (r *Replica) fetchFork(ctx context.Context, p *peer, id protocol.FeedID, seq uint64) error {
	a, err := r.fetch(ctx, p.node.ID, FetchRequest{Feed: id, From: seq, To: seq})
	if err != nil || len(a.Records) != 1 {
		return fmt.Errorf("fetch: %w", protocol.ErrDiverged)
	}
	s, err := protocol.Open(r.members(), a.Records[0])
	if err != nil {
		return err
	}
	r.take(s, nil)
	return protocol.ErrDiverged
}

// ServeFetch answers a fetch. Unknown and not-yours take the same way to the
// same empty answer.
func (r *Replica) ServeFetch(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
	q, err := protocol.Decode[FetchRequest](req, protocol.MaxReceipt)
	if err != nil {
		return nil, err
	}
	var a FetchAnswer
	switch {
	case q.Own:
		a = r.ownHeads(from, q.Feed)
	case len(q.Sections) > 0:
		if rec, e := r.lookup(q.Feed, q.From, from.Org); rec != nil {
			size := 0
			for _, i := range q.Sections {
				if b := rec.Section(int(i)); i < protocol.MaxSections && b != nil && e.Section(int(i)) && size+len(b) < maxWireFrame-4096 {
					a.Sections = append(a.Sections, Section{i, b})
					size += len(b)
				}
			}
		}
	default:
		a = r.page(from.Org, q)
	}
	return protocol.Encode(a), nil
}

func (r *Replica) page(org protocol.OrgID, q FetchRequest) (a FetchAnswer) {
	f := r.feed(q.Feed, false)
	if f == nil || q.From == 0 || q.To < q.From {
		return a
	}
	f.mu.Lock()
	c := f.durable
	f.mu.Unlock()
	upTo := protocol.EntitledFeed(r.members(), &c, org)
	size := 0
	for seq := q.From; seq <= min(q.To, upTo) && len(a.Records) < maxPage && size < pageBytes; seq++ {
		rec, e := r.lookup(q.Feed, seq, org)
		if rec == nil {
			break
		}
		env := rec.Envelope(e)
		inline := protocol.MaxInline
		for i, s := range env.Sections {
			if inline -= len(s); inline < 0 {
				env.Sections[i] = nil
				continue
			}
			size += len(s)
		}
		size += len(env.Core)
		a.Records = append(a.Records, env)
	}
	return a
}

// fetchSections asks a peer for the sections of a feed that are lacking here.
func (r *Replica) fetchSections(ctx context.Context, p *peer, f *feed) error {
	f.mu.Lock()
	var seqs []uint64
	for s := range f.lacking {
		seqs = append(seqs, s)
	}
	f.mu.Unlock()
	slices.Sort(seqs)
	for _, seq := range seqs {
		rec, _ := r.lookup(f.id, seq, r.o.Org)
		if rec == nil {
			continue
		}
		var want []uint64
		for _, i := range rec.Missing(r.entitled(f, rec, r.o.Org)) {
			want = append(want, uint64(i))
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
		var e error
		if t.done != nil {
			e = <-t.done
		}
		r.settle(t, e)
	}
	return nil
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
