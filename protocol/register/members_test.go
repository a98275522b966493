package register

import (
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// The root is RFC 6962's at every size, as x/mod/sumdb/tlog computes it.
func TestRootAt(t *testing.T) {
	w := standingWorld(t)
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, l := range w.leaves {
		hs, err := tlog.StoredHashes(int64(i), l, read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hs...)
		want, err := tlog.TreeHash(int64(i)+1, read)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := w.s.RootAt(uint64(i) + 1); !ok || got != crypto.Hash(want) {
			t.Fatalf("root at %d is %s, want %s", i+1, got, crypto.Hash(want))
		}
	}
	for _, size := range []uint64{0, w.s.Size() + 1, 1 << 63} {
		if _, ok := w.s.RootAt(size); ok {
			t.Errorf("a root at size %d", size)
		}
		if _, ok := w.s.DayAt(size); ok {
			t.Errorf("a day at size %d", size)
		}
		if _, ok := w.s.OrgAt(w.orgs["NGO"], size); ok {
			t.Errorf("an organisation at size %d", size)
		}
		if _, ok := w.s.NodeAt(w.nodes["N2"], size); ok {
			t.Errorf("a node at size %d", size)
		}
		if w.s.InGroup(GroupMembers, w.orgs["NGO"], size) {
			t.Errorf("in a group at size %d", size)
		}
		if _, ok := w.s.GroupAt(GroupMembers, size); ok {
			t.Errorf("a group at size %d", size)
		}
		if n, q := w.s.Signers(size); len(n) != 0 || q != 0 {
			t.Errorf("signers at size %d", size)
		}
	}
}

// Every State answers for a size as the State of that size did when it was
// the newest.
func TestHistoryAnswersAsThen(t *testing.T) {
	w := standingWorld(t)
	ngo, police := w.orgs["NGO"], w.orgs["Police"]
	w.do(OfGroup("state"), DefineGroup{"Example State", true, sortedOrgs(ngo)}, "o1", "o2")
	w.do(AdministratorsOf(ngo), PublishKey{2, recipient("NGO 2")}, "n1", "n2")
	w.do(AdministratorsOf(ngo), TaintKey{2}, "n1", "n2")
	w.do(AdministratorsOf(ngo), OfferCustody{}, "n1", "n2")
	w.do(OfOrg(ngo), Suspend{}, "o1")
	w.do(OfOrg(ngo), Suspend{}, "o1", "o2")
	w.time += SuspensionSeconds + 5
	w.do(OfTime(), Time{})
	w.do(AdministratorsOf(ngo), PublishKey{3, recipient("NGO 3")}, "n1", "n2")
	w.do(AdministratorsOf(ngo), NewVoters(w.nodes["N2"]), "n1", "n2")
	w.do(AdministratorsOf(ngo), RetireNode{w.nodes["NGO n1"]}, "n1", "n2")
	w.do(AdministratorsOf(ngo), TaintKey{1}, "n1", "n2")
	w.do(OfOrg(ngo), SetKind{"hotline"}, "o1", "o2")
	w.do(OfGroup("state"), DefineGroup{"Example State", true, sortedOrgs(police)}, "o1", "o2")
	w.do(AdministratorsOf(w.s.Secretariat()), NewSigners(w.nodes["S2"]), "s1", "s2")
	w.do(OfOrg(police), RevokeOrg{}, "o1", "o2")

	s, err := Found(w.leaves[0])
	if err != nil {
		t.Fatal(err)
	}
	groups := []protocol.GroupID{"members", "ngo", "police", "government", "secretariat", "state", "nothing"}
	for i := 1; ; i++ {
		size := s.Size()
		for _, org := range w.s.Orgs() {
			was, ok := s.Org(org.ID)
			is, ok2 := w.s.OrgAt(org.ID, size)
			if was != is || ok != ok2 {
				t.Fatalf("size %d: organisation was %+v, is remembered as %+v", size, was, is)
			}
			for _, n := range w.s.Nodes(org.ID) {
				was, ok := s.Node(n.ID)
				is, ok2 := w.s.NodeAt(n.ID, size)
				if was != is || ok != ok2 {
					t.Fatalf("size %d: node was %+v, is remembered as %+v", size, was, is)
				}
			}
			for _, g := range groups {
				if s.InGroup(g, org.ID, size) != w.s.InGroup(g, org.ID, size) {
					t.Fatalf("size %d: %s in %s differs", size, org.Name, g)
				}
			}
			if !slices.Equal(s.KeysAt(org.ID, size), w.s.KeysAt(org.ID, size)) {
				t.Fatalf("size %d: keys of %s differ", size, org.Name)
			}
		}
		for _, g := range groups {
			was, ok := s.GroupAt(g, size)
			is, ok2 := w.s.GroupAt(g, size)
			if was != is || ok != ok2 {
				t.Fatalf("size %d: group %s differs", size, g)
			}
		}
		was, q := s.Signers(size)
		is, q2 := w.s.Signers(size)
		if !slices.Equal(was, is) || q != q2 {
			t.Fatalf("size %d: signers differ", size)
		}
		if i == len(w.leaves) {
			break
		}
		if s, err = Apply(s, w.leaves[i]); err != nil {
			t.Fatal(err)
		}
	}

	o, _ := w.s.Org(ngo)
	if o.Epoch != 3 || o.Tainted || o.Kind != "hotline" || !o.Custody || !o.Fit() || o.Recipient != recipient("NGO 3") {
		t.Errorf("the NGO is %+v", o)
	}
	if p, _ := w.s.Org(police); p.Status != protocol.Revoked || p.Fit() || p.Since != w.s.Size() {
		t.Errorf("the police are %+v", p)
	}
	if n, _ := w.s.Node(w.nodes["Police n1"]); n.Status != protocol.Revoked {
		t.Errorf("a revoked body's node is %v", n.Status)
	}
	if n, _ := w.s.Node(w.nodes["NGO n1"]); n.Status != protocol.Retired || n.Voter {
		t.Errorf("the retired node is %+v", n)
	}
	keys := w.s.KeysAt(ngo, w.s.Size())
	if len(keys) != 3 || !keys[0].Tainted || !keys[1].Tainted || keys[2].Tainted {
		t.Errorf("keys: %+v", keys)
	}
	if c := w.s.Custodians(); !slices.Equal(c, []protocol.OrgID{w.s.Secretariat(), ngo}) {
		t.Errorf("custodians: %v", c)
	}
	if g := w.s.Groups(); g[len(g)-1] != "state" || len(g) != 6 {
		t.Errorf("groups: %v", g)
	}
	if n, ok := w.s.NodeByTransport(key("N2 transport").Public()); !ok || n.ID != w.nodes["N2"] {
		t.Error("a node is not found by its transport key")
	}
	if _, ok := w.s.NodeByTransport(key("N2 author").Public()); ok {
		t.Error("an author key was taken for a transport key")
	}
	if n, ok := w.s.NodeByAuthor(key("N2 author").Public()); !ok || n.ID != w.nodes["N2"] {
		t.Error("a node is not found by its author key")
	}
}

// Whoever holds a State may change what it was handed, and branch from it.
func TestStatesAreValues(t *testing.T) {
	w := standingWorld(t)
	base, digest := w.s, w.s.Digest()
	a, _ := w.s.Administrators(w.orgs["NGO"])
	a.Members[0].Person[0] ^= 1
	base.Officers().Set.Members[0].Key[0] ^= 1
	n, _ := base.Signers(base.Size())
	n[0].Status = protocol.Revoked
	v := base.Voters(w.s.Secretariat())
	v[0][0] ^= 1
	if base.Digest() != digest {
		t.Fatal("a caller changed the register")
	}
	// Two branches from one state, each growing, do not see one another.
	branch := func(mark string) *State {
		w.s, w.time = base, base.Time()
		w.do(OfOrg(w.orgs["NGO"]), SetKind{mark}, "o1", "o2")
		w.do(AdministratorsOf(w.orgs["NGO"]), PublishKey{2, recipient("NGO " + mark)}, "n1", "n2")
		w.do(OfTime(), Time{})
		return w.s
	}
	left := branch("left")
	leftDigest := left.Digest()
	right := branch("right")
	if left.Digest() != leftDigest || base.Digest() != digest {
		t.Fatal("one branch changed another")
	}
	for s, want := range map[*State]string{left: "left", right: "right"} {
		if o, _ := s.Org(w.orgs["NGO"]); o.Kind != want || o.Recipient != recipient("NGO "+want) {
			t.Errorf("branch %s shows %s", want, o.Kind)
		}
	}
}

// Readers of old states are not disturbed while the register grows, on one
// branch or on several (run with -race).
func TestReadersWhileItGrows(t *testing.T) {
	w := standingWorld(t)
	base := w.s
	ngo := w.orgs["NGO"]
	want := base.Digest()
	grow := func(s *State, mark string) *State {
		for i := range 20 {
			op := &Op{Version: 1, Network: s.Network(), Subject: OfOrg(ngo), Next: s.Version(OfOrg(ngo)) + 1, BaseSize: s.Size(), BaseRoot: s.Root(), Expiry: s.Time() + dayLong, Body: SetKind{mark}}
			if i%2 == 0 {
				op.Subject, op.Next, op.Body = OfTime(), s.Version(OfTime())+1, Time{}
			}
			_, next, err := s.Propose(s.Time()+1, sign(op.Encode(), s.Network(), keysOf("o1", "o2")...))
			if err != nil {
				t.Error(err)
				return s
			}
			s = next
		}
		return s
	}
	var wg sync.WaitGroup
	for _, mark := range []string{"left", "right", "middle"} {
		wg.Go(func() {
			s := grow(base, mark)
			if o, _ := s.Org(ngo); o.Kind != mark {
				t.Errorf("branch %s shows %s", mark, o.Kind)
			}
		})
		wg.Go(func() {
			for range 5 {
				if base.Digest() != want {
					t.Error("an old state moved")
				}
				if o, _ := base.OrgAt(ngo, base.Size()); o.Kind != "example" {
					t.Errorf("an old state shows %s", o.Kind)
				}
			}
		})
	}
	wg.Wait()
}

// What only takes away is honoured before the register has it.
func TestTakenAway(t *testing.T) {
	w := standingWorld(t)
	ngo, police, n := w.orgs["NGO"], w.orgs["Police"], w.s.Network()
	so := func(about Subject, b Body, signers ...string) []byte {
		return sign(w.op(about, b).Encode(), n, keysOf(signers...)...).Encode()
	}
	at := w.s.Size()
	taint := so(AdministratorsOf(ngo), TaintKey{1}, "n1", "n2")
	revoke := so(OfOrg(ngo), RevokeOrg{}, "o1", "o2")
	node := so(OfNode(w.nodes["N2"]), RevokeNode{w.nodes["N2"]}, "o1", "o2")
	own := so(AdministratorsOf(ngo), RevokeNode{w.nodes["N2"]}, "n1", "n2")
	for _, c := range []struct {
		what string
		op   []byte
		want protocol.Struck
	}{
		{"taint", taint, protocol.Struck{Org: ngo, Epoch: 1}},
		{"revoke", revoke, protocol.Struck{Org: ngo}},
		{"revoke node", node, protocol.Struck{Org: ngo, Node: w.nodes["N2"]}},
		{"revoke own node", own, protocol.Struck{Org: ngo, Node: w.nodes["N2"]}},
	} {
		if got, ok := w.s.TakenAway(c.op, at); !ok || got != c.want {
			t.Errorf("%s: %+v, %v", c.what, got, ok)
		}
		if _, ok := w.s.TakenAway(c.op, at-1); ok {
			t.Errorf("%s: taken away before the checkpoint it was drafted on", c.what)
		}
		if _, ok := w.s.TakenAway(c.op, at+1); ok {
			t.Errorf("%s: taken away at a size that is not here", c.what)
		}
	}
	for what, op := range map[string][]byte{
		"unsigned":              so(AdministratorsOf(ngo), TaintKey{1}),
		"by one of two":         so(AdministratorsOf(ngo), TaintKey{1}, "n1"),
		"by the officers":       so(AdministratorsOf(ngo), TaintKey{1}, "o1", "o2"),
		"a suspension":          so(OfOrg(ngo), Suspend{}, "o1"),
		"a retirement":          so(AdministratorsOf(ngo), RetireNode{w.nodes["N2"]}, "n1", "n2"),
		"a new key":             so(AdministratorsOf(ngo), PublishKey{2, recipient("NGO 2")}, "n1", "n2"),
		"an epoch to come":      so(AdministratorsOf(ngo), TaintKey{2}, "n1", "n2"),
		"the secretariat":       so(OfOrg(w.s.Secretariat()), RevokeOrg{}, "o1", "o2"),
		"junk":                  []byte("junk"),
		"a node nobody knows":   so(OfNode(protocol.NodeID{1}), RevokeNode{protocol.NodeID{1}}, "o1", "o2"),
		"another's node by own": so(AdministratorsOf(police), RevokeNode{w.nodes["N2"]}, "Police a"),
	} {
		if _, ok := w.s.TakenAway(op, at); ok {
			t.Errorf("%s was taken for a take-away operation", what)
		}
	}
	// After the register moved on, it is judged at the size that is asked.
	w.do(AdministratorsOf(ngo), TaintKey{1}, "n1", "n2")
	w.do(OfOrg(police), SetKind{"sjpu"}, "o1", "o2")
	if _, ok := w.s.TakenAway(taint, at); !ok {
		t.Error("it is no longer valid where it was valid")
	}
	if _, ok := w.s.TakenAway(taint, w.s.Size()); ok {
		t.Error("it is valid where it was applied already")
	}
	if _, ok := w.s.TakenAway(revoke, w.s.Size()); !ok {
		t.Error("another subject's progress made it invalid")
	}
	w.time += 30 * dayLong
	w.do(OfTime(), Time{})
	if _, ok := w.s.TakenAway(revoke, w.s.Size()); ok {
		t.Error("it is valid after its expiry")
	}
	if _, ok := w.s.TakenAway(revoke, at); !ok {
		t.Error("expiry reached back")
	}
}

func TestGroups(t *testing.T) {
	w := standingWorld(t)
	ngo, police := w.orgs["NGO"], w.orgs["Police"]
	refuse := func(what string, id protocol.GroupID, g DefineGroup) {
		t.Helper()
		if err := w.try(OfGroup(id), g, "o1", "o2"); err == nil {
			t.Errorf("%s: defined", what)
		}
	}
	for id := range computedGroups {
		refuse(string(id), id, DefineGroup{"Example", false, nil})
	}
	refuse("unsorted", "g", DefineGroup{"Example", false, []protocol.OrgID{sortedOrgs(ngo, police)[1], sortedOrgs(ngo, police)[0]}})
	refuse("twice one", "g", DefineGroup{"Example", false, []protocol.OrgID{ngo, ngo}})
	refuse("a stranger", "g", DefineGroup{"Example", false, []protocol.OrgID{{1}}})
	refuse("no title", "g", DefineGroup{"", false, nil})
	w.do(OfGroup("g"), DefineGroup{"Example", false, sortedOrgs(ngo, police)}, "o1", "o2")
	refuse("read back", "g", DefineGroup{"Example", true, sortedOrgs(ngo, police)})
	at := w.s.Size()
	w.do(OfOrg(police), RevokeOrg{}, "o1", "o2")
	refuse("a revoked one", "g", DefineGroup{"Example", false, sortedOrgs(police)})
	if got := w.s.Group("g"); !slices.Equal(got, []protocol.OrgID{ngo}) {
		t.Errorf("active members: %v", got)
	}
	if !w.s.InGroup("g", police, at) || w.s.InGroup("g", police, at+1) {
		t.Error("the revoked member's time in the group is wrong")
	}
	w.do(OfGroup("g"), DefineGroup{"Example", false, nil}, "o1", "o2")
	if got := w.s.Group("g"); len(got) != 0 {
		t.Errorf("an emptied group has %v", got)
	}
	if title, ok := w.s.GroupTitle("g"); !ok || title != "Example" {
		t.Errorf("title %q", title)
	}
	if got := len(w.s.Group(GroupMembers)); got != 3 {
		t.Errorf("%d active members", got)
	}
}
