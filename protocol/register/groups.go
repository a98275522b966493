package register

import (
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// GroupMembers is the computed group of every active organisation. The
// others are named after a class: secretariat, ngo, police, government.
const GroupMembers protocol.GroupID = "members"

// computedGroups are never edited: they follow from the register. Zero is
// every class.
var computedGroups = map[protocol.GroupID]protocol.Class{
	GroupMembers:  0,
	"secretariat": protocol.ClassSecretariat,
	"ngo":         protocol.ClassNGO,
	"police":      protocol.ClassPolice,
	"government":  protocol.ClassGovernment,
}

// GroupAt is a group's rules at size. A joiner of a computed group reads from
// its joining on.
func (s *State) GroupAt(id protocol.GroupID, size uint64) (protocol.Group, bool) {
	if size == 0 || size > s.Size() {
		return protocol.Group{}, false
	}
	if _, ok := computedGroups[id]; ok {
		return protocol.Group{ID: id}, true
	}
	g, ok := s.groups.Get(string(id))
	if !ok || g.from > size {
		return protocol.Group{}, false
	}
	return protocol.Group{ID: id, FromStart: g.fromStart}, true
}

// InGroup reports whether an organisation was in a group at size, active.
func (s *State) InGroup(id protocol.GroupID, org protocol.OrgID, size uint64) bool {
	v, ok := s.at(size)
	if !ok {
		return false
	}
	o, ok := v.org(org)
	return ok && v.orgStatus(o) == protocol.Active && v.named(id, o)
}

// named reports whether an organisation of any status belongs to a group.
func (v view) named(id protocol.GroupID, o *org) bool {
	if class, ok := computedGroups[id]; ok {
		return class == 0 || class == o.class
	}
	g, ok := v.s.groups.Get(string(id))
	if !ok || g.from > v.size {
		return false
	}
	_, in := slices.BinarySearchFunc(g.versions.at(v.size).members, o.id, protocol.OrgID.Compare)
	return in
}

// Group lists who is in a group now, active, as enrolled.
func (s *State) Group(id protocol.GroupID) []protocol.OrgID {
	v := s.now()
	var out []protocol.OrgID
	for _, oid := range s.order.all() {
		if o, ok := v.org(oid); ok && v.orgStatus(o) == protocol.Active && v.named(id, o) {
			out = append(out, oid)
		}
	}
	return out
}

// GroupTitle is the title that officers gave a group.
func (s *State) GroupTitle(id protocol.GroupID) (string, bool) {
	g, ok := s.groups.Get(string(id))
	if !ok {
		return "", false
	}
	return g.versions.at(s.Size()).title, true
}

// Groups lists every group's name: the computed ones, then those that
// officers defined, sorted.
func (s *State) Groups() []protocol.GroupID {
	out := []protocol.GroupID{GroupMembers, "secretariat", "ngo", "police", "government"}
	n := len(out)
	for it := s.groups.Iterator(); !it.Done(); {
		k, _, _ := it.Next()
		out = append(out, protocol.GroupID(k))
	}
	slices.Sort(out[n:])
	return out
}
