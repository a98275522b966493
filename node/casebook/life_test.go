package casebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

// busy is a world in which a good deal has happened: two referrals, one
// amended twice at once, an alert, answers, and things that do not fit.
func busy(t testing.TB) *world {
	w := usual(t)
	ctx := context.Background()
	a := w.send(ngo, draft(t, "normal"))
	b := w.send(ngo, draft(t, "emergency"))
	w.move(shelter, a, "", &referral.Accept{Unit: "Example House", Desk: "Example desk", FirstContactBy: at(w, time.Hour)})
	w.move(ngo, a, police, &referral.Message{Text: "Any news? Invented."})
	if _, err := amend(w, a, `{"case": {"safety": {"do_not": ["call-home"]}}}`); err != nil {
		t.Fatal(err)
	}
	w.move(shelter, a, "", &referral.Start{ContactAt: at(w, 0)})
	w.move(shelter, b, "", &referral.Decline{Reason: "out-of-area", Instead: "none-known"})
	w.move(ngo, b, shelter, &referral.Close{NextStep: "ask another (invented)"})
	w.move(police, b, "", &referral.Acknowledge{Desk: "Example desk", DecideBy: at(w, time.Hour)})

	// Two events that did not see each other, and one that can never count.
	s := w.sites[shelter]
	f := folding(t, s.book, a)
	blind := func(by *site, leg string, body referral.Body) {
		full := body
		referral.Head(full, referral.About{Referral: a.Referral, Leg: orgID(leg)})
		other := orgID(leg)
		if by.org == other {
			other = f.Sender
		}
		e := referral.Event{Author: by.org, Audience: []protocol.OrgID{other}, Kind: full.Kind(), Time: at(w, 0), Refs: []protocol.RecordID{a.Referral}, Body: full}
		if _, err := by.Send(ctx, by.book.seal(e, [4][]protocol.OrgID{}, []protocol.OrgID{orgID(secretariat)})); err != nil {
			t.Fatal(err)
		}
	}
	blind(s, shelter, &referral.Decline{Reason: "duplicate"})
	blind(w.sites[ngo], shelter, &referral.Confirm{})
	blind(w.sites[ngo], shelter, &referral.Decline{Reason: "duplicate"})

	al := example(t, w)
	if _, err := w.as(secretariat).Issue(ctx, Issue{Alert: al}); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{ngo, police} {
		if _, err := w.as(who).Acknowledge(ctx, al.Identifier, []string{"none"}, "", "worker-4"); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	return w
}

func folding(t testing.TB, b *Book, r Result) *folded {
	t.Helper()
	b.drain(context.Background())
	x, k, err := b.named(context.Background(), r.Referral.String())
	if err != nil {
		t.Fatal(err)
	}
	f, err := b.fold(context.Background(), x, k)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// all is everything that a book shows, as text.
func all(t testing.TB, b *Book) string {
	t.Helper()
	ctx := context.Background()
	b.drain(ctx)
	var out strings.Builder
	put := func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		j, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		out.Write(j)
		out.WriteString("\n")
	}
	l, err := b.List(ctx, Filter{})
	put(l, err)
	for _, it := range l.Items {
		put(b.Show(ctx, it.ID.String()))
	}
	al, err := b.Alerts(AlertFilter{})
	put(al, err)
	for _, it := range al.Items {
		put(b.ShowAlert(ctx, it.ID.String(), "hi"))
	}
	s := b.Status()
	s.Done, s.Total = 0, 0
	put(s, nil)
	return out.String()
}

// TestAnyOrder: the same records, in any order, again, bit by bit or all at
// once after an unlock, make the same book at every member.
func TestAnyOrder(t *testing.T) {
	w := busy(t)
	for name, s := range w.sites {
		if len(s.records()) == 0 {
			continue
		}
		want := all(t, s.book)
		if name == ngo && !strings.Contains(want, string(referral.Overtaken)) && !strings.Contains(want, `"rejected"`) {
			t.Fatal("nothing is overtaken or rejected: the story does not test what it should")
		}
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				records := s.records()
				n := rapid.IntRange(0, len(records)).Draw(r, "on disk at the unlock")
				mixed := rapid.Permutation(slices.Concat(records, rapid.SliceOfN(rapid.SampledFrom(records), 0, 4).Draw(r, "again"))).Draw(r, "order")
				o := s.options()
				o.OnChange, o.Unreadable = nil, nil
				p := &partial{site: s, disk: mixed[:n]}
				o.Records = p
				b, err := New(o)
				if err != nil {
					r.Fatal(err)
				}
				if err := b.Load(context.Background(), nil); err != nil {
					r.Fatal(err)
				}
				for i, rec := range mixed[n:] {
					b.Add(rec)
					if i%3 == 0 {
						b.drain(context.Background())
					}
				}
				if got := all(t, b); got != want {
					r.Fatalf("another book:\n%s", firstDifference(got, want))
				}
			})
		})
	}
}

