package register

import (
	"fmt"

	"github.com/national-alliance/alliance/protocol"
)

func (v view) officers() *OfficerSet { return v.s.officers.at(v.size) }

// byOfficers is M of the N officers.
func (v view) byOfficers() []requirement {
	o := v.officers()
	return []requirement{{{"officers", o.Set.Members, int(o.Set.Threshold)}}}
}

func (Genesis) needs(view, *Op) ([]requirement, error) {
	return nil, fmt.Errorf("a register has one genesis")
}
func (Genesis) apply(*change, *Op) error { return fmt.Errorf("a register has one genesis") }

// Officers change: M of the old set and M of the new.

func (b OfficersChange) needs(v view, _ *Op) ([]requirement, error) {
	return append(v.byOfficers(), requirement{{"officers of the new set", b.Officers.Set.Members, int(b.Officers.Set.Threshold)}}), nil
}

func (b OfficersChange) apply(c *change, _ *Op) error {
	if !c.trusted {
		if err := b.Officers.Set.proven(c.officers().Set, c.s.network, ForOfficer, protocol.OrgID{}); err != nil {
			return err
		}
	}
	for _, m := range b.Officers.Set.Members {
		if err := c.claimKey(m.Key, keyUse{ForOfficer, protocol.OrgID{}, m.Person}); err != nil {
			return err
		}
	}
	o := OfficerSet{b.Officers.Set.stripped(), b.Officers.Suspension}
	c.next.officers = c.next.officers.set(c.after, &o)
	return nil
}

// Enrolment: M officers; police and government bodies also an active body of
// their class, once one was ever enrolled, or all officers when none is.

func (b EnrolOrg) needs(v view, _ *Op) ([]requirement, error) {
	r, err := DecodeSignedRequest(b.Request)
	if err != nil {
		return nil, err
	}
	if r.Class != protocol.ClassPolice && r.Class != protocol.ClassGovernment {
		return v.byOfficers(), nil
	}
	active, ever := v.activeOf(r.Class)
	if !ever {
		return v.byOfficers(), nil
	}
	if len(active) == 0 {
		o := v.officers()
		return []requirement{{{fmt.Sprintf("officers (all of them, since no %s body is active)", r.Class), o.Set.Members, o.Set.People()}}}, nil
	}
	var another requirement
	for _, o := range active {
		a := o.admins.at(v.size)
		another = append(another, quorum{fmt.Sprintf("administrators of an active %s body", r.Class), a.Members, int(a.Threshold)})
	}
	return append(v.byOfficers(), another), nil
}

func (b EnrolOrg) apply(c *change, op *Op) error {
	r, err := DecodeSignedRequest(b.Request)
	if err != nil {
		return err
	}
	if r.Network != c.s.network {
		return fmt.Errorf("the request is for another network, %s", r.Network.Short())
	}
	if !c.trusted {
		if err := r.verifySignatures(); err != nil {
			return err
		}
	}
	return c.enrolOrg(op.Subject.org(), r.Request)
}

// liveOrg returns a copy of an organisation that is not revoked.
func (c *change) liveOrg(id protocol.OrgID) (*org, error) {
	o, ok := c.view.org(id)
	if !ok {
		return nil, fmt.Errorf("organisation %s is not enrolled", id.Short())
	}
	if c.orgStatus(o) == protocol.Revoked {
		return nil, fmt.Errorf("%q was revoked, for ever", o.name)
	}
	return c.editOrg(id), nil
}

// liveNode returns a copy of a node that is in service, or suspended.
func (c *change) liveNode(id protocol.NodeID) (*node, error) {
	n, ok := c.view.node(id)
	if !ok {
		return nil, fmt.Errorf("node %s is not enrolled", id.Short())
	}
	switch s, _ := c.nodeStanding(n); s {
	case protocol.Revoked, protocol.Retired:
		return nil, fmt.Errorf("node %s is %s already, for ever", id.Short(), s)
	}
	return c.editNode(id), nil
}

// Revocation of an organisation.

func (RevokeOrg) needs(v view, _ *Op) ([]requirement, error) { return v.byOfficers(), nil }

func (RevokeOrg) apply(c *change, op *Op) error {
	o, err := c.liveOrg(op.Subject.org())
	if err != nil {
		return err
	}
	if o.class == protocol.ClassSecretariat {
		return fmt.Errorf("the secretariat cannot be revoked: the register could never move again")
	}
	o.standing = o.standing.set(c.after, standing{status: protocol.Revoked})
	c.putOrg(o)
	return nil
}

// Revocation of a node: its own administrators, or M officers.

func (b RevokeNode) needs(v view, op *Op) ([]requirement, error) {
	if op.Subject.Kind == SubjectAdmins {
		return v.byAdmins(op, true)
	}
	return v.byOfficers(), nil
}

func (b RevokeNode) apply(c *change, op *Op) error {
	return c.putOut(b.Node, op, protocol.Revoked)
}

