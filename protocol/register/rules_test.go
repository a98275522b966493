package register

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// standingWorld is the network that most tests start from:
//
//	officers o1 o2 o3 (2 of 3; 1 may suspend), spare officer o4
//	secretariat s1 s2 (2 of 2), nodes S1 S2 S3, all signers and voters
//	NGO n1 n2 n3 (2 of 3), nodes NGO n1, N2
//	Police, Ministry: one administrator each
func standingWorld(t testing.TB) *world {
	once.Do(func() { standingOnce = makeStanding(t) })
	w := standingOnce
	w.t, w.leaves = t, slices.Clone(w.leaves)
	w.orgs, w.admins, w.nodes = maps.Clone(w.orgs), maps.Clone(w.admins), maps.Clone(w.nodes)
	return &w
}

// States never change, so every test may start from the same one.
var (
	once         sync.Once
	standingOnce world
)

func makeStanding(t testing.TB) world {
	w := newWorld(t)
	w.threeSigners()
	r, sr := w.request("NGO", protocol.ClassNGO, 2, "n1", "n2", "n3")
	id := OrgIDOf(w.s.Network(), sr.Request)
	w.do(OfOrg(id), EnrolOrg{sr.Encode()}, "o1", "o2")
	w.orgs["NGO"], w.admins["NGO"], w.nodes["NGO n1"] = id, []string{"n1", "n2"}, r.Node.ID(w.s.Network())
	w.enrol("Police", protocol.ClassPolice, "o1", "o2")
	w.enrol("Ministry", protocol.ClassGovernment, "o1", "o2")
	w.addNode("NGO", "N2")
	return *w
}

// proven is a member with its proof of possession.
func (w *world) proven(name string, p Purpose, org protocol.OrgID) Member {
	m := member(name)
	m.Proof = Prove(key(name), w.s.Network(), p, org, m.Person)
	return m
}

type ruleCase struct {
	name string
	prep func(*world)
	make func(*world) (Subject, Body)
	sign []string // exactly enough: each is needed
	// others could sign for another purpose and have no say here
	others []string
}

func (w *world) admins0(org string) Subject { return AdministratorsOf(w.orgs[org]) }