// partial is a site whose disk gives some records at the unlock.
type partial struct {
	*site
	disk []*protocol.Record
}

func (p *partial) Each(fn func(*protocol.Record) error) error {
	for _, rec := range p.disk {
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %s\nwant: %s", i, x[i], y[i])
		}
	}
	return "one is longer"
}

// TestEviction: a book that may keep almost nothing in memory shows the same.
func TestEviction(t *testing.T) {
	w := busy(t)
	s := w.sites[ngo]
	want := all(t, s.book)
	b := s.open(func(o *Options) { o.OnChange = nil })
	b.mu.Lock()
	b.x.cache.limit = 1
	b.x.evict()
	b.mu.Unlock()
	if got := all(t, b); got != want {
		t.Errorf("another book:\n%s", firstDifference(got, want))
	}
	if n := b.x.cache.order.Len(); n > 1 {
		t.Errorf("%d cases are kept", n)
	}
}

func TestLocked(t *testing.T) {
	w := busy(t)
	s := w.sites[shelter]
	want := all(t, s.book)
	ctx := context.Background()
	s.locked = true
	b := s.open(nil)
	late := w.send(ngo, draft(t, "emergency"))
	if !b.Status().Locked {
		t.Error("it does not say that it is locked")
	}
	_, err := b.List(ctx, Filter{})
	wantError(t, err, Locked, "unlocks it")
	_, err = b.Show(ctx, string(late.Code))
	wantError(t, err, Locked)
	_, err = b.Alerts(AlertFilter{})
	wantError(t, err, Locked)
	_, err = b.ShowAlert(ctx, "EXERCISE-2026-0001", "")
	wantError(t, err, Locked)
	_, err = b.Send(ctx, draft(t, "emergency", func(d *referral.Draft) { d.Recipients = d.Recipients[1:]; d.Summary.Services = d.Summary.Services[1:] }), "worker-9")
	wantError(t, err, Locked)
	_, err = b.Move(ctx, Move{Referral: string(late.Code), Body: &referral.Message{Text: "x"}})
	wantError(t, err, Locked)
	_, err = b.Acknowledge(ctx, "EXERCISE-2026-0001", []string{"none"}, "", "")
	wantError(t, err, Locked)
	if len(b.queue) != 0 || b.x != nil {
		t.Error("a locked book keeps something")
	}

	s.locked = false
	var told [][2]uint64
	s.book.o.Count = func() uint64 { return uint64(len(s.records())) }
	if err := b.Load(ctx, func(done, total uint64) { told = append(told, [2]uint64{done, total}) }); err != nil {
		t.Fatal(err)
	}
	n := uint64(len(s.records()))
	if len(told) == 0 || told[len(told)-1] != [2]uint64{n, n} {
		t.Errorf("told %v, want %d of %d at the end", told, n, n)
	}
	l, err := b.List(ctx, Filter{})
	if err != nil || l.Total != 3 || !slices.ContainsFunc(l.Items, func(it ReferralItem) bool { return it.ID == late.Referral }) || l.Loading {
		t.Errorf("after the unlock: %+v, %v", l, err)
	}
	// Loading again changes nothing, and locking empties it.
	again := all(t, b)
	if err := b.Load(ctx, nil); err != nil || all(t, b) != again {
		t.Errorf("loaded again: %v", err)
	}
	if again == want {
		t.Error("the late referral is not in it")
	}
	b.Lock()
	_, err = b.List(ctx, Filter{})
	wantError(t, err, Locked)
}

