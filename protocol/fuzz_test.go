package protocol

import (
	"bytes"
	"errors"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// fixedFeed is the feed of the vectors: the same in every fuzzing process.
type fixedFeed struct {
	m       vectorMembers
	records []*Record // a key record and a data record, with all sections
	keys    []seal.FeedKey
	set     ReaderSet // set 0
	body    []byte    // of the data record's section 0
}

func fuzzFeed(f *testing.F) fixedFeed {
	x := fixedFeed{m: loadRegister(f)}
	var envs [2]Envelope
	for _, v := range load[[]vecKeyFile](f, "keyfiles.json") {
		if v.Organisation == "A" && v.Outcome == "opened" && v.Set == len(envs[0].Sections) {
			envs[0].Core = v.Core
			envs[0].Sections = append(envs[0].Sections, v.Sealed)
			x.keys = append(x.keys, seal.FeedKey(v.FeedKey))
		}
	}
	for i, v := range load[[]vecSection](f, "sections.json")[:2] {
		if !bytes.Equal(v.KeyCore, envs[0].Core) || v.Section != i {
			f.Fatal("the vectors are in another order")
		}
		envs[1].Core = v.Core
		envs[1].Sections = append(envs[1].Sections, v.Sealed)
		if i == 0 {
			x.set, _ = v.set(f)
			x.body = v.Body
		}
	}
	for _, env := range envs {
		env.Signature = x.sign(f, "A1", env.Core)
		r, err := Reload(x.m.Network(), RecordIDOf(x.m.Network(), env.Core), env, Linked, 0)
		if err != nil {
			f.Fatal(err)
		}
		x.records = append(x.records, r)
	}
	return x
}

func (x fixedFeed) sign(f *testing.F, node string, core []byte) crypto.Signature {
	for _, n := range x.m.r.Nodes {
		if n.Name == node {
			k, err := crypto.NewPrivateKey(n.Seed)
			if err != nil {
				f.Fatal(err)
			}
			return SignCore(k, x.m.Network(), core)
		}
	}
	f.Fatal("no node " + node)
	return crypto.Signature{}
}

// FuzzDecodeCore: what decodes encodes to the same bytes, and has at most the
// sizes that its shape allows.
func FuzzDecodeCore(f *testing.F) {
	x := fuzzFeed(f)
	for _, r := range x.records {
		f.Add(r.CoreBytes())
	}
	for _, v := range load[[]vecEncoding](f, "encoding.json") {
		f.Add([]byte(v.Bytes))
	}
	group := *x.records[0].Core()
	group.Audience = Audience{Group: "members", Except: orgIDs("N")}
	group.Key = &KeyBody{Custodians: orgIDs("S"), Sets: []ReaderSet{{}}, Honours: [][]byte{takeAway("revoke B")}}
	f.Add(Encode(group))
	f.Add([]byte{0xa1, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		core, err := Decode[Core](b, MaxCore)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(Encode(core), b) {
			t.Fatal("another encoding of the same core passed")
		}
		if core.shape() != nil {
			return
		}
		if len(core.Sections()) > MaxSections || core.Seq == 0 || (core.Key == nil) == (core.Data == nil) {
			t.Fatalf("a shape that cannot be: %+v", core)
		}
		FeedIDOf(x.m.Network(), core.Node, core.Audience)
	})
}

// FuzzOpen: only the very bytes that the author signed are ever accepted, with
// any sections beside them; and what is accepted links.
func FuzzOpen(f *testing.F) {
	x := fuzzFeed(f)
	honest := map[string]bool{}
	for _, r := range x.records {
		env := all(r)
		honest[string(env.Core)] = true
		if r.Core().Data != nil {
			f.Add(Encode(env))
		}
		env.Sections = nil
		f.Add(Encode(env))
	}
	f.Add(Encode(Envelope{Core: []byte{0xa1, 1, 2}}))
	m := x.m
	f.Fuzz(func(t *testing.T, b []byte) {
		env, err := Decode[Envelope](b, MaxFrame)
		if err != nil {
			return
		}
		s, err := Open(m, env)
		if err != nil {
			if !errors.Is(err, ErrDrop) && !errors.Is(err, ErrWait) {
				t.Fatal(err)
			}
			return
		}
		if !honest[string(env.Core)] {
			t.Fatal("a core that nobody signed was accepted")
		}
		d := newDesk(m)
		d.take(all(x.records[0]))
		r, err := d.take(env)
		if errors.Is(err, ErrKnown) || errors.Is(err, ErrSection) {
			return
		}
		if err != nil || r.State() != Linked || r.ID() != s.ID() {
			t.Fatal(outcome(r, err))
		}
		for i, sealed := range env.Sections {
			if sealed != nil && !bytes.Equal(sealed, x.records[1].Section(i)) {
				t.Fatal("a section that nobody committed to was accepted")
			}
		}
	})
}

// FuzzDecodeInner: what a section holds never panics, and is shown only if it
// is of this place.
func FuzzDecodeInner(f *testing.F) {
	x := fuzzFeed(f)
	r, set := x.records[1], x.set
	for _, c := range []Content{texts()[0], {Kind: "test/empty"}, {Kind: "k", Refs: []RecordID{{1}}, Staff: "s", Body: make([]byte, 600)}} {
		plain, err := plaintext(r.Core(), r.Feed(), set, 0, c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, plain []byte) {
		c, err := r.bound(0, plain, set)
		if err != nil {
			if !errors.Is(err, ErrUnreadable) || c.Kind != "" {
				t.Fatal(c, err)
			}
			return
		}
		if c.Kind == "" || len(c.Kind) > MaxKind || len(c.Refs) > MaxRefs {
			t.Fatalf("%+v", c)
		}
		in := Inner{Hash: bodyHash(x.m.Network(), c.Body)}
		if !bytes.Contains(plain, in.Hash[:]) || !bytes.Contains(plain, append(bytes.Clone(r.feed[:]), 5, byte(r.core.Seq))) {
			t.Fatal("shown without its binding")
		}
	})
}

// FuzzReceipt: only what a node signed is believed, as receipt or head.
func FuzzReceipt(f *testing.F) {
	w := newWorld(f, usual)
	receipt := Receipt{Version: 1, Network: w.network, Org: orgID("B"), Node: nodeID("B1"), Feed: FeedID{1}, Seq: 300, Head: RecordID{2},
		Refused: []Refusal{{2, 3, CodeDay}}, Held: []Range{{4, 5}}}
	statement := Head{Version: 1, Network: w.network, Org: orgID("B"), Node: nodeID("B1"), Day: usualDay, Feed: FeedID{1}, Seq: 7, Head: RecordID{2}}
	r, h := SignReceipt(w.keys["B1"], receipt), SignHead(w.keys["B1"], statement)
	f.Add(r.Body, r.Signature[:])
	f.Add(h.Body, h.Signature[:])
	m := w.now()
	f.Fuzz(func(t *testing.T, body, signature []byte) {
		var sig crypto.Signature
		copy(sig[:], signature)
		if got, err := (SignedReceipt{body, sig}).Verify(m); err == nil && !bytes.Equal(body, r.Body) {
			t.Fatalf("believed %+v", got)
		}
		if got, err := (SignedHead{body, sig}).Verify(m); err == nil && !bytes.Equal(body, h.Body) {
			t.Fatalf("believed %+v", got)
		}
		if v, err := Decode[Receipt](body, MaxReceipt); err == nil {
			if !bytes.Equal(Encode(v), body) {
				t.Fatal("another encoding of the same receipt passed")
			}
			for _, seq := range []uint64{0, 1, v.Seq, v.Seq + 1, ^uint64(0)} {
				if v.Vouches(seq) && (seq == 0 || seq > v.Seq) {
					t.Fatal("vouches for what it has not")
				}
			}
		}
	})
}

// FuzzDecodeOpen: what the strict way takes, the open way takes alike; and
// what the open way takes is canonical, whoever understands it.
func FuzzDecodeOpen(f *testing.F) {
	w := newWorld(f, usual)
	f.Add(Encode(exampleInner(w)))
	f.Add(Encode(map[int]any{1: []any{1.5, -1, "x", nil, true, []byte{1}}, 22: map[string]any{"a": 1}}))
	for _, u := range unknown(f, Encode(exampleInner(w))) {
		f.Add(u.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		open, err := DecodeOpen[Inner](b, MaxInner)
		if strict, serr := Decode[Inner](b, MaxInner); serr == nil && (err != nil || !bytes.Equal(Encode(open), Encode(strict))) {
			t.Fatal("strict takes it, open not alike:", err)
		}
		if err != nil {
			return
		}
		var whole any // the library's word for it
		if err := openMode.Unmarshal(b, &whole); err != nil || !bytes.Equal(Encode(whole), b) {
			t.Fatal("another form passed:", err)
		}
		known := Encode(open)
		if again, err := DecodeOpen[Inner](known, MaxInner); err != nil || !bytes.Equal(Encode(again), known) {
			t.Fatal("what was understood is not itself a form of it:", err)
		}
	})
}

// FuzzFork: a proof never panics, and proves only what its node signed twice.
func FuzzFork(f *testing.F) {
	m := loadRegister(f)
	var proof *Fork
	for _, feed := range load[[]vecFeed](f, "feeds.json") {
		for _, s := range feed.Steps {
			if s.Outcome != "fork" {
				continue
			}
			for _, other := range feed.Steps {
				a, errA := Open(m, s.envelope())
				b, errB := Open(m, other.envelope())
				if errA == nil && errB == nil && other.Outcome == "linked" && proof == nil {
					proof, _ = NewFork(a, b)
				}
			}
		}
	}
	if proof == nil {
		f.Fatal("the vectors hold no fork")
	}
	wantFeed, wantSeq, wantNode, err := proof.Verify(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(Encode(proof))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Decode[Fork](in, MaxFrame)
		if err != nil {
			return
		}
		feed, seq, node, err := got.Verify(m)
		if err == nil && (feed != wantFeed || seq != wantSeq || node != wantNode) {
			t.Fatal("a fork that nobody made")
		}
	})
}

// FuzzSealed: bytes that a core commits to, but which no honest author made.
func FuzzSealed(f *testing.F) {
	x := fuzzFeed(f)
	f.Add(x.records[0].Section(0))
	f.Add(x.records[1].Section(0))
	key, data := *x.records[0], *x.records[1]
	ids := x.m.identities(f, "B")
	f.Fuzz(func(t *testing.T, sealed []byte) {
		key, data := key, data
		key.sections = [][]byte{sealed}
		data.sections = [][]byte{sealed}
		if k, err := key.OpenKey(0, ids...); err == nil && k != x.keys[0] || err != nil && k != (seal.FeedKey{}) {
			t.Fatal("another feed key passed its commitment")
		}
		if c, err := data.OpenSection(0, x.keys[0], x.set); err == nil && !bytes.Equal(c.Body, x.body) {
			t.Fatal("another text was shown")
		}
	})
}