func (c *change) putOut(id protocol.NodeID, op *Op, s protocol.Status) error {
	n, err := c.liveNode(id)
	if err != nil {
		return err
	}
	if op.Subject.Kind == SubjectAdmins && n.org != op.Subject.org() {
		return fmt.Errorf("node %s is another organisation's", id.Short())
	}
	n.standing = n.standing.set(c.after, standing{status: s})
	c.putNode(n)
	return nil
}

// Policy.

func (Policy) needs(v view, _ *Op) ([]requirement, error) { return v.byOfficers(), nil }

func (p Policy) apply(c *change, _ *Op) error {
	if old := c.s.policy.at(c.size); p.Rules < old.Rules {
		return fmt.Errorf("the rules are at version %d and never go back", old.Rules)
	}
	c.next.policy = c.next.policy.set(c.after, p)
	return nil
}

// Groups.

func (DefineGroup) needs(v view, _ *Op) ([]requirement, error) { return v.byOfficers(), nil }

func (b DefineGroup) apply(c *change, op *Op) error {
	id := op.Subject.Group
	for _, m := range b.Members {
		if _, err := c.liveOrg(m); err != nil {
			return err
		}
	}
	g := &group{id: id, from: c.after, fromStart: b.FromStart}
	if old, ok := c.next.groups.Get(string(id)); ok {
		if old.fromStart != b.FromStart {
			return fmt.Errorf("whether joiners of group %q read from the start was fixed when it was first defined", id)
		}
		copied := *old
		g = &copied
	}
	g.versions = g.versions.set(c.after, &groupVersion{b.Title, b.Members})
	c.next.groups = c.next.groups.Set(string(id), g)
	return nil
}

// Finer kind.

func (SetKind) needs(v view, _ *Op) ([]requirement, error) { return v.byOfficers(), nil }

func (b SetKind) apply(c *change, op *Op) error {
	o, err := c.liveOrg(op.Subject.org())
	if err != nil {
		return err
	}
	o.code = o.code.set(c.after, b.Code)
	c.putOrg(o)
	return nil
}

// Time.

func (Time) needs(view, *Op) ([]requirement, error) { return nil, nil }
func (Time) apply(*change, *Op) error               { return nil }

// Suspension: the small quorum; M where the last one of this organisation or
// node ended less than 90 days ago. An organisation and its nodes count as
// one here, so that suspending them by turns gains nothing.

func (v view) bySuspension() quorum {
	o := v.officers()
	return quorum{"officers", o.Set.Members, int(o.Suspension)}
}

func (Suspend) needs(v view, op *Op) ([]requirement, error) {
	histories, err := v.suspensions(op.Subject)
	if err != nil {
		return nil, err
	}
	for _, h := range histories {
		if end, ever := v.suspensionEnd(h); ever && v.now-end < RepeatSeconds {
			return v.byOfficers(), nil
		}
	}
	return []requirement{{v.bySuspension()}}, nil
}

func (v view) suspensions(s Subject) ([]hist[standing], error) {
	if s.Kind == SubjectNode {
		n, ok := v.node(s.node())
		if !ok {
			return nil, fmt.Errorf("node %s is not enrolled", s.node().Short())
		}
		o, _ := v.s.org(n.org)
		return []hist[standing]{n.standing, o.standing}, nil
	}
	o, ok := v.org(s.org())
	if !ok {
		return nil, fmt.Errorf("organisation %s is not enrolled", s.org().Short())
	}
	hs := []hist[standing]{o.standing}
	for _, id := range o.nodes.all() {
		if n, ok := v.node(id); ok {
			hs = append(hs, n.standing)
		}
	}
	return hs, nil
}

func (Suspend) apply(c *change, op *Op) error {
	s := standing{protocol.Suspended, c.now + SuspensionSeconds}
	if op.Subject.Kind == SubjectNode {
		n, err := c.liveNode(op.Subject.node())
		if err != nil {
			return err
		}
		n.standing = n.standing.set(c.after, s)
		c.putNode(n)
		return nil
	}
	o, err := c.liveOrg(op.Subject.org())
	if err != nil {
		return err
	}
	if o.class == protocol.ClassSecretariat {
		return fmt.Errorf("the secretariat cannot be suspended: the register could never move again")
	}
	o.standing = o.standing.set(c.after, s)
	c.putOrg(o)
	return nil
}

func (Reinstate) needs(v view, _ *Op) ([]requirement, error) {
	return []requirement{{v.bySuspension()}}, nil
}

func (Reinstate) apply(c *change, op *Op) error {
	active := standing{status: protocol.Active}
	if op.Subject.Kind == SubjectNode {
		n, err := c.liveNode(op.Subject.node())
		if err != nil {
			return err
		}
		if s, _ := c.standing(n.standing); s != protocol.Suspended {
			return fmt.Errorf("node %s is not suspended", n.id.Short())
		}
		n.standing = n.standing.set(c.after, active)
		c.putNode(n)
		return nil
	}
	o, err := c.liveOrg(op.Subject.org())
	if err != nil {
		return err
	}
	if s := c.orgStatus(o); s != protocol.Suspended {
		return fmt.Errorf("%q is not suspended", o.name)
	}
	o.standing = o.standing.set(c.after, active)
	c.putOrg(o)
	return nil
}
