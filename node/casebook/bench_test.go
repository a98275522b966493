package casebook

import (
	"context"
	"runtime"
	"testing"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// pile is a Records of n bodies that opens without a seal, so that what is
// measured is the book. Each referral has so many records, 1 to 4: the send,
// and those of a leg.
type pile struct {
	*site
	records []*protocol.Record
	opened  map[protocol.RecordID][]Opened
}

func newPile(tb testing.TB, n, each int) *pile {
	w := usual(tb)
	s := w.sites[ngo]
	p := &pile{site: s, opened: map[protocol.RecordID][]Opened{}}
	base, err := s.book.prepare(members{w}, draft(tb, "normal"), "worker-1")
	if err != nil {
		tb.Fatal(err)
	}
	var root protocol.RecordID
	for i := range n {
		core := protocol.Core{Version: 1, Network: w.network, Author: s.org, Node: s.node, Audience: base.draft.Audience, Seq: uint64(i + 2), Prev: protocol.RecordID{1}, Size: 1,
			Data: &protocol.DataBody{Key: 1, Sections: []protocol.SectionRef{{Length: 1}}}}
		var contents []protocol.Content
		leg := referral.About{Referral: root, Leg: orgID(shelter)}
		one := func(b referral.Body, refs ...protocol.RecordID) {
			core.Audience = protocol.ListAudience(orgID(ngo))
			core.Author = orgID(shelter)
			contents = []protocol.Content{{Kind: string(b.Kind()), Time: int64(at(w, 0)), Staff: "worker-2", Refs: refs, Body: referral.EncodeBody(b)[0]}}
		}
		switch i % each {
		case 0:
			base.parts.Summary.ID = referral.UID{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i), byte(i * 7)}
			contents = append(contents, base.draft.Contents...)
			contents[0].Body = protocol.Encode(base.parts.Summary)
			core.Data.Sections = make([]protocol.SectionRef, 4)
		case 1:
			one(&referral.Accept{About: leg, Unit: "Example House", Desk: "Example desk", FirstContactBy: at(w, 0)}, root)
		case 2:
			one(&referral.Start{About: leg, ContactAt: at(w, 0), Note: "An invented note of some length, as people write them."}, p.records[i-1].ID())
		case 3:
			one(&referral.Complete{About: leg, Outcome: "successful", Services: []string{"psychosocial", "education"}}, p.records[i-1].ID())
		}
		b := protocol.Encode(core)
		rec, err := protocol.Reload(w.network, protocol.RecordIDOf(w.network, b), protocol.Envelope{Core: b}, protocol.Linked, 0)
		if err != nil {
			tb.Fatal(err)
		}
		if i%each == 0 {
			root = rec.ID()
		}
		for j, c := range contents {
			p.opened[rec.ID()] = append(p.opened[rec.ID()], Opened{j, c, nil})
		}
		p.records = append(p.records, rec)
	}
	return p
}

func (p *pile) Open(rec *protocol.Record) ([]Opened, error) { return p.opened[rec.ID()], nil }
func (p *pile) Record(feed protocol.FeedID, seq uint64) (*protocol.Record, error) {
	return p.records[seq-2], nil
}
func (p *pile) Each(fn func(*protocol.Record) error) error {
	for _, rec := range p.records {
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

func (p *pile) load(tb testing.TB) *Book {
	o := p.options()
	o.Records, o.OnChange = p, nil
	b, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Load(context.Background(), nil); err != nil {
		tb.Fatal(err)
	}
	return b
}

// BenchmarkLoad reads b.N records after an unlock, opening not counted.
func BenchmarkLoad(b *testing.B) {
	p := newPile(b, b.N, 4)
	b.ResetTimer()
	p.load(b)
}

// BenchmarkList lists the newest 50 of 25,000 referrals.
func BenchmarkList(b *testing.B) {
	book := newPile(b, 100_000, 4).load(b)
	for b.Loop() {
		if l, err := book.List(context.Background(), Filter{Limit: 50}); err != nil || l.Total != 25_000 {
			b.Fatal(l.Total, err)
		}
	}
}

// TestMemory: 100,000 records add well under 60 MB, also where each is a
// referral of its own: a tenth of both is looked at, beside what the
// cache takes.
func TestMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, each := range []int{4, 1} {
		p := newPile(t, 10_000, each)
		before := heap()
		b := p.load(t)
		added := heap() - before
		if s := b.Status(); s.Referrals != 10_000/each {
			t.Fatalf("%+v", s)
		}
		t.Logf("%d records a referral: %d MB", each, added>>20)
		if added > 6<<20+4*cacheBytes {
			t.Errorf("%d records a referral: %d MB", each, added>>20)
		}
		runtime.KeepAlive(b)
	}
}
