package vocab

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryListHasCodesAndSource(t *testing.T) {
	want := []List{Service, Concern, AgeBand, Gender, Priority, YesNoUnknown, Risk, DeclineReason, WhyNot, Outcome, Relation, Medium, HowLearned, Basis, ConsentHow, CarerWhyNot, WithheldWhy, Part, TLP, Onward, Delivery, ReferralKind, DoNot, Channel, Precision, NumberKind, IDKind, AccountRole, HashAlgorithm, HashClass, GradeSource, GradeCredibility, Disability, Retention, OrganisationKind, AlertCategory, AlertAction, AlertCannot, Language, State}
	slices.Sort(want)
	if got := Lists(); !slices.Equal(got, want) {
		t.Fatalf("lists in the data and in the program differ:\n%v\n%v", got, want)
	}
	form := regexp.MustCompile(`^[a-z0-9][a-z0-9+'-]*$`)
	for _, l := range want {
		if len(Codes(l)) == 0 {
			t.Errorf("%s: no codes", l)
		}
		if s := SourceOf(l); s.Source == "" || s.Since == "" || s.Since > Version {
			t.Errorf("%s: source %+v", l, s)
		}
		for _, c := range Codes(l) {
			if !form.MatchString(c.Code) {
				t.Errorf("%s: code %q is not in the form", l, c.Code)
			}
			if !Known(l, c.Code) || Label(l, c.Code, "en") != c.Label || Label(l, c.Code, "hi") != c.Label {
				t.Errorf("%s %s: lookup differs from the row", l, c.Code)
			}
		}
	}
}

// avoid holds the words that no label may use: words built on the Greek for
// prostitution, and words that make a child a seller or an offender a buyer.
var avoid = regexp.MustCompile(`(?i)porn|prostitut|sex tour|customer|client|victim blam|kiddie|lolita|child sex\b|under-?age sex|sex worker`)

// allowed is the one term that holds such a word and is right.
var allowed = regexp.MustCompile(`(?i)child exploited in prostitution`)

func TestNoWordToAvoid(t *testing.T) {
	check := func(where, text string) {
		if m := avoid.FindString(allowed.ReplaceAllString(text, "")); m != "" {
			t.Errorf("%s: %q holds %q", where, text, m)
		}
	}
	for _, l := range Lists() {
		for _, c := range Codes(l) {
			check(string(l), c.Label)
			check(string(l), strings.ReplaceAll(c.Code, "-", " "))
		}
	}
	for k, f := range tables.facts {
		check(k, f.Label)
	}
	for _, bad := range []string{"Child pornography", "child prostitute", "child sex tourist", "customer"} {
		if !avoid.MatchString(bad) {
			t.Errorf("the search would miss %q", bad)
		}
	}
}

func TestUnknownCodeStaysRaw(t *testing.T) {
	if Known(Service, "moon-shelter") {
		t.Fatal("an unknown code is known")
	}
	if got := Label(Service, "moon-shelter", "en"); got != "moon-shelter" {
		t.Fatalf("an unknown code was mapped to %q", got)
	}
	if Known("no-such-list", "yes") || Codes("no-such-list") != nil || Attr("no-such-list", "yes") != "" {
		t.Fatal("an unknown list answers")
	}
}

func TestStates(t *testing.T) {
	if n := len(Codes(State)); n != 36 {
		t.Fatalf("%d states and union territories, want 36", n)
	}
	for iso, code := range map[string]string{"IN-OD": "21", "IN-OR": "21", "IN-CG": "22", "IN-CT": "22", "IN-TS": "36", "IN-TG": "36", "IN-UK": "5", "IN-UT": "5", "IN-KA": "29"} {
		if got := strings.Split(Attr(State, code), "/"); !slices.Contains(got, iso) {
			t.Errorf("state %s is %q, and not %s", code, got, iso)
		}
	}
}

func TestDistrictForm(t *testing.T) {
	for s, want := range map[string]bool{"1": true, "572": true, "999999": true, "": false, "0": false, "012": false, "1234567": false, "57a": false, "५": false, "-1": false} {
		if ValidDistrict(s) != want {
			t.Errorf("ValidDistrict(%q) = %v", s, !want)
		}
	}
}

func TestClocksGrow(t *testing.T) {
	for _, c := range Codes(Priority) {
		k, ok := ClockOf(c.Code)
		if !ok || k.Source == "" {
			t.Fatalf("%s: no clock", c.Code)
		}
		if !(k.Acknowledge < k.Decide && k.Decide < k.Act && k.Act < k.Report && k.Decide < k.Expire) {
			t.Errorf("%s: %+v is out of order", c.Code, k)
		}
	}
	e, _ := ClockOf("emergency")
	if e.Acknowledge != 1 || e.Decide != 3 || e.Act != 24 {
		t.Errorf("emergency %+v", e)
	}
	if _, ok := ClockOf("later"); ok {
		t.Error("an unknown priority has a clock")
	}
}

func TestFacts(t *testing.T) {
	if f, ok := FactOf("call-emergency"); !ok || f.Value != "112" || f.Source == "" {
		t.Errorf("%+v", f)
	}
	if FactInt("silent-confirm-d") != 14 || FactInt("no-such-fact") != 0 {
		t.Error("number facts")
	}
	if AlertDays("missing-child") != 7 || AlertDays("legal-or-policy-circular") != 365 || AlertDays("no-such") != 0 {
		t.Error("alert days")
	}
	if KindClass("sjpu") != "police" || KindClass("cwc") != "government" || KindClass("unknown") != "" {
		t.Error("kind classes")
	}
	for _, c := range Codes(OrganisationKind) {
		if !slices.Contains([]string{"secretariat", "ngo", "police", "government"}, c.Attr) {
			t.Errorf("%s: class %q", c.Code, c.Attr)
		}
	}
}
