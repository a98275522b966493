package node

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/consensus"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// subject is what a drafted operation is about, and its body.
type subject struct {
	about register.Subject
	body  register.Body
}

// draftOp drafts an operation on the accepted register.
func (n *Node) draftOp(d api.OpDraft) (api.Op, error) {
	s := n.reg.State()
	if s == nil {
		return api.Op{}, notReady()
	}
	sub, err := n.subjectOf(s, d)
	if err != nil {
		return api.Op{}, err
	}
	hours := d.Hours
	if hours == 0 {
		hours = 72
	}
	if hours < 0 || hours > 24*90 {
		return api.Op{}, api.Errorf(api.Invalid, "an operation expires within 1 to %d hours", 24*90)
	}
	op, err := s.Draft(sub.about, sub.body, max(n.now().Unix(), s.Time())+int64(hours)*3600)
	if err != nil {
		return api.Op{}, api.Errorf(api.Refused, "%v", err)
	}
	return api.Op{Op: register.SignedOp{Op: op.Encode()}.Encode()}, nil
}

func (n *Node) subjectOf(s *register.State, d api.OpDraft) (sub subject, err error) {
	org := func() (protocol.Org, error) { return n.findOrg(s, d.Organisation) }
	admins := func(b register.Body) (subject, error) {
		o, err := org()
		return subject{register.AdministratorsOf(o.ID), b}, err
	}
	// An operation of officers is about an organisation or one of its nodes.
	either := func(b register.Body) (subject, error) {
		if d.Node != "" {
			id, err := n.findNode(s, d.Node)
			return subject{register.OfNode(id), b}, err
		}
		o, err := org()
		return subject{register.OfOrg(o.ID), b}, err
	}
	switch d.Kind {
	case "enrol":
		e, err := n.findEnrolment(d.Request)
		if err != nil {
			return sub, err
		}
		if len(e.Org) == 0 {
			return sub, api.Errorf(api.Invalid, "that request is for a node: its organisation's administrators enrol it with enrol-node")
		}
		c, err := register.DecodeSignedRequest(e.Org)
		if err != nil {
			return sub, api.Errorf(api.Invalid, "%v", err)
		}
		return subject{register.OfOrg(c.ID()), register.EnrolOrg{Request: e.Org}}, nil
	case "enrol-node":
		e, err := n.findEnrolment(d.Request)
		if err != nil {
			return sub, err
		}
		if len(e.Node) == 0 {
			return sub, api.Errorf(api.Invalid, "that request is for an organisation: officers enrol it with enrol")
		}
		body, err := membership.DecodeNodeRequest(e.Node)
		return subject{register.AdministratorsOf(e.Of), body}, err
	case "revoke":
		if d.Node != "" {
			id, err := n.findNode(s, d.Node)
			if err != nil {
				return sub, err
			}
			p, _ := s.Node(id)
			if d.Organisation != "" { // by its own administrators
				return subject{register.AdministratorsOf(p.Org), register.RevokeNode{Node: id}}, nil
			}
			return subject{register.OfNode(id), register.RevokeNode{Node: id}}, nil
		}
		o, err := org()
		return subject{register.OfOrg(o.ID), register.RevokeOrg{}}, err
	case "suspend":
		return either(register.Suspend{})
	case "reinstate":
		return either(register.Reinstate{})
	case "set-kind":
		o, err := org()
		return subject{register.OfOrg(o.ID), register.SetKind{Code: d.Code}}, err
	case "policy":
		p := register.Policy{Rules: d.Rules, Agreement: d.Agreement}
		if p.Rules == 0 {
			p.Rules = s.Policy().Rules
		}
		b, err := hex.DecodeString(d.SHA256)
		if err != nil || len(b) != 0 && len(b) != 32 {
			return sub, api.Errorf(api.Invalid, "sha256 must be 64 hex digits")
		}
		copy(p.SHA256[:], b)
		return subject{register.OfPolicy(), p}, nil
	case "group":
		g := register.DefineGroup{Title: d.Title, FromStart: d.FromStart}
		for _, m := range d.Members {
			o, err := n.findOrg(s, m)
			if err != nil {
				return sub, err
			}
			g.Members = append(g.Members, o.ID)
		}
		slices.SortFunc(g.Members, protocol.OrgID.Compare)
		return subject{register.OfGroup(protocol.GroupID(d.Group)), g}, nil
	case "officers":
		m, err := parsePeople(d.Members)
		if err != nil {
			return sub, api.Errorf(api.Invalid, "%v", err)
		}
		return subject{register.OfOfficers(), register.OfficersChange{Officers: register.OfficerSet{
			Set: register.NewSet(d.Threshold, m...), Suspension: uint64(max(d.Suspension, 0))}}}, nil
	case "admins":
		m, err := parsePeople(d.Members)
		if err != nil {
			return sub, api.Errorf(api.Invalid, "%v", err)
		}
		return admins(register.AdminsChange{Administrators: register.NewSet(d.Threshold, m...)})
	case "retire-node":
		id, err := n.findNode(s, d.Node)
		if err != nil {
			return sub, err
		}
		p, _ := s.Node(id)
		return subject{register.AdministratorsOf(p.Org), register.RetireNode{Node: id}}, nil
	case "voters", "signers":
		var ids []protocol.NodeID
		for _, x := range d.Nodes {
			id, err := n.findNode(s, x)
			if err != nil {
				return sub, err
			}
			ids = append(ids, id)
		}
		if d.Kind == "voters" {
			return admins(register.NewVoters(ids...))
		}
		return subject{register.AdministratorsOf(s.Secretariat()), register.NewSigners(ids...)}, nil
	case "publish-key":
		o, err := org()
		return subject{register.AdministratorsOf(o.ID), register.PublishKey{Epoch: o.Epoch + 1, Recipient: d.Recipient}}, err
	case "taint-key":
		return admins(register.TaintKey{Epoch: d.Epoch})
	case "offer-custody":
		return admins(register.OfferCustody{})
	case "withdraw-custody":
		return admins(register.WithdrawCustody{})
	case "time":
		return subject{register.OfTime(), register.Time{}}, nil
	}
	return sub, api.Errorf(api.Invalid, "%q is no kind of operation: 'alliance op draft --help' lists them", d.Kind)
}

