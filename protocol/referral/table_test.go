package referral

import (
	"errors"
	"slices"
	"testing"
)

var allStates = []State{Sent, Acknowledged, InfoNeeded, Accepted, InProgress, OnHold, Returned, Completed, Declined, Withdrawn, Closed, Void}

// moves is the table as people agreed it, written out a second time: for each
// kind and side, the states it is possible in and where it leads.
var moves = map[Kind]map[Role]map[State]State{
	KindAcknowledge: {ByRecipient: {Sent: Acknowledged}},
	KindAccept:      {ByRecipient: {Sent: Accepted, Acknowledged: Accepted, InfoNeeded: Accepted}},
	KindDecline:     {ByRecipient: {Sent: Declined, Acknowledged: Declined, InfoNeeded: Declined}},
	KindStart:       {ByRecipient: {Accepted: InProgress, OnHold: InProgress}},
	KindComplete:    {ByRecipient: {Accepted: Completed, InProgress: Completed, OnHold: Completed}},
	KindConfirm:     {BySender: {Completed: Closed}},
	KindDispute:     {BySender: {Completed: InProgress}},
	KindClose:       {BySender: {Declined: Closed, Returned: Closed, Withdrawn: Closed}},
	KindMessage:     {BySender: stay(), ByRecipient: stay()},
}

func stay() map[State]State {
	out := map[State]State{}
	for _, s := range allStates {
		if s != Closed && s != Void {
			out[s] = s
		}
	}
	return out
}

// Every row and every forbidden row: kind, side, state, before the expiry.
func TestTable(t *testing.T) {
	for kind, sides := range moves {
		for _, role := range []Role{Stranger, BySender, ByRecipient} {
			for _, s := range allStates {
				want, possible := sides[role][s]
				row, why := find(kind, role, s, t0, t0)
				if (why == "") != possible {
					t.Errorf("%s by %d in %s: possible %v, want %v (%s)", kind, role, s, why == "", possible, why)
					continue
				}
				got := row.to
				if got == "" {
					got = s
				}
				if possible && got != want {
					t.Errorf("%s in %s leads to %s, want %s", kind, s, got, want)
				}
			}
		}
	}
	for _, m := range table {
		if moves[m.kind] == nil {
			t.Errorf("%s has a row and no test", m.kind)
		}
	}
}

// Past the expiry a sender may also close what nobody decided, and only that.
func TestTablePastExpiry(t *testing.T) {
	for kind, sides := range moves {
		for _, role := range []Role{Stranger, BySender, ByRecipient} {
			for _, s := range allStates {
				_, possible := sides[role][s]
				if kind == KindClose && role == BySender && slices.Contains([]State{Sent, Acknowledged, InfoNeeded}, s) {
					possible = true
				}
				if _, why := find(kind, role, s, t0+1, t0); (why == "") != possible {
					t.Errorf("%s by %d in %s: %q", kind, role, s, why)
				}
			}
		}
	}
}

func TestReservedKindsMoveNothing(t *testing.T) {
	for _, k := range []Kind{KindAsk, KindAnswer, KindHold, KindReturn, KindWithdraw, KindReopen, KindMarkWrong, KindRaise, KindLower, KindEscalate, KindConsentWithdrawn, "referral/later"} {
		if whose(k) != nil {
			t.Errorf("%s has a row", k)
		}
	}
}

func TestRankOfSafety(t *testing.T) {
	order := []Kind{KindMarkWrong, KindWithdraw, KindConsentWithdrawn, KindDecline, KindReturn, KindAccept}
	for i := 1; i < len(order); i++ {
		if rank(order[i-1]) >= rank(order[i]) {
			t.Errorf("%s does not come before %s", order[i-1], order[i])
		}
	}
	for _, k := range []Kind{KindAmend, KindClose, KindMessage, "referral/later"} {
		if rank(k) != rank(KindAccept) {
			t.Errorf("%s is not among the rest", k)
		}
	}
}

func TestFHIRStatus(t *testing.T) {
	for s, want := range map[State]string{
		Sent: "requested", Acknowledged: "received", InfoNeeded: "on-hold", OnHold: "on-hold", Accepted: "accepted", InProgress: "in-progress",
		Completed: "completed", Declined: "rejected", Withdrawn: "cancelled", Returned: "failed", Expired: "failed", Void: "entered-in-error",
	} {
		if got := FHIRStatus(Leg{State: s}); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
		if got := FHIRStatus(Leg{State: Closed, ClosedFrom: s}); got != want {
			t.Errorf("closed from %s: %s, want %s", s, got, want)
		}
	}
}

