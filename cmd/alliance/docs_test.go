package main

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/protocol/vocab"
)

// TestReadmeCommands: every command that a page shows is one, with the flags it
// is shown with.
func TestReadmeCommands(t *testing.T) {
	shown := regexp.MustCompile("(?m)(?:^    (?:\\$ )?|`|ExecStart=/usr/local/bin/|alliance /)(alliance(?: [^`\n]*)?)")
	for page, least := range map[string]int{
		"README.md": 3, "CONTRIBUTING.md": 0, "deploy/README.md": 12, "deploy/alliance.service": 1, "deploy/alliance.sample.toml": 2,
		"deploy/Containerfile": 1, "protocol/SPEC.md": 0,
	} {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		found := shown.FindAllStringSubmatch(string(text), -1)
		if len(found) < least {
			t.Errorf("%s shows %d commands, fewer than %d: are they still found?", page, len(found), least)
		}
		for _, m := range found {
			if err := known(m[1]); err != "" {
				t.Errorf("%s: %s: %s", page, m[1], err)
			}
		}
	}
	for line, want := range map[string]string{
		"alliance referral sent x":         "no command sent",
		"alliance status --dri x":          "no flag --dri",
		"alliance referral send x --staff": "", "alliance op draft enrol --request ID": "", "alliance": "",
	} {
		if got := known(line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// TestExamples: every example in a help text is a command with the flags it is
// shown with, and its codes are codes.
func TestExamples(t *testing.T) {
	n := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for _, line := range strings.Split(strings.ReplaceAll(c.Example, "\\\n", ""), "\n") {
			_, line, ours := strings.Cut(line, "alliance ")
			if !ours || c.DisableFlagParsing {
				continue
			}
			n++
			if err := known(line); err != "" {
				t.Errorf("%s: %s: %s", c.CommandPath(), line, err)
			}
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look((&program{out: io.Discard, err: io.Discard}).root())
	if n < 20 {
		t.Errorf("%d examples: are they still found?", n)
	}
	codes := 0
	for _, m := range moves {
		words := strings.Fields(m.example)
		for _, f := range m.fields {
			list, coded := fieldCodes[f.json]
			i := slices.Index(words, "--"+f.flag)
			if !coded || i < 0 {
				continue
			}
			if codes++; !vocab.Known(list, words[i+1]) {
				t.Errorf("%s: %s is no code of the list %s", m.word, words[i+1], list)
			}
		}
	}
	if codes < 3 {
		t.Errorf("%d codes: are they still found?", codes)
	}
}

// known says what is wrong with a command line, or nothing.
func known(line string) string {
	root := (&program{in: strings.NewReader(""), out: io.Discard, err: io.Discard}).root()
	root.InitDefaultHelpCmd()
	words := strings.Fields(strings.TrimPrefix(line, "alliance"))
	c, rest, err := root.Find(words)
	if err != nil {
		return err.Error()
	}
	if c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return "no command " + rest[0]
	}
	for _, w := range rest {
		name, long := strings.CutPrefix(w, "--")
		name, _, _ = strings.Cut(name, "=")
		if long && name != "help" && c.Flag(name) == nil {
			return "no flag --" + name
		}
	}
	return ""
}
