package protocol

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The specification names every code and every label that the program uses,
// and has the limits that matter to another implementation.
func TestSpecificationIsComplete(t *testing.T) {
	b, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	spec := string(b)
	for code := range codeText {
		if !strings.Contains(spec, fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("code %d, %s, is not in the table of refusals", code, code)
		}
	}
	for _, label := range allLabels {
		switch label {
		case "", "unused", "key-file", "register-state", "ticket-token", "enrol-request": // of one node alone
			continue
		}
		if !strings.Contains(spec, "`"+string(label)+"`") {
			t.Errorf("label %s is not listed", label)
		}
	}
	for what, n := range map[string]int{
		"core": MaxCore, "section": MaxSection, "body": MaxBody, "inner header": MaxInner, "operation": MaxOp,
		"audience": MaxAudience, "readers": MaxReaders, "kept days": MaxKeepDays, "key records": MaxKeyRecords, "ranges": MaxRanges,
		"references": MaxRefs, "elements": MaxElements, "leaf": MaxLeaf,
	} {
		plain := fmt.Sprint(n)
		grouped := plain
		for i := len(plain) - 3; i > 0; i -= 3 {
			grouped = grouped[:i] + "," + grouped[i:]
		}
		if !strings.Contains(spec, plain) && !strings.Contains(spec, grouped) {
			t.Errorf("the limit of %s, %d, does not stand in it", what, n)
		}
	}
	for _, file := range []string{"register", "feeds", "sections", "keyfiles", "signed", "encoding", "crypto"} {
		if !strings.Contains(spec, "`"+file+".json`") {
			t.Errorf("vectors %s.json are not described", file)
		}
	}
}
