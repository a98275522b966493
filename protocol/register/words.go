package register

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// lookup finds names for what an operation's bytes name by number.
type lookup struct{ s *State }

func (l lookup) org(id protocol.OrgID) string {
	if l.s != nil {
		if o, ok := l.s.Org(id); ok {
			return fmt.Sprintf("%s (%s, %s)", quote(o.Name), o.Class, id.Short())
		}
	}
	return "an organisation that this register does not know, " + id.String()
}

func (l lookup) node(id protocol.NodeID) string {
	if l.s != nil {
		if n, ok := l.s.Node(id); ok {
			return fmt.Sprintf("node %s of %s", id.Short(), l.org(n.Org))
		}
	}
	return "a node that this register does not know, " + id.String()
}

// quote sets a checked text apart. Only quotation marks in it are escaped:
// Indic text, joiners included, stays as people read it.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04 UTC") }

// Words says an operation in plain words, a line each, for the people who are
// asked to sign it: from its bytes alone, and the names that the register has
// for what it names. The same operation and register give the same words. s
// may be nil, for a genesis.
func (o *Op) Words(s *State) []string {
	l := lookup{s}
	var out []string
	switch {
	case o.Kind() == KindGenesis:
	case s == nil || s.network != o.Network:
		out = append(out, "For another network than this one: "+o.Network.String())
	default:
		out = append(out, fmt.Sprintf("For the %s network %s, %s", s.mode, quote(s.title), o.Network.Short()))
		if s.mode == Trial {
			out = append(out, "This is a trial network: invented data only")
		}
	}
	out = append(out, o.Body.words(l, o.Subject)...)
	if o.Kind() != KindGenesis {
		out = append(out,
			fmt.Sprintf("This is change %d of its subject, drafted on the register of %d leaves", o.Next, o.BaseSize),
			"It can be applied until "+day(o.Expiry))
	}
	return append(out, "What you sign: "+Fingerprint(OpHash(o.network(), o.Encode())))
}

func (o *Op) network() protocol.NetworkID {
	if o.Kind() == KindGenesis {
		return NetworkOf(o.Encode())
	}
	return o.Network
}

func shortKey(k crypto.PublicKey) string { return k.ID().String()[:16] }

func setWords(s Set, had *Set) []string {
	n := s.People()
	out := []string{fmt.Sprintf("Any %d of these %d people:", s.Threshold, n)}
	switch {
	case n == 1:
		out[0] = "This one person:"
	case s.Threshold == uint64(n):
		out[0] = fmt.Sprintf("All %d of these people:", n)
	}
	for _, m := range s.Members {
		line := fmt.Sprintf("  person %s with key %s", m.Person.Short(), shortKey(m.Key))
		if had != nil {
			if _, ok := had.find(m.Key); !ok {
				line += " (new)"
			}
		}
		out = append(out, line)
	}
	if had != nil {
		for _, m := range had.Members {
			if _, ok := s.find(m.Key); !ok {
				out = append(out, fmt.Sprintf("  no longer: person %s with key %s", m.Person.Short(), shortKey(m.Key)))
			}
		}
	}
	return out
}

func nodeWords(n NodeKeys) []string {
	out := []string{
		"  author key " + shortKey(n.Author),
		"  transport key " + shortKey(n.Transport),
		"  sealing key " + recipientWords(n.Sealing),
	}
	if !n.Checkpoint.IsZero() {
		out = append(out, "  checkpoint key "+shortKey(n.Checkpoint))
	}
	return out
}

// recipientWords names an encryption key by a hash of it: two thousand
// characters are compared by nobody.
func recipientWords(r string) string {
	return crypto.Sum(labelFingerprint, crypto.Hash{}, []byte(r)).String()[:16]
}

func requestWords(r Request, id protocol.OrgID) []string {
	out := []string{
		"  name: " + quote(r.Name),
		fmt.Sprintf("  class %s, kind %s", r.Class, r.Code),
		"  fingerprint, to compare by phone: " + Fingerprint(id),
		"Its administrators:",
	}
	out = append(out, setWords(r.Administrators, nil)...)
	out = append(out, "Its first node:")
	out = append(out, nodeWords(r.Node)...)
	return append(out, "Its first encryption key: "+recipientWords(r.Recipient))
}

func (g Genesis) words(_ lookup, _ Subject) []string {
	out := []string{fmt.Sprintf("Found the %s network %s", g.Mode, quote(g.Title))}
	if g.Mode == Trial {
		out = append(out, "This is a trial network: invented data only")
	}
	out = append(out, g.Policy.words(lookup{}, Subject{})...)
	out = append(out, "Its officers:")
	out = append(out, setWords(g.Officers.Set, nil)...)
	out = append(out, fmt.Sprintf("Any %d of them may suspend and reinstate", g.Officers.Suspension), "Its secretariat:")
	if r, err := decodeRequest(g.Secretariat, true); err == nil {
		network := NetworkOf(g.Draft().Encode())
		out = append(out, requestWords(r, OrgIDOf(network, g.Secretariat))...)
	}
	return out
}