// findOrg finds a member by name, ID, or enough of an ID's beginning; empty is
// the own one.
func (n *Node) findOrg(s *register.State, name string) (protocol.Org, error) {
	if name == "" {
		o, ok := s.Org(n.id.Org)
		if !ok {
			return o, notReady()
		}
		return o, nil
	}
	if o, ok := s.OrgNamed(name); ok {
		return o, nil
	}
	var found []protocol.Org
	for _, o := range s.Orgs() {
		if strings.EqualFold(o.Name, name) || len(name) >= 6 && strings.HasPrefix(o.ID.String(), name) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return protocol.Org{}, api.Errorf(api.NotFound, "no member is called %q: 'alliance org list' shows them", name)
	}
	return protocol.Org{}, api.Errorf(api.Invalid, "%q fits several members: give more of the ID", name)
}

func (n *Node) findNode(s *register.State, id string) (protocol.NodeID, error) {
	var found []protocol.NodeID
	if len(id) >= 6 {
		for _, o := range s.Orgs() {
			for _, p := range s.Nodes(o.ID) {
				if strings.HasPrefix(p.ID.String(), id) {
					found = append(found, p.ID)
				}
			}
		}
	}
	if len(found) != 1 {
		return protocol.NodeID{}, api.Errorf(api.NotFound, "no single node's ID begins with %q: 'alliance org show' lists them; give at least 6 digits", id)
	}
	return found[0], nil
}

