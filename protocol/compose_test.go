package protocol

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/crypto/seal"
)

// What a node writes, another one takes, whatever its size.
func TestWriteAndOpen(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	p.key("S", "P")
	d := newDeskOf(t, w, p)
	sizes := []int{0, 1, 200, 511, 512, 8000, 40_000, 70_000, 1 << 20, MaxBody}
	for _, n := range sizes {
		body := bytes.Repeat([]byte("x"), n)
		in := []Content{
			{Set: 0, Kind: "test/sized", Time: -1, Body: body},
			{Set: 1, Kind: strings.Repeat("k", MaxKind), Time: 1 << 40, Staff: "example-2", Refs: make([]RecordID, MaxRefs), Body: nil},
		}
		r, c, err := w.writer("A1", w.now()).Write(p.chain, p.keys[1], in, p.day, p.day+10)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		p.wrote(r, c)
		got, err := d.take(all(r))
		if err != nil || got.State() != Linked {
			t.Fatalf("%d bytes: %s", n, outcome(got, err))
		}
		for i, want := range in {
			content, err := got.OpenSection(i, p.keys[1][want.Set], d.setOf(got, i))
			if err != nil || !bytes.Equal(content.Body, want.Body) || content.Kind != want.Kind || content.Time != want.Time ||
				content.Staff != want.Staff || !slices.Equal(content.Refs, want.Refs) || content.Set != want.Set {
				t.Errorf("%d bytes, section %d: %v", n, i, err)
			}
		}
		length := len(r.Section(0))
		padded := false
		for m := n; m < n+1024 && !padded; m++ {
			padded = length == seal.SectionLen(seal.PaddedLen(m))
		}
		if !padded {
			t.Errorf("%d bytes were sealed into %d, which is no padded length", n, length)
		}
	}
	for name, c := range map[string]Content{
		"body":  {Kind: "test/x", Body: make([]byte, MaxBody+1)},
		"kind":  {Kind: strings.Repeat("k", MaxKind+1)},
		"none":  {Kind: ""},
		"staff": {Kind: "test/x", Staff: strings.Repeat("s", MaxKind+1)},
		"refs":  {Kind: "test/x", Refs: make([]RecordID, MaxRefs+1)},
		"set":   {Kind: "test/x", Set: 2},
		"set 9": {Kind: "test/x", Set: ^uint64(0)},
	} {
		if _, _, err := w.writer("A1", w.now()).Write(p.chain, p.keys[1], []Content{c}, p.day, p.day); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	for name, contents := range map[string][]Content{
		"no section":           nil,
		"17 sections":          slices.Repeat(texts(), 17),
		"section 0 for a part": texts(1),
	} {
		if _, _, err := w.writer("A1", w.now()).Write(p.chain, p.keys[1], contents, p.day, p.day); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// A writer refuses what a receiver would, and leaves the chain as it was.
func TestWriterRefuses(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	p.key("S")
	p.data()
	before := Encode(p.chain)
	for _, c := range []struct{ name, leaf, want string }{
		{"overdue", "key B", "overdue"},
		{"suspended", "suspend A", "not active"},
	} {
		ww := newWorld(t, usual)
		ww.leaf(strings.Fields(c.leaf))
		ww.ids = w.ids
		_, _, err := ww.writer("A1", ww.now()).Write(p.chain, p.keys[1], texts(), p.day, p.day)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	wr := w.writer("A1", w.now())
	wr.Key = w.keys["B1"]
	if _, _, err := wr.Write(p.chain, p.keys[1], texts(), p.day, p.day); err == nil {
		t.Error("wrote with another node's key")
	}
	wr = w.writer("A1", w.now())
	for name, open := range map[string]func() error{
		"no custodian": func() error {
			_, _, _, err := wr.OpenFeed(Chain{}, p.audience, nil, nil, nil, p.day, p.day)
			return err
		},
		"nine sets": func() error {
			_, _, _, err := wr.OpenFeed(Chain{}, p.audience, make([][]OrgID, 8), orgIDs("S"), nil, p.day, p.day)
			return err
		},
		"a false take-away": func() error {
			_, _, _, err := wr.OpenFeed(Chain{}, p.audience, nil, orgIDs("S"), [][]byte{[]byte("revoke B")}, p.day, p.day)
			return err
		},
		"nobody": func() error {
			_, _, _, err := wr.OpenFeed(Chain{}, Audience{}, nil, orgIDs("S"), nil, p.day, p.day)
			return err
		},
		"another feed's chain": func() error {
			_, _, _, err := wr.OpenFeed(p.chain, ListAudience(orgID("B")), nil, orgIDs("S"), nil, p.day, p.day)
			return err
		},
		"an expiry too far": func() error {
			_, _, _, err := wr.OpenFeed(Chain{}, p.audience, nil, orgIDs("S"), nil, p.day, p.day+MaxKeepDays+1)
			return err
		},
	} {
		if err := open(); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if !bytes.Equal(before, Encode(p.chain)) {
		t.Error("the chain moved")
	}
	// A tainted own key: nothing can be written until there is a new one.
	w.leaves("taint A")
	if _, _, _, err := w.writer("A1", w.now()).OpenFeed(p.chain, p.audience, nil, orgIDs("S"), nil, p.day, p.day); err == nil {
		t.Error("sealed to a tainted key")
	}
	w.leaves("key A")
	p.key("S")
	p.data()
}

// A take-away operation takes its organisation out of every set at once.
func TestWriterHonours(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	r, c, keys, err := w.writer("A1", w.now()).OpenFeed(Chain{}, p.audience, [][]OrgID{orgIDs("B"), orgIDs("P")}, orgIDs("S"),
		[][]byte{takeAway("revoke B")}, p.day, p.day+10)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"A P", "A", "A P"} {
		for _, org := range []string{"A", "B", "P"} {
			if r.Core().Key.Sets[i].Has(orgID(org)) != strings.Contains(want, org) {
				t.Errorf("set %d, %s", i, org)
			}
		}
	}
	if len(c.Key.Struck) != 1 || c.Key.Struck[0].Org != orgID("B") {
		t.Error(c.Key.Struck)
	}
	w.leaves("day 20000") // another checkpoint: the key stands as long as it honours
	if _, _, err := w.writer("A1", w.now()).Write(c, keys, texts(0, 1, 2), p.day, p.day); err != nil {
		t.Error(err)
	}
}

func TestOpenKeyAndSectionOfWrongRecords(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	key := p.key("S")
	data := p.data()
	if _, err := key.OpenSection(0, p.keys[1][0], p.chain.Key.Sets[0]); !errors.Is(err, ErrSection) {
		t.Error("a key record's section opened as text:", err)
	}
	if _, err := data.OpenKey(0, w.identity("B")...); !errors.Is(err, ErrSection) {
		t.Error("a data record's section opened as key:", err)
	}
	if _, err := key.OpenKey(0); !errors.Is(err, ErrUnreadable) {
		t.Error("opened with no identity:", err)
	}
	for _, i := range []int{-1, 1, 99} {
		if _, err := data.OpenSection(i, p.keys[1][0], p.chain.Key.Sets[0]); !errors.Is(err, ErrSection) {
			t.Errorf("section %d: %v", i, err)
		}
		if err := data.Attach(i, nil); !errors.Is(err, ErrSection) {
			t.Errorf("attach %d: %v", i, err)
		}
	}
	held, err := Reload(w.network, data.ID(), all(data), Held, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.OpenSection(0, p.keys[1][0], p.chain.Key.Sets[0]); !errors.Is(err, ErrSection) {
		t.Error("a held record was shown:", err)
	}
	heldKey, err := Reload(w.network, key.ID(), all(key), Held, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := heldKey.OpenKey(0, w.identity("B")...); !errors.Is(err, ErrSection) {
		t.Error("a held key record was opened:", err)
	}
}
