package referral

import (
	"reflect"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func view(t *testing.T, r Referral, now Time, me, leg protocol.OrgID) LegView {
	t.Helper()
	for _, l := range r.View(now, me).Legs {
		if l.Organisation == leg {
			return l
		}
	}
	t.Fatal("no such leg")
	return LegView{}
}

func TestExpiredIsAViewAndALateAcceptCounts(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	due := p.Summary.Urgency.Expiry
	if v := view(t, c.fold(), due, ngo, shelter); v.State != Sent {
		t.Errorf("at its expiry: %s", v.State)
	}
	before := c.fold()
	if v := view(t, before, due+1, ngo, shelter); v.State != Expired || v.Responsible != ngo || !slices.Contains(v.Moves, KindClose) {
		t.Errorf("past its expiry: %+v", v)
	}
	if !reflect.DeepEqual(before, c.fold()) {
		t.Error("looking changed the referral")
	}
	e := c.draft(shelter, shelter, body(KindAccept))
	e.Time = due + Hours
	if err := Check(c.fold(), e); err != nil {
		t.Fatal(err)
	}
	c.add(e)
	if v := view(t, c.fold(), due+2*Hours, ngo, shelter); v.State != Accepted {
		t.Errorf("accepted late: %s", v.State)
	}
}

// A close is judged by its own time, so that all nodes judge alike whenever
// they hear of it.
func TestCloseBeforeExpiryNeverCounts(t *testing.T) {
	p, _ := file(t, "emergency.json")
	c := newChain(t, p)
	e := c.draft(ngo, shelter, body(KindClose))
	e.Time = p.Summary.Urgency.Expiry
	if err := Check(c.fold(), e); err == nil {
		t.Error("may be sent")
	}
	c.add(e)
	l, _ := c.fold().Leg(shelter)
	if l.State != Sent || len(l.Overtaken()) != 1 {
		t.Errorf("%s", l.State)
	}
}

func TestSilenceConfirmsNormalReferralsOnly(t *testing.T) {
	for name, silent := range map[string]bool{"normal.json": true, "emergency.json": false} {
		p, _ := file(t, name)
		c := newChain(t, p)
		c.do(shelter, shelter, body(KindAccept))
		done := c.do(shelter, shelter, &Complete{Outcome: "successful", Services: []string{"psychosocial"}})
		if v := view(t, c.fold(), done.Time+14*Days, ngo, shelter); v.State != Completed || v.Silent {
			t.Errorf("%s after 14 days: %s", name, v.State)
		}
		v := view(t, c.fold(), done.Time+14*Days+1, shelter, shelter)
		if v.Silent != silent || (v.State == Closed) != silent {
			t.Errorf("%s after more than 14 days: %+v", name, v)
		}
		e := c.draft(ngo, shelter, body(KindDispute))
		e.Time = done.Time + 20*Days
		if err := Check(c.fold(), e); err != nil {
			t.Errorf("a late dispute does not count: %v", err)
		}
	}
}

func TestLateClocks(t *testing.T) {
	p, _ := file(t, "normal.json")
	p.Summary.Urgency.LegalClock, p.Summary.Urgency.LegalDue = "Example rule", t0+30*Days
	c := newChain(t, p)
	late := func(now Time, want ...string) {
		t.Helper()
		var got []string
		for _, l := range view(t, c.fold(), now, ngo, shelter).Late {
			got = append(got, l.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("late %v, want %v", got, want)
		}
	}
	late(t0 + 48*Hours)
	late(t0+48*Hours+1, "acknowledge")
	late(t0+5*Days+1, "acknowledge", "decide")
	ack := body(KindAcknowledge).(*Acknowledge)
	ack.DecideBy = t0 + 3*Days
	c.do(shelter, shelter, ack)
	late(t0 + 3*Days)
	late(t0+3*Days+1, "decide") // its own promise
	acc := body(KindAccept).(*Accept)
	acc.FirstContactBy = t0 + 400*Days // no promise moves the referral's time
	c.do(shelter, shelter, acc)
	late(t0 + 14*Days)
	late(t0+14*Days+1, "act")
	late(t0+30*Days+1000, "act", "report", "legal")
	c.do(shelter, shelter, body(KindStart))
	late(t0+30*Days, []string(nil)...)
	late(t0+31*Days, "report", "legal")
	m := c.draft(shelter, shelter, body(KindMessage))
	m.Time = t0 + 29*Days
	c.add(m)
	late(t0+59*Days, "legal")
	late(t0+59*Days+1, "report", "legal")
	c.do(shelter, shelter, &Complete{Outcome: "successful", Services: []string{"psychosocial"}})
	late(t0 + 1000*Days)
}

// Nobody but its two sides sees how a leg stands.
func TestOthersLegsAreHidden(t *testing.T) {
	p, _ := file(t, "normal.json")
	c := newChain(t, p)
	c.do(shelter, shelter, body(KindAccept))
	for _, me := range []protocol.OrgID{police, commission, stranger} {
		v := view(t, c.fold(), t0+1000*Days, me, shelter)
		if !v.Hidden || v.State != Sent || v.Late != nil || v.Moves != nil || v.SeeFirst != nil {
			t.Errorf("%+v", v)
		}
	}
	for _, me := range []protocol.OrgID{ngo, shelter} {
		if v := view(t, c.fold(), t0, me, shelter); v.Hidden || v.State != Accepted {
			t.Errorf("%+v", v)
		}
	}
}
