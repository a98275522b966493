package register

import (
	"encoding/binary"
	"fmt"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Endorsement is one signer's word that an operation, at a time, may follow a
// root: it applied the operation to its own state, and the time is within
// [ClockSeconds] of its own clock. It is signed with the node's author key.
type Endorsement struct {
	Node      protocol.NodeID  `cbor:"1,keyasint"`
	Signature crypto.Signature `cbor:"2,keyasint"`
}

// Entry is a leaf as it stands in the secretariat's Raft log, with the
// endorsements that the state machine asks for. They stay in the log and do
// not enter the register.
type Entry struct {
	Leaf         []byte        `cbor:"1,keyasint"`
	PrevRoot     crypto.Hash   `cbor:"2,keyasint"` // of the register before the leaf
	Endorsements []Endorsement `cbor:"3,keyasint"` // sorted by node, each once
}

// Encode returns the entry's bytes.
func (e Entry) Encode() []byte { return protocol.Encode(e) }

// DecodeEntry reads an entry and verifies nothing.
func DecodeEntry(b []byte) (Entry, error) {
	e, err := protocol.Decode[Entry](b, MaxEntry)
	if err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	return e, nil
}

// CheckTime says whether a signer may endorse a leaf's time: within
// [ClockSeconds] of its own clock, and never before the leaf before it. All in
// Unix seconds.
func CheckTime(now, leaf, before int64) error {
	switch d := leaf - now; {
	case leaf < before:
		return fmt.Errorf("check leaf time: it is %d seconds before the newest leaf", before-leaf)
	case d > ClockSeconds || d < -ClockSeconds:
		return fmt.Errorf("check leaf time: it is %d seconds from this node's clock, at most %d are allowed: check the clocks of the secretariat's machines", d, ClockSeconds)
	}
	return nil
}

func endorsed(root crypto.Hash, time int64, op crypto.Hash) []byte {
	b := append([]byte{}, root[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(time))
	return append(b, op[:]...)
}

// Endorse checks a proposed leaf against this register and a clock (Unix
// seconds), and signs for it with a signer's author key.
func (s *State) Endorse(id protocol.NodeID, author crypto.PrivateKey, leaf []byte, prev crypto.Hash, now int64) (Endorsement, error) {
	if prev != s.Root() {
		return Endorsement{}, fmt.Errorf("endorse leaf: it follows another root than this node's: %w", ErrRoot)
	}
	if n, ok := s.node(id); !ok || n.keys.Author != author.Public() {
		return Endorsement{}, fmt.Errorf("endorse leaf: this is not the author key of node %s", id.Short())
	}
	l, err := DecodeLeaf(leaf)
	if err != nil {
		return Endorsement{}, err
	}
	if err := CheckTime(now, l.Time, s.Time()); err != nil {
		return Endorsement{}, err
	}
	if _, err := Apply(s, leaf); err != nil {
		return Endorsement{}, err
	}
	msg := endorsed(prev, l.Time, OpHash(s.network, l.Op))
	return Endorsement{id, author.Sign(labelEndorse, crypto.Hash(s.network), msg)}, nil
}

// CheckEndorsement verifies one endorsement of a leaf that would follow this
// register: by an active signer.
func (s *State) CheckEndorsement(leaf []byte, e Endorsement) error {
	l, err := DecodeLeaf(leaf)
	if err != nil {
		return err
	}
	return s.checkEndorsement(s.Root(), l.Time, OpHash(s.network, l.Op), e)
}

func (s *State) checkEndorsement(root crypto.Hash, time int64, op crypto.Hash, e Endorsement) error {
	v := s.now()
	for _, id := range s.signers.at(v.size) {
		if id != e.Node || !v.nodeActive(id) {
			continue
		}
		n, _ := s.node(id)
		return crypto.Verify(n.keys.Author, labelEndorse, crypto.Hash(s.network), endorsed(root, time, op), e.Signature)
	}
	return fmt.Errorf("check endorsement: node %s is not an active signer", e.Node.Short())
}

// EndorsementQuorum is how many signers must endorse the next leaf.
func (s *State) EndorsementQuorum() int { return majority(len(s.signers.at(s.Size()))) }

// ApplyEntry is what the secretariat's state machine does with an entry of its
// log. An error means that the entry is skipped, alike on every node:
// endorsed by no majority of the signers, made for another root, or not valid.
// But [ErrUpgrade] stops the machine.
func ApplyEntry(s *State, e Entry) (*State, error) {
	if e.PrevRoot != s.Root() {
		return nil, fmt.Errorf("apply entry: it follows another root: %w", ErrRoot)
	}
	l, err := DecodeLeaf(e.Leaf)
	if err != nil {
		return nil, err
	}
	op := OpHash(s.network, l.Op)
	for i, en := range e.Endorsements {
		if i > 0 && e.Endorsements[i-1].Node.Compare(en.Node) >= 0 {
			return nil, fmt.Errorf("apply entry: endorsements must be sorted by node, each once")
		}
		if err := s.checkEndorsement(e.PrevRoot, l.Time, op, en); err != nil {
			return nil, fmt.Errorf("apply entry: %w", err)
		}
	}
	if have, need := len(e.Endorsements), s.EndorsementQuorum(); have < need {
		return nil, fmt.Errorf("apply entry: %d of %d endorsements: %w", have, need, ErrSigners)
	}
	return Apply(s, e.Leaf)
}
