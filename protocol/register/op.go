package register

import (
	"errors"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

var (
	// ErrUpgrade stops the register: an operation, or a version of the
	// rules, that this program does not know. Nothing of it is guessed.
	ErrUpgrade = errors.New("this register uses rules that are newer than this program: nothing was changed; install the current version of alliance, then start again")
	// ErrApprovals says that signatures are missing.
	ErrApprovals = errors.New("more approvals are needed")
	// ErrSubject says that the subject has moved on since an operation was
	// drafted, or that the operation was applied already: draft it again.
	ErrSubject = errors.New("the subject's version is not the next one: it was changed since this was drafted, or this was applied already")
	// ErrExpired says that the leaf's time is past the operation's expiry.
	ErrExpired = errors.New("the operation has expired: draft it again")
)

// Kind numbers an operation. The numbers are on the wire and never change.
type Kind uint64

// The operations. Numbers from 21 on are kept for later rules: a program that
// meets one of them stops with [ErrUpgrade].
const (
	KindGenesis         Kind = 1
	KindOfficers        Kind = 2
	KindEnrolOrg        Kind = 3
	KindRevokeOrg       Kind = 4
	KindRevokeNode      Kind = 5
	KindPolicy          Kind = 6
	KindGroup           Kind = 7
	KindSetKind         Kind = 8
	KindTime            Kind = 9
	KindSuspend         Kind = 10
	KindReinstate       Kind = 11
	KindAdmins          Kind = 12
	KindEnrolNode       Kind = 13
	KindRetireNode      Kind = 14
	KindVoters          Kind = 15
	KindSigners         Kind = 16
	KindPublishKey      Kind = 17
	KindTaintKey        Kind = 18
	KindOfferCustody    Kind = 19
	KindWithdrawCustody Kind = 20

	KindWitnessRule   Kind = 21 // reserved: how many witnesses of which organisations
	KindBranch        Kind = 22 // reserved: which branch stands after a split view
	KindAnchor        Kind = 23 // reserved: the daily root over all nodes' head roots
	KindReplaceAdmins Kind = 24 // reserved: lost administrators
	KindObject        Kind = 25 // reserved: to such a replacement
	KindRelease       Kind = 26 // reserved: a signed release of the program
	KindAdvanceKey    Kind = 27 // reserved: moves to an encryption key published ahead

	KindReplaceOfficers Kind = 28 // reserved: lost officers
)

var kindNames = map[Kind]string{
	KindGenesis: "genesis", KindOfficers: "officers-change", KindEnrolOrg: "enrol-org", KindRevokeOrg: "revoke-org", KindRevokeNode: "revoke-node",
	KindPolicy: "change-policy", KindGroup: "define-group", KindSetKind: "set-kind", KindTime: "time", KindSuspend: "suspend", KindReinstate: "reinstate",
	KindAdmins: "admins-change", KindEnrolNode: "enrol-node", KindRetireNode: "retire-node", KindVoters: "set-voters", KindSigners: "set-signers",
	KindPublishKey: "publish-key", KindTaintKey: "taint-key", KindOfferCustody: "offer-custody", KindWithdrawCustody: "withdraw-custody",
	KindWitnessRule: "witness-rule", KindBranch: "branch", KindAnchor: "anchor", KindReplaceAdmins: "replace-admins", KindObject: "object",
	KindRelease: "release", KindAdvanceKey: "advance-key", KindReplaceOfficers: "replace-officers",
}

func (k Kind) String() string {
	if n := kindNames[k]; n != "" {
		return n
	}
	return fmt.Sprintf("operation %d", uint64(k))
}

// SubjectKind says whose counter an operation advances, and so who signs it.
type SubjectKind uint8

// The kinds of subject. The numbers are on the wire and never change.
const (
	SubjectGenesis  SubjectKind = 1
	SubjectOfficers SubjectKind = 2 // the officer set
	SubjectOrg      SubjectKind = 3 // an organisation; officers sign
	SubjectNode     SubjectKind = 4 // a node; officers sign
	SubjectPolicy   SubjectKind = 5
	SubjectGroup    SubjectKind = 6
	SubjectTime     SubjectKind = 7 // nobody signs
	SubjectAdmins   SubjectKind = 8 // an organisation; its administrators sign
)

// Subject is what an operation is about. Each subject has a counter of its
// own, so that officers and administrators cannot block one another.
type Subject struct {
	Kind  SubjectKind      `cbor:"1,keyasint"`
	ID    [32]byte         `cbor:"2,keyasint,omitzero"` // of the organisation or node
	Group protocol.GroupID `cbor:"3,keyasint,omitempty"`
}

// The subjects, by what they are about.
func OfOfficers() Subject                       { return Subject{Kind: SubjectOfficers} }
func OfOrg(id protocol.OrgID) Subject           { return Subject{Kind: SubjectOrg, ID: id} }
func OfNode(id protocol.NodeID) Subject         { return Subject{Kind: SubjectNode, ID: id} }
func OfPolicy() Subject                         { return Subject{Kind: SubjectPolicy} }
func OfGroup(id protocol.GroupID) Subject       { return Subject{Kind: SubjectGroup, Group: id} }
func OfTime() Subject                           { return Subject{Kind: SubjectTime} }
func AdministratorsOf(o protocol.OrgID) Subject { return Subject{Kind: SubjectAdmins, ID: o} }

func (s Subject) org() protocol.OrgID   { return protocol.OrgID(s.ID) }
func (s Subject) node() protocol.NodeID { return protocol.NodeID(s.ID) }

func (s Subject) check() error {
	named := s.ID != [32]byte{}
	switch s.Kind {
	case SubjectOrg, SubjectNode, SubjectAdmins:
		if named && s.Group == "" {
			return nil
		}
	case SubjectGroup:
		if !named {
			return checkCode("group name", string(s.Group))
		}
	case SubjectGenesis, SubjectOfficers, SubjectPolicy, SubjectTime:
		if !named && s.Group == "" {
			return nil
		}
	}
	return fmt.Errorf("check subject: kind %d does not fit what it names", s.Kind)
}

// Op is one operation on the register. Its bytes are deterministic CBOR with
// exactly these fields; what is signed and hashed is the bytes as received.
type Op struct {
	Version uint64             // of the rules that the drafter knew
	Network protocol.NetworkID // zero in a genesis
	Subject Subject
	Next    uint64 // the subject's version that this makes: exactly one more than now, from 1
	// BaseSize and BaseRoot are the checkpoint that it was drafted on; zero in
	// a genesis.
	BaseSize uint64
	BaseRoot crypto.Hash
	Expiry   int64 // Unix seconds of leaf time, included; 0 in a genesis
	Body     Body
}

type wireOp struct {
	Version  uint64             `cbor:"1,keyasint"`
	Network  protocol.NetworkID `cbor:"2,keyasint"`
	Kind     Kind               `cbor:"3,keyasint"`
	Subject  Subject            `cbor:"4,keyasint"`
	Next     uint64             `cbor:"5,keyasint"`
	BaseSize uint64             `cbor:"6,keyasint"`
	BaseRoot crypto.Hash        `cbor:"7,keyasint"`
	Expiry   int64              `cbor:"8,keyasint"`
	Body     []byte             `cbor:"9,keyasint"` // deterministic CBOR of the kind's body
}

// Kind is the number of the operation's body.
func (o *Op) Kind() Kind { return o.Body.Kind() }

// Encode returns the operation's bytes.
func (o *Op) Encode() []byte {
	return protocol.Encode(wireOp{o.Version, o.Network, o.Body.Kind(), o.Subject, o.Next, o.BaseSize, o.BaseRoot, o.Expiry, protocol.Encode(o.Body)})
}

// DecodeOp reads an operation and checks all that needs no register: form,
// points, texts, sizes. It returns [ErrUpgrade] for a version or a kind that
// this program does not know, and errors that wrap [protocol.ErrEncoding] for
// bytes that are no operation.
func DecodeOp(b []byte) (*Op, error) {
	// The version and the kind are read first and openly: a newer operation
	// may have fields that we do not know.
	head, err := protocol.DecodeOpen[struct {
		Version uint64 `cbor:"1,keyasint"`
		Kind    Kind   `cbor:"3,keyasint"`
	}](b, protocol.MaxOp)
	if err != nil {
		return nil, fmt.Errorf("decode operation: %w", err)
	}
	if head.Version > Rules {
		return nil, fmt.Errorf("decode operation of rules version %d: %w", head.Version, ErrUpgrade)
	}
	if head.Version == 0 || head.Kind == 0 {
		return nil, fmt.Errorf("decode operation: %w: no version or no kind", protocol.ErrEncoding)
	}
	read, ok := bodies[head.Kind]
	if !ok {
		return nil, fmt.Errorf("decode operation %s: %w", head.Kind, ErrUpgrade)
	}
	w, err := protocol.Decode[wireOp](b, protocol.MaxOp)
	if err != nil {
		return nil, fmt.Errorf("decode operation: %w", err)
	}
	body, err := read(w.Body)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", w.Kind, err)
	}
	o := &Op{w.Version, w.Network, w.Subject, w.Next, w.BaseSize, w.BaseRoot, w.Expiry, body}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("decode %s: %w", w.Kind, err)
	}
	return o, nil
}

