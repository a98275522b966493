package protocol

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// A world is a small register drawn as text, one leaf a line, all invented:
//
//	day 20000           this leaf and the later ones are of this day
//	org A ngo           enrols A, its node A1 and its first encryption key
//	node A2 A           one more node of A
//	key A               A's next encryption key
//	taint A             A's newest encryption key may no longer be sealed to
//	offer A             A offers custody; withdraw A ends the offer
//	suspend, reinstate, revoke, retire   an organisation or a node
type world struct {
	t       testing.TB
	network NetworkID
	lines   []string
	states  []state // by size
	keys    map[string]crypto.PrivateKey
	ids     map[string][]*seal.Identity // by organisation, by epoch from 1
	rand    *rand.ChaCha8
	cache   seal.Recipients
	spare   map[string][]*seal.Identity // of a world before, to make this one faster
}

type state struct {
	root  crypto.Hash
	day   Day
	orgs  map[OrgID]Org
	nodes map[NodeID]Node
}

// usual is the world that most tests begin with.
const usual = `
	day 20000
	org S secretariat
	org A ngo
	org B ngo
	org P police
	org G government
	org C ngo
	offer C
	org N ngo`

const usualDay = Day(20000)

func newWorld(t testing.TB, script string) *world { return newWorldWith(t, script, nil) }

func newWorldWith(t testing.TB, script string, spare map[string][]*seal.Identity) *world {
	w := &world{spare: spare, t: t, network: NetworkID(crypto.Sum("test-network", crypto.Hash{}, []byte("Example alliance, invented"))),
		keys: map[string]crypto.PrivateKey{}, ids: map[string][]*seal.Identity{}, rand: rand.NewChaCha8([32]byte{1}),
		states: []state{{orgs: map[OrgID]Org{}, nodes: map[NodeID]Node{}}}}
	w.leaves(script)
	return w
}

func orgID(name string) OrgID { return OrgID(crypto.Sum("test-org", crypto.Hash{}, []byte(name))) }
func nodeID(name string) NodeID {
	return NodeID(crypto.Sum("test-node", crypto.Hash{}, []byte(name)))
}

func orgIDs(names string) (out []OrgID) {
	for _, n := range strings.Fields(names) {
		out = append(out, orgID(n))
	}
	return out
}

// leaves appends leaves and returns the world for chaining.
func (w *world) leaves(script string) {
	w.t.Helper()
	for line := range strings.Lines(script) {
		if f := strings.Fields(line); len(f) > 0 {
			w.leaf(f)
		}
	}
}

func (w *world) leaf(f []string) {
	w.t.Helper()
	old := w.states[len(w.states)-1]
	s := state{day: old.day, orgs: maps.Clone(old.orgs), nodes: maps.Clone(old.nodes)}
	size := uint64(len(w.states))
	w.lines = append(w.lines, strings.Join(f, " "))
	s.root = crypto.Sum("test-root", crypto.Hash(w.network), []byte(strings.Join(w.lines, "\n")))
	org := func(change func(*Org)) {
		o, ok := s.orgs[orgID(f[1])]
		if !ok {
			w.t.Fatalf("no organisation %s", f[1])
		}
		change(&o)
		s.orgs[o.ID] = o
	}
	newKey := func(o *Org) {
		var id *seal.Identity
		if spare := w.spare[f[1]]; o.Epoch < uint64(len(spare)) {
			id = spare[o.Epoch]
		} else {
			var err error
			if id, err = seal.GenerateIdentity(); err != nil {
				w.t.Fatal(err)
			}
		}
		w.ids[f[1]] = append(w.ids[f[1]], id)
		o.Epoch, o.Tainted, o.Recipient = o.Epoch+1, false, id.Recipient().String()
	}
	addNode := func(name string, of OrgID) {
		seed := sha256.Sum256([]byte("test seed of " + name))
		k, err := crypto.NewPrivateKey(seed[:])
		if err != nil {
			w.t.Fatal(err)
		}
		w.keys[name] = k
		s.nodes[nodeID(name)] = Node{ID: nodeID(name), Org: of, Author: k.Public(), Status: Active, Since: size}
	}
	status := func(to Status) {
		if n, ok := s.nodes[nodeID(f[1])]; ok {
			n.Status, n.Since = to, size
			s.nodes[n.ID] = n
			return
		}
		org(func(o *Org) { o.Status, o.Since = to, size })
		for id, n := range s.nodes {
			if n.Org == orgID(f[1]) {
				n.Status, n.Since = to, size
				s.nodes[id] = n
			}
		}
	}
	switch f[0] {
	case "day":
		d, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			w.t.Fatal(err)
		}
		s.day = Day(d)
	case "org":
		class, err := ParseClass(f[2])
		if err != nil {
			w.t.Fatal(err)
		}
		s.orgs[orgID(f[1])] = Org{ID: orgID(f[1]), Name: f[1], Class: class, Status: Active, Since: size}
		org(newKey)
		addNode(f[1]+"1", orgID(f[1]))
	case "node":
		addNode(f[1], orgID(f[2]))
	case "key":
		org(newKey)
	case "taint":
		org(func(o *Org) { o.Tainted = true })
	case "offer":
		org(func(o *Org) { o.Custody = true })
	case "withdraw":
		org(func(o *Org) { o.Custody = false })
	case "suspend":
		status(Suspended)
	case "revoke":
		status(Revoked)
	case "reinstate":
		status(Active)
	case "retire":
		status(Retired)
	default:
		w.t.Fatalf("no such leaf: %v", f)
	}
	w.states = append(w.states, s)
}

