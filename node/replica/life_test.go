package replica

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

func TestARecordTravels(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, s := w.run("A1"), w.run("B1"), w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		sent := a.send("B", "S")
		for _, n := range []string{"B1", "S1"} {
			if err := a.Await(t.Context(), sent.Feed, sent.Seq, nodeID(n)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || len(got) != 1 || got[0] != text {
			t.Fatalf("B reads %q, %v", got, err)
		}
		if _, err := s.reads(sent.Feed, sent.Seq); !errors.Is(err, ErrNotAReader) {
			t.Errorf("the custodian: %v", err)
		}
		w.until("the record is told", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.seen) == 2 // key and data
		})
		w.settle()
		w.places()
	})
}

// Sections beyond what goes inline are asked for, and no receipt speaks before
// they are here.
func TestLargeSectionsAreWanted(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, _ := w.run("A1"), w.run("B1"), w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		d := draftTo("B", "S")
		d.Contents = append(body("small"), body(string(bytes.Repeat([]byte("invented "), 30_000)))...)
		var sent Sent
		frames := w.tap(func() {
			sent = a.sendDraft(d)
			if err := a.Await(t.Context(), sent.Feed, sent.Seq, nodeID("B1")); err != nil {
				t.Fatal(err)
			}
		})
		got, err := b.reads(sent.Feed, sent.Seq)
		if err != nil || len(got) != 2 || len(got[1]) != 270_000 {
			t.Fatalf("%d sections, %v", len(got), err)
		}
		came := false
		for _, f := range frames {
			if f.proto != ProtoPush {
				continue
			}
			if p, err := protocol.Decode[Push](f.body, MaxPushFrame); err == nil && f.to == "B1" {
				if p.Record != nil && inline(p.Record.Sections) > protocol.MaxInline {
					t.Error("too much went inline")
				}
				came = came || len(p.Sections) > 0
			}
			if x, err := protocol.Decode[PushAnswer](f.body, MaxPushFrame); err == nil && f.from == "B1" && !came {
				for _, rc := range x.Receipts {
					if r, _ := rc.Verify(w.reg.now()); r.Seq >= sent.Seq {
						t.Error("a receipt came before the section")
					}
				}
			}
		}
		if !came {
			t.Error("the section was not pushed when it was wanted")
		}
	})
}

// A record lost on its way shows as a gap at the next one, and is fetched.
func TestGapIsRepaired(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, _ := w.run("A1"), w.run("B1"), w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		drop := true
		w.mu.Lock()
		w.chaos = func(from, to, proto string, f []byte) [][]byte {
			if from == "A1" && to == "B1" && proto == ProtoPush && drop {
				drop = false
				return nil
			}
			return [][]byte{f}
		}
		w.mu.Unlock()
		a.send("B", "S")
		synctest.Wait()
		sent := a.send("B", "S")
		began := time.Now()
		if err := a.Await(t.Context(), sent.Feed, sent.Seq, nodeID("B1")); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > time.Second {
			t.Errorf("repaired after %s", time.Since(began))
		}
		if !b.has(sent.Feed, 4) {
			t.Error("B has a gap")
		}
	})
}

// The author is away when its reader gets the record from the custodian, and
// the reader is away when the author comes back: the custodian has the receipt.
func TestCustodianServesAndPassesReceipts(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, s := w.run("A1"), w.run("S1")
		w.link("A1", "S1")
		a.ready("B", "S")
		sent := a.send("B", "S")
		w.until("the custodian has it", func() bool { return a.vouched(sent.Feed, sent.Seq, "S1") })
		w.halt("A1")
		b := w.run("B1")
		w.link("B1", "S1")
		w.until("B has it", func() bool { return b.has(sent.Feed, sent.Seq) })
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || got[0] != text {
			t.Fatalf("B reads %q, %v", got, err)
		}
		w.until("the custodian has B's receipt", func() bool { return s.vouched(sent.Feed, sent.Seq, "B1") })
		w.halt("B1")
		a = w.runOn("A1", a.disk)
		w.link("A1", "S1")
		w.until("A has B's receipt", func() bool { return a.vouched(sent.Feed, sent.Seq, "B1") })
		w.places()
	})
}

