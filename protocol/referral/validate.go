package referral

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// The rules.
const (
	RuleRequired       Rule = "required"
	RuleKnownCode      Rule = "known-code"
	RuleKnownAnswer    Rule = "known-answer" // not-yet-known where it is no answer
	RuleTextLength     Rule = "text-length"
	RuleListLength     Rule = "list-length"
	RuleTime           Rule = "time"
	RulePrintable      Rule = "printable"
	RuleCode           Rule = "check-digit"
	RuleCodeFromID     Rule = "code-from-id"
	RuleDate           Rule = "date-form"
	RuleDistrict       Rule = "district-form"
	RuleSelf           Rule = "not-to-oneself"
	RuleTwice          Rule = "named-once"
	RuleServices       Rule = "services-match"
	RuleTransferOne    Rule = "transfer-to-one"
	RuleTransferAppr   Rule = "transfer-approved"
	RuleParent         Rule = "parent-and-root"
	RuleOnward         Rule = "onward-named"
	RuleEmergency      Rule = "emergency-reason"
	RuleDueOrder       Rule = "due-order"
	RuleDueLater       Rule = "due-later-reason"
	RuleExpiry         Rule = "expiry"
	RuleConsent        Rule = "consent-given"
	RuleWithdrawn      Rule = "consent-withdrawn"
	RuleCarerWhyNot    Rule = "carer-why-not"
	RuleTwoPersons     Rule = "two-persons"
	RuleReported       Rule = "reported-needs-number"
	RuleSafeContact    Rule = "safe-contact"
	RuleLastFour       Rule = "last-four-digits"
	RuleIDNumber       Rule = "no-id-number"
	RuleNoFile         Rule = "no-file-content"
	RuleURL            Rule = "url-in-evidence-only"
	RuleNoIdentity     Rule = "no-identity-in-summary"
	RuleNoPhone        Rule = "no-phone-in-summary"
	RuleHash           Rule = "hash-form"
	RuleBarred         Rule = "barred-body"
	RuleTieRepeated    Rule = "tie-repeated"
	RuleOwnBody        Rule = "own-body-safeguarding"
	RuleAmends         Rule = "amends-in-amend-only"
	RuleChanged        Rule = "changed-fields"
	RulePoliceService  Rule = "police-service-to-police"
	RulePoliceDecline  Rule = "police-report-decline"
	RuleReaders        Rule = "readers"
	RuleEvidenceReader Rule = "evidence-to-police-and-hotlines"
	RuleWithheld       Rule = "withheld"
	RuleScope          Rule = "consent-scope"
	RuleOther          Rule = "other-needs-text"
	RuleInstead        Rule = "name-another-body"
	RulePart           Rule = "part-of-what-was-asked"
	RuleWhyNot         Rule = "why-not"
)

// Validate checks a whole referral before it is sent: what is required, codes,
// forms, the conditional rules, and what must never be written where. It
// returns all faults as [Faults], or nil. Nil parts count as empty, so only
// an author, who has all four, can validate.
//
// Codes that this program does not know are faults, unless the referral was
// written with a newer vocabulary.
func Validate(p Parts) error {
	f := validate(p)
	if p.Summary.Amends != nil {
		f = append(f, Fault{"summary.amends", RuleAmends, "a new referral amends none"})
	}
	return f.err()
}

func validate(p Parts) Faults {
	p = p.clone()
	p.fill()
	c := &checker{anyCodes: p.Summary.Vocabulary > vocab.Version}
	c.walk("summary", reflect.ValueOf(p.Summary), tag{})
	c.walk("case", reflect.ValueOf(*p.Case), tag{})
	c.walk("identity", reflect.ValueOf(*p.Identity), tag{})
	c.walk("evidence", reflect.ValueOf(*p.Evidence), tag{})
	c.summary(p.Summary)
	c.urgency(p.Summary)
	c.legal(p)
	c.identity(p)
	c.evidence(p)
	c.barred(p)
	c.written(p)
	return c.faults
}

var dateForm = regexp.MustCompile(`^(19|20)\d\d(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$`)

func (c *checker) date(field, s string) {
	if s != "" && s != NotYetKnown && !dateForm.MatchString(s) {
		c.fault(field, RuleDate, "write 2026, 2026-11 or 2026-11-23")
	}
}

