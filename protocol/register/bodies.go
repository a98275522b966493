package register

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Body is what one kind of operation says. The types of this package are all
// there are.
type Body interface {
	Kind() Kind
	// subjects lists the subjects that the kind may be about.
	subjects() []SubjectKind
	// check is what must hold whatever the register says.
	check(Subject) error
	// needs says who must sign.
	needs(view, *Op) ([]requirement, error)
	// apply changes the state, or refuses.
	apply(*change, *Op) error
	// words says the body in plain words, one line each.
	words(lookup, Subject) []string
}

// Mode says whether a network is for practice or for real.
type Mode uint8

// The modes. The numbers are on the wire and never change.
const (
	Trial Mode = 1 // invented data only
	Live  Mode = 2
)

func (m Mode) String() string {
	switch m {
	case Trial:
		return "trial"
	case Live:
		return "live"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

type (
	// Genesis founds a network. Every signing key that it names signs its
	// leaf, so no proof of possession stands in it.
	Genesis struct {
		Mode     Mode       `cbor:"1,keyasint"`
		Title    string     `cbor:"2,keyasint"` // of the alliance
		Policy   Policy     `cbor:"3,keyasint"`
		Officers OfficerSet `cbor:"4,keyasint"`
		// Secretariat is the request (see [Request]) of the secretariat with
		// its administrators, encryption key and first node, with network
		// zero: that node is the first signer and voter.
		Secretariat []byte `cbor:"5,keyasint"`
	}

	// OfficersChange names the officers anew.
	OfficersChange struct {
		Officers OfficerSet `cbor:"1,keyasint"`
	}

	// EnrolOrg admits an organisation. Subject: the organisation, whose ID
	// the request gives.
	EnrolOrg struct {
		Request []byte `cbor:"1,keyasint"` // a [SignedRequest], unaltered
	}

	// RevokeOrg puts an organisation out for ever.
	RevokeOrg struct{}

	// RevokeNode puts a node out for ever. Subject: the node, by officers;
	// or its organisation's administrators.
	RevokeNode struct {
		Node protocol.NodeID `cbor:"1,keyasint"`
	}

	// Policy is what the alliance agreed on.
	Policy struct {
		Rules uint64 `cbor:"1,keyasint"` // version of the rules that every program must know; never goes back
		// Agreement is the title of the information-sharing agreement that
		// members signed, and SHA256 the hash of its document. Both or none.
		Agreement string   `cbor:"2,keyasint,omitempty"`
		SHA256    [32]byte `cbor:"3,keyasint,omitzero"`
	}

	// DefineGroup names a group of organisations, or names its members anew.
	DefineGroup struct {
		Title string `cbor:"1,keyasint"`
		// FromStart says that a joiner reads the group's records from the
		// start. It is fixed when the group is first defined, so that nobody
		// is let read back later.
		FromStart bool             `cbor:"2,keyasint"`
		Members   []protocol.OrgID `cbor:"3,keyasint"` // sorted, each once
	}

	// SetKind sets an organisation's finer kind.
	SetKind struct {
		Code string `cbor:"1,keyasint"` // such as sjpu, commission, hotline
	}

	// Time moves time when nothing else does. Nobody signs it.
	Time struct{}

	// Suspend closes an organisation or a node out for 30 days.
	Suspend struct{}

	// Reinstate ends a suspension.
	Reinstate struct{}

	// AdminsChange names an organisation's administrators anew.
	AdminsChange struct {
		Administrators Set `cbor:"1,keyasint"`
	}

	// EnrolNode admits a further node of an organisation.
	EnrolNode struct {
		Node NodeKeys `cbor:"1,keyasint"`
		// Proofs of possession of the node's keys (see [Prove]).
		Author     crypto.Signature `cbor:"2,keyasint"`
		Transport  crypto.Signature `cbor:"3,keyasint"`
		Checkpoint crypto.Signature `cbor:"4,keyasint,omitzero"`
	}

	// RetireNode takes a node out of service, in good standing.
	RetireNode struct {
		Node protocol.NodeID `cbor:"1,keyasint"`
	}

	// SetVoters names the voters of the organisation's Raft group.
	SetVoters struct {
		Nodes []protocol.NodeID `cbor:"1,keyasint"` // 1, 3 or 5, sorted
	}

	// SetSigners names the secretariat's nodes that endorse leaves and sign
	// checkpoints.
	SetSigners struct {
		Nodes []protocol.NodeID `cbor:"1,keyasint"` // 1, 3 or 5, sorted
	}

	// PublishKey gives the organisation's next encryption key.
	PublishKey struct {
		Epoch     uint64 `cbor:"1,keyasint"` // one more than the newest
		Recipient string `cbor:"2,keyasint"` // age1pq1…
	}

	// TaintKey says that nobody may seal to a key any more.
	TaintKey struct {
		Epoch uint64 `cbor:"1,keyasint"`
	}

	// OfferCustody offers to keep others' records as ciphertext.
	OfferCustody struct{}

	// WithdrawCustody ends that offer.
	WithdrawCustody struct{}
)

func reader[T Body](b []byte) (Body, error) { return protocol.Decode[T](b, protocol.MaxOp) }

// bodies is every kind that this program knows.
var bodies = map[Kind]func([]byte) (Body, error){
	KindGenesis: reader[Genesis], KindOfficers: reader[OfficersChange], KindEnrolOrg: reader[EnrolOrg], KindRevokeOrg: reader[RevokeOrg],
	KindRevokeNode: reader[RevokeNode], KindPolicy: reader[Policy], KindGroup: reader[DefineGroup], KindSetKind: reader[SetKind],
	KindTime: reader[Time], KindSuspend: reader[Suspend], KindReinstate: reader[Reinstate], KindAdmins: reader[AdminsChange],
	KindEnrolNode: reader[EnrolNode], KindRetireNode: reader[RetireNode], KindVoters: reader[SetVoters], KindSigners: reader[SetSigners],
	KindPublishKey: reader[PublishKey], KindTaintKey: reader[TaintKey], KindOfferCustody: reader[OfferCustody], KindWithdrawCustody: reader[WithdrawCustody],
}

func (Genesis) Kind() Kind         { return KindGenesis }
func (OfficersChange) Kind() Kind  { return KindOfficers }
func (EnrolOrg) Kind() Kind        { return KindEnrolOrg }
func (RevokeOrg) Kind() Kind       { return KindRevokeOrg }
func (RevokeNode) Kind() Kind      { return KindRevokeNode }
func (Policy) Kind() Kind          { return KindPolicy }
func (DefineGroup) Kind() Kind     { return KindGroup }
func (SetKind) Kind() Kind         { return KindSetKind }
func (Time) Kind() Kind            { return KindTime }
func (Suspend) Kind() Kind         { return KindSuspend }
func (Reinstate) Kind() Kind       { return KindReinstate }
func (AdminsChange) Kind() Kind    { return KindAdmins }
func (EnrolNode) Kind() Kind       { return KindEnrolNode }
func (RetireNode) Kind() Kind      { return KindRetireNode }
func (SetVoters) Kind() Kind       { return KindVoters }
func (SetSigners) Kind() Kind      { return KindSigners }
func (PublishKey) Kind() Kind      { return KindPublishKey }
func (TaintKey) Kind() Kind        { return KindTaintKey }
func (OfferCustody) Kind() Kind    { return KindOfferCustody }
func (WithdrawCustody) Kind() Kind { return KindWithdrawCustody }

var (
	aboutOrg    = []SubjectKind{SubjectOrg}
	aboutEither = []SubjectKind{SubjectOrg, SubjectNode}
	aboutAdmins = []SubjectKind{SubjectAdmins}
)

func (Genesis) subjects() []SubjectKind         { return []SubjectKind{SubjectGenesis} }
func (OfficersChange) subjects() []SubjectKind  { return []SubjectKind{SubjectOfficers} }
func (EnrolOrg) subjects() []SubjectKind        { return aboutOrg }
func (RevokeOrg) subjects() []SubjectKind       { return aboutOrg }
func (RevokeNode) subjects() []SubjectKind      { return []SubjectKind{SubjectNode, SubjectAdmins} }
func (Policy) subjects() []SubjectKind          { return []SubjectKind{SubjectPolicy} }
func (DefineGroup) subjects() []SubjectKind     { return []SubjectKind{SubjectGroup} }
func (SetKind) subjects() []SubjectKind         { return aboutOrg }
func (Time) subjects() []SubjectKind            { return []SubjectKind{SubjectTime} }
func (Suspend) subjects() []SubjectKind         { return aboutEither }
func (Reinstate) subjects() []SubjectKind       { return aboutEither }
func (AdminsChange) subjects() []SubjectKind    { return aboutAdmins }
func (EnrolNode) subjects() []SubjectKind       { return aboutAdmins }
func (RetireNode) subjects() []SubjectKind      { return aboutAdmins }
func (SetVoters) subjects() []SubjectKind       { return aboutAdmins }
func (SetSigners) subjects() []SubjectKind      { return aboutAdmins }
func (PublishKey) subjects() []SubjectKind      { return aboutAdmins }
func (TaintKey) subjects() []SubjectKind        { return aboutAdmins }
func (OfferCustody) subjects() []SubjectKind    { return aboutAdmins }
func (WithdrawCustody) subjects() []SubjectKind { return aboutAdmins }

func (g Genesis) check(Subject) error {
	if g.Mode != Trial && g.Mode != Live {
		return fmt.Errorf("check genesis: a network is trial or live, not %s", g.Mode)
	}
	if err := checkText("title", g.Title, MaxTitle); err != nil {
		return err
	}
	if err := g.Policy.check(Subject{}); err != nil {
		return err
	}
	if err := g.Officers.check(); err != nil {
		return err
	}
	if err := g.Officers.Set.bare("officers"); err != nil {
		return err
	}
	_, err := decodeRequest(g.Secretariat, true)
	return err
}

func (o OfficersChange) check(Subject) error { return o.Officers.check() }

func (e EnrolOrg) check(s Subject) error {
	r, err := DecodeSignedRequest(e.Request)
	if err != nil {
		return err
	}
	if r.ID() != s.org() {
		return fmt.Errorf("check enrolment: the subject is not the organisation of the request")
	}
	return nil
}

func (RevokeOrg) check(Subject) error { return nil }

func (r RevokeNode) check(s Subject) error {
	if r.Node.IsZero() || s.Kind == SubjectNode && s.node() != r.Node {
		return fmt.Errorf("check revocation: the subject is not the node that is revoked")
	}
	return nil
}

func (p Policy) check(Subject) error {
	if p.Rules == 0 {
		return fmt.Errorf("check policy: no version of the rules")
	}
	if p.Rules > Rules {
		return fmt.Errorf("check policy of rules version %d: %w", p.Rules, ErrUpgrade)
	}
	if (p.Agreement == "") != (p.SHA256 == [32]byte{}) {
		return fmt.Errorf("check policy: an agreement has a title and a hash")
	}
	if p.Agreement == "" {
		return nil
	}
	return checkText("agreement", p.Agreement, MaxTitle)
}

func (g DefineGroup) check(s Subject) error {
	if _, computed := computedGroups[s.Group]; computed {
		return fmt.Errorf("check group: %q is computed from the register and cannot be defined", s.Group)
	}
	if len(g.Members) > MaxGroupOrgs {
		return fmt.Errorf("check group: %d members, at most %d are allowed", len(g.Members), MaxGroupOrgs)
	}
	for i := 1; i < len(g.Members); i++ {
		if g.Members[i-1].Compare(g.Members[i]) >= 0 {
			return fmt.Errorf("check group: members must be sorted, each once")
		}
	}
	return checkText("title", g.Title, MaxTitle)
}

func (k SetKind) check(Subject) error       { return checkCode("kind", k.Code) }
func (Time) check(Subject) error            { return nil }
func (Suspend) check(Subject) error         { return nil }
func (Reinstate) check(Subject) error       { return nil }
func (a AdminsChange) check(Subject) error  { return a.Administrators.check("administrators") }
func (e EnrolNode) check(Subject) error     { return e.Node.check() }
func (RetireNode) check(Subject) error      { return nil }
func (v SetVoters) check(Subject) error     { return checkOdd("voters", v.Nodes) }
func (v SetSigners) check(Subject) error    { return checkOdd("signers", v.Nodes) }
func (OfferCustody) check(Subject) error    { return nil }
func (WithdrawCustody) check(Subject) error { return nil }
func (p PublishKey) check(Subject) error {
	if p.Epoch == 0 {
		return fmt.Errorf("check encryption key: epochs count from 1")
	}
	return nil
}

func (t TaintKey) check(Subject) error {
	if t.Epoch == 0 {
		return fmt.Errorf("check encryption key: epochs count from 1")
	}
	return nil
}

func checkOdd(what string, nodes []protocol.NodeID) error {
	if n := len(nodes); n > MaxVoters || n%2 == 0 {
		return fmt.Errorf("check %s: %d nodes, only 1, 3 or 5 can be named", what, n)
	}
	for i := 1; i < len(nodes); i++ {
		if nodes[i-1].Compare(nodes[i]) >= 0 {
			return fmt.Errorf("check %s: nodes must be sorted, each once", what)
		}
	}
	return nil
}

// NewVoters sorts nodes for a [SetVoters].
func NewVoters(nodes ...protocol.NodeID) SetVoters { return SetVoters{sortedNodes(nodes)} }

// NewSigners sorts nodes for a [SetSigners].
func NewSigners(nodes ...protocol.NodeID) SetSigners { return SetSigners{sortedNodes(nodes)} }

func sortedNodes(nodes []protocol.NodeID) []protocol.NodeID {
	n := slices.Clone(nodes)
	slices.SortFunc(n, func(a, b protocol.NodeID) int { return bytes.Compare(a[:], b[:]) })
	return n
}
