package store

import (
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// suspended is the world after author A's node was suspended.
type suspended struct{ *world }

func (s suspended) NodeAt(id protocol.NodeID, size uint64) (protocol.Node, bool) {
	n, ok := s.world.NodeAt(id, size)
	n.Status = protocol.Suspended
	return n, ok
}

// hold is a link as it comes to be of an author suspended since.
func hold(t *testing.T, c protocol.Chain, l link) link {
	t.Helper()
	w := newWorld()
	env := protocol.Envelope{Core: l.rec.CoreBytes(), Signature: l.rec.Signature()}
	s, err := protocol.Open(w, env)
	if err != nil {
		t.Fatal(err)
	}
	rec, chain, err := c.Link(suspended{w}, s)
	if err != nil || rec.State() != protocol.Held {
		t.Fatalf("%v, %v", rec.State(), err)
	}
	for i := range rec.Core().Sections() {
		if err := rec.Attach(i, l.rec.Section(i)); err != nil {
			t.Fatal(err)
		}
	}
	return link{rec, chain}
}

func TestRelease(t *testing.T) {
	a := authorOf(t, 77)
	s := open(t, t.TempDir())
	links := a.some(t, 9, 200) // 1 and 2 are linked, 3 to 6 held, 7 linked again, 8 and 9 held
	chain := protocol.Chain{}
	for i, l := range links {
		if seq := i + 1; seq >= 3 && seq != 7 {
			l = hold(t, chain, l)
		} else if seq == 7 {
			sg, err := protocol.Open(newWorld(), protocol.Envelope{Core: l.rec.CoreBytes(), Signature: l.rec.Signature()})
			if err != nil {
				t.Fatal(err)
			}
			rec, c, err := chain.Link(newWorld(), sg)
			if err != nil {
				t.Fatal(err)
			}
			l = link{rec, c}
		}
		chain = l.chain
		commit(t, s, l.put)
	}
	state := func(s *Store, want string) {
		t.Helper()
		got := ""
		for seq := range uint64(9) {
			rec, err := s.Record(a.feed, seq+1)
			if err != nil {
				t.Fatal(err)
			}
			got += string("?lrh"[rec.State()])
		}
		if got != want {
			t.Errorf("states %s, want %s", got, want)
		}
	}
	state(s, "llhhhhlhh")
	commit(t, s, func(b *Batch) { b.Release(a.feed, 4, 5) })
	state(s, "llhllhlhh")
	if c, _ := s.Chain(a.feed); len(c.Held) != 3 || c.Held[0] != (protocol.Range{From: 3, To: 3}) || c.Held[1] != (protocol.Range{From: 6, To: 6}) {
		t.Errorf("held: %v", c.Held)
	}
	commit(t, s, func(b *Batch) { b.Release(a.feed, 1, 12); b.Release(protocol.FeedID{1}, 1, 2) })
	state(s, "lllllllll")
	if c, _ := s.Chain(a.feed); c.Held != nil || c.Seq != 9 {
		t.Errorf("chain: %+v", c)
	}
	dir := s.opt.Dir
	mustClose(t, s)
	s = open(t, dir)
	state(s, "lllllllll")
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
	for _, l := range links[7:] {
		got, err := s.Record(a.feed, l.rec.Core().Seq)
		if err != nil || string(got.Section(0)) != string(l.rec.Section(0)) {
			t.Errorf("a section is another one, %v", err)
		}
	}
}
