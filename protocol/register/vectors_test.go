package register

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

var update = flag.Bool("update", false, "write the test vectors anew")

// hexBytes is a byte string as hex digits in JSON.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }
func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// The vectors. People, organisations and keys are invented; the secret keys
// are hashes of names and protect nothing.
type (
	// registerVector is a register from its genesis on.
	registerVector struct {
		Comment string
		Network protocol.NetworkID
		Leaves  []hexBytes
		Roots   []crypto.Hash // at each size
	}

	// leafVector is a leaf on top of that register and some leaves more.
	leafVector struct {
		Name  string
		After []hexBytes `json:",omitempty"`
		Leaf  hexBytes
		Kind  string `json:",omitempty"`
		// Words are what people read before they sign.
		Words []string     `json:",omitempty"`
		Root  *crypto.Hash `json:",omitempty"` // after it; none where it is refused
		Error string       `json:",omitempty"` // class of the refusal
	}

	// noteVector is a checkpoint of that register.
	noteVector struct {
		Name  string
		Note  string
		Size  uint64 `json:",omitempty"`
		Error string `json:",omitempty"`
	}

	// requestVector is an enrolment request.
	requestVector struct {
		Name        string
		Request     hexBytes
		Org         *protocol.OrgID `json:",omitempty"`
		Fingerprint string          `json:",omitempty"`
		Error       string          `json:",omitempty"`
	}
)

