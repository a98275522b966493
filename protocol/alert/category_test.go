package alert

import (
	"regexp"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// avoid holds the words that no label says; the law's own words are cited, not
// used.
var avoid = regexp.MustCompile(`(?i)porn|prostitut|tourist|tourism|customer|client|victim|rape|molest|kiddie|paedophil|pedophil`)

func TestCategories(t *testing.T) {
	list := Categories()
	if len(list) != 25 {
		t.Errorf("%d categories", len(list))
	}
	days := map[Category]int{CategoryMissingChild: 7, CategoryCircular: 365, CategoryGoodPractice: 1096}
	seen := map[Category]bool{}
	for _, row := range list {
		want, special := days[row.Category]
		if !special {
			want = 30
		}
		if row.MaxDays != want || row.MaxDays > protocol.MaxKeepDays {
			t.Errorf("%s: %d days, want %d", row.Category, row.MaxDays, want)
		}
		if seen[row.Category] || row.Label == "" || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(string(row.Category)) {
			t.Errorf("row %+v", row)
		}
		seen[row.Category] = true
		if avoid.MatchString(row.Label) || avoid.MatchString(string(row.Category)) {
			t.Errorf("%q: %q has a word to avoid", row.Category, row.Label)
		}
		if got, known := row.Category.Lookup(); !known || got != row {
			t.Errorf("look up %s: %+v", row.Category, got)
		}
		if row.PoliceOnly != (row.Category == CategoryTravellingOffender) {
			t.Errorf("%s: police only %v", row.Category, row.PoliceOnly)
		}
	}
	if row, known := Category("novelty").Lookup(); known || row.Label != "novelty" || row.MaxDays != 30 || row.Members {
		t.Errorf("an unknown category: %+v", row)
	}
	list[0].MaxDays = 9999
	if Categories()[0].MaxDays == 9999 {
		t.Error("the table can be changed from outside")
	}
}

// TestMayIssue goes through every issuer, category and scope, and compares
// with the rules written another way.
func TestMayIssue(t *testing.T) {
	const S, N, P, G = protocol.ClassSecretariat, protocol.ClassNGO, protocol.ClassPolice, protocol.ClassGovernment
	members := []Category{"sexual-extortion-trend", "grooming-platform", "live-abuse-trend", "cseam-distribution-pattern", "ai-generated-cseam-trend",
		"self-generated-content-risk", "trafficking-pattern", "new-modus-operandi", "harmful-challenge", "capacity-notice", "good-practice"}
	issuers := []struct {
		class protocol.Class
		kind  string
		all   bool // all categories that are not police-only
		tops  bool // police-only ones too
	}{
		{S, "", true, true},
		{P, "", true, true},
		{P, "cyber-cell", true, true},
		{G, "statutory-commission", true, false},
		{G, "commission", true, false},
		{G, "ministry", false, false},
		{G, "", false, false},
		{N, "hotline", false, false},
		{N, "ngo", false, false},
		{N, "commission", false, false}, // the class counts, whatever an NGO calls itself
		{0, "", false, false},
	}
	for _, who := range issuers {
		for _, row := range Categories() {
			for _, scope := range scopes {
				for _, audience := range [][]protocol.Class{{P}, {P, P}, {P, N}, {S, N, P, G}, nil} {
					want := who.all || slices.Contains(members, row.Category)
					if row.PoliceOnly {
						want = who.tops && scope != ScopePublic && !slices.ContainsFunc(audience, func(c protocol.Class) bool { return c != P })
					}
					if scope == ScopePublic && who.class != S || !who.class.Valid() {
						want = false
					}
					err := MayIssue(who.class, who.kind, row.Category, scope, audience)
					if (err == nil) != want {
						t.Errorf("%s %q, %s, %s, to %v: %v, want %v", who.class, who.kind, row.Category, scope, audience, err, want)
					}
					if err != nil && len(Findings(err)) != 1 {
						t.Errorf("the rule is not named: %v", err)
					}
				}
			}
		}
	}
	if err := MayIssue(S, "", "novelty", ScopeRestricted, nil); err == nil {
		t.Error("an unknown category may be issued")
	}
}

func TestActionsAvoidWords(t *testing.T) {
	for _, a := range Actions() {
		if avoid.MatchString(string(a)) {
			t.Errorf("%q has a word to avoid", a)
		}
	}
}
