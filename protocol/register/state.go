package register

import (
	"slices"
	"sort"

	"github.com/benbjohnson/immutable"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// State is the register after its first Size leaves, and at every size
// before. It never changes: [Apply] returns another State that shares what is
// alike. Any number of goroutines may read it.
type State struct {
	network protocol.NetworkID
	mode    Mode
	title   string
	secr    protocol.OrgID

	marks    vec[mark]     // marks[i] is after leaf i
	frontier []crypto.Hash // roots of the perfect subtrees, largest first
	policy   hist[Policy]
	officers hist[*OfficerSet]
	signers  hist[[]protocol.NodeID]

	// Sizes at which a subject's version advanced.
	officerOps, policyOps, timeOps vec[uint64]

	orgs   *immutable.Map[string, *org]
	nodes  *immutable.Map[string, *node]
	groups *immutable.Map[string, *group]
	order  vec[protocol.OrgID] // as enrolled

	names      *immutable.Map[string, protocol.OrgID]
	keys       *immutable.Map[string, keyUse]
	recipients *immutable.Map[string, protocol.OrgID] // every encryption key ever published
}

var _ protocol.Members = (*State)(nil)

// mark is what the register was at one size.
type mark struct {
	time int64
	root crypto.Hash
}

// keyUse says for what a signing key stands, for ever.
type keyUse struct {
	purpose Purpose
	org     protocol.OrgID
	holder  [32]byte // person or node
}

// standing is a status, and when it lapses.
type standing struct {
	status protocol.Status
	until  int64 // leaf time at which a suspension lapses; 0 never
}

type org struct {
	id    protocol.OrgID
	name  string
	class protocol.Class
	from  uint64 // size at which it was enrolled

	code     hist[string]
	standing hist[standing]
	admins   hist[*Set]
	custody  hist[bool]
	voters   hist[[]protocol.NodeID]
	keys     vec[*encKey] // epoch e at index e-1
	nodes    vec[protocol.NodeID]

	officerOps, adminOps vec[uint64] // sizes at which each counter advanced
}

type encKey struct {
	from      uint64
	recipient string
	tainted   uint64 // size; 0 never
}

func (k *encKey) taintedAt(size uint64) bool { return k.tainted != 0 && k.tainted <= size }

type node struct {
	id       protocol.NodeID
	org      protocol.OrgID
	keys     NodeKeys
	from     uint64
	standing hist[standing]

	officerOps vec[uint64]
}

type group struct {
	id        protocol.GroupID
	from      uint64
	fromStart bool
	versions  hist[*groupVersion] // their number is the subject's version
}

type groupVersion struct {
	title   string
	members []protocol.OrgID
}

func newMap[V any]() *immutable.Map[string, V] {
	return immutable.NewMap[string, V](immutable.NewHasher(""))
}

func (s *State) org(id protocol.OrgID) (*org, bool)    { return s.orgs.Get(string(id[:])) }
func (s *State) node(id protocol.NodeID) (*node, bool) { return s.nodes.Get(string(id[:])) }

// grow adds a leaf to the tree.
func (s *State) grow(leaf []byte, time int64) {
	h := tlog.RecordHash(leaf)
	f := slices.Clone(s.frontier)
	for n := s.Size(); n&1 == 1; n >>= 1 { // each full subtree on the right is joined
		h = tlog.NodeHash(tlog.Hash(f[len(f)-1]), h)
		f = f[:len(f)-1]
	}
	s.frontier = append(f, crypto.Hash(h))
	root := tlog.Hash(s.frontier[len(s.frontier)-1])
	for i := len(s.frontier) - 2; i >= 0; i-- {
		root = tlog.NodeHash(tlog.Hash(s.frontier[i]), root)
	}
	s.marks = s.marks.with(mark{time, crypto.Hash(root)})
}

// Network is the network's ID: the labelled hash of its genesis.
func (s *State) Network() protocol.NetworkID { return s.network }

// Mode says whether the network is for practice: then everything a person
// sees says that only invented data may be entered.
func (s *State) Mode() Mode { return s.mode }

// Title is the alliance's name.
func (s *State) Title() string { return s.title }

// Secretariat is the secretariat's ID.
func (s *State) Secretariat() protocol.OrgID { return s.secr }

// Size counts the leaves.
func (s *State) Size() uint64 { return uint64(s.marks.len()) }

// Root is the RFC 6962 root of all leaves.
func (s *State) Root() crypto.Hash { return s.marks.get(s.marks.len() - 1).root }

// Time is the newest leaf's, in Unix seconds.
func (s *State) Time() int64 { return s.marks.get(s.marks.len() - 1).time }

// RootAt is the RFC 6962 root of the first size leaves; size counts from 1.
func (s *State) RootAt(size uint64) (crypto.Hash, bool) {
	if size == 0 || size > s.Size() {
		return crypto.Hash{}, false
	}
	return s.marks.get(int(size) - 1).root, true
}

// TimeAt is the time of the last of size leaves, in Unix seconds.
func (s *State) TimeAt(size uint64) (int64, bool) {
	if size == 0 || size > s.Size() {
		return 0, false
	}
	return s.marks.get(int(size) - 1).time, true
}

// DayAt is the UTC day of [State.TimeAt].
func (s *State) DayAt(size uint64) (protocol.Day, bool) {
	t, ok := s.TimeAt(size)
	return protocol.DayOf(t), ok
}

// firstAt is the first size whose time is at least t.
func (s *State) firstAt(t int64) uint64 {
	return uint64(sort.Search(s.marks.len(), func(i int) bool { return s.marks.get(i).time >= t })) + 1
}

// OrgAt is an organisation as the register had it at size.
func (s *State) OrgAt(id protocol.OrgID, size uint64) (protocol.Org, bool) {
	v, ok := s.at(size)
	if !ok {
		return protocol.Org{}, false
	}
	o, ok := v.org(id)
	if !ok {
		return protocol.Org{}, false
	}
	return v.show(o), true
}

// NodeAt is a node as the register had it at size.
func (s *State) NodeAt(id protocol.NodeID, size uint64) (protocol.Node, bool) {
	v, ok := s.at(size)
	if !ok {
		return protocol.Node{}, false
	}
	n, ok := v.node(id)
	if !ok {
		return protocol.Node{}, false
	}
	return v.showNode(n), true
}

// Org is an organisation as it is now.
func (s *State) Org(id protocol.OrgID) (protocol.Org, bool) { return s.OrgAt(id, s.Size()) }

// Node is a node as it is now.
func (s *State) Node(id protocol.NodeID) (protocol.Node, bool) { return s.NodeAt(id, s.Size()) }

// Orgs lists every organisation as it is now, in the order of enrolment, the
// secretariat first.
func (s *State) Orgs() []protocol.Org {
	v := s.now()
	out := make([]protocol.Org, 0, s.order.len())
	for _, id := range s.order.all() {
		if o, ok := v.org(id); ok {
			out = append(out, v.show(o))
		}
	}
	return out
}

// OrgNamed finds an organisation by its name, as people would type it.
func (s *State) OrgNamed(name string) (protocol.Org, bool) {
	id, ok := s.names.Get(foldName(name))
	if !ok {
		return protocol.Org{}, false
	}
	return s.Org(id)
}

// Nodes lists an organisation's nodes of every status, as enrolled.
func (s *State) Nodes(id protocol.OrgID) []protocol.Node {
	o, ok := s.org(id)
	if !ok {
		return nil
	}
	v := s.now()
	var out []protocol.Node
	for _, n := range o.nodes.all() {
		if n, ok := v.node(n); ok {
			out = append(out, v.showNode(n))
		}
	}
	return out
}

// NodeByTransport finds the node whose transport key this is, of any status.
func (s *State) NodeByTransport(key crypto.PublicKey) (protocol.Node, bool) {
	return s.nodeByKey(ForTransport, key)
}

// NodeByAuthor finds the node whose author key this is, of any status.
func (s *State) NodeByAuthor(key crypto.PublicKey) (protocol.Node, bool) {
	return s.nodeByKey(ForAuthor, key)
}

func (s *State) nodeByKey(p Purpose, key crypto.PublicKey) (protocol.Node, bool) {
	u, ok := s.keys.Get(string(key[:]))
	if !ok || u.purpose != p {
		return protocol.Node{}, false
	}
	return s.Node(u.holder)
}

// CheckpointKey is a secretariat node's checkpoint key.
func (s *State) CheckpointKey(id protocol.NodeID) (crypto.PublicKey, bool) {
	n, ok := s.node(id)
	if !ok || n.keys.Checkpoint.IsZero() {
		return crypto.PublicKey{}, false
	}
	return n.keys.Checkpoint, true
}

// Officers is the officer set at present.
func (s *State) Officers() OfficerSet {
	o := s.officers.at(s.Size())
	return OfficerSet{o.Set.stripped(), o.Suspension}
}

// Policy is the policy at present.
func (s *State) Policy() Policy { return s.policy.at(s.Size()) }

// Administrators is an organisation's present set.
func (s *State) Administrators(id protocol.OrgID) (Set, bool) {
	o, ok := s.org(id)
	if !ok {
		return Set{}, false
	}
	return o.admins.at(s.Size()).stripped(), true
}

// SuspendedUntil is the leaf time, in Unix seconds, at which the suspension of
// an organisation or a node (not that of its organisation) lapses.
func (s *State) SuspendedUntil(about Subject) (int64, bool) {
	var h hist[standing]
	switch about.Kind {
	case SubjectOrg:
		if o, ok := s.org(about.org()); ok {
			h = o.standing
		}
	case SubjectNode:
		if n, ok := s.node(about.node()); ok {
			h = n.standing
		}
	}
	d := h.at(s.Size())
	return d.until, d.status == protocol.Suspended && s.Time() < d.until
}

// Voters lists the active voters of an organisation's Raft group.
func (s *State) Voters(id protocol.OrgID) []protocol.NodeID {
	o, ok := s.org(id)
	if !ok {
		return nil
	}
	v := s.now()
	return v.active(o.voters.at(v.size))
}

// Signers are the nodes named to sign checkpoints at a size, of any status,
// and how many signatures of active ones are needed.
func (s *State) Signers(size uint64) (nodes []protocol.Node, quorum int) {
	v, ok := s.at(size)
	if !ok {
		return nil, 0
	}
	named := s.signers.at(size)
	for _, id := range named {
		if n, ok := v.node(id); ok {
			nodes = append(nodes, v.showNode(n))
		}
	}
	return nodes, majority(len(named))
}

// Changes lists the sizes after from, up to to, at which the set of signers
// changed. A checkpoint at each of them is kept, so that somebody who comes
// back after several changes can walk them (see [Accept]).
func (s *State) Changes(from, to uint64) []uint64 {
	var out []uint64
	for _, d := range s.signers.all() {
		if d.from > from && d.from <= to {
			out = append(out, d.from)
		}
	}
	return out
}

// Custodians lists the active organisations that keep others' records: the
// secretariat first, then those that offered, as enrolled.
func (s *State) Custodians() []protocol.OrgID {
	var out []protocol.OrgID
	for _, o := range s.Orgs() {
		if o.Custody && o.Status == protocol.Active {
			out = append(out, o.ID)
		}
	}
	return out
}

// EncryptionKey is one of an organisation's published keys.
type EncryptionKey struct {
	Epoch     uint64
	Recipient string
	From      uint64 // size at which it was published
	Tainted   bool
}

// KeysAt lists an organisation's encryption keys at size, oldest first.
func (s *State) KeysAt(id protocol.OrgID, size uint64) []EncryptionKey {
	o, ok := s.org(id)
	if !ok || size > s.Size() {
		return nil
	}
	var out []EncryptionKey
	for i, k := range o.keys.all() {
		if k.from <= size {
			out = append(out, EncryptionKey{uint64(i) + 1, k.recipient, k.from, k.taintedAt(size)})
		}
	}
	return out
}

func majority(n int) int { return n/2 + 1 }
