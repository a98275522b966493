package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

const vectorDir = "testdata/vectors"

// hexed is bytes as hexadecimal digits in JSON.
type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }
func (h *hexed) UnmarshalText(b []byte) (err error) {
	*h, err = hex.AppendDecode(nil, b)
	return err
}

// The files. Everything in them is invented; secret keys are there to be used
// in tests and nowhere else.
type (
	vecRegister struct {
		Network       NetworkID
		Organisations []vecOrg
		Nodes         []vecNode
		TakeAway      []vecTakeAway
		Sizes         []vecSize
	}
	vecOrg struct {
		Name string
		ID   OrgID
		Keys []vecKey
	}
	vecKey struct {
		Epoch               uint64
		Recipient, Identity string
	}
	vecNode struct {
		Name         string
		ID           NodeID
		Organisation OrgID
		Seed, Author hexed
	}
	vecTakeAway struct {
		Op           hexed
		Organisation OrgID
		Epoch        uint64
	}
	vecSize struct {
		Size          uint64
		Leaf          string
		Root          hexed
		Day           Day
		Organisations []vecOrgState
		Nodes         []vecNodeState
	}
	vecOrgState struct {
		ID      OrgID
		Class   Class
		Status  Status
		Custody bool
		Epoch   uint64
		Tainted bool
	}
	vecNodeState struct {
		ID     NodeID
		Status Status
	}

	// vecFeed is a feed and one verifier that takes its records in order.
	vecFeed struct {
		Name  string
		Steps []vecStep
	}
	vecStep struct {
		What            string
		VerifierSize    uint64
		Core, Signature hexed
		Outcome         string
		ID              RecordID
		Feed            FeedID
	}

	// vecSection is one section of a record that is linked, and what comes of
	// opening it; vecKeyFile likewise of a key record and one organisation.
	vecSection struct {
		Name              string
		KeyCore, Core     hexed
		Section           int
		Sealed, Plaintext hexed
		FeedKey           hexed
		Outcome           string
		Kind, Staff       string `json:",omitempty"`
		Time              int64
		Refs              []RecordID
		Body              hexed
	}
	vecKeyFile struct {
		Name            string
		Core            hexed
		Set             int
		Sealed, FeedKey hexed
		Organisation    string
		Outcome         string
	}

	vecSigned struct {
		Name, Type      string
		Body, Signature hexed
		Outcome         string
	}
	vecEncoding struct {
		Name, Type string
		Bytes      hexed
		OK         bool
	}
	vecCrypto struct {
		Hashes     []vecHash
		Signatures []vecSignature
		Points     []vecPoint
		Padding    [][2]int // length, padded length
		Feeds      []vecFeedID
	}
	vecHash struct {
		Label         string
		Network, Hash hexed
		Parts         []hexed
	}
	vecSignature struct {
		Label                                     string
		Seed, Public, Network, Message, Signature hexed
	}
	vecPoint struct {
		Name  string
		Bytes hexed
		OK    bool
	}
	vecFeedID struct {
		Network  NetworkID
		Node     NodeID
		Audience hexed // encoded
		Feed     FeedID
	}
)