var ruleCases = []ruleCase{
	{"officers-change", nil, func(w *world) (Subject, Body) {
		return OfOfficers(), OfficersChange{OfficerSet{NewSet(2, member("o1"), member("o2"), w.proven("o4", ForOfficer, protocol.OrgID{})), 1}}
	}, []string{"o1", "o2"}, []string{"s1", "n1"}},
	{"officers-change to strangers to the old set", nil, func(w *world) (Subject, Body) {
		return OfOfficers(), OfficersChange{OfficerSet{NewSet(2, w.proven("o4", ForOfficer, protocol.OrgID{}), w.proven("o5", ForOfficer, protocol.OrgID{})), 2}}
	}, []string{"o1", "o2", "o4", "o5"}, []string{"s1"}},
	{"enrol-org, NGO", nil, func(w *world) (Subject, Body) {
		_, sr := w.request("Second NGO", protocol.ClassNGO, 1, "m1")
		return OfOrg(OrgIDOf(w.s.Network(), sr.Request)), EnrolOrg{sr.Encode()}
	}, []string{"o2", "o3"}, []string{"n1", "Police a", "m1"}},
	{"enrol-org, second police body", nil, func(w *world) (Subject, Body) {
		_, sr := w.request("Second Police", protocol.ClassPolice, 1, "p2")
		return OfOrg(OrgIDOf(w.s.Network(), sr.Request)), EnrolOrg{sr.Encode()}
	}, []string{"o1", "o3", "Police a"}, []string{"n1", "Ministry a", "p2"}},
	{"enrol-org, second government body", nil, func(w *world) (Subject, Body) {
		_, sr := w.request("Second Ministry", protocol.ClassGovernment, 1, "g2")
		return OfOrg(OrgIDOf(w.s.Network(), sr.Request)), EnrolOrg{sr.Encode()}
	}, []string{"o1", "o3", "Ministry a"}, []string{"Police a"}},
	{"enrol-org, police while none is active", func(w *world) {
		w.do(OfOrg(w.orgs["Police"]), RevokeOrg{}, "o1", "o2")
	}, func(w *world) (Subject, Body) {
		_, sr := w.request("Second Police", protocol.ClassPolice, 1, "p2")
		return OfOrg(OrgIDOf(w.s.Network(), sr.Request)), EnrolOrg{sr.Encode()}
	}, []string{"o1", "o2", "o3"}, []string{"Police a"}},
	{"revoke-org", nil, func(w *world) (Subject, Body) { return OfOrg(w.orgs["NGO"]), RevokeOrg{} }, []string{"o1", "o3"}, []string{"n1", "s1"}},
	{"revoke-node by officers", nil, func(w *world) (Subject, Body) {
		return OfNode(w.nodes["N2"]), RevokeNode{w.nodes["N2"]}
	}, []string{"o1", "o3"}, []string{"n1", "n2"}},
	{"revoke-node by its administrators", nil, func(w *world) (Subject, Body) {
		return w.admins0("NGO"), RevokeNode{w.nodes["N2"]}
	}, []string{"n1", "n3"}, []string{"o1", "o2"}},
	{"change-policy", nil, func(w *world) (Subject, Body) {
		return OfPolicy(), Policy{Rules: 1, Agreement: "Example agreement", SHA256: [32]byte{1}}
	}, []string{"o1", "o2"}, []string{"s1"}},
	{"define-group", nil, func(w *world) (Subject, Body) {
		return OfGroup("example-state"), DefineGroup{"Example State", true, sortedOrgs(w.orgs["NGO"], w.orgs["Police"])}
	}, []string{"o1", "o2"}, []string{"s1"}},
	{"define-group again", func(w *world) {
		w.do(OfGroup("example-state"), DefineGroup{"Example State", false, sortedOrgs(w.orgs["NGO"])}, "o1", "o2")
	}, func(w *world) (Subject, Body) {
		return OfGroup("example-state"), DefineGroup{"Example State", false, sortedOrgs(w.orgs["Police"])}
	}, []string{"o1", "o2"}, []string{"s1"}},
	{"set-kind", nil, func(w *world) (Subject, Body) { return OfOrg(w.orgs["NGO"]), SetKind{"helpline"} }, []string{"o1", "o2"}, []string{"n1"}},
	{"time", nil, func(w *world) (Subject, Body) { return OfTime(), Time{} }, nil, []string{"o1"}},
	{"suspend an organisation", nil, func(w *world) (Subject, Body) { return OfOrg(w.orgs["NGO"]), Suspend{} }, []string{"o2"}, []string{"s1"}},
	{"suspend a node", nil, func(w *world) (Subject, Body) { return OfNode(w.nodes["N2"]), Suspend{} }, []string{"o2"}, []string{"n1"}},
	{"suspend again", func(w *world) {
		w.do(OfOrg(w.orgs["NGO"]), Suspend{}, "o2")
		w.time += 40 * dayLong
	}, func(w *world) (Subject, Body) { return OfOrg(w.orgs["NGO"]), Suspend{} }, []string{"o1", "o2"}, []string{"s1"}},
	{"reinstate an organisation", func(w *world) { w.do(OfOrg(w.orgs["NGO"]), Suspend{}, "o1") },
		func(w *world) (Subject, Body) { return OfOrg(w.orgs["NGO"]), Reinstate{} }, []string{"o3"}, []string{"n1"}},
	{"reinstate a node", func(w *world) { w.do(OfNode(w.nodes["N2"]), Suspend{}, "o1") },
		func(w *world) (Subject, Body) { return OfNode(w.nodes["N2"]), Reinstate{} }, []string{"o3"}, []string{"n1"}},
	{"admins-change", nil, func(w *world) (Subject, Body) {
		return w.admins0("NGO"), AdminsChange{NewSet(2, member("n1"), member("n2"), w.proven("n4", ForAdministrator, w.orgs["NGO"]))}
	}, []string{"n1", "n2"}, []string{"o1"}},
	{"admins-change to others", nil, func(w *world) (Subject, Body) {
		return w.admins0("NGO"), AdminsChange{NewSet(1, w.proven("n4", ForAdministrator, w.orgs["NGO"]))}
	}, []string{"n1", "n3", "n4"}, []string{"o1"}},
	{"enrol-node", nil, func(w *world) (Subject, Body) {
		return w.admins0("NGO"), nodeKeys("N3", false).Enrol(w.s.Network(), w.orgs["NGO"], key("N3 author"), key("N3 transport"), crypto.PrivateKey{})
	}, []string{"n1", "n2"}, []string{"o1", "o2", "s1"}},
	{"enrol-node of the secretariat", nil, func(w *world) (Subject, Body) {
		return w.admins0("secretariat"), nodeKeys("S4", true).Enrol(w.s.Network(), w.s.Secretariat(), key("S4 author"), key("S4 transport"), key("S4 checkpoint"))
	}, []string{"s1", "s2"}, []string{"o1", "o2"}},
	{"retire-node", nil, func(w *world) (Subject, Body) { return w.admins0("NGO"), RetireNode{w.nodes["N2"]} }, []string{"n2", "n3"}, []string{"o1"}},
	{"set-voters", nil, func(w *world) (Subject, Body) { return w.admins0("NGO"), NewVoters(w.nodes["N2"]) }, []string{"n1", "n2"}, []string{"o1"}},
	{"set-signers", nil, func(w *world) (Subject, Body) {
		return w.admins0("secretariat"), NewSigners(w.nodes["S2"])
	}, []string{"s1", "s2"}, []string{"o1", "o2", "o3"}},
	{"publish-key", nil, func(w *world) (Subject, Body) {
		return w.admins0("NGO"), PublishKey{2, recipient("NGO 2")}
	}, []string{"n1", "n2"}, []string{"o1", "o2"}},
	{"taint-key", nil, func(w *world) (Subject, Body) { return w.admins0("NGO"), TaintKey{1} }, []string{"n1", "n2"}, []string{"o1", "o2"}},
	{"offer-custody", nil, func(w *world) (Subject, Body) { return w.admins0("NGO"), OfferCustody{} }, []string{"n1", "n2"}, []string{"o1"}},
	{"withdraw-custody", func(w *world) { w.do(w.admins0("NGO"), OfferCustody{}, "n1", "n2") },
		func(w *world) (Subject, Body) { return w.admins0("NGO"), WithdrawCustody{} }, []string{"n1", "n2"}, []string{"o1"}},
}

