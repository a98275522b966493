package store

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func TestRecordsComeBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := authorOf(t, 1)
	links := a.some(t, 5, 1024)
	links = append(links, a.next(t, invented(10), invented(700<<10), invented(3<<20)))
	links = append(links, a.some(t, 1, 10)...)
	commit(t, s, func(b *Batch) {
		for _, l := range links {
			l.put(b)
		}
	})
	check := func(s *Store) {
		t.Helper()
		for _, l := range links {
			l.same(t, s)
		}
		c, ok := s.Chain(a.feed)
		if !ok || !bytes.Equal(protocol.Encode(c), protocol.Encode(a.chain)) {
			t.Errorf("chain = %+v, want %+v", c, a.chain)
		}
		n := 0
		if err := s.Range(a.feed, 2, 100, func(r *protocol.Record) error {
			n++
			want := links[n].rec
			if r.ID() != want.ID() {
				t.Errorf("record %d of a range is another", n+1)
			}
			for i := range want.Core().Sections() {
				if !bytes.Equal(r.Section(i), want.Section(i)) {
					t.Errorf("section %d of record %d in a range", i, n+1)
				}
			}
			return nil
		}); err != nil || n != len(links)-1 {
			t.Errorf("Range passed over %d records, %v", n, err)
		}
		if _, err := s.Record(a.feed, uint64(len(links)+1)); !errors.Is(err, ErrAbsent) {
			t.Errorf("above the head: %v", err)
		}
		if len(s.FeedsOf(a.w.Node)) != 1 || len(s.Feeds()) != 1 || len(s.FeedsOf(protocol.NodeID{9})) != 0 {
			t.Error("feeds are wrong")
		}
		if w := s.Wants(a.feed); len(w) != 0 {
			t.Errorf("wants %+v", w)
		}
		r, err := s.VerifyAll(context.Background(), nil, nil)
		if err != nil || r.Records != uint64(len(links)) || r.LostRecords+r.LostSections+r.Mended != 0 || r.Tables != nil {
			t.Errorf("VerifyAll = %+v, %v", r, err)
		}
	}
	check(s)
	mustClose(t, s)
	s = open(t, dir)
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
	check(s)
}
