package register

import (
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// byAdmins is the quorum of the subject's administrators. A suspended
// organisation may only take away; a revoked one nothing.
func (v view) byAdmins(op *Op, takesAway bool) ([]requirement, error) {
	o, ok := v.org(op.Subject.org())
	if !ok {
		return nil, fmt.Errorf("organisation %s is not enrolled", op.Subject.org().Short())
	}
	switch s := v.orgStatus(o); {
	case s == protocol.Revoked:
		return nil, fmt.Errorf("%q was revoked, for ever", o.name)
	case s == protocol.Suspended && !takesAway:
		return nil, fmt.Errorf("%q is suspended: until that ends it can only take away", o.name)
	}
	a := o.admins.at(v.size)
	return []requirement{{{"administrators of " + o.name, a.Members, int(a.Threshold)}}}, nil
}

// Administrators' change: the old quorum and the new.

func (b AdminsChange) needs(v view, op *Op) ([]requirement, error) {
	r, err := v.byAdmins(op, false)
	return append(r, requirement{{"administrators of the new set", b.Administrators.Members, int(b.Administrators.Threshold)}}), err
}

func (b AdminsChange) apply(c *change, op *Op) error {
	o := c.editOrg(op.Subject.org())
	if !c.trusted {
		if err := b.Administrators.proven(*o.admins.at(c.size), c.s.network, ForAdministrator, o.id); err != nil {
			return err
		}
	}
	for _, m := range b.Administrators.Members {
		if err := c.claimKey(m.Key, keyUse{ForAdministrator, o.id, m.Person}); err != nil {
			return err
		}
	}
	set := b.Administrators.stripped()
	o.admins = o.admins.set(c.after, &set)
	c.putOrg(o)
	return nil
}

// Nodes.

func (EnrolNode) needs(v view, op *Op) ([]requirement, error) { return v.byAdmins(op, false) }

func (b EnrolNode) apply(c *change, op *Op) error {
	o := c.editOrg(op.Subject.org())
	if secr := o.class == protocol.ClassSecretariat; secr == b.Node.Checkpoint.IsZero() {
		return fmt.Errorf("the secretariat's nodes have a checkpoint key, others have none")
	}
	id := b.Node.ID(c.s.network)
	if !c.trusted {
		for _, p := range []struct {
			usedKey
			proof [64]byte
		}{{usedKey{ForAuthor, b.Node.Author}, b.Author}, {usedKey{ForTransport, b.Node.Transport}, b.Transport}, {usedKey{ForCheckpoint, b.Node.Checkpoint}, b.Checkpoint}} {
			if p.key.IsZero() {
				if p.proof != [64]byte{} {
					return fmt.Errorf("a proof of possession for no key")
				}
				continue
			}
			if err := checkProof(p.key, c.s.network, p.use, o.id, id, p.proof); err != nil {
				return err
			}
		}
	}
	if _, err := c.enrolNode(o.id, b.Node); err != nil {
		return err
	}
	o.nodes = o.nodes.with(id)
	c.putOrg(o)
	return nil
}

func (RetireNode) needs(v view, op *Op) ([]requirement, error) { return v.byAdmins(op, true) }

func (b RetireNode) apply(c *change, op *Op) error { return c.putOut(b.Node, op, protocol.Retired) }

// ownActive refuses nodes that are not active ones of the organisation.
func (c *change) ownActive(nodes []protocol.NodeID, org protocol.OrgID) error {
	for _, id := range nodes {
		n, ok := c.view.node(id)
		if !ok || n.org != org {
			return fmt.Errorf("node %s is not one of this organisation's", id.Short())
		}
		if !c.nodeActive(id) {
			return fmt.Errorf("node %s is not active", id.Short())
		}
	}
	return nil
}

func (SetVoters) needs(v view, op *Op) ([]requirement, error) { return v.byAdmins(op, false) }

func (b SetVoters) apply(c *change, op *Op) error {
	o := c.editOrg(op.Subject.org())
	if err := c.ownActive(b.Nodes, o.id); err != nil {
		return err
	}
	o.voters = o.voters.set(c.after, b.Nodes)
	c.putOrg(o)
	return nil
}

func (SetSigners) needs(v view, op *Op) ([]requirement, error) {
	if op.Subject.org() != v.s.secr {
		return nil, fmt.Errorf("only the secretariat has signers")
	}
	return v.byAdmins(op, false)
}

func (b SetSigners) apply(c *change, op *Op) error {
	if err := c.ownActive(b.Nodes, op.Subject.org()); err != nil {
		return err
	}
	if slices.Equal(c.s.signers.at(c.size), b.Nodes) {
		return fmt.Errorf("these are the signers already")
	}
	c.next.signers = c.next.signers.set(c.after, b.Nodes)
	return nil
}

// Encryption keys.

func (PublishKey) needs(v view, op *Op) ([]requirement, error) { return v.byAdmins(op, false) }

func (b PublishKey) apply(c *change, op *Op) error {
	o := c.editOrg(op.Subject.org())
	if want := uint64(o.keys.len()) + 1; b.Epoch != want {
		return fmt.Errorf("the next encryption key is of epoch %d, not %d", want, b.Epoch)
	}
	if err := c.claimRecipient(b.Recipient, o.id); err != nil {
		return err
	}
	o.keys = o.keys.with(&encKey{from: c.after, recipient: b.Recipient})
	c.putOrg(o)
	return nil
}

func (TaintKey) needs(v view, op *Op) ([]requirement, error) { return v.byAdmins(op, true) }

func (b TaintKey) apply(c *change, op *Op) error {
	o := c.editOrg(op.Subject.org())
	if b.Epoch > c.epoch(o) {
		return fmt.Errorf("no encryption key of epoch %d was published", b.Epoch)
	}
	k := *o.keys.get(int(b.Epoch) - 1)
	if k.taintedAt(c.size) {
		return fmt.Errorf("the encryption key of epoch %d is tainted already", b.Epoch)
	}
	k.tainted = c.after
	o.keys = o.keys.replace(int(b.Epoch)-1, &k)
	c.putOrg(o)
	return nil
}

// Custody.

func (OfferCustody) needs(v view, op *Op) ([]requirement, error) { return v.byAdmins(op, false) }

func (OfferCustody) apply(c *change, op *Op) error {
	o := c.editOrg(op.Subject.org())
	if o.class == protocol.ClassPolice {
		return fmt.Errorf("police never keep others' records")
	}
	if o.custody.at(c.size) {
		return fmt.Errorf("%q offers custody already", o.name)
	}
	o.custody = o.custody.set(c.after, true)
	c.putOrg(o)
	return nil
}

func (WithdrawCustody) needs(v view, op *Op) ([]requirement, error) { return v.byAdmins(op, true) }

func (WithdrawCustody) apply(c *change, op *Op) error {
	o := c.editOrg(op.Subject.org())
	if !o.custody.at(c.size) {
		return fmt.Errorf("%q does not offer custody", o.name)
	}
	if o.class == protocol.ClassSecretariat {
		return fmt.Errorf("the secretariat is the custodian of last resort and cannot withdraw")
	}
	o.custody = o.custody.set(c.after, false)
	c.putOrg(o)
	return nil
}