func sortedOrgs(ids ...protocol.OrgID) []protocol.OrgID {
	slices.SortFunc(ids, protocol.OrgID.Compare)
	return ids
}

// TestRules puts every operation through the same mill: the right signers,
// one fewer, others beside or instead, and every way to be misbound.
func TestRules(t *testing.T) {
	seen := make(map[Kind]bool)
	for _, c := range ruleCases {
		t.Run(c.name, func(t *testing.T) {
			w := standingWorld(t)
			if c.prep != nil {
				c.prep(w)
			}
			about, body := c.make(w)
			seen[body.Kind()] = true
			good := w.op(about, body)
			refuse := func(what string, want error, leaf []byte) {
				t.Helper()
				before := w.s
				if err := w.apply(leaf); err == nil {
					t.Errorf("%s: applied", what)
				} else if want != nil && !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
				w.s = before
			}
			leaf := func(o *Op, signers ...string) []byte {
				return sign(o.Encode(), w.s.Network(), keysOf(signers...)...).Leaf(w.time + 1)
			}

			for i, s := range c.sign {
				fewer := slices.Delete(slices.Clone(c.sign), i, i+1)
				refuse("without "+s, ErrApprovals, leaf(good, fewer...))
				for _, o := range c.others {
					refuse(o+" instead of "+s, nil, leaf(good, append(fewer, o)...))
				}
			}
			for _, o := range c.others {
				refuse(o+" beside", nil, leaf(good, append(slices.Clone(c.sign), o)...))
			}
			refuse("a stranger beside", nil, leaf(good, append(slices.Clone(c.sign), "stranger")...))

			with := func(change func(*Op)) []byte {
				o := *good
				change(&o)
				return leaf(&o, c.sign...)
			}
			refuse("a version skipped", ErrSubject, with(func(o *Op) { o.Next++ }))
			refuse("another network", nil, with(func(o *Op) { o.Network[0] ^= 1 }))
			refuse("another network's signatures", nil, func() []byte {
				var other protocol.NetworkID
				if len(c.sign) == 0 {
					return with(func(o *Op) { o.Network[0] ^= 1 })
				}
				return sign(good.Encode(), other, keysOf(c.sign...)...).Leaf(w.time + 1)
			}())
			refuse("expired", ErrExpired, with(func(o *Op) { o.Expiry = w.time }))
			refuse("a root that never was", nil, with(func(o *Op) { o.BaseRoot[3] ^= 1 }))
			refuse("a base ahead", nil, with(func(o *Op) { o.BaseSize++ }))
			refuse("a newer rules version", ErrUpgrade, with(func(o *Op) { o.Version++ }))
			refuse("time going back", nil, sign(good.Encode(), w.s.Network(), keysOf(c.sign...)...).Leaf(w.s.Time()-1))
			if len(c.sign) > 0 {
				l, err := DecodeLeaf(leaf(good, c.sign...))
				if err != nil {
					t.Fatal(err)
				}
				l.Signatures[0].Signature[7] ^= 1
				refuse("a changed signature", crypto.ErrSignature, l.Encode())
			}

			mine := leaf(good, c.sign...)
			draft, err := w.s.Draft(about, body, good.Expiry)
			if err != nil {
				t.Fatalf("draft: %v", err)
			}
			if string(draft.Encode()) != string(good.Encode()) {
				t.Error("Draft makes another operation")
			}
			for i := range c.sign {
				so := sign(good.Encode(), w.s.Network(), keysOf(c.sign[:i]...)...)
				a, err := w.s.Approvals(so)
				if err != nil || !slices.ContainsFunc(a, func(a Approval) bool { return !a.Met() }) {
					t.Errorf("approvals with %v: %v, %v", c.sign[:i], a, err)
				}
			}
			if len(draft.Words(w.s)) < 4 {
				t.Errorf("words: %q", draft.Words(w.s))
			}
			if err := w.apply(mine); err != nil {
				t.Fatalf("the right signers: %v", err)
			}
			w.checkInvariants()
			refuse("again", nil, Leaf{w.time + 2, good.Encode(), mustLeaf(t, mine).Signatures}.Encode())
			refuse("the next version of the same, with the old signatures", nil, func() []byte {
				o := *good
				o.Next++
				if len(c.sign) == 0 {
					o.Network[0] ^= 1
				}
				return Leaf{w.time + 2, o.Encode(), mustLeaf(t, mine).Signatures}.Encode()
			}())
		})
	}
	for k := range bodies {
		if k != KindGenesis && !seen[k] {
			t.Errorf("no case for %s", k)
		}
	}
}