func TestUnreadable(t *testing.T) {
	w := usual(t)
	w.sites[police].away = true
	r := w.send(ngo, draft(t, "emergency"))
	lost := w.send(ngo, draft(t, "emergency"))
	s := w.sites[police]
	s.spoilt = map[spoilt]bool{{r.Record, referral.SectionIdentity}: true, {lost.Record, referral.SectionSummary}: true}
	w.back(police)
	for range 3 { // again and again
		for _, rec := range s.records() {
			s.book.Add(rec)
		}
		w.settle()
	}
	if v := w.show(police, string(r.Code)); !slices.Equal(v.Reads, []string{"summary", "case", "evidence"}) {
		t.Errorf("police read %v", v.Reads)
	}
	_, err := w.as(police).Show(context.Background(), lost.Referral.String())
	wantError(t, err, NotFound)
	slices.Sort(s.reports)
	want := []string{fmt.Sprintf("%s/%d", r.Record.Short(), referral.SectionIdentity), fmt.Sprintf("%s/%d", lost.Record.Short(), referral.SectionSummary)}
	slices.Sort(want)
	if !slices.Equal(s.reports, want) {
		t.Errorf("reported %v, want %v", s.reports, want)
	}
	if n := s.book.Status().Unreadable; n != 2 {
		t.Errorf("%d unreadable", n)
	}
}

// TestMalformedPart: a part that makes no sense is nobody's reason to see
// another state than those who cannot read it.
func TestMalformedPart(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	s := w.sites[ngo]
	p, err := s.book.prepare(members{w}, draft(t, "emergency"), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	p.draft.Contents[referral.SectionEvidence].Body = []byte{0xff}
	p.draft.Contents[referral.SectionIdentity].Kind = "referral/amend"
	sent, err := s.Send(ctx, p.draft)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{police, shelter} {
		if v := w.show(who, sent.Record.ID().String()); !slices.Equal(v.Reads, []string{"summary", "case"}) || len(v.Legs) != 2 {
			t.Errorf("%s reads %v", who, v.Reads)
		}
	}
	p.draft.Contents[referral.SectionSummary].Body = []byte{0xff}
	if _, err := s.Send(ctx, p.draft); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(ctx, Draft{Audience: protocol.ListAudience(orgID(police)), Custodians: []protocol.OrgID{orgID(secretariat)}, Expiry: s.book.today(),
		Contents: []protocol.Content{{Kind: "referral/accept", Body: protocol.Encode(referral.Accept{Unit: "names no referral"})}}}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if n := w.sites[police].book.Status().Malformed; n != 2 {
		t.Errorf("%d malformed, want 2", n)
	}
	if l, err := w.as(police).List(ctx, Filter{}); err != nil || l.Total != 1 {
		t.Errorf("police list %+v, %v", l, err)
	}
}

// TestLostRecord: what cannot be read now is said, and is not moved.
func TestLostRecord(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "emergency"))
	done := w.move(shelter, r, "", &referral.Accept{Unit: "Example House", Desk: "Example desk", FirstContactBy: at(w, time.Hour)})
	w.settle()
	s := w.sites[ngo]
	b := s.open(func(o *Options) { o.OnChange = nil })
	ctx := context.Background()
	if _, err := b.List(ctx, Filter{}); err != nil {
		t.Fatal(err)
	}
	drop := func(lost ...protocol.RecordID) {
		b.mu.Lock()
		for _, k := range b.x.cases {
			b.x.cache.drop(k)
		}
		b.mu.Unlock()
		w.mu.Lock()
		s.lost = map[protocol.RecordID]bool{}
		for _, id := range lost {
			s.lost[id] = true
		}
		w.mu.Unlock()
	}
	drop(done.Record)
	v := w.show(ngo, string(r.Code))
	if v.Missing != 1 || len(v.Notices) == 0 || !strings.Contains(strings.Join(v.Notices, " "), "cannot be read here now") {
		t.Errorf("shown as %+v", v.Notices)
	}
	_, err := b.Move(ctx, Move{Referral: string(r.Code), Leg: shelter, Body: &referral.Message{Text: "x"}})
	wantError(t, err, Failed, "cannot be read here now")
	drop(r.Record)
	_, err = b.Show(ctx, string(r.Code))
	wantError(t, err, Failed, "it is kept")
	drop()
	if l := w.show(ngo, string(r.Code)).leg(t, shelter); l.State != referral.Accepted {
		t.Errorf("after the repair: %+v", l)
	}
}

