package referral

import (
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/protocol/vocab"
)

// Given is what the program knows without asking a person.
type Given struct {
	Sender   Sender   // the organisation and its desk
	Staff    string   // pseudonym of the author
	Language string   // of the free text; "" is "en"
	District District // preset; the child's where the person gave none
	Now      Time
	Random   [32]byte // fresh for each referral
}

// Complete fills what is generated or has a safe default, and leaves alone
// whatever is there: ID and codes, vocabulary, sender's desk, clocks, expiry,
// TLP amber+strict, onward sharing ask-first, delivery by network, kind
// referral, retention, and not-yet-known in fields that only the child or
// police can answer. A recipient without services is asked for all of them.
//
// It never fills what a person must answer. For an emergency that is eight
// things, after which [Validate] passes: danger now, help needed
// (Summary.Services), to whom (Summary.Recipients), age band, district, the
// request, safe contact with what not to do, and the ground for sharing. The
// priority is chosen with the form; an emergency's reason is taken from the
// answer to danger now, unless that is "no".
func (p Parts) Complete(g Given) Parts {
	p = p.clone()
	p.fill()
	s, c := &p.Summary, p.Case
	s.Recipients = slices.Clone(s.Recipients)
	if s.ID == (UID{}) {
		s.ID = UID(g.Random[:16])
	}
	s.Code = NewCode(s.ID[:])
	or(&s.Child.CaseCode, NewCode(g.Random[16:]))
	or(&s.Vocabulary, vocab.Version)
	or(&s.Written, g.Now)
	or(&s.Language, g.Language)
	or(&s.Language, "en")
	or(&s.Kind, "referral")
	if s.Sender.Organisation.IsZero() {
		s.Sender.Organisation = g.Sender.Organisation
	}
	or(&s.Sender.Unit, g.Sender.Unit)
	or(&s.Sender.Role, g.Sender.Role)
	or(&s.Sender.Phone, g.Sender.Phone)
	or(&s.Delivery, "network")
	or(&s.TLP, "amber+strict")
	or(&s.Onward, "ask-first")
	or(&s.PoliceTold, NotYetKnown)
	for i := range s.Recipients {
		if len(s.Recipients[i].Services) == 0 {
			s.Recipients[i].Services = s.Services
		}
	}
	or(&s.Child.Gender, NotYetKnown)
	if s.Child.District.Code == "" {
		s.Child.District = g.District
	}
	if len(s.Concern.Types) == 0 {
		s.Concern.Types = []string{"not-clear-yet"}
	}
	or(&s.Concern.Ongoing, NotYetKnown)
	or(&s.Concern.HowLearned, NotYetKnown)
	completeClocks(s)
	or(&c.Contact, g.Staff)
	or(&c.CarerAlleged, NotYetKnown)
	or(&c.Narrative, NotYetKnown)
	or(&c.Legal.ChildTold, NotYetKnown)
	or(&c.Legal.ChildView, NotYetKnown)
	or(&c.Legal.CarerTold, NotYetKnown)
	if s.PoliceTold == "yes" {
		or(&c.Police.Number, NotYetKnown)
	}
	or(&c.Retention.Rule, "standard")
	or(&c.Retention.Until, s.Urgency.Expiry+Time(vocab.FactInt("retention-d"))*Days)
	return p
}

func completeClocks(s *Summary) {
	u := &s.Urgency
	or(&u.Risk, "not-assessed")
	if u.Priority == "emergency" && u.Reason == "" {
		switch u.DangerNow {
		case "yes":
			u.Reason = "The child is in danger now."
		case "unknown":
			u.Reason = "It is not known whether the child is in danger now."
		}
	}
	k, ok := vocab.ClockOf(u.Priority)
	if !ok {
		return
	}
	or(&u.Acknowledge, s.Written+Time(k.Acknowledge)*Hours)
	or(&u.Decide, s.Written+Time(k.Decide)*Hours)
	or(&u.Act, s.Written+Time(k.Act)*Hours)
	or(&u.Report, s.Written+Time(k.Report)*Hours)
	or(&u.Expiry, s.Written+Time(k.Expire)*Hours)
}

// or sets what is unset.
func or[T comparable](to *T, v T) {
	var zero T
	if *to == zero {
		*to = v
	}
}

// Amended builds an amend's parts: changed are the whole parts as they shall
// be. It gives an error if nothing differs.
func (r Referral) Amended(changed Parts, reason string) (*AmendBody, error) {
	diff := Diff(r.Parts, changed)
	if len(diff) == 0 {
		return nil, fmt.Errorf("amend referral: nothing differs from what was sent")
	}
	changed.Summary.Amends = &Amends{Referral: r.ID, Changed: diff, Reason: reason}
	return &AmendBody{changed}, nil
}