// load reads one file. A test that finds none has failed.
func load[T any](t testing.TB, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatalf("no test vectors: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func save(t testing.TB, name string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorDir, name), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// vectorMembers is the register of the vectors, up to one size: what another
// implementation would make of register.json.
type vectorMembers struct {
	r    *vecRegister
	size uint64
}

func loadRegister(t testing.TB) vectorMembers {
	r := load[vecRegister](t, "register.json")
	return vectorMembers{&r, uint64(len(r.Sizes)) - 1}
}

func (m vectorMembers) Network() NetworkID { return m.r.Network }
func (m vectorMembers) Size() uint64       { return m.size }

func (m vectorMembers) at(size uint64) vecSize {
	if size > m.size {
		return vecSize{}
	}
	return m.r.Sizes[size]
}

func (m vectorMembers) RootAt(size uint64) (h crypto.Hash, ok bool) {
	return h, copy(h[:], m.at(size).Root) == len(h)
}

func (m vectorMembers) DayAt(size uint64) (Day, bool) { return m.at(size).Day, size <= m.size }

func (m vectorMembers) OrgAt(id OrgID, size uint64) (Org, bool) {
	s := m.at(size)
	i := slices.IndexFunc(s.Organisations, func(o vecOrgState) bool { return o.ID == id })
	if i < 0 {
		return Org{}, false
	}
	o := s.Organisations[i]
	return Org{ID: id, Class: o.Class, Status: o.Status, Custody: o.Custody, Epoch: o.Epoch, Tainted: o.Tainted}, true
}

func (m vectorMembers) NodeAt(id NodeID, size uint64) (Node, bool) {
	s := m.at(size)
	i := slices.IndexFunc(s.Nodes, func(n vecNodeState) bool { return n.ID == id })
	if i < 0 {
		return Node{}, false
	}
	n := Node{ID: id, Status: s.Nodes[i].Status}
	for _, fixed := range m.r.Nodes {
		if fixed.ID == id {
			n.Org, n.Author = fixed.Organisation, crypto.PublicKey(fixed.Author)
		}
	}
	return n, true
}

func (m vectorMembers) GroupAt(GroupID, uint64) (Group, bool)     { return Group{}, false }
func (m vectorMembers) InGroup(_ GroupID, _ OrgID, _ uint64) bool { return false }
func (m vectorMembers) TakenAway(op []byte, _ uint64) (Struck, bool) {
	for _, t := range m.r.TakeAway {
		if bytes.Equal(t.Op, op) {
			return Struck{Org: t.Organisation, Epoch: t.Epoch}, true
		}
	}
	return Struck{}, false
}

func (m vectorMembers) identities(t testing.TB, name string) (out []*seal.Identity) {
	for _, o := range m.r.Organisations {
		for _, k := range o.Keys {
			if o.Name == name {
				id, err := seal.ParseIdentity(k.Identity)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, id)
			}
		}
	}
	slices.Reverse(out)
	return out
}

func (s vecStep) envelope() Envelope {
	return Envelope{Core: s.Core, Signature: crypto.Signature(s.Signature)}
}

func TestVectorsOfFeeds(t *testing.T) {
	m := loadRegister(t)
	seen := map[string]bool{}
	for _, f := range load[[]vecFeed](t, "feeds.json") {
		d := newDesk(m)
		for i, s := range f.Steps {
			m.size = s.VerifierSize
			d.m = m
			if got := d.outcome(s.envelope()); got != s.Outcome {
				t.Errorf("%s, step %d, %s: %s, want %s", f.Name, i, s.What, got, s.Outcome)
			}
			seen[s.Outcome] = true
			if RecordIDOf(m.Network(), s.Core) != s.ID {
				t.Errorf("%s, step %d: another ID", f.Name, i)
			}
			if core, err := Decode[Core](s.Core, MaxCore); err == nil && FeedIDOf(core.Network, core.Node, core.Audience) != s.Feed {
				t.Errorf("%s, step %d: another feed", f.Name, i)
			}
		}
	}
	for _, want := range []string{"linked", "held", "drop", "wait", "gap", "diverged", "fork", "known", "refused 1", "refused 2", "refused 3",
		"refused 4", "refused 5", "refused 6", "refused 7", "refused 8", "refused 9", "refused 10", "refused 11", "refused 12"} {
		if !seen[want] {
			t.Errorf("no vector ends in %q", want)
		}
	}
}

// set is the reader set that a vector's section is sealed to, and its number.
func (v vecSection) set(t testing.TB) (ReaderSet, uint64) {
	key, err := Decode[Core](v.KeyCore, MaxCore)
	if err != nil {
		t.Fatal(v.Name, err)
	}
	core, err := Decode[Core](v.Core, MaxCore)
	if err != nil {
		t.Fatal(v.Name, err)
	}
	n := core.Data.Sections[v.Section].Set
	return key.Key.Sets[n], n
}

func TestVectorsOfSections(t *testing.T) {
	m := loadRegister(t)
	seen := map[string]bool{}
	for _, v := range load[[]vecSection](t, "sections.json") {
		set, n := v.set(t)
		seen[v.Outcome] = true
		r, err := Reload(m.Network(), RecordIDOf(m.Network(), v.Core), Envelope{Core: v.Core}, Linked, 0)
		if err != nil {
			t.Fatal(v.Name, err)
		}
		var c Content
		if err = r.Attach(v.Section, v.Sealed); err == nil {
			c, err = r.OpenSection(v.Section, seal.FeedKey(v.FeedKey), set)
		}
		if got := opened(err); got != v.Outcome {
			t.Errorf("%s: %s, want %s (%v)", v.Name, got, v.Outcome, err)
			continue
		}
		if err != nil {
			continue
		}
		plain, err := seal.OpenSection(seal.FeedKey(v.FeedKey), place(r.Core(), r.Feed(), v.Section), v.Sealed)
		if err != nil || !bytes.Equal(plain, v.Plaintext) {
			t.Errorf("%s: another plaintext, %v", v.Name, err)
		}
		if c.Kind != v.Kind || c.Staff != v.Staff || c.Time != v.Time || !slices.Equal(c.Refs, v.Refs) || !bytes.Equal(c.Body, v.Body) || c.Set != n {
			t.Errorf("%s: %+v", v.Name, c)
		}
	}
	for _, want := range []string{"opened", "section", "unreadable"} {
		if !seen[want] {
			t.Errorf("no vector ends in %q", want)
		}
	}
}

func opened(err error) string {
	switch {
	case errors.Is(err, ErrSection):
		return "section"
	case errors.Is(err, ErrUnreadable):
		return "unreadable"
	case err != nil:
		return "error " + err.Error()
	}
	return "opened"
}

func TestVectorsOfKeyFiles(t *testing.T) {
	m := loadRegister(t)
	seen := map[string]bool{}
	for _, v := range load[[]vecKeyFile](t, "keyfiles.json") {
		seen[v.Outcome] = true
		r, err := Reload(m.Network(), RecordIDOf(m.Network(), v.Core), Envelope{Core: v.Core}, Linked, 0)
		if err != nil {
			t.Fatal(v.Name, err)
		}
		var key seal.FeedKey
		if err = r.Attach(v.Set, v.Sealed); err == nil {
			key, err = r.OpenKey(v.Set, m.identities(t, v.Organisation)...)
		}
		if got := opened(err); got != v.Outcome || err == nil && !bytes.Equal(key[:], v.FeedKey) {
			t.Errorf("%s: %s, want %s (%v)", v.Name, got, v.Outcome, err)
		}
	}
	if !seen["opened"] || !seen["unreadable"] || !seen["section"] {
		t.Error("not every outcome has a vector")
	}
}

func TestVectorsOfSignedBodies(t *testing.T) {
	m := loadRegister(t)
	seen := map[string]bool{}
	for _, v := range load[[]vecSigned](t, "signed.json") {
		var err error
		switch v.Type {
		case "receipt":
			_, err = SignedReceipt{v.Body, crypto.Signature(v.Signature)}.Verify(m)
		case "head":
			_, err = SignedHead{v.Body, crypto.Signature(v.Signature)}.Verify(m)
		default:
			t.Fatal(v.Type)
		}
		got := "good"
		if err != nil {
			got = outcome(nil, err)
		}
		if got != v.Outcome {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Outcome)
		}
		seen[v.Type+" "+got] = true
	}
	for _, want := range []string{"receipt good", "receipt drop", "receipt wait", "head good", "head drop", "head wait"} {
		if !seen[want] {
			t.Errorf("no vector is a %s", want)
		}
	}
}

