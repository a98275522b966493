package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// vanish makes a row disappear behind the store's back, as a flipped byte in a
// table does.
func vanish(t *testing.T, s *Store, keys ...[]byte) {
	t.Helper()
	var rows []journalRow
	for _, k := range keys {
		rows = append(rows, journalRow{key: k})
	}
	if err := s.give(); err != nil {
		t.Fatal(err)
	}
	s.fresh.giving.Lock()
	defer s.fresh.giving.Unlock()
	s.fresh.version++
	err := applyRows(s.db, rows, s.fresh.version)
	if err != nil {
		t.Fatal(err)
	}
}

func TestLostRecordsAreWantedAndRestored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a, other := authorOf(t, 1), authorOf(t, 1)
	l := append(append(a.some(t, 5, 300), a.next(t, invented(2*inlineMax))), a.some(t, 4, 300)...)
	fork := other.some(t, 10, 300)
	commit(t, s, func(b *Batch) {
		for _, x := range l {
			x.put(b)
		}
	})
	feed := a.feed
	// 3 and 4 with all that names 3; 6 without its section; 8 without its index.
	vanish(t, s, keyRecord(feed, 3), keyRecord(feed, 4), keySeq(rowID, feed, 3), keyPiece(feed, 6, 0, 0), keySeq(rowID, feed, 8))
	_, err := s.Record(feed, 3)
	wantErr(t, "lost record", err, ErrLost)
	_, err = s.Record(feed, 11)
	wantErr(t, "never was", err, ErrAbsent)
	rec, err := s.Record(feed, 6)
	var lost *Lost
	if !errors.As(err, &lost) || lost.Core || len(lost.Sections) != 1 || rec == nil || rec.Section(0) != nil {
		t.Errorf("lost section: %v %v", rec, err)
	}
	n := 0
	err = s.Range(feed, 1, 10, func(*protocol.Record) error { n++; return nil })
	if !errors.As(err, &lost) || lost.Seq != 3 || n != 2 {
		t.Errorf("range: %d, %v", n, err)
	}
	r, err := s.VerifyAll(context.Background(), nil, nil)
	if err != nil || r.LostRecords != 2 || r.LostSections != 1 || r.Mended != 1 {
		t.Errorf("VerifyAll = %+v, %v", r, err)
	}
	if v, err := s.get(keySeq(rowID, feed, 8)); err != nil || protocol.RecordID(v) != l[7].rec.ID() {
		t.Errorf("mended index: %x, %v", v, err)
	}
	w := s.Wants(feed)
	if len(w) != 3 || w[0].Seq != 3 || !w[0].ID.IsZero() || !w[0].Core || w[1].Seq != 4 || w[1].ID != l[3].rec.ID() || w[2].Seq != 6 || w[2].Core {
		t.Fatalf("wants %+v", w)
	}
	whole := func(x link) protocol.Envelope {
		e := protocol.Envelope{Core: x.rec.CoreBytes(), Signature: x.rec.Signature()}
		for i := range x.rec.Core().Sections() {
			e.Sections = append(e.Sections, x.rec.Section(i))
		}
		return e
	}
	wantErr(t, "restore another record", try(s, func(b *Batch) { b.Restore(whole(fork[3])) }), protocol.ErrSection)
	wantErr(t, "restore what nothing names", try(s, func(b *Batch) { b.Restore(whole(l[2])) }), protocol.ErrSection)
	commit(t, s, func(b *Batch) {
		b.Restore(whole(l[3]))
		b.Restore(whole(l[2]))
		b.Section(feed, 6, 0, l[5].rec.Section(0))
	})
	check := func() {
		t.Helper()
		for _, x := range l {
			x.same(t, s)
		}
		if w := s.Wants(feed); len(w) != 0 {
			t.Errorf("wants %+v", w)
		}
		r, err := s.VerifyAll(context.Background(), nil, nil)
		if err != nil || r.LostRecords+r.LostSections+r.Mended != 0 {
			t.Errorf("VerifyAll = %+v, %v", r, err)
		}
	}
	check()
	mustClose(t, s)
	s = open(t, dir)
	check()
	// The newest record: the chain still names it.
	vanish(t, s, keyRecord(feed, 10))
	mustClose(t, s)
	s = open(t, dir)
	if d := s.Damage(); len(d.Heads) != 1 || d.Heads[0] != feed {
		t.Errorf("damage %+v", d)
	}
	commit(t, s, func(b *Batch) { b.Restore(whole(l[9])) })
	check()
	_ = a.next(t, invented(20))
}

