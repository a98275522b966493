package casebook

import (
	"context"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol/referral"
)

// A promise for a time that is over and a contact that is to come are refused
// where the move is made; a few minutes of another clock are not.
func TestImpossibleTimes(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "normal"))
	refuse := func(field string, body referral.Body) {
		t.Helper()
		before := len(w.sites[shelter].records())
		_, err := w.as(shelter).Move(context.Background(), Move{Referral: string(r.Code), Body: body, Staff: "worker-1"})
		wantError(t, err, Invalid, field, string(RulePossible), "nothing was kept")
		if n := len(w.sites[shelter].records()); n != before {
			t.Errorf("%s: %d records after the refusal, %d before", field, n, before)
		}
	}
	refuse("acknowledge.decide_by", &referral.Acknowledge{Desk: "Example desk", DecideBy: at(w, -6*time.Minute)})
	w.move(shelter, r, "", &referral.Acknowledge{Desk: "Example desk", DecideBy: at(w, -time.Minute)})
	refuse("accept.first_contact_by", &referral.Accept{Unit: "Example", Desk: "Example desk", FirstContactBy: at(w, -24*time.Hour)})
	w.move(shelter, r, "", &referral.Accept{Unit: "Example", Desk: "Example desk", FirstContactBy: at(w, time.Hour)})
	refuse("start.contact_at", &referral.Start{ContactAt: at(w, time.Hour)})
	w.move(shelter, r, "", &referral.Start{ContactAt: at(w, 4*time.Minute)})
}
