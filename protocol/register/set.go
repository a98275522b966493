package register

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Labels of this package's hashes and signatures (package crypto says how a
// label is used).
const (
	labelNetwork     crypto.Label = "network"      // hash of the genesis operation
	labelOrg         crypto.Label = "organisation" // hash of an enrolment request
	labelNode        crypto.Label = "node"         // hash of a node's keys
	labelOp          crypto.Label = "operation"    // hash of an operation
	labelApprove     crypto.Label = "approve"      // signature over operation hashes
	labelJoin        crypto.Label = "join"         // signature over an enrolment request
	labelPossession  crypto.Label = "possession"   // a new key's proof
	labelEndorse     crypto.Label = "endorse"      // a signer's endorsement of a leaf to be
	labelFingerprint crypto.Label = "fingerprint"  // what people read over the phone
	labelState       crypto.Label = "register-state"
)

// Purpose says what a signing key is for. A key has one purpose for ever.
type Purpose uint8

// The purposes. The numbers are signed and never change.
const (
	ForOfficer       Purpose = 1
	ForAdministrator Purpose = 2
	ForAuthor        Purpose = 3
	ForTransport     Purpose = 4
	ForCheckpoint    Purpose = 5
)

func (p Purpose) String() string {
	switch p {
	case ForOfficer:
		return "officer"
	case ForAdministrator:
		return "administrator"
	case ForAuthor:
		return "author"
	case ForTransport:
		return "transport"
	case ForCheckpoint:
		return "checkpoint"
	}
	return fmt.Sprintf("purpose %d", uint8(p))
}

// Prove signs that the holder of key has it, for one purpose, in one network,
// for one organisation (zero for officers) and one holder: a [protocol.PersonID]
// for officers and administrators, a [protocol.NodeID] for a node's keys.
func Prove(key crypto.PrivateKey, network protocol.NetworkID, p Purpose, org protocol.OrgID, holder [32]byte) crypto.Signature {
	return key.Sign(labelPossession, crypto.Hash(network), possession(p, org, holder))
}

// ProveWith is [Prove] with a key that something else may hold.
func ProveWith(key crypto.Signer, network protocol.NetworkID, p Purpose, org protocol.OrgID, holder [32]byte) (crypto.Signature, error) {
	sig, err := crypto.SignWith(key, labelPossession, crypto.Hash(network), possession(p, org, holder))
	if err != nil {
		return crypto.Signature{}, fmt.Errorf("prove possession: %w", err)
	}
	return sig, nil
}

func possession(p Purpose, org protocol.OrgID, holder [32]byte) []byte {
	m := append([]byte{byte(p)}, org[:]...)
	return append(m, holder[:]...)
}

func checkProof(k crypto.PublicKey, n protocol.NetworkID, p Purpose, org protocol.OrgID, holder [32]byte, sig crypto.Signature) error {
	if err := crypto.Verify(k, labelPossession, crypto.Hash(n), possession(p, org, holder), sig); err != nil {
		return fmt.Errorf("check proof of possession of %s key %s: %w", p, k.ID().String()[:8], err)
	}
	return nil
}

// Member is one key of a set, and the person who holds it.
type Member struct {
	Key    crypto.PublicKey  `cbor:"1,keyasint"`
	Person protocol.PersonID `cbor:"2,keyasint"` // random; vouched for by whoever admits the key
	// Proof is the key's proof of possession (see [Prove]). A key that is in
	// the set already needs none; in a genesis or an enrolment request, which
	// every key signs as a whole, none may stand.
	Proof crypto.Signature `cbor:"3,keyasint,omitzero"`
}

// Set is who may act together: Threshold of its people, each with a key.
type Set struct {
	Members   []Member `cbor:"1,keyasint"` // sorted by key, each key once
	Threshold uint64   `cbor:"2,keyasint"` // people, from 1
}

// NewSet sorts members by key.
func NewSet(threshold int, members ...Member) Set {
	m := slices.Clone(members)
	slices.SortFunc(m, func(a, b Member) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return Set{Members: m, Threshold: uint64(threshold)}
}

// People counts the distinct people of the set.
func (s Set) People() int { return people(s.Members) }

func people(ms []Member) int {
	seen := make(map[protocol.PersonID]bool, len(ms))
	for _, m := range ms {
		seen[m.Person] = true
	}
	return len(seen)
}

func (s Set) find(k crypto.PublicKey) (Member, bool) {
	i, ok := slices.BinarySearchFunc(s.Members, k, func(m Member, k crypto.PublicKey) int { return bytes.Compare(m.Key[:], k[:]) })
	if !ok {
		return Member{}, false
	}
	return s.Members[i], true
}

// check refuses a set that is out of order, repeats a key, has a bad point or
// can never reach its threshold.
func (s Set) check(what string) error {
	bad := func(f string, a ...any) error { return fmt.Errorf("check %s: %s", what, fmt.Sprintf(f, a...)) }
	if len(s.Members) == 0 || len(s.Members) > MaxMembers {
		return bad("%d keys, 1 to %d are allowed", len(s.Members), MaxMembers)
	}
	for i, m := range s.Members {
		if i > 0 && bytes.Compare(s.Members[i-1].Key[:], m.Key[:]) >= 0 {
			return bad("keys must be sorted, each once")
		}
		if err := m.Key.Check(); err != nil {
			return fmt.Errorf("check %s: key %d: %w", what, i, err)
		}
		if m.Person.IsZero() {
			return bad("key %d names no person", i)
		}
	}
	if n := s.People(); s.Threshold == 0 || s.Threshold > uint64(n) {
		return bad("a threshold of %d cannot be met by %d people", s.Threshold, n)
	}
	return nil
}

// bare refuses proofs where none may stand.
func (s Set) bare(what string) error {
	for _, m := range s.Members {
		if m.Proof != (crypto.Signature{}) {
			return fmt.Errorf("check %s: no proof stands beside a key here, the key signs the whole", what)
		}
	}
	return nil
}

// stripped returns the set without proofs, as the state keeps it.
func (s Set) stripped() Set {
	m := slices.Clone(s.Members)
	for i := range m {
		m[i].Proof = crypto.Signature{}
	}
	return Set{Members: m, Threshold: s.Threshold}
}

// proven checks the proofs of every key that was not in the set before.
func (s Set) proven(old Set, n protocol.NetworkID, p Purpose, org protocol.OrgID) error {
	for _, m := range s.Members {
		was, ok := old.find(m.Key)
		if ok && was.Person != m.Person {
			return fmt.Errorf("check %s key %s: it belongs to another person", p, m.Key.ID().String()[:8])
		}
		if ok && m.Proof == (crypto.Signature{}) {
			continue
		}
		if err := checkProof(m.Key, n, p, org, m.Person, m.Proof); err != nil {
			return err
		}
	}
	return nil
}

// OfficerSet is the officers with their two thresholds.
type OfficerSet struct {
	Set        Set    `cbor:"1,keyasint"`
	Suspension uint64 `cbor:"2,keyasint"` // people who may suspend and reinstate; at most the threshold
}

func (o OfficerSet) check() error {
	if err := o.Set.check("officers"); err != nil {
		return err
	}
	if o.Suspension == 0 || o.Suspension > o.Set.Threshold {
		return fmt.Errorf("check officers: a suspension quorum of %d, 1 to the threshold of %d is allowed", o.Suspension, o.Set.Threshold)
	}
	return nil
}
