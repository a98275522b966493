package register

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	for what, c := range map[string]struct {
		base *State
		note []byte
		want error
	}{
		"old and new":              {old, both, nil},
		"a majority of the old":    {old, w.note(first, "S1", "S2"), nil},
		"one of the old":           {old, w.note(first, "S1"), ErrSigners},
		"the new alone":            {old, w.note(change, "S4", "S5", "S6"), ErrSigners},
		"two changes on":           {old, w.note(end, "S6"), ErrSigners},
		"the newest, from behind":  {w.s, w.note(end, "S6"), ErrShrinks},
		"the same size":            {old, w.note(from, "S1", "S2", "S3"), ErrShrinks},
		"a changed size":           {old, bytes.Replace(both, []byte("\n"+strconv.FormatUint(change, 10)+"\n"), []byte("\n999\n"), 1), ErrSigners},
		"one signature many times": {old, append(w.note(first, "S1"), w.note(first, "S1")[bytes.Index(w.note(first, "S1"), []byte("\n\n"))+2:]...), ErrSigners},
	} {
		if got, err := c.base.Leads(c.note); !errors.Is(err, c.want) || err == nil && got.Size <= c.base.Size() {
			t.Errorf("%s leads: %v, want %v", what, err, c.want)
		}
	}
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
	if until, ok := w.s.SuspendedUntil(OfOrg(ngo)); !ok || until != started+SuspensionSeconds {
		t.Errorf("suspended until %d, %v", until, ok)
	}
	if _, ok := w.s.SuspendedUntil(OfNode(n2)); ok {
		t.Error("its node is said to be suspended by itself")
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
	if _, ok := w.s.SuspendedUntil(OfOrg(ngo)); ok {
		t.Error("a lapsed suspension has an end to come")
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
	for _, name := range []string{"बाल संरक्षण उदाहरण", "குழந்தைகள் எடுத்துக்காட்டு", "উদাহরণ সংস্থা", "مثال ادارہ", "ക്ഷേമ ഉദാഹരണം", "क्\u200dष उदाहरण", "Société d’exemple (Pune) & Co."} {
		w.enrol(name, protocol.ClassNGO, "o1", "o2")
		if o, ok := w.s.OrgNamed(name); !ok || o.Name != name {
			t.Errorf("%q is not found by its name", name)
		}
	}
}
