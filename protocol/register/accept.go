package register

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/national-alliance/alliance/protocol"
)

// VerifyCheckpoint checks a note against a register that holds its size: the
// same root, and a majority of the signers named in the state that it signs,
// each an active node then, each counted once; and the policy's quorum of
// witnesses, which is none under these rules.
func VerifyCheckpoint(s *State, msg []byte) (Checkpoint, error) {
	c, sigs, err := s.open(msg)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := s.verify(c, sigs, c.Size); err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}

// verify checks a note's verified signatures under the signers named at two
// sizes: that of the checkpoint, and that of the one accepted before it.
func (s *State) verify(c Checkpoint, sigs []note.Signature, before uint64) error {
	root, ok := s.RootAt(c.Size)
	if !ok {
		return fmt.Errorf("verify checkpoint: it is of %d leaves, and %d are here", c.Size, s.Size())
	}
	if root != c.Root {
		return fmt.Errorf("verify checkpoint of %d leaves: %w", c.Size, ErrRoot)
	}
	v, _ := s.at(c.Size)
	for _, size := range []uint64{c.Size, before} {
		named := s.signers.at(size)
		if have, need := v.count(named, sigs), majority(len(named)); have < need {
			return fmt.Errorf("verify checkpoint of %d leaves: %d of the %d signatures needed from the signers named at size %d: %w", c.Size, have, need, size, ErrSigners)
		}
	}
	if have, need := s.witnessed(c), s.witnessQuorum(c.Size); have < need {
		return fmt.Errorf("verify checkpoint of %d leaves: %d of %d witnesses: %w", c.Size, have, need, ErrSigners)
	}
	return nil
}

// count is how many of the named nodes are active and signed.
func (v view) count(named []protocol.NodeID, sigs []note.Signature) int {
	n := 0
	for _, id := range named {
		if v.nodeActive(id) && slices.ContainsFunc(sigs, func(g note.Signature) bool { return g.Name == keyName(id) }) {
			n++
		}
	}
	return n
}

// The policy's quorum of witnesses is zero until an operation of a later
// version of the rules names one; this is its place.
func (s *State) witnessQuorum(uint64) int { return 0 }
func (s *State) witnessed(Checkpoint) int { return 0 }

// Begin founds the register that a follower starts from, and checks that it
// is the pinned one.
func Begin(pinned protocol.NetworkID, genesis []byte) (*State, error) {
	s, err := Found(genesis)
	if err != nil {
		return nil, err
	}
	if s.Network() != pinned {
		return nil, fmt.Errorf("begin register: the genesis founds network %s, and %s is the one that this node was set up for", s.Network().Short(), pinned.Short())
	}
	return s, nil
}

// Accept takes leaves that follow an accepted register, and notes in order of
// size, the last of them of exactly the size that the leaves reach. Every leaf
// is applied. Each note must be signed by a majority of the signers in the
// state it signs and, where they changed since the note before it (or since
// accepted), by a majority of those of old as well. Where a single newest note
// does not reach back over several changes, [ErrSigners] is returned and
// [State.Changes] of the result of [Replay] says at which sizes to ask for the
// notes that are kept.
//
// On an error accepted stands as it was. The errors that a caller tells apart:
// [ErrShrinks], [ErrRoot] (keep the note: validly signed, it proves a split
// view), [ErrSigners], [ErrUpgrade].
func Accept(accepted *State, leaves [][]byte, notes ...[]byte) (*State, error) {
	if len(notes) == 0 || len(notes) > MaxNotes {
		return nil, fmt.Errorf("accept checkpoint: %d notes, 1 to %d are allowed", len(notes), MaxNotes)
	}
	last, err := ParseCheckpoint(notes[len(notes)-1])
	if err != nil {
		return nil, err
	}
	if last.Size < accepted.Size() {
		return nil, fmt.Errorf("accept checkpoint of %d leaves after %d: %w", last.Size, accepted.Size(), ErrShrinks)
	}
	if last.Size-accepted.Size() != uint64(len(leaves)) {
		return nil, fmt.Errorf("accept checkpoint: %d leaves lead from size %d to %d, and %d came", last.Size-accepted.Size(), accepted.Size(), last.Size, len(leaves))
	}
	s, err := Replay(accepted, leaves)
	if err != nil {
		return nil, err
	}
	before := accepted.Size()
	for _, msg := range notes {
		c, sigs, err := s.open(msg)
		if err != nil {
			return nil, err
		}
		if c.Size < before {
			return nil, fmt.Errorf("accept checkpoint of %d leaves after %d: %w", c.Size, before, ErrShrinks)
		}
		if err := s.verify(c, sigs, before); err != nil {
			return nil, err
		}
		before = c.Size
	}
	return s, nil
}

// Leads checks what a newer note needs before any of the leaves that it covers
// are here: verified signatures of a majority of the signers named in this
// state. A note without them may still be true, where the signers changed; then
// a note in between leads to it, and the first of those passes here. [Accept]
// checks the whole. The error wraps [ErrSigners], or says that it is no note of
// this network, or [ErrShrinks] where it is not newer.
func (s *State) Leads(msg []byte) (Checkpoint, error) {
	c, sigs, err := s.open(msg)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Size <= s.Size() {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d leaves after %d: %w", c.Size, s.Size(), ErrShrinks)
	}
	named, have := s.signers.at(s.Size()), 0
	for _, id := range named { // whether each is active is said by leaves to come
		if slices.ContainsFunc(sigs, func(g note.Signature) bool { return g.Name == keyName(id) }) {
			have++
		}
	}
	if need := majority(len(named)); have < need {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d leaves: %d of the %d signatures needed from the signers named at size %d: %w", c.Size, have, need, s.Size(), ErrSigners)
	}
	return c, nil
}

// Replay applies leaves one after another. What it returns is not accepted
// until a checkpoint says so (see [Accept]).
func Replay(s *State, leaves [][]byte) (*State, error) {
	for _, l := range leaves {
		next, err := Apply(s, l)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", s.Size(), err)
		}
		s = next
	}
	return s, nil
}