// Two nodes with nothing to tell one another exchange one message.
func TestIdlePairCostsOneMessage(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		b.ready("A", "S")
		b.send("A", "S")
		w.settle()
		frames := w.tap(func() { w.settle() })
		compared, asks := 0, 0
		for _, f := range frames {
			switch f.proto {
			case ProtoFrontier:
				compared++
				if len(f.body) > 64 {
					t.Errorf("%s sent %d bytes", f.from, len(f.body))
				}
			default:
				asks++
			}
		}
		if asks > 0 {
			t.Errorf("%d other messages", asks)
		}
		// Three pairs, both ways, in 100 s: from 15 s to 45 s apart.
		if compared < 6*2 || compared > 6*8 {
			t.Errorf("%d comparisons", compared)
		}
	})
}

func TestOutboxIsWrittenAfterTheCheck(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a := w.run("A1")
		d := draftTo("B", "S")
		sent := a.sendDraft(d)
		if sent.Queued == 0 || sent.Reason == "" || a.Queued() != 1 {
			t.Fatalf("%+v", sent)
		}
		for _, b := range a.disk.rows.outbox {
			if bytes.Contains(b, []byte("invented")) {
				t.Error("the outbox is readable")
			}
		}
		// It survives a restart, and a locked one.
		w.halt("A1")
		a = w.runOn("A1", a.disk, func(o *Options) { o.Keys.(*ring).lock(true) })
		w.run("S1")
		w.link("A1", "S1")
		w.settle()
		if a.has(sent.Feed, 1) {
			t.Fatal("a locked node wrote")
		}
		a.ring.lock(false)
		a.Unlocked()
		w.until("it is written", func() bool { return a.has(sent.Feed, 2) })
		if a.Queued() != 0 || len(a.disk.rows.outbox) != 0 {
			t.Error("the outbox keeps what was written")
		}
		w.settle()
		if a.has(sent.Feed, 3) {
			t.Error("it was written twice")
		}
		if got, err := a.reads(sent.Feed, 2); err != nil || got[0] != text {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// What can be no record is refused, not queued.
func TestABadDraftIsRefused(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a := w.run("A1")
		w.run("S1")
		bad := map[string]Draft{}
		d := draftTo("B", "S")
		d.Contents = nil
		bad["nothing"] = d
		d = draftTo("B", "S")
		d.Contents[0].Set = 1
		bad["no such part"] = d
		d = draftTo("B", "P")
		bad["police keep nothing"] = d
		d = draftTo("B", "")
		bad["nobody keeps it"] = d
		d = draftTo("B", "S")
		d.Expiry = today - 1
		bad["expired"] = d
		d = draftTo("B", "S")
		d.Audience = protocol.Audience{}
		bad["to nobody"] = d
		d = draftTo("B", "S")
		d.Contents[0].Body = make([]byte, protocol.MaxBody+1)
		bad["too large"] = d
		for _, when := range []string{"before the check", "after it"} {
			if when == "after it" {
				w.link("A1", "S1")
				w.settle()
			}
			for name, d := range bad {
				if s, err := a.Send(t.Context(), d); err == nil {
					t.Errorf("%s, %s: %+v", name, when, s)
				}
			}
			if a.Queued() != 0 || len(a.allFeeds()) != 0 {
				t.Errorf("%s: something stayed", when)
			}
		}
	})
}

