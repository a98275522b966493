package replica

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// A custodian that a later key record names is due the feed from 1 on, before
// anything that it has linked says so; one that nobody named takes nothing.
func TestCustodianNamedLater(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, _, c := w.run("A1"), w.run("S1"), w.run("C1")
		w.link("A1", "S1", "C1")
		a.ready("B", "S")
		for range 3 {
			a.send("B", "S")
		}
		w.settle()
		if len(c.allFeeds()) != 0 {
			t.Fatal("C has the feed already")
		}
		sent := a.send("B", "C S")
		w.until("C has it from 1 on", func() bool { return a.vouched(sent.Feed, sent.Seq, "C1") })
		for seq := uint64(1); seq <= sent.Seq; seq++ {
			rec := c.record(sent.Feed, seq)
			for i := range rec.Core().Sections() {
				if (rec.Section(i) != nil) != (seq >= 5) {
					t.Errorf("record %d, section %d", seq, i)
				}
			}
		}
		// It ends, and begins again.
		ended := a.send("B", "S")
		w.settle()
		if c.has(ended.Feed, ended.Seq) {
			t.Error("C has what came after its custody")
		}
		again := a.send("B", "C")
		w.until("C is custodian again", func() bool { return a.vouched(again.Feed, again.Seq, "C1") })
		w.places()
	})
}

// One feed that cannot be repaired does not hold up the others.
func TestOneBadFeedDoesNotStopOthers(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a := w.run("A1")
		w.run("S1")
		w.link("A1", "S1")
		a.ready("B", "S")
		audiences := []string{"B", "B P", "B G", "B C", "B P G", "B C P"}
		feeds := map[string]Sent{}
		for _, to := range audiences {
			feeds[to] = a.send(to, "S")
		}
		size := w.reg.now().Size()
		w.leaves("org Z ngo") // B has not heard of this
		late := a.send("B", "S")
		w.settle()
		b := w.run("B1", func(o *Options) {
			o.Members = func() Members { return w.reg.at(size) }
		})
		w.link("B1", "S1")
		w.settle()
		for to, s := range feeds {
			if !b.has(s.Feed, s.Seq) {
				t.Errorf("B lacks the feed to %s", to)
			}
		}
		if b.has(late.Feed, late.Seq) {
			t.Error("B has what it cannot judge")
		}
		if b.Synced(nodeID("S1")).IsZero() {
			t.Error("B says that it never compared")
		}
	})
}

// What is lacking of one record does not make the rest of its feed be fetched
// again and again.
func TestLackingIsAskedForAlone(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, s := w.run("A1"), w.run("B1"), w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		for range 50 {
			a.send("B", "S")
		}
		w.settle()
		feed := b.Feeds()[0].Feed
		for _, n := range []*tnode{a, b, s} {
			n.disk.lose(feed, 3, 0) // nobody has this section any more
		}
		b.disk.lose(feed, 7, 0)   // this one, others have
		b.disk.lose(feed, 11, -1) // and this whole record
		for _, n := range []string{"A1", "S1"} {
			w.cut("B1", n)
		}
		w.halt("B1")
		b = w.runOn("B1", b.disk)
		frames := w.tap(func() {
			w.link("A1", "B1", "S1")
			w.settle()
		})
		records := 0
		for _, f := range frames {
			if f.proto != ProtoFetch || f.to != "B1" {
				continue
			}
			if x, err := protocol.Decode[FetchAnswer](f.body, MaxFetchFrame); err == nil {
				records += len(x.Records)
			}
		}
		if records > 4 {
			t.Errorf("B fetched %d records for one that was lost", records)
		}
		for _, seq := range []uint64{7, 11} {
			if got, err := b.reads(feed, seq); err != nil || got[0] != text {
				t.Errorf("record %d: %q, %v", seq, got, err)
			}
		}
		if rc, _ := b.receipt(b.feed(feed)); rc.Body != nil {
			if got, err := rc.Verify(w.reg.now()); err != nil || got.Seq != 2 {
				t.Errorf("B vouches up to %d, %v", got.Seq, err)
			}
		}
	})
}

// A holder that lost one section serves the record without it, and what comes
// after: who asks gets the section from another holder.
func TestAHolderWithALostSectionServesTheRest(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, s := w.run("A1"), w.run("S1")
		w.link("A1", "S1")
		a.ready("B", "S")
		var last Sent
		for range 6 {
			last = a.send("B", "S")
		}
		w.settle()
		w.halt("A1")
		s.disk.lose(last.Feed, 3, 0)
		b := w.run("B1")
		w.link("B1", "S1")
		w.until("B has the cores", func() bool { return b.has(last.Feed, last.Seq) })
		if got, err := b.reads(last.Feed, last.Seq); err != nil || got[0] != text {
			t.Errorf("%q, %v", got, err)
		}
		if rc, ok := b.receipt(b.feed(last.Feed)); !ok {
			t.Error("B has nothing to say")
		} else if got, err := rc.Verify(w.reg.now()); err != nil || got.Seq != 2 {
			t.Errorf("B vouches up to %d, %v", got.Seq, err)
		}
		a = w.runOn("A1", a.disk)
		w.link("A1", "B1", "S1")
		w.until("B has all", func() bool { return a.vouched(last.Feed, last.Seq, "B1") })
		w.until("and so has the custodian", func() bool { _, err := s.disk.Record(last.Feed, 3); return err == nil })
	})
}

