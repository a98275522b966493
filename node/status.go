package node

import (
	"errors"
	"slices"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Version is the program's version, set when it is built.
var Version = "dev"

// TrialNotice stands wherever a person looks at a trial network.
const TrialNotice = "TRIAL network: invented data only"

// Status tells how the node stands. It holds no content and no key.
func (n *Node) Status() api.Status {
	out := api.Status{Program: Version, Network: n.id.Network.String(), Organisation: n.id.Org.String(), Node: n.id.Node.String(),
		State: "pending", Mode: "live", Locked: n.Locked(), Peers: []api.Peer{}, Feeds: []api.Feed{}}
	if n.id.Trial {
		out.Mode, out.Notice = "trial", TrialNotice
	}
	if err := n.store.Writable(); err != nil {
		out.Store.Fault = err.Error()
		out.Warnings = append(out.Warnings, err.Error())
	} else {
		out.Store.Writable = true
	}
	n.mu.Lock()
	out.Store.Verified, out.Store.ToVerify = n.verified, n.toVerify
	n.mu.Unlock()
	if d := n.store.Damage(); d.Any() {
		out.Warnings = append(out.Warnings, d.String())
	}
	if n.Locked() && !exists(n.ring.path) {
		out.Warnings = append(out.Warnings, "the reading identity, "+n.ring.path+", is not there: put your copy of the file back, then 'alliance unlock'")
	}
	if err := n.reg.Fault(); err != nil {
		out.Warnings = append(out.Warnings, err.Error())
	}
	s := n.reg.State()
	select {
	case <-n.ready:
	default:
		s = nil
	}
	if s == nil {
		var j joining
		if readJSON(joiningPath(n.dir), &j) == nil {
			out.Fingerprint = j.fingerprint(n.id)
		}
		n.mu.Lock()
		if n.outside != nil {
			out.Answer = n.outside.Error()
		}
		if _, no := errors.AsType[refusal](n.outside); no {
			out.State = "refused"
		}
		n.mu.Unlock()
		return out
	}
	out.State, out.Title = "serving", s.Title()
	if o, ok := s.Org(n.id.Org); ok {
		out.Name, out.Class = o.Name, o.Class.String()
		if o.Status != protocol.Active {
			out.Warnings = append(out.Warnings, "this organisation is "+o.Status.String()+": other members do not talk to it")
		}
	}
	if self, ok := s.Node(n.id.Node); ok {
		out.Register.Signer = self.Signer
		if self.Status != protocol.Active {
			out.Warnings = append(out.Warnings, "this node is "+self.Status.String()+": other members do not talk to it")
		}
	}
	if n.rep.Replaced() {
		out.State = "replaced"
		out.Warnings = append(out.Warnings, "this node writes no more and must be replaced: others hold records under its key that it lacked")
	}
	if out.Locked {
		out.Warnings = append(out.Warnings, "locked: records are kept and passed on, and none is opened until 'alliance unlock'")
	}
	out.Register.Size, out.Register.Root = s.Size(), s.Root().String()
	out.Register.Time = time.Unix(s.Time(), 0).UTC()
	out.Register.Note = string(n.reg.Note())
	if w := n.drift(s); w != "" {
		out.Warnings = append(out.Warnings, w)
	}
	if t := n.reg.Tip(); t.Size() > s.Size() {
		out.Register.Tip = t.Size()
	}
	out.Addresses = n.tr.Addrs()
	out.Outbox = n.rep.Queued()
	book := n.book.Status()
	out.Cases = api.Cases{Loading: book.Loading, Done: book.Done, Total: book.Total, Referrals: book.Referrals, Alerts: book.Alerts,
		Waiting: book.Waiting, Queued: book.Queued, Unreadable: book.Unreadable, Malformed: book.Malformed}
	n.mu.Lock()
	if n.handedOver != nil {
		out.Warnings = append(out.Warnings, "the reading identity was handed over by another node and is not on this disk yet: 'alliance unlock' sets the passphrase under which it is kept")
	}
	for _, c := range n.complaints {
		out.Unreadable = append(out.Unreadable, api.Unreadable{By: orgName(s, c.By), Record: c.Record.String(), Feed: c.Feed.String(), Seq: c.Seq, Section: c.Section, At: c.At})
	}
	n.mu.Unlock()
	n.peerStatus(s, &out)
	n.feedStatus(s, &out)
	if n.group != nil {
		leader, _ := n.group.Leader()
		r := &api.Raft{Leads: n.group.IsLeader()}
		if !leader.IsZero() {
			r.Leader = leader.String()
		}
		for _, v := range s.Voters(n.id.Org) {
			r.Voters = append(r.Voters, v.String())
		}
		out.Raft = r
	}
	return out
}

func orgName(s *register.State, id protocol.OrgID) string {
	if o, ok := s.Org(id); ok {
		return o.Name
	}
	return id.Short()
}

func (n *Node) peerStatus(s *register.State, out *api.Status) {
	for _, p := range n.tr.Peers() {
		x := api.Peer{Node: p.Node.String(), Connected: p.Connected, By: p.By, Since: p.Since, Error: p.Error, Next: p.Next}
		if m, ok := s.Node(p.Node); ok {
			x.Organisation, x.Name = m.Org.String(), orgName(s, m.Org)
		}
		x.Synced = n.rep.Synced(p.Node)
		out.Peers = append(out.Peers, x)
	}
}

func (n *Node) feedStatus(s *register.State, out *api.Status) {
	for _, f := range n.rep.Feeds() {
		c := f.Chain
		x := api.Feed{Feed: f.Feed.String(), Author: orgName(s, c.Author), Node: c.Node.String(), Seq: c.Seq, Lacking: f.Lacking,
			Forked: f.Forked, Own: c.Node == n.id.Node}
		for _, o := range c.Audience.Orgs {
			x.Audience = append(x.Audience, orgName(s, o))
		}
		for _, o := range c.Key.Custodians {
			x.Custodians = append(x.Custodians, orgName(s, o))
		}
		for _, r := range c.Refused {
			x.Refused += int(r.To - r.From + 1)
		}
		for _, r := range c.Held {
			x.Held += int(r.To - r.From + 1)
		}
		if x.Own {
			x.Outstanding = n.outstanding(s, f.Feed, c)
		}
		if slices.Contains(c.Key.Custodians, n.id.Org) && c.Author != n.id.Org && !slices.Contains(c.Audience.Orgs, n.id.Org) {
			out.Custody.Feeds++
			out.Custody.Records += c.Seq
		}
		out.Store.Records += c.Seq
		out.Feeds = append(out.Feeds, x)
	}
}

// outstanding names the nodes of readers and custodians that have not vouched
// for all of an own feed.
func (n *Node) outstanding(s *register.State, id protocol.FeedID, c protocol.Chain) (out []string) {
	holders, err := n.rep.Delivery(id, c.Seq)
	if err != nil {
		return nil
	}
	for _, o := range slices.Concat(c.Audience.Orgs, c.Key.Custodians) {
		for _, p := range s.Nodes(o) {
			if p.Status != protocol.Active || p.ID == n.id.Node {
				continue
			}
			if !slices.ContainsFunc(holders, func(h replica.Holder) bool { return h.Node == p.ID && h.Vouches }) {
				out = append(out, orgName(s, o)+" "+p.ID.Short())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