func (w *world) size() uint64 { return uint64(len(w.states) - 1) }

// now is the register as one sees it who has all of it; at, who has less.
func (w *world) now() members           { return members{w, w.size()} }
func (w *world) at(size uint64) members { return members{w, size} }
func (w *world) identity(o string) []*seal.Identity {
	out := slices.Clone(w.ids[o])
	slices.Reverse(out)
	return out
}

// members is a world's register up to one size.
type members struct {
	w    *world
	size uint64
}

func (m members) Network() NetworkID { return m.w.network }
func (m members) Size() uint64       { return m.size }

func (m members) state(size uint64) (state, bool) {
	if size > m.size || size > m.w.size() {
		return state{}, false
	}
	return m.w.states[size], true
}

func (m members) RootAt(size uint64) (crypto.Hash, bool) {
	s, ok := m.state(size)
	return s.root, ok
}

func (m members) DayAt(size uint64) (Day, bool) {
	s, ok := m.state(size)
	return s.day, ok
}

func (m members) OrgAt(id OrgID, size uint64) (Org, bool) {
	s, _ := m.state(size)
	o, ok := s.orgs[id]
	return o, ok
}

func (m members) NodeAt(id NodeID, size uint64) (Node, bool) {
	s, _ := m.state(size)
	n, ok := s.nodes[id]
	return n, ok
}

func (m members) GroupAt(id GroupID, size uint64) (Group, bool) {
	_, ok := m.state(size)
	return Group{ID: id}, ok && id == "members"
}

func (m members) InGroup(id GroupID, org OrgID, size uint64) bool {
	o, ok := m.OrgAt(org, size)
	return ok && id == "members" && o.Status == Active
}

// takeAway stands for a signed operation: "revoke B", "revoke B1", "taint B 1".
func takeAway(text string) []byte { return []byte("signed: " + text) }

func (m members) TakenAway(op []byte, size uint64) (Struck, bool) {
	text, ok := strings.CutPrefix(string(op), "signed: ")
	f := strings.Fields(text)
	if !ok || len(f) < 2 {
		return Struck{}, false
	}
	if n, ok := m.NodeAt(nodeID(f[1]), size); ok && f[0] == "revoke" {
		return Struck{Org: n.Org, Node: n.ID}, true
	}
	o, ok := m.OrgAt(orgID(f[1]), size)
	if !ok {
		return Struck{}, false
	}
	switch {
	case f[0] == "revoke":
		return Struck{Org: o.ID}, true
	case f[0] == "taint" && len(f) == 3:
		n, err := strconv.ParseUint(f[2], 10, 64)
		return Struck{Org: o.ID, Epoch: n}, err == nil && n > 0 && n <= o.Epoch
	}
	return Struck{}, false
}

