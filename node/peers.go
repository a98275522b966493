package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/node/transport"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// greeting is what a node tells of itself in a hello.
type greeting struct {
	Size  uint64   `cbor:"1,keyasint"` // of its newest accepted checkpoint
	Addrs []string `cbor:"2,keyasint,omitempty"`
	Door  []string `cbor:"3,keyasint,omitempty"` // the secretariat's: where it listens for newcomers
}

const (
	maxGreeting  = 32 << 10
	maxAddrs     = 16
	metaAddrs    = "node/addresses"
	maxKnown     = 4000
	addressBytes = 256
)

// addressBook is where nodes were last said to be: only hints, since whoever
// answers must prove to be the node.
type addressBook struct {
	mu    sync.Mutex
	by    map[protocol.NodeID][]string
	dirty bool
}

func (b *addressBook) load(s *store.Store) error {
	b.by = map[protocol.NodeID][]string{}
	raw, err := meta(s, metaAddrs)
	if err != nil || raw == nil {
		return err
	}
	list, err := protocol.Decode[[]membership.PeerAddrs](raw, protocol.MaxFrame)
	if err != nil {
		return nil // hints only
	}
	for _, p := range list {
		b.by[p.Node] = p.Addrs
	}
	return nil
}

func (b *addressBook) learn(id protocol.NodeID, addrs []string) (news bool) {
	if len(addrs) == 0 || len(addrs) > maxAddrs {
		return false
	}
	for _, a := range addrs {
		if len(a) > addressBytes {
			return false
		}
		if _, err := transport.ParseAddr(a); err != nil {
			return false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Equal(b.by[id], addrs) || len(b.by) >= maxKnown && b.by[id] == nil {
		return false
	}
	b.by[id], b.dirty = slices.Clone(addrs), true
	return true
}

func (b *addressBook) list() []membership.PeerAddrs {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []membership.PeerAddrs
	for id, a := range b.by {
		out = append(out, membership.PeerAddrs{Node: id, Addrs: a})
	}
	slices.SortFunc(out, func(a, b membership.PeerAddrs) int { return a.Node.Compare(b.Node) })
	return out
}

func (b *addressBook) save(s *store.Store) error {
	b.mu.Lock()
	dirty := b.dirty
	b.dirty = false
	b.mu.Unlock()
	if !dirty {
		return nil
	}
	var batch store.Batch
	batch.Meta(metaAddrs, protocol.Encode(b.list()))
	return s.Commit(context.Background(), &batch)
}

// announced is where this node tells others to dial it.
func (n *Node) announced() []string {
	if len(n.cfg.Announce) > 0 {
		return n.cfg.Announce
	}
	a := n.tr.Addrs()
	return a[:min(len(a), maxAddrs)]
}

func (n *Node) hello() []byte {
	g := greeting{Addrs: n.announced()}
	if s := n.reg.State(); s != nil {
		g.Size = s.Size()
	}
	if !n.sign.IsZero() {
		g.Door = n.doorAddrs()
	}
	return protocol.Encode(g)
}

func (n *Node) onHello(from protocol.Node, b []byte) error {
	g, err := protocol.Decode[greeting](b, maxGreeting)
	if err != nil {
		return err
	}
	if n.addrs.learn(from.ID, g.Addrs) {
		n.poke()
	}
	if len(g.Door) > 0 && len(g.Door) <= maxAddrs && n.colleague(from.ID) {
		n.mu.Lock()
		n.knock[from.ID] = membership.Door{Transport: from.Transport, Addrs: g.Door}
		n.mu.Unlock()
	}
	n.meets.told(from.ID, g.Size)
	if s := n.reg.State(); s != nil && g.Size > s.Size() {
		n.reg.Follow(from.ID)
	}
	return nil
}

func (n *Node) learn(list []membership.PeerAddrs) {
	for _, p := range list {
		if n.addrs.learn(p.Node, p.Addrs) {
			n.poke()
		}
	}
}

// peers is the address book with this node's own addresses.
func (n *Node) peers() []membership.PeerAddrs {
	return append(n.addrs.list(), membership.PeerAddrs{Node: n.id.Node, Addrs: n.announced()})
}

// poke asks for a look at whom to connect to.
func (n *Node) poke() {
	select {
	case n.stir <- struct{}{}:
	default:
	}
}

// want tells the transport whom to stay connected with: the secretariat, the
// own organisation's other nodes, and everyone whom this node writes to or
// hears from. It returns for how many of them no address is known.
func (n *Node) want(s *register.State) (lost int) {
	orgs := map[protocol.OrgID]bool{s.Secretariat(): true, n.id.Org: true}
	if n.rep != nil {
		for _, o := range n.rep.Acquaintances() {
			orgs[o] = true
		}
	}
	known := map[protocol.NodeID][]string{}
	for _, p := range n.addrs.list() {
		known[p.Node] = p.Addrs
	}
	for id, a := range n.cfg.Peers {
		var node protocol.NodeID
		if node.UnmarshalText([]byte(id)) == nil {
			known[node] = a
		}
	}
	want := map[protocol.NodeID][]string{}
	for o := range orgs {
		for _, p := range s.Nodes(o) {
			switch {
			case p.Status != protocol.Active || p.ID == n.id.Node:
			case len(known[p.ID]) > 0:
				want[p.ID] = known[p.ID]
			default:
				lost++
			}
		}
	}
	n.tr.Want(want)
	return lost
}

// tend does what is due now and then: whom to connect to, where others are,
// the enrolment door, and the reading identity of a further node.
func (n *Node) tend(ctx context.Context) error {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	asked, lost := time.Time{}, 0
	for {
		s := n.reg.State()
		was := lost
		lost = n.want(s)
		n.door()
		n.askIdentity(ctx)
		if err := n.addrs.save(n.store); err != nil {
			n.log.Debug("addresses not kept", "err", err)
		}
		if now := n.now(); lost > was || now.Sub(asked) > 10*time.Second {
			if n.askAddresses(ctx, s) {
				asked = now
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-n.stir:
		}
	}
}

// askAddresses asks one node of the secretariat where the others are, and
// reports whether one answered.
func (n *Node) askAddresses(ctx context.Context, s *register.State) bool {
	for _, p := range s.Nodes(s.Secretariat()) {
		if p.ID == n.id.Node || !n.tr.Connected(p.ID) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		list, err := n.reg.AskPeers(ctx, p.ID)
		cancel()
		if err == nil {
			n.learn(list)
			return true
		}
	}
	return false
}

// door opens the enrolment listener while a ticket is open, and closes it.
func (n *Node) door() {
	if n.sign.IsZero() {
		return
	}
	open := n.reg.DoorOpen()
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case open:
		if err := n.openDoor(); err != nil {
			n.log.Error("the enrolment door does not open", "err", err)
		}
	case n.doors != nil && n.inviting == 0:
		n.doors.Close()
		n.doors = nil
	}
}

// openDoor is called with mu held.
func (n *Node) openDoor() error {
	if n.doors != nil {
		return nil
	}
	d, err := transport.NewEnrolment(transport.EnrolmentOptions{Key: n.keys.Transport, Listen: n.cfg.Enrol, Log: n.log, PerSecond: 5, Burst: 50,
		Handle: func(ctx context.Context, _ crypto.PublicKey, req []byte) ([]byte, error) {
			return n.reg.ServeEnrol(ctx, req)
		}})
	if err != nil {
		return err
	}
	if err := d.Serve(); err != nil {
		d.Close()
		return err
	}
	n.doors = d
	return nil
}

// doorAddrs is where newcomers knock.
func (n *Node) doorAddrs() []string {
	if len(n.cfg.EnrolAnnounce) > 0 {
		return n.cfg.EnrolAnnounce
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.doors != nil {
		a := n.doors.Addrs()
		return a[:min(len(a), maxAddrs)]
	}
	return n.cfg.Enrol
}

// Invite opens a ticket for one newcomer, at this node's door and those of the
// secretariat's other nodes.
func (n *Node) Invite(ctx context.Context, valid time.Duration) (membership.Ticket, error) {
	if n.sign.IsZero() {
		return membership.Ticket{}, membership.ErrNotHere
	}
	if valid <= 0 {
		return membership.Ticket{}, errors.New("invite: a ticket must be valid for a while")
	}
	n.mu.Lock()
	n.inviting++
	err := n.openDoor()
	doors := slices.Collect(maps.Values(n.knock))
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.inviting--
		n.mu.Unlock()
	}()
	if err != nil {
		return membership.Ticket{}, err
	}
	own := membership.Door{Transport: n.keys.Transport.Public(), Addrs: n.doorAddrs()}
	return n.reg.Invite(ctx, append([]membership.Door{own}, doors...), n.now().Add(valid).Unix())
}

// callDoor asks one enrolment listener.
func callDoor(ctx context.Context, d membership.Door, req []byte) ([]byte, error) {
	return transport.CallEnrolment(ctx, transport.EnrolmentAt{Addrs: d.Addrs, Peer: d.Transport}, req)
}

// directory is the register as the transport asks it.
type directory struct{ n *Node }

func (d directory) Peer(key crypto.PublicKey) (protocol.Node, bool) {
	s := d.n.reg.State()
	if s == nil {
		return protocol.Node{}, false
	}
	p, ok := s.NodeByTransport(key)
	return p, ok && p.Status == protocol.Active
}

func (d directory) Node(id protocol.NodeID) (protocol.Node, bool) {
	s := d.n.reg.State()
	if s == nil {
		return protocol.Node{}, false
	}
	p, ok := s.Node(id)
	return p, ok && p.Status == protocol.Active
}

// connections is the transport as replica and membership see it.
type connections struct{ n *Node }

func (c connections) Open(ctx context.Context, to protocol.NodeID, proto string) (replica.Stream, error) {
	return c.n.tr.Open(ctx, to, proto)
}

func (c connections) Call(ctx context.Context, to protocol.NodeID, proto string, req []byte) ([]byte, error) {
	return c.n.tr.Call(ctx, to, proto, req)
}

func (c connections) Connected() (out []protocol.Node) {
	s := c.n.reg.State()
	for _, p := range c.n.tr.Peers() {
		if !p.Connected {
			continue
		}
		if m, ok := s.Node(p.Node); ok && m.Status == protocol.Active {
			out = append(out, m)
		}
	}
	return out
}