// A record that fails after a new key was made for it must not leave that key
// behind for the next one.
func TestADraftThatFailsLeavesTheKey(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B P", "S")
		a.send("B P", "S")
		bad := draftTo("B P", "S")
		bad.Parts = [][]protocol.OrgID{orgIDs("P")} // needs another key,
		bad.Contents = append(bad.Contents, protocol.Content{Set: 1, Kind: "", Body: []byte("no kind")})
		if _, err := a.Send(t.Context(), bad); err == nil {
			t.Fatal("a section without a kind was written")
		}
		sent := a.send("B P", "S")
		if err := a.Await(t.Context(), sent.Feed, sent.Seq, nodeID("B1")); err != nil {
			t.Fatal(err)
		}
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || got[0] != text {
			t.Errorf("B reads %q, %v", got, err)
		}
	})
}

// An author whose old identity is gone makes a new key instead of standing
// still.
func TestOwnKeyThatDoesNotOpenIsRenewed(t *testing.T) {
	inWorld(t, usual+"\nkey A", func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		w.halt("A1")
		a = w.runOn("A1", a.disk, func(o *Options) { o.Keys.(*ring).ids = w.reg.identities("P") })
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		sent := a.send("B", "S")
		if sent.Seq != 4 {
			t.Fatalf("seq %d", sent.Seq)
		}
		w.until("B has it", func() bool { return b.has(sent.Feed, sent.Seq) })
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || got[0] != text {
			t.Errorf("B reads %q, %v", got, err)
		}
	})
}

// A full disk stops writing and receipts, loses nothing, and goes on.
func TestFullDisk(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		first := a.send("B", "S")
		w.settle()
		full := errors.New("the disk is full")
		set := func(n *tnode, f func(Change) error) {
			n.disk.mu.Lock()
			defer n.disk.mu.Unlock()
			n.disk.fault = f
		}
		set(b, func(Change) error { return full })
		second := a.send("B", "S")
		w.settle()
		if a.vouched(second.Feed, second.Seq, "B1") || b.has(second.Feed, second.Seq) {
			t.Fatal("B vouches for what it could not keep")
		}
		if got, err := b.reads(first.Feed, first.Seq); err != nil || got[0] != text {
			t.Errorf("reading stopped: %q, %v", got, err)
		}
		set(b, nil)
		w.until("B goes on", func() bool { return a.vouched(second.Feed, second.Seq, "B1") })
		// The same at the author: what was not written is not sent, and its
		// number is used again for what is.
		set(a, func(c Change) error {
			if len(c.Links) > 0 {
				return full
			}
			return nil
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := a.Send(t.Context(), draftTo("B", "S")); err == nil {
					t.Error("written on a full disk")
				}
			})
		}
		wg.Wait()
		set(a, nil)
		third := a.send("B", "S")
		if third.Seq != second.Seq+1 {
			t.Errorf("seq %d after %d", third.Seq, second.Seq)
		}
		w.until("B has it", func() bool { return a.vouched(third.Feed, third.Seq, "B1") })
		if len(a.Forks())+len(b.Forks()) != 0 {
			t.Error("a fork")
		}
		// A receipt that the author's disk did not take comes to it later.
		set(a, func(c Change) error {
			if len(c.Receipts) > 0 {
				return full
			}
			return nil
		})
		last := a.send("B", "S")
		w.until("B has it", func() bool { return b.has(last.Feed, last.Seq) })
		time.Sleep(time.Second)
		synctest.Wait()
		if a.vouched(last.Feed, last.Seq, "B1") {
			t.Error("a receipt counts that is not durable")
		}
		set(a, nil)
		w.until("the receipt is kept", func() bool { return a.vouched(last.Feed, last.Seq, "B1") })
	})
}

// Many writers at once: the records go out in order, so that nobody sees a gap
// and has to ask.
func TestManyWritersKeepTheOrder(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		frames := w.tap(func() {
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for range 5 {
						s, err := a.Send(t.Context(), draftTo("B", "S"))
						if err != nil {
							t.Error(err)
							return
						}
						if err := a.Await(t.Context(), s.Feed, s.Seq, nodeID("B1")); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
		for _, f := range frames {
			if x, err := protocol.Decode[PushAnswer](f.body, MaxPushFrame); f.proto == ProtoPush && err == nil && len(x.Verdicts) > 0 {
				t.Fatalf("%s answered %+v", f.from, x.Verdicts)
			}
		}
		if c := b.Feeds()[0].Chain; c.Seq != 2+320 {
			t.Errorf("B has %d", c.Seq)
		}
	})
}

// The property: whatever is lost, doubled, put in another order or cut in two
// on the way, when it is whole again everyone has what it is entitled to, and
// nobody has a section that is not its to have.
func TestPropertyEntitledConverge(t *testing.T) {
	for run := range 4 {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			inWorld(t, usual, convergence)
		})
	}
}