func (n *Node) findEnrolment(id string) (membership.Enrolment, error) {
	list, err := n.reg.Enrolments()
	if err != nil {
		return membership.Enrolment{}, err
	}
	var found []membership.Enrolment
	for _, e := range list {
		if len(id) >= 6 && strings.HasPrefix(e.ID, id) {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		return membership.Enrolment{}, api.Errorf(api.NotFound, "no single request's ID begins with %q: 'alliance op requests' lists them; give at least 6 digits", id)
	}
	return found[0], nil
}

// describeOp says in words what an operation does and what it still needs.
func (n *Node) describeOp(o api.Op) (api.OpWords, error) {
	so, op, err := register.DecodeSignedOp(o.Op)
	if err != nil {
		return api.OpWords{}, api.Errorf(api.Invalid, "%v", err)
	}
	s := n.reg.State()
	if s == nil {
		return api.OpWords{}, notReady()
	}
	out := api.OpWords{Words: op.Words(s), Hash: register.OpHash(s.Network(), so.Op).String()}
	needs, err := s.Approvals(so)
	if err != nil {
		return out, api.Errorf(api.Refused, "%v", err)
	}
	for _, a := range needs {
		out.Approvals = append(out.Approvals, api.Approval{Who: a.Who, Have: a.Have, Need: a.Need})
	}
	return out, nil
}

func (n *Node) submitOp(ctx context.Context, o api.Op) (api.Submitted, error) {
	if n.reg.State() == nil {
		return api.Submitted{}, notReady()
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	size, err := n.reg.Submit(ctx, o.Op)
	switch {
	case err == nil:
		return api.Submitted{Size: size}, nil
	case diskFault(err), errors.Is(err, consensus.ErrNoLeader), errors.Is(err, consensus.ErrUnknown), errors.Is(err, context.DeadlineExceeded), !n.reachesSecretariat():
		return api.Submitted{}, api.Errorf(api.Unavailable, "%v; submitting it again is harmless", err)
	}
	return api.Submitted{}, api.Errorf(api.Refused, "%v", err)
}

// reachesSecretariat reports whether this node is one of the secretariat's, or
// is connected to one.
func (n *Node) reachesSecretariat() bool {
	s := n.reg.State()
	return n.id.Org == s.Secretariat() || slices.ContainsFunc(connections{n}.Connected(), func(p protocol.Node) bool { return p.Org == s.Secretariat() })
}

func (n *Node) enrolments() ([]api.Enrolment, error) {
	s := n.reg.State()
	if s == nil {
		return nil, notReady()
	}
	list, err := n.reg.Enrolments()
	if err != nil {
		return nil, err
	}
	out := []api.Enrolment{}
	for _, e := range list {
		x := api.Enrolment{ID: e.ID, What: "organisation", Received: time.Unix(e.Time, 0).UTC(), Done: e.Done, Request: e.Org}
		if len(e.Node) > 0 {
			x.What, x.Request = "node", e.Node
			if o, ok := s.Org(e.Of); ok {
				x.Of = o.Name
			}
			if b, err := membership.DecodeNodeRequest(e.Node); err == nil {
				x.Fingerprint = register.Fingerprint(b.Node.ID(s.Network()))
			}
		} else if c, err := register.DecodeSignedRequest(e.Org); err == nil {
			x.Name, x.Class, x.Kind, x.Fingerprint = c.Name, c.Class.String(), c.Code, c.Fingerprint()
		}
		out = append(out, x)
	}
	return out, nil
}

func (n *Node) orgs(name string) ([]api.Org, error) {
	s := n.reg.State()
	if s == nil {
		return nil, notReady()
	}
	list := s.Orgs()
	if name != "" {
		o, err := n.findOrg(s, name)
		if err != nil {
			return nil, err
		}
		list = []protocol.Org{o}
	}
	out := make([]api.Org, 0, len(list))
	for _, o := range list {
		x := api.Org{ID: o.ID, Name: o.Name, Class: o.Class.String(), Kind: o.Kind, Status: o.Status.String(), Custody: o.Custody,
			Epoch: o.Epoch, Tainted: o.Tainted, Own: o.ID == n.id.Org}
		for _, p := range s.Nodes(o.ID) {
			x.Nodes = append(x.Nodes, api.OrgNode{ID: p.ID, Status: p.Status.String(), Signer: p.Signer, Voter: p.Voter})
		}
		if a, ok := s.Administrators(o.ID); ok {
			x.Threshold, x.Admins = a.Threshold, a.People()
		}
		out = append(out, x)
	}
	return out, nil
}

func notReady() error {
	return api.Errorf(api.Unavailable, "this node is not a member yet: 'alliance status' says what the secretariat answered to its request")
}

func (n *Node) invite(ctx context.Context, in api.Invitation) (api.Ticket, error) {
	if n.reg.State() == nil {
		return api.Ticket{}, notReady()
	}
	t, err := n.Invite(ctx, time.Duration(in.Hours)*time.Hour)
	if errors.Is(err, membership.ErrNotHere) {
		return api.Ticket{}, api.Errorf(api.Refused, "only a node of the secretariat opens tickets")
	}
	if err != nil {
		return api.Ticket{}, api.Errorf(api.Unavailable, "%v", err)
	}
	return api.Ticket{Ticket: t.Text(), Expires: time.Unix(t.Expires, 0).UTC()}, nil
}