// What each event must give, and what it may not say, by rule.
func TestMustGive(t *testing.T) {
	asked := To{Organisation: shelter, Services: []string{"safety-shelter", "medical"}}
	report := To{Organisation: police, Services: []string{"police-report"}}
	for _, c := range []struct {
		name  string
		body  Body
		asked To
		field string
		rule  Rule
	}{
		{"acknowledge without desk", &Acknowledge{DecideBy: t0}, asked, "acknowledge.desk", RuleRequired},
		{"acknowledge without time", &Acknowledge{Desk: "x"}, asked, "acknowledge.decide_by", RuleRequired},
		{"accept without unit", &Accept{Desk: "x", FirstContactBy: t0}, asked, "accept.unit", RuleRequired},
		{"accept without desk", &Accept{Unit: "x", FirstContactBy: t0}, asked, "accept.desk", RuleRequired},
		{"accept without time", &Accept{Unit: "x", Desk: "x"}, asked, "accept.first_contact_by", RuleRequired},
		{"accept in part without reason", &Accept{Unit: "x", Desk: "x", FirstContactBy: t0, Services: []string{"medical"}}, asked, "accept.rest_reason", RulePart},
		{"accept what was not asked", &Accept{Unit: "x", Desk: "x", FirstContactBy: t0, Services: []string{"education"}, RestReason: "x"}, asked, "accept.services", RulePart},
		{"decline without reason", &Decline{}, asked, "decline.reason", RuleRequired},
		{"decline for capacity alone", &Decline{Reason: "no-capacity"}, asked, "decline.instead", RuleInstead},
		{"decline for area alone", &Decline{Reason: "out-of-area"}, asked, "decline.instead", RuleInstead},
		{"decline for eligibility alone", &Decline{Reason: "not-eligible"}, asked, "decline.instead", RuleInstead},
		{"decline for other", &Decline{Reason: "other"}, asked, "decline.text", RuleOther},
		{"police decline a report", &Decline{Reason: "no-capacity", Instead: "x"}, report, "decline.reason", RulePoliceDecline},
		{"police decline for other", &Decline{Reason: "other", Text: "x"}, report, "decline.reason", RulePoliceDecline},
		{"zero FIR without number", &Decline{Reason: "zero-fir-passed-on", PassedTo: "x"}, report, "decline.number", RuleReported},
		{"zero FIR passed to nobody", &Decline{Reason: "zero-fir-passed-on", Number: "1"}, report, "decline.passed_to", RuleRequired},
		{"start without contact", &Start{}, asked, "start.contact_at", RuleRequired},
		{"complete without outcome", &Complete{Services: []string{"medical"}, WhyNot: "moved"}, asked, "complete.outcome", RuleRequired},
		{"complete without services", &Complete{Outcome: "successful"}, asked, "complete.services", RuleRequired},
		{"partly without why", &Complete{Outcome: "partly", Services: []string{"medical"}}, asked, "complete.why_not", RuleWhyNot},
		{"not without why", &Complete{Outcome: "not"}, asked, "complete.why_not", RuleWhyNot},
		{"report without number", &Complete{Outcome: "successful", Services: []string{"police-report"}}, report, "complete.number", RuleReported},
		{"report asked, not named", &Complete{Outcome: "successful", Services: []string{"police-investigation"}}, report, "complete.number", RuleReported},
		{"dispute of nothing", &Dispute{}, asked, "dispute.missing", RuleRequired},
		{"close without next step", &Close{}, asked, "close.next_step", RuleRequired},
		{"empty message", &Message{}, asked, "message.text", RuleRequired},
	} {
		expect(t, c.name, mustGive(c.body, c.asked).err(), c.field, c.rule)
		expect(t, c.name+", before sending", validateBody(c.body, c.asked).err(), c.field, c.rule)
	}
	for name, c := range map[string]struct {
		body  Body
		asked To
	}{
		"accept in part":             {&Accept{Unit: "x", Desk: "x", FirstContactBy: t0, Services: []string{"medical"}, RestReason: "full"}, asked},
		"accept all by name":         {&Accept{Unit: "x", Desk: "x", FirstContactBy: t0, Services: []string{"medical", "safety-shelter"}}, asked},
		"decline, none known":        {&Decline{Reason: "no-capacity", Instead: "none-known"}, asked},
		"decline, another member":    {&Decline{Reason: "out-of-area", InsteadOrg: commission}, asked},
		"police: duplicate":          {&Decline{Reason: "duplicate"}, report},
		"police: zero FIR":           {&Decline{Reason: "zero-fir-passed-on", Number: "0/2026", PassedTo: "Example Station"}, report},
		"not successful":             {&Complete{Outcome: "not", WhyNot: "moved"}, asked},
		"report with number":         {&Complete{Outcome: "successful", Services: []string{"police-report"}, Number: "12/2026", NumberKind: "fir"}, report},
		"services beyond what asked": {&Complete{Outcome: "successful", Services: []string{"education"}}, asked},
	} {
		if f := validateBody(c.body, c.asked); len(f) > 0 {
			t.Errorf("%s: %v", name, f)
		}
	}
	// Codes, texts and addresses are looked at before sending only, so that
	// nodes of different age fold alike.
	for name, b := range map[string]Body{
		"unknown code": &Decline{Reason: "a-later-reason"},
		"address":      &Message{Text: "see https://example.org"},
		"picture":      &Message{Text: "data:image/png;base64,AAAA"},
	} {
		if f := mustGive(b, asked); len(f) > 0 {
			t.Errorf("%s: %v", name, f)
		}
		var f Faults
		if !errors.As(validateBody(b, asked).err(), &f) {
			t.Errorf("%s may be sent", name)
		}
	}
}
