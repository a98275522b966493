package register

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// TestRefusals gives operations that the right people signed and that must
// still not be, each with a word of the reason; Draft refuses them as well, so
// that nobody is asked to sign in vain.
func TestRefusals(t *testing.T) {
	w := standingWorld(t)
	ngo, police, ministry := w.orgs["NGO"], w.orgs["Police"], w.orgs["Ministry"]
	w.do(OfOrg(ministry), RevokeOrg{}, "o1", "o2")
	w.do(AdministratorsOf(ngo), OfferCustody{}, "n1", "n2")
	w.do(AdministratorsOf(ngo), TaintKey{1}, "n1", "n2")
	w.addNode("NGO", "N3")
	w.do(AdministratorsOf(ngo), RetireNode{w.nodes["N3"]}, "n1", "n2")
	w.addNode("Police", "P2")
	w.do(OfOrg(police), Suspend{}, "o1")
	nobody, nothing := protocol.OrgID{1}, protocol.NodeID{1}
	n := w.nodes
	for _, c := range []struct {
		about Subject
		body  Body
		sign  string
		why   string
	}{
		{OfOrg(nobody), RevokeOrg{}, "o1 o2", "not enrolled"},
		{OfOrg(nobody), Suspend{}, "o1", "not enrolled"},
		{OfOrg(nobody), Reinstate{}, "o1", "not enrolled"},
		{OfOrg(nobody), SetKind{"ngo"}, "o1 o2", "not enrolled"},
		{OfNode(nothing), Suspend{}, "o1", "not enrolled"},
		{OfNode(nothing), Reinstate{}, "o1", "not enrolled"},
		{OfNode(nothing), RevokeNode{nothing}, "o1 o2", "not enrolled"},
		{AdministratorsOf(nobody), TaintKey{1}, "n1", "not enrolled"},
		{OfOrg(ministry), RevokeOrg{}, "o1 o2", "for ever"},
		{OfOrg(ministry), Suspend{}, "o1", "for ever"},
		{OfOrg(ministry), Reinstate{}, "o1", "for ever"},
		{OfOrg(ministry), SetKind{"dcpu"}, "o1 o2", "for ever"},
		{OfNode(n["Ministry n1"]), Suspend{}, "o1", "for ever"},
		{OfNode(n["Ministry n1"]), RevokeNode{n["Ministry n1"]}, "o1 o2", "for ever"},
		{OfNode(n["N3"]), RevokeNode{n["N3"]}, "o1 o2", "for ever"},
		{AdministratorsOf(ngo), RetireNode{n["N3"]}, "n1 n2", "for ever"},
		{AdministratorsOf(ministry), TaintKey{1}, "Ministry a", "for ever"},
		{OfOrg(ngo), Reinstate{}, "o1", "not suspended"},
		{OfNode(n["N2"]), Reinstate{}, "o1", "not suspended"},
		{OfNode(n["P2"]), Reinstate{}, "o1", "not suspended"}, // its organisation is, not it
		{OfNode(n["N2"]), RevokeNode{n["P2"]}, "o1 o2", "not the node"},
		{OfNode(n["N2"]), RevokeNode{}, "o1 o2", "not the node"},
		{AdministratorsOf(police), OfferCustody{}, "Police a", "suspended"},
		{AdministratorsOf(police), PublishKey{2, recipient("Police 2")}, "Police a", "suspended"},
		{AdministratorsOf(police), NewVoters(n["P2"]), "Police a", "suspended"},
		{AdministratorsOf(police), AdminsChange{set(1, "Police a")}, "Police a", "suspended"},
		{AdministratorsOf(ngo), OfferCustody{}, "n1 n2", "already"},
		{AdministratorsOf(ngo), TaintKey{1}, "n1 n2", "already"},
		{AdministratorsOf(ngo), TaintKey{2}, "n1 n2", "no encryption key"},
		{AdministratorsOf(ngo), TaintKey{0}, "n1 n2", "count from 1"},
		{AdministratorsOf(ngo), PublishKey{0, recipient("NGO 2")}, "n1 n2", "count from 1"},
		{AdministratorsOf(ngo), PublishKey{1, recipient("NGO 2")}, "n1 n2", "of epoch 2"},
		{AdministratorsOf(ngo), PublishKey{3, recipient("NGO 2")}, "n1 n2", "of epoch 2"},
		{AdministratorsOf(ngo), NewVoters(n["N3"]), "n1 n2", "not active"},
		{AdministratorsOf(ngo), NewVoters(nothing), "n1 n2", "not one of"},
		{AdministratorsOf(ngo), NewVoters(n["NGO n1"], n["N2"]), "n1 n2", "1, 3 or 5"},
		{AdministratorsOf(ngo), SetVoters{}, "n1 n2", "1, 3 or 5"},
		{AdministratorsOf(ngo), NewSigners(n["N2"]), "n1 n2", "only the secretariat"},
		{AdministratorsOf(w.s.Secretariat()), NewSigners(n["S1"], n["S2"], n["S3"]), "s1 s2", "already"},
		{AdministratorsOf(w.s.Secretariat()), OfferCustody{}, "s1 s2", "already"},
		{OfPolicy(), Policy{Rules: 0}, "o1 o2", "no version"},
		{OfPolicy(), Policy{Rules: 1, Agreement: "Example"}, "o1 o2", "title and a hash"},
		{OfPolicy(), Policy{Rules: 1, SHA256: [32]byte{1}}, "o1 o2", "title and a hash"},
		{OfGroup("Upper"), DefineGroup{"Example", false, nil}, "o1 o2", "a-z"},
		{OfGroup("-g"), DefineGroup{"Example", false, nil}, "o1 o2", "no '-'"},
		{OfOrg(ngo), SetKind{""}, "o1 o2", "1 to"},
		{OfOrg(ngo), SetKind{strings.Repeat("k", MaxCode+1)}, "o1 o2", "1 to"},
		{OfGroup("g"), DefineGroup{strings.Repeat("x", MaxTitle+1), false, nil}, "o1 o2", "at most"},
		{OfGroup("g"), DefineGroup{"Example", false, make([]protocol.OrgID, MaxGroupOrgs+1)}, "o1 o2", "at most"},
		{OfOfficers(), OfficersChange{OfficerSet{set(2, "o1", "o2"), 3}}, "o1 o2", "suspension quorum"},
		{OfOfficers(), RevokeOrg{}, "o1 o2", "cannot be about"},
		{OfOrg(ngo), TaintKey{1}, "n1 n2", "cannot be about"},
		{Subject{Kind: SubjectTime, ID: [32]byte{1}}, Time{}, "", "does not fit"},
		{Subject{Kind: SubjectOrg}, RevokeOrg{}, "o1 o2", "does not fit"},
		{Subject{Kind: 9}, Time{}, "", "does not fit"},
	} {
		signers := strings.Fields(c.sign)
		if strings.HasSuffix(c.sign, " a") {
			signers = []string{c.sign} // a body's one administrator
		}
		err := w.try(c.about, c.body, signers...)
		if err == nil || !strings.Contains(err.Error(), c.why) || errors.Is(err, ErrApprovals) {
			t.Errorf("%s on %+v: %v, want %q", c.body.Kind(), c.about.Kind, err, c.why)
		}
		if _, err := w.s.Draft(c.about, c.body, w.time+dayLong); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("draft %s on %+v: %v, want %q", c.body.Kind(), c.about.Kind, err, c.why)
		}
	}
	if _, err := w.s.Draft(OfTime(), Time{}, w.time); err == nil {
		t.Error("an operation was drafted that has expired")
	}
	// A suspended body takes away, all the same.
	w.do(AdministratorsOf(police), TaintKey{1}, "Police a")
	w.do(AdministratorsOf(police), RetireNode{n["P2"]}, "Police a")
	w.do(AdministratorsOf(police), RevokeNode{n["Police n1"]}, "Police a")
	if got := w.s.Voters(police); len(got) != 0 {
		t.Errorf("a body without nodes has voters %v", got)
	}
	w.do(OfOrg(police), Reinstate{}, "o1")
	if err := w.try(AdministratorsOf(police), OfferCustody{}, "Police a"); err == nil || !strings.Contains(err.Error(), "police never") {
		t.Errorf("police offer custody: %v", err)
	}
	// Having lost every node, it enrols another, by its own word alone.
	w.addNode("Police", "P3")
	w.do(AdministratorsOf(police), NewVoters(n["P3"]), "Police a")
	if got := w.s.Voters(police); !slices.Equal(got, []protocol.NodeID{n["P3"]}) {
		t.Errorf("voters %v", got)
	}
}

