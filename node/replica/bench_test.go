package replica

import (
	"fmt"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/reconcile"
)

// recipients is a cache, as the replica has one.
type recipients struct{ by sync.Map }

func (r *recipients) parse(s string) (*seal.Recipient, error) {
	if v, ok := r.by.Load(s); ok {
		return v.(*seal.Recipient), nil
	}
	v, err := seal.ParseRecipient(s)
	if err == nil {
		r.by.Store(s, v)
	}
	return v, err
}

// instant commits at once, so that what is measured is not the disk double.
type instant struct{ *disk }

func (d instant) Enqueue(c Change) func() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.apply(c)
	return func() error { return err }
}

// A record of 1 KiB written: composed, sealed, signed, committed, announced to
// nobody.
func BenchmarkSend(b *testing.B) {
	w := newWorld(b, usual)
	r := replicaOn(b, w, "A1", instant{newDisk(w.reg.network)})
	r.state.heard[nodeID("S1")] = orgID("S")
	d := draftTo("B", "S")
	d.Contents = body(string(make([]byte, 1024)))
	b.ReportAllocs()
	for b.Loop() {
		if s, err := r.Send(b.Context(), d); err != nil || s.Queued != 0 {
			b.Fatal(err, s.Reason)
		}
	}
}

// A pushed record of 1 KiB taken: decoded, verified, linked, committed.
func BenchmarkTakePush(b *testing.B) {
	w := newWorld(b, usual)
	a := replicaOn(b, w, "A1", instant{newDisk(w.reg.network)})
	a.state.heard[nodeID("S1")] = orgID("S")
	d := draftTo("B", "S")
	d.Contents = body(string(make([]byte, 1024)))
	const many = 2000
	var frames [][]byte
	for range many {
		s, err := a.Send(b.Context(), d)
		if err != nil {
			b.Fatal(err)
		}
		for len(frames) < int(s.Seq) {
			rec, err := a.o.Disk.Record(s.Feed, uint64(len(frames)+1))
			if err != nil {
				b.Fatal(err)
			}
			env := full(rec)
			frames = append(frames, protocol.Encode(Push{Record: &env, Feed: s.Feed, Seq: rec.Core().Seq}))
		}
	}
	var r *Replica
	i := len(frames)
	b.ReportAllocs()
	for b.Loop() {
		if i == len(frames) {
			b.StopTimer()
			r, i = replicaOn(b, w, "B1", instant{newDisk(w.reg.network)}), 0
			b.StartTimer()
		}
		p, err := protocol.Decode[Push](frames[i], MaxPushFrame)
		if err != nil {
			b.Fatal(err)
		}
		t := r.takePush(p)
		if t.verdict != Have || !r.settle(t, t.wait()) {
			b.Fatalf("%+v", t)
		}
		i++
	}
}

// A frontier of 1,000 feeds made and compared with an equal one.
func BenchmarkFrontier(b *testing.B) {
	w := newWorld(b, usual)
	r := replicaOn(b, w, "S1", newDisk(w.reg.network))
	for i := range 1000 {
		id := protocol.FeedID{byte(i), byte(i >> 8), 1}
		c := protocol.Chain{Author: orgID("A"), Node: nodeID("A1"), Audience: protocol.ListAudience(orgID("B")), Seq: 1, Head: protocol.RecordID{1},
			Custody: []protocol.Custody{{Org: orgID("S")}}}
		f, err := r.newFeed(id, c)
		if err != nil {
			b.Fatal(err)
		}
		r.feeds[id] = f
	}
	b.ReportAllocs()
	for b.Loop() {
		f, err := r.frontier(orgID("B"))
		if err != nil || f.Len() != 1000 {
			b.Fatal(f.Len(), err)
		}
		if reply, _, done, err := reconcile.New(f).Step(reconcile.New(f).Start()); reply != nil || !done || err != nil {
			b.Fatal("not equal", err)
		}
	}
}

// A page of records of 1 KiB served from memory.
func BenchmarkServeFetchPage(b *testing.B) {
	w := newWorld(b, usual)
	r := replicaOn(b, w, "A1", instant{newDisk(w.reg.network)})
	r.state.heard[nodeID("S1")] = orgID("S")
	d := draftTo("B", "S")
	d.Contents = body(string(make([]byte, 1024)))
	var last Sent
	for range 1000 {
		s, err := r.Send(b.Context(), d)
		if err != nil {
			b.Fatal(err)
		}
		last = s
	}
	req := protocol.Encode(FetchRequest{Feed: last.Feed, From: 2, To: last.Seq})
	from := member(w, "B1")
	r.pushers = newQuotas(1e12, pushBurst)
	b.ReportAllocs()
	records := 0
	for b.Loop() {
		a, err := r.ServeFetch(b.Context(), from, req)
		if err != nil {
			b.Fatal(err)
		}
		if records == 0 {
			x, err := protocol.Decode[FetchAnswer](a, MaxFetchFrame)
			if err != nil {
				b.Fatal(err)
			}
			records = len(x.Records)
		}
	}
	b.ReportMetric(float64(records), "records/op")
	if records < 300 {
		b.Fatal(fmt.Sprint("a page of ", records))
	}
}
