package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/api"
)

func do(in string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

// Every command says what it does and gives an example of itself.
func TestEveryCommandHasHelp(t *testing.T) {
	var walk func(c *cobra.Command)
	n := 0
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() || c.Name() == "help" || c.Name() == "completion" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return
		}
		n++
		if c.Short == "" || !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%q has no example of itself", c.CommandPath())
		}
		words := strings.Fields(c.CommandPath())[1:]
		code, out, _ := do("", append(words, "--help")...)
		if code != 0 || !strings.Contains(out, "--json") && c.Name() != "bench" {
			t.Errorf("%q --help ends with %d, or does not tell of --json", c.CommandPath(), code)
		}
	}
	walk((&program{}).root())
	if n < 30 {
		t.Errorf("only %d commands", n)
	}
}

func TestExitCodes(t *testing.T) {
	for err, want := range map[error]int{
		api.Errorf(api.Locked, "x"):                            6,
		fmt.Errorf("submit: %w", api.Errorf(api.Refused, "")):  4,
		hint(api.Errorf(api.NotFound, "x"), "y"):               3,
		fmt.Errorf("read: %w", keyfile.ErrPassphrase):          4,
		fmt.Errorf("read: %w", keyfile.ErrExposed):             5,
		fmt.Errorf("read: %w", fs.ErrNotExist):                 3,
		fmt.Errorf("write: %w", fs.ErrExist):                   5,
		fmt.Errorf("anything else"):                            1,
		asInput(fmt.Errorf("a threshold of 2")):                2,
		asInput(&fs.PathError{Op: "open", Err: fs.ErrInvalid}): 1,
	} {
		if got := (&program{err: new(bytes.Buffer)}).end(err); got != want {
			t.Errorf("%v: exit %d, want %d", err, got, want)
		}
	}
}

func TestErrorsArePeoplesOrPrograms(t *testing.T) {
	code, out, errs := do("", "status", "--dir", t.TempDir())
	if code != 3 || out != "" || !strings.HasPrefix(errs, "alliance: ") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, errs)
	}
	code, out, errs = do("", "status", "--dir", t.TempDir(), "--json")
	var e api.Error
	if code != 3 || out != "" || json.Unmarshal([]byte(errs), &e) != nil || e.Kind != api.NotFound || e.Text == "" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, errs)
	}
}

// Several faults are told a line each, once.
func TestFaultsAreToldOnce(t *testing.T) {
	err := &api.Error{Kind: api.Invalid, Text: "send referral: not sent: summary.a: must be given; summary.b: must be given. Put this right",
		Faults: []string{"summary.a (required): must be given", "summary.b (required): must be given"}}
	want := "case.json: send referral: not sent:\n  summary.a (required): must be given\n  summary.b (required): must be given"
	if got := sentence(hint(fmt.Errorf("case.json: %w", err), "look again")); got != want {
		t.Errorf("got %q", got)
	}
	var e bytes.Buffer
	(&program{err: &e, json: true}).end(fmt.Errorf("case.json: %w", err))
	var got api.Error
	if json.Unmarshal(e.Bytes(), &got) != nil || got.Text != "case.json: "+err.Text || len(got.Faults) != 2 {
		t.Errorf("as JSON %s", e.String())
	}
}

// A fault of the program is a sentence and an exit code, never a stack.
func TestAPanicIsASentence(t *testing.T) {
	var e bytes.Buffer
	code := guard(&program{err: &e}, func() int { panic("an invented fault") })
	if code != 1 || !strings.Contains(e.String(), "an invented fault") || strings.Contains(e.String(), "goroutine") {
		t.Errorf("exit %d, %q", code, e.String())
	}
}

// What others wrote cannot move the cursor or turn the line around; Indic
// joiners stay.
func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ntwo lines":        "plain\ntwo lines",
		"\x1b[2Jgone":             "?[2Jgone",
		"a\u202eb":                "a?b",
		"क्\u200dष and न्\u200cत": "क्\u200dष and न्\u200cत",
		"tab\tand\r":              "tab?and?",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 5, time.UTC)
	for in, want := range map[string]string{
		"+48h":                      "2026-11-25T10:00:00Z",
		"2026-11-23T15:04:05+05:30": "2026-11-23T15:04:05+05:30",
		"+tomorrow":                 "",
		"tomorrow":                  "",
	} {
		got, err := when(in, now)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("when(%q) = %q, %v", in, got, err)
		}
	}
}

func TestPassphraseFromStdin(t *testing.T) {
	file := t.TempDir() + "/k.key"
	if code, _, errs := do("an invented passphrase\r\nmore", "key", "new", "--out", file, "--passphrase-file", "-", "--scrypt-work", "10"); code != 0 {
		t.Fatal(errs)
	}
	if code, out, errs := do("an invented passphrase", "key", "show", file, "--passphrase-file", "-"); code != 0 || !strings.HasPrefix(out, "alliance-person-1-") {
		t.Error(code, out, errs)
	}
	if code, _, errs := do("another", "key", "show", file, "--passphrase-file", "-"); code != 4 || !strings.Contains(errs, "wrong passphrase") {
		t.Error(code, errs)
	}
}

func TestTuneLeavesTheEnvironmentsWord(t *testing.T) {
	gc, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(gc); debug.SetMemoryLimit(limit) }()
	debug.SetMemoryLimit(1 << 40)
	for _, k := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(k, "1")
	}
	tune()
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("memory limit became %d", got)
	}
	for _, k := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(k, "")
	}
	tune()
	if got := debug.SetMemoryLimit(-1); got != 320<<20 {
		t.Errorf("memory limit is %d", got)
	}
	if got := debug.SetGCPercent(100); got != 200 {
		t.Errorf("the collector's goal is %d", got)
	}
}

func TestClosingHasAnEnd(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	err := closeWithin(time.Millisecond, func() error { <-stuck; return nil })
	if err == nil || kindOf(err) != api.Unavailable || !strings.Contains(err.Error(), "acknowledged is kept") {
		t.Errorf("a stuck disk: %v", err)
	}
	if err := closeWithin(time.Minute, func() error { return nil }); err != nil {
		t.Error(err)
	}
}
