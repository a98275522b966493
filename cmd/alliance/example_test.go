package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

// The example of an alert keeps every rule, whenever it is printed, and is
// another one each time.
func TestExampleAlert(t *testing.T) {
	now := time.Date(2031, 3, 31, 22, 15, 0, 0, time.UTC)
	text, err := freshAlert(now)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := alert.ParseCAP([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := a.CheckIssue(protocol.ClassSecretariat, "secretariat", []protocol.Class{protocol.ClassNGO, protocol.ClassPolice}, now.Unix())
	if err != nil || len(warnings) > 0 {
		t.Errorf("it breaks rules: %v, %v", err, warnings)
	}
	if from, until := a.Window(); from != now.Unix() || until != now.Unix()+exampleDays*24*3600 {
		t.Errorf("it is in force from %d until %d", from, until)
	}
	if again, _ := freshAlert(now); again == text {
		t.Error("two examples have one identifier")
	}
	code, out, _ := do("", "alert", "example", "--json")
	var v struct{ Cap string }
	if code != 0 || json.Unmarshal([]byte(out), &v) != nil || !strings.HasPrefix(v.Cap, "<?xml") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// The example of a referral is read as a draft, whatever the recipients are
// called. That one is sent, the scripts show.
func TestExampleReferral(t *testing.T) {
	names := []string{`Example "Home"`, "उदाहरण गृह"}
	_, out, _ := do("", "referral", "example", "--to", names[0], "--to", names[1])
	d, err := referral.ParseDraft([]byte(out))
	if err != nil || len(d.Recipients) != 2 || d.Recipients[0].Organisation != names[0] || d.Recipients[1].Organisation != names[1] {
		t.Errorf("%+v, %v", d.Recipients, err)
	}
	if code, out, errs := do("", "referral", "example", "--json"); code != 0 || !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// Every list can be printed, also by the name of the field that it is for.
func TestCodes(t *testing.T) {
	code, out, _ := do("", "codes")
	if code != 0 || !strings.Contains(out, "\ndecline-reason ") {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, name := range []string{"service", "services", "Services", "decline-reason", "decline_reason", "why_not"} {
		if code, out, errs := do("", "codes", name); code != 0 || strings.Count(out, "\n") < 3 || !strings.Contains(errs, "list ") {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
	}
	if _, out, _ := do("", "codes", "outcome"); !strings.Contains(out, "partly      Partly successful") {
		t.Errorf("outcome: %s", out)
	}
	var v codeList
	if _, out, _ := do("", "codes", "outcome", "--json"); json.Unmarshal([]byte(out), &v) != nil || v.List != "outcome" || v.Count != 3 || len(v.Codes) != 3 || v.Codes[0].Label == "" {
		t.Errorf("as JSON: %+v", v)
	}
	for name, says := range map[string]string{"reason": "did you mean decline-reason?", "shoe-size": "'alliance codes' prints their names"} {
		if code, _, errs := do("", "codes", name); code != 3 || !strings.Contains(errs, says) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
	}
	if code, _, errs := do("", "codes", "service", "outcome"); code != 2 || !strings.Contains(errs, "one word too many") {
		t.Errorf("two lists: exit %d: %s", code, errs)
	}
}
