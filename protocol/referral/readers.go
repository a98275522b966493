package referral

import (
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// ValidateAddressing checks who gets which part, with what the register says
// of each organisation: its class and its finer kind. It gives [Faults] or
// nil:
//
//   - every reader is a recipient or a watcher; the case part goes to all
//     recipients, an amendment's to those whose leg is not over; watchers read
//     the summary alone
//   - evidence goes to police and to hotlines only
//   - police services are asked of police
//   - no part goes to a body it is withheld from, nor to one the alleged
//     person belongs to
//   - where consent or assent is the only ground, each part goes only where
//     the consent allows
func ValidateAddressing(p Parts, r Readers, member func(protocol.OrgID) (class protocol.Class, kind string)) error {
	c := &checker{}
	p.fill()
	recipients := make([]protocol.OrgID, 0, len(p.Summary.Recipients))
	for i, to := range p.Summary.Recipients {
		recipients = append(recipients, to.Organisation)
		class, _ := member(to.Organisation)
		if class != protocol.ClassPolice && slices.ContainsFunc(to.Services, ofPolice) {
			c.fault(fmt.Sprintf("summary.recipients[%d].services", i), RulePoliceService, "asks a body that is not police for what only police can do")
		}
	}
	if p.Summary.Amends == nil && !slices.Equal(sorted(r.Case), sorted(recipients)) {
		c.fault("readers.case", RuleReaders, "the case part goes to all recipients and to no one else")
	}
	sets := r.Sets(Audience(p))
	for i, name := range PartNames {
		for _, org := range sets[i] {
			c.reader("readers."+name, name, org, p, recipients, member)
		}
	}
	return c.faults.err()
}

// ofPolice reports whether only police give a service.
func ofPolice(code string) bool { return vocab.Attr(vocab.Service, code) == "police" }

func (c *checker) reader(field, part string, org protocol.OrgID, p Parts, recipients []protocol.OrgID, member func(protocol.OrgID) (protocol.Class, string)) {
	i := slices.Index(recipients, org)
	if i < 0 && part != "summary" {
		c.fault(field, RuleReaders, "goes to a body that is not asked to act")
		return
	}
	class, kind := member(org)
	if part == "evidence" && class != protocol.ClassPolice && kind != "hotline" {
		c.fault(field, RuleEvidenceReader, "evidence goes to police and hotlines only")
	}
	unit := ""
	if i >= 0 {
		unit = p.Summary.Recipients[i].Unit
	}
	for _, t := range p.Case.TiedBodies {
		if t.bars(org, unit) {
			c.fault(field, RuleBarred, "the alleged person belongs to this body")
		}
	}
	for _, w := range p.Case.Legal.Withheld {
		if w.Organisation == org && w.Part == part {
			c.fault(field, RuleWithheld, "is withheld from this body")
		}
	}
	if l := p.Case.Legal; l.Consent != nil && !slices.ContainsFunc(l.Basis, otherGround) {
		if !slices.Contains(l.Consent.Scope, Scope{part, org}) {
			c.fault(field, RuleScope, "the consent does not cover this body")
		}
	}
}

// Barred returns the members that the alleged person belongs to, sorted: such
// a body is neither recipient, watcher nor custodian, nor an onward reader. A
// tie to one unit bars the others of its organisation from nothing, but the
// organisation as custodian all the same.
func (p Parts) Barred() []protocol.OrgID {
	if p.Case == nil {
		return nil
	}
	var out []protocol.OrgID
	for _, t := range p.Case.TiedBodies {
		if !t.Organisation.IsZero() {
			out = append(out, t.Organisation)
		}
	}
	return sorted(out)
}
