package casebook

import "github.com/national-alliance/alliance/protocol/referral"

// RulePossible is broken by a time that cannot be meant: a promise for a time
// that is over, or a contact that is still to come. It binds who writes a move;
// one that arrives is shown as it is.
const RulePossible referral.Rule = "time-possible"

// clockSlack is how far two clocks of an organisation may stand apart.
const clockSlack referral.Time = 5 * 60

// impossible names the times of a move that cannot be meant. A time that is
// missing is another rule's.
func impossible(body referral.Body, now referral.Time) error {
	fault := func(field, message string) error {
		return referral.Faults{{Field: field, Rule: RulePossible, Message: message}}
	}
	over := func(t referral.Time) bool { return t != 0 && t < now-clockSlack }
	switch b := body.(type) {
	case *referral.Acknowledge:
		if over(b.DecideBy) {
			return fault("acknowledge.decide_by", "is over already: give the time by which it will be decided, such as +24h")
		}
	case *referral.Accept:
		if over(b.FirstContactBy) {
			return fault("accept.first_contact_by", "is over already: give the time by which the first contact will be made, such as +48h")
		}
	case *referral.Start:
		if b.ContactAt > now+clockSlack {
			return fault("start.contact_at", "is still to come: give the time at which the first contact was made, and send it once it was")
		}
	}
	return nil
}