func (c *checker) summary(s Summary) {
	if s.Code != "" && s.Code != NewCode(s.ID[:]) {
		c.fault("summary.code", RuleCodeFromID, "does not belong to the id")
	}
	if k := s.Child.CaseCode; k != "" {
		if again, err := ParseCode(string(k)); err != nil || again != k {
			c.fault("summary.child.case_code", RuleCode, "its check letter does not fit")
		}
	}
	switch d := s.Child.District; {
	case d.Code == NotYetKnown || d.Code == "":
	case !vocab.ValidDistrict(d.Code):
		c.fault("summary.child.district.code", RuleDistrict, "must be a Local Government Directory code of one to six digits, or not-yet-known")
	case !dateForm.MatchString(d.List):
		c.fault("summary.child.district.list", RuleDistrict, "must be the date of the list the code is from, such as 2022-12")
	}
	seen := map[protocol.OrgID]bool{s.Sender.Organisation: true}
	for i, to := range s.Recipients {
		field := fmt.Sprintf("summary.recipients[%d]", i)
		c.addressee(field+".organisation", to.Organisation, s.Sender.Organisation, seen)
		for _, svc := range to.Services {
			if !slices.Contains(s.Services, svc) {
				c.fault(field+".services", RuleServices, "asks for a service that the child is not said to need")
			}
		}
	}
	for i, w := range s.Watchers {
		c.addressee(fmt.Sprintf("summary.watchers[%d]", i), w, s.Sender.Organisation, seen)
	}
	if n := len(s.Recipients) + len(s.Watchers); n > protocol.MaxAudience {
		c.fault("summary.recipients", RuleListLength, fmt.Sprintf("recipients and watchers together are at most %d", protocol.MaxAudience))
	}
	for _, svc := range s.Services {
		if !slices.ContainsFunc(s.Recipients, func(t To) bool { return slices.Contains(t.Services, svc) }) {
			c.fault("summary.services", RuleServices, "names a service that no recipient is asked for")
			break
		}
	}
	if s.Kind == "transfer" && len(s.Recipients) > 1 {
		c.fault("summary.recipients", RuleTransferOne, "responsibility moves to one organisation: transfer to one recipient, and refer to the others")
	}
	if s.Parent.IsZero() != s.Root.IsZero() {
		c.fault("summary.parent", RuleParent, "parent and root are given together")
	}
	if (s.Onward == "named") != (len(s.OnwardTo) > 0) {
		c.fault("summary.onward_to", RuleOnward, "is given with onward sharing named, and only then")
	}
}

func (c *checker) addressee(field string, org, self protocol.OrgID, seen map[protocol.OrgID]bool) {
	switch {
	case org.IsZero():
	case org == self:
		c.fault(field, RuleSelf, "is the sender itself")
	case seen[org]:
		c.fault(field, RuleTwice, "is named before")
	}
	seen[org] = true
}

func (c *checker) urgency(s Summary) {
	u := s.Urgency
	if u.Priority == "emergency" && strings.TrimSpace(u.Reason) == "" {
		c.fault("summary.urgency.reason", RuleEmergency, "an emergency says why it is one")
	}
	if !(u.Acknowledge <= u.Decide && u.Decide <= u.Act && u.Act <= u.Report) {
		c.fault("summary.urgency", RuleDueOrder, "acknowledge, decide, act and report fall due in this order")
	}
	if u.Acknowledge != 0 && u.Acknowledge < s.Written {
		c.fault("summary.urgency.acknowledge_by", RuleDueOrder, "is before the referral was written")
	}
	if u.Expiry != 0 && u.Expiry < u.Decide {
		c.fault("summary.urgency.expiry", RuleExpiry, "is before the decision is due")
	}
	if k, ok := vocab.ClockOf(u.Priority); ok && u.LaterReason == "" {
		for _, d := range []struct {
			field string
			due   Time
			hours int
		}{{"acknowledge_by", u.Acknowledge, k.Acknowledge}, {"decide_by", u.Decide, k.Decide}, {"act_by", u.Act, k.Act}, {"report_by", u.Report, k.Report}} {
			if d.due > s.Written+Time(d.hours)*Hours {
				c.fault("summary.urgency."+d.field, RuleDueLater, "is later than this priority's time, which needs a reason")
			}
		}
	}
	if (u.LegalClock == "") != (u.LegalDue == 0) {
		c.fault("summary.urgency.legal_due", RuleRequired, "is given together with the law that sets it")
	}
}