func TestLostRowsOfEveryKindShow(t *testing.T) {
	w := newWorld()
	a := authorOf(t, 1)
	l := a.some(t, 3, 30)
	receipt := protocol.Receipt{Version: protocol.Version, Network: w.network, Org: w.a, Node: a.w.Node, Feed: a.feed, Seq: 3}
	for name, c := range map[string]struct {
		keys [][]byte
		kind string
	}{
		"both chains": {[][]byte{keyFeed(rowChain, a.feed), keyFeed(rowChain2, a.feed)}, "feeds"},
		"receipt":     {[][]byte{keyReceipt(a.feed, a.w.Node)}, "receipts"},
		"note":        {[][]byte{keyNumber(rowNote, 1)}, "notes"},
		"outbox":      {[][]byte{keyName(rowOutbox, "entry")}, "outbox"},
		"value":       {[][]byte{keyName(rowMeta, "applied")}, "values"},
		"owed":        {[][]byte{keySeq(rowOwed, a.feed, 2)}, "owed sections"},
		"totals":      {[][]byte{keyTotals}, "totals"},
		"one chain":   {[][]byte{keyFeed(rowChain, a.feed)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			commit(t, s, func(b *Batch) {
				for _, x := range l {
					x.put(b)
				}
				b.Leaf(0, []byte("leaf"))
				b.Note(1, []byte("note"))
				b.Receipt(protocol.SignReceipt(w.key, receipt), receipt)
				b.Outbox("entry", invented(10))
				b.MetaUint("applied", 1)
				b.Owe(a.feed, 2, 5)
			})
			vanish(t, s, c.keys...)
			if name == "receipt" {
				_, err := s.Receipts(a.feed)
				wantErr(t, "receipts", err, ErrLost)
			}
			if name == "value" {
				_, err := s.MetaUint("applied")
				wantErr(t, "value", err, ErrLost)
			}
			mustClose(t, s)
			s = open(t, dir)
			d := s.Damage()
			if c.kind == "" {
				if d.Any() {
					t.Errorf("damage %+v", d)
				}
				for _, x := range l {
					x.same(t, s)
				}
				return
			}
			found := false
			for _, k := range d.Kinds {
				found = found || k == c.kind
			}
			if !found {
				t.Errorf("damage %+v, want %q", d, c.kind)
			}
			// It goes on, and what was written after the damage is counted right.
			commit(t, s, func(b *Batch) { b.Meta("after", []byte("x")) })
			mustClose(t, s)
			if s = open(t, dir); s.Damage().Any() {
				t.Errorf("damage stays: %+v", s.Damage())
			}
		})
	}
}

// A store that goes back to an older state, as an old disk image does or a
// damaged log, shows it.
func TestLostCommitsShow(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 20 {
		commit(t, s, func(b *Batch) { b.MetaUint("n", uint64(i)) })
	}
	number := s.totals.Commit
	mustClose(t, s)
	c, err := openCounter(filepath.Join(dir, "count"))
	if err != nil {
		t.Fatal(err)
	}
	if n, whole, torn := c.read(); n != number || whole != 2 || torn {
		t.Fatalf("counter %d %d %v, want %d", n, whole, torn, number)
	}
	if err := c.write(number + 5); err != nil {
		t.Fatal(err)
	}
	c.close()
	s = open(t, dir)
	if d := s.Damage(); d.Commits != 5 {
		t.Errorf("damage %+v", d)
	}
	commit(t, s, func(b *Batch) { b.MetaUint("n", 99) })
	mustClose(t, s)
	if s = open(t, dir); s.Damage().Any() {
		t.Errorf("damage stays: %v", s.Damage())
	}
}
