package referral

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

// heads are first bytes of files, nothing more: no content.
var heads = map[string]string{
	"jpeg":  "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
	"png":   "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01",
	"gif":   "GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9",
	"bmp":   "BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00",
	"tiff":  "II*\x00\x08\x00\x00\x00\x0e\x00\xfe\x00\x04\x00\x01\x00\x00\x00",
	"webp":  "RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00",
	"heic":  "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
	"mp4":   "\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2",
	"webm":  "\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B",
	"avi":   "RIFF\x24\x00\x00\x00AVI LIST\x00\x00\x00\x00hdrl",
	"wav":   "RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00",
	"mp3":   "ID3\x04\x00\x00\x00\x00\x00\x23TSSE\x00\x00\x00\x0f",
	"ogg":   "OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02",
	"zip":   "PK\x03\x04\x14\x00\x00\x00\x08\x00\x00\x00!\x00\x00\x00",
	"gzip":  "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01\x02\x03\x04\x05",
	"rar":   "Rar!\x1a\x07\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08",
	"7z":    "7z\xbc\xaf\x27\x1c\x00\x04\x01\x02\x03\x04\x05\x06\x07\x08",
	"xz":    "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01",
	"bzip2": "BZh91AY&SY\x01\x02\x03\x04\x05\x06\x07\x08",
	"zstd":  "(\xb5/\xfd\x04\x00\x01\x02\x03\x04\x05\x06\x07\x08",
	"pdf":   "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
	"elf":   "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"svg":   "<svg xmlns='x'></svg> padding",
}

func TestFileInText(t *testing.T) {
	for name, h := range heads {
		if Sniff([]byte(h)) == "" {
			t.Errorf("%s is not recognised", name)
		}
		padded := h + strings.Repeat("\x00\x01", 60)
		std := base64.StdEncoding.EncodeToString([]byte(padded))
		wrapped := std[:20] + "\r\n" + std[20:60] + "\n  " + std[60:]
		for form, s := range map[string]string{
			"base64":         std,
			"base64 raw url": base64.RawURLEncoding.EncodeToString([]byte(padded)),
			"in a sentence":  "please see " + std + " thanks",
			"after a word":   "file" + std,
			"in a data URI":  "data:application/octet-stream;base64," + std,
			"wrapped":        wrapped,
			"hex":            hex.EncodeToString([]byte(padded)),
			"upper hex":      strings.ToUpper(hex.EncodeToString([]byte(padded))),
		} {
			if FileIn(s) == "" {
				t.Errorf("%s as %s passes", name, form)
			}
		}
	}
	if FileIn(strings.Repeat("QUFB", 200)) == "" {
		t.Error("a long run of base64 passes")
	}
	for _, s := range []string{
		"", "Please call the shelter before noon.", "he sent WEBP files, then asked for more", "moov ftyp ID3 BM",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		strings.Repeat("0123456789abcdef", 8), // the length of SHA-512
		"https://example.org/watch/aGVsbG8gd29ybGQgdGhpcyBpcyB0ZXh0",
		"बच्ची सुरक्षित है। கூடுதல் தகவல் பின்னர்.",
		"Supercalifragilisticexpialidocious-and-other-long-words/with/slashes",
	} {
		if k := FileIn(s); k != "" {
			t.Errorf("plain text is taken for %s: %q", k, s)
		}
	}
}

func TestDefang(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.org":            "hxxps://example[.]org",
		"HTTP://Example.org/a.b?c=d.e":   "hxxp://Example[.]org/a.b?c=d.e",
		"example.org":                    "example[.]org",
		"someone@example.org":            "someone[@]example[.]org",
		"https://user@example.org:8443/": "hxxps://user[@]example[.]org:8443/",
		"ftp://example.org/x":            "ftp[:]//example[.]org/x",
		"hxxps://example[.]org/a":        "hxxps://example[.]org/a",
		"":                               "",
	} {
		if got := Defang(in); got != want || Defang(got) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTextsThatBelongElsewhere(t *testing.T) {
	for s, want := range map[string]bool{
		"see https://example.org": true, "HXXPS://example[.]org": true, "www.example.org": true, "magnet:?xt=abc": true,
		"expyuzz4wqqyqhjn.onion": true, "mail the desk": false, "http is a protocol": false, "1.5 hours": false,
	} {
		if web.MatchString(s) != want {
			t.Errorf("web address in %q: %v", s, !want)
		}
	}
	for s, want := range map[string]bool{
		"call 98765 43210": true, "9876543210": true, "+91 9876543210": true, "+919876543210": true, "09876543210": true, "98765-43210": true,
		"call 112 or 1098": false, "GD 12/2026": false, "1234567890123456": false, "in 2026, 15 children": false, "011 2345 6789": false,
	} {
		if phone.MatchString(s) != want {
			t.Errorf("phone in %q: %v", s, !want)
		}
	}
	for s, want := range map[string]bool{
		"2345 6789 0123": true, "2345-6789-0123": true, "234567890123": true, "919876543210": false, "+91 98765 43210": false, "FIR 123/2026": false, "1234567890123": false,
	} {
		if aadhaar.MatchString(s) != want {
			t.Errorf("identity number in %q: %v", s, !want)
		}
	}
}

func FuzzFileIn(f *testing.F) {
	for _, h := range heads {
		f.Add(base64.StdEncoding.EncodeToString([]byte(h)))
	}
	f.Add("data:image/png;base64,AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		kind := FileIn(s)
		if kind == "" && FileIn(s+" and text") == "" && Sniff([]byte(s)) != "" {
			t.Fatal("a file written out passes")
		}
		Defang(s)
	})
}