func (c *checker) legal(p Parts) {
	l := p.Case.Legal
	if l.Consent == nil && slices.ContainsFunc(l.Basis, byConsent) {
		c.fault("case.legal.consent", RuleConsent, "consent or assent is the ground: say from whom, when, how and for which parts")
	}
	if l.WithdrawnAt != 0 && !slices.ContainsFunc(l.Basis, otherGround) {
		c.fault("case.legal.withdrawn_at", RuleWithdrawn, "consent was withdrawn and there is no other ground to share")
	}
	if l.CarerTold == "no" && l.CarerWhyNot == "" {
		c.fault("case.legal.carer_why_not", RuleCarerWhyNot, "say why the carer was not told")
	}
	if o := l.Override; o != nil && o.By == o.Approver {
		c.fault("case.legal.override.approver", RuleTwoPersons, "must be another person than the one who overrides")
	}
	if p.Summary.Kind == "transfer" && l.ApprovedBy == "" {
		c.fault("case.legal.approved_by", RuleTransferAppr, "a transfer is approved by a supervisor")
	}
	if p.Summary.PoliceTold == "yes" && p.Case.Police.Number == "" {
		c.fault("case.police.number", RuleReported, "give the entry, FIR or acknowledgement number, or not-yet-known: without a number nothing counts as reported")
	}
	if p.Case.Police.Reported() && p.Case.Police.NumberKind == "" {
		c.fault("case.police.number_kind", RuleReported, "say what kind of number it is")
	}
	c.date("case.from", p.Case.From)
	c.date("case.to", p.Case.To)
	c.date("case.police.when", p.Case.Police.When)
	if (p.Case.From != "" || p.Case.To != "") && p.Case.Precision == "" {
		c.fault("case.precision", RuleRequired, "is given with a date")
	}
	if l.Consent != nil {
		c.date("case.legal.consent.when", l.Consent.When)
	}
	for i, d := range p.Case.Done {
		c.date(fmt.Sprintf("case.done[%d].when", i), d.When)
	}
	for i, w := range l.Withheld {
		if w.Organisation.IsZero() && w.From == "" {
			c.fault(fmt.Sprintf("case.legal.withheld[%d].from", i), RuleRequired, "must be given")
		}
	}
}

func byConsent(basis string) bool   { return vocab.Attr(vocab.Basis, basis) == "consent" }
func otherGround(basis string) bool { return !byConsent(basis) }

func (c *checker) identity(p Parts) {
	id := p.Identity
	if s := id.SafeContact; !s.DoNotContact && s.Who == "" {
		c.fault("identity.safe_contact.who", RuleSafeContact, "say who may be contacted, not-yet-known, or set do_not_contact")
	}
	c.date("identity.birth", id.Birth)
	if id.Birth != "" && id.BirthIs == "" {
		c.fault("identity.birth_is", RuleRequired, "is given with a birth date")
	}
	for i, x := range id.IDs {
		if len(x.Last4) > 4 || strings.Trim(x.Last4, "0123456789") != "" {
			c.fault(fmt.Sprintf("identity.ids[%d].last4", i), RuleLastFour, "only the last four digits are kept")
		}
	}
}

func (c *checker) evidence(p Parts) {
	for i, h := range p.Evidence.Hashes {
		field := fmt.Sprintf("evidence.hashes[%d].value", i)
		n := vocab.Attr(vocab.HashAlgorithm, h.Algorithm)
		if n != "" && fmt.Sprint(len(h.Value)) != n || strings.Trim(h.Value, "0123456789abcdef") != "" {
			c.fault(field, RuleHash, "must be lower-case hex digits of the algorithm's length")
		}
	}
	for i, a := range p.Evidence.Alleged {
		if a.Tie == nil {
			continue
		}
		field := fmt.Sprintf("evidence.alleged[%d].tie", i)
		if !slices.Contains(p.Case.TiedBodies, *a.Tie) {
			c.fault(field, RuleTieRepeated, "must be repeated in case.tied_bodies, so that those who do not read evidence keep that body out too")
		}
	}
	for i, t := range p.Case.TiedBodies {
		if t.Organisation.IsZero() && t.Body == "" {
			c.fault(fmt.Sprintf("case.tied_bodies[%d].body", i), RuleRequired, "must be given, or unknown")
		}
	}
}

