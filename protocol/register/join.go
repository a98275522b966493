package register

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// NodeKeys are a node's public keys.
type NodeKeys struct {
	Author    crypto.PublicKey `cbor:"1,keyasint"` // signs records and receipts
	Transport crypto.PublicKey `cbor:"2,keyasint"` // is the libp2p peer ID
	Sealing   string           `cbor:"3,keyasint"` // age1pq1…: what only this node may open
	// Checkpoint signs checkpoints; a secretariat's node has one, others none.
	Checkpoint crypto.PublicKey `cbor:"4,keyasint,omitzero"`
}

// ID is the node's identifier: the labelled hash of its author, transport and
// sealing keys.
func (n NodeKeys) ID(network protocol.NetworkID) protocol.NodeID {
	return protocol.NodeID(crypto.Sum(labelNode, crypto.Hash(network), n.Author[:], n.Transport[:], []byte(n.Sealing)))
}

func (n NodeKeys) check() error {
	keys := n.signing()
	for i, k := range keys {
		if err := k.key.Check(); err != nil {
			return fmt.Errorf("check node: %s key: %w", k.use, err)
		}
		for _, o := range keys[:i] {
			if o.key == k.key {
				return fmt.Errorf("check node: one key for two purposes, %s and %s", o.use, k.use)
			}
		}
	}
	return nil
}

type usedKey struct {
	use Purpose
	key crypto.PublicKey
}

func (n NodeKeys) signing() []usedKey {
	k := []usedKey{{ForAuthor, n.Author}, {ForTransport, n.Transport}}
	if !n.Checkpoint.IsZero() {
		k = append(k, usedKey{ForCheckpoint, n.Checkpoint})
	}
	return k
}

// Enrol returns the operation's body that admits the node, with proofs of
// possession. checkpoint is the zero key where the node has none.
func (n NodeKeys) Enrol(network protocol.NetworkID, org protocol.OrgID, author, transport, checkpoint crypto.PrivateKey) EnrolNode {
	id := n.ID(network)
	e := EnrolNode{
		Node:      n,
		Author:    Prove(author, network, ForAuthor, org, id),
		Transport: Prove(transport, network, ForTransport, org, id),
	}
	if !checkpoint.IsZero() {
		e.Checkpoint = Prove(checkpoint, network, ForCheckpoint, org, id)
	}
	return e
}

// Request is what an organisation asks to be enrolled with. It holds no name
// of a person and no way to contact one. Its bytes are deterministic CBOR;
// their labelled hash is the organisation's ID.
type Request struct {
	Version        uint64             `cbor:"1,keyasint"`
	Network        protocol.NetworkID `cbor:"2,keyasint"` // zero in a genesis
	Name           string             `cbor:"3,keyasint"`
	Class          protocol.Class     `cbor:"4,keyasint"`
	Code           string             `cbor:"5,keyasint"` // finer kind, such as sjpu
	Administrators Set                `cbor:"6,keyasint"`
	Node           NodeKeys           `cbor:"7,keyasint"` // the first node
	Recipient      string             `cbor:"8,keyasint"` // the first encryption key, age1pq1…
}

// Encode returns the request's bytes.
func (r Request) Encode() []byte { return protocol.Encode(r) }

// OrgIDOf returns the ID of the organisation that a request's bytes ask for.
func OrgIDOf(network protocol.NetworkID, request []byte) protocol.OrgID {
	return protocol.OrgID(crypto.Sum(labelOrg, crypto.Hash(network), request))
}

// keys are every signing key that a request names.
func (r Request) keys() []crypto.PublicKey {
	var ks []crypto.PublicKey
	for _, m := range r.Administrators.Members {
		ks = append(ks, m.Key)
	}
	for _, k := range r.Node.signing() {
		ks = append(ks, k.key)
	}
	return ks
}

func decodeRequest(b []byte, genesis bool) (Request, error) {
	r, err := protocol.Decode[Request](b, MaxRequest)
	if err != nil {
		return Request{}, fmt.Errorf("decode enrolment request: %w", err)
	}
	bad := func(f string, a ...any) (Request, error) {
		return Request{}, fmt.Errorf("check enrolment request: %s", fmt.Sprintf(f, a...))
	}
	if r.Version != 1 {
		return bad("version %d is not known", r.Version)
	}
	if r.Network.IsZero() != genesis {
		return bad("it must name its network")
	}
	if !r.Class.Valid() || (r.Class == protocol.ClassSecretariat) != genesis {
		return bad("class %s cannot be enrolled", r.Class)
	}
	if genesis != !r.Node.Checkpoint.IsZero() {
		return bad("the secretariat's nodes have a checkpoint key, others have none")
	}
	if err := checkText("name", r.Name, MaxName); err != nil {
		return Request{}, err
	}
	if err := checkCode("kind", r.Code); err != nil {
		return Request{}, err
	}
	if err := r.Administrators.check("administrators"); err != nil {
		return Request{}, err
	}
	if err := r.Administrators.bare("administrators"); err != nil {
		return Request{}, err
	}
	if err := r.Node.check(); err != nil {
		return Request{}, err
	}
	ks := r.keys()
	slices.SortFunc(ks, func(a, b crypto.PublicKey) int { return bytes.Compare(a[:], b[:]) })
	if len(slices.Compact(ks)) != len(r.keys()) {
		return bad("one key for two purposes")
	}
	if r.Recipient == r.Node.Sealing {
		return bad("one encryption key for two purposes")
	}
	return r, nil
}

