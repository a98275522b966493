package register

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Leaf is one entry of the register's Merkle tree: an operation, the time at
// which it took effect, and the signatures that carried it. Its hash covers
// all three.
type Leaf struct {
	Time       int64       `cbor:"1,keyasint"` // Unix seconds, never less than the leaf's before
	Op         []byte      `cbor:"2,keyasint"`
	Signatures []Signature `cbor:"3,keyasint,omitempty"` // sorted by key, each key once
}

// Encode returns the leaf's bytes.
func (l Leaf) Encode() []byte { return protocol.Encode(l) }

// DecodeLeaf reads a leaf. It does not look into the operation and verifies
// no signature.
func DecodeLeaf(b []byte) (Leaf, error) {
	l, err := protocol.Decode[Leaf](b, protocol.MaxLeaf)
	if err != nil {
		return Leaf{}, fmt.Errorf("decode leaf: %w", err)
	}
	if l.Time <= 0 || l.Time > MaxTime {
		return Leaf{}, fmt.Errorf("decode leaf: %w: its time is not of this age", protocol.ErrEncoding)
	}
	if err := checkSignatures(l.Signatures); err != nil {
		return Leaf{}, fmt.Errorf("decode leaf: %w", err)
	}
	return l, nil
}

// LeafHash is the RFC 6962 hash of a leaf's bytes: SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) crypto.Hash { return crypto.Hash(tlog.RecordHash(leaf)) }

func checkSignatures(sigs []Signature) error {
	if len(sigs) > MaxSignatures {
		return fmt.Errorf("%w: %d signatures", protocol.ErrEncoding, len(sigs))
	}
	for i, s := range sigs {
		if i > 0 && bytes.Compare(sigs[i-1].Key[:], s.Key[:]) >= 0 {
			return fmt.Errorf("%w: signatures must be sorted by key, each key once", protocol.ErrEncoding)
		}
		if len(s.List) == 1 || len(s.List) > MaxBatch {
			return fmt.Errorf("%w: a signature over %d listed operations", protocol.ErrEncoding, len(s.List))
		}
		for j := 1; j < len(s.List); j++ {
			if bytes.Compare(s.List[j-1][:], s.List[j][:]) >= 0 {
				return fmt.Errorf("%w: listed operations must be sorted, each once", protocol.ErrEncoding)
			}
		}
	}
	return nil
}

// verify checks that the signature stands and covers the operation.
func (s Signature) verify(network protocol.NetworkID, op crypto.Hash) error {
	list := s.List
	if len(list) == 0 {
		list = []crypto.Hash{op}
	} else if !slices.Contains(list, op) {
		return fmt.Errorf("verify approval: its list does not name this operation")
	}
	if err := crypto.Verify(s.Key, labelApprove, crypto.Hash(network), joinHashes(list), s.Signature); err != nil {
		return fmt.Errorf("verify approval of key %s: %w", s.Key.ID().String()[:8], err)
	}
	return nil
}

func joinHashes(list []crypto.Hash) []byte {
	b := make([]byte, 0, len(list)*crypto.HashSize)
	for _, h := range list {
		b = append(b, h[:]...)
	}
	return b
}

// SignOps approves operations with one signature and returns it once for each
// operation, in their order. One operation gets a signature over itself alone.
func SignOps(key crypto.Signer, network protocol.NetworkID, ops ...[]byte) ([]Signature, error) {
	if len(ops) == 0 || len(ops) > MaxBatch {
		return nil, fmt.Errorf("sign operations: %d at once, 1 to %d are allowed", len(ops), MaxBatch)
	}
	var list []crypto.Hash
	for _, op := range ops {
		list = append(list, OpHash(network, op))
	}
	slices.SortFunc(list, func(a, b crypto.Hash) int { return bytes.Compare(a[:], b[:]) })
	if len(slices.Compact(slices.Clone(list))) != len(ops) {
		return nil, fmt.Errorf("sign operations: the same operation stands twice")
	}
	sig, err := crypto.SignWith(key, labelApprove, crypto.Hash(network), joinHashes(list))
	if err != nil {
		return nil, fmt.Errorf("sign operations: %w", err)
	}
	s := Signature{Key: key.Public(), Signature: sig}
	if len(list) > 1 {
		s.List = list
	}
	return slices.Repeat([]Signature{s}, len(ops)), nil
}

// With returns the signed operation with further signatures, sorted, each key
// once; of two of one key the later stands.
func (s SignedOp) With(sigs ...Signature) SignedOp {
	out := slices.Clone(s.Signatures)
	for _, n := range sigs {
		i, ok := slices.BinarySearchFunc(out, n.Key, func(s Signature, k crypto.PublicKey) int { return bytes.Compare(s.Key[:], k[:]) })
		if ok {
			out[i] = n
		} else {
			out = slices.Insert(out, i, n)
		}
	}
	return SignedOp{s.Op, out}
}

// Leaf makes the leaf that a signed operation becomes at a time.
func (s SignedOp) Leaf(time int64) []byte {
	return Leaf{time, s.Op, SignedOp{}.With(s.Signatures...).Signatures}.Encode()
}