func TestWordsForStrangers(t *testing.T) {
	w := standingWorld(t)
	op := w.op(OfOrg(w.orgs["NGO"]), RevokeOrg{})
	if got := op.Title(w.s); got != `Revoke, for ever, the organisation "NGO" (ngo, `+w.orgs["NGO"].Short()+`)` {
		t.Errorf("title %q", got)
	}
	other, err := Found(genesisLeaf("Another Example Alliance"))
	if err != nil {
		t.Fatal(err)
	}
	if got := op.Words(other)[0]; got != "For another network than this one: "+w.s.Network().String() {
		t.Errorf("words for another network: %q", got)
	}
	if !strings.Contains(strings.Join(op.Words(other), "\n"), w.orgs["NGO"].String()) {
		t.Error("what nobody knows by name is not written out")
	}
	g, err := DecodeOp(mustLeaf(t, w.leaves[0]).Op)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(g.Words(nil), "\n")
	for _, want := range []string{`Found the trial network "Example Alliance"`, "invented data only", "Any 2 of these 3 people", Fingerprint(w.s.Secretariat()), `name: "Example Secretariat"`, "Any 1 of them may suspend"} {
		if !strings.Contains(words, want) {
			t.Errorf("the genesis's words lack %q:\n%s", want, words)
		}
	}
	if NetworkFingerprint(w.s.Network()) == NetworkFingerprint(other.Network()) {
		t.Error("two networks with one fingerprint")
	}
}