// barred keeps a body that the alleged person belongs to from its own case.
func (c *checker) barred(p Parts) {
	for _, t := range p.Case.TiedBodies {
		if t.Organisation.IsZero() {
			continue
		}
		for i, to := range p.Summary.Recipients {
			if t.bars(to.Organisation, to.Unit) {
				c.fault(fmt.Sprintf("summary.recipients[%d]", i), RuleBarred, "the alleged person belongs to this body: choose another, or a unit of it that is not the person's")
			}
		}
		for i, w := range p.Summary.Watchers {
			if t.bars(w, "") {
				c.fault(fmt.Sprintf("summary.watchers[%d]", i), RuleBarred, "the alleged person belongs to this body")
			}
		}
		if t.Organisation == p.Summary.Sender.Organisation && p.Case.Legal.Safeguarding == "" {
			c.fault("case.legal.safeguarding", RuleOwnBody, "the alleged person belongs to your own organisation: name the one safeguarding person who sees this case beside you")
		}
	}
}

// bars reports whether the tie keeps out a unit of an organisation.
func (t Tie) bars(org protocol.OrgID, unit string) bool {
	return !t.Organisation.IsZero() && t.Organisation == org && (t.Unit == "" || unit == "" || strings.EqualFold(strings.TrimSpace(t.Unit), strings.TrimSpace(unit)))
}

// written looks at every text for what must not be written there.
func (c *checker) written(p Parts) {
	words := identifying(*p.Identity)
	for _, t := range c.texts {
		if FileIn(t.s) != "" {
			c.fault(t.path, RuleNoFile, noFile)
		}
		part, field, _ := strings.Cut(t.path, ".")
		if part != "evidence" && web.MatchString(t.s) {
			c.fault(t.path, RuleURL, "web addresses belong in the evidence part, which police and hotlines read")
		}
		if part != "evidence" && !isNumber(field) && aadhaar.MatchString(t.s) {
			c.fault(t.path, RuleIDNumber, "holds what looks like an identity number: only the last four digits are kept, in identity.ids")
		}
		if part != "summary" {
			continue
		}
		if field != "sender.phone" && phone.MatchString(t.s) {
			c.fault(t.path, RuleNoPhone, "holds a phone number: those of the child and family belong in the identity part")
		}
		if words != nil && words.MatchString(t.s) {
			c.fault(t.path, RuleNoIdentity, "holds a name, school, address or number that stands in the identity part")
		}
	}
}

const noFile = "holds a file or a part of one: no picture, film, sound or archive travels here, and documents go as attachments. It was not kept. Tell police (POCSO Act s.19) or a hotline where it is, by its address only"

func isNumber(field string) bool {
	return strings.HasSuffix(field, "phone") || strings.HasSuffix(field, "number") || strings.HasPrefix(field, "phones[")
}

// identifying finds the words of the identity part: whole names and their
// words of three letters or more, and the school, address and phones as they
// are written.
func identifying(id Identity) *regexp.Regexp {
	var alts []string
	add := func(s string) {
		if s = strings.TrimSpace(s); len([]rune(s)) >= 3 && s != NotYetKnown {
			alts = append(alts, strings.Join(strings.Fields(regexp.QuoteMeta(s)), `\s+`))
		}
	}
	names := slices.Clone(id.Names)
	if id.Carer != nil {
		names = append(names, id.Carer.Name)
	}
	for _, n := range names {
		for _, w := range strings.Fields(n) {
			add(strings.Trim(w, ".,"))
		}
	}
	add(id.School)
	add(id.Address)
	for _, p := range append(slices.Clone(id.Phones), id.SafeContact.Phone) {
		add(p)
	}
	if alts == nil {
		return nil
	}
	// \b knows ASCII only: letters and marks of other scripts bound a word too.
	return regexp.MustCompile(`(?i)(?:^|[^\p{L}\p{M}\p{Nd}])(?:` + strings.Join(alts, "|") + `)(?:$|[^\p{L}\p{M}\p{Nd}])`)
}