func mustLeaf(t testing.TB, b []byte) Leaf {
	t.Helper()
	l, err := DecodeLeaf(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// checkInvariants is what must hold of every register.
func (w *world) checkInvariants() {
	w.t.Helper()
	s := w.s
	o := s.Officers()
	if err := o.check(); err != nil {
		w.t.Fatal(err)
	}
	nodes, need := s.Signers(s.Size())
	active := 0
	for _, n := range nodes {
		if n.Status == protocol.Active {
			active++
		}
		if n.Org != s.Secretariat() {
			w.t.Fatal("a signer outside the secretariat")
		}
	}
	if active < need || need < 1 {
		w.t.Fatalf("%d active signers of %d needed", active, need)
	}
	if secr, _ := s.Org(s.Secretariat()); secr.Status != protocol.Active || !secr.Custody {
		w.t.Fatalf("the secretariat is %+v", secr)
	}
	for _, org := range s.Orgs() {
		a, ok := s.Administrators(org.ID)
		if !ok {
			w.t.Fatal("an organisation without administrators")
		}
		if err := a.check("administrators"); err != nil {
			w.t.Fatal(err)
		}
		for _, n := range s.Nodes(org.ID) {
			if org.Status == protocol.Revoked && n.Status != protocol.Revoked && n.Status != protocol.Retired {
				w.t.Fatalf("%s node of a revoked organisation", n.Status)
			}
			if org.Status == protocol.Suspended && n.Status == protocol.Active {
				w.t.Fatal("active node of a suspended organisation")
			}
		}
	}
}
