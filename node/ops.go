package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/consensus"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

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
	votes, err := s.Votes(so)
	if err != nil {
		return out, api.Errorf(api.Refused, "%v", err)
	}
	for _, v := range votes {
		out.Votes = append(out.Votes, api.Vote{Key: v.Key.ID().String(), Counts: v.Counts(), For: v.For, Why: v.Why, Words: v.String()})
	}
	return out, nil
}

// lacking says, of an operation that was refused since approvals are missing,
// of each signature whether it counts, and what is still needed; of any other
// nothing. The secretariat's register may be newer than this one, and it is the
// secretariat's word that the operation is refused.
func (n *Node) lacking(signed []byte) (lines []string) {
	so, _, err := register.DecodeSignedOp(signed)
	if err != nil {
		return nil
	}
	s := n.reg.State()
	if _, _, err := s.Propose(max(n.now().Unix(), s.Time()), so); !errors.Is(err, register.ErrApprovals) {
		return nil
	}
	votes, err := s.Votes(so)
	if err != nil {
		return nil
	}
	for _, v := range votes {
		lines = append(lines, v.String())
	}
	if len(votes) == 0 {
		lines = append(lines, "nobody has signed it")
	}
	needs, err := s.Approvals(so)
	if err != nil {
		return nil
	}
	for _, a := range needs {
		lines = append(lines, a.String())
	}
	return lines
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
	refused := api.Errorf(api.Refused, "%v", err)
	refused.Faults = n.lacking(o.Op)
	return api.Submitted{}, refused
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
