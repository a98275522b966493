package referral

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func TestReferralServed(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	c.state(shelter, Sent)
	for _, step := range []struct {
		by   protocol.OrgID
		body Body
		then State
	}{
		{shelter, body(KindAcknowledge), Acknowledged},
		{ngo, body(KindMessage), Acknowledged},
		{shelter, body(KindAccept), Accepted},
		{shelter, body(KindStart), InProgress},
		{shelter, body(KindComplete), Completed},
		{ngo, body(KindDispute), InProgress},
		{shelter, body(KindComplete), Completed},
		{ngo, body(KindConfirm), Closed},
	} {
		c.do(step.by, shelter, step.body)
		c.state(shelter, step.then)
	}
	r := c.fold()
	l, _ := r.Leg(shelter)
	if l.Responsible != ngo || l.ClosedFrom != Completed || len(l.History) != 8 || len(l.Overtaken()) > 0 || l.Accepted == nil || l.Since != c.events[8].Time {
		t.Errorf("%+v", l)
	}
	c.state(police, Sent)
	if len(r.Pending) > 0 || len(r.Rejected) > 0 {
		t.Errorf("pending %v, rejected %v", r.Pending, r.Rejected)
	}
}

func TestReferralDeclinedAndClosed(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	c.do(shelter, shelter, &Decline{Reason: "no-capacity", Instead: "none-known"})
	c.state(shelter, Declined)
	c.do(ngo, shelter, body(KindClose))
	c.state(shelter, Closed)
	c.do(police, police, &Decline{Reason: "zero-fir-passed-on", Number: "0/2026", PassedTo: "Example Station"})
	if l, _ := c.fold().Leg(police); l.Number != "0/2026" || l.NumberKind != "zero-fir" {
		t.Errorf("number %q %q", l.Number, l.NumberKind)
	}
}

func TestTransferMovesResponsibilityAtAcceptance(t *testing.T) {
	p := answers()
	p.Summary.Kind = "transfer"
	p.Case.Legal.ApprovedBy = "supervisor-2"
	p = p.Complete(given())
	if err := Validate(p); err != nil {
		t.Fatal(err)
	}
	c := newChain(t, p)
	responsible := func(want protocol.OrgID) {
		t.Helper()
		if l, _ := c.fold().Leg(shelter); l.Responsible != want {
			t.Errorf("responsible in %s: %s", l.State, l.Responsible.Short())
		}
	}
	responsible(ngo)
	c.do(shelter, shelter, body(KindAcknowledge))
	responsible(ngo)
	c.do(shelter, shelter, body(KindAccept))
	responsible(shelter)
	c.do(shelter, shelter, body(KindComplete))
	c.do(ngo, shelter, body(KindConfirm))
	responsible(shelter)
}

// Who may do it is decided on the event itself: none of these moves anything.
func TestEventsThatNeverCount(t *testing.T) {
	p, _ := file(t, "emergency.json")
	base := newChain(t, p)
	base.do(shelter, shelter, body(KindAcknowledge))
	for name, spoil := range map[string]func(*Event){
		"sender accepts":               func(e *Event) { e.Author, e.Audience = ngo, []protocol.OrgID{shelter} },
		"other recipient accepts":      func(e *Event) { e.Author = police },
		"watcher accepts":              func(e *Event) { e.Author = commission },
		"stranger accepts":             func(e *Event) { e.Author = stranger },
		"other recipient told":         func(e *Event) { e.Audience = []protocol.OrgID{ngo, police} },
		"sender not told":              func(e *Event) { e.Audience = []protocol.OrgID{police} },
		"nobody told":                  func(e *Event) { e.Audience = nil },
		"leg of a stranger":            func(e *Event) { e.Body.(*Accept).Leg = stranger },
		"leg of another":               func(e *Event) { e.Body.(*Accept).Leg = police },
		"no leg":                       func(e *Event) { e.Body.(*Accept).Leg = protocol.OrgID{} },
		"body of another kind":         func(e *Event) { e.Body = &Start{About: e.Body.about(), ContactAt: t0} },
		"unknown body of a known kind": func(e *Event) { e.Body = &Unknown{e.Body.about()} },
		"nothing given":                func(e *Event) { e.Body = &Accept{About: e.Body.about()} },
		"too many references":          func(e *Event) { e.Refs = make([]protocol.RecordID, protocol.MaxRefs+1) },
	} {
		c := &chain{t: t, events: slices.Clone(base.events), n: base.n}
		e := c.draft(shelter, shelter, body(KindAccept))
		spoil(&e)
		if err := Check(c.fold(), e); err == nil {
			t.Errorf("%s: may be sent", name)
		}
		e = c.add(e)
		c.state(shelter, Acknowledged)
		c.state(police, Sent)
		if r := c.fold(); len(r.Rejected) != 1 || r.Rejected[0].Record != e.ID || r.Rejected[0].Why == "" {
			t.Errorf("%s: rejected %+v", name, r.Rejected)
		}
		// And nothing can build on it.
		next := c.draft(shelter, shelter, body(KindMessage))
		next.Refs = append(next.Refs, e.ID)
		next = c.add(next)
		if r := c.fold(); !slices.Equal(r.Pending, []protocol.RecordID{next.ID}) {
			t.Errorf("%s: an event that names it is not pending", name)
		}
	}
}

