package register

import (
	"fmt"

	"github.com/national-alliance/alliance/protocol"
)

// Draft returns an operation on a subject, with the subject's next version and
// this register as its base. It refuses what [Apply] would refuse whoever
// signed it, proofs of possession included, so that nobody is asked to sign in
// vain. expiry is in Unix seconds of leaf time.
func (s *State) Draft(about Subject, body Body, expiry int64) (*Op, error) {
	op := &Op{
		Version: s.Policy().Rules, Network: s.network, Subject: about, Next: s.Version(about) + 1,
		BaseSize: s.Size(), BaseRoot: s.Root(), Expiry: expiry, Body: body,
	}
	if expiry <= s.Time() {
		return nil, fmt.Errorf("draft %s: it would expire before it could be applied", op.Kind())
	}
	again, err := DecodeOp(op.Encode())
	if err != nil {
		return nil, fmt.Errorf("draft %s: %w", op.Kind(), err)
	}
	v := s.now()
	if _, err := body.needs(v, again); err != nil {
		return nil, fmt.Errorf("draft %s: %w", op.Kind(), err)
	}
	next := *s
	c := &change{view: v, next: &next, after: v.size + 1}
	if err := body.apply(c, again); err != nil {
		return nil, fmt.Errorf("draft %s: %w", op.Kind(), err)
	}
	if err := c.viable(); err != nil {
		return nil, fmt.Errorf("draft %s: %w", op.Kind(), err)
	}
	return op, nil
}

// Approval is what one rule of an operation asks for, and how far it is met.
type Approval struct {
	Who  string // such as "officers"; of several that would do, the nearest
	Have int    // people whose signatures are there and stand
	Need int
}

// Met reports whether enough have signed.
func (a Approval) Met() bool { return a.Have >= a.Need }

// Approvals says what a signed operation still needs, at the register's
// present. Signatures that do not stand, or that have no say, count for
// nothing.
func (s *State) Approvals(so SignedOp) ([]Approval, error) {
	op, err := DecodeOp(so.Op)
	if err != nil {
		return nil, err
	}
	needs, err := op.Body.needs(s.now(), op)
	if err != nil {
		return nil, err
	}
	hash := OpHash(s.network, so.Op)
	var stand []Signature
	for _, sig := range so.Signatures {
		if sig.verify(s.network, hash) == nil {
			stand = append(stand, sig)
		}
	}
	var out []Approval
	for _, r := range needs {
		var best Approval
		for i, q := range r {
			a := Approval{q.who, q.have(stand), q.need}
			if i == 0 || a.Need-a.Have < best.Need-best.Have {
				best = a
			}
		}
		out = append(out, best)
	}
	return out, nil
}

// Propose makes the leaf that a signed operation would become at a time, and
// applies it. Signatures that have no say any more, because their signer left
// the set meanwhile, or that do not stand, are left out. An operation that is
// not valid gets no leaf.
func (s *State) Propose(time int64, so SignedOp) (leaf []byte, next *State, err error) {
	op, err := DecodeOp(so.Op)
	if err != nil {
		return nil, nil, err
	}
	needs, err := op.Body.needs(view{s: s, size: s.Size(), now: time}, op)
	if err != nil {
		return nil, nil, fmt.Errorf("propose %s: %w", op.Kind(), err)
	}
	hash := OpHash(s.network, so.Op)
	var count SignedOp
	for _, sig := range so.Signatures {
		if hasSay(needs, sig.Key) && sig.verify(s.network, hash) == nil {
			count = count.With(sig)
		}
	}
	leaf = Leaf{time, so.Op, count.Signatures}.Encode()
	next, err = Apply(s, leaf)
	if err != nil {
		return nil, nil, err
	}
	return leaf, next, nil
}

// TakenAway checks a signed operation (see [SignedOp]) that only takes away —
// taints a key, revokes an organisation or a node — against the register at
// size: validly signed, next in version, and not applied yet.
func (s *State) TakenAway(op []byte, size uint64) (protocol.Struck, bool) {
	so, o, err := DecodeSignedOp(op)
	if err != nil {
		return protocol.Struck{}, false
	}
	v, ok := s.at(size)
	if !ok {
		return protocol.Struck{}, false
	}
	var struck protocol.Struck
	switch b := o.Body.(type) {
	case TaintKey:
		struck = protocol.Struck{Org: o.Subject.org(), Epoch: b.Epoch}
	case RevokeOrg:
		struck.Org = o.Subject.org()
	case RevokeNode:
		n, ok := v.node(b.Node)
		if !ok {
			return protocol.Struck{}, false
		}
		struck = protocol.Struck{Org: n.org, Node: b.Node}
	default:
		return protocol.Struck{}, false
	}
	if _, err := v.judge(so.Op, o, so.Signatures); err != nil {
		return protocol.Struck{}, false
	}
	return struck, true
}

// Load rebuilds a register from leaves that this node accepted before, in
// order, the genesis first. Their signatures are not verified again: instead
// the root must be the one that the caller kept with them.
func Load(leaves [][]byte, root [32]byte) (*State, error) {
	if len(leaves) == 0 {
		return nil, fmt.Errorf("load register: no leaves")
	}
	s, err := found(leaves[0], true)
	if err != nil {
		return nil, fmt.Errorf("load register: %w", err)
	}
	for i, l := range leaves[1:] {
		if s, err = s.apply(l, true); err != nil {
			return nil, fmt.Errorf("load register: leaf %d: %w", i+1, err)
		}
	}
	if s.Root() != root {
		return nil, fmt.Errorf("load register: %w: the leaves on disk are not those that were accepted", ErrRoot)
	}
	return s, nil
}
