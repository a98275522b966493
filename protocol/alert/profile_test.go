package alert

import (
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func rules(list []Finding) (out []string) {
	for _, f := range list {
		out = append(out, string(f.Rule))
	}
	return out
}

func TestProfile(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Alert)
		errs   string // rules of errors, then of warnings
		warns  string
	}{
		{"as it is", func(a *Alert) {}, "", ""},
		{"CAP itself broken", func(a *Alert) { a.Identifier = "a b" }, "identifier", ""},
		{"draft", func(a *Alert) { a.Status = StatusDraft }, "alliance-status", ""},
		{"system", func(a *Alert) { a.Status = StatusSystem }, "alliance-status", ""},
		{"test", func(a *Alert) { a.Status = StatusTest }, "", ""},
		{"ack", func(a *Alert) { a.MsgType = MsgAck; a.References = []Reference{a.Ref()} }, "alliance-msgtype", ""},
		{"error", func(a *Alert) { a.MsgType = MsgError; a.References = []Reference{a.Ref()} }, "alliance-msgtype", ""},
		{"update", func(a *Alert) { a.MsgType = MsgUpdate; a.References = []Reference{a.Ref()} }, "", ""},
		{"no info", func(a *Alert) { a.Infos = nil }, "alliance-info", ""},
		{"cancel without reason", func(a *Alert) { *a = *a.Withdrawal("EX-2", a.Sent, "") }, "note", ""},
		{"cancel", func(a *Alert) { *a = *a.Withdrawal("EX-2", a.Sent, "no longer needed") }, "", ""},
		{"neither English nor Hindi", func(a *Alert) { a.Infos = a.Infos[:1]; a.Infos[0].Language = "ta" }, "alliance-text", ""},
		{"Hindi alone", func(a *Alert) { a.Infos = a.Infos[1:] }, "", ""},
		{"language left out is English", func(a *Alert) { a.Infos = a.Infos[:1]; a.Infos[0].Language = "" }, "", ""},
		{"English by its longer code is not en", func(a *Alert) { a.Infos = a.Infos[:1]; a.Infos[0].Language = "eng" }, "alliance-text", ""},
		{"no headline", func(a *Alert) { a.Infos[0].Headline = "" }, "alliance-text", ""},
		{"no description", func(a *Alert) { a.Infos[1].Description = " \n" }, "alliance-text", ""},
		{"no event", func(a *Alert) { a.Infos[1].Event = "" }, "alliance-text", ""},
		{"no instruction", func(a *Alert) { a.Infos[0].Instruction = "" }, "", "alliance-text"},
		{"headline of 160", func(a *Alert) { a.Infos[0].Headline = strings.Repeat("क", 160) }, "", ""},
		{"headline of 161", func(a *Alert) { a.Infos[0].Headline = strings.Repeat("क", 161) }, "alliance-headline", ""},
		{"no expiry", func(a *Alert) { a.Infos[1].Expires = "" }, "alliance-expires", ""},
		{"expires at once", func(a *Alert) { a.Infos[0].Expires = a.Sent }, "alliance-expires", ""},
		{"expires before effective", func(a *Alert) { a.Infos[0].Effective = "2029-01-25T10:00:00+05:30" }, "alliance-expires", ""},
		{"expires at the maximum", func(a *Alert) { a.Infos[0].Expires = after(t, a.Sent, 1096*day) }, "", ""},
		{"expires past the maximum", func(a *Alert) { a.Infos[0].Expires = after(t, a.Sent, 1096*day+1) }, "alliance-expires", ""},
		{"no category", func(a *Alert) { a.Infos[0].EventCodes = nil; a.Infos[1].EventCodes = nil }, "alliance-category alliance-expires alliance-category alliance-expires", ""},
		{"category in one info only", func(a *Alert) { a.Infos[1].EventCodes = nil }, "alliance-category", ""},
		{"two categories", func(a *Alert) { a.Infos[1].EventCodes[0].Value = "capacity-notice" }, "alliance-category alliance-expires alliance-expires", ""},
		{"unknown category", func(a *Alert) { setCategory(a, "novelty") }, "alliance-category alliance-expires alliance-expires", ""},
		{"category not among codes", func(a *Alert) { a.Codes = nil }, "", "alliance-category"},
		{"another system's event code", func(a *Alert) { a.Infos[0].EventCodes = append(a.Infos[0].EventCodes, Pair{"SAME", "ADR"}) }, "", ""},
		{"kind of danger", func(a *Alert) { a.Infos[0].Categories[0] = "Met" }, "alliance-danger", ""},
		{"label unknown", func(a *Alert) { a.Restriction = "members only" }, "alliance-tlp", ""},
		{"label CLEAR and Restricted", func(a *Alert) { a.Restriction = "TLP:CLEAR" }, "alliance-tlp", ""},
		{"private with label", func(a *Alert) { a.Scope, a.Addresses = ScopePrivate, []string{"x"} }, "", ""},
		{"private without label", func(a *Alert) { a.Scope, a.Addresses, a.Restriction = ScopePrivate, []string{"x"}, "" }, "", "alliance-tlp"},
		{"public", func(a *Alert) { a.Scope, a.Restriction, a.Infos[0].Parameters = ScopePublic, "TLP:CLEAR", nil }, "", ""},
		{"public without label", func(a *Alert) { a.Scope, a.Restriction, a.Infos[0].Parameters = ScopePublic, "", nil }, "", ""},
		{"public with label", func(a *Alert) { a.Scope, a.Infos[0].Parameters = ScopePublic, nil }, "alliance-tlp", ""},
		{"public with signals", func(a *Alert) { a.Scope, a.Restriction = ScopePublic, "" }, "alliance-signals", ""},
		{"public and police only", func(a *Alert) {
			setCategory(a, CategoryTravellingOffender)
			a.Scope, a.Restriction, a.Infos[0].Parameters = ScopePublic, "", nil
			a.Infos[0].Expires, a.Infos[1].Expires = after(t, a.Sent, day), after(t, a.Sent, day)
		}, "alliance-audience", ""},
		{"missing child without reference", func(a *Alert) { missing(t, a, 7); a.Incidents = nil }, "alliance-missing-child", ""},
		{"missing child", func(a *Alert) { missing(t, a, 7) }, "", ""},
		{"missing child for eight days", func(a *Alert) { missing(t, a, 8) }, "alliance-expires alliance-expires", ""},
		{"geocode not of the directory", func(a *Alert) { a.Infos[0].Areas[0].Geocodes[0].Value = "UP" }, "alliance-area", ""},
		{"geocode of nought", func(a *Alert) { a.Infos[0].Areas[0].Geocodes[0].Value = "09" }, "alliance-area", ""},
		{"another geocode", func(a *Alert) { a.Infos[0].Areas[0].Geocodes[0] = Pair{"SAME", "006037"} }, "", "alliance-area"},
		{"no geocode", func(a *Alert) { a.Infos[0].Areas[0].Geocodes = nil }, "", "alliance-area"},
		{"no area", func(a *Alert) { a.Infos[0].Areas = nil }, "", "alliance-area"},
		{"file", func(a *Alert) { attach(a, "application/pdf", "https://a.example/x.pdf") }, "", ""},
		{"file without sum", func(a *Alert) { attach(a, "text/plain", "https://a.example/x.txt"); a.Infos[0].Parameters = nil }, "alliance-resource", ""},
		{"file without uri", func(a *Alert) { attach(a, "text/plain", ""); a.Infos[0].Parameters = nil }, "alliance-resource", ""},
		{"wrong sum", func(a *Alert) {
			attach(a, "text/plain", "https://a.example/x.txt")
			a.Infos[0].Parameters[1].Value = "ABC https://a.example/x.txt"
		}, "alliance-resource", ""},
		{"image", func(a *Alert) { attach(a, "image/png", "https://a.example/x.png") }, "alliance-resource", ""},
		{"file inside", func(a *Alert) {
			attach(a, "text/plain", "https://a.example/x.txt")
			a.Infos[0].Resources[0].Embedded = true
		}, "deref-uri", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, _ := example(t)
			c.change(a)
			warnings, err := a.Profile()
			if got := strings.Join(rules(Findings(err)), " "); got != c.errs {
				t.Errorf("errors %q, want %q: %v", got, c.errs, err)
			}
			if got := strings.Join(rules(warnings), " "); got != c.warns {
				t.Errorf("warnings %q, want %q: %v", got, c.warns, warnings)
			}
		})
	}
}

