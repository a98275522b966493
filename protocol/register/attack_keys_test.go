package register

import (
	"slices"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

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
