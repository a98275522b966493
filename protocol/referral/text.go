package referral

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
)

// MaxEncodedRun is the longest run of base64 or hex digits that a text may
// hold: more is a file.
const MaxEncodedRun = 512

// magic are the first bytes of the kinds of file that never travel, and of
// documents, which travel as attachments and not inside a text.
var magic = []struct {
	kind   string
	offset int
	bytes  string
}{
	{"image", 0, "\xff\xd8\xff"},
	{"image", 0, "\x89PNG\r\n\x1a\n"},
	{"image", 0, "GIF87a"},
	{"image", 0, "GIF89a"},
	{"image", 0, "II*\x00"},
	{"image", 0, "MM\x00*"},
	{"image", 0, "\x00\x00\x01\x00"},
	{"image", 0, "8BPS"},
	{"image", 0, "\x00\x00\x00\x0cJXL "},
	{"image", 0, "\x00\x00\x00\x0cjP  "},
	{"image or video", 4, "ftyp"}, // MP4, MOV, HEIC, AVIF
	{"video", 4, "moov"},
	{"video", 0, "\x1aE\xdf\xa3"}, // Matroska, WebM
	{"video", 0, "\x00\x00\x01\xba"},
	{"video", 0, "\x00\x00\x01\xb3"},
	{"video", 0, "FLV\x01"},
	{"video", 0, "0&\xb2u\x8ef\xcf\x11"}, // ASF, WMV
	{"audio", 0, "ID3\x02"},
	{"audio", 0, "ID3\x03"},
	{"audio", 0, "ID3\x04"},
	{"audio", 0, "OggS"},
	{"audio", 0, "fLaC"},
	{"audio", 0, "#!AMR"},
	{"archive", 0, "PK\x03\x04"},
	{"archive", 0, "PK\x05\x06"},
	{"archive", 0, "Rar!\x1a\x07"},
	{"archive", 0, "7z\xbc\xaf\x27\x1c"},
	{"archive", 0, "\x1f\x8b\x08"},
	{"archive", 4, "1AY&SY"}, // bzip2
	{"archive", 0, "\xfd7zXZ\x00"},
	{"archive", 0, "(\xb5/\xfd"},
	{"archive", 257, "ustar"},
	{"document", 0, "%PDF-"},
	{"document", 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
	{"program", 0, "\x7fELF"},
}

// Sniff names the kind of file that b begins as: image, video, audio,
// archive, document, program; "" if it looks like none.
func Sniff(b []byte) string {
	for _, m := range magic {
		if len(b) >= m.offset+len(m.bytes) && string(b[m.offset:m.offset+len(m.bytes)]) == m.bytes {
			return m.kind
		}
	}
	if len(b) >= 12 && string(b[:4]) == "RIFF" {
		switch string(b[8:12]) {
		case "WEBP":
			return "image"
		case "AVI ":
			return "video"
		}
		return "audio"
	}
	// A bitmap says its own length, and reserves four zero bytes.
	if len(b) >= 14 && b[0] == 'B' && b[1] == 'M' && bytes.Equal(b[6:10], make([]byte, 4)) {
		return "image"
	}
	if head := bytes.ToLower(bytes.TrimSpace(b[:min(len(b), 512)])); bytes.HasPrefix(head, []byte("<svg")) || bytes.HasPrefix(head, []byte("<?xml")) && bytes.Contains(head, []byte("<svg")) {
		return "image"
	}
	return ""
}

var (
	dataURI   = regexp.MustCompile(`(?i)data:[a-z0-9.+-]+/[a-z0-9.+-]+[;,]`)
	lineBreak = regexp.MustCompile(`[ \t]*\r?\n[ \t]*`)
	base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}`)
	hexRun    = regexp.MustCompile(`(?i)[0-9a-f]{16,}`)
	svg       = regexp.MustCompile(`(?i)<svg[\s>]`)
)

// FileIn names the kind of file that a text carries, written out or as base64
// or hex, also wrapped over lines; "file" where it is too long to be anything
// else; "" if it carries none.
func FileIn(s string) string {
	if k := Sniff([]byte(s)); k != "" {
		return k
	}
	if dataURI.MatchString(s) {
		return "file"
	}
	if svg.MatchString(s) {
		return "image"
	}
	joined := lineBreak.ReplaceAllString(s, "")
	for _, run := range hexRun.FindAllString(joined, -1) {
		if b, err := hex.DecodeString(run[:len(run)&^1]); err == nil && len(run) > 128 {
			if k := Sniff(b); k != "" {
				return k
			}
		}
		if len(run) > MaxEncodedRun {
			return "file"
		}
	}
	for _, run := range base64Run.FindAllString(joined, -1) {
		// A run may begin with letters of the word before it: look at each
		// of the four ways to cut it into groups, at the first few places.
		for skip := range min(len(run)-8, 24) {
			if k := sniffBase64(run[skip:]); k != "" {
				return k
			}
		}
		if len(run) > MaxEncodedRun {
			return "file"
		}
	}
	return ""
}

func sniffBase64(run string) string {
	run = strings.NewReplacer("-", "+", "_", "/").Replace(run[:min(len(run), 1024)])
	b, err := base64.RawStdEncoding.DecodeString(run[:len(run)&^3])
	if err != nil {
		return ""
	}
	return Sniff(b)
}

var (
	// web finds addresses, defanged or not, and host names after "www.".
	web = regexp.MustCompile(`(?i)\b(?:h(?:tt|xx)ps?|ftp|magnet|ipfs)(?:\[?:\]?)(?://|\?)|\bwww\[?\.\]?[a-z0-9]|\b[a-z2-7]{16,56}\[?\.\]?onion\b`)
	// phone finds ten digits of an Indian number, with or without prefix and
	// breaks.
	phone = regexp.MustCompile(`(?:\+?91[ -]?|\b0)?\b[6-9]\d{4}[ -]?\d{5}\b|(?:\+?91[ -]?|\b0)[6-9]\d{4}[ -]?\d{5}\b`)
	// aadhaar finds twelve digits in groups of four, or in one run that is
	// not a phone number with its country's prefix.
	aadhaar = regexp.MustCompile(`\b[2-9]\d{3}[ -]\d{4}[ -]\d{4}\b|\b[2-8]\d{11}\b|\b9[02-9]\d{10}\b`)
)

// Defang makes an address safe to show: it can be read but not followed.
//
//	https://example.org/a → hxxps://example[.]org/a
//
// It may be applied again. Addresses are never linked, fetched or previewed.
func Defang(url string) string {
	scheme, rest, ok := strings.Cut(strings.Replace(url, "[:]//", "://", 1), "://")
	if !ok {
		return dots(url)
	}
	switch strings.ToLower(scheme) {
	case "http", "hxxp":
		scheme = "hxxp"
	case "https", "hxxps":
		scheme = "hxxps"
	default:
		return scheme + "[:]//" + dotsInHost(rest)
	}
	return scheme + "://" + dotsInHost(rest)
}

func dotsInHost(rest string) string {
	i := strings.IndexAny(rest, "/?#")
	if i < 0 {
		return dots(rest)
	}
	return dots(rest[:i]) + rest[i:]
}

func dots(s string) string {
	s = strings.NewReplacer("[.]", ".", "[@]", "@").Replace(s)
	return strings.NewReplacer(".", "[.]", "@", "[@]").Replace(s)
}
