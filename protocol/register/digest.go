package register

import (
	"cmp"
	"slices"

	"github.com/benbjohnson/immutable"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Digest is a hash of all that the state knows, its whole history included.
// Two nodes of one root have one digest; where they have not, one of them is
// broken and must not sign.
func (s *State) Digest() crypto.Hash {
	h := crypto.NewHash(labelState, crypto.Hash(s.network))
	part := func(v any) { h.Part(protocol.Encode(v)) }
	part([]any{s.mode, s.title, s.secr, s.frontier})
	for _, m := range s.marks.all() {
		part([]any{m.time, m.root})
	}
	digestHist(h, s.policy, func(p Policy) any { return p })
	digestHist(h, s.officers, func(o *OfficerSet) any { return o })
	digestHist(h, s.signers, func(n []protocol.NodeID) any { return n })
	part([]any{s.officerOps.all(), s.policyOps.all(), s.timeOps.all(), s.order.all()})
	stand := func(x standing) any { return []any{x.status, x.until} }
	each(s.orgs, func(_ string, o *org) {
		part([]any{o.id, o.name, o.class, o.from, o.nodes.all(), o.officerOps.all(), o.adminOps.all()})
		digestHist(h, o.code, func(c string) any { return c })
		digestHist(h, o.standing, stand)
		digestHist(h, o.admins, func(a *Set) any { return a })
		digestHist(h, o.custody, func(b bool) any { return b })
		digestHist(h, o.voters, func(n []protocol.NodeID) any { return n })
		for _, k := range o.keys.all() {
			part([]any{k.from, k.recipient, k.tainted})
		}
	})
	each(s.nodes, func(_ string, n *node) {
		part([]any{n.id, n.org, n.keys, n.from, n.officerOps.all()})
		digestHist(h, n.standing, stand)
	})
	each(s.groups, func(_ string, g *group) {
		part([]any{g.id, g.from, g.fromStart})
		digestHist(h, g.versions, func(v *groupVersion) any { return []any{v.title, v.members} })
	})
	each(s.names, func(n string, id protocol.OrgID) { part([]any{n, id}) })
	each(s.keys, func(k string, u keyUse) { part([]any{[]byte(k), u.purpose, u.org, u.holder}) })
	each(s.recipients, func(r string, id protocol.OrgID) { part([]any{r, id}) })
	return h.Sum()
}

func digestHist[T any](h crypto.Hasher, x hist[T], show func(T) any) {
	h.Uint(uint64(x.len()))
	for _, d := range x.all() {
		h.Uint(d.from)
		h.Part(protocol.Encode(show(d.v)))
	}
}

// each visits a map in the order of its keys.
func each[V any](m *immutable.Map[string, V], do func(string, V)) {
	type pair struct {
		k string
		v V
	}
	var all []pair
	for it := m.Iterator(); !it.Done(); {
		k, v, _ := it.Next()
		all = append(all, pair{k, v})
	}
	slices.SortFunc(all, func(a, b pair) int { return cmp.Compare(a.k, b.k) })
	for _, p := range all {
		do(p.k, p.v)
	}
}
