package replica

import (
	"context"
	"crypto/rand"
	"runtime"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// holder is a node B1 that holds a feed of A1 for B, and A1's records of it.
func holder(f testing.TB) (*world, *Replica, []*protocol.Record) {
	w := newWorld(f, usual)
	wr := protocol.Writer{Members: w.reg.now(), Org: orgID("A"), Node: nodeID("A1"), Key: w.reg.keys["A1"], Random: rand.Reader, Recipient: new(recipients).parse}
	d := newDisk(w.reg.network)
	rec, c, keys, err := wr.OpenFeed(protocol.Chain{}, protocol.ListAudience(orgID("B")), nil, orgIDs("S"), nil, today, today+500)
	if err != nil {
		f.Fatal(err)
	}
	recs := []*protocol.Record{rec}
	links := []Link{{Record: rec, Chain: c}}
	for range 3 {
		if rec, c, err = wr.Write(c, keys, body(text), today, today+100); err != nil {
			f.Fatal(err)
		}
		recs = append(recs, rec)
		links = append(links, Link{Record: rec, Chain: c})
	}
	if err := d.apply(Change{Links: links[:3]}); err != nil {
		f.Fatal(err)
	}
	r := replicaOn(f, w, "B1", d)
	r.pushers = newQuotas(1e12, pushBurst) // what is looked for is not in the waiting
	return w, r, recs
}

// replicaOn is a replica that is not run, on a disk.
func replicaOn(f testing.TB, w *world, name string, d Disk) *Replica {
	n, _ := w.reg.now().NodeAt(nodeID(name), w.reg.now().Size())
	org, _ := w.reg.now().OrgAt(n.Org, w.reg.now().Size())
	r, err := New(Options{Org: n.Org, Node: n.ID, Key: w.reg.keys[name], Disk: d, Net: nobody{}, Keys: &ring{ids: w.reg.identities(org.Name)},
		Random: rand.Reader, Members: func() Members { return w.reg.now() }, Now: func() time.Time { return w.start }})
	if err != nil {
		f.Fatal(err)
	}
	return r
}

type nobody struct{}

func (nobody) Connected() []protocol.Node { return nil }
func (nobody) Open(context.Context, protocol.NodeID, string) (Stream, error) {
	return nil, context.Canceled
}
func (nobody) Call(context.Context, protocol.NodeID, string, []byte) ([]byte, error) {
	return nil, context.Canceled
}

// bounded fails where f makes far more memory live than it was given.
func bounded(t *testing.T, in int, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(1000*in)+32<<20 {
		t.Fatalf("%d bytes of input made %d bytes of garbage", in, used)
	}
}

func full(rec *protocol.Record) protocol.Envelope {
	env := protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature()}
	for i := range rec.Core().Sections() {
		env.Sections = append(env.Sections, rec.Section(i))
	}
	return env
}

// member is a node as the transport names it to a handler.
func member(w *world, name string) protocol.Node {
	n, _ := w.reg.now().NodeAt(nodeID(name), w.reg.now().Size())
	return n
}

// FuzzPush: whatever is pushed, nothing panics, memory is bounded, and nothing
// is kept but what A1 signed.
func FuzzPush(f *testing.F) {
	w, r, recs := holder(f)
	for _, rec := range recs {
		env := full(rec)
		f.Add(protocol.Encode(Push{Record: &env, Feed: rec.Feed(), Seq: rec.Core().Seq}))
		bare := protocol.Envelope{Core: env.Core}
		f.Add(protocol.Encode(Push{Record: &bare, Feed: rec.Feed(), Seq: rec.Core().Seq}))
		f.Add(protocol.Encode(Push{Feed: rec.Feed(), Seq: rec.Core().Seq, Sections: []Section{{0, rec.Section(0)}, {1 << 40, nil}}}))
	}
	f.Add([]byte{0xa1, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		bounded(t, len(b), func() {
			mine, theirs := newPipe(nil, "C1", "B1", ProtoPush)
			mine.Write(b)
			mine.out.close()
			r.ServePush(t.Context(), member(w, "C1"), theirs)
		})
		for _, s := range r.Feeds() {
			// A fork would be true: another run's seeds are signed too.
			if s.Feed != recs[0].Feed() || s.Chain.Seq > 4 {
				t.Fatalf("%+v", s)
			}
		}
	})
}

