package register

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// One officer cannot be several, whatever is done to the list.
func TestAttackRepeatedAndPermutedSignatures(t *testing.T) {
	w := standingWorld(t)
	op := w.op(OfOrg(w.orgs["NGO"]), RevokeOrg{})
	raw, n := op.Encode(), w.s.Network()
	one := sign(raw, n, key("o1")).Signatures[0]
	two := sign(raw, n, key("o2")).Signatures[0]
	batch, err := SignOps(key("o1"), n, raw, w.op(OfOrg(w.orgs["Police"]), RevokeOrg{}).Encode())
	if err != nil {
		t.Fatal(err)
	}
	right := sign(raw, n, key("o1"), key("o2")).Signatures
	wrong := []Signature{right[1], right[0]}
	for name, sigs := range map[string][]Signature{
		"one three times":                   {one, one, one},
		"one and the same in a batch":       {one, batch[0]},
		"the two in the other order":        wrong,
		"two and one of them again":         {right[0], right[0], right[1]},
		"one and another's key on it":       {one, {Key: two.Key, Signature: one.Signature}},
		"one and a stranger":                sign(raw, n, key("o1"), key("stranger")).Signatures,
		"both and a zero key":               {{}, right[0], right[1]},
		"one, with a list of itself":        {{one.Key, one.Signature, []crypto.Hash{OpHash(n, raw)}}},
		"batch that repeats the hash":       {{one.Key, one.Signature, []crypto.Hash{OpHash(n, raw), OpHash(n, raw)}}},
		"batch without this operation":      {func() Signature { s := batch[0]; s.List = []crypto.Hash{{1}, {2}}; return s }()},
		"batch signature with its list cut": {func() Signature { s := batch[0]; s.List = nil; return s }(), two},
	} {
		if _, err := Apply(w.s, Leaf{w.time + 1, raw, sigs}.Encode()); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
	// However they were gathered, the leaf is one.
	a := SignedOp{Op: raw}.With(two, one, two).Leaf(w.time + 1)
	b := SignedOp{Op: raw}.With(one).With(two).Leaf(w.time + 1)
	if !bytes.Equal(a, b) {
		t.Error("the order of gathering changes the leaf")
	}
	if err := w.apply(a); err != nil {
		t.Error(err)
	}

	// Two keys of one person are one person.
	w = standingWorld(t)
	backup := member("o1 backup")
	backup.Person = person("o1")
	backup.Proof = Prove(key("o1 backup"), n, ForOfficer, protocol.OrgID{}, backup.Person)
	w.do(OfOfficers(), OfficersChange{OfficerSet{NewSet(2, member("o1"), member("o2"), backup), 1}}, "o1", "o2")
	if err := w.try(OfOrg(w.orgs["NGO"]), RevokeOrg{}, "o1", "o1 backup"); !errors.Is(err, ErrApprovals) {
		t.Errorf("one person with two keys: %v", err)
	}
	// The same key under two people, or a threshold that people cannot meet.
	again := member("o1")
	again.Person = person("another")
	for name, s := range map[string]Set{
		"one key twice":           {Members: []Member{member("o1"), again}, Threshold: 2},
		"two keys, one person":    NewSet(2, member("o1"), backup),
		"a threshold of nothing":  NewSet(0, member("o1")),
		"nobody":                  {Threshold: 1},
		"another holder of a key": NewSet(1, again, member("o2")),
	} {
		if err := w.try(OfOfficers(), OfficersChange{OfficerSet{s, 1}}, "o1", "o2", "another"); err == nil {
			t.Errorf("%s: became officers", name)
		}
	}
}

// An approval is for one operation, once.
func TestAttackOpReplay(t *testing.T) {
	w := standingWorld(t)
	_, sr := w.request("Second NGO", protocol.ClassNGO, 1, "m1")
	id := OrgIDOf(w.s.Network(), sr.Request)
	enrol := sign(w.op(OfOrg(id), EnrolOrg{sr.Encode()}).Encode(), w.s.Network(), keysOf("o1", "o2")...)
	if err := w.apply(enrol.Leaf(w.time + 1)); err != nil {
		t.Fatal(err)
	}
	w.do(OfOrg(id), RevokeOrg{}, "o1", "o2")
	if err := w.apply(enrol.Leaf(w.time + 1)); !errors.Is(err, ErrSubject) {
		t.Errorf("enrolment after revocation: %v", err)
	}
	// Even fresh signatures do not bring the same request, name or keys back.
	if err := w.try(OfOrg(id), EnrolOrg{sr.Encode()}, "o1", "o2"); err == nil {
		t.Error("the revoked organisation was enrolled again")
	}
	suspend := sign(w.op(OfOrg(w.orgs["NGO"]), Suspend{}).Encode(), w.s.Network(), key("o1"))
	if err := w.apply(suspend.Leaf(w.time + 1)); err != nil {
		t.Fatal(err)
	}
	w.do(OfOrg(w.orgs["NGO"]), Reinstate{}, "o1")
	if err := w.apply(suspend.Leaf(w.time + 1)); !errors.Is(err, ErrSubject) {
		t.Errorf("suspension after reinstatement: %v", err)
	}
	// On a network of the same people with another name.
	other, err := Found(genesisLeaf("Another Example Alliance"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range w.leaves[1:] {
		if _, err := Apply(other, l); err == nil {
			t.Fatal("a leaf of one network was applied on another")
		}
	}
}

// A changed bit changes the root, and then nobody signs and nobody accepts.
func TestAttackBitFlipInLeaf(t *testing.T) {
	w := standingWorld(t)
	begin, err := Found(w.leaves[0])
	if err != nil {
		t.Fatal(err)
	}
	msg := w.note(w.s.Size(), "S1", "S2")
	root := w.s.Root()
	for i, leaf := range w.leaves {
		for _, bit := range []int{0, len(leaf) * 3, len(leaf) * 5, len(leaf)*8 - 1} {
			bad := slices.Clone(w.leaves)
			bad[i] = bytes.Clone(leaf)
			bad[i][bit/8] ^= 1 << (bit % 8)
			if _, err := Load(bad, root); err == nil {
				t.Fatalf("leaf %d, bit %d: loaded from disk", i, bit)
			}
			if i == 0 {
				continue
			}
			if _, err := Accept(begin, bad[1:], msg); err == nil {
				t.Fatalf("leaf %d, bit %d: accepted", i, bit)
			}
		}
	}
	// A leaf whose time alone was changed is valid by itself: only the root
	// tells, and it does.
	bad := slices.Clone(w.leaves)
	last := mustLeaf(t, bad[len(bad)-1])
	last.Time++
	bad[len(bad)-1] = last.Encode()
	if _, err := Accept(begin, bad[1:], msg); !errors.Is(err, ErrRoot) {
		t.Errorf("a leaf a second later: %v", err)
	}
	if _, err := Load(bad, root); !errors.Is(err, ErrRoot) {
		t.Errorf("a leaf a second later, from disk: %v", err)
	}
	other, err := Replay(begin, bad[1:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyCheckpoint(other, msg); !errors.Is(err, ErrRoot) {
		t.Errorf("the node with the changed leaf agrees to the note: %v", err)
	}
	mine, err := other.SignCheckpoint(other.Size(), w.nodes["S3"], key("S3 checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.MergeNotes(msg, mine); err == nil {
		t.Error("a note over another root was merged")
	}
	if _, err := VerifyCheckpoint(w.s, mine); !errors.Is(err, ErrRoot) {
		t.Errorf("a note over another root: %v", err)
	}
}

// What is not valid gets no leaf and moves no counter.
func TestAttackDenialOfState(t *testing.T) {
	w := standingWorld(t)
	about := AdministratorsOf(w.orgs["NGO"])
	before, version := w.s.Digest(), w.s.Version(about)
	junk := []SignedOp{
		{Op: []byte("junk")},
		sign(w.op(about, TaintKey{1}).Encode(), w.s.Network(), key("stranger")),
		sign(w.op(about, TaintKey{1}).Encode(), w.s.Network(), key("n1")),
		sign(w.op(about, TaintKey{9}).Encode(), w.s.Network(), keysOf("n1", "n2")...),
		sign(w.op(about, PublishKey{7, recipient("NGO 7")}).Encode(), w.s.Network(), keysOf("n1", "n2")...),
		sign(w.op(OfGroup("police"), DefineGroup{"Our police", false, nil}).Encode(), w.s.Network(), keysOf("o1", "o2")...),
	}
	for i, so := range junk {
		if leaf, _, err := w.s.Propose(w.time+1, so); err == nil || leaf != nil {
			t.Errorf("junk %d got a leaf", i)
		}
	}
	if w.s.Digest() != before || w.s.Version(about) != version {
		t.Error("junk moved the register")
	}
	// A good operation with junk beside it gets one, without the junk.
	good := sign(w.op(about, TaintKey{1}).Encode(), w.s.Network(), keysOf("n1", "n2", "stranger")...)
	bad := good.Signatures[0]
	bad.Key = key("n3").Public()
	leaf, next, err := w.s.Propose(w.time+1, good.With(bad))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(mustLeaf(t, leaf).Signatures); n != 2 || next.Version(about) != version+1 {
		t.Errorf("%d signatures in the leaf", n)
	}
	// Officers' and administrators' operations do not take each other's turn.
	w.do(OfOrg(w.orgs["NGO"]), SetKind{"hotline"}, "o1", "o2")
	if w.s.Version(about) != version {
		t.Error("officers moved the administrators' counter")
	}
	if err := w.apply(leaf); err != nil {
		t.Errorf("the administrators' operation, drafted before the officers' one: %v", err)
	}
}

func TestAttackProofsOfPossession(t *testing.T) {
	w := standingWorld(t)
	n, ngo := w.s.Network(), w.orgs["NGO"]
	all := keysOf("n1", "n2", "n3", "o1", "o2")
	// New keys of officers and administrators.
	proof := func(m Member, k crypto.PrivateKey, net protocol.NetworkID, p Purpose, org protocol.OrgID, holder [32]byte) Member {
		m.Proof = Prove(k, net, p, org, holder)
		return m
	}
	o4, p4 := member("o4"), person("o4")
	for name, m := range map[string]Member{
		"none":                         o4,
		"by another key":               proof(o4, key("o5"), n, ForOfficer, protocol.OrgID{}, p4),
		"for another network":          proof(o4, key("o4"), protocol.NetworkID{1}, ForOfficer, protocol.OrgID{}, p4),
		"for another purpose":          proof(o4, key("o4"), n, ForAdministrator, protocol.OrgID{}, p4),
		"for an organisation":          proof(o4, key("o4"), n, ForOfficer, ngo, p4),
		"for another person":           proof(o4, key("o4"), n, ForOfficer, protocol.OrgID{}, person("o5")),
		"of a key of a node":           proof(Member{Key: nodeKeys("N2", false).Author, Person: p4}, key("N2 author"), n, ForOfficer, protocol.OrgID{}, p4),
		"of an administrator":          proof(Member{Key: key("n1").Public(), Person: person("n1")}, key("n1"), n, ForOfficer, protocol.OrgID{}, person("n1")),
		"of a known key, a new person": proof(Member{Key: key("o3").Public(), Person: p4}, key("o3"), n, ForOfficer, protocol.OrgID{}, p4),
	} {
		if err := w.try(OfOfficers(), OfficersChange{OfficerSet{NewSet(2, member("o1"), member("o2"), m), 1}}, "o1", "o2"); err == nil {
			t.Errorf("officer, proof %s: admitted", name)
		}
	}
	n4, pn := member("n4"), person("n4")
	for name, m := range map[string]Member{
		"none":                       n4,
		"for another organisation":   proof(n4, key("n4"), n, ForAdministrator, w.orgs["Police"], pn),
		"for officers":               proof(n4, key("n4"), n, ForOfficer, ngo, pn),
		"of another's administrator": proof(member("Police a"), key("Police a"), n, ForAdministrator, ngo, person("Police a")),
	} {
		if err := w.try(AdministratorsOf(ngo), AdminsChange{NewSet(2, member("n1"), member("n2"), m)}, "n1", "n2"); err == nil {
			t.Errorf("administrator, proof %s: admitted", name)
		}
	}
	// Nodes.
	good := nodeKeys("N3", false)
	right := good.Enrol(n, ngo, key("N3 author"), key("N3 transport"), crypto.PrivateKey{})
	other := nodeKeys("N4", false)
	for name, e := range map[string]EnrolNode{
		"none":                     {Node: good},
		"swapped":                  {Node: good, Author: right.Transport, Transport: right.Author},
		"for another organisation": good.Enrol(n, w.orgs["Police"], key("N3 author"), key("N3 transport"), crypto.PrivateKey{}),
		"for another network":      good.Enrol(protocol.NetworkID{1}, ngo, key("N3 author"), key("N3 transport"), crypto.PrivateKey{}),
		"for another node":         {Node: NodeKeys{good.Author, other.Transport, good.Sealing, crypto.PublicKey{}}, Author: right.Author, Transport: Prove(key("N4 transport"), n, ForTransport, ngo, good.ID(n))},
		"by another key":           good.Enrol(n, ngo, key("N4 author"), key("N3 transport"), crypto.PrivateKey{}),
		"one key twice":            NodeKeys{good.Author, good.Author, good.Sealing, crypto.PublicKey{}}.Enrol(n, ngo, key("N3 author"), key("N3 author"), crypto.PrivateKey{}),
		"author key of another node": func() EnrolNode {
			k := good
			k.Author = key("N2 author").Public()
			return k.Enrol(n, ngo, key("N2 author"), key("N3 transport"), crypto.PrivateKey{})
		}(),
		"transport key of another as author": func() EnrolNode {
			k := good
			k.Author = key("N2 transport").Public()
			return k.Enrol(n, ngo, key("N2 transport"), key("N3 transport"), crypto.PrivateKey{})
		}(),
		"an officer's key": func() EnrolNode {
			k := good
			k.Author = key("o1").Public()
			return k.Enrol(n, ngo, key("o1"), key("N3 transport"), crypto.PrivateKey{})
		}(),
		"a sealing key of another": func() EnrolNode {
			k := good
			k.Sealing = recipient("N2 sealing")
			return k.Enrol(n, ngo, key("N3 author"), key("N3 transport"), crypto.PrivateKey{})
		}(),
		"the organisation's encryption key": func() EnrolNode {
			k := good
			k.Sealing = recipient("NGO 1")
			return k.Enrol(n, ngo, key("N3 author"), key("N3 transport"), crypto.PrivateKey{})
		}(),
		"a checkpoint key outside the secretariat": func() EnrolNode {
			k := good
			k.Checkpoint = key("N3 checkpoint").Public()
			return k.Enrol(n, ngo, key("N3 author"), key("N3 transport"), key("N3 checkpoint"))
		}(),
		"a proof for no key": {Node: good, Author: right.Author, Transport: right.Transport, Checkpoint: right.Author},
	} {
		if err := w.try(AdministratorsOf(ngo), e, "n1", "n2"); err == nil {
			t.Errorf("node, proof %s: admitted", name)
		}
	}
	w.do(AdministratorsOf(ngo), right, "n1", "n2")
	// A secretariat node without a checkpoint key, and with an unproven one.
	s4 := nodeKeys("S4", true)
	noCheckpoint := s4
	noCheckpoint.Checkpoint = crypto.PublicKey{}
	wrong := s4.Enrol(n, w.s.Secretariat(), key("S4 author"), key("S4 transport"), key("S5 checkpoint"))
	for name, e := range map[string]EnrolNode{
		"without": noCheckpoint.Enrol(n, w.s.Secretariat(), key("S4 author"), key("S4 transport"), crypto.PrivateKey{}),
		"wrong":   wrong,
	} {
		if err := w.try(AdministratorsOf(w.s.Secretariat()), e, "s1", "s2"); err == nil {
			t.Errorf("secretariat node, checkpoint key %s: admitted", name)
		}
	}
	// Enrolment requests.
	r, sr := w.request("Third NGO", protocol.ClassNGO, 2, "x1", "x2")
	id := OrgIDOf(n, sr.Request)
	keys := append(keysOf("x1", "x2"), nodeSigners("Third NGO n1", false)...)
	elsewhere := r
	elsewhere.Name = "Fourth NGO"
	forElsewhere := NewSignedRequest(elsewhere, keys...)
	for name, s := range map[string]SignedRequest{
		"unsigned":                      {Request: sr.Request},
		"without one administrator":     NewSignedRequest(r, keys[1:]...),
		"without its node":              NewSignedRequest(r, keys[:3]...),
		"with a stranger's beside":      NewSignedRequest(r, append(slices.Clone(keys), key("stranger"))...),
		"with signatures of another":    {sr.Request, forElsewhere.Signatures},
		"signed for another network":    SignedRequest{Request: sr.Request}.Sign(protocol.NetworkID{9}, keys...),
		"signatures in the other order": {sr.Request, []RequestSignature{sr.Signatures[1], sr.Signatures[0], sr.Signatures[2], sr.Signatures[3]}},
		"one signature for another's":   {sr.Request, slices.Repeat(sr.Signatures[:1], 4)},
	} {
		if err := w.try(OfOrg(id), EnrolOrg{s.Encode()}, "o1", "o2"); err == nil {
			t.Errorf("request %s: enrolled", name)
		}
	}
	if err := w.try(OfOrg(w.orgs["NGO"]), EnrolOrg{sr.Encode()}, "o1", "o2"); err == nil {
		t.Error("a request was enrolled under another organisation's ID")
	}
	reuse := func(name string, change func(*Request)) {
		t.Helper()
		q := r
		change(&q)
		s := NewSignedRequest(q, append(slices.Clone(all), append(keys, key("N2 author"), key("Police a"))...)...)
		var only []RequestSignature
		for _, x := range s.Signatures {
			if slices.Contains(q.keys(), x.Key) {
				only = append(only, x)
			}
		}
		s.Signatures = only
		if err := w.try(OfOrg(OrgIDOf(n, s.Request)), EnrolOrg{s.Encode()}, "o1", "o2"); err == nil {
			t.Errorf("request with %s: enrolled", name)
		}
	}
	reuse("another's administrator", func(q *Request) { q.Administrators = set(1, "Police a") })
	reuse("an officer as administrator", func(q *Request) { q.Administrators = set(1, "o1") })
	reuse("another's author key", func(q *Request) { q.Node.Author = key("N2 author").Public() })
	reuse("its administrator's key as author key", func(q *Request) { q.Node.Author = key("x1").Public() })
	reuse("another's encryption key", func(q *Request) { q.Recipient = recipient("Police 1") })
	reuse("one encryption key twice", func(q *Request) { q.Recipient = q.Node.Sealing })
	reuse("a used name", func(q *Request) { q.Name = "POLICE" })
	reuse("the secretariat's class", func(q *Request) { q.Class = protocol.ClassSecretariat })
	reuse("no class", func(q *Request) { q.Class = 9 })
	w.do(OfOrg(id), EnrolOrg{sr.Encode()}, "o1", "o2")
}

// Trust does not go back, and a new set of signers is nobody by its own word.
func TestAttackRootRollback(t *testing.T) {
	w := standingWorld(t) // signers S1 S2 S3
	old := w.s
	from := old.Size()
	w.addNode("secretariat", "S4")
	w.addNode("secretariat", "S5")
	w.addNode("secretariat", "S6")
	first := w.s.Size()
	w.do(AdministratorsOf(w.s.Secretariat()), NewSigners(w.nodes["S4"], w.nodes["S5"], w.nodes["S6"]), "s1", "s2")
	change := w.s.Size()
	w.do(OfTime(), Time{})
	w.do(AdministratorsOf(w.s.Secretariat()), NewSigners(w.nodes["S6"]), "s1", "s2")
	again := w.s.Size()
	w.do(OfTime(), Time{})
	end := w.s.Size()
	if got := w.s.Changes(from, end); !slices.Equal(got, []uint64{change, again}) {
		t.Fatalf("changes at %v, want %d and %d", got, change, again)
	}
	leaves := func(from, to uint64) [][]byte { return w.leaves[from:to] }
	refuse := func(what string, want error, base *State, to uint64, notes ...[]byte) {
		t.Helper()
		ls := [][]byte(nil)
		if to >= base.Size() {
			ls = leaves(base.Size(), to)
		}
		if _, err := Accept(base, ls, notes...); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	refuse("the new set signs alone", ErrSigners, old, change, w.note(change, "S4", "S5", "S6"))
	refuse("the old set signs alone", ErrSigners, old, change, w.note(change, "S1", "S2", "S3"))
	refuse("one of the old set", ErrSigners, old, change, w.note(change, "S1", "S4", "S5", "S6"))
	refuse("one of the new set", ErrSigners, old, change, w.note(change, "S1", "S2", "S3", "S4"))
	refuse("the newest set alone, two changes on", ErrSigners, old, end, w.note(end, "S6"))
	refuse("walked without the old", ErrSigners, old, end, w.note(change, "S4", "S5"), w.note(end, "S6"))
	refuse("an enrolled node that signs nothing yet", ErrSigners, old, first, w.note(first, "S1", "S4", "S5", "S6"))
	refuse("walked backwards", ErrShrinks, old, change, w.note(change, "S1", "S2", "S4", "S5"), w.note(from, "S1", "S2"), w.note(change, "S1", "S2", "S4", "S5"))

	both := w.note(change, "S1", "S3", "S4", "S6")
	mid, err := Accept(old, leaves(from, change), both)
	if err != nil {
		t.Fatalf("old and new: %v", err)
	}
	got, err := Accept(old, leaves(from, end), both, w.note(again, "S4", "S5", "S6"), w.note(end, "S6"))
	if err != nil {
		t.Fatalf("walking the kept notes: %v", err)
	}
	if got.Digest() != w.s.Digest() {
		t.Error("the walker has another state")
	}
	refuse("an older checkpoint", ErrShrinks, mid, from, w.note(from, "S1", "S2", "S3"))
	refuse("the same size by the old signers", ErrSigners, mid, change, w.note(change, "S1", "S2", "S3"))
	if again, err := Accept(mid, nil, both); err != nil || again.Size() != mid.Size() {
		t.Errorf("the same checkpoint again: %v", err)
	}
	if _, err := Accept(old, leaves(from, end), both); err == nil {
		t.Error("leaves past the note were accepted")
	}
	if _, err := Accept(old, leaves(from, first), both); err == nil {
		t.Error("leaves short of the note were accepted")
	}
	// One signature many times is one, and strangers' lines are nobody's.
	s1 := w.note(first, "S1")
	dup := bytes.Clone(s1)
	line := s1[bytes.Index(s1, []byte("\n\n"))+2:]
	for range 5 {
		dup = append(dup, line...)
	}
	refuse("one line repeated", ErrSigners, old, first, dup)
}

// The same leaves give the same state on every node, in whatever order the
// operations were offered and however often.
func TestAttackHydraSameLogSameState(t *testing.T) {
	w := standingWorld(t)
	var offers []SignedOp
	offer := func(about Subject, b Body, signers ...string) {
		offers = append(offers, sign(w.op(about, b).Encode(), w.s.Network(), keysOf(signers...)...))
	}
	offer(OfOrg(w.orgs["NGO"]), Suspend{}, "o1")
	offer(OfOrg(w.orgs["NGO"]), RevokeOrg{}, "o1", "o2")
	offer(AdministratorsOf(w.orgs["NGO"]), PublishKey{2, recipient("NGO 2")}, "n1", "n2")
	offer(AdministratorsOf(w.orgs["NGO"]), TaintKey{1}, "n1", "n2")
	offer(AdministratorsOf(w.orgs["Police"]), PublishKey{2, recipient("NGO 2")}, "Police a")
	offer(OfNode(w.nodes["N2"]), RevokeNode{w.nodes["N2"]}, "o1", "o2")
	offer(OfGroup("example"), DefineGroup{"Example", false, sortedOrgs(w.orgs["NGO"])}, "o1", "o2")
	offer(OfTime(), Time{})
	orders := [][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {3, 0, 3, 2, 1, 2, 5, 4, 6, 6, 7}, {2, 4, 1, 0, 6, 5, 3, 7}, {4, 2, 5, 1}}
	roots := make(map[crypto.Hash]crypto.Hash)
	for _, order := range orders {
		leader, log := w.s, slices.Clone(w.leaves)
		for _, i := range order {
			if leaf, next, err := leader.Propose(leader.Time()+1, offers[i]); err == nil {
				leader, log = next, append(log, leaf)
			}
		}
		follower, err := Found(log[0])
		if err != nil {
			t.Fatal(err)
		}
		if follower, err = Replay(follower, log[1:]); err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(log, leader.Root())
		if err != nil {
			t.Fatal(err)
		}
		if follower.Digest() != leader.Digest() || loaded.Digest() != leader.Digest() {
			t.Fatalf("order %v: one log, different states", order)
		}
		if d, ok := roots[leader.Root()]; ok && d != leader.Digest() {
			t.Fatalf("order %v: one root, different states", order)
		}
		roots[leader.Root()] = leader.Digest()
		// IDs are what the bytes say they are.
		if NetworkOf(mustLeaf(t, log[0]).Op) != follower.Network() {
			t.Error("the network's ID is not its genesis's hash")
		}
		for _, o := range follower.Orgs() {
			for _, n := range follower.Nodes(o.ID) {
				k := NodeKeys{Author: n.Author, Transport: n.Transport, Sealing: n.Sealing}
				if k.ID(follower.Network()) != n.ID || n.Org != o.ID {
					t.Error("a node's ID is not its keys' hash")
				}
			}
		}
	}
	if len(roots) < 3 {
		t.Errorf("only %d histories were tried", len(roots))
	}
}

// The small quorum can interrupt, and no more.
func TestAttackSuspensionQuorum(t *testing.T) {
	w := standingWorld(t)
	ngo, n2 := w.orgs["NGO"], w.nodes["N2"]
	if err := w.try(OfOrg(ngo), RevokeOrg{}, "o1"); !errors.Is(err, ErrApprovals) {
		t.Errorf("one officer revokes: %v", err)
	}
	w.do(OfOrg(ngo), Suspend{}, "o1")
	at := w.s.Size()
	started := w.time
	for _, turn := range []Subject{OfOrg(ngo), OfNode(n2)} {
		if err := w.try(turn, Suspend{}, "o1"); !errors.Is(err, ErrApprovals) {
			t.Errorf("one officer prolongs: %v", err)
		}
	}
	if o, _ := w.s.Org(ngo); o.Status != protocol.Suspended || o.Since != at {
		t.Errorf("suspended organisation is %v since %d", o.Status, o.Since)
	}
	if n, _ := w.s.Node(n2); n.Status != protocol.Suspended || n.Since != at {
		t.Errorf("its node is %v since %d", n.Status, n.Since)
	}
	if w.s.InGroup("ngo", ngo, at) || !w.s.InGroup("ngo", ngo, at-1) {
		t.Error("a suspended organisation is in its group")
	}
	// While suspended it can take away and not add.
	if err := w.try(AdministratorsOf(ngo), PublishKey{2, recipient("NGO 2")}, "n1", "n2"); err == nil {
		t.Error("a suspended organisation published a key")
	}
	w.do(AdministratorsOf(ngo), TaintKey{1}, "n1", "n2")

	// It lapses by the time of any leaf, to the second, in the present and in
	// the past.
	tick := func(at int64) {
		t.Helper()
		w.time = at - 1
		w.do(OfTime(), Time{})
	}
	tick(started + SuspensionSeconds - 1)
	before := w.s.Size()
	if o, _ := w.s.Org(ngo); o.Status != protocol.Suspended {
		t.Error("it lapsed a second early")
	}
	tick(started + SuspensionSeconds)
	if o, _ := w.s.Org(ngo); o.Status != protocol.Active || o.Since != before+1 {
		t.Errorf("after 30 days it is %v since %d, want active since %d", o.Status, o.Since, before+1)
	}
	if n, _ := w.s.Node(n2); n.Status != protocol.Active || n.Since != before+1 {
		t.Errorf("after 30 days its node is %v since %d", n.Status, n.Since)
	}
	if o, _ := w.s.OrgAt(ngo, before); o.Status != protocol.Suspended || o.Since != at {
		t.Errorf("in the past it was %v since %d", o.Status, o.Since)
	}
	if err := w.try(OfOrg(ngo), Reinstate{}, "o1"); err == nil {
		t.Error("a lapsed suspension was ended again")
	}
	// By turns, within 90 days of its end, it takes M.
	tick(started + SuspensionSeconds + RepeatSeconds - 10)
	for _, turn := range []Subject{OfOrg(ngo), OfNode(n2), OfNode(w.nodes["NGO n1"])} {
		if err := w.try(turn, Suspend{}, "o1"); !errors.Is(err, ErrApprovals) {
			t.Errorf("one officer suspends again: %v", err)
		}
	}
	tick(started + SuspensionSeconds + RepeatSeconds)
	w.do(OfNode(n2), Suspend{}, "o1")
	if err := w.try(OfOrg(ngo), Suspend{}, "o1"); !errors.Is(err, ErrApprovals) {
		t.Errorf("one officer suspends the organisation after its node: %v", err)
	}
	w.do(OfOrg(ngo), Suspend{}, "o1", "o2")

	// Officers cannot suspend the real police and enrol their own.
	w.do(OfOrg(w.orgs["Police"]), Suspend{}, "o1")
	if _, err := w.tryEnrol("Own Police", protocol.ClassPolice, "o1", "o2"); !errors.Is(err, ErrApprovals) {
		t.Errorf("M officers enrol police after suspending the real ones: %v", err)
	}
	if _, err := w.tryEnrol("Own Police", protocol.ClassPolice, "o1", "o2", "Police a"); err == nil {
		t.Error("a suspended body vouched")
	}
	w.do(OfOrg(w.orgs["Police"]), Reinstate{}, "o1")
	if _, err := w.tryEnrol("Own Police", protocol.ClassPolice, "o1", "o2", "o3"); !errors.Is(err, ErrApprovals) {
		t.Errorf("all officers enrol police without an active body: %v", err)
	}
	w.enrol("Second Police", protocol.ClassPolice, "o1", "o2", "Police a")
}

// The register must be able to move on after every operation.
func TestAttackSuspendSecretariat(t *testing.T) {
	w := newWorld(t)
	secr := w.s.Secretariat()
	refuse := func(what string, about Subject, b Body, signers ...string) {
		t.Helper()
		if err := w.try(about, b, signers...); err == nil {
			t.Errorf("%s: applied", what)
		} else if errors.Is(err, ErrApprovals) {
			t.Errorf("%s was refused for signatures: %v", what, err)
		}
	}
	refuse("suspending the secretariat", OfOrg(secr), Suspend{}, "o1")
	refuse("revoking the secretariat", OfOrg(secr), RevokeOrg{}, "o1", "o2")
	refuse("suspending its only node", OfNode(w.nodes["S1"]), Suspend{}, "o1")
	refuse("revoking its only node", OfNode(w.nodes["S1"]), RevokeNode{w.nodes["S1"]}, "o1", "o2")
	refuse("retiring its only node", AdministratorsOf(secr), RetireNode{w.nodes["S1"]}, "s1", "s2")
	refuse("ending its custody", AdministratorsOf(secr), WithdrawCustody{}, "s1", "s2")
	w.threeSigners()
	w.do(OfNode(w.nodes["S1"]), Suspend{}, "o1")
	refuse("suspending a second of three signers", OfNode(w.nodes["S2"]), Suspend{}, "o1")
	refuse("revoking a second of three", OfNode(w.nodes["S2"]), RevokeNode{w.nodes["S2"]}, "o1", "o2")
	refuse("retiring a second of three", AdministratorsOf(secr), RetireNode{w.nodes["S3"]}, "s1", "s2")
	refuse("naming a suspended signer", AdministratorsOf(secr), NewSigners(w.nodes["S1"]), "s1", "s2")
	refuse("naming two signers", AdministratorsOf(secr), SetSigners{sortedNodes([]protocol.NodeID{w.nodes["S2"], w.nodes["S3"]})}, "s1", "s2")
	refuse("naming one signer thrice", AdministratorsOf(secr), SetSigners{slices.Repeat([]protocol.NodeID{w.nodes["S2"]}, 3)}, "s1", "s2")
	// Only a majority of the named, all active, can still sign: and it does.
	if _, err := VerifyCheckpoint(w.s, w.note(w.s.Size(), "S1", "S2")); !errors.Is(err, ErrSigners) {
		t.Errorf("a suspended signer counted: %v", err)
	}
	if _, err := VerifyCheckpoint(w.s, w.note(w.s.Size(), "S2", "S3")); err != nil {
		t.Error(err)
	}
	w.do(AdministratorsOf(secr), NewVoters(w.nodes["S2"]), "s1", "s2")
	refuse("voters lost though signers stay", OfNode(w.nodes["S2"]), Suspend{}, "o1")
	w.do(AdministratorsOf(secr), NewSigners(w.nodes["S2"]), "s1", "s2")
	w.do(AdministratorsOf(secr), RetireNode{w.nodes["S3"]}, "s1", "s2")
	w.do(OfNode(w.nodes["S1"]), RevokeNode{w.nodes["S1"]}, "o1", "o2")
	refuse("the last of all", OfNode(w.nodes["S2"]), Suspend{}, "o1")
}

// Text that looks like other text is not signed.
func TestAttackBidiText(t *testing.T) {
	w := standingWorld(t)
	for _, r := range []rune{0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0x061c,
		0x200b, 0x200d, 0x2060, 0xfeff, 0x00ad, 0x0000, 0x0007, 0x001b, 0x007f, 0x0085, 0x009b, 0x2028, 0x2029, '\n', '\t', 0x00a0, 0x3000,
		0xfffd, 0xe000, 0xe0041, 0x1f600, 0x0410 /* Cyrillic A */, 0x0391 /* Greek Alpha */, 0x115f, 0x3164} {
		name := fmt.Sprintf("Example %c NGO", r)
		if _, err := w.tryEnrol(name, protocol.ClassNGO, "o1", "o2"); err == nil {
			t.Errorf("name with U+%04X: enrolled", r)
		}
		if err := w.try(OfGroup("example"), DefineGroup{"State" + string(r), false, nil}, "o1", "o2"); err == nil {
			t.Errorf("group title with U+%04X: defined", r)
		}
		if err := w.try(OfPolicy(), Policy{Rules: 1, Agreement: string(r) + "Pact", SHA256: [32]byte{1}}, "o1", "o2"); err == nil {
			t.Errorf("agreement with U+%04X: set", r)
		}
		if err := w.try(OfOrg(w.orgs["NGO"]), SetKind{"ngo" + string(r)}, "o1", "o2"); err == nil {
			t.Errorf("kind with U+%04X: set", r)
		}
		if err := w.try(OfGroup(protocol.GroupID("g"+string(r)+"g")), DefineGroup{"Example", false, nil}, "o1", "o2"); err == nil {
			t.Errorf("group name with U+%04X: defined", r)
		}
	}
	for _, name := range []string{"", " NGO", "Two  spaces", "e\u0301", "ngo", "N.G.O.", "Ｎ ＧＯ", "N G O", string([]byte{0xff})} {
		if _, err := w.tryEnrol(name, protocol.ClassNGO, "o1", "o2"); err == nil {
			t.Errorf("name %q: enrolled", name)
		}
	}
	for _, name := range []string{"बाल संरक्षण उदाहरण", "குழந்தைகள் எடுத்துக்காட்டு", "উদাহরণ সংস্থা", "مثال ادارہ", "ക്ഷേമ ഉദാഹരണം", "क्‍ष उदाहरण", "Société d’exemple (Pune) & Co."} {
		w.enrol(name, protocol.ClassNGO, "o1", "o2")
		if o, ok := w.s.OrgNamed(name); !ok || o.Name != name {
			t.Errorf("%q is not found by its name", name)
		}
	}
}

// An encryption key that nobody can seal to never becomes anybody's.
func TestAttackZeroX25519AtPublication(t *testing.T) {
	w := standingWorld(t)
	n := w.s.Network()
	for name, bad := range badRecipients(t) {
		if err := w.try(AdministratorsOf(w.orgs["NGO"]), PublishKey{2, bad}, "n1", "n2"); err == nil {
			t.Errorf("%s: published", name)
		}
		k := nodeKeys("N3", false)
		k.Sealing = bad
		if err := w.try(AdministratorsOf(w.orgs["NGO"]), k.Enrol(n, w.orgs["NGO"], key("N3 author"), key("N3 transport"), crypto.PrivateKey{}), "n1", "n2"); err == nil {
			t.Errorf("%s: a node's sealing key", name)
		}
		r, _ := w.request("Third NGO", protocol.ClassNGO, 1, "x1")
		for _, change := range []func(*Request){func(r *Request) { r.Recipient = bad }, func(r *Request) { r.Node.Sealing = bad }} {
			q := r
			change(&q)
			sr := NewSignedRequest(q, append(keysOf("x1"), nodeSigners("Third NGO n1", false)...)...)
			if err := w.try(OfOrg(OrgIDOf(n, sr.Request)), EnrolOrg{sr.Encode()}, "o1", "o2"); err == nil {
				t.Errorf("%s: enrolled with it", name)
			}
		}
	}
	if err := w.try(AdministratorsOf(w.orgs["NGO"]), PublishKey{2, recipient("NGO 1")}, "n1", "n2"); err == nil {
		t.Error("a key was published twice")
	}
}

// Points under which one signature serves for every message have no place.
func TestAttackSmallOrderKeysInOperations(t *testing.T) {
	w := standingWorld(t)
	n, ngo := w.s.Network(), w.orgs["NGO"]
	for i, bad := range smallOrder(t) {
		m := Member{Key: bad, Person: person("x"), Proof: crypto.Signature{1}}
		k := nodeKeys("N3", false)
		bodies := map[string]func() (Subject, Body, []string){
			"officer": func() (Subject, Body, []string) {
				return OfOfficers(), OfficersChange{OfficerSet{NewSet(1, member("o1"), m), 1}}, []string{"o1", "o2"}
			},
			"administrator": func() (Subject, Body, []string) {
				return AdministratorsOf(ngo), AdminsChange{NewSet(1, member("n1"), m)}, []string{"n1", "n2"}
			},
			"author": func() (Subject, Body, []string) {
				k := k
				k.Author = bad
				return AdministratorsOf(ngo), EnrolNode{Node: k}, []string{"n1", "n2"}
			},
			"transport": func() (Subject, Body, []string) {
				k := k
				k.Transport = bad
				return AdministratorsOf(ngo), EnrolNode{Node: k}, []string{"n1", "n2"}
			},
			"checkpoint": func() (Subject, Body, []string) {
				k := nodeKeys("S4", true)
				k.Checkpoint = bad
				return AdministratorsOf(w.s.Secretariat()), EnrolNode{Node: k}, []string{"s1", "s2"}
			},
			"request": func() (Subject, Body, []string) {
				r, _ := w.request("Third NGO", protocol.ClassNGO, 1, "x1")
				r.Administrators = NewSet(1, Member{Key: bad, Person: person("x")})
				sr := NewSignedRequest(r)
				return OfOrg(OrgIDOf(n, sr.Request)), EnrolOrg{sr.Encode()}, []string{"o1", "o2"}
			},
			"request's node": func() (Subject, Body, []string) {
				r, _ := w.request("Third NGO", protocol.ClassNGO, 1, "x1")
				r.Node.Author = bad
				sr := NewSignedRequest(r)
				return OfOrg(OrgIDOf(n, sr.Request)), EnrolOrg{sr.Encode()}, []string{"o1", "o2"}
			},
		}
		for name, f := range bodies {
			about, b, signers := f()
			_, err := DecodeOp(w.op(about, b).Encode())
			if absent := name == "checkpoint" && bad.IsZero(); err == nil && !absent {
				t.Errorf("key %d as %s: decoded", i, name)
			}
			if err := w.try(about, b, signers...); err == nil {
				t.Errorf("key %d as %s: applied", i, name)
			}
		}
	}
}

// Neither a leader nor the officers put a machine into somebody's house.
func TestAttackNodeInjectedByOfficers(t *testing.T) {
	w := standingWorld(t)
	n, police := w.s.Network(), w.orgs["Police"]
	spy := nodeKeys("spy", false).Enrol(n, police, key("spy author"), key("spy transport"), crypto.PrivateKey{})
	everybody := []string{"o1", "o2", "o3", "s1", "s2", "n1", "n2", "n3", "Ministry a"}
	for name, try := range map[string]func() error{
		"enrol a node":                func() error { return w.try(AdministratorsOf(police), spy, everybody...) },
		"enrol it on their counter":   func() error { return w.try(OfOrg(police), spy, "o1", "o2") },
		"enrol it unsigned":           func() error { return w.try(AdministratorsOf(police), spy) },
		"enrol it by the node":        func() error { return w.try(AdministratorsOf(police), spy, "spy author", "spy transport") },
		"publish a key":               func() error { return w.try(AdministratorsOf(police), PublishKey{2, recipient("spy")}, everybody...) },
		"publish it on their counter": func() error { return w.try(OfOrg(police), PublishKey{2, recipient("spy")}, "o1", "o2") },
		"change the administrators": func() error {
			return w.try(AdministratorsOf(police), AdminsChange{NewSet(1, w.proven("spy", ForAdministrator, police))}, append(everybody, "spy")...)
		},
		"name the voters": func() error { return w.try(AdministratorsOf(police), NewVoters(w.nodes["Police n1"]), everybody...) },
		"name the signers": func() error {
			return w.try(AdministratorsOf(w.s.Secretariat()), NewSigners(w.nodes["S2"]), "o1", "o2", "o3")
		},
		"taint its key": func() error { return w.try(AdministratorsOf(police), TaintKey{1}, everybody...) },
		"make another's node a voter": func() error {
			return w.try(AdministratorsOf(w.orgs["NGO"]), NewVoters(w.nodes["Police n1"]), "n1", "n2")
		},
		"revoke another's node": func() error {
			return w.try(AdministratorsOf(w.orgs["NGO"]), RevokeNode{w.nodes["Police n1"]}, "n1", "n2")
		},
		"retire another's node": func() error {
			return w.try(AdministratorsOf(w.orgs["NGO"]), RetireNode{w.nodes["Police n1"]}, "n1", "n2")
		},
		"make another's node a signer": func() error {
			return w.try(AdministratorsOf(w.s.Secretariat()), NewSigners(w.nodes["Police n1"]), "s1", "s2")
		},
	} {
		if err := try(); err == nil {
			t.Errorf("officers %s", name)
		}
	}
	if got := w.s.Nodes(police); len(got) != 1 {
		t.Errorf("the police have %d nodes", len(got))
	}
}