// writer is a node's honest writer.
func (w *world) writer(node string, m Members) Writer {
	n, _ := w.now().NodeAt(nodeID(node), w.size())
	return Writer{Members: m, Org: n.Org, Node: n.ID, Key: w.keys[node], Random: w.rand, Recipient: w.cache.Parse}
}

// A pen is one feed and the node that writes it. It keeps what it wrote and
// the keys, as an author does.
type pen struct {
	w        *world
	node     string
	audience Audience
	chain    Chain
	day      Day
	keys     map[uint64][]seal.FeedKey // by seq of the key record
	records  []*Record
	hollow   bool // key records are sealed to nobody, where only cores matter
}

func (w *world) pen(node, to string) *pen {
	return &pen{w: w, node: node, audience: ListAudience(orgIDs(to)...), day: usualDay, keys: map[uint64][]seal.FeedKey{}}
}

// key opens the feed, or renews its key; parts name further reader sets.
func (p *pen) key(custodians string, parts ...string) *Record {
	p.w.t.Helper()
	sets := make([][]OrgID, len(parts))
	for i, names := range parts {
		sets[i] = orgIDs(names)
	}
	r, c, keys, err := p.w.writer(p.node, p.w.now()).OpenFeed(p.chain, p.audience, sets, orgIDs(custodians), nil, p.day, p.day+1000)
	if err != nil {
		p.w.t.Fatalf("%s: key record: %v", p.node, err)
	}
	p.keys[r.Core().Seq] = keys
	return p.wrote(r, c)
}

// data writes a record with one section for each of the sets.
func (p *pen) data(sets ...int) *Record {
	p.w.t.Helper()
	r, c, err := p.w.writer(p.node, p.w.now()).Write(p.chain, p.keys[p.chain.Key.Seq], texts(sets...), p.day, p.day+1000)
	if err != nil {
		p.w.t.Fatalf("%s: data record: %v", p.node, err)
	}
	return p.wrote(r, c)
}

func (p *pen) wrote(r *Record, c Chain) *Record {
	p.chain = c
	p.records = append(p.records, r)
	return r
}

func texts(sets ...int) (out []Content) {
	if len(sets) == 0 {
		sets = []int{0}
	}
	for i, s := range sets {
		out = append(out, Content{Set: uint64(s), Kind: "test/text", Time: int64(usualDay) * 86400, Staff: "example-1",
			Body: fmt.Appendf(nil, "Example text of section %d, invented.", i)})
	}
	return out
}

// all is an envelope with every section there is.
func all(r *Record) Envelope {
	return r.Envelope(Entitlement{Core: true, sections: 1<<len(r.Core().Sections()) - 1})
}

// A desk verifies: what one organisation holds of all feeds.
type desk struct {
	m      Members
	chains map[FeedID]Chain
	links  map[FeedID][]*Record // by seq-1
}

func newDesk(m Members) *desk {
	return &desk{m: m, chains: map[FeedID]Chain{}, links: map[FeedID][]*Record{}}
}

// take is what a node does with an envelope, without a disk.
func (d *desk) take(env Envelope) (*Record, error) {
	s, err := Open(d.m, env)
	if err != nil {
		return nil, err
	}
	c := d.chains[s.Feed()]
	r, n, err := c.Link(d.m, s)
	if err == ErrKnown {
		held := d.links[s.Feed()][s.Core().Seq-1]
		if f, ok := NewFork(held.SignedRecord(), s); ok {
			return nil, f
		}
		return held, err
	}
	if err != nil {
		return nil, err
	}
	for i, sealed := range env.Sections {
		if sealed != nil && r.State() != Refused {
			if err := r.Attach(i, sealed); err != nil {
				return nil, err
			}
		}
	}
	d.chains[s.Feed()] = n
	d.links[s.Feed()] = append(d.links[s.Feed()], r)
	return r, nil
}

// outcome is what became of an envelope, in the words that scripts use.
func (d *desk) outcome(env Envelope) string {
	r, err := d.take(env)
	return outcome(r, err)
}

// setOf is the key record's set that a section of r is sealed to.
func (d *desk) setOf(r *Record, section int) ReaderSet {
	links := d.links[r.Feed()]
	return links[r.Core().Data.Key-1].Core().Key.Sets[r.Core().Data.Sections[section].Set]
}
