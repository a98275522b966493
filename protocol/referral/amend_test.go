package referral

import (
	"slices"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func TestAmendMergesAndKeepsTheOld(t *testing.T) {
	p, _ := file(t, "normal.json")
	c := newChain(t, p)
	one := amendment(t, c, func(p *Parts) { p.Identity.SafeContact = SafeContact{DoNotContact: true} })
	two := amendment(t, c, func(p *Parts) { p.Case.Request = "Another request (invented)."; p.Summary.Child.Gender = "other" })
	ea, eb := c.draft(ngo, protocol.OrgID{}, one), c.draft(ngo, protocol.OrgID{}, two)
	for _, e := range []Event{ea, eb} {
		if err := Check(c.fold(), e); err != nil {
			t.Fatal(err)
		}
	}
	c.add(ea)
	c.add(eb) // concurrent: neither saw the other
	r := c.fold()
	if !r.Parts.Identity.SafeContact.DoNotContact || r.Parts.Case.Request != "Another request (invented)." || r.Parts.Summary.Child.Gender != "other" {
		t.Error("one change took back the other")
	}
	if r.Parts.Summary.Amends != nil {
		t.Error("the merged parts are an amendment")
	}
	if len(r.Versions) != 3 || r.Versions[0].Parts.Identity.SafeContact.Who != "aunt" {
		t.Error("the old value is gone")
	}
	for _, v := range r.Versions {
		if len(v.Contested) > 0 {
			t.Errorf("contested %v", v.Contested)
		}
	}
	if got := r.View(t0, shelter).Legs; true {
		i := slices.IndexFunc(got, func(l LegView) bool { return l.Organisation == shelter })
		if !slices.Equal(got[i].SeeFirst, []string{"identity.safe_contact"}) {
			t.Errorf("to be seen first: %v", got[i].SeeFirst)
		}
	}
	c.do(shelter, shelter, body(KindAcknowledge))
	for _, l := range c.fold().View(t0, shelter).Legs {
		if l.Organisation == shelter && l.SeeFirst != nil {
			t.Errorf("seen, and still %v", l.SeeFirst)
		}
	}
	for _, l := range c.fold().View(t0, ngo).Legs {
		if l.SeeFirst != nil {
			t.Error("the sender is told of its own change")
		}
	}
}

func TestAmendContested(t *testing.T) {
	p, _ := file(t, "normal.json")
	c := newChain(t, p)
	one := amendment(t, c, func(p *Parts) { p.Identity.SafeContact.Who = "uncle" })
	two := amendment(t, c, func(p *Parts) { p.Identity.SafeContact.Who = "grandmother" })
	ea, eb := c.draft(ngo, protocol.OrgID{}, one), c.draft(ngo, protocol.OrgID{}, two)
	c.add(ea)
	c.add(eb)
	r := c.fold()
	last := r.Versions[2]
	if !slices.Equal(last.Contested, []string{"identity.safe_contact"}) || r.Parts.Identity.SafeContact.Who != last.Parts.Identity.SafeContact.Who {
		t.Errorf("%+v", last.Contested)
	}
	if got := r.View(t0, shelter).Contested; !slices.Equal(got, []string{"identity.safe_contact"}) {
		t.Errorf("view: %v", got)
	}
	// One who saw both settles it.
	c.do(ngo, protocol.OrgID{}, amendment(t, c, func(p *Parts) { p.Identity.SafeContact.Who = "aunt again" }))
	r = c.fold()
	if r.Parts.Identity.SafeContact.Who != "aunt again" || len(r.Versions[3].Contested) > 0 {
		t.Errorf("%+v", r.Versions[3].Contested)
	}
}

func TestAmendRefused(t *testing.T) {
	p, _ := file(t, "normal.json")
	base := newChain(t, p)
	for name, spoil := range map[string]func(*Event, *AmendBody){
		"by a recipient":       func(e *Event, b *AmendBody) { e.Author = shelter },
		"to fewer":             func(e *Event, b *AmendBody) { e.Audience = e.Audience[:1] },
		"to more":              func(e *Event, b *AmendBody) { e.Audience = append([]protocol.OrgID{stranger}, e.Audience...) },
		"of nothing":           func(e *Event, b *AmendBody) { b.Summary.Amends.Changed = nil },
		"without reason":       func(e *Event, b *AmendBody) { b.Summary.Amends.Reason = "" },
		"of the recipients":    func(e *Event, b *AmendBody) { b.Summary.Amends.Changed = []string{"summary.recipients"} },
		"of the priority":      func(e *Event, b *AmendBody) { b.Summary.Amends.Changed = []string{"summary.urgency.priority"} },
		"of the sender":        func(e *Event, b *AmendBody) { b.Summary.Amends.Changed = []string{"summary.sender.organisation"} },
		"of the case code":     func(e *Event, b *AmendBody) { b.Summary.Amends.Changed = []string{"summary.child.case_code"} },
		"without saying so":    func(e *Event, b *AmendBody) { b.Summary.Amends = nil },
		"with an acceptance":   func(e *Event, b *AmendBody) { e.Body = &Accept{About: About{base.root(), shelter}} },
		"as of a kind unknown": func(e *Event, b *AmendBody) { e.Body = &Unknown{About{base.root(), shelter}} },
	} {
		c := &chain{t: t, events: slices.Clone(base.events), n: base.n}
		b := amendment(t, c, func(p *Parts) { p.Case.Request = "Changed (invented)." })
		e := c.draft(ngo, protocol.OrgID{}, b)
		spoil(&e, b)
		if err := Check(c.fold(), e); err == nil {
			t.Errorf("%s: may be sent", name)
		}
		c.add(e)
		r := c.fold()
		if len(r.Versions) != 1 || r.Parts.Case.Request != p.Case.Request {
			t.Errorf("%s: it counted", name)
		}
	}
	// More than the fold asks is asked before sending.
	for name, spoil := range map[string]func(*AmendBody){
		"a change not named":   func(b *AmendBody) { b.Case.LivingWith = "someone else" },
		"a name not a change":  func(b *AmendBody) { b.Summary.Amends.Changed = append(b.Summary.Amends.Changed, "summary.tlp") },
		"an invalid new value": func(b *AmendBody) { b.Summary.TLP = "purple" },
	} {
		b := amendment(t, base, func(p *Parts) { p.Case.Request = "Changed (invented)." })
		spoil(b)
		if err := Check(base.fold(), base.draft(ngo, protocol.OrgID{}, b)); err == nil {
			t.Errorf("%s: may be sent", name)
		}
	}
	if _, err := base.fold().Amended(p, "nothing"); err == nil {
		t.Error("an amendment of nothing")
	}
}

// An amend counts at all addressees alike, also where one leg is closed; in
// that leg it is overtaken. Where all are closed it may not be sent.
func TestAmendAndClosedLegs(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	c.do(shelter, shelter, &Decline{Reason: "unsafe"})
	c.do(ngo, shelter, body(KindClose))
	change := func(p *Parts) { p.Case.Request = p.Case.Request + " More." }
	c.do(ngo, protocol.OrgID{}, amendment(t, c, change))
	r := c.fold()
	l, _ := r.Leg(shelter)
	m, _ := r.Leg(police)
	if len(r.Versions) != 2 || len(l.History) != 3 || len(m.History) != 1 || m.History[0].Verdict != Applied {
		t.Errorf("%d versions", len(r.Versions))
	}
	c.do(police, police, &Decline{Reason: "duplicate"})
	c.do(ngo, police, body(KindClose))
	if err := Check(c.fold(), c.draft(ngo, protocol.OrgID{}, amendment(t, c, change))); err == nil {
		t.Error("all legs are closed")
	}
	c.state(police, Closed)
}

func TestAmendOfExpiryMovesTheGuard(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	old := p.Summary.Urgency.Expiry
	c.do(ngo, protocol.OrgID{}, amendment(t, c, func(p *Parts) { p.Summary.Urgency.Expiry += 10 * Days }))
	e := c.draft(ngo, shelter, body(KindClose))
	e.Time = old + 1
	if err := Check(c.fold(), e); err == nil {
		t.Error("closed before the new expiry")
	}
	e.Time = old + 10*Days + 1
	if err := Check(c.fold(), e); err != nil {
		t.Error(err)
	}
	c.add(e)
	l, _ := c.fold().Leg(shelter)
	if l.State != Closed || l.ClosedFrom != Expired {
		t.Errorf("%s from %s", l.State, l.ClosedFrom)
	}
}

// A reader without a part folds to the same, less that part.
func TestAmendWithoutThePart(t *testing.T) {
	p, _ := file(t, "normal.json")
	c := newChain(t, p)
	c.do(ngo, protocol.OrgID{}, amendment(t, c, func(p *Parts) {
		p.Identity.SafeContact.Who = "uncle"
		p.Evidence.Note = "Changed (invented)."
		p.Case.LivingWith = "aunt"
	}))
	full := c.fold()
	events := slices.Clone(c.events)
	for i, e := range events {
		switch b := e.Body.(type) {
		case *Send:
			q := b.Parts.clone()
			q.Identity, q.Evidence = nil, nil
			events[i].Body = &Send{q}
		case *AmendBody:
			q := b.Parts.clone()
			q.Identity, q.Evidence = nil, nil
			events[i].Body = &AmendBody{q}
		}
	}
	r := Fold(c.root(), events)
	if r.Parts.Identity != nil || r.Parts.Evidence != nil || r.Parts.Case.LivingWith != "aunt" {
		t.Error("parts appeared or went missing")
	}
	full.Parts.Identity, full.Parts.Evidence = nil, nil
	if d := Diff(full.Parts, r.Parts); len(d) > 0 {
		t.Errorf("differs in %v", d)
	}
}

func TestDiff(t *testing.T) {
	p, _ := file(t, "normal.json")
	q, err := DecodeParts(p.Sections())
	if err != nil || len(Diff(p, q)) > 0 {
		t.Fatalf("%v %v", err, Diff(p, q))
	}
	q = p.clone()
	q.Summary.Urgency.Risk = "high"
	q.Case.Legal.Statistics = false
	q.Evidence = nil
	got := Diff(p, q)
	for _, want := range []string{"summary.urgency.risk", "case.legal.statistics", "evidence.urls", "evidence.note"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
	if !slices.IsSorted(got) || slices.Contains(got, "identity.names") {
		t.Errorf("%v", got)
	}
	if p.Evidence == nil {
		t.Error("Diff changed its argument")
	}
}
