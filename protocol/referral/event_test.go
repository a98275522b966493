package referral

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// bodies holds one of every kind, with every field set.
func bodies(t testing.TB) []Body {
	p, _ := file(t, "normal.json")
	q := p.clone()
	q.Summary.Amends = &Amends{rid(1), []string{"case.request"}, "Example reason"}
	out := []Body{&Send{p}, &AmendBody{q}}
	for _, m := range table {
		b := m.empty()
		v := reflect.ValueOf(b).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				f.SetString("example")
			case reflect.Int64:
				f.SetInt(int64(t0))
			case reflect.Slice:
				f.Set(reflect.ValueOf([]string{"medical", "education"}))
			case reflect.Array:
				f.Set(reflect.ValueOf(commission))
			case reflect.Struct:
				f.Set(reflect.ValueOf(About{rid(1), shelter}))
			}
			if v.Field(i).IsZero() {
				t.Fatalf("%T: field %d is not set", b, i)
			}
		}
		out = append(out, b)
	}
	return out
}

func TestBodiesRoundTrip(t *testing.T) {
	for _, b := range bodies(t) {
		sections := EncodeBody(b)
		got, err := DecodeBody(b.Kind(), sections)
		if err != nil || !reflect.DeepEqual(got, b) {
			t.Errorf("%s: %v\n%+v\n%+v", b.Kind(), err, got, b)
		}
		j, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(b).Elem()).Interface()
		if err := decodeJSON(j, back); err != nil || !reflect.DeepEqual(back, b) {
			t.Errorf("%s through JSON: %v\n%s", b.Kind(), err, j)
		}
		if len(b.Kind()) > protocol.MaxKind {
			t.Errorf("%s is too long", b.Kind())
		}
	}
}

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// The bytes of every body are pinned: a change of them would cut off the
// referrals already sent.
func TestVectors(t *testing.T) {
	got := map[Kind][]string{}
	for _, b := range bodies(t) {
		for _, s := range EncodeBody(b) {
			got[b.Kind()] = append(got[b.Kind()], hex.EncodeToString(s))
		}
	}
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/vectors.json", append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[Kind][]string
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != 11 || !reflect.DeepEqual(got, want) {
		for k := range got {
			if !reflect.DeepEqual(got[k], want[k]) {
				t.Errorf("%s is encoded otherwise", k)
			}
		}
		t.Errorf("%d kinds are pinned", len(want))
	}
}

// The head of every leg event stands under keys 1 and 2, so that an older
// program can place what it cannot read.
func TestEveryBodyShowsItsHead(t *testing.T) {
	for _, b := range bodies(t)[2:] {
		got, err := DecodeBody("referral/later", EncodeBody(b))
		if err != nil || got.about() != (About{rid(1), shelter}) || got.Kind() != "" {
			t.Errorf("%s: %+v %v", b.Kind(), got, err)
		}
	}
}