// FuzzPushAnswer: whatever a receiver answers.
func FuzzPushAnswer(f *testing.F) {
	w, r, recs := holder(f)
	feed := recs[0].Feed()
	good := protocol.SignReceipt(w.reg.keys["S1"], protocol.Receipt{Version: 1, Network: w.reg.network, Org: orgID("S"), Node: nodeID("S1"), Feed: feed, Seq: 3, Head: recs[2].ID()})
	f.Add(protocol.Encode(PushAnswer{Receipts: []protocol.SignedReceipt{good}}))
	f.Add(protocol.Encode(PushAnswer{Verdicts: []PushVerdict{{Feed: feed, Seq: 2, Verdict: Want, Sections: []uint64{0, 0, 1, 1 << 50}}}}))
	f.Add(protocol.Encode(PushAnswer{Verdicts: []PushVerdict{{Feed: feed, Seq: 2, Verdict: Refuse, Code: 1}, {Verdict: 99}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		bounded(t, len(b), func() {
			mine, theirs := newPipe(nil, "B1", "C1", ProtoPush)
			theirs.Write(b)
			theirs.out.close()
			r.readAnswers(t.Context(), &peer{node: member(w, "C1")}, mine)
			for { // a stranger is sent nothing
				mine.out.close()
				if sent, err := theirs.Read(); err != nil {
					break
				} else {
					t.Fatalf("a stranger was sent %x", sent)
				}
			}
		})
	})
}

// FuzzFetch: whatever is asked, a stranger gets the same empty answer or none.
func FuzzFetch(f *testing.F) {
	w, r, recs := holder(f)
	feed := recs[0].Feed()
	for _, q := range []FetchRequest{{Feed: feed, From: 1, To: 3}, {Feed: feed, From: 1<<64 - 1, To: 1<<64 - 1}, {Feed: feed, From: 2, Sections: []uint64{0, 0, 1 << 60}}, {Own: true}, {From: 5}} {
		f.Add(protocol.Encode(q))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bounded(t, len(b), func() {
			if a, err := r.ServeFetch(t.Context(), member(w, "G1"), b); err == nil && len(a) != 1 {
				t.Fatalf("a stranger got %x", a)
			}
			a, err := r.ServeFetch(t.Context(), member(w, "A1"), b)
			if err == nil && len(a) > MaxFetchFrame {
				t.Fatalf("an answer of %d bytes", len(a))
			}
			if _, derr := protocol.Decode[FetchAnswer](a, MaxFetchFrame); err == nil && derr != nil {
				t.Fatal(derr)
			}
		})
	})
}

// FuzzReceiptBatch: whatever a peer hands over.
func FuzzReceiptBatch(f *testing.F) {
	w, r, recs := holder(f)
	feed := recs[0].Feed()
	good := protocol.SignReceipt(w.reg.keys["S1"], protocol.Receipt{Version: 1, Network: w.reg.network, Org: orgID("S"), Node: nodeID("S1"), Feed: feed, Seq: 3, Head: recs[2].ID()})
	head := protocol.SignHead(w.reg.keys["A1"], protocol.Head{Version: 1, Network: w.reg.network, Org: orgID("A"), Node: nodeID("A1"), Day: today, Feed: feed, Seq: 3, Head: recs[2].ID()})
	f.Add(protocol.Encode(ReceiptBatch{Receipts: []protocol.SignedReceipt{good}, Heads: []protocol.SignedHead{head}}))
	f.Add(protocol.Encode(ReceiptBatch{Forks: []protocol.Fork{{A: full(recs[0]), B: full(recs[1])}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		bounded(t, len(b), func() { r.ServeReceipt(t.Context(), member(w, "C1"), b) })
		if len(r.Forks()) != 0 {
			t.Fatal("a fork was believed")
		}
	})
}

// FuzzFetchAnswer: whatever the answer to a fetch is, and to a head check.
func FuzzFetchAnswer(f *testing.F) {
	w, r, recs := holder(f)
	var page FetchAnswer
	for _, rec := range recs {
		page.Records = append(page.Records, full(rec))
	}
	f.Add(protocol.Encode(page), true)
	f.Add(protocol.Encode(FetchAnswer{Heads: []FeedHead{{Feed: recs[0].Feed(), Seq: 1, Head: recs[0].ID(), Core: recs[0].CoreBytes()}}, More: true, Unsure: true}), false)
	f.Add(protocol.Encode(FetchAnswer{Sections: []Section{{0, recs[3].Section(0)}}}), true)
	f.Fuzz(func(t *testing.T, b []byte, records bool) {
		r.o.Net = says{b}
		p := &peer{node: member(w, "C1")}
		bounded(t, len(b), func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if records {
				r.fetchRange(ctx, p, recs[0].Feed(), 4, 5)
			} else {
				r.checkHeads(ctx, p)
			}
		})
		for _, s := range r.Feeds() {
			if s.Feed != recs[0].Feed() || s.Chain.Seq > 4 {
				t.Fatalf("%+v", s)
			}
		}
		if r.Replaced() {
			t.Fatal("a stranger's word locked the node")
		}
	})
}

type says struct{ b []byte }

func (says) Connected() []protocol.Node { return nil }
func (says) Open(context.Context, protocol.NodeID, string) (Stream, error) {
	return nil, context.Canceled
}
func (s says) Call(context.Context, protocol.NodeID, string, []byte) ([]byte, error) {
	return s.b, nil
}