// classOf names the class of a refusal.
func classOf(err error) string {
	for _, c := range []struct {
		name string
		err  error
	}{
		{"upgrade", ErrUpgrade}, {"encoding", protocol.ErrEncoding}, {"point", crypto.ErrPoint}, {"subject", ErrSubject}, {"expired", ErrExpired},
		{"approvals", ErrApprovals}, {"signature", crypto.ErrSignature}, {"root", ErrRoot}, {"shrinks", ErrShrinks}, {"signers", ErrSigners},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	if err == nil {
		return ""
	}
	return "rule"
}

func makeVectors(t *testing.T) (registerVector, []leafVector, []noteVector, []requestVector) {
	base := standingWorld(t)
	reg := registerVector{Comment: "Invented people and organisations. Officers o1, o2, o3, two of them needed.", Network: base.s.Network()}
	for i, l := range base.leaves {
		root, _ := base.s.RootAt(uint64(i) + 1)
		reg.Leaves, reg.Roots = append(reg.Leaves, l), append(reg.Roots, root)
	}

	var leaves []leafVector
	for _, c := range ruleCases {
		w := standingWorld(t)
		if c.prep != nil {
			c.prep(w)
		}
		v := leafVector{Name: c.name}
		for _, l := range w.leaves[len(base.leaves):] {
			v.After = append(v.After, l)
		}
		about, body := c.make(w)
		op := w.op(about, body)
		v.Kind, v.Words = op.Kind().String(), op.Words(w.s)
		v.Leaf = sign(op.Encode(), w.s.Network(), keysOf(c.sign...)...).Leaf(w.time + 1)
		if err := w.apply(v.Leaf); err != nil {
			t.Fatal(err)
		}
		root := w.s.Root()
		v.Root = &root
		leaves = append(leaves, v)
	}
	w := standingWorld(t)
	n := w.s.Network()
	bad := func(name, class string, leaf []byte) {
		leaves = append(leaves, leafVector{Name: name, Leaf: leaf, Error: class})
	}
	kind := w.op(OfOrg(w.orgs["NGO"]), SetKind{"hotline"})
	by := func(o *Op, names ...string) []byte { return sign(o.Encode(), n, keysOf(names...)...).Leaf(w.time + 1) }
	with := func(change func(*Op)) []byte { o := *kind; change(&o); return by(&o, "o1", "o2") }
	good := mustLeaf(t, by(kind, "o1", "o2"))
	bad("truncated", "encoding", by(kind, "o1", "o2")[:100])
	bad("trailing byte", "encoding", append(by(kind, "o1", "o2"), 0))
	bad("indefinite length", "encoding", []byte{0xbf, 0x01, 0x01, 0xff})
	bad("unknown field", "encoding", protocol.Encode(map[int]any{1: good.Time, 2: good.Op, 3: good.Signatures, 4: 1}))
	bad("signatures not sorted", "encoding", Leaf{good.Time, good.Op, []Signature{good.Signatures[1], good.Signatures[0]}}.Encode())
	bad("signature twice", "encoding", Leaf{good.Time, good.Op, []Signature{good.Signatures[0], good.Signatures[0]}}.Encode())
	bad("no time", "encoding", Leaf{0, good.Op, good.Signatures}.Encode())
	minimal := protocol.Encode(wireOp{1, n, KindSetKind, kind.Subject, kind.Next, kind.BaseSize, kind.BaseRoot, kind.Expiry, []byte{0xa1, 0x01, 0x78, 0x01, 'a'}})
	bad("body with a non-minimal length", "encoding", sign(minimal, n, keysOf("o1", "o2")...).Leaf(w.time+1))
	bad("reserved kind 21", "upgrade", Leaf{w.time + 1, protocol.Encode(wireOp{1, n, 21, OfTime(), 1, 1, crypto.Hash{1}, 1, nil}), nil}.Encode())
	bad("rules version 2", "upgrade", with(func(o *Op) { o.Version = 2 }))
	bad("version skipped", "subject", with(func(o *Op) { o.Next++ }))
	bad("expired", "expired", with(func(o *Op) { o.Expiry = w.time }))
	bad("another network", "rule", with(func(o *Op) { o.Network[0] ^= 1 }))
	bad("base root that never was", "rule", with(func(o *Op) { o.BaseRoot[0] ^= 1 }))
	bad("base ahead", "rule", with(func(o *Op) { o.BaseSize += 9 }))
	bad("time goes back", "rule", Leaf{w.time - 1, good.Op, good.Signatures}.Encode())
	bad("one officer of two", "approvals", by(kind, "o1"))
	bad("an officer and somebody without a say", "rule", by(kind, "o1", "n1"))
	flipped := mustLeaf(t, by(kind, "o1", "o2"))
	flipped.Signatures[0].Signature[0] ^= 1
	bad("signature changed", "signature", flipped.Encode())
	bad("identity point as officer", "point", by(w.op(OfOfficers(), OfficersChange{OfficerSet{NewSet(1, member("o1"), Member{Key: smallOrder(t)[0], Person: person("x")}), 1}}), "o1", "o2"))
	bad("officer without proof of possession", "signature", by(w.op(OfOfficers(), OfficersChange{OfficerSet{NewSet(1, member("o1"), member("o4")), 1}}), "o1", "o2"))
	bad("encryption key with a zero X25519 half", "rule", by(w.op(AdministratorsOf(w.orgs["NGO"]), PublishKey{2, badRecipients(t)["zero X25519 half"]}), "n1", "n2"))
	bad("suspends the secretariat", "rule", by(w.op(OfOrg(w.s.Secretariat()), Suspend{}), "o1"))
	bad("bidirectional control in a title", "rule", by(w.op(OfGroup("g"), DefineGroup{"State\u202e", false, nil}), "o1", "o2"))

	size := w.s.Size()
	notes := []noteVector{
		{"two of three signers", string(w.note(size, "S1", "S3")), size, ""},
		{"all signers, of an older size", string(w.note(size-2, "S1", "S2", "S3")), size - 2, ""},
		{"with a line of a stranger", string(w.note(size, "S1", "S3")) + "— example.org/witness AAAAAQAA\n", size, ""},
		{"one of three signers", string(w.note(size, "S1")), 0, "signers"},
		{"one signer three times", string(w.note(size, "S1")) + lastLine(w.note(size, "S1")) + lastLine(w.note(size, "S1")), 0, "signers"},
		{"another root", Checkpoint{n, size, crypto.Hash{1}}.Text() + "\n" + lastLine(w.note(size, "S1")), 0, "root"},
		{"another network", Checkpoint{protocol.NetworkID{1}, size, w.s.Root()}.Text() + "\n" + lastLine(w.note(size, "S1")), 0, "rule"},
		{"extension line", w.must(w.s.Checkpoint(size)).Text() + "more\n\n" + lastLine(w.note(size, "S1")), 0, "rule"},
	}

	r, sr := w.request("Second NGO", protocol.ClassNGO, 1, "x1")
	id := OrgIDOf(n, sr.Request)
	short := sr
	short.Signatures = short.Signatures[1:]
	named := r
	named.Name = "Second\u200fNGO"
	point := r
	point.Node.Author = smallOrder(t)[4]
	requests := []requestVector{
		{"an NGO", sr.Encode(), &id, Fingerprint(id), ""},
		{"a proof of possession missing", short.Encode(), nil, "", "rule"},
		{"signed for another network", SignedRequest{Request: sr.Request}.Sign(protocol.NetworkID{1}, append(keysOf("x1"), nodeSigners("Second NGO n1", false)...)...).Encode(), nil, "", "signature"},
		{"bidirectional control in the name", NewSignedRequest(named).Encode(), nil, "", "rule"},
		{"small-order author key", NewSignedRequest(point).Encode(), nil, "", "point"},
		{"truncated", sr.Encode()[:500], nil, "", "encoding"},
	}
	return reg, leaves, notes, requests
}

func (w *world) must(c Checkpoint, ok bool) Checkpoint {
	if !ok {
		w.t.Fatal("no checkpoint")
	}
	return c
}

func lastLine(msg []byte) string {
	lines := bytes.SplitAfter(msg, []byte("\n"))
	return string(lines[len(lines)-2])
}

func encodeVectors(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func readVectors[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
	if err != nil {
		t.Fatalf("no vectors, no test: %v (run go test -update)", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVectorsPinned makes the vectors again: what is on the wire has not
// changed, to the byte.
func TestVectorsPinned(t *testing.T) {
	reg, leaves, notes, requests := makeVectors(t)
	for name, v := range map[string]any{"register.json": reg, "leaves.json": leaves, "notes.json": notes, "requests.json": requests} {
		path := filepath.Join("testdata", "vectors", name)
		want := encodeVectors(v)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what this program makes: the wire format changed", name)
		}
	}
}

// TestVectors reads the files as a stranger would.
func TestVectors(t *testing.T) {
	reg := readVectors[registerVector](t, "register.json")
	leaves := readVectors[[]leafVector](t, "leaves.json")
	notes := readVectors[[]noteVector](t, "notes.json")
	requests := readVectors[[]requestVector](t, "requests.json")
	if len(reg.Leaves) == 0 || len(leaves) < 40 || len(notes) < 8 || len(requests) < 6 {
		t.Fatal("vectors are missing")
	}
	s, err := Begin(reg.Network, reg.Leaves[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range reg.Leaves {
		if i > 0 {
			if s, err = Apply(s, l); err != nil {
				t.Fatalf("leaf %d: %v", i, err)
			}
		}
		if s.Root() != reg.Roots[i] {
			t.Fatalf("root at size %d is %s", i+1, s.Root())
		}
	}
	classes := make(map[string]bool)
	for _, v := range leaves {
		at := s
		for _, l := range v.After {
			if at, err = Apply(at, l); err != nil {
				t.Fatalf("%s: before it: %v", v.Name, err)
			}
		}
		next, err := Apply(at, v.Leaf)
		if got := classOf(err); got != v.Error {
			t.Errorf("%s: %q (%v), want %q", v.Name, got, err, v.Error)
		}
		classes[v.Error] = true
		if v.Error != "" || err != nil {
			continue
		}
		if next.Root() != *v.Root {
			t.Errorf("%s: root %s", v.Name, next.Root())
		}
		l, err := DecodeLeaf(v.Leaf)
		if err != nil {
			t.Fatal(err)
		}
		op, err := DecodeOp(l.Op)
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind().String() != v.Kind || !slices.Equal(op.Words(at), v.Words) {
			t.Errorf("%s reads %q", v.Name, op.Words(at))
		}
	}
	for _, v := range notes {
		c, err := VerifyCheckpoint(s, []byte(v.Note))
		if got := classOf(err); got != v.Error || c.Size != v.Size {
			t.Errorf("note, %s: size %d, %q (%v), want %d, %q", v.Name, c.Size, got, err, v.Size, v.Error)
		}
		classes[v.Error] = true
	}
	for _, v := range requests {
		c, err := DecodeSignedRequest(v.Request)
		if err == nil {
			err = c.Verify()
		}
		if got := classOf(err); got != v.Error {
			t.Errorf("request, %s: %q (%v), want %q", v.Name, got, err, v.Error)
		}
		if v.Error == "" && (c.ID() != *v.Org || c.Fingerprint() != v.Fingerprint) {
			t.Errorf("request, %s: %s, %s", v.Name, c.ID(), c.Fingerprint())
		}
	}
	for _, c := range []string{"", "upgrade", "encoding", "point", "subject", "expired", "approvals", "signature", "root", "signers", "rule"} {
		if !classes[c] {
			t.Errorf("no vector of class %q", c)
		}
	}
}