// check is what must hold of an operation whatever the register says.
func (o *Op) check() error {
	if err := o.Subject.check(); err != nil {
		return err
	}
	if !slices.Contains(o.Body.subjects(), o.Subject.Kind) {
		return fmt.Errorf("check operation: a %s cannot be about subject kind %d", o.Kind(), o.Subject.Kind)
	}
	genesis := o.Kind() == KindGenesis
	if o.Next == 0 || o.Network.IsZero() != genesis || (o.BaseSize == 0) != genesis || o.BaseRoot.IsZero() != genesis || (o.Expiry == 0) != genesis || o.Expiry < 0 || o.Expiry > MaxTime {
		return fmt.Errorf("check operation: network, version, base checkpoint and expiry must all stand (and none but the version in a genesis)")
	}
	return o.Body.check(o.Subject)
}

// NetworkOf returns the network ID that a genesis operation founds: the
// labelled hash of its bytes.
func NetworkOf(genesis []byte) protocol.NetworkID {
	return protocol.NetworkID(crypto.Sum(labelNetwork, crypto.Hash{}, genesis))
}

// OpHash returns what approvals of an operation sign. For a genesis, network
// is the one that it founds.
func OpHash(network protocol.NetworkID, op []byte) crypto.Hash {
	return crypto.Sum(labelOp, crypto.Hash(network), op)
}

