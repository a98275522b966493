package replica

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// The lone secretariat has nobody to ask about its own feed; with another node
// beside it, it asks that one.
func TestTheSecretariatsOwnFeed(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		s := w.run("S1")
		if sent := s.send("S", ""); sent.Seq != 2 {
			t.Errorf("seq %d", sent.Seq)
		}
		if sent := s.sendDraft(draftTo("A", "")); sent.Queued == 0 {
			t.Error("to others it asks nobody")
		}
		w.leaves("node S2 S")
		if sent := s.sendDraft(draftTo("S", "")); sent.Queued == 0 {
			t.Error("it does not ask its other node")
		}
		w.run("S2")
		w.link("S1", "S2")
		w.until("it is written", func() bool { return s.Queued() == 1 })
	})
}

// A feed waits for its own custodian, not for any; one that was revoked is not
// waited for.
func TestTheFeedsOwnCustodian(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a := w.run("A1")
		w.run("S1")
		w.run("C1")
		w.link("A1", "S1", "C1")
		a.ready("B", "C")
		sent := a.send("B", "C")
		w.settle()
		w.halt("A1")
		a = w.runOn("A1", a.disk)
		w.link("A1", "S1")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if q := a.sendDraft(draftTo("B", "S")); q.Queued == 0 {
			t.Fatal("the secretariat answered for C")
		}
		a.ready("G", "S") // a new feed waits for whom it names
		w.leaves("revoke C")
		w.until("it is written without C", func() bool { return a.Queued() == 0 })
		if c := a.feed(sent.Feed).chain(); c.Seq != 4 {
			t.Errorf("seq %d", c.Seq)
		}
	})
}

// A reader that connects and never answers holds a writer up for a while, and
// not for ever; nor does one that answers without end, or nonsense.
func TestAttackSilentReader(t *testing.T) {
	for name, answer := range map[string]func(ctx context.Context) ([]byte, error){
		"silent":   func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
		"nonsense": func(context.Context) ([]byte, error) { return []byte("junk"), nil },
		"without end": func(context.Context) ([]byte, error) {
			return protocol.Encode(FetchAnswer{Heads: []FeedHead{{}}, More: true}), nil
		},
		"never sure": func(context.Context) ([]byte, error) { return protocol.Encode(FetchAnswer{Unsure: true}), nil },
		"invented": func(context.Context) ([]byte, error) {
			return protocol.Encode(FetchAnswer{Heads: []FeedHead{{Feed: protocol.FeedID{1}, Seq: 1 << 40, Core: []byte("core")}}}), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usual, func(t *testing.T, w *world) {
				a := w.run("A1")
				w.run("S1")
				w.run("B1")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w.mu.Lock()
				w.doors["B1"] = func(string, []byte) ([]byte, error) { return answer(ctx) }
				w.mu.Unlock()
				w.link("A1", "S1", "B1")
				sent := a.sendDraft(draftTo("B", "S"))
				if sent.Queued == 0 && name != "invented" && name != "never sure" {
					t.Error("the reader was not waited for")
				}
				time.Sleep(2*30*time.Second + 2*time.Second)
				synctest.Wait()
				if a.Queued() != 0 || a.Replaced() || !a.has(sent.Feed, 2) {
					t.Errorf("queued %d, replaced %v", a.Queued(), a.Replaced())
				}
				cancel()
			})
		})
	}
}

// Buckets of whoever came by are forgotten when they are full again.
func TestQuotasAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuotas(10, 100)
		spent := protocol.NodeID{0xff}
		q.allow(spent, 100)
		for i := range 3 * maxQuotas {
			q.allow(protocol.NodeID{byte(i), byte(i >> 8), 1}, 1)
			if i%64 == 0 {
				time.Sleep(50 * time.Millisecond)
			}
		}
		if len(q.by) > maxQuotas+100 {
			t.Errorf("%d buckets", len(q.by))
		}
		q.allow(spent, 100)
		if q.allow(spent, 100) {
			t.Error("a spent bucket was refilled by being forgotten")
		}
	})
}