// TestWaiting: a reply that is here before its referral.
func TestWaiting(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "emergency"))
	w.move(shelter, r, "", &referral.Message{Text: "Seen. Invented."})
	s := w.sites[ngo]
	var send *protocol.Record
	var rest []*protocol.Record
	for _, rec := range s.records() {
		if rec.ID() == r.Referral {
			send = rec
		} else {
			rest = append(rest, rec)
		}
	}
	o := s.options()
	o.Records = &partial{s, rest}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := b.Load(ctx, nil); err != nil {
		t.Fatal(err)
	}
	l, err := b.List(ctx, Filter{})
	if err != nil || l.Total != 0 || l.Waiting != 1 || b.Status().Waiting != 1 {
		t.Errorf("before: %+v, %v", l, err)
	}
	_, err = b.Show(ctx, r.Referral.String())
	wantError(t, err, NotFound, "on its way")
	b.Add(send)
	b.drain(ctx)
	if l, err = b.List(ctx, Filter{}); err != nil || l.Total != 1 || l.Waiting != 0 {
		t.Errorf("after: %+v, %v", l, err)
	}
}

// TestConcurrent: records, reads, moves and a lock at once.
func TestConcurrent(t *testing.T) {
	w := busy(t)
	s := w.sites[ngo]
	b := s.open(nil)
	ctx, stop := context.WithCancel(context.Background())
	var run, wg sync.WaitGroup
	for _, o := range w.sites {
		run.Add(1)
		go func() { defer run.Done(); o.book.Run(ctx) }()
	}
	l, err := b.List(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		wg.Add(3)
		go func() {
			defer wg.Done()
			for _, rec := range s.records() {
				b.Add(rec)
			}
		}()
		go func() {
			defer wg.Done()
			for _, it := range l.Items {
				if _, err := b.Show(ctx, it.ID.String()); err != nil {
					t.Error(err)
				}
				if _, err := b.Move(ctx, Move{Referral: it.ID.String(), Leg: police, Body: &referral.Message{Text: fmt.Sprintf("message %d, invented", i)}}); err != nil {
					t.Error(err)
				}
			}
		}()
		go func() {
			defer wg.Done()
			if _, err := b.Alerts(AlertFilter{}); err != nil {
				t.Error(err)
			}
			if err := b.Load(ctx, nil); err != nil {
				t.Error(err)
			}
			b.Status()
		}()
	}
	wg.Wait()
	stop()
	run.Wait()
	for _, it := range l.Items {
		n := 0
		for _, h := range w.show(ngo, it.ID.String()).leg(t, police).History {
			if h.Move == "message" && strings.HasPrefix(h.Body.(*referral.Message).Text, "message ") {
				n++
			}
		}
		if n != 4 {
			t.Errorf("%d of 4 messages are shown", n)
		}
	}
}

