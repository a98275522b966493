package vocab

import (
	"embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed data/*.csv
var files embed.FS

// Version is the version of the lists in this program. A referral carries the
// version it was written with, so that a reader can tell an older program's
// unknown code from a mistake. Versions are "YYYY-MM" and compare as text.
const Version = "2026-11"

// List names one code list.
type List string

// The lists. The names are those in the data files.
const (
	Service          List = "service"
	Concern          List = "concern"
	AgeBand          List = "age-band"
	Gender           List = "gender"
	Priority         List = "priority"
	YesNoUnknown     List = "yes-no-unknown"
	Risk             List = "risk"
	DeclineReason    List = "decline-reason"
	WhyNot           List = "why-not"
	Outcome          List = "outcome"
	Relation         List = "relation"
	Medium           List = "medium"
	HowLearned       List = "how-learned"
	Basis            List = "basis"
	ConsentHow       List = "consent-how"
	CarerWhyNot      List = "carer-why-not"
	WithheldWhy      List = "withheld-why"
	Part             List = "part"
	TLP              List = "tlp"
	Onward           List = "onward"
	Delivery         List = "delivery"
	ReferralKind     List = "referral-kind"
	DoNot            List = "do-not"
	Channel          List = "channel"
	Precision        List = "precision"
	NumberKind       List = "number-kind"
	IDKind           List = "id-kind"
	AccountRole      List = "account-role"
	HashAlgorithm    List = "hash-algorithm"
	HashClass        List = "hash-class"
	GradeSource      List = "grade-source"
	GradeCredibility List = "grade-credibility"
	Disability       List = "disability"
	Retention        List = "retention"
	OrganisationKind List = "organisation-kind"
	AlertCategory    List = "alert-category"
	AlertAction      List = "alert-action"
	AlertCannot      List = "alert-cannot"
	Language         List = "language"
	State            List = "state"
)

// Code is one row of a list.
type Code struct {
	Code  string
	Label string // English
	Attr  string // what the list's source line says; often empty
}

// Source says since which version a list stands as it is, and where it is from.
type Source struct {
	Since  string // "YYYY-MM"
	Source string
}

// Clock holds the suggested hours after sending within which a recipient
// acknowledges, decides, acts (first contact) and reports, and after which an
// unanswered referral expires.
type Clock struct {
	Acknowledge, Decide, Act, Report, Expire int
	Since, Source                            string
}

// Fact is one dated legal number, phone number or default.
type Fact struct {
	Value, Label, Since, Source string
	Reviewer                    string // empty: not yet read by a lawyer; say so where it is shown as law
}

type data struct {
	codes   map[List][]Code
	index   map[List]map[string]int
	sources map[List]Source
	clocks  map[string]Clock
	facts   map[string]Fact
}

var tables = load()

// Lists returns the names of all lists, sorted.
func Lists() []List {
	var out []List
	for l := range tables.sources {
		out = append(out, l)
	}
	slices.Sort(out)
	return out
}

// Codes returns the rows of a list in their order; nil for an unknown list.
func Codes(l List) []Code { return slices.Clone(tables.codes[l]) }

// SourceOf returns a list's date and source.
func SourceOf(l List) Source { return tables.sources[l] }

// Known reports whether code is in the list.
func Known(l List, code string) bool {
	_, ok := tables.index[l][code]
	return ok
}

// Label returns the words for a code in a language. Only English ("en") is
// shipped so far, and stands in for the others. An unknown code, as a newer
// program may write, is returned raw and never mapped to another.
func Label(l List, code, lang string) string {
	if i, ok := tables.index[l][code]; ok {
		return tables.codes[l][i].Label
	}
	return code
}

// Attr returns the attribute of a code, which each list defines in its source
// line; "" if there is none.
func Attr(l List, code string) string {
	if i, ok := tables.index[l][code]; ok {
		return tables.codes[l][i].Attr
	}
	return ""
}

// KindClass returns the register's class (secretariat, ngo, police,
// government) of an organisation kind, or "" for an unknown kind.
func KindClass(kind string) string { return Attr(OrganisationKind, kind) }

// AlertDays returns the longest validity of an alert category in days, or 0
// for an unknown category. Package alert has the same in its rules, and a test
// of package node compares them.
func AlertDays(category string) int {
	n, _ := strconv.Atoi(Attr(AlertCategory, category)) // load checked it
	return n
}

// ClockOf returns the suggested clocks of a priority.
func ClockOf(priority string) (Clock, bool) {
	c, ok := tables.clocks[priority]
	return c, ok
}

// FactOf returns a dated fact by its code, such as "call-emergency".
func FactOf(code string) (Fact, bool) {
	f, ok := tables.facts[code]
	return f, ok
}

// FactInt returns a fact that is a number, or 0.
func FactInt(code string) int {
	n, _ := strconv.Atoi(tables.facts[code].Value)
	return n
}

// ValidDistrict reports whether code has the form of a Local Government
// Directory district code: one to six digits, the first not 0. The 763
// districts themselves are not shipped: they split often, so a district is
// kept as its code and the date of the list it was taken from.
func ValidDistrict(code string) bool {
	if len(code) < 1 || len(code) > 6 || code[0] == '0' {
		return false
	}
	return strings.Trim(code, "0123456789") == ""
}

// load reads the embedded files. They are part of the program, so a fault in
// them is a mistake in the program and panics.
func load() data {
	d := data{map[List][]Code{}, map[List]map[string]int{}, map[List]Source{}, map[string]Clock{}, map[string]Fact{}}
	for _, r := range rows("data/lists.csv", 3) {
		d.sources[List(r[0])] = Source{r[1], r[2]}
		d.index[List(r[0])] = map[string]int{}
	}
	for _, r := range rows("data/codes.csv", 4) {
		l := List(r[0])
		if d.index[l] == nil {
			panic("vocab: list without a source: " + r[0])
		}
		if _, dup := d.index[l][r[1]]; dup || r[1] == "" || r[2] == "" {
			panic("vocab: bad row " + r[0] + " " + r[1])
		}
		if l == AlertCategory {
			number(r[3])
		}
		d.index[l][r[1]] = len(d.codes[l])
		d.codes[l] = append(d.codes[l], Code{r[1], r[2], r[3]})
	}
	for _, r := range rows("data/clocks.csv", 8) {
		d.clocks[r[0]] = Clock{number(r[1]), number(r[2]), number(r[3]), number(r[4]), number(r[5]), r[6], r[7]}
	}
	for _, r := range rows("data/facts.csv", 6) {
		d.facts[r[0]] = Fact{r[1], r[2], r[3], r[4], r[5]}
	}
	return d
}

func rows(name string, columns int) [][]string {
	f, err := files.Open(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = columns
	all, err := r.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("vocab: %s: %v", name, err))
	}
	return all[1:]
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		panic("vocab: not a positive number: " + s)
	}
	return n
}
