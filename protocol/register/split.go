package register

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// SplitProof shows that the signers of the register signed two histories: two
// notes, and two different leaves at one index with their RFC 6962 inclusion
// proofs. It needs nobody's word and may be given to anybody. A
// node keeps the other note and stops (see [State.Contradicts]); this form of
// the proof is laid down now for the settling of a split, [KindBranch], which is
// reserved.
type SplitProof struct {
	Index  uint64           `cbor:"1,keyasint"` // of the leaf, from 0; the first at which the two differ
	Notes  [2][]byte        `cbor:"2,keyasint"`
	Leaves [2][]byte        `cbor:"3,keyasint"`
	Proofs [2][]crypto.Hash `cbor:"4,keyasint"`
}

// Encode returns the proof's bytes, to export.
func (p SplitProof) Encode() []byte { return protocol.Encode(p) }

// DecodeSplitProof reads a proof and verifies nothing.
func DecodeSplitProof(b []byte) (SplitProof, error) {
	p, err := protocol.Decode[SplitProof](b, 2*(MaxNote+protocol.MaxLeaf)+8192)
	if err != nil {
		return SplitProof{}, fmt.Errorf("decode split proof: %w", err)
	}
	return p, nil
}

// Verify checks the proof against a register that holds the leaves before
// Index: each note signed by a majority of the signers named just before the
// histories part, and each leaf in its note's tree. Where the signers changed
// in one history since, the note kept from before that change is the one to
// show.
func (p SplitProof) Verify(s *State) error {
	bad := func(f string, a ...any) error { return fmt.Errorf("verify split proof: "+f, a...) }
	if p.Index == 0 {
		return bad("two geneses are two networks, not a split of one")
	}
	if p.Index > s.Size() {
		return bad("the histories part at leaf %d, and %d leaves are here", p.Index, s.Size())
	}
	if bytes.Equal(p.Leaves[0], p.Leaves[1]) {
		return bad("the two leaves are the same")
	}
	for i, msg := range p.Notes {
		c, have, err := s.signedAt(msg, p.Index)
		if err != nil {
			return bad("note %d: %w", i+1, err)
		}
		if _, need := s.Signers(p.Index); have < need {
			return bad("note %d: %d of %d signatures: %w", i+1, have, need, ErrSigners)
		}
		if p.Index >= c.Size {
			return bad("note %d is of %d leaves and does not hold leaf %d", i+1, c.Size, p.Index)
		}
		var proof tlog.RecordProof
		for _, h := range p.Proofs[i] {
			proof = append(proof, tlog.Hash(h))
		}
		if err := tlog.CheckRecord(proof, int64(c.Size), tlog.Hash(c.Root), int64(p.Index), tlog.RecordHash(p.Leaves[i])); err != nil {
			return bad("leaf %d of note %d: %w", p.Index, i+1, err)
		}
	}
	return nil
}

// signedAt counts the nodes named as signers at a size whose signatures stand
// on a note, whatever its root.
func (s *State) signedAt(msg []byte, size uint64) (Checkpoint, int, error) {
	c, sigs, err := s.open(msg)
	if err != nil {
		return Checkpoint{}, 0, err
	}
	v, ok := s.at(size)
	if !ok {
		return Checkpoint{}, 0, fmt.Errorf("no size %d here", size)
	}
	return c, v.count(s.signers.at(size), sigs), nil
}

// Contradicts reports whether a note is of another history than this register
// and yet signed by a majority of the signers that this register names at the
// note's size: then it is to be kept, and [ProveSplit] asked for the leaves
// behind it. A note of more leaves than are here contradicts nothing yet.
func (s *State) Contradicts(msg []byte) (Checkpoint, bool) {
	c, err := ParseCheckpoint(msg)
	if err != nil {
		return Checkpoint{}, false
	}
	root, ok := s.RootAt(c.Size)
	if !ok || root == c.Root {
		return c, false
	}
	_, have, err := s.signedAt(msg, c.Size)
	if err != nil {
		return c, false
	}
	_, need := s.Signers(c.Size)
	return c, have >= need
}

// ProveSplit makes the proof from two notes and the leaves behind each. It
// verifies no signature.
func ProveSplit(noteA []byte, a [][]byte, noteB []byte, b [][]byte) (SplitProof, error) {
	p := SplitProof{Notes: [2][]byte{noteA, noteB}}
	i := 0
	for i < len(a) && i < len(b) && bytes.Equal(a[i], b[i]) {
		i++
	}
	if i == len(a) || i == len(b) {
		return SplitProof{}, fmt.Errorf("prove split: one history continues the other")
	}
	p.Index = uint64(i)
	for n, leaves := range [2][][]byte{a, b} {
		c, err := ParseCheckpoint(p.Notes[n])
		if err != nil {
			return SplitProof{}, fmt.Errorf("prove split: note %d: %w", n+1, err)
		}
		if c.Size != uint64(len(leaves)) {
			return SplitProof{}, fmt.Errorf("prove split: note %d is of %d leaves, and %d are here", n+1, c.Size, len(leaves))
		}
		proof, err := inclusion(leaves, i)
		if err != nil {
			return SplitProof{}, fmt.Errorf("prove split: %w", err)
		}
		p.Leaves[n], p.Proofs[n] = leaves[i], proof
	}
	return p, nil
}

// inclusion proves leaf i of a tree of leaves.
func inclusion(leaves [][]byte, i int) ([]crypto.Hash, error) {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for j, x := range at {
			out[j] = stored[x]
		}
		return out, nil
	})
	for n, l := range leaves {
		hs, err := tlog.StoredHashes(int64(n), l, read)
		if err != nil {
			return nil, err
		}
		stored = append(stored, hs...)
	}
	proof, err := tlog.ProveRecord(int64(len(leaves)), int64(i), read)
	if err != nil {
		return nil, err
	}
	out := []crypto.Hash{}
	for _, h := range proof {
		out = append(out, crypto.Hash(h))
	}
	return out, nil
}
