package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/national-alliance/alliance/crypto"
)

// head is one CBOR item's head as it stands in an encoding.
type head struct {
	at, len int
	major   byte
	arg     uint64
}

// heads walks a canonical encoding.
func heads(t testing.TB, b []byte) (out []head) {
	for i := 0; i < len(b); {
		h := head{at: i, len: 1, major: b[i] >> 5}
		switch n := b[i] & 31; {
		case n < 24:
			h.arg = uint64(n)
		case n <= 27:
			h.len += 1 << (n - 24)
			var wide [8]byte
			copy(wide[8-(h.len-1):], b[i+1:i+h.len])
			h.arg = binary.BigEndian.Uint64(wide[:])
		default:
			t.Fatalf("not canonical: % x", b[i:])
		}
		out = append(out, h)
		i += h.len
		if h.major == 2 || h.major == 3 {
			i += int(h.arg)
		}
	}
	return out
}

// widened is the same item with its argument in more bytes than it needs.
func widened(h head) (out [][]byte) {
	for n := range 4 {
		if size := 1 << n; size > h.len-1 {
			var wide [8]byte
			binary.BigEndian.PutUint64(wide[:], h.arg)
			out = append(out, append([]byte{h.major<<5 | byte(24+n)}, wide[8-size:]...))
		}
	}
	return out
}

func splice(b []byte, at, n int, with ...byte) []byte {
	return append(append(bytes.Clone(b[:at]), with...), b[at+n:]...)
}

// entries are the encoded entries of a map with small integer keys.
func entries(t testing.TB, b []byte) (out [][]byte) {
	var m map[uint64]cbor.RawMessage
	if err := cbor.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for k := range uint64(24) {
		if v, ok := m[k]; ok {
			out = append(out, append([]byte{byte(k)}, v...))
		}
	}
	if len(out) != len(m) {
		t.Fatal("keys outside 0 to 23")
	}
	return out
}

func assemble(items ...[]byte) []byte {
	return append([]byte{0xa0 + byte(len(items))}, bytes.Join(items, nil)...)
}

