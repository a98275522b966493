package replica

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// register is a small register of invented organisations that a test moves by
// lines of text, one a size:
//
//	org A ngo        enrols A with its node A1 and its first encryption key
//	node A2 A        one more node of A
//	key A            A's next encryption key
//	offer C          C offers custody
//	suspend, reinstate, revoke A (or A1)
type register struct {
	network protocol.NetworkID

	mu     sync.RWMutex
	lines  []string
	states []regState // by size
	keys   map[string]crypto.PrivateKey
	ids    map[string][]*seal.Identity // by organisation, by epoch
}

type regState struct {
	root  crypto.Hash
	orgs  map[protocol.OrgID]protocol.Org
	nodes map[protocol.NodeID]protocol.Node
}

const usual = `org S secretariat
	org A ngo
	org B ngo
	org P police
	org G government
	org C ngo
	offer C`

const today = protocol.Day(21900) // 2029-12-17

func orgID(name string) protocol.OrgID {
	return protocol.OrgID(crypto.Sum("test-org", crypto.Hash{}, []byte(name)))
}

func nodeID(name string) protocol.NodeID {
	return protocol.NodeID(crypto.Sum("test-node", crypto.Hash{}, []byte(name)))
}

func orgIDs(names string) (out []protocol.OrgID) {
	for _, n := range strings.Fields(names) {
		out = append(out, orgID(n))
	}
	return out
}

var identities struct { // made once, since they take a while
	sync.Mutex
	by map[string]*seal.Identity
}

func identity(name string) *seal.Identity {
	identities.Lock()
	defer identities.Unlock()
	if identities.by == nil {
		identities.by = map[string]*seal.Identity{}
	}
	if identities.by[name] == nil {
		id, err := seal.GenerateIdentity()
		if err != nil {
			panic(err)
		}
		identities.by[name] = id
	}
	return identities.by[name]
}

func newRegister(t testing.TB, script string) *register {
	g := &register{network: protocol.NetworkID(crypto.Sum("test-network", crypto.Hash{}, []byte("Example alliance, invented"))),
		keys: map[string]crypto.PrivateKey{}, ids: map[string][]*seal.Identity{},
		states: []regState{{orgs: map[protocol.OrgID]protocol.Org{}, nodes: map[protocol.NodeID]protocol.Node{}}}}
	g.leaves(t, script)
	return g
}

func (g *register) leaves(t testing.TB, script string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for line := range strings.Lines(script) {
		if f := strings.Fields(line); len(f) > 0 {
			if err := g.leaf(f); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (g *register) leaf(f []string) error {
	old := g.states[len(g.states)-1]
	s := regState{orgs: maps.Clone(old.orgs), nodes: maps.Clone(old.nodes)}
	size := uint64(len(g.states))
	g.lines = append(g.lines, strings.Join(f, " "))
	s.root = crypto.Sum("test-root", crypto.Hash(g.network), []byte(strings.Join(g.lines, "\n")))
	newKey := func(name string) {
		o := s.orgs[orgID(name)]
		o.Epoch++
		id := identity(fmt.Sprint(name, o.Epoch))
		g.ids[name] = append(g.ids[name], id)
		o.Tainted, o.Recipient = false, id.Recipient().String()
		s.orgs[o.ID] = o
	}
	addNode := func(name, of string) {
		seed := sha256.Sum256([]byte("test seed of " + name))
		k, err := crypto.NewPrivateKey(seed[:])
		if err != nil {
			panic(err)
		}
		g.keys[name] = k
		s.nodes[nodeID(name)] = protocol.Node{ID: nodeID(name), Org: orgID(of), Author: k.Public(), Status: protocol.Active, Since: size}
	}
	status := func(to protocol.Status) {
		if n, ok := s.nodes[nodeID(f[1])]; ok {
			n.Status, n.Since = to, size
			s.nodes[n.ID] = n
			return
		}
		o := s.orgs[orgID(f[1])]
		o.Status, o.Since = to, size
		s.orgs[o.ID] = o
		for id, n := range s.nodes {
			if n.Org == o.ID {
				n.Status, n.Since = to, size
				s.nodes[id] = n
			}
		}
	}
	switch f[0] {
	case "org":
		class, err := protocol.ParseClass(f[2])
		if err != nil {
			return err
		}
		s.orgs[orgID(f[1])] = protocol.Org{ID: orgID(f[1]), Name: f[1], Class: class, Status: protocol.Active, Since: size}
		newKey(f[1])
		addNode(f[1]+"1", f[1])
	case "node":
		addNode(f[1], f[2])
	case "key":
		newKey(f[1])
	case "offer":
		o := s.orgs[orgID(f[1])]
		o.Custody = true
		s.orgs[o.ID] = o
	case "suspend":
		status(protocol.Suspended)
	case "reinstate":
		status(protocol.Active)
	case "revoke":
		status(protocol.Revoked)
	default:
		return fmt.Errorf("no such leaf: %v", f)
	}
	g.states = append(g.states, s)
	return nil
}

// now is the register as one sees it who has all of it; at, who has less.
func (g *register) now() members {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return members{g, uint64(len(g.states) - 1)}
}

func (g *register) at(size uint64) members { return members{g, size} }

func (g *register) identities(org string) (out []*seal.Identity) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, id := range g.ids[org] {
		out = append([]*seal.Identity{id}, out...)
	}
	return out
}

// members is a register up to one size.
type members struct {
	g    *register
	size uint64
}

func (m members) state(size uint64) (regState, bool) {
	m.g.mu.RLock()
	defer m.g.mu.RUnlock()
	if size > m.size {
		return regState{}, false
	}
	return m.g.states[size], true
}

func (m members) Network() protocol.NetworkID { return m.g.network }
func (m members) Size() uint64                { return m.size }

func (m members) RootAt(size uint64) (crypto.Hash, bool) {
	s, ok := m.state(size)
	return s.root, ok
}

func (m members) DayAt(size uint64) (protocol.Day, bool) {
	_, ok := m.state(size)
	return today - 5, ok
}

func (m members) OrgAt(id protocol.OrgID, size uint64) (protocol.Org, bool) {
	s, _ := m.state(size)
	o, ok := s.orgs[id]
	return o, ok
}

func (m members) NodeAt(id protocol.NodeID, size uint64) (protocol.Node, bool) {
	s, _ := m.state(size)
	n, ok := s.nodes[id]
	return n, ok
}

func (m members) Nodes(org protocol.OrgID) (out []protocol.Node) {
	s, _ := m.state(m.size)
	for _, n := range s.nodes {
		if n.Org == org {
			out = append(out, n)
		}
	}
	return out
}

func (m members) GroupAt(protocol.GroupID, uint64) (protocol.Group, bool) {
	return protocol.Group{}, false
}
func (m members) InGroup(protocol.GroupID, protocol.OrgID, uint64) bool { return false }
func (m members) TakenAway([]byte, uint64) (protocol.Struck, bool)      { return protocol.Struck{}, false }