func TestLockedNodeKeepsAndReceipts(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, _ := w.run("A1"), w.run("B1"), w.run("S1")
		b.ring.lock(true)
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		sent := a.send("B", "S")
		if err := a.Await(t.Context(), sent.Feed, sent.Seq, nodeID("B1")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.reads(sent.Feed, sent.Seq); !errors.Is(err, ErrLocked) {
			t.Errorf("locked: %v", err)
		}
		if _, err := b.Send(t.Context(), draftTo("A", "S")); !errors.Is(err, ErrLocked) {
			t.Errorf("locked: %v", err)
		}
		b.ring.lock(false)
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || got[0] != text {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestBacklog(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		const many = 5000
		a := w.run("A1")
		w.run("S1")
		w.link("A1", "S1")
		a.ready("B", "S")
		var last Sent
		for range many {
			last = a.send("B", "S")
		}
		w.until("the custodian has all", func() bool { return a.vouched(last.Feed, last.Seq, "S1") })
		w.halt("A1")
		b := w.run("B1")
		w.link("B1", "S1")
		w.until("B has all", func() bool { return b.has(last.Feed, last.Seq) })
		w.until("all are told", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.seen) == many+1
		})
		if got, err := b.reads(last.Feed, last.Seq); err != nil || got[0] != text {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// A suspended author's later records are kept sealed, unvouched and unshown,
// and when the suspension ends they are links like others, everywhere.
func TestHeldAndReleased(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, s := w.run("A1"), w.run("B1"), w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		// A does not know of its suspension yet, and so writes.
		size := w.reg.now().Size()
		a.mu.Lock()
		a.held = func() members { return w.reg.at(size) }
		a.mu.Unlock()
		w.reg.leaves(t, "suspend A")
		// Nobody speaks to A now: its record comes as if from a bundle.
		sent, err := a.Send(t.Context(), draftTo("B", "S"))
		if err != nil {
			t.Fatal(err)
		}
		hand := func(to *tnode) {
			signed, err := protocol.Open(w.reg.now(), a.record(sent.Feed, sent.Seq).Envelope(protocol.Entitlement{Core: true}))
			if err != nil {
				t.Fatal(err)
			}
			var sections [][]byte
			for i := range signed.Core().Sections() {
				sections = append(sections, a.record(sent.Feed, sent.Seq).Section(i))
			}
			to.settlePage([]taken{to.take(signed, sections)}, nil)
		}
		hand(b)
		hand(s)
		if got := b.record(sent.Feed, sent.Seq); got.State() != protocol.Held {
			t.Fatalf("state %v", got.State())
		}
		if _, err := b.reads(sent.Feed, sent.Seq); !errors.Is(err, ErrNotAReader) {
			t.Errorf("a held record opens: %v", err)
		}
		w.settle()
		if s.vouched(sent.Feed, sent.Seq, "B1") || b.vouched(sent.Feed, sent.Seq, "S1") {
			t.Error("a held record is vouched for")
		}
		a.mu.Lock()
		a.held = nil
		a.mu.Unlock()
		w.leaves("reinstate A")
		w.until("it is released and receipted", func() bool {
			return a.vouched(sent.Feed, sent.Seq, "B1") && a.vouched(sent.Feed, sent.Seq, "S1") && s.vouched(sent.Feed, sent.Seq, "B1")
		})
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || got[0] != text {
			t.Errorf("%q, %v", got, err)
		}
		// After a restart too.
		w.halt("B1")
		b = w.runOn("B1", b.disk)
		if got := b.Feeds(); len(got) != 1 || len(got[0].Chain.Held) != 0 || b.record(sent.Feed, sent.Seq).State() != protocol.Linked {
			t.Error("the release is not on disk")
		}
	})
}

// Who was away hears of a suspension before it takes what a custodian held for
// it, or what the author itself brings.
func TestRegisterBeforeRecords(t *testing.T) {
	for _, from := range []string{"S1", "A1"} {
		t.Run(from, func(t *testing.T) {
			inWorld(t, usual, func(t *testing.T, w *world) {
				var b *tnode
				know := func(n *tnode, f func() members) {
					n.mu.Lock()
					defer n.mu.Unlock()
					n.held = f
				}
				a := w.run("A1")
				b = w.run("B1", func(o *Options) {
					o.Before = func(ctx context.Context, id protocol.NodeID) {
						if id == nodeID(from) && pause(ctx, 3*time.Second) {
							know(b, nil)
						}
					}
				})
				w.run("S1")
				w.link("A1", "B1", "S1")
				a.ready("B", "S")
				sent := a.send("B", "S")
				w.until("B has it", func() bool { return b.has(sent.Feed, sent.Seq) })
				w.cut("A1", "B1")
				w.cut("B1", "S1")
				before := w.reg.now()
				know(a, func() members { return before })
				know(b, func() members { return before })
				late := func() { sent = a.send("B", "S") }
				if from == "S1" {
					late()
					w.until("the custodian has it", func() bool { return a.vouched(sent.Feed, sent.Seq, "S1") })
				}
				w.reg.leaves(t, "suspend A")
				w.link("B1", from)
				if from == "A1" {
					late()
				}
				w.until("B has the late one", func() bool { return b.has(sent.Feed, sent.Seq) })
				if got := b.record(sent.Feed, sent.Seq).State(); got != protocol.Held {
					t.Errorf("state %v", got)
				}
			})
		})
	}
}
