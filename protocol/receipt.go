package protocol

import (
	"fmt"

	"github.com/national-alliance/alliance/crypto"
)

// Receipt is a holder's word: "feed Feed up to Seq, whose head is Head, is
// durable on this node, with every section that we are entitled to; but we
// refused …, and hold … without vouching for it". It is cumulative: the newest
// of a node for a feed replaces the ones before. Any holder passes it on.
type Receipt struct {
	Version uint64    `cbor:"1,keyasint"`
	Network NetworkID `cbor:"2,keyasint"`
	Org     OrgID     `cbor:"3,keyasint"`
	Node    NodeID    `cbor:"4,keyasint"`
	Feed    FeedID    `cbor:"5,keyasint"`
	Seq     uint64    `cbor:"6,keyasint"`
	Head    RecordID  `cbor:"7,keyasint"`
	Refused []Refusal `cbor:"8,keyasint,omitempty"`
	Held    []Range   `cbor:"9,keyasint,omitempty"`
}

// SignedReceipt is a receipt as it travels; the signature covers Body as it is.
type SignedReceipt struct {
	Body      []byte           `cbor:"1,keyasint"`
	Signature crypto.Signature `cbor:"2,keyasint"`
}

// SignReceipt signs with the node's author key.
func SignReceipt(key crypto.PrivateKey, r Receipt) SignedReceipt {
	b := Encode(r)
	return SignedReceipt{Body: b, Signature: key.Sign(labelReceipt, crypto.Hash(r.Network), b)}
}

// Verify checks a receipt against the register: its node is known and not
// revoked, of the organisation it names, and signed it. Errors wrap [ErrDrop],
// or [ErrWait] where the node may be newer than our register.
func (s SignedReceipt) Verify(m Members) (Receipt, error) {
	r, err := Decode[Receipt](s.Body, MaxReceipt)
	if err != nil {
		return r, fmt.Errorf("%w: receipt: %v", ErrDrop, err)
	}
	if r.Version != Version || r.Network != m.Network() || r.Seq == 0 || !ordered(r.Held, r.Seq) || !orderedRefusals(r.Refused, r.Seq) {
		return Receipt{}, fmt.Errorf("%w: receipt: of another network or version, or its ranges do not fit", ErrDrop)
	}
	if err := signedBy(m, r.Node, r.Org, labelReceipt, s.Body, s.Signature); err != nil {
		return Receipt{}, err
	}
	return r, nil
}

// Vouches reports whether the receipt says that the record at seq is durable.
func (r Receipt) Vouches(seq uint64) bool {
	if seq == 0 || seq > r.Seq {
		return false
	}
	for _, h := range r.Held {
		if h.From <= seq && seq <= h.To {
			return false
		}
	}
	for _, f := range r.Refused {
		if f.From <= seq && seq <= f.To {
			return false
		}
	}
	return true
}

// Head is a node's daily statement of a feed's head, to that feed's holders:
// a chain alone cannot show that its tail is withheld. Whoever holds the feed
// compares Node with its author's node.
type Head struct {
	Version uint64    `cbor:"1,keyasint"`
	Network NetworkID `cbor:"2,keyasint"`
	Org     OrgID     `cbor:"3,keyasint"`
	Node    NodeID    `cbor:"4,keyasint"`
	Day     Day       `cbor:"5,keyasint"`
	Feed    FeedID    `cbor:"6,keyasint"`
	Seq     uint64    `cbor:"7,keyasint"`
	Head    RecordID  `cbor:"8,keyasint"`
}

// SignedHead is a head statement as it travels.
type SignedHead struct {
	Body      []byte           `cbor:"1,keyasint"`
	Signature crypto.Signature `cbor:"2,keyasint"`
}

// SignHead signs with the node's author key.
func SignHead(key crypto.PrivateKey, h Head) SignedHead {
	b := Encode(h)
	return SignedHead{Body: b, Signature: key.Sign(labelHead, crypto.Hash(h.Network), b)}
}

// Verify checks a head statement as [SignedReceipt.Verify] does a receipt.
func (s SignedHead) Verify(m Members) (Head, error) {
	h, err := Decode[Head](s.Body, MaxReceipt)
	if err != nil {
		return h, fmt.Errorf("%w: head statement: %v", ErrDrop, err)
	}
	if h.Version != Version || h.Network != m.Network() || h.Seq == 0 {
		return Head{}, fmt.Errorf("%w: head statement: of another network or version", ErrDrop)
	}
	if err := signedBy(m, h.Node, h.Org, labelHead, s.Body, s.Signature); err != nil {
		return Head{}, err
	}
	return h, nil
}

func signedBy(m Members, id NodeID, org OrgID, label crypto.Label, body []byte, sig crypto.Signature) error {
	n, ok := m.NodeAt(id, m.Size())
	if !ok {
		return fmt.Errorf("%w: of a node that our register does not have", ErrWait)
	}
	if n.Org != org || n.Status == Revoked {
		return fmt.Errorf("%w: of a node that does not speak for that organisation", ErrDrop)
	}
	if err := crypto.Verify(n.Author, label, crypto.Hash(m.Network()), body, sig); err != nil {
		return fmt.Errorf("%w: %v", ErrDrop, err)
	}
	return nil
}

func ordered(rs []Range, max uint64) bool {
	last := uint64(0)
	for _, r := range rs {
		if r.From <= last || r.To < r.From || r.To > max {
			return false
		}
		last = r.To
	}
	return len(rs) <= MaxRanges
}

func orderedRefusals(rs []Refusal, max uint64) bool {
	last := uint64(0)
	for _, r := range rs {
		if r.From <= last || r.To < r.From || r.To > max || r.Code == 0 {
			return false
		}
		last = r.To
	}
	return len(rs) <= MaxRanges
}