// RequestSignature is one named key's signature over the organisation's ID:
// its proof of possession, bound to network, organisation and purpose.
type RequestSignature struct {
	Key       crypto.PublicKey `cbor:"1,keyasint"`
	Signature crypto.Signature `cbor:"2,keyasint"`
}

// SignedRequest is a request signed by every signing key that it names:
// administrators, and the first node's.
type SignedRequest struct {
	Request    []byte             `cbor:"1,keyasint"`
	Signatures []RequestSignature `cbor:"2,keyasint,omitempty"` // sorted by key
}

// NewSignedRequest signs a request with as many of its keys as are at hand.
func NewSignedRequest(r Request, keys ...crypto.PrivateKey) SignedRequest {
	return SignedRequest{Request: r.Encode()}.Sign(r.Network, keys...)
}

// Sign adds signatures.
func (s SignedRequest) Sign(network protocol.NetworkID, keys ...crypto.PrivateKey) SignedRequest {
	for _, k := range keys {
		s, _ = s.SignWith(network, k) // a key at hand does not fail
	}
	return s
}

// SignWith adds signatures with keys that something else may hold. Where one
// fails none is added.
func (s SignedRequest) SignWith(network protocol.NetworkID, keys ...crypto.Signer) (SignedRequest, error) {
	id := OrgIDOf(network, s.Request)
	out := slices.Clone(s.Signatures)
	for _, k := range keys {
		sig, err := crypto.SignWith(k, labelJoin, crypto.Hash(network), id[:])
		if err != nil {
			return s, fmt.Errorf("sign request: %w", err)
		}
		n := RequestSignature{k.Public(), sig}
		i, ok := slices.BinarySearchFunc(out, n.Key, func(s RequestSignature, k crypto.PublicKey) int { return bytes.Compare(s.Key[:], k[:]) })
		if ok {
			out[i] = n
		} else {
			out = slices.Insert(out, i, n)
		}
	}
	return SignedRequest{s.Request, out}, nil
}

// Encode returns the signed request's bytes, as they travel and as the
// operation that enrols carries them.
func (s SignedRequest) Encode() []byte { return protocol.Encode(s) }

// CheckedRequest is a request whose form was checked, and whose signatures
// were not: [CheckedRequest.Verify] does that.
type CheckedRequest struct {
	Request
	signed SignedRequest
}

// DecodeSignedRequest reads a signed request and checks its form, points and
// texts.
func DecodeSignedRequest(b []byte) (CheckedRequest, error) {
	s, err := protocol.Decode[SignedRequest](b, MaxRequest)
	if err != nil {
		return CheckedRequest{}, fmt.Errorf("decode enrolment request: %w", err)
	}
	r, err := decodeRequest(s.Request, false)
	if err != nil {
		return CheckedRequest{}, err
	}
	return CheckedRequest{r, s}, nil
}

// ID is the organisation's ID.
func (c CheckedRequest) ID() protocol.OrgID { return OrgIDOf(c.Network, c.signed.Request) }

// Signed returns the request as it was received.
func (c CheckedRequest) Signed() SignedRequest { return c.signed }

// Verify checks that every signing key that the request names signed it, and
// nobody else, and that its encryption keys can be sealed to.
func (c CheckedRequest) Verify() error {
	if err := c.verifySignatures(); err != nil {
		return err
	}
	for _, r := range []string{c.Recipient, c.Node.Sealing} {
		if err := checkRecipient(r); err != nil {
			return fmt.Errorf("verify enrolment request: %w", err)
		}
	}
	return nil
}

func (c CheckedRequest) verifySignatures() error {
	id := c.ID()
	if err := verifyAll(c.keys(), len(c.signed.Signatures), func(k crypto.PublicKey) error {
		i, ok := slices.BinarySearchFunc(c.signed.Signatures, k, func(s RequestSignature, k crypto.PublicKey) int { return bytes.Compare(s.Key[:], k[:]) })
		if !ok {
			return fmt.Errorf("its signature is missing")
		}
		return crypto.Verify(k, labelJoin, crypto.Hash(c.Network), id[:], c.signed.Signatures[i].Signature)
	}); err != nil {
		return fmt.Errorf("verify enrolment request: %w", err)
	}
	for i := 1; i < len(c.signed.Signatures); i++ {
		if bytes.Compare(c.signed.Signatures[i-1].Key[:], c.signed.Signatures[i].Key[:]) >= 0 {
			return fmt.Errorf("verify enrolment request: signatures must be sorted by key, each key once")
		}
	}
	return nil
}

// verifyAll checks one signature for each key, and that there are no others.
func verifyAll(keys []crypto.PublicKey, have int, verify func(crypto.PublicKey) error) error {
	for _, k := range keys {
		if err := verify(k); err != nil {
			return fmt.Errorf("key %s, proof of possession: %w", k.ID().String()[:8], err)
		}
	}
	if have != len(keys) {
		return fmt.Errorf("%d signatures for %d keys", have, len(keys))
	}
	return nil
}
