package node

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// drafts says of each kind of operation that a person may ask for what it is
// about and what its body is. The words are those of 'alliance op draft'.
var drafts = map[string]func(drafting) (register.Subject, register.Body, error){
	"enrol":     drafting.enrol,
	"revoke":    drafting.revoke,
	"suspend":   func(d drafting) (register.Subject, register.Body, error) { return d.byOfficers(register.Suspend{}) },
	"reinstate": func(d drafting) (register.Subject, register.Body, error) { return d.byOfficers(register.Reinstate{}) },
	"set-kind":  drafting.setKind,
	"policy":    drafting.policy,
	"group":     drafting.group,
	"officers":  drafting.officers,
	"time": func(drafting) (register.Subject, register.Body, error) {
		return register.OfTime(), register.Time{}, nil
	},
	"admins":      drafting.admins,
	"enrol-node":  drafting.enrolNode,
	"retire-node": drafting.retireNode,
	"voters":      drafting.voters,
	"signers":     drafting.signers,
	"publish-key": drafting.publishKey,
	"taint-key": func(d drafting) (register.Subject, register.Body, error) {
		return d.byAdmins(register.TaintKey{Epoch: d.Epoch})
	},
	"offer-custody": func(d drafting) (register.Subject, register.Body, error) { return d.byAdmins(register.OfferCustody{}) },
	"withdraw-custody": func(d drafting) (register.Subject, register.Body, error) {
		return d.byAdmins(register.WithdrawCustody{})
	},
}

// drafting is what a draft is made of: what was asked, on which register.
type drafting struct {
	api.OpDraft
	n *Node
	s *register.State
}

// draftOp drafts an operation on the accepted register.
func (n *Node) draftOp(d api.OpDraft) (api.Op, error) {
	s := n.reg.State()
	if s == nil {
		return api.Op{}, notReady()
	}
	draft, ok := drafts[d.Kind]
	if !ok {
		return api.Op{}, api.Errorf(api.Invalid, "%q is no kind of operation: 'alliance op draft --help' lists them", d.Kind)
	}
	about, body, err := draft(drafting{d, n, s})
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
	op, err := s.Draft(about, body, max(n.now().Unix(), s.Time())+int64(hours)*3600)
	if err != nil {
		return api.Op{}, api.Errorf(api.Refused, "%v", err)
	}
	return api.Op{Op: register.SignedOp{Op: op.Encode()}.Encode()}, nil
}

func (d drafting) org() (protocol.Org, error) { return d.n.findOrg(d.s, d.Organisation) }

// node finds the node that is named, with its organisation.
func (d drafting) node() (protocol.Node, error) {
	id, err := d.n.findNode(d.s, d.Node)
	p, _ := d.s.Node(id)
	return p, err
}

// byAdmins is an operation of an organisation's administrators.
func (d drafting) byAdmins(b register.Body) (register.Subject, register.Body, error) {
	o, err := d.org()
	return register.AdministratorsOf(o.ID), b, err
}

// byOfficers is one of officers about an organisation, or one of its nodes.
func (d drafting) byOfficers(b register.Body) (register.Subject, register.Body, error) {
	if d.Node != "" {
		p, err := d.node()
		return register.OfNode(p.ID), b, err
	}
	o, err := d.org()
	return register.OfOrg(o.ID), b, err
}

func (d drafting) enrol() (about register.Subject, _ register.Body, err error) {
	e, err := d.n.findEnrolment(d.Request)
	if err != nil {
		return about, nil, err
	}
	if len(e.Org) == 0 {
		return about, nil, api.Errorf(api.Invalid, "that request is for a node: its organisation's administrators enrol it with enrol-node")
	}
	c, err := register.DecodeSignedRequest(e.Org)
	if err != nil {
		return about, nil, api.Errorf(api.Invalid, "%v", err)
	}
	return register.OfOrg(c.ID()), register.EnrolOrg{Request: e.Org}, nil
}

func (d drafting) enrolNode() (about register.Subject, _ register.Body, err error) {
	e, err := d.n.findEnrolment(d.Request)
	if err != nil {
		return about, nil, err
	}
	if len(e.Node) == 0 {
		return about, nil, api.Errorf(api.Invalid, "that request is for an organisation: officers enrol it with enrol")
	}
	b, err := membership.DecodeNodeRequest(e.Node)
	return register.AdministratorsOf(e.Of), b, err
}

func (d drafting) revoke() (register.Subject, register.Body, error) {
	if d.Node == "" {
		o, err := d.org()
		return register.OfOrg(o.ID), register.RevokeOrg{}, err
	}
	p, err := d.node()
	if d.Organisation != "" { // by its own administrators
		return register.AdministratorsOf(p.Org), register.RevokeNode{Node: p.ID}, err
	}
	return register.OfNode(p.ID), register.RevokeNode{Node: p.ID}, err
}