// spoilt are other forms of a canonical map, and things that are none.
func spoilt(t testing.TB, good []byte) map[string][]byte {
	out := map[string][]byte{
		"empty":           {},
		"no map":          {0x01},
		"null":            {0xf6},
		"trailing byte":   append(bytes.Clone(good), 0),
		"trailing null":   append(bytes.Clone(good), 0xf6),
		"twice":           append(bytes.Clone(good), good...),
		"a tag around it": append([]byte{0xd9, 0xd9, 0xf7}, good...),
		"indefinite map":  append(splice(good, 0, 1, 0xbf), 0xff),
		"huge map":        splice(good, 0, 1, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"huge array":      {0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"deep nesting":    bytes.Repeat([]byte{0x81}, 1<<16),
		"deep maps":       bytes.Repeat([]byte{0xa1, 0x01}, 1<<15),
	}
	for i := range good {
		out[fmt.Sprintf("cut at %d", i)] = good[:i]
	}
	for _, h := range heads(t, good) {
		at := fmt.Sprintf(" at %d", h.at)
		for _, w := range widened(h) {
			out[fmt.Sprintf("%d bytes of argument", len(w)-1)+at] = splice(good, h.at, h.len, w...)
		}
		if h.major > 1 {
			out["length 2^64-1"+at] = splice(good, h.at, h.len, h.major<<5|27, 255, 255, 255, 255, 255, 255, 255, 255)
		}
		out["tag"+at] = splice(good, h.at, 0, 0xc1)
		switch h.major {
		case 0:
			out["negative"+at] = splice(good, h.at, 1, good[h.at]|0x20)
			out["float"+at] = splice(good, h.at, h.len, 0xf9, 0x3c, 0)
			out["true"+at] = splice(good, h.at, h.len, 0xf5)
		case 2:
			whole := good[h.at : h.at+h.len+int(h.arg)]
			out["indefinite bytes"+at] = splice(good, h.at, len(whole), append(append([]byte{0x5f}, whole...), 0xff)...)
			out["text for bytes"+at] = splice(good, h.at, 1, good[h.at]+0x20)
			if h.arg == 32 {
				out["31 bytes"+at] = splice(good, h.at, h.len+1, 0x58, 31)
				out["33 bytes"+at] = splice(good, h.at, h.len, 0x58, 33, 0)
				numbers := append([]byte{0x98, 32}, bytes.Repeat([]byte{7}, 32)...)
				out["numbers for bytes"+at] = splice(good, h.at, len(whole), numbers...)
			}
		case 3:
			if h.arg > 0 {
				out["invalid UTF-8"+at] = splice(good, h.at+h.len, 1, 0xff)
			}
		}
	}
	e := entries(t, good)
	for i := range e {
		out[fmt.Sprintf("entry %d twice", i)] = assemble(append(e[:i+1:i+1], e[i:]...)...)
		if i > 0 {
			swapped := append([][]byte{}, e...)
			swapped[i-1], swapped[i] = e[i], e[i-1]
			out[fmt.Sprintf("entries %d and %d swapped", i-1, i)] = assemble(swapped...)
		}
	}
	return out
}

// unknown are canonical maps with one field too many, and whether a reader of
// sealed bodies passes over it.
func unknown(t testing.TB, good []byte) map[string]struct {
	b    []byte
	open bool
} {
	e := entries(t, good)
	with := func(field ...byte) []byte { return assemble(append(e[:len(e):len(e)], field)...) }
	return map[string]struct {
		b    []byte
		open bool
	}{
		"key 22":        {with(22, 0), true},
		"key -1":        {with(0x20, 0), true},
		"key \"1\"":     {with(0x61, '1', 0), true},
		"key 2^63":      {with(0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0, 0), false},
		"key h'01'":     {with(0x41, 1, 0), false},
		"a map in it":   {with(22, 0xa1, 1, 0x81, 0x61, 'x'), true},
		"a float in it": {with(22, 0xf9, 0x3e, 0), false},
		"a wide float":  {with(22, 0xfa, 0x3f, 0xc0, 0, 0), false},
		"a tag in it":   {with(22, 0xc1, 0), false},
		"a wide number": {with(22, 0x18, 1), false},
		"unsorted":      {with(22, 0xa2, 2, 0, 1, 0), false},
		"a key twice":   {with(22, 0xa2, 1, 0, 1, 0), false},
	}
}

func exampleInner(w *world) Inner {
	return Inner{Network: w.network, Author: orgID("A"), Node: nodeID("A1"), Feed: FeedID{1}, Seq: 2, Prev: RecordID{3}, Nonce: [32]byte{4},
		Section: 1, Readers: ReaderSet{Readers: []Reader{{orgID("A"), 1}, {orgID("B"), 300}}, Commitment: crypto.Hash{5}},
		Kind: "test/text", Time: int64(usualDay) * 86400, Staff: "example-1", Refs: []RecordID{{6}, {7}}, Length: 70000, Hash: crypto.Hash{8}}
}

// Every other form of the same value, and every malformed one, is refused.
func TestAttackCBORVectors(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	key, data := p.key("S", "P"), p.data(0, 1)
	receipt := Receipt{Version: 1, Network: w.network, Org: orgID("B"), Node: nodeID("B1"), Feed: data.Feed(), Seq: 300, Head: data.ID(),
		Refused: []Refusal{{2, 3, CodeDay}, {70000, 70001, CodeSet}}, Held: []Range{{4, 5}}}
	headOf := Head{Version: 1, Network: w.network, Org: orgID("A"), Node: nodeID("A1"), Day: usualDay, Feed: data.Feed(), Seq: 2, Head: data.ID()}
	signed := SignReceipt(w.keys["B1"], receipt)
	env := all(data)
	env.Sections[0] = nil
	for _, c := range []struct {
		name   string
		good   []byte
		decode func([]byte) (any, error)
		open   bool
	}{
		{"key record", key.CoreBytes(), func(b []byte) (any, error) { return Decode[Core](b, MaxCore) }, false},
		{"data record", data.CoreBytes(), func(b []byte) (any, error) { return Decode[Core](b, MaxCore) }, false},
		{"receipt", signed.Body, func(b []byte) (any, error) { return Decode[Receipt](b, MaxReceipt) }, false},
		{"head", Encode(headOf), func(b []byte) (any, error) { return Decode[Head](b, MaxReceipt) }, false},
		{"signed receipt", Encode(signed), func(b []byte) (any, error) { return Decode[SignedReceipt](b, MaxFrame) }, false},
		{"envelope", Encode(env), func(b []byte) (any, error) { return Decode[Envelope](b, MaxFrame) }, false},
		{"inner header", Encode(exampleInner(w)), func(b []byte) (any, error) { return DecodeOpen[Inner](b, MaxInner) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := c.decode(c.good)
			if err != nil || !bytes.Equal(Encode(v), c.good) {
				t.Fatal("the good one:", err)
			}
			bad := spoilt(t, c.good)
			if len(bad) < len(c.good) {
				t.Fatalf("only %d cases", len(bad))
			}
			for name, b := range bad {
				if c.open && strings.HasPrefix(name, "negative") {
					continue // a time may be; and as a key it is an unknown field
				}
				if v, err := c.decode(b); !errors.Is(err, ErrEncoding) {
					t.Errorf("%s: %v", name, err)
				} else if !bytes.Equal(Encode(v), zeroForm(v)) {
					t.Errorf("%s: left a value behind its error", name)
				}
			}
			for name, u := range unknown(t, c.good) {
				if _, err := c.decode(u.b); (c.open && u.open) != (err == nil) {
					t.Errorf("unknown field, %s: %v", name, err)
				}
			}
		})
	}
	for name, b := range spoilt(t, key.CoreBytes()) {
		if _, err := Open(w.now(), Envelope{Core: b, Signature: SignCore(w.keys["A1"], w.network, b)}); !errors.Is(err, ErrDrop) && !errors.Is(err, ErrWait) {
			t.Errorf("%s, well signed: %v", name, err)
		}
	}
	if _, err := Decode[Core](key.CoreBytes(), len(key.CoreBytes())-1); !errors.Is(err, ErrEncoding) {
		t.Error("one byte above the limit:", err)
	}
	if _, err := DecodeOpen[Inner](make([]byte, MaxInner+1), MaxInner); !errors.Is(err, ErrEncoding) {
		t.Error("one byte above the limit:", err)
	}
}

func zeroForm(v any) []byte {
	switch v.(type) {
	case Core:
		return Encode(Core{})
	case Receipt:
		return Encode(Receipt{})
	case Head:
		return Encode(Head{})
	case SignedReceipt:
		return Encode(SignedReceipt{})
	case Envelope:
		return Encode(Envelope{})
	case Inner:
		return Encode(Inner{})
	}
	return nil
}

// A newer version is told apart from junk by its first field alone.
func TestNewerVersionWaits(t *testing.T) {
	w := newWorld(t, usual)
	e := entries(t, w.pen("A1", "B").key("S").CoreBytes())
	e[0] = []byte{1, 2}
	for name, b := range map[string][]byte{
		"same fields":   assemble(e...),
		"one field":     assemble(e[0]),
		"unknown field": assemble(append(e[:len(e):len(e)], []byte{22, 0x61, 'x'})...),
		"other types":   assemble(e[0], []byte{2, 0}, []byte{3, 0xf6}),
		"another world": {0xa2, 1, 2, 0xff, 0xff},
		"version 24":    {0xa2, 1, 0x18, 24},
		"version 255":   {0xb8, 24, 1, 0x18, 255},
	} {
		if _, err := Open(w.now(), Envelope{Core: b}); !errors.Is(err, ErrWait) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"no version":    assemble(e[1]),
		"text":          assemble([]byte{1, 0x61, '2'}),
		"not canonical": assemble([]byte{1, 0x18, 2}),
		"old":           assemble([]byte{1, 0}),
		"this":          assemble([]byte{1, 1}),
		"wide version":  {0xa1, 1, 0x19, 1, 0},
		"wide map":      {0xb8, 3, 1, 2},
		"no map":        {0x82, 1, 2},
		"empty map":     {0xa0, 1, 2},
		"cut":           {0xa1, 1},
		"cut later":     {0xb8, 24, 1, 0x18},
	} {
		if _, err := Open(w.now(), Envelope{Core: b}); !errors.Is(err, ErrDrop) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is passed over costs no memory, whatever it claims to be.
func TestUnknownFieldsCostNothing(t *testing.T) {
	maps := append([]byte{0x99, 0x0f, 0xff}, bytes.Repeat([]byte{0xa0}, 4095)...)
	body := append([]byte{0xa1, 22, 0x98, 60}, bytes.Repeat(maps, 60)...) // a quarter of a MiB
	type nothing struct {
		A uint64 `cbor:"1,keyasint,omitempty"`
	}
	if _, err := DecodeOpen[nothing](body, len(body)); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(3, func() { DecodeOpen[nothing](body, len(body)) }); n > 50 {
		t.Errorf("%d bytes of maps were %v allocations", len(body), n)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		given, understood any
		want              bool
	}{
		{1, 1, true}, {1, 2, false}, {1, -1, false}, {nil, 0, false}, {nil, nil, true}, {"a", "a", true}, {"a", []byte("a"), false},
		{[]byte{1, 2}, []byte{1}, false},
		{[]any{1, 2}, []any{1, 2}, true}, {[]any{1, 2}, []any{1}, false}, {[]any{1}, []any{1, 2}, false}, {[]any{}, []any{}, true},
		{map[int]any{1: 1, 2: 2}, map[int]any{1: 1}, true}, {map[int]any{1: 1, 2: 2}, map[int]any{2: 2}, true},
		{map[int]any{1: 1}, map[int]any{1: 1, 2: 0}, true}, {map[int]any{2: 1}, map[int]any{1: 0, 3: 0}, true},
		{map[int]any{1: 1, 2: 2}, map[int]any{2: 1}, false}, {map[int]any{}, map[int]any{1: 1}, true}, {map[int]any{}, []any{}, false},
		{map[int]any{1: map[int]any{1: "x", 9: 9}}, map[int]any{1: map[int]any{1: "x"}}, true},
		{map[int]any{1: map[int]any{1: "x", 9: 9}}, map[int]any{1: map[int]any{1: "y"}}, false},
		{[]any{map[int]any{1: 1, 9: 9}, 2}, []any{map[int]any{1: 1}, 2}, true}, {[]any{map[int]any{1: 1, 9: 9}, 2}, []any{map[int]any{1: 1}, 3}, false},
	} {
		if got := covers(Encode(c.given), Encode(c.understood)); got != c.want {
			t.Errorf("%v, understood as %v: %v", c.given, c.understood, got)
		}
	}
}