func TestSendsThatDoNotStand(t *testing.T) {
	p, _ := file(t, "emergency.json")
	for name, spoil := range map[string]func(*Event){
		"by another than its sender": func(e *Event) { e.Author = stranger },
		"to none of its recipients":  func(e *Event) { e.Audience = []protocol.OrgID{commission} },
		"of another kind":            func(e *Event) { e.Kind = KindAmend },
		"without a body":             func(e *Event) { e.Body = nil },
		"an amendment":               func(e *Event) { e.Body.(*Send).Summary.Amends = &Amends{} },
	} {
		c := newChain(t, p)
		e := c.draft(shelter, shelter, body(KindAccept))
		spoil(&c.events[0])
		if name == "an amendment" {
			p, _ = file(t, "emergency.json")
		}
		c.add(e)
		r := c.fold()
		if r.Known || len(r.Legs) > 0 || len(r.Rejected) != 1 || len(r.Pending) != 1 || Moves(r, shelter, shelter, t0) != nil {
			t.Errorf("%s: %+v", name, r)
		}
		if err := Check(r, e); err == nil {
			t.Errorf("%s: an event may be sent on it", name)
		}
	}
}

// A recipient the record did not go to has no leg; nor has the sender itself,
// nor a recipient named twice a second one.
func TestLegsFollowTheAudience(t *testing.T) {
	p, _ := file(t, "emergency.json")
	p.Summary.Recipients = append(p.Summary.Recipients, To{ngo, "", []string{"medical"}}, To{shelter, "", []string{"medical"}})
	c := newChain(t, p)
	c.events[0].Audience = []protocol.OrgID{shelter}
	r := c.fold()
	if len(r.Legs) != 1 || r.Legs[0].Organisation != shelter || r.Legs[0].Asked.Services[0] != "safety-shelter" {
		t.Errorf("%+v", r.Legs)
	}
}

// A referral is its send: a second send with the same number is another one.
func TestSecondSendTakesNobodysPlace(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	before := c.fold()
	theirs := p.clone()
	theirs.Summary.Sender.Organisation = stranger
	other := c.add(Event{Author: stranger, Audience: Audience(p), Kind: KindSend, Body: &Send{theirs}})
	if !reflect.DeepEqual(before, c.fold()) {
		t.Error("another's send changed the referral")
	}
	// An event for that one moves nothing here.
	e := c.draft(shelter, shelter, body(KindAccept))
	e.Body.(*Accept).Referral = other.ID
	c.add(e)
	if !reflect.DeepEqual(before, c.fold()) {
		t.Error("an event of another referral changed this one")
	}
}

