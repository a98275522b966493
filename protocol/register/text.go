package register

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// script is a range of characters that may stand in text of an operation. The
// table is part of the rules: it does not follow the Unicode version that a
// program happens to be built with, so that all judge alike.
var script = []struct{ lo, hi rune }{
	{0x0020, 0x007e},                   // ASCII
	{0x00a1, 0x00ac}, {0x00ae, 0x024f}, // Latin, without the soft hyphen
	{0x0606, 0x061b}, {0x061d, 0x06dc}, {0x06de, 0x06ff}, // Arabic (Urdu, Kashmiri, Sindhi), without format characters
	{0x0750, 0x077f},                   // Arabic supplement
	{0x0900, 0x0dff},                   // Devanagari to Sinhala
	{0x1c50, 0x1c7f},                   // Ol Chiki
	{0x1cd0, 0x1cff},                   // Vedic extensions
	{0x2010, 0x2015}, {0x2018, 0x201f}, // dashes, quotation marks
	{0x2026, 0x2026}, {0x20b9, 0x20b9}, // ellipsis, rupee
	{0xa8e0, 0xa8ff}, {0xaae0, 0xaaff}, {0xabc0, 0xabff}, // Devanagari extended, Meetei Mayek
}

const (
	zwnj = 0x200c
	zwj  = 0x200d
)

func indic(r rune) bool { return r >= 0x0900 && r <= 0x0dff }

// checkText says whether a text may stand in an operation: normalised (NFC),
// of the scripts in the table, so without control, unassigned or
// bidirectional characters, with no space at an end or doubled. A joiner may
// stand between two characters of an Indic script, where spelling needs it.
func checkText(what, s string, most int) error {
	bad := func(why string) error { return fmt.Errorf("check %s: %s", what, why) }
	switch {
	case s == "":
		return bad("it is empty")
	case len(s) > most:
		return bad(fmt.Sprintf("%d bytes, at most %d are allowed", len(s), most))
	case strings.TrimSpace(s) != s || strings.Contains(s, "  "):
		return bad("a space at an end, or two together")
	case !norm.NFC.IsNormalString(s):
		return bad("it is not in Unicode normal form C")
	}
	runes := []rune(s)
	for i, r := range runes {
		if r == zwnj || r == zwj {
			if i > 0 && i+1 < len(runes) && indic(runes[i-1]) && indic(runes[i+1]) {
				continue
			}
			return bad("an invisible joiner outside an Indic word")
		}
		if !inScript(r) {
			return bad(fmt.Sprintf("character U+%04X may not stand in it", r))
		}
	}
	return nil
}

func inScript(r rune) bool {
	for _, s := range script {
		if r >= s.lo && r <= s.hi {
			return true
		}
	}
	return false
}

// checkCode says whether s is a code: 1 to MaxCode of a-z, 0-9 and inner '-'.
func checkCode(what, s string) error {
	if s == "" || len(s) > MaxCode || s[0] == '-' || s[len(s)-1] == '-' {
		return fmt.Errorf("check %s: 1 to %d characters, no '-' at an end", what, MaxCode)
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("check %s: only a-z, 0-9 and '-' may stand in it", what)
		}
	}
	return nil
}

// foldName is what two names share that people would take for one another:
// compatibility forms, case, joiners, spaces and punctuation do not tell two
// names apart.
func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == zwj || r == zwnj || unicode.IsSpace(r) || strings.ContainsRune("-‐‑‒–—―.,'’‘\"", r) {
			return -1
		}
		return r
	}, strings.ToLower(norm.NFKC.String(s)))
}
