package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/node/api"
)

// What is typed at the prompt: an old passphrase once, a new one twice, and
// long enough to be one.
func TestTypedPassphrases(t *testing.T) {
	const long = "an invented passphrase"
	for _, c := range []struct {
		typed []string
		isNew bool
		want  string
		says  string
	}{
		{[]string{"old"}, false, "old", ""},
		{[]string{""}, false, "", "no passphrase was typed; nothing was changed"},
		{[]string{long, long}, true, long, ""},
		{[]string{"बारह अक्षर हैं", "बारह अक्षर हैं"}, true, "बारह अक्षर हैं", ""},
		{[]string{""}, true, "", "no passphrase was typed"},
		{[]string{"eleven char"}, true, "", "has 11 characters: a new one has at least 12; nothing was written"},
		{[]string{long, long + "x"}, true, "", "the two passphrases differ; nothing was written"},
		{nil, true, "", "read passphrase: the terminal is gone"},
	} {
		ask := func(string) (string, error) {
			if len(c.typed) == 0 {
				return "", errors.New("the terminal is gone")
			}
			s := c.typed[0]
			c.typed = c.typed[1:]
			return s, nil
		}
		got, err := typed(ask, "the example", c.isNew)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || len(c.typed) > 0 {
			t.Errorf("typed: %q, %v; want %q, %q; %d prompts too few", got, err, c.want, c.says, len(c.typed))
		}
	}
}

// A file's new passphrase is held to the same; what is protected already opens
// with whatever it was protected with.
func TestShortPassphraseInAFile(t *testing.T) {
	key := filepath.Join(t.TempDir(), "k.key")
	code, _, errs := do("too short", "key", "new", "--out", key, "--passphrase-file", "-")
	if code != api.Invalid.Exit() || !strings.Contains(errs, "has 9 characters: a new one has at least 12; nothing was written") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Error("a key was written")
	}
}