func TestChanges(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "emergency"))
	m := w.move(shelter, r, "", &referral.Message{Text: "Seen. Invented."})
	a, err := w.as(secretariat).Issue(context.Background(), Issue{Alert: example(t, w), To: []string{ngo}})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	want := []Change{{"referral", r.Referral, r.Record, true}, {"referral", r.Referral, m.Record, false}, {"alert", a.ID, a.ID, false}}
	if got := w.sites[ngo].changes; !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if got := w.sites[keeper].changes; got != nil {
		t.Errorf("the keeper is told %v", got)
	}
}

func TestNewErrors(t *testing.T) {
	s := usual(t).sites[ngo]
	for i, edit := range []func(*Options){
		func(o *Options) { o.Org = protocol.OrgID{} },
		func(o *Options) { o.Records = nil },
		func(o *Options) { o.Register = nil },
		func(o *Options) { o.KeepDays = -1 },
		func(o *Options) { o.KeepDays = protocol.MaxKeepDays },
	} {
		o := s.options()
		edit(&o)
		if _, err := New(o); err == nil {
			t.Errorf("option %d passes", i)
		}
	}
	if KindOf(errors.New("x")) != Failed || KindOf(ErrLocked) != Locked {
		t.Error("kinds of plain errors")
	}
}

// TestSeen: records of a feed in any order, each noted once.
func TestSeen(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		x := newIndex(protocol.OrgID{1}, DefaultStrays)
		x.feed = []feedIndex{{}}
		seen := map[uint64]bool{}
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 12)).Draw(r, "seqs") {
			x.saw(place{0, seq})
			seen[seq] = true
			f := x.feed[0]
			for s := uint64(1); s <= 13; s++ {
				_, more := f.more[s]
				if (s <= f.upTo || more) != seen[s] || s <= f.upTo && more {
					r.Fatalf("after %d: up to %d, more %v, want %v", seq, f.upTo, f.more, seen)
				}
			}
		}
	})
}

// TestClusters: however alert records name each other, the clusters together
// fold to what all of them do.
func TestClusters(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(r, "records")
		var events []alert.Event
		for i := range n {
			e := alert.Event{ID: protocol.RecordID{byte(i + 1)}, Author: protocol.OrgID{byte(rapid.IntRange(1, 3).Draw(r, "author"))}, Time: int64(rapid.IntRange(1, 5).Draw(r, "time"))}
			e.Kind = rapid.SampledFrom([]string{alert.KindIssue, alert.KindUpdate, alert.KindCancel, alert.KindAck}).Draw(r, "kind")
			if e.Kind == alert.KindAck {
				e.Body.Ack = &alert.Ack{What: []alert.Action{alert.ActionNone}}
			} else {
				e.Body.Alert = &alert.Alert{Identifier: fmt.Sprint(i)}
			}
			for range rapid.IntRange(0, 2).Draw(r, "refs") {
				e.Refs = append(e.Refs, protocol.RecordID{byte(rapid.IntRange(1, 14).Draw(r, "ref"))})
			}
			events = append(events, e)
		}
		want := alert.Fold(events)
		x := newIndex(protocol.OrgID{1}, DefaultStrays)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		for _, i := range rng.Perm(n) {
			x.alerts.put(&alertEntry{Event: events[i]})
			x.alerts.put(&alertEntry{Event: events[i]})
			if rng.IntN(2) == 0 {
				x.alerts.all()
			}
		}
		got := x.alerts.all()
		if len(got.groups) != len(want.Threads) || got.stray != len(want.Pending)+len(want.Stray) {
			r.Fatalf("%d alerts and %d strays, want %d and %d", len(got.groups), got.stray, len(want.Threads), len(want.Pending)+len(want.Stray))
		}
		if msg := miscounted(&x.alerts); msg != "" {
			r.Fatal(msg)
		}
		for _, e := range events {
			id := e.ID
			if th := want.Thread(e.ID); th != nil {
				id = th.Root
			}
			if got := x.alerts.id(e.ID); got != id {
				r.Fatalf("record %d is of %v, want %v", e.ID[0], got, id)
			}
		}
	})
}