func TestPendingUntilItsPredecessorComes(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	c.do(shelter, shelter, body(KindAcknowledge))
	c.do(shelter, shelter, body(KindAccept))
	c.do(shelter, shelter, body(KindStart))
	without := Fold(c.root(), append(slices.Clone(c.events[:1]), c.events[2:]...))
	if l, _ := without.Leg(shelter); l.State != Sent || len(without.Pending) != 2 {
		t.Errorf("%s, pending %d", l.State, len(without.Pending))
	}
	onlyRoot := Fold(c.root(), c.events[1:])
	if onlyRoot.Known || len(onlyRoot.Pending) != 3 {
		t.Errorf("without its send: %+v", onlyRoot)
	}
	c.state(shelter, InProgress)
}

func TestReferencesStayWithinTheLeg(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	theirs := c.do(police, police, body(KindAcknowledge))
	e := c.draft(ngo, shelter, body(KindMessage))
	e.Refs = []protocol.RecordID{theirs.ID}
	if err := Check(c.fold(), e); err == nil {
		t.Error("an event may name another leg's")
	}
	e = c.add(e)
	if r := c.fold(); !slices.Equal(r.Pending, []protocol.RecordID{e.ID}) {
		t.Error("the sender counts what the recipient never can")
	}
	a := c.draft(ngo, protocol.OrgID{}, amendment(t, c, func(p *Parts) { p.Case.Request = "Changed (invented)." }))
	a.Refs = []protocol.RecordID{theirs.ID}
	if err := Check(c.fold(), a); err == nil {
		t.Error("an amend may name a leg's event")
	}
}

// Concurrent: the safer comes first, whatever the record IDs; what then no
// longer fits is overtaken and kept.
func TestConcurrentAcceptAndDecline(t *testing.T) {
	for i := range 20 {
		p, _ := file(t, "emergency.json")
		c := newChain(t, p)
		c.n += i * 3
		a := c.draft(shelter, shelter, body(KindAccept))
		d := c.draft(shelter, shelter, &Decline{Reason: "unsafe"})
		a = c.add(a)
		c.add(d)
		l, _ := c.fold().Leg(shelter)
		over := l.Overtaken()
		if l.State != Declined || len(over) != 1 || over[0].Event.ID != a.ID || over[0].Why != "the leg is declined" || over[0].From != Declined || over[0].To != Declined {
			t.Fatalf("%s, overtaken %+v", l.State, over)
		}
	}
}

func TestKindOfANewerProgram(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	ask := c.draft(shelter, shelter, body(KindMessage))
	ask.Kind, ask.Body = KindAsk, &Unknown{About{c.root(), shelter}}
	if err := Check(c.fold(), ask); err == nil {
		t.Error("an unknown kind may be sent")
	}
	ask = c.add(ask)
	acc := c.do(shelter, shelter, body(KindAccept))
	if !slices.Equal(acc.Refs, []protocol.RecordID{ask.ID}) {
		t.Error("it is not named as seen")
	}
	l, _ := c.fold().Leg(shelter)
	if l.State != Accepted || l.History[0].Verdict != Unread {
		t.Errorf("%s %+v", l.State, l.History)
	}
}

func TestCheckRefusesWhatDoesNotFit(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	var no *Refusal
	for _, k := range []Kind{KindStart, KindComplete} {
		if err := Check(c.fold(), c.draft(shelter, shelter, body(k))); !errors.As(err, &no) || no.Kind != k || !strings.Contains(err.Error(), "sent") {
			t.Errorf("%s: %v", k, err)
		}
	}
	for _, k := range []Kind{KindConfirm, KindDispute, KindClose} {
		if err := Check(c.fold(), c.draft(ngo, shelter, body(k))); !errors.As(err, &no) {
			t.Errorf("%s: %v", k, err)
		}
	}
	expect(t, "accept lacks a unit", Check(c.fold(), c.draft(shelter, shelter, &Accept{Desk: "x", FirstContactBy: t0})), "accept.unit", RuleRequired)
	expect(t, "address in a message", Check(c.fold(), c.draft(shelter, shelter, &Message{Text: "www.example.org"})), "message.text", RuleURL)
	e := c.draft(shelter, shelter, body(KindAccept))
	e.Refs = append(e.Refs, rid(999))
	if err := Check(c.fold(), e); !errors.As(err, &no) {
		t.Errorf("names what is not here: %v", err)
	}
}

