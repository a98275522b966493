package alert

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// example reads the sample document, which the demo issues too.
func example(t testing.TB) (*Alert, []byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/example.xml")
	if err != nil {
		t.Fatal(err)
	}
	a, warnings, err := ParseCAP(b)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("parse example: %v, warnings %v", err, warnings)
	}
	return a, b
}

func TestExample(t *testing.T) {
	a, _ := example(t)
	if warnings, err := a.Profile(); err != nil || len(warnings) > 0 {
		t.Errorf("profile: %v, warnings %v", err, warnings)
	}
	if a.Category() != CategoryGoodPractice || a.TLP() != TLPAmber || a.Banner() != "EXERCISE" {
		t.Errorf("category %q, label %s, banner %q", a.Category(), a.TLP(), a.Banner())
	}
	b, err := a.CAP()
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := ParseCAP(b)
	if err != nil || !reflect.DeepEqual(a, again) {
		t.Errorf("written and read again: %v\n%s", err, b)
	}
	body, err := EncodeBody(KindIssue, Body{Alert: a})
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeBody(KindIssue, body)
	if err != nil || !reflect.DeepEqual(a, back.Alert) {
		t.Errorf("encoded and decoded: %v", err)
	}
}

func ExampleParseCAP() {
	_, _, err := ParseCAP([]byte(strings.Replace(base, "10:00:00+05:30</sent>", "04:30:00Z</sent>", 1)))
	fmt.Println(err)
	_, warnings, _ := ParseCAP([]byte(strings.Replace(base, "10:00:00+05:30</sent>", "04:30:00+00:00</sent>", 1)))
	fmt.Println(warnings[0])
	// Output:
	// alert/sent: time "2026-11-23T04:30:00Z" is not of the form 2026-11-23T15:04:05+05:30 (numeric offset, never Z, no fraction) (rule date-time)
	// alert/sent: UTC is written -00:00 in CAP (rule date-time)
}
