package referral

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
)

func TestCodeVectors(t *testing.T) {
	for in, want := range map[[5]byte]Code{
		{}:                             "0000-0000-0",
		{0, 0, 0, 0, 1}:                "0000-0001-2",
		{0, 0, 0, 0, 16}:               "0000-000G-5",
		{0xff, 0xff, 0xff, 0xff, 0xff}: "ZZZZ-ZZZZ-3",
	} {
		got := NewCode(in[:])
		if got != want {
			t.Errorf("%x: %s, want %s", in, got, want)
		}
	}
}

func TestCodeFindsEveryMistake(t *testing.T) {
	for i := range 200 {
		h := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
		code := NewCode(h[:])
		if got, err := ParseCode(string(code)); err != nil || got != code {
			t.Fatalf("%s: %v", code, err)
		}
		plain := strings.ReplaceAll(string(code), "-", "")
		for a := range plain {
			for _, c := range alphabet {
				if byte(c) == plain[a] {
					continue
				}
				if _, err := ParseCode(plain[:a] + string(c) + plain[a+1:]); err == nil {
					t.Fatalf("%s: wrong symbol at %d is not found", code, a)
				}
			}
			for b := a + 1; b < len(plain); b++ {
				if plain[a] == plain[b] {
					continue
				}
				s := []byte(plain)
				s[a], s[b] = s[b], s[a]
				if _, err := ParseCode(string(s)); err == nil {
					t.Fatalf("%s: swap of %d and %d is not found", code, a, b)
				}
			}
		}
	}
}

func TestCodeAsSpoken(t *testing.T) {
	code := NewCode([]byte{0x08, 0x42, 0x01, 0x00, 0x00}) // 1 1 0 0 …
	said := strings.ToLower(strings.NewReplacer("1", "l", "0", "o", "-", " ").Replace(string(code)))
	if got, err := ParseCode(said); err != nil || got != code {
		t.Fatalf("%q read as %q, %v; want %q", said, got, err, code)
	}
	for _, bad := range []string{"", "0000-0000", "0000-0000-00", "U000-0000-0", "0000-0000-1", "००००-००००-०"} {
		if _, err := ParseCode(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("0000-0000-0")
	f.Add("zzzz zzzz 3")
	f.Add("il0o-____")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCode(s)
		if err != nil {
			return
		}
		if again, err := ParseCode(string(c)); err != nil || again != c {
			t.Fatalf("%q does not read back", c)
		}
	})
}

func TestTimeAsText(t *testing.T) {
	b, err := json.Marshal(Time(0))
	if err != nil || string(b) != `"1970-01-01T05:30:00+05:30"` {
		t.Fatalf("%s %v", b, err)
	}
	for in, ok := range map[string]bool{
		`"2026-11-23T15:04:05+05:30"`: true, `"2026-11-23T09:34:05Z"`: true,
		`"2026-11-23T15:04:05.5Z"`: false, `"1969-01-01T00:00:00Z"`: false, `"2026-11-23"`: false, `1795000000`: false, `""`: false,
	} {
		var v Time
		if err := json.Unmarshal([]byte(in), &v); (err == nil) != ok {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, v := range []Time{-1 << 63, -1, maxTime, 1<<63 - 1} {
		b, err := json.Marshal(v)
		var back Time
		if err != nil || json.Unmarshal(b, &back) != nil {
			t.Errorf("%d cannot be shown: %s %v", int64(v), b, err)
		}
	}
}

func TestUIDAsText(t *testing.T) {
	var u UID
	good := "0123456789abcdef0123456789abcdef"
	if err := u.UnmarshalText([]byte(good)); err != nil || u.String() != good {
		t.Fatal(err)
	}
	for _, bad := range []string{"", good[1:], good + "0", strings.ToUpper(good), "zz" + good[2:]} {
		if err := u.UnmarshalText([]byte(bad)); err == nil || u != (UID{}) {
			t.Errorf("%q was accepted", bad)
		}
	}
}