func TestBodyOfANewerProgram(t *testing.T) {
	m := map[int]any{1: rid(1), 2: shelter, 3: "Example", 99: "a later field"}
	got, err := DecodeBody(KindMessage, [][]byte{protocol.Encode(m)})
	if err != nil || got.(*Message).Text != "Example" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := EncodeBody(&Message{About{rid(1), shelter}, "Example"})[0]
	send := bodies(t)[0].(*Send).Sections()
	indefinite := append([]byte{0xbf}, append(bytes.Clone(good[1:]), 0xff)...)
	for name, c := range map[string]struct {
		kind     Kind
		sections [][]byte
	}{
		"nothing":            {KindMessage, nil},
		"two sections":       {KindMessage, [][]byte{good, good}},
		"empty":              {KindMessage, [][]byte{{}}},
		"truncated":          {KindMessage, [][]byte{good[:len(good)-1]}},
		"trailing":           {KindMessage, [][]byte{append(bytes.Clone(good), 0)}},
		"indefinite":         {KindMessage, [][]byte{indefinite}},
		"another type":       {KindMessage, [][]byte{protocol.Encode("text")}},
		"short ID":           {KindMessage, [][]byte{protocol.Encode(map[int]any{1: []byte{1}})}},
		"oversize":           {KindMessage, [][]byte{make([]byte, MaxBody+1)}},
		"send, no summary":   {KindSend, [][]byte{nil, send[1]}},
		"send, five":         {KindSend, append(send, send[0])},
		"send, bad evidence": {KindSend, [][]byte{send[0], send[1], send[2], {0xff}}},
		"send, oversize":     {KindSend, [][]byte{make([]byte, MaxPart+1)}},
	} {
		if _, err := DecodeBody(c.kind, c.sections); !errors.Is(err, protocol.ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPartsThatCannotBeOpened(t *testing.T) {
	p, _ := file(t, "normal.json")
	s := p.Sections()
	got, err := DecodeParts([][]byte{s[0], s[1], nil, s[3]})
	if err != nil || got.Identity != nil || got.Case == nil || got.Evidence == nil {
		t.Errorf("%+v %v", got, err)
	}
	if got, err = DecodeParts(s[:1]); err != nil || got.Case != nil {
		t.Errorf("%v", err)
	}
	empty := Parts{Summary: p.Summary}.Sections()
	for i := 1; i < SectionCount; i++ {
		if !bytes.Equal(empty[i], []byte{0xa0}) {
			t.Errorf("an empty part is encoded as %x", empty[i])
		}
	}
}

func TestParseBody(t *testing.T) {
	for _, m := range table {
		if b, ok, err := ParseBody(m.kind, nil); err != nil || !ok || b.Kind() != m.kind {
			t.Errorf("%s from nothing: %v %v", m.kind, ok, err)
		}
	}
	b, ok, err := ParseBody(KindMessage, []byte(`{"text":"an example"}`))
	if m, _ := b.(*Message); err != nil || !ok || m == nil || m.Text != "an example" {
		t.Errorf("%+v %v %v", b, ok, err)
	}
	for _, s := range []string{`{"texts":"an example"}`, `{"text":"an example"} {}`, `{"text":7}`, `[]`, `{`} {
		if _, ok, err := ParseBody(KindMessage, []byte(s)); err == nil || !ok || strings.Contains(err.Error(), "an example") {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, k := range []Kind{KindSend, KindAmend, KindAsk, "referral/later", ""} {
		if _, ok, err := ParseBody(k, []byte(`{}`)); ok || err != nil {
			t.Errorf("%q is read as a leg's event: %v", k, err)
		}
	}
}

func TestKindMoves(t *testing.T) {
	for kind, want := range map[Kind]bool{KindAccept: true, KindClose: true, KindMessage: false, KindAmend: false, KindSend: false, KindAsk: false} {
		if kind.Moves() != want {
			t.Errorf("%s moves: %v", kind, !want)
		}
	}
}

func TestSubjectAndLeg(t *testing.T) {
	for _, b := range bodies(t) {
		e := Event{ID: rid(5), Kind: b.Kind(), Body: b}
		wantSubject, wantLeg := rid(1), shelter
		switch b.(type) {
		case *Send:
			wantSubject, wantLeg = rid(5), protocol.OrgID{}
		case *AmendBody:
			wantLeg = protocol.OrgID{}
		}
		if Subject(e) != wantSubject || b.about().Leg != wantLeg {
			t.Errorf("%s: %s %s", b.Kind(), Subject(e).Short(), b.about().Leg.Short())
		}
	}
	if !Subject(Event{Kind: KindAccept}).IsZero() {
		t.Error("an event without a body has a subject")
	}
}

func FuzzDecodeBody(f *testing.F) {
	for i, b := range bodies(f) {
		for _, s := range EncodeBody(b) {
			f.Add(uint8(i), s)
		}
	}
	kinds := append([]Kind{KindSend, KindAmend}, everyKind...)
	f.Fuzz(func(t *testing.T, k uint8, b []byte) {
		kind := kinds[int(k)%len(kinds)]
		body, err := DecodeBody(kind, [][]byte{b})
		if err != nil {
			return
		}
		mustGive(body, To{})
		validateBody(body, To{})
		Fold(rid(1), []Event{{ID: rid(1), Author: ngo, Audience: []protocol.OrgID{shelter}, Kind: kind, Body: body}})
		if _, ok := body.(*Unknown); ok {
			return
		}
		again, err := DecodeBody(kind, EncodeBody(body))
		if err != nil || !bytes.Equal(EncodeBody(again)[0], EncodeBody(body)[0]) {
			t.Fatalf("%s does not encode back: %v", kind, err)
		}
	})
}

func FuzzDecodeParts(f *testing.F) {
	for _, name := range []string{"emergency.json", "normal.json"} {
		p, _ := file(f, name)
		s := p.Sections()
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, s, c, i, e []byte) {
		p, err := DecodeParts([][]byte{s, c, i, e})
		if err != nil {
			return
		}
		_ = Validate(p)
		if _, err := json.Marshal(p); err != nil {
			t.Fatalf("cannot be shown: %v", err)
		}
		again, err := DecodeParts(p.Sections())
		if err != nil || len(Diff(p, again)) > 0 {
			t.Fatalf("does not encode back: %v %v", err, Diff(p, again))
		}
	})
}
