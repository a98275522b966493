package casebook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

func TestList(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	codes := map[string]Result{}
	codes["urgent"] = w.send(ngo, draft(t, "normal", func(d *referral.Draft) { d.Summary.Urgency.Priority = "urgent" }))
	w.later(time.Minute)
	codes["danger"] = w.send(ngo, draft(t, "emergency"))
	w.later(time.Minute)
	codes["done"] = w.send(ngo, draft(t, "emergency", func(d *referral.Draft) { d.Recipients = d.Recipients[:1]; d.Summary.Services = d.Summary.Services[:1] }))
	w.move(shelter, codes["done"], "", &referral.Decline{Reason: "no-capacity", Instead: "none-known"})
	w.move(ngo, codes["done"], "", &referral.Close{NextStep: "ask another (invented)"})
	w.later(time.Minute)
	codes["back"] = w.send(shelter, draft(t, "emergency", func(d *referral.Draft) { d.Recipients[0].Organisation = ngo }))

	list := func(as string, f Filter) string {
		t.Helper()
		l, err := w.as(as).List(ctx, f)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		var got []string
		for _, it := range l.Items {
			for name, r := range codes {
				if r.Referral == it.ID {
					got = append(got, name)
				}
			}
		}
		if l.Total < len(got) {
			t.Errorf("%d of %d", len(got), l.Total)
		}
		return strings.Join(got, " ")
	}
	want := func(as string, f Filter, want string) {
		t.Helper()
		if got := list(as, f); got != want {
			t.Errorf("%s, %+v: %q, want %q", as, f, got, want)
		}
	}
	want(ngo, Filter{}, "back done danger urgent")
	want(ngo, Filter{Direction: Outgoing}, "done danger urgent")
	want(ngo, Filter{Direction: Incoming}, "back")
	want(commission, Filter{Direction: Watching}, "urgent")
	want(ngo, Filter{Priority: "urgent"}, "urgent")
	want(ngo, Filter{State: referral.Closed}, "done")
	want(ngo, Filter{Open: true}, "back danger urgent")
	want(ngo, Filter{Organisation: police}, "back danger urgent")
	want(ngo, Filter{Organisation: orgID(commission).String()}, "")
	want(ngo, Filter{Mine: true}, "back")
	want(shelter, Filter{Mine: true}, "danger urgent")
	want(police, Filter{}, "back danger urgent")
	want(ngo, Filter{Overdue: true}, "")
	want(keeper, Filter{}, "")
	_, err := w.as(ngo).List(ctx, Filter{Organisation: "Nobody"})
	wantError(t, err, NotFound, "Nobody")
	_, err = w.as(ngo).List(ctx, Filter{After: "x"})
	wantError(t, err, Invalid)

	// Clocks run without records: first the emergencies are late, then they
	// are expired and back with their sender, and then the urgent one too.
	w.later(2 * time.Hour)
	want(ngo, Filter{Overdue: true}, "back danger")
	want(ngo, Filter{State: referral.Expired}, "")
	w.later(30 * 24 * time.Hour)
	want(ngo, Filter{State: referral.Expired}, "back danger urgent")
	want(ngo, Filter{Mine: true}, "back danger urgent") // back: an acceptance still counts
	v := w.show(ngo, string(codes["danger"].Code))
	if l := v.leg(t, shelter); l.State != referral.Expired || !slices.Contains(l.Moves, "close") || l.Responsible.Name != ngo || len(l.Late) == 0 {
		t.Errorf("expired: %+v", l)
	}
	w.move(ngo, codes["danger"], shelter, &referral.Close{NextStep: "the police met the child (invented)"})

	var pages []string
	for after := ""; ; {
		l, err := w.as(ngo).List(ctx, Filter{Limit: 2, After: after})
		if err != nil || l.Total != 4 || len(l.Items) > 2 {
			t.Fatalf("page: %+v, %v", l, err)
		}
		for _, it := range l.Items {
			pages = append(pages, it.ID.String())
		}
		if after = l.Next; after == "" {
			break
		}
	}
	slices.Sort(pages)
	if len(slices.Compact(pages)) != 4 {
		t.Errorf("pages hold %d", len(pages))
	}
}

// TestSilence: nobody confirms a normal referral, and it counts as confirmed.
func TestSilence(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "normal"))
	w.move(shelter, r, "", &referral.Accept{Unit: "Example House", Desk: "Example desk", FirstContactBy: at(w, time.Hour)})
	w.move(shelter, r, "", &referral.Complete{Outcome: "successful", Services: []string{"psychosocial", "education"}})
	closed := func(want int) {
		t.Helper()
		l, err := w.as(ngo).List(context.Background(), Filter{State: referral.Closed})
		if err != nil || l.Total != want {
			t.Errorf("%d closed, want %d: %v", l.Total, want, err)
		}
	}
	w.later(13 * 24 * time.Hour)
	closed(0)
	w.later(2 * 24 * time.Hour)
	closed(1)
	if l := w.show(ngo, string(r.Code)).leg(t, shelter); !l.Silent || !slices.Contains(l.Moves, "dispute") {
		t.Errorf("silent: %+v", l)
	}
	w.move(ngo, r, shelter, &referral.Dispute{Missing: "one visit (invented)"})
	closed(0)
}

func TestFind(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	r := w.send(ngo, draft(t, "emergency"))
	code := string(r.Code)
	for _, name := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), strings.ReplaceAll(strings.ReplaceAll(code, "1", "I"), "0", "o"),
		code[:6], " " + r.Referral.String(), r.Referral.String()[:12], strings.ToUpper(r.Referral.String()[:12])} {
		if v, err := w.as(ngo).Show(ctx, name); err != nil || v.ID != r.Referral {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := w.as(ngo).Show(ctx, ""); KindOf(err) != Invalid {
		t.Error(err)
	}
	// Somebody sends another referral under the same ID: it takes nobody's
	// place, the code finds neither, and both say so.
	s := w.sites[ngo]
	p, err := s.book.prepare(members{w}, draft(t, "emergency"), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	first := w.show(ngo, code).Parts.Summary
	p.parts.Summary.ID, p.parts.Summary.Code = first.ID, first.Code
	p.draft.Contents[0].Body = protocol.Encode(p.parts.Summary)
	if _, err := s.Send(ctx, p.draft); err != nil {
		t.Fatal(err)
	}
	_, err = w.as(shelter).Show(ctx, code)
	wantError(t, err, Ambiguous, r.Referral.Short())
	v := w.show(shelter, r.Referral.String())
	if len(v.Same) != 1 || !strings.Contains(fmt.Sprint(v.Notices), "same number") {
		t.Errorf("same: %v, %v", v.Same, v.Notices)
	}
}

func TestNewest(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := newest{limit: rapid.IntRange(1, 5).Draw(r, "limit")}
		var all []*kase
		for i, at := range rapid.SliceOf(rapid.IntRange(0, 20)).Draw(r, "times") {
			k := &kase{id: protocol.RecordID{byte(i)}, row: row{updated: referral.Time(at)}}
			n.add(k)
			all = append(all, k)
		}
		slices.SortFunc(all, newestFirst)
		if !slices.Equal(n.sorted(), all[:min(len(all), n.limit)]) {
			r.Fatal("another choice")
		}
	})
}
