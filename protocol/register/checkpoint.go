package register

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

var (
	// ErrRoot says that a checkpoint names another root than the leaves give:
	// a changed leaf, or a split view.
	ErrRoot = errors.New("the register's root is not the one that was signed")
	// ErrShrinks says that a checkpoint is older than the one accepted.
	ErrShrinks = errors.New("the checkpoint is older than the one accepted before")
	// ErrSigners says that a checkpoint lacks signatures.
	ErrSigners = errors.New("too few of the register's signers signed the checkpoint")
)

// Checkpoint is what a C2SP signed note of the register says: the origin that
// names the network, the size and the root.
type Checkpoint struct {
	Network protocol.NetworkID
	Size    uint64
	Root    crypto.Hash
}

const originPrefix = "alliance/v1/"

// Origin is the first line of a network's checkpoints.
func Origin(n protocol.NetworkID) string { return originPrefix + n.String() }

// Text is the signed part of the note (c2sp.org/tlog-checkpoint, no
// extension lines).
func (c Checkpoint) Text() string {
	return Origin(c.Network) + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// ParseCheckpoint reads a note's text and verifies no signature. Extension
// lines are refused: this program would not know what it accepts with them.
func ParseCheckpoint(msg []byte) (Checkpoint, error) {
	bad := func(why string) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: %s", why)
	}
	if len(msg) > MaxNote {
		return bad(fmt.Sprintf("%d bytes, at most %d are allowed", len(msg), MaxNote))
	}
	text, _, ok := bytes.Cut(msg, []byte("\n\n"))
	if !ok {
		return bad("it is no signed note")
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 3 {
		return bad("three lines must stand in it")
	}
	hex, ok := strings.CutPrefix(lines[0], originPrefix)
	network, err := crypto.ParseHash(hex)
	if !ok || err != nil {
		return bad("its origin names no network of this kind")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] || size == 0 {
		return bad("its size is no number from 1")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != crypto.HashSize {
		return bad("its root is no hash")
	}
	c := Checkpoint{protocol.NetworkID(network), size, crypto.Hash(root)}
	if !strings.HasPrefix(string(msg), c.Text()+"\n") {
		return bad("it is not written in its one form")
	}
	return c, nil
}

// Checkpoint is what a signer of the register signs at one of its sizes.
func (s *State) Checkpoint(size uint64) (Checkpoint, bool) {
	root, ok := s.RootAt(size)
	return Checkpoint{s.network, size, root}, ok
}

// keyName is a signer's name in a note: its node ID in hex.
func keyName(id protocol.NodeID) string { return id.String() }

type noteSigner struct {
	note.Verifier
	key ed25519.PrivateKey
}

func (n noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(n.key, msg), nil }

func verifier(id protocol.NodeID, key crypto.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(keyName(id), key[:])
	if err != nil {
		return nil, fmt.Errorf("make verifier of node %s: %w", id.Short(), err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("make verifier of node %s: %w", id.Short(), err)
	}
	return v, nil
}

// SignCheckpoint signs the register at a size with a secretariat node's
// checkpoint key. The caller has validated every leaf (as every State has),
// and makes the state durable before the note leaves. A register that is in
// memory only must not be signed for.
func (s *State) SignCheckpoint(size uint64, id protocol.NodeID, key crypto.PrivateKey) ([]byte, error) {
	c, ok := s.Checkpoint(size)
	if !ok {
		return nil, fmt.Errorf("sign checkpoint: size %d is not in a register of %d", size, s.Size())
	}
	if want, ok := s.CheckpointKey(id); !ok || want != key.Public() {
		return nil, fmt.Errorf("sign checkpoint: this is not the checkpoint key of node %s", id.Short())
	}
	v, err := verifier(id, key.Public())
	if err != nil {
		return nil, err
	}
	msg, err := note.Sign(&note.Note{Text: c.Text()}, noteSigner{v, ed25519.NewKeyFromSeed(key.Seed())})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return msg, nil
}

// MergeNotes puts signatures of secretariat nodes over one checkpoint
// together. Lines that do not verify under a key of this register are left
// out; notes of another checkpoint are refused.
func (s *State) MergeNotes(notes ...[]byte) ([]byte, error) {
	var c Checkpoint
	var sigs []note.Signature
	seen := make(map[string]bool)
	for i, msg := range notes {
		o, n, err := s.open(msg)
		if err != nil {
			return nil, fmt.Errorf("merge checkpoints: %w", err)
		}
		if i == 0 {
			c = o
		} else if o != c {
			return nil, fmt.Errorf("merge checkpoints: they are of different registers or sizes")
		}
		for _, sig := range n {
			if !seen[sig.Name] {
				seen[sig.Name] = true
				sigs = append(sigs, sig)
			}
		}
	}
	if len(sigs) == 0 {
		return nil, fmt.Errorf("merge checkpoints: %w", ErrSigners)
	}
	slices.SortFunc(sigs, func(a, b note.Signature) int { return strings.Compare(a.Name, b.Name) })
	msg, err := note.Sign(&note.Note{Text: c.Text(), Sigs: sigs})
	if err != nil {
		return nil, fmt.Errorf("merge checkpoints: %w", err)
	}
	return msg, nil
}

// open parses a note and returns the signatures of enrolled secretariat nodes
// that verify, each node once. Lines of unknown signers are ignored, as C2SP
// asks; a line that claims to be a known one and does not verify counts for
// nothing.
func (s *State) open(msg []byte) (Checkpoint, []note.Signature, error) {
	c, err := ParseCheckpoint(msg)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if c.Network != s.network {
		return Checkpoint{}, nil, fmt.Errorf("parse checkpoint: it is of another network, %s", c.Network.Short())
	}
	n, err := note.Open(msg, known{s})
	if _, none := errors.AsType[*note.UnverifiedNoteError](err); none {
		return c, nil, nil
	}
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("parse checkpoint: %w", err)
	}
	var good []note.Signature
	for _, sig := range n.Sigs {
		raw, err := base64.StdEncoding.DecodeString(sig.Base64)
		if err != nil || len(raw) < 4 { // the key hash stands before the signature
			continue
		}
		if v, err := (known{s}).find(sig.Name, sig.Hash); err == nil && v.Verify([]byte(n.Text), raw[4:]) {
			good = append(good, sig)
		}
	}
	return c, good, nil
}

// known finds the checkpoint keys of a register's secretariat nodes.
type known struct{ s *State }

func (k known) find(name string, hash uint32) (note.Verifier, error) {
	unknown := &note.UnknownVerifierError{Name: name, KeyHash: hash}
	id, err := crypto.ParseHash(name)
	if err != nil {
		return nil, unknown
	}
	key, ok := k.s.CheckpointKey(protocol.NodeID(id))
	if !ok {
		return nil, unknown
	}
	v, err := verifier(protocol.NodeID(id), key)
	if err != nil || v.KeyHash() != hash {
		return nil, unknown
	}
	return v, nil
}

// Verifier is for note.Open, which refuses a whole note for one bad line: so
// every line of a known key passes there, and open verifies each itself.
func (k known) Verifier(name string, hash uint32) (note.Verifier, error) {
	v, err := k.find(name, hash)
	if err != nil {
		return nil, err
	}
	return lenient{v}, nil
}

type lenient struct{ note.Verifier }

func (lenient) Verify(_, _ []byte) bool { return true }