func after(t *testing.T, d DateTime, seconds int64) DateTime {
	t.Helper()
	out, err := DateTimeOf(d.Unix()+seconds, 330)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func setCategory(a *Alert, c Category) {
	a.Codes = []string{string(c)}
	for n := range a.Infos {
		a.Infos[n].EventCodes[0].Value = string(c)
	}
}

func missing(t *testing.T, a *Alert, days int64) {
	setCategory(a, CategoryMissingChild)
	for n := range a.Infos {
		a.Infos[n].Expires = after(t, a.Sent, days*day)
	}
}

func attach(a *Alert, mime, uri string) {
	a.Infos[0].Resources = []Resource{{Desc: "an invented page", MimeType: mime, URI: uri}}
	a.Infos[0].Parameters = append(a.Infos[0].Parameters, Pair{ParameterSHA256, strings.Repeat("ab", 32) + " " + uri})
}

func TestCheckIssue(t *testing.T) {
	a, _ := example(t)
	all := []protocol.Class{protocol.ClassNGO, protocol.ClassPolice, protocol.ClassGovernment}
	if _, err := a.CheckIssue(protocol.ClassSecretariat, "", all, a.Sent.Unix()); err != nil {
		t.Error(err)
	}
	if _, err := a.CheckIssue(protocol.ClassSecretariat, "", all, a.Sent.Unix()-day-1); len(Findings(err)) != 1 || Findings(err)[0].Rule != RuleDateTime {
		t.Errorf("sent in the future: %v", err)
	}
	setCategory(a, "court-direction")
	_, err := a.CheckIssue(protocol.ClassNGO, "hotline", all, a.Sent.Unix())
	if got := strings.Join(rules(Findings(err)), " "); got != "alliance-expires alliance-expires alliance-issuer" {
		t.Errorf("a court's direction by a hotline: %v", err)
	}
	if Findings(nil) != nil {
		t.Error("no error holds findings")
	}
}

func TestWithdrawalAndWindow(t *testing.T) {
	a, _ := example(t)
	w := a.Withdrawal("EXERCISE-2026-0002", after(t, a.Sent, 60), "painted")
	if doc, err := w.CAP(); err != nil || !strings.Contains(string(doc), "<references>secretariat@alliance.example,EXERCISE-2026-0001,2026-01-26T10:00:00+05:30</references>") {
		t.Errorf("%v\n%s", err, doc)
	}
	if from, until := a.Window(); from != a.Sent.Unix() || until != a.Infos[0].Expires.Unix() {
		t.Errorf("window %d to %d", from, until)
	}
	a.Infos[0].Effective, a.Infos[1].Effective = after(t, a.Sent, 50), after(t, a.Sent, 40)
	a.Infos[1].Expires = after(t, a.Infos[0].Expires, 9)
	if from, until := a.Window(); from != a.Sent.Unix()+40 || until != a.Infos[0].Expires.Unix()+9 {
		t.Errorf("window %d to %d", from, until)
	}
	a.Infos[0].Expires = ""
	if _, until := a.Window(); until != 0 {
		t.Errorf("until %d without an expiry", until)
	}
	for s, want := range map[Status]string{StatusActual: "", StatusExercise: "EXERCISE", StatusTest: "TEST", StatusSystem: "SYSTEM", StatusDraft: "DRAFT", "Later": "STATUS Later"} {
		if got := (&Alert{Status: s}).Banner(); got != want {
			t.Errorf("banner of %s: %q, want %q", s, got, want)
		}
	}
}

func TestTLP(t *testing.T) {
	for label, want := range map[string]TLP{"TLP:RED": TLPRed, "amber+strict": TLPAmberStrict, "TLP:AMBER": TLPAmber, "tlp:green": TLPGreen, "CLEAR": TLPClear} {
		if got, err := ParseTLP(label); err != nil || got != want {
			t.Errorf("%s: %s, %v", label, got, err)
		}
	}
	for _, label := range []string{"", "TLP:", "WHITE", "TLP:TLP:RED", "AMBER STRICT", "TLP 3"} {
		if got, err := ParseTLP(label); err == nil {
			t.Errorf("%q was read as %s", label, got)
		}
	}
	for _, c := range []struct {
		scope       Scope
		restriction string
		want        TLP
	}{
		{ScopePublic, "", TLPClear}, {ScopePrivate, "", TLPAmberStrict}, {ScopeRestricted, "TLP:GREEN", TLPGreen}, {ScopeRestricted, "drivers only", TLPRed},
	} {
		if got := (&Alert{Scope: c.scope, Restriction: c.restriction}).TLP(); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.scope, c.restriction, got, c.want)
		}
	}
	if TLPRed < TLPAmberStrict || TLPAmberStrict < TLPAmber || TLPAmber < TLPGreen || TLPGreen < TLPClear {
		t.Error("a stricter label is not the greater one")
	}
	var label TLP
	if b, err := TLPAmber.MarshalText(); err != nil || label.UnmarshalText(b) != nil || label != TLPAmber {
		t.Errorf("%s became %s", b, label)
	}
	if s := TLP(9).String(); s != "TLP 9" {
		t.Error(s)
	}
}
