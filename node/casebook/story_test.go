package casebook

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol/referral"
)

// TestStory is a referral from the NGO to a shelter and police, identity and
// evidence to police alone.
func TestStory(t *testing.T) {
	w := usual(t)
	sent := w.send(ngo, draft(t, "emergency"))
	if sent.Record.IsZero() || sent.Referral != sent.Record || len(sent.Notices) != 1 {
		t.Fatalf("sent: %+v", sent)
	}
	readers := map[string][]string{}
	for _, p := range sent.Parts {
		for _, o := range p.Readers {
			readers[p.Part] = append(readers[p.Part], o.Name)
		}
		slices.Sort(readers[p.Part])
	}
	both := []string{police, shelter}
	for part, want := range map[string][]string{"summary": both, "case": both, "identity": {police}, "evidence": {police}} {
		if !slices.Equal(readers[part], want) {
			t.Errorf("%s goes to %v, want %v", part, readers[part], want)
		}
	}
	if v := w.show(police, string(sent.Code)); len(v.Reads) != 4 || v.Direction != Incoming || v.Parts.Identity == nil {
		t.Errorf("police read %v", v.Reads)
	}
	v := w.show(shelter, sent.Referral.String()[:8])
	if !slices.Equal(v.Reads, []string{"summary", "case"}) || v.Parts.Identity != nil || v.Parts.Evidence != nil {
		t.Errorf("the shelter reads %v", v.Reads)
	}
	if l := v.leg(t, police); !l.Hidden || l.State != referral.Sent || l.Moves != nil {
		t.Errorf("the shelter sees of the police: %+v", l)
	}
	if l := v.leg(t, shelter); !slices.Equal(l.Moves, []string{"acknowledge", "accept", "decline", "message"}) {
		t.Errorf("the shelter may %v", l.Moves)
	}

	w.move(shelter, sent, "", &referral.Accept{Unit: "Example House", Desk: "Example desk", FirstContactBy: at(w, time.Hour)})
	w.move(shelter, sent, "", &referral.Start{ContactAt: at(w, 0)})
	if r := w.move(shelter, sent, "", &referral.Complete{Outcome: "successful", Services: []string{"safety-shelter"}}); r.State != referral.Completed {
		t.Errorf("completed: %+v", r)
	}
	w.move(police, sent, "", &referral.Accept{Unit: "Example District", Desk: "Example desk", FirstContactBy: at(w, time.Hour), Number: "GD 7/2026", NumberKind: "entry"})
	// Only the shelter's leg is open to a confirmation.
	if r := w.move(ngo, sent, "", &referral.Confirm{}); r.State != referral.Closed || r.Leg.Name != shelter {
		t.Errorf("confirmed: %+v", r)
	}

	v = w.show(ngo, string(sent.Code))
	if s := v.leg(t, shelter); s.State != referral.Closed || len(s.History) != 4 || s.History[3].Delivery.Stage != Stored {
		t.Errorf("the shelter's leg: %+v", s)
	}
	if p := v.leg(t, police); p.State != referral.Accepted || p.Number != "GD 7/2026" || p.Delivery.Stage != Stored {
		t.Errorf("the police's leg: %+v", p)
	}
	if s := w.show(shelter, string(sent.Code)).leg(t, shelter); s.State != referral.Closed {
		t.Errorf("the shelter sees its leg %s", s.State)
	}
	if p := w.show(shelter, string(sent.Code)).leg(t, police); p.State != referral.Sent || p.History != nil || p.Number != "" {
		t.Errorf("the shelter sees of the police: %+v", p)
	}
	for _, stranger := range []string{secretariat, commission, keeper} {
		l, err := w.as(stranger).List(context.Background(), Filter{})
		if err != nil || l.Total != 0 || l.Waiting != 0 {
			t.Errorf("%s lists %+v, %v", stranger, l, err)
		}
	}
	if n := len(w.sites[secretariat].records()); n == 0 {
		t.Error("the secretariat keeps nothing as custodian")
	}
}