func TestCheckSend(t *testing.T) {
	p, _ := file(t, "emergency.json")
	good := Event{Author: ngo, Audience: Audience(p), Kind: KindSend, Body: &Send{p}}
	if err := Check(Referral{}, good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Event){
		"author":   func(e *Event) { e.Author = shelter },
		"audience": func(e *Event) { e.Audience = append([]protocol.OrgID{commission}, e.Audience...) },
		"body":     func(e *Event) { e.Body = body(KindAccept) },
		"parts": func(e *Event) {
			e.Body = &Send{Parts{Summary: Summary{Sender: p.Summary.Sender, Recipients: p.Summary.Recipients}}}
		},
	} {
		e := good
		spoil(&e)
		if err := Check(Referral{}, e); err == nil {
			t.Errorf("wrong %s may be sent", name)
		}
	}
}

func TestRefsAreTheNewest(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	if got := c.fold().Refs(shelter); !slices.Equal(got, []protocol.RecordID{c.root()}) {
		t.Errorf("%v", got)
	}
	a := c.do(shelter, shelter, body(KindAcknowledge))
	c.do(police, police, body(KindAcknowledge))
	if got := c.fold().Refs(shelter); !slices.Equal(got, []protocol.RecordID{a.ID}) {
		t.Errorf("%v", got)
	}
	m := c.do(ngo, protocol.OrgID{}, amendment(t, c, func(p *Parts) { p.Case.Request = "Changed (invented)." }))
	got := c.fold().Refs(shelter)
	if len(got) != 2 || !slices.Contains(got, a.ID) || !slices.Contains(got, m.ID) {
		t.Errorf("%v", got)
	}
	if got := c.fold().Refs(protocol.OrgID{}); !slices.Equal(got, []protocol.RecordID{m.ID}) {
		t.Errorf("of an amend: %v", got)
	}
}

func TestMoves(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	check := func(me protocol.OrgID, now Time, want ...Kind) {
		t.Helper()
		if got := Moves(c.fold(), shelter, me, now); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(shelter, t0, KindAcknowledge, KindAccept, KindDecline, KindMessage)
	check(ngo, t0, KindMessage, KindAmend)
	check(ngo, t0+1000*Days, KindClose, KindMessage, KindAmend)
	check(police, t0)
	check(stranger, t0)
	c.do(shelter, shelter, body(KindAccept))
	c.do(shelter, shelter, body(KindComplete))
	check(ngo, t0, KindConfirm, KindDispute, KindMessage, KindAmend)
	c.do(ngo, shelter, body(KindConfirm))
	check(shelter, t0)
	check(ngo, t0, KindAmend) // the police leg is open
	if Moves(c.fold(), stranger, ngo, t0) != nil {
		t.Error("moves in no leg")
	}
}

// Copies of one record differ in what could be opened: the fuller counts, in
// any order.
func TestFullerCopyCounts(t *testing.T) {
	p, _ := file(t, "normal.json")
	c := newChain(t, p)
	poor := c.events[0]
	q := p.clone()
	q.Identity, q.Evidence = nil, nil
	poor.Body = &Send{q}
	for _, events := range [][]Event{{poor, c.events[0]}, {c.events[0], poor}, {poor, poor, c.events[0], poor}} {
		if r := Fold(c.root(), events); r.Parts.Identity == nil || len(r.Parts.Identity.Names) == 0 {
			t.Error("the poorer copy counted")
		}
	}
	if r := Fold(c.root(), []Event{poor}); r.Parts.Identity != nil || r.Parts.Case == nil {
		t.Error("a part appeared that could not be opened")
	}
}

func amendment(t testing.TB, c *chain, change func(*Parts)) *AmendBody {
	t.Helper()
	p := c.fold().Parts.clone()
	change(&p)
	b, err := c.fold().Amended(p, "new facts (invented)")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
