package register

import (
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Draft returns the genesis operation.
func (g Genesis) Draft() *Op {
	return &Op{Version: 1, Subject: Subject{Kind: SubjectGenesis}, Next: 1, Body: g}
}

// Found reads a genesis leaf and returns the register that it founds, of one
// leaf. Every officer, every administrator of the secretariat and every key of
// its first node must have signed it, and nobody else. Whoever installs a node
// pins the network's ID; compare it with [State.Network].
func Found(leaf []byte) (*State, error) { return found(leaf, false) }

func found(b []byte, trusted bool) (*State, error) {
	leaf, err := DecodeLeaf(b)
	if err != nil {
		return nil, err
	}
	op, err := DecodeOp(leaf.Op)
	if err != nil {
		return nil, err
	}
	g, ok := op.Body.(Genesis)
	if !ok {
		return nil, fmt.Errorf("found network: the first leaf is a %s and not a genesis", op.Kind())
	}
	if op.Next != 1 {
		return nil, fmt.Errorf("found network: a genesis makes version 1")
	}
	network := NetworkOf(leaf.Op)
	r, err := decodeRequest(g.Secretariat, true)
	if err != nil {
		return nil, fmt.Errorf("found network: %w", err)
	}
	keys := r.keys()
	for _, m := range g.Officers.Set.Members {
		if slices.Contains(keys, m.Key) {
			return nil, fmt.Errorf("found network: one key for two purposes")
		}
	}
	for _, m := range g.Officers.Set.Members {
		keys = append(keys, m.Key)
	}
	hash := OpHash(network, leaf.Op)
	if !trusted {
		err = verifyAll(keys, len(leaf.Signatures), func(k crypto.PublicKey) error {
			i := slices.IndexFunc(leaf.Signatures, func(s Signature) bool { return s.Key == k })
			if i < 0 {
				return fmt.Errorf("its signature is missing: %w", ErrApprovals)
			}
			if len(leaf.Signatures[i].List) > 0 {
				return fmt.Errorf("a genesis is signed alone")
			}
			return leaf.Signatures[i].verify(network, hash)
		})
		if err != nil {
			return nil, fmt.Errorf("found network: %w", err)
		}
	}

	s := &State{
		network: network, mode: g.Mode, title: g.Title,
		orgs: newMap[*org](), nodes: newMap[*node](), groups: newMap[*group](),
		names: newMap[protocol.OrgID](), keys: newMap[keyUse](), recipients: newMap[protocol.OrgID](),
	}
	c := &change{view: view{s: s, now: leaf.Time, trusted: trusted}, next: s, after: 1}
	for _, m := range g.Officers.Set.Members {
		if err := c.claimKey(m.Key, keyUse{ForOfficer, protocol.OrgID{}, m.Person}); err != nil {
			return nil, fmt.Errorf("found network: %w", err)
		}
	}
	s.secr = OrgIDOf(network, g.Secretariat)
	if err := c.enrolOrg(s.secr, r); err != nil {
		return nil, fmt.Errorf("found network: %w", err)
	}
	s.policy = s.policy.set(1, g.Policy)
	officers := OfficerSet{g.Officers.Set.stripped(), g.Officers.Suspension}
	s.officers = s.officers.set(1, &officers)
	s.signers = s.signers.set(1, []protocol.NodeID{r.Node.ID(network)})
	s.grow(b, leaf.Time)
	return s, nil
}
