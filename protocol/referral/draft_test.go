package referral

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func TestDraftResolves(t *testing.T) {
	p, r := file(t, "normal.json")
	if p.Summary.Recipients[0].Organisation != shelter || p.Summary.Watchers[0] != commission {
		t.Error("organisations")
	}
	both := sorted([]protocol.OrgID{shelter, police})
	if !slices.Equal(r.Case, both) || !slices.Equal(r.Identity, both) || !slices.Equal(r.Evidence, []protocol.OrgID{police}) {
		t.Errorf("%+v", r)
	}
	if tie := p.Case.TiedBodies[0]; tie.Body == "" || !tie.Organisation.IsZero() {
		t.Error("a tie to no member keeps its name")
	}
	if w := p.Case.Legal.Withheld[0]; w.Organisation != commission {
		t.Error("withheld")
	}
	sets := r.Sets(Audience(p))
	if len(sets[SectionSummary]) != 3 || len(sets[SectionEvidence]) != 1 {
		t.Errorf("%v", sets)
	}
}

func TestDraftPresetsNothingSensitive(t *testing.T) {
	_, r := file(t, "emergency.json")
	if slices.Contains(r.Identity, shelter) || slices.Contains(r.Evidence, shelter) {
		t.Error("a part goes where nobody sent it")
	}
	p := Parts{}.Complete(given())
	if len(p.Case.Legal.Basis) > 0 || p.Case.Legal.Consent != nil || p.Case.Legal.Statistics || p.Summary.Urgency.Priority != "" || p.Summary.Urgency.DangerNow != "" {
		t.Error("an answer of a person was preset")
	}
	if p.Summary.TLP != "amber+strict" || p.Summary.Onward != "ask-first" {
		t.Error("defaults")
	}
}

func TestCompleteKeepsWhatIsThere(t *testing.T) {
	p, _ := file(t, "normal.json")
	g := given()
	g.Now, g.Random, g.Sender.Unit, g.Language = t0+Days, [32]byte{1}, "Another desk", "ta"
	if again := p.Complete(g); !reflect.DeepEqual(again, p) {
		t.Errorf("differs in %v", Diff(p, again))
	}
}

func TestDraftErrors(t *testing.T) {
	good, err := os.ReadFile("testdata/emergency.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown field":        {`"request"`, `"reqest"`, `"reqest"`},
		"unknown at the top":   {`"evidence": {}`, `"evidense": {}`, `"evidense"`},
		"another type":         {`"vital-interest"`, `{"secretvalue":1}`, "case.legal.basis"},
		"not JSON":             {`"summary": {`, `"summary": [`, "invalid character"},
		"text after the end":   {"\"evidence\": {}\n}", "\"evidence\": {}\n} {}", "after the end"},
		"bad time":             {`"danger_now": "yes"`, `"danger_now": "yes", "expiry": "tomorrow"`, "date and time"},
		"unknown organisation": {`"Example Shelter"`, `"Nobody"`, "recipients[0]"},
		"unknown part":         {`["identity", "evidence"]`, `["identity", "all"]`, "recipients[1].parts"},
	} {
		s := strings.Replace(string(good), c.old, c.new, 1)
		if s == string(good) {
			t.Fatalf("%s: nothing replaced", name)
		}
		d, err := ParseDraft([]byte(s))
		if err == nil {
			_, _, err = d.Resolve(lookup)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secretvalue") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseDraft(make([]byte, MaxDraft+1)); err == nil {
		t.Error("oversize")
	}
}

func TestDraftRoundTrip(t *testing.T) {
	b, err := os.ReadFile("testdata/normal.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := ParseDraft(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseDraft(again)
	if err != nil || !reflect.DeepEqual(d, e) {
		t.Errorf("%v\n%s", err, again)
	}
	// Completed parts too, with IDs and times in them.
	p, _ := file(t, "normal.json")
	j, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q Parts
	if err := decodeJSON(j, &q); err != nil || !reflect.DeepEqual(p, q) {
		t.Errorf("%v differs in %v", err, Diff(p, q))
	}
}

func FuzzParseDraft(f *testing.F) {
	for _, name := range []string{"testdata/emergency.json", "testdata/normal.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDraft(b)
		if err != nil {
			return
		}
		p, _, err := d.Resolve(lookup)
		if err != nil {
			return
		}
		_ = Validate(p.Complete(given()))
	})
}
