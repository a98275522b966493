package register

import (
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// view is a state at one of its sizes and at a time, which is the leaf's in
// question or that of the size's last leaf. All rules read through one, so
// that they can be asked of the past too.
type view struct {
	s    *State
	size uint64
	now  int64
	// trusted leaves out signatures and points: the leaves were verified
	// before, and their root will be compared.
	trusted bool
}

func (s *State) at(size uint64) (view, bool) {
	t, ok := s.TimeAt(size)
	return view{s: s, size: size, now: t}, ok
}

func (s *State) now() view { return view{s: s, size: s.Size(), now: s.Time()} }

func (v view) org(id protocol.OrgID) (*org, bool) {
	o, ok := v.s.org(id)
	return o, ok && o.from <= v.size
}

func (v view) node(id protocol.NodeID) (*node, bool) {
	n, ok := v.s.node(id)
	return n, ok && n.from <= v.size
}

// standing resolves a history of standings: a suspension lapses with time,
// without a leaf that says so, from the first size whose time passed it.
func (v view) standing(h hist[standing]) (protocol.Status, uint64) {
	i := h.index(v.size)
	d := h.get(i)
	if d.v.status == protocol.Suspended && v.now >= d.v.until {
		return protocol.Active, min(v.s.firstAt(d.v.until), v.size)
	}
	// A suspension renewed before it lapsed is one suspension.
	for i > 0 && d.v.status == protocol.Suspended {
		p := h.get(i - 1)
		if t, _ := v.s.TimeAt(d.from); p.v.status != protocol.Suspended || t >= p.v.until {
			break
		}
		i, d = i-1, dated[standing]{p.from, d.v}
	}
	return d.v.status, d.from
}

func (v view) orgStatus(o *org) protocol.Status {
	s, _ := v.standing(o.standing)
	return s
}

// nodeStanding is a node's own standing under its organisation's.
func (v view) nodeStanding(n *node) (protocol.Status, uint64) {
	own, since := v.standing(n.standing)
	o, _ := v.s.org(n.org)
	theirs, when := v.standing(o.standing)
	gone := func(s protocol.Status) bool { return s == protocol.Revoked || s == protocol.Retired }
	switch {
	case gone(own):
		return own, since
	case gone(theirs):
		return theirs, when
	case own == theirs && own == protocol.Active:
		return own, max(since, when)
	case own == theirs:
		return own, min(since, when)
	case own == protocol.Suspended:
		return own, since
	}
	return theirs, when
}

func (v view) nodeActive(id protocol.NodeID) bool {
	n, ok := v.node(id)
	if !ok {
		return false
	}
	s, _ := v.nodeStanding(n)
	return s == protocol.Active
}

func (v view) active(nodes []protocol.NodeID) []protocol.NodeID {
	var out []protocol.NodeID
	for _, id := range nodes {
		if v.nodeActive(id) {
			out = append(out, id)
		}
	}
	return out
}

func (v view) show(o *org) protocol.Org {
	st, since := v.standing(o.standing)
	p := protocol.Org{
		ID: o.id, Name: o.name, Class: o.class, Kind: o.code.at(v.size),
		Status: st, Since: since, Custody: o.custody.at(v.size),
	}
	if e := v.epoch(o); e > 0 {
		k := o.keys.get(int(e) - 1)
		p.Epoch, p.Recipient, p.Tainted = e, k.recipient, k.taintedAt(v.size)
	}
	return p
}

// epoch is the number of the newest key published by now.
func (v view) epoch(o *org) uint64 {
	for i := o.keys.len(); i > 0; i-- {
		if o.keys.get(i-1).from <= v.size {
			return uint64(i)
		}
	}
	return 0
}

func (v view) showNode(n *node) protocol.Node {
	st, since := v.nodeStanding(n)
	o, _ := v.s.org(n.org)
	return protocol.Node{
		ID: n.id, Org: n.org, Author: n.keys.Author, Transport: n.keys.Transport, Sealing: n.keys.Sealing,
		Status: st, Since: since,
		Signer: slices.Contains(v.s.signers.at(v.size), n.id),
		Voter:  slices.Contains(o.voters.at(v.size), n.id),
	}
}

// activeOf lists the active organisations of a class, and says whether one
// was ever enrolled.
func (v view) activeOf(c protocol.Class) (active []*org, ever bool) {
	for _, id := range v.s.order.all() {
		o, ok := v.org(id)
		if !ok || o.class != c {
			continue
		}
		ever = true
		if v.orgStatus(o) == protocol.Active {
			active = append(active, o)
		}
	}
	return active, ever
}

// suspensionEnd is when the newest suspension in a history ended or will end.
func (v view) suspensionEnd(h hist[standing]) (end int64, ever bool) {
	for i := h.index(v.size); i >= 0; i-- {
		d := h.get(i)
		if d.v.status != protocol.Suspended {
			continue
		}
		end = d.v.until
		if i+1 < h.len() && h.get(i+1).from <= v.size {
			if t, ok := v.s.TimeAt(h.get(i + 1).from); ok {
				end = min(end, t)
			}
		}
		return end, true
	}
	return 0, false
}

// version is how often a subject's counter has advanced.
func (v view) version(s Subject) uint64 {
	switch s.Kind {
	case SubjectGenesis:
		return 1
	case SubjectOfficers:
		return count(v.s.officerOps, v.size)
	case SubjectPolicy:
		return count(v.s.policyOps, v.size)
	case SubjectTime:
		return count(v.s.timeOps, v.size)
	case SubjectOrg:
		if o, ok := v.org(s.org()); ok {
			return count(o.officerOps, v.size)
		}
	case SubjectAdmins:
		if o, ok := v.org(s.org()); ok {
			return count(o.adminOps, v.size)
		}
	case SubjectNode:
		if n, ok := v.node(s.node()); ok {
			return count(n.officerOps, v.size)
		}
	case SubjectGroup:
		if g, ok := v.s.groups.Get(string(s.Group)); ok {
			return uint64(g.versions.index(v.size) + 1)
		}
	}
	return 0
}

// Version is a subject's present version; 0 where it was never touched. The
// next operation on it makes one more.
func (s *State) Version(sub Subject) uint64 { return s.now().version(sub) }

// root is the base check: whether a checkpoint is an ancestor.
func (v view) ancestor(size uint64, root crypto.Hash) bool {
	r, ok := v.s.RootAt(size)
	return ok && size <= v.size && r == root
}
