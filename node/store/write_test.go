package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func try(s *Store, fill func(b *Batch)) error {
	var b Batch
	fill(&b)
	return s.Commit(context.Background(), &b)
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestLinkFollowsTheHead(t *testing.T) {
	s := open(t, t.TempDir())
	a, other := authorOf(t, 1), authorOf(t, 1)
	l := a.some(t, 4, 100)
	fork := other.some(t, 2, 100)
	wantErr(t, "gap", try(s, l[1].put), protocol.ErrGap)
	commit(t, s, l[0].put)
	wantErr(t, "again", try(s, l[0].put), protocol.ErrKnown)
	wantErr(t, "fork", try(s, fork[1].put), protocol.ErrDiverged)
	wantErr(t, "another chain", try(s, func(b *Batch) { b.Link(l[1].rec, l[2].chain) }), ErrConflict)
	// A batch that fails in its middle leaves nothing.
	wantErr(t, "half", try(s, func(b *Batch) { l[1].put(b); b.Meta("x", []byte("1")); l[3].put(b) }), protocol.ErrGap)
	if c, _ := s.Chain(a.feed); c.Seq != 1 {
		t.Errorf("seq %d after a failed batch", c.Seq)
	}
	if _, err := s.Meta("x"); !errors.Is(err, ErrAbsent) {
		t.Errorf("value of a failed batch: %v", err)
	}
	if _, err := s.Record(a.feed, 2); !errors.Is(err, ErrAbsent) {
		t.Errorf("record of a failed batch: %v", err)
	}
	commit(t, s, func(b *Batch) { l[1].put(b); l[2].put(b); l[3].put(b) })
	for _, x := range l {
		x.same(t, s)
	}
}

func TestEnqueueKeepsOrder(t *testing.T) {
	s := open(t, t.TempDir())
	a, b := authorOf(t, 1), authorOf(t, 2)
	la, lb := a.some(t, 40, 100), b.some(t, 20, 100)
	var waitsA, waitsB []<-chan error
	enqueue := func(l link) <-chan error {
		var batch Batch
		l.put(&batch)
		return s.Enqueue(&batch)
	}
	for i, l := range la {
		if i == 20 {
			continue // this one never comes
		}
		waitsA = append(waitsA, enqueue(l))
		if i < len(lb) {
			waitsB = append(waitsB, enqueue(lb[i]))
		}
	}
	for i, w := range waitsA {
		err := <-w
		if i < 20 && err != nil || i >= 20 && !errors.Is(err, protocol.ErrGap) {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, w := range waitsB {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
	ca, _ := s.Chain(a.feed)
	cb, _ := s.Chain(b.feed)
	if ca.Seq != 20 || cb.Seq != 20 {
		t.Errorf("heads %d and %d", ca.Seq, cb.Seq)
	}
}

// Writers that wait for their own batches commit each other's, beside those
// that leave it to the committer, and beside Close: each batch is durable or
// refused, and none waits for ever.
func TestStagedBatchesCommitThemselves(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const writers, each = 8, 30
	var authors []*author
	kept := make([]uint64, writers)
	for i := range writers {
		authors = append(authors, authorOf(t, byte(i+1)))
	}
	var all sync.WaitGroup
	half := make(chan struct{}, writers)
	for i := range writers {
		list := authors[i].some(t, each, 100)
		all.Go(func() {
			for n, l := range list {
				var b Batch
				l.put(&b)
				var err error
				if (n+i)%3 == 0 {
					err = <-s.Enqueue(&b)
				} else {
					err = s.Stage(&b)()
				}
				switch {
				case err == nil:
					kept[i]++
				case !errors.Is(err, ErrClosed):
					t.Error(err)
				}
				if n == each/2 {
					half <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-half
	}
	mustClose(t, s)
	all.Wait()
	s = open(t, dir)
	for i, a := range authors {
		if c, _ := s.Chain(a.feed); c.Seq != kept[i] || c.Seq <= each/2 {
			t.Errorf("writer %d: %d kept of %d acknowledged", i, c.Seq, kept[i])
		}
	}
}

func TestLargeBatchIsCutInOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := authorOf(t, 1)
	l := a.some(t, 3000, 700)
	commit(t, s, func(b *Batch) {
		for _, x := range l {
			x.put(b)
		}
	})
	mustClose(t, s)
	s = open(t, dir)
	if c, _ := s.Chain(a.feed); c.Seq != 3000 || s.Damage().Any() {
		t.Fatalf("seq %d, %v", c.Seq, s.Damage())
	}
	for _, x := range l {
		x.same(t, s)
	}
}

func TestReceiptsDoNotGoBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	w := newWorld()
	a := authorOf(t, 1)
	a.some(t, 9, 10)
	mk := func(seq uint64, held ...protocol.Range) protocol.Receipt {
		return protocol.Receipt{Version: protocol.Version, Network: w.network, Org: w.a, Node: a.w.Node, Feed: a.feed, Seq: seq, Held: held}
	}
	check := func(want protocol.Receipt) {
		t.Helper()
		rs, err := s.Receipts(a.feed)
		if err != nil || len(rs) != 1 || !bytes.Equal(rs[0].Body, protocol.Encode(want)) {
			t.Errorf("receipts %v, %v", rs, err)
		}
	}
	put := func(r protocol.Receipt) {
		commit(t, s, func(b *Batch) { b.Receipt(protocol.SignReceipt(w.key, r), r) })
	}
	held := protocol.Range{From: 4, To: 5}
	put(mk(5, held))
	put(mk(4))
	check(mk(5, held))
	put(mk(5)) // vouches for more
	check(mk(5))
	put(mk(5, held))
	check(mk(5))
	put(mk(6, held))
	check(mk(6, held))
	mustClose(t, s)
	s = open(t, dir)
	check(mk(6, held))
	put(mk(5))
	check(mk(6, held))
	if rs, err := s.Receipts(protocol.FeedID{9}); len(rs) != 0 || err != nil {
		t.Errorf("receipts of nothing: %v, %v", rs, err)
	}
}

func TestRegisterRows(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	leaf := func(i int) []byte { return fmt.Appendf(nil, "invented leaf %d", i) }
	for i := range 100 {
		commit(t, s, func(b *Batch) { b.Leaf(uint64(i), leaf(i)) })
	}
	commit(t, s, func(b *Batch) {
		b.Leaf(7, leaf(7))
		b.Accept(90)
		b.Note(90, []byte("a note"))
		b.Note(95, []byte("b"))
	})
	commit(t, s, func(b *Batch) { b.Accept(10); b.Note(90, []byte("a better note")) })
	wantErr(t, "another leaf", try(s, func(b *Batch) { b.Leaf(7, leaf(8)) }), ErrConflict)
	wantErr(t, "leaf after a gap", try(s, func(b *Batch) { b.Leaf(101, leaf(101)) }), ErrConflict)
	wantErr(t, "accept too much", try(s, func(b *Batch) { b.Accept(101) }), ErrConflict)
	mustClose(t, s)
	s = open(t, dir)
	if s.LeafCount() != 100 || s.Accepted() != 90 {
		t.Errorf("leaves %d, accepted %d", s.LeafCount(), s.Accepted())
	}
	n := 5
	err := s.Leaves(5, 1000, func(i uint64, l []byte) error {
		if int(i) != n || !bytes.Equal(l, leaf(n)) {
			return fmt.Errorf("leaf %d is %q", i, l)
		}
		n++
		return nil
	})
	if err != nil || n != 100 {
		t.Error(n, err)
	}
	if note, err := s.Note(90); string(note) != "a better note" || err != nil {
		t.Errorf("note %q, %v", note, err)
	}
	_, err = s.Note(91)
	wantErr(t, "no note", err, ErrAbsent)
	if got := s.Notes(0, 94); len(got) != 1 || got[0] != 90 {
		t.Error(got)
	}
}

func TestOutboxAndValues(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	large := invented(5 << 20)
	commit(t, s, func(b *Batch) {
		b.Outbox("b", large)
		b.Outbox("a", invented(10))
		b.MetaUint("n", 7)
		b.Meta("v", []byte{})
	})
	mustClose(t, s)
	s = open(t, dir)
	if got := s.Outbox(); len(got) != 2 || got[0] != "a" {
		t.Error(got)
	}
	if e, err := s.OutboxEntry("b"); err != nil || !bytes.Equal(e, large) {
		t.Error(len(e), err)
	}
	if n, err := s.MetaUint("n"); n != 7 || err != nil {
		t.Error(n, err)
	}
	if v, err := s.Meta("v"); len(v) != 0 || err != nil {
		t.Error(v, err)
	}
	commit(t, s, func(b *Batch) { b.OutboxDone("b"); b.OutboxDone("none"); b.Meta("n", nil) })
	_, err := s.OutboxEntry("b")
	wantErr(t, "done", err, ErrAbsent)
	_, err = s.MetaUint("n")
	wantErr(t, "removed", err, ErrAbsent)
	wantErr(t, "no name", try(s, func(b *Batch) { b.Meta("", nil) }), ErrConflict)
	wantErr(t, "too large", try(s, func(b *Batch) { b.Meta("m", make([]byte, maxValue+1)) }), ErrConflict)
	mustClose(t, s)
	if s = open(t, dir); s.Damage().Any() {
		t.Error(s.Damage())
	}
}

func TestSectionsLater(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := authorOf(t, 1)
	key := a.next(t)
	full := a.next(t, invented(500), invented(600<<10))
	bare, err := protocol.Reload(newWorld().network, full.rec.ID(), protocol.Envelope{Core: full.rec.CoreBytes(), Signature: full.rec.Signature()}, protocol.Linked, 0)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, func(b *Batch) { key.put(b); b.Link(bare, full.chain); b.Owe(a.feed, 2, 0, 1) })
	if w := s.Wants(a.feed); len(w) != 1 || w[0].Seq != 2 || w[0].ID != full.rec.ID() || w[0].Core || len(w[0].Sections) != 2 {
		t.Fatalf("wants %+v", w)
	}
	wantErr(t, "wrong bytes", try(s, func(b *Batch) { b.Section(a.feed, 2, 1, full.rec.Section(0)) }), protocol.ErrSection)
	wantErr(t, "no such record", try(s, func(b *Batch) { b.Section(a.feed, 3, 0, nil) }), ErrAbsent)
	commit(t, s, func(b *Batch) { b.Section(a.feed, 2, 1, full.rec.Section(1)) })
	mustClose(t, s)
	s = open(t, dir)
	if w := s.Wants(a.feed); len(w) != 1 || len(w[0].Sections) != 1 || w[0].Sections[0] != 0 {
		t.Fatalf("wants %+v", w)
	}
	commit(t, s, func(b *Batch) { b.Section(a.feed, 2, 0, full.rec.Section(0)) })
	if w := s.Wants(a.feed); len(w) != 0 {
		t.Fatalf("wants %+v", w)
	}
	full.same(t, s)
	commit(t, s, func(b *Batch) { b.Drop(a.feed, 2, 1) })
	rec, err := s.Record(a.feed, 2)
	if err != nil || rec.Section(0) == nil || rec.Section(1) != nil || len(s.Wants(a.feed)) != 0 {
		t.Errorf("after a drop: %v, %+v", err, s.Wants(a.feed))
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const feeds, each = 16, 30
	all := make([][]link, feeds)
	for i := range all {
		all[i] = authorOf(t, byte(i)).some(t, each, 300)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var writers, readers sync.WaitGroup
	for i, links := range all {
		writers.Go(func() {
			for _, l := range links {
				commit(t, s, func(b *Batch) { l.put(b); b.MetaUint(fmt.Sprint("feed", i), l.rec.Core().Seq) })
				l.same(t, s) // what is acknowledged can be read
			}
		})
	}
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				for _, f := range s.Feeds() {
					last := uint64(0)
					err := s.Range(f.Feed, 1, f.Chain.Seq, func(r *protocol.Record) error { last = r.Core().Seq; return nil })
					if err != nil || last != f.Chain.Seq {
						t.Errorf("read %d of %d: %v", last, f.Chain.Seq, err)
					}
				}
				if r, err := s.VerifyAll(ctx, nil, nil); ctx.Err() == nil && (err != nil || r.LostRecords+r.LostSections > 0) {
					t.Errorf("verify: %+v, %v", r, err)
				}
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	mustClose(t, s)
	wantErr(t, "after close", try(s, func(b *Batch) { b.Meta("x", nil) }), ErrClosed)
	_, err := s.Record(all[0][0].rec.Feed(), 1)
	wantErr(t, "read after close", err, ErrClosed)
	s = open(t, dir)
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
	for _, links := range all {
		for _, l := range links {
			l.same(t, s)
		}
	}
}

// Who comes too late is refused, also where the files failed before Close, and
// the folder is free for the next.
func TestStageAfterCloseOpensNothing(t *testing.T) {
	var free atomic.Uint64
	o := testOptions(t.TempDir())
	o.Room = func(string) (uint64, bool, error) { return free.Load(), true, nil }
	free.Store(1 << 40)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.committer.turn.Lock()
	free.Store(0)
	s.committer.q.Lock()
	s.committer.q.broken = errors.New("the files failed")
	s.committer.q.Unlock()
	s.committer.turn.Unlock()
	mustClose(t, s)
	free.Store(1 << 40)
	var b Batch
	b.Meta("late", []byte("x"))
	wantErr(t, "after Close", s.Stage(&b)(), ErrClosed)
	next, err := Open(o)
	if err != nil {
		t.Fatalf("the folder is not free: %v", err)
	}
	mustClose(t, next)
}
