package referral

import (
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/vocab"
)

func TestExamplesValidate(t *testing.T) {
	for _, name := range []string{"emergency.json", "normal.json"} {
		p, r := file(t, name)
		if err := Validate(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := ValidateAddressing(p, r, classes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An emergency needs its eight human answers, each of them, and no more.
func TestEmergencyNeedsItsEightAnswers(t *testing.T) {
	for answer, without := range map[string]struct {
		drop  func(*Parts)
		field string
		rule  Rule
	}{
		"danger now":   {func(p *Parts) { p.Summary.Urgency.DangerNow = "" }, "summary.urgency.danger_now", RuleRequired},
		"help needed":  {func(p *Parts) { p.Summary.Services = nil; dropServices(p) }, "summary.services", RuleRequired},
		"to whom":      {func(p *Parts) { p.Summary.Recipients = nil }, "summary.recipients", RuleRequired},
		"age band":     {func(p *Parts) { p.Summary.Child.AgeBand = "" }, "summary.child.age_band", RuleRequired},
		"district":     {func(p *Parts) { p.Summary.Child.District = District{} }, "summary.child.district.code", RuleRequired},
		"request":      {func(p *Parts) { p.Case.Request = "" }, "case.request", RuleRequired},
		"safe contact": {func(p *Parts) { p.Identity.SafeContact = SafeContact{} }, "identity.safe_contact.who", RuleSafeContact},
		"what not":     {func(p *Parts) { p.Case.Safety.DoNot = nil }, "case.safety.do_not", RuleRequired},
		"ground":       {func(p *Parts) { p.Case.Legal.Basis = nil }, "case.legal.basis", RuleRequired},
	} {
		p := answers()
		without.drop(&p)
		expect(t, "without "+answer, Validate(p.Complete(given())), without.field, without.rule)
	}
	if err := Validate(answers().Complete(given())); err != nil {
		t.Fatalf("eight answers are not enough: %v", err)
	}
	for _, danger := range []string{"yes", "unknown"} {
		p := answers()
		p.Summary.Urgency.DangerNow = danger
		if err := Validate(p.Complete(given())); err != nil {
			t.Errorf("danger %s: %v", danger, err)
		}
	}
	p := answers()
	p.Summary.Urgency.DangerNow = "no"
	expect(t, "an emergency without danger says why", Validate(p.Complete(given())), "summary.urgency.reason", RuleEmergency)
}

func dropServices(p *Parts) {
	for i := range p.Summary.Recipients {
		p.Summary.Recipients[i].Services = nil
	}
}

// answers are the eight, typed by a person, and the choice of the form.
func answers() Parts {
	return Parts{
		Summary: Summary{
			Urgency:    Urgency{Priority: "emergency", DangerNow: "yes"},
			Services:   []string{"safety-shelter"},
			Recipients: []To{{Organisation: shelter}},
			Child:      Child{AgeBand: "11-13", District: District{"572", "2022-12"}},
		},
		Case: &Case{
			Request: "Please meet the child today (invented).",
			Safety:  Safety{DoNot: []string{"call-home"}},
			Legal:   Legal{Basis: []string{"vital-interest"}},
		},
		Identity: &Identity{SafeContact: SafeContact{Who: "a teacher (invented)"}},
	}
}

func expect(t *testing.T, name string, err error, field string, rule Rule) {
	t.Helper()
	var f Faults
	if !errors.As(err, &f) || !f.Has(field, rule) {
		t.Errorf("%s: want %s at %s, got %v", name, rule, field, err)
	}
}

func TestEveryRule(t *testing.T) {
	jpeg := base64.StdEncoding.EncodeToString([]byte(heads["jpeg"] + strings.Repeat("\x00", 60)))
	long := strings.Repeat("क", 201)
	for _, c := range []struct {
		name  string
		spoil func(*Parts)
		field string
		rule  Rule
	}{
		{"no id", func(p *Parts) { p.Summary.ID = UID{} }, "summary.id", RuleRequired},
		{"blank request", func(p *Parts) { p.Case.Request = "  \n" }, "case.request", RuleRequired},
		{"unknown service", func(p *Parts) { p.Summary.Services = append(p.Summary.Services, "moon") }, "summary.services[3]", RuleKnownCode},
		{"not-yet-known as priority", func(p *Parts) { p.Summary.Urgency.Priority = NotYetKnown }, "summary.urgency.priority", RuleKnownAnswer},
		{"not-yet-known as request", func(p *Parts) { p.Case.Request = NotYetKnown }, "case.request", RuleKnownAnswer},
		{"not-yet-known as ground", func(p *Parts) { p.Case.Legal.Basis = []string{NotYetKnown} }, "case.legal.basis[0]", RuleKnownAnswer},
		{"long text", func(p *Parts) { p.Case.LivingWith = long }, "case.living_with", RuleTextLength},
		{"long list", func(p *Parts) { p.Case.Others = slices.Repeat([]string{"Example"}, MaxList+1) }, "case.others", RuleListLength},
		{"hash set", func(p *Parts) { p.Evidence.Hashes = slices.Repeat(p.Evidence.Hashes, MaxList+1) }, "evidence.hashes", RuleListLength},
		{"time before 1970", func(p *Parts) { p.Case.Safety.ReviewBy = -5 }, "case.safety.review_by", RuleTime},
		{"reversed text", func(p *Parts) { p.Case.LivingWith = "a\u202eb" }, "case.living_with", RulePrintable},
		{"control character", func(p *Parts) { p.Case.LivingWith = "a\x00b" }, "case.living_with", RulePrintable},
		{"another code", func(p *Parts) { p.Summary.Code = "0000-0000-0" }, "summary.code", RuleCodeFromID},
		{"misread case code", func(p *Parts) { p.Summary.Child.CaseCode = "0000-0000-1" }, "summary.child.case_code", RuleCode},
		{"case code not as written", func(p *Parts) { p.Summary.Child.CaseCode = "000000000" }, "summary.child.case_code", RuleCode},
		{"date form", func(p *Parts) { p.Case.From = "23-11-2026" }, "case.from", RuleDate},
		{"date without precision", func(p *Parts) { p.Case.Precision = "" }, "case.precision", RuleRequired},
		{"birth without precision", func(p *Parts) { p.Identity.BirthIs = "" }, "identity.birth_is", RuleRequired},
		{"district by name", func(p *Parts) { p.Summary.Child.District.Code = "Example" }, "summary.child.district.code", RuleDistrict},
		{"district without list", func(p *Parts) { p.Summary.Child.District.List = "" }, "summary.child.district.list", RuleDistrict},
		{"to oneself", func(p *Parts) { p.Summary.Recipients[0].Organisation = ngo }, "summary.recipients[0].organisation", RuleSelf},
		{"watching oneself", func(p *Parts) { p.Summary.Watchers[0] = ngo }, "summary.watchers[0]", RuleSelf},
		{"twice", func(p *Parts) { p.Summary.Recipients[1].Organisation = shelter }, "summary.recipients[1].organisation", RuleTwice},
		{"recipient watches", func(p *Parts) { p.Summary.Watchers[0] = police }, "summary.watchers[0]", RuleTwice},
		{"recipient asked for nothing", func(p *Parts) { p.Summary.Recipients[0].Services = nil }, "summary.recipients[0].services", RuleRequired},
		{"asked beyond the need", func(p *Parts) { p.Summary.Recipients[0].Services = []string{"medical"} }, "summary.recipients[0].services", RuleServices},
		{"need nobody is asked for", func(p *Parts) { p.Summary.Services = append(p.Summary.Services, "medical") }, "summary.services", RuleServices},
		{"transfer to two", func(p *Parts) { p.Summary.Kind = "transfer" }, "summary.recipients", RuleTransferOne},
		{"transfer without approval", func(p *Parts) { p.Summary.Kind = "transfer" }, "case.legal.approved_by", RuleTransferAppr},
		{"parent alone", func(p *Parts) { p.Summary.Parent = rid(7) }, "summary.parent", RuleParent},
		{"onward named, no name", func(p *Parts) { p.Summary.Onward = "named" }, "summary.onward_to", RuleOnward},
		{"onward name, not named", func(p *Parts) { p.Summary.OnwardTo = []string{"Example"} }, "summary.onward_to", RuleOnward},
		{"emergency without reason", func(p *Parts) { p.Summary.Urgency.Priority = "emergency" }, "summary.urgency.reason", RuleEmergency},
		{"decide before acknowledge", func(p *Parts) { p.Summary.Urgency.Decide = p.Summary.Urgency.Acknowledge - 1 }, "summary.urgency", RuleDueOrder},
		{"due before written", func(p *Parts) { p.Summary.Urgency.Acknowledge = t0 - 1 }, "summary.urgency.acknowledge_by", RuleDueOrder},
		{"due later", func(p *Parts) { p.Summary.Urgency.Act++ }, "summary.urgency.act_by", RuleDueLater},
		{"expires before decision", func(p *Parts) { p.Summary.Urgency.Expiry = p.Summary.Urgency.Decide - 1 }, "summary.urgency.expiry", RuleExpiry},
		{"legal time without law", func(p *Parts) { p.Summary.Urgency.LegalDue = t0 }, "summary.urgency.legal_due", RuleRequired},
		{"assent without consent", func(p *Parts) { p.Case.Legal.Consent = nil }, "case.legal.consent", RuleConsent},
		{"consent without scope", func(p *Parts) { p.Case.Legal.Consent.Scope = nil }, "case.legal.consent.scope", RuleRequired},
		{"withdrawn, no other ground", func(p *Parts) { p.Case.Legal.Basis = []string{"child-assent"}; p.Case.Legal.WithdrawnAt = t0 }, "case.legal.withdrawn_at", RuleWithdrawn},
		{"carer not told", func(p *Parts) { p.Case.Legal.CarerWhyNot = "" }, "case.legal.carer_why_not", RuleCarerWhyNot},
		{"override by one", func(p *Parts) { p.Case.Legal.Override.Approver = "worker-1" }, "case.legal.override.approver", RuleTwoPersons},
		{"told police, no number", func(p *Parts) { p.Case.Police.Number = "" }, "case.police.number", RuleReported},
		{"number of no kind", func(p *Parts) { p.Case.Police.NumberKind = "" }, "case.police.number_kind", RuleReported},
		{"withheld from nobody", func(p *Parts) { p.Case.Legal.Withheld[0] = Withheld{Part: "case", Why: "fear"} }, "case.legal.withheld[0].from", RuleRequired},
		{"no safe contact", func(p *Parts) { p.Identity.SafeContact.Who = "" }, "identity.safe_contact.who", RuleSafeContact},
		{"whole number", func(p *Parts) { p.Identity.IDs[0].Last4 = "00421" }, "identity.ids[0].last4", RuleLastFour},
		{"letters as last four", func(p *Parts) { p.Identity.IDs[0].Last4 = "AB42" }, "identity.ids[0].last4", RuleLastFour},
		{"identity number in text", func(p *Parts) { p.Identity.Address = "2345 6789 0123" }, "identity.address", RuleIDNumber},
		{"picture in narrative", func(p *Parts) { p.Case.Narrative = "see " + jpeg }, "case.narrative", RuleNoFile},
		{"picture in evidence", func(p *Parts) { p.Evidence.Note = jpeg }, "evidence.note", RuleNoFile},
		{"picture as unit", func(p *Parts) { p.Summary.Sender.Unit = jpeg }, "summary.sender.unit", RuleNoFile},
		{"picture as URL", func(p *Parts) { p.Evidence.URLs[0] = "data:image/jpeg;base64," + jpeg }, "evidence.urls[0]", RuleNoFile},
		{"address in narrative", func(p *Parts) { p.Case.Narrative = "at https://example.org/x" }, "case.narrative", RuleURL},
		{"defanged address in reason", func(p *Parts) { p.Summary.Urgency.Reason = "hxxps://example[.]org" }, "summary.urgency.reason", RuleURL},
		{"address in identity", func(p *Parts) { p.Identity.School = "www.example.org" }, "identity.school", RuleURL},
		{"name in summary", func(p *Parts) { p.Summary.Urgency.Reason = "ASHA is afraid" }, "summary.urgency.reason", RuleNoIdentity},
		{"carer's name in summary", func(p *Parts) {
			p.Identity.Carer.Name = "मीना देवी"
			p.Summary.Urgency.Reason = "मीना को न बताएँ"
		}, "summary.urgency.reason", RuleNoIdentity},
		{"school in summary", func(p *Parts) { p.Summary.Urgency.Reason = "goes to example  school" }, "summary.urgency.reason", RuleNoIdentity},
		{"phone in summary", func(p *Parts) { p.Summary.Urgency.Reason = "call 90000 12345" }, "summary.urgency.reason", RuleNoPhone},
		{"short hash", func(p *Parts) { p.Evidence.Hashes[0].Value = "abcd" }, "evidence.hashes[0].value", RuleHash},
		{"upper-case hash", func(p *Parts) { p.Evidence.Hashes[0].Value = strings.ToUpper(p.Evidence.Hashes[0].Value) }, "evidence.hashes[0].value", RuleHash},
		{"barred recipient", func(p *Parts) { p.Case.TiedBodies = []Tie{{Organisation: shelter}} }, "summary.recipients[0]", RuleBarred},
		{"barred unit", func(p *Parts) { p.Case.TiedBodies = []Tie{{Organisation: police, Unit: "example district "}} }, "summary.recipients[1]", RuleBarred},
		{"barred watcher", func(p *Parts) { p.Case.TiedBodies = []Tie{{Organisation: commission, Unit: "any"}} }, "summary.watchers[0]", RuleBarred},
		{"tie in evidence alone", func(p *Parts) { p.Evidence.Alleged[0].Tie = &Tie{Organisation: stranger} }, "evidence.alleged[0].tie", RuleTieRepeated},
		{"tie to nothing", func(p *Parts) { p.Case.TiedBodies = []Tie{{Unit: "any"}} }, "case.tied_bodies[0].body", RuleRequired},
		{"own body", func(p *Parts) { p.Case.TiedBodies = []Tie{{Organisation: ngo}} }, "case.legal.safeguarding", RuleOwnBody},
		{"amends in a send", func(p *Parts) { p.Summary.Amends = &Amends{} }, "summary.amends", RuleAmends},
	} {
		p, _ := file(t, "normal.json")
		c.spoil(&p)
		expect(t, c.name, Validate(p), c.field, c.rule)
	}
}

func TestAllowed(t *testing.T) {
	for name, change := range map[string]func(*Parts){
		"another unit of a tied body": func(p *Parts) { p.Case.TiedBodies = []Tie{{Organisation: police, Unit: "Other District"}} },
		"own body, safeguarding named": func(p *Parts) {
			p.Case.TiedBodies = []Tie{{Organisation: ngo}}
			p.Case.Legal.Safeguarding = "guard-1"
		},
		"due later with a reason": func(p *Parts) { p.Summary.Urgency.Act++; p.Summary.Urgency.LaterReason = "school holiday" },
		"due earlier":             func(p *Parts) { p.Summary.Urgency.Acknowledge -= 3600 },
		"do not contact":          func(p *Parts) { p.Identity.SafeContact = SafeContact{DoNotContact: true} },
		"not yet known": func(p *Parts) {
			p.Summary.Child.AgeBand, p.Summary.Child.District = NotYetKnown, District{Code: NotYetKnown}
		},
		"number not yet known": func(p *Parts) { p.Case.Police = Police{Number: NotYetKnown} },
		"code of a newer vocabulary": func(p *Parts) {
			p.Summary.Vocabulary = "2999-01"
			p.Summary.Concern.Types = []string{"a-later-code"}
		},
		"withdrawn, another ground": func(p *Parts) { p.Case.Legal.WithdrawnAt = t0 },
		"joiners of Indian scripts": func(p *Parts) { p.Case.LivingWith = "क्\u200dष" },
		"Admiralty grades":          func(p *Parts) { p.Evidence.Grade = Grade{"f", "6"} },
		"no evidence, no identity":  func(p *Parts) { p.Evidence = nil; p.Identity = &Identity{SafeContact: SafeContact{Who: NotYetKnown}} },
	} {
		p, _ := file(t, "normal.json")
		change(&p)
		if err := Validate(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddressing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Parts, *Readers)
		field  string
		rule   Rule
	}{
		"evidence to an NGO":         {func(p *Parts, r *Readers) { r.Evidence = append(r.Evidence, shelter) }, "readers.evidence", RuleEvidenceReader},
		"identity to a watcher":      {func(p *Parts, r *Readers) { r.Identity = append(r.Identity, commission) }, "readers.identity", RuleReaders},
		"identity to a stranger":     {func(p *Parts, r *Readers) { r.Identity = append(r.Identity, stranger) }, "readers.identity", RuleReaders},
		"case not to all":            {func(p *Parts, r *Readers) { r.Case = r.Case[:1] }, "readers.case", RuleReaders},
		"police report of an NGO":    {func(p *Parts, r *Readers) { p.Summary.Recipients[0].Services = []string{"police-report"} }, "summary.recipients[0].services", RulePoliceService},
		"withheld":                   {func(p *Parts, r *Readers) { p.Case.Legal.Withheld = []Withheld{{"identity", shelter, "", "fear"}} }, "readers.identity", RuleWithheld},
		"barred":                     {func(p *Parts, r *Readers) { p.Case.TiedBodies = []Tie{{Organisation: shelter}} }, "readers.case", RuleBarred},
		"barred watcher":             {func(p *Parts, r *Readers) { p.Case.TiedBodies = []Tie{{Organisation: commission}} }, "readers.summary", RuleBarred},
		"beyond consent, its ground": {func(p *Parts, r *Readers) { p.Case.Legal.Basis = []string{"child-assent"} }, "readers.identity", RuleScope},
	} {
		p, r := file(t, "normal.json")
		c.change(&p, &r)
		expect(t, name, ValidateAddressing(p, r, classes), c.field, c.rule)
	}
}

// An amendment's case part may go to fewer, never to others.
func TestAddressingAmendment(t *testing.T) {
	p, r := file(t, "normal.json")
	p.Summary.Amends = &Amends{rid(1), []string{"case.request"}, "invented"}
	r.Case = r.Case[:1]
	if err := ValidateAddressing(p, r, classes); err != nil {
		t.Error(err)
	}
	r.Case = append(r.Case, commission)
	expect(t, "case to a watcher", ValidateAddressing(p, r, classes), "readers.case", RuleReaders)
}

func TestBarred(t *testing.T) {
	p, _ := file(t, "normal.json")
	if got := p.Barred(); len(got) != 0 {
		t.Errorf("a tie to no member bars %v", got)
	}
	p.Case.TiedBodies = []Tie{{Organisation: police, Unit: "x"}, {Organisation: shelter}, {Organisation: police}}
	if got := p.Barred(); !slices.Equal(got, sorted([]protocol.OrgID{police, shelter})) {
		t.Errorf("%v", got)
	}
	if (Parts{}).Barred() != nil {
		t.Error("without the case part nothing is known")
	}
}

// An error names fields and rules; what was written stays out of it, since
// errors reach logs and screens.
func TestFaultsNeverRepeatValues(t *testing.T) {
	p, _ := file(t, "normal.json")
	const secret = "Zxqvsecret"
	var spoil func(reflect.Value)
	spoil = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			v.SetString(secret + "\x00 https://example.org/" + secret + strings.Repeat("x", 25000))
		case reflect.Pointer:
			if !v.IsNil() {
				spoil(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				spoil(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				spoil(v.Index(i))
			}
		}
	}
	spoil(reflect.ValueOf(&p))
	err := Validate(p)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Fatalf("the error repeats a value")
	}
	var f Faults
	if errors.As(err, &f); len(f) < 60 {
		t.Fatalf("only %d faults were found", len(f))
	}
}

// Every field has both names, key numbers do not repeat, and every list in a
// tag exists.
func TestTags(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		keys, names := map[string]bool{}, map[string]bool{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			walk(f.Type)
			if f.Anonymous {
				keys["1"], keys["2"] = true, true
				continue
			}
			key, rest, _ := strings.Cut(f.Tag.Get("cbor"), ",")
			name := jsonName(f)
			if key == "" || name == "" || keys[key] || names[name] || !strings.HasPrefix(rest, "keyasint,omit") {
				t.Errorf("%s.%s: tags %q", typ.Name(), f.Name, f.Tag)
			}
			if !strings.Contains(f.Tag.Get("json"), ",omit") && typ != reflect.TypeFor[About]() {
				t.Errorf("%s.%s: json is not omitted when empty", typ.Name(), f.Name)
			}
			keys[key], names[name] = true, true
			if l := parseTag(f).list; l != "" && !slices.Contains(vocab.Lists(), l) {
				t.Errorf("%s.%s: no list %s", typ.Name(), f.Name, l)
			}
		}
	}
	for _, v := range []any{Summary{}, Case{}, Identity{}, Evidence{}, Acknowledge{}, Accept{}, Decline{}, Start{}, Complete{}, Confirm{}, Dispute{}, Close{}, Message{}} {
		walk(reflect.TypeOf(v))
	}
	if len(seen) < 35 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