func convergence(t *testing.T, w *world) {
	rng := seeded(t)
	var mu sync.Mutex
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n) == 0
	}
	names := []string{"A1", "B1", "C1", "P1", "S1"}
	for _, n := range names {
		w.run(n)
	}
	w.link(names...)
	for _, n := range w.all() {
		n.ready("P", map[bool]string{false: "S"}[n.name == "S1"])
	}
	late := map[string][]byte{}
	w.mu.Lock()
	w.chaos = func(from, to, proto string, b []byte) [][]byte {
		if proto != ProtoPush {
			return [][]byte{b}
		}
		out := [][]byte{b}
		switch {
		case chance(8):
			out = nil
		case chance(8):
			out = append(out, b)
		case chance(8):
			mu.Lock()
			late[from+to], out = b, nil
			mu.Unlock()
		}
		mu.Lock()
		if old := late[from+to]; old != nil && len(out) > 0 {
			out = append(out, old)
			delete(late, from+to)
		}
		mu.Unlock()
		return out
	}
	w.fails = func(string, string, string) bool { return chance(6) }
	w.mu.Unlock()
	for range 60 {
		mu.Lock()
		x, y := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
		act, size, pick := rng.IntN(10), rng.IntN(3), rng.IntN(4)
		mu.Unlock()
		switch n := w.node(x); {
		case act < 6 && n != nil:
			d := draftTo([]string{"B P", "P", "B", "A C P"}[pick], "S")
			if x == "S1" {
				d.Custodians = nil
			}
			if pick == 0 {
				d.Custodians = orgIDs("C S")
			}
			d.Audience.Orgs = slices.DeleteFunc(d.Audience.Orgs, func(o protocol.OrgID) bool { return o == n.self.Org })
			if len(d.Audience.Orgs) == 0 {
				continue
			}
			if len(d.Audience.Orgs) > 1 {
				d.Parts = [][]protocol.OrgID{d.Audience.Orgs[:1]}
				d.Contents = append(d.Contents, protocol.Content{Set: 1, Kind: "test/example", Body: []byte(strings.Repeat("invented ", 1+size*9000))})
			}
			if _, err := n.Send(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		case act == 6:
			w.cut(x, y)
		case act == 7 && x != y && n != nil && w.node(y) != nil:
			w.link(x, y)
		case act == 8 && n != nil:
			d := n.disk
			w.halt(x)
			w.runOn(x, d)
		case act == 9 && n != nil:
			for _, f := range n.Feeds() {
				if f.Chain.Node != n.self.ID && f.Chain.Seq > 1 { // what others can give back
					n.disk.lose(f.Feed, 1+uint64(pick)%f.Chain.Seq, -1)
					break
				}
			}
		}
		time.Sleep(time.Duration(size) * 700 * time.Millisecond)
	}
	w.mu.Lock()
	w.chaos, w.fails = nil, nil
	w.mu.Unlock()
	w.link(names...)
	missing := "nothing"
	defer func() { t.Log("last seen missing:", missing) }()
	w.until("everyone has its own, and nothing is queued or lacking", func() bool {
		for _, author := range w.all() {
			if author.Queued() > 0 {
				missing = author.name + "'s outbox"
				return false
			}
			for _, f := range author.Feeds() {
				if f.Chain.Node != author.self.ID {
					continue
				}
				for _, n := range w.all() {
					c, _, _ := n.disk.Chain(f.Feed)
					if protocol.EntitledFeed(w.reg.now(), &f.Chain, n.self.Org) == f.Chain.Seq && c.Head != f.Chain.Head {
						missing = fmt.Sprintf("%s has %d, %s has %d of feed %s of %s", n.name, c.Seq, author.name, f.Chain.Seq, f.Feed.Short(), f.Chain.Node.Short())
						return false
					}
				}
			}
		}
		return true
	})
	for _, n := range w.all() {
		n.Refresh() // somebody read the whole disk
	}
	w.settle()
	w.places()
	for _, n := range w.all() {
		if len(n.Forks()) > 0 || n.Replaced() {
			t.Errorf("%s: a fork, or replaced", n.name)
		}
		for _, f := range n.Feeds() {
			for seq := uint64(1); seq <= f.Chain.Seq; seq++ {
				rec, err := n.disk.Record(f.Feed, seq)
				if err != nil || len(rec.Missing(n.entitled(n.feed(f.Feed), rec, n.self.Org))) > 0 {
					t.Errorf("%s lacks something of record %d of %d, feed %s of %s: %v", n.name, seq, f.Chain.Seq, f.Feed.Short(), f.Chain.Node.Short(), err)
				}
			}
			for _, author := range w.all() {
				if author.self.ID == f.Chain.Node && author != n && !author.vouched(f.Feed, f.Chain.Seq, n.name) {
					t.Errorf("%s has no receipt of %s for feed %s", author.name, n.name, f.Feed.Short())
				}
			}
		}
	}
}