// Signature is one key's approval. It covers this operation alone or, with a
// list, every operation whose hash is listed.
type Signature struct {
	Key       crypto.PublicKey `cbor:"1,keyasint"`
	Signature crypto.Signature `cbor:"2,keyasint"`
	// List is sorted, each hash once: 2 to MaxBatch, this operation's among
	// them; absent where the signature covers this operation alone.
	List []crypto.Hash `cbor:"3,keyasint,omitempty"`
}

// SignedOp is an operation on its way to the secretariat's leader: signatures
// are gathered on it until they suffice.
type SignedOp struct {
	Op         []byte      `cbor:"1,keyasint"`
	Signatures []Signature `cbor:"2,keyasint,omitempty"` // sorted by key, each key once
}

// Encode returns the signed operation's bytes.
func (s SignedOp) Encode() []byte { return protocol.Encode(s) }

// DecodeSignedOp reads what [SignedOp.Encode] wrote, and the operation in it.
// It verifies no signature.
func DecodeSignedOp(b []byte) (SignedOp, *Op, error) {
	s, err := protocol.Decode[SignedOp](b, protocol.MaxLeaf)
	if err != nil {
		return SignedOp{}, nil, fmt.Errorf("decode signed operation: %w", err)
	}
	if err := checkSignatures(s.Signatures); err != nil {
		return SignedOp{}, nil, fmt.Errorf("decode signed operation: %w", err)
	}
	op, err := DecodeOp(s.Op)
	if err != nil {
		return SignedOp{}, nil, err
	}
	return s, op, nil
}