func (d drafting) setKind() (register.Subject, register.Body, error) {
	o, err := d.org()
	return register.OfOrg(o.ID), register.SetKind{Code: d.Code}, err
}

func (d drafting) policy() (register.Subject, register.Body, error) {
	p := register.Policy{Rules: d.Rules, Agreement: d.Agreement}
	if p.Rules == 0 {
		p.Rules = d.s.Policy().Rules
	}
	b, err := hex.DecodeString(d.SHA256)
	if err != nil || len(b) != 0 && len(b) != 32 {
		return register.Subject{}, nil, api.Errorf(api.Invalid, "sha256 must be 64 hex digits")
	}
	copy(p.SHA256[:], b)
	return register.OfPolicy(), p, nil
}

func (d drafting) group() (about register.Subject, _ register.Body, err error) {
	g := register.DefineGroup{Title: d.Title, FromStart: d.FromStart}
	for _, m := range d.Members {
		o, err := d.n.findOrg(d.s, m)
		if err != nil {
			return about, nil, err
		}
		g.Members = append(g.Members, o.ID)
	}
	slices.SortFunc(g.Members, protocol.OrgID.Compare)
	return register.OfGroup(protocol.GroupID(d.Group)), g, nil
}

// people is the set of the people that are named.
func (d drafting) people() (register.Set, error) {
	m, err := parsePeople(d.Members)
	if err != nil {
		return register.Set{}, api.Errorf(api.Invalid, "%v", err)
	}
	return register.NewSet(d.Threshold, m...), nil
}

func (d drafting) officers() (register.Subject, register.Body, error) {
	set, err := d.people()
	return register.OfOfficers(), register.OfficersChange{Officers: register.OfficerSet{Set: set, Suspension: uint64(max(d.Suspension, 0))}}, err
}

func (d drafting) admins() (about register.Subject, _ register.Body, err error) {
	set, err := d.people()
	if err != nil {
		return about, nil, err
	}
	return d.byAdmins(register.AdminsChange{Administrators: set})
}

func (d drafting) retireNode() (register.Subject, register.Body, error) {
	p, err := d.node()
	return register.AdministratorsOf(p.Org), register.RetireNode{Node: p.ID}, err
}

// nodes are the nodes that are named.
func (d drafting) nodes() (ids []protocol.NodeID, err error) {
	for _, x := range d.Nodes {
		id, err := d.n.findNode(d.s, x)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (d drafting) voters() (about register.Subject, _ register.Body, err error) {
	ids, err := d.nodes()
	if err != nil {
		return about, nil, err
	}
	return d.byAdmins(register.NewVoters(ids...))
}

func (d drafting) signers() (register.Subject, register.Body, error) {
	ids, err := d.nodes()
	return register.AdministratorsOf(d.s.Secretariat()), register.NewSigners(ids...), err
}

func (d drafting) publishKey() (register.Subject, register.Body, error) {
	o, err := d.org()
	return register.AdministratorsOf(o.ID), register.PublishKey{Epoch: o.Epoch + 1, Recipient: d.Recipient}, err
}

// findOrg finds a member by name, ID, or enough of an ID's beginning; empty is
// the own one. Nobody sends anything by such a beginning, which a stranger
// could make its own ID begin with: what is drafted here, people read and sign.
func (n *Node) findOrg(s *register.State, name string) (protocol.Org, error) {
	if name == "" {
		o, ok := s.Org(n.id.Org)
		if !ok {
			return o, notReady()
		}
		return o, nil
	}
	if o, err := casebook.Member(s, name); err == nil {
		return o, nil
	}
	var found []protocol.Org
	for _, o := range s.Orgs() {
		if len(name) >= minPrefix && strings.HasPrefix(o.ID.String(), name) {
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

// minPrefix is how many digits of an ID find it.
const minPrefix = 6

func (n *Node) findNode(s *register.State, id string) (protocol.NodeID, error) {
	var found []protocol.NodeID
	if len(id) >= minPrefix {
		for _, o := range s.Orgs() {
			for _, p := range s.Nodes(o.ID) {
				if strings.HasPrefix(p.ID.String(), id) {
					found = append(found, p.ID)
				}
			}
		}
	}
	if len(found) != 1 {
		return protocol.NodeID{}, api.Errorf(api.NotFound, "no single node's ID begins with %q: 'alliance org show' lists them; give at least %d digits", id, minPrefix)
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
		if len(id) >= minPrefix && strings.HasPrefix(e.ID, id) {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		return membership.Enrolment{}, api.Errorf(api.NotFound, "no single request's ID begins with %q: 'alliance op requests' lists them; give at least %d digits", id, minPrefix)
	}
	return found[0], nil
}