func (b OfficersChange) words(l lookup, _ Subject) []string {
	var had *Set
	if l.s != nil {
		o := l.s.Officers()
		had = &o.Set
	}
	out := append([]string{"Name the officers anew"}, setWords(b.Officers.Set, had)...)
	return append(out, fmt.Sprintf("Any %d of them may suspend and reinstate", b.Officers.Suspension))
}

func (b EnrolOrg) words(_ lookup, _ Subject) []string {
	r, err := DecodeSignedRequest(b.Request)
	if err != nil {
		return []string{"Enrol an organisation by a request that cannot be read"}
	}
	return append([]string{"Enrol a new organisation"}, requestWords(r.Request, r.ID())...)
}

func (RevokeOrg) words(l lookup, s Subject) []string {
	return []string{"Revoke, for ever, the organisation " + l.org(s.org())}
}

func (b RevokeNode) words(l lookup, s Subject) []string {
	by := "by the officers"
	if s.Kind == SubjectAdmins {
		by = "by the administrators of its organisation"
	}
	return []string{"Revoke, for ever, " + l.node(b.Node), by}
}

func (p Policy) words(lookup, Subject) []string {
	out := []string{fmt.Sprintf("Policy: rules of version %d", p.Rules)}
	if p.Agreement != "" {
		out = append(out, fmt.Sprintf("The agreement that members signed: %s, SHA-256 %x", quote(p.Agreement), p.SHA256))
	}
	return out
}

func (b DefineGroup) words(l lookup, s Subject) []string {
	from := "A joiner reads from its joining on"
	if b.FromStart {
		from = "A joiner reads everything from the start"
	}
	out := []string{fmt.Sprintf("Define the group %s, %s, members: %d", s.Group, quote(b.Title), len(b.Members)), from}
	var had []protocol.OrgID
	if l.s != nil {
		if g, ok := l.s.groups.Get(string(s.Group)); ok {
			had = g.versions.at(l.s.Size()).members
		}
	}
	for _, m := range b.Members {
		mark := ""
		if !slices.Contains(had, m) {
			mark = " (new in it)"
		}
		out = append(out, "  "+l.org(m)+mark)
	}
	for _, m := range had {
		if !slices.Contains(b.Members, m) {
			out = append(out, "  no longer: "+l.org(m))
		}
	}
	return out
}

func (b SetKind) words(l lookup, s Subject) []string {
	return []string{fmt.Sprintf("Set the kind %s for %s", b.Code, l.org(s.org()))}
}

func (Time) words(lookup, Subject) []string { return []string{"Move the register's time on"} }

func (Suspend) words(l lookup, s Subject) []string {
	return []string{fmt.Sprintf("Suspend %s for %d days", l.either(s), SuspensionSeconds/86400)}
}

func (Reinstate) words(l lookup, s Subject) []string {
	return []string{"End the suspension of " + l.either(s)}
}

func (l lookup) either(s Subject) string {
	if s.Kind == SubjectNode {
		return l.node(s.node())
	}
	return "the organisation " + l.org(s.org())
}

func (b AdminsChange) words(l lookup, s Subject) []string {
	var had *Set
	if l.s != nil {
		if a, ok := l.s.Administrators(s.org()); ok {
			had = &a
		}
	}
	return append([]string{"Name anew the administrators of " + l.org(s.org())}, setWords(b.Administrators, had)...)
}

func (b EnrolNode) words(l lookup, s Subject) []string {
	return append([]string{"Admit a further node of " + l.org(s.org())}, nodeWords(b.Node)...)
}

func (b RetireNode) words(l lookup, _ Subject) []string {
	return []string{"Retire " + l.node(b.Node)}
}

func (b SetVoters) words(l lookup, s Subject) []string {
	return append([]string{"Name the voters of " + l.org(s.org())}, nodesWords(l, b.Nodes)...)
}

func (b SetSigners) words(l lookup, _ Subject) []string {
	out := []string{fmt.Sprintf("Name who signs the register's checkpoints: any %d of", majority(len(b.Nodes)))}
	return append(out, nodesWords(l, b.Nodes)...)
}

func nodesWords(l lookup, nodes []protocol.NodeID) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, "  "+l.node(n))
	}
	return out
}

func (b PublishKey) words(l lookup, s Subject) []string {
	return []string{fmt.Sprintf("Publish the encryption key of epoch %d, %s, for %s", b.Epoch, recipientWords(b.Recipient), l.org(s.org()))}
}

func (b TaintKey) words(l lookup, s Subject) []string {
	return []string{fmt.Sprintf("Let nobody seal any more to the encryption key of epoch %d of %s", b.Epoch, l.org(s.org()))}
}

func (OfferCustody) words(l lookup, s Subject) []string {
	return []string{"Offer to keep others' sealed records at " + l.org(s.org())}
}

func (WithdrawCustody) words(l lookup, s Subject) []string {
	return []string{"Keep others' sealed records no longer at " + l.org(s.org())}
}

// Title is the first line of an operation's own words, for lists.
func (o *Op) Title(s *State) string { return strings.Join(o.Body.words(lookup{s}, o.Subject)[:1], "") }