func decodeAs(typ string, b []byte) error {
	var err error
	switch typ {
	case "core":
		_, err = Decode[Core](b, MaxCore)
	case "receipt":
		_, err = Decode[Receipt](b, MaxReceipt)
	case "inner":
		_, err = DecodeOpen[Inner](b, MaxInner)
	default:
		err = errors.New("no such type: " + typ)
	}
	return err
}

func TestVectorsOfEncoding(t *testing.T) {
	good, bad := 0, 0
	for _, v := range load[[]vecEncoding](t, "encoding.json") {
		err := decodeAs(v.Type, v.Bytes)
		if (err == nil) != v.OK || err != nil && !errors.Is(err, ErrEncoding) {
			t.Errorf("%s, %s: %v", v.Type, v.Name, err)
		}
		if v.OK {
			good++
		} else {
			bad++
		}
	}
	if good == 0 || bad == 0 {
		t.Errorf("%d good ones, %d bad ones", good, bad)
	}
}

func TestVectorsOfCrypto(t *testing.T) {
	v := load[vecCrypto](t, "crypto.json")
	if len(v.Hashes) == 0 || len(v.Signatures) == 0 || len(v.Points) == 0 || len(v.Padding) == 0 || len(v.Feeds) == 0 {
		t.Fatal("a kind of vector is missing")
	}
	for _, h := range v.Hashes {
		var parts [][]byte
		for _, p := range h.Parts {
			parts = append(parts, p)
		}
		if got := crypto.Sum(crypto.Label(h.Label), crypto.Hash(h.Network), parts...); !bytes.Equal(got[:], h.Hash) {
			t.Errorf("hash %q: %s", h.Label, got)
		}
	}
	for _, s := range v.Signatures {
		k, err := crypto.NewPrivateKey(s.Seed)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := crypto.ParsePublicKey(s.Public)
		if err != nil || pub != k.Public() {
			t.Errorf("signature %q: public key: %v", s.Label, err)
		}
		if got := k.Sign(crypto.Label(s.Label), crypto.Hash(s.Network), s.Message); !bytes.Equal(got[:], s.Signature) {
			t.Errorf("signature %q: %x", s.Label, got)
		}
	}
	for _, p := range v.Points {
		if _, err := crypto.ParsePublicKey(p.Bytes); (err == nil) != p.OK {
			t.Errorf("point %s: %v", p.Name, err)
		}
	}
	for _, p := range v.Padding {
		if got := seal.PaddedLen(p[0]); got != p[1] {
			t.Errorf("%d bytes are padded to %d", p[0], got)
		}
	}
	for _, f := range v.Feeds {
		a, err := Decode[Audience](f.Audience, MaxCore)
		if err != nil || FeedIDOf(f.Network, f.Node, a) != f.Feed {
			t.Errorf("feed %s: %v", f.Feed, err)
		}
	}
}
