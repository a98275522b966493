package replica

import (
	"errors"
	"math"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// A page holds the records that were asked for, in their order: one old record
// again and again would keep a feed being fetched for ever, at its author's
// cost.
func TestAttackPageOfReplays(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		sent := a.send("B", "S")
		w.settle()
		rec := a.record(sent.Feed, sent.Seq)
		old := protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature()}
		pages := 0
		w.doors["S1"] = func(proto string, _ []byte) ([]byte, error) {
			if proto != ProtoFetch {
				return nil, errors.New("only fetched from")
			}
			pages++
			list := make([]protocol.Envelope, 100)
			for i := range list {
				list[i] = old
			}
			return protocol.Encode(FetchAnswer{Records: list}), nil
		}
		author, peer := b.authors.of(nodeID("A1")).Tokens(), b.pushers.of(nodeID("S1")).Tokens()
		err := b.fetchRange(t.Context(), b.peer(nodeID("S1")), sent.Feed, sent.Seq+1, math.MaxUint64)
		if !errors.Is(err, errNotTaken) || pages > 10 {
			t.Errorf("%d pages, %v", pages, err)
		}
		if now := b.authors.of(nodeID("A1")).Tokens(); now < author {
			t.Errorf("the author paid %v", author-now)
		}
		if now := b.pushers.of(nodeID("S1")).Tokens(); now > peer-dropCost/2 {
			t.Errorf("the peer paid %v", peer-now)
		}
	})
}

// A record that is on its way to the disk without its section while its feed is
// reloaded, since a commit before it failed, is known to lack it afterwards:
// it is not vouched for, and the section is taken when it comes.
func TestLackIsKnownAfterFailedCommits(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "S1")
		a.ready("B", "S")
		x, y := a.send("B", "S"), a.send("B", "S")
		w.settle()
		get := func(seq uint64) (*protocol.Signed, [][]byte) {
			r := a.record(x.Feed, seq)
			s, err := protocol.Open(b.members(), protocol.Envelope{Core: r.CoreBytes(), Signature: r.Signature()})
			if err != nil {
				t.Fatal(err)
			}
			var sections [][]byte
			for i := range r.Core().Sections() {
				sections = append(sections, r.Section(i))
			}
			return s, sections
		}
		for seq := uint64(1); seq < x.Seq; seq++ {
			got := b.take(get(seq))
			b.settle(got, got.wait())
		}
		first, parts := get(x.Seq)
		second, more := get(y.Seq)
		set := func(f func()) {
			b.disk.mu.Lock()
			defer b.disk.mu.Unlock()
			f()
			b.disk.kick()
		}
		set(func() { b.disk.fault = func(Change) error { return errors.New("the disk fails") } })
		one, two := b.take(first, parts), b.take(second, more)
		oneErr, twoErr := one.wait(), two.wait()
		set(func() { b.disk.fault, b.disk.paused = nil, true })
		b.settle(one, oneErr)
		again := b.take(first, nil) // the section is to come
		b.settle(two, twoErr)       // told late, while that one is on its way
		b.take(second, more)        // reloads the feed
		set(func() { b.disk.paused = false })
		if err := again.wait(); again.verdict != Want || err != nil {
			t.Fatalf("%+v, %v", again, err)
		}
		b.settle(again, nil)
		if body, _ := b.vouch(b.feed(x.Feed)); body.Seq >= x.Seq {
			t.Errorf("it vouches up to %d, and lacks a section of %d", body.Seq, x.Seq)
		}
		got := b.takeSections(Push{Feed: x.Feed, Seq: x.Seq, Sections: []Section{{0, parts[0]}}})
		if got.wait == nil || got.wait() != nil {
			t.Fatalf("the section is turned away: %+v", got)
		}
		if rec, err := b.disk.Record(x.Feed, x.Seq); err != nil || rec.Section(0) == nil {
			t.Errorf("the section is not kept: %v", err)
		}
	})
}
