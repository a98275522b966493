// Package node is a running member: it composes the store, the transport, the
// register, the records, the cases and the operator's API, and owns none of
// their rules.
//
// A node's folder is made by [Prepare] and [Found] (a new alliance) or [Apply]
// (a newcomer with a ticket). [New] opens it, Run runs it until its context
// ends, Close gives everything back.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/node/config"
	"github.com/national-alliance/alliance/node/consensus"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/node/transport"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

var random = rand.Reader

const protoRaft = "/alliance/raft/1"

// Options of a node beside its folder.
type Options struct {
	Config *config.Config // nil: read from the folder
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
	// Room stands for what the system says of free space, see store.Options;
	// nil asks it.
	Room func(dir string) (free uint64, writable bool, err error)
}

// Node is one running member.
type Node struct {
	dir  string
	cfg  config.Config
	id   identity
	keys *keyfile.NodeKeys
	sign crypto.PrivateKey // checkpoint key, secretariat only
	now  func() time.Time
	log  *slog.Logger

	ring  *keyring
	store *store.Store
	reg   *membership.Register
	tr    *transport.Transport
	rep   *replica.Replica
	group *consensus.Group
	api   *api.Server
	book  *casebook.Book

	meets meetings

	turn sync.Mutex // one unlock or lock at a time, so that the ring, the book and the records agree

	mu       sync.Mutex
	addrs    addressBook
	ready    chan struct{}        // closed once this node is a member and composed
	stir     chan struct{}        // wakes tend
	named    chan *register.State // the newest, for Raft's voters
	doors    *transport.Enrolment
	inviting int                                 // tickets being opened: the door stays open for them
	knock    map[protocol.NodeID]membership.Door // doors of the secretariat's other nodes
	load     chan struct{}                       // the book is to be filled

	outside    error                // why this node is no member yet
	complaints []replica.Complaint  // what readers reported of our records
	handedOver []keyfile.ReadingKey // not saved under a passphrase yet

	verified, toVerify uint64 // records and leaves of the store, since the start
}

// New opens a node's folder. Nothing listens or runs yet.
func New(dir string, o Options) (*Node, error) {
	n := &Node{dir: dir, now: o.Now, log: o.Log, ready: make(chan struct{}), stir: make(chan struct{}, 1), load: make(chan struct{}, 1),
		named: make(chan *register.State, 1), knock: map[protocol.NodeID]membership.Door{},
		meets: meetings{sizes: map[protocol.NodeID]uint64{}}}
	if n.now == nil {
		n.now = time.Now
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	err := n.open(o)
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("open node: %w", err)
	}
	return n, nil
}

func (n *Node) open(o Options) (err error) {
	if o.Config != nil {
		n.cfg = *o.Config
	} else if n.cfg, err = config.Load(n.dir); err != nil {
		return err
	}
	if err := checkAddrs(n.cfg); err != nil {
		return api.Errorf(api.Invalid, "%v", err)
	}
	if n.id, err = loadIdentity(n.dir); err != nil {
		return err
	}
	if n.keys, err = loadNodeKeys(n.dir, n.cfg.NodeKeyFile); err != nil {
		return err
	}
	if _, err := os.Stat(checkpointKeyPath(n.dir)); err == nil {
		k, err := keyfile.LoadSigning(checkpointKeyPath(n.dir), "")
		if err != nil {
			return err
		}
		n.sign = k.Key
	}
	n.ring = &keyring{path: readingKeyPath(n.dir)}
	n.store, err = store.Open(store.Options{Dir: storePath(n.dir), Key: n.keys.StoreKey, Network: n.id.Network, Log: n.log, MinFree: uint64(n.cfg.MinFree) << 20, Room: o.Room})
	if err != nil {
		return err
	}
	if d := n.store.Damage(); d.Any() {
		n.log.Error("the disk has lost or changed something", "damage", d.String())
	}
	if err := n.addrs.load(n.store); err != nil {
		return err
	}
	n.tr, err = transport.New(transport.Options{Network: n.id.Network, Node: n.id.Node, Key: n.keys.Transport,
		Directory: directory{n}, Listen: n.cfg.Listen, Hello: n.hello, OnHello: n.onHello, Log: n.log, Now: o.Now})
	if err != nil {
		return err
	}
	n.reg, err = membership.New(membership.Options{Pinned: n.id.Network, Org: n.id.Org, Node: n.id.Node, Author: n.keys.Author,
		Checkpoint: n.sign, Disk: registerDisk{n.store}, Net: connections{n}, Now: n.now, Log: n.log,
		OnChange: n.onRegister, PollEvery: n.cfg.PollEvery.Duration, Peers: n.peers})
	if err != nil {
		return err
	}
	n.api = api.NewServer(SocketPath(n.dir, n.cfg), Version, n.log)
	n.routes(n.api)
	return n.api.Listen()
}

// checkAddrs says which setting holds an address that is none.
func checkAddrs(c config.Config) error {
	lists := map[string][]string{"listen": c.Listen, "announce": c.Announce, "enrol": c.Enrol, "enrol_announce": c.EnrolAnnounce}
	for id, addrs := range c.Peers {
		var node protocol.NodeID
		if err := node.UnmarshalText([]byte(id)); err != nil {
			return fmt.Errorf("read configuration: peers.%s: this is no node's ID: 'alliance status' on that node shows it", id)
		}
		lists["peers."+id] = addrs
	}
	for name, addrs := range lists {
		for _, a := range addrs {
			if _, err := transport.ParseAddr(a); err != nil {
				return fmt.Errorf("read configuration: %s: %w", name, err)
			}
		}
	}
	return nil
}

// SocketPath is where a node's operator talks to it.
func SocketPath(dir string, c config.Config) string {
	if c.Socket != "" {
		return c.Socket
	}
	return filepath.Join(dir, "api.sock")
}

func storePath(dir string) string { return filepath.Join(dir, "store") }
func raftPath(dir string) string  { return filepath.Join(dir, "raft") }

// Run joins, where that is still to be done, and then runs until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.api.Run(ctx) })
	if n.reg.State() == nil {
		var j joining
		if err := readJSON(joiningPath(n.dir), &j); err != nil {
			return fmt.Errorf("run node: this folder has no register and no request to join: %w", err)
		}
		if err := portsFree(n.cfg.Listen); err != nil {
			return fmt.Errorf("run node: %w", portError("listen", "nothing was started, and the request is kept", err))
		}
		e := entrance{joining: j, reg: n.reg, call: callDoor, learn: n.learn, waiting: n.waits, pause: time.Second, most: membership.MaxCatch}
		if err := e.enter(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		// Without an address a member would never find the others again.
		if err := n.addrs.save(n.store); err != nil {
			return fmt.Errorf("run node: keep addresses: %w", err)
		}
		os.Remove(joiningPath(n.dir))
		n.log.Info("this node is a member now")
	}
	if err := n.compose(); err != nil {
		return fmt.Errorf("run node: %w", err)
	}
	if n.cfg.PassphraseFile != "" {
		if err := n.unlockFrom(n.cfg.PassphraseFile); err != nil {
			n.log.Warn("not unlocked at start", "err", err)
		}
	}
	if err := n.tr.Listen(); err != nil {
		return fmt.Errorf("run node: %w", portError("listen", "nothing was started, and all is kept", err))
	}
	close(n.ready)
	n.turn.Lock()
	if !n.Locked() { // before there was a book
		n.unlocked()
	}
	n.turn.Unlock()
	n.log.Info("serving", "node", n.id.Node.Short(), "addrs", n.tr.Addrs())
	g.Go(func() error { return n.reg.Run(ctx) })
	g.Go(func() error { return n.rep.Run(ctx) })
	g.Go(func() error { return n.book.Run(ctx) })
	g.Go(func() error { return n.loadBook(ctx) })
	if n.group != nil {
		g.Go(func() error { return n.group.Run(ctx) })
		g.Go(func() error { return n.nameVoters(ctx) })
	}
	g.Go(func() error { return n.tr.Run(ctx) })
	g.Go(func() error { return n.tend(ctx) })
	g.Go(func() error { return n.verifyBehind(ctx) })
	n.onRegister(n.reg.State())
	err := g.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// waits notes why this node is no member yet.
func (n *Node) waits(why error) {
	n.mu.Lock()
	was := n.outside
	n.outside = why
	n.mu.Unlock()
	if was == nil || was.Error() != why.Error() {
		n.log.Info("not a member yet", "state", why.Error())
	}
}

// compose makes what needs a register.
func (n *Node) compose() (err error) {
	n.rep, err = replica.New(replica.Options{Org: n.id.Org, Node: n.id.Node, Key: n.keys.Author, Disk: recordDisk{n.store}, Net: connections{n},
		Keys: n.ring, Members: func() replica.Members { return n.reg.State() }, Random: random, Now: n.now, Log: n.log,
		HeadWait: n.cfg.HeadWait.Duration, RepairEvery: n.cfg.RepairEvery.Duration, OnRecord: n.onRecord, OnAhead: n.reg.Follow, Before: n.abreast})
	if err != nil {
		return err
	}
	if err := n.openBook(); err != nil {
		return err
	}
	t := n.tr
	// One stream of each kind lives as long as a connection, and one more while
	// it is replaced.
	t.SetRules(replica.ProtoPush, transport.Rules{MaxFrame: replica.MaxPushFrame, Streams: 4})
	t.SetRules(replica.ProtoFrontier, transport.Rules{MaxFrame: replica.MaxFrontierFrame, Streams: 8})
	t.SetRules(replica.ProtoFetch, transport.Rules{MaxFrame: replica.MaxFetchFrame, Streams: 4, InFlight: 4})
	t.SetRules(replica.ProtoReceipt, transport.Rules{MaxFrame: replica.MaxReceiptFrame, Streams: 4, InFlight: 4})
	t.SetRules(membership.ProtoRegister, transport.Rules{MaxFrame: membership.MaxMessage, Streams: 4, InFlight: 16})
	t.Handle(replica.ProtoPush, func(ctx context.Context, from protocol.Node, s *transport.Stream) {
		n.rep.ServePush(ctx, from, s)
	})
	t.Handle(replica.ProtoFrontier, func(ctx context.Context, from protocol.Node, s *transport.Stream) {
		n.rep.ServeFrontier(ctx, from, s)
	})
	t.Serve(replica.ProtoFetch, n.blame(n.rep.ServeFetch))
	t.Serve(replica.ProtoReceipt, n.blame(n.rep.ServeReceipt))
	t.Serve(membership.ProtoRegister, n.blame(n.reg.Serve))
	t.Notify(n.meet, n.rep.OnDisconnect)
	if n.sign.IsZero() {
		return nil
	}
	if err := n.reg.Fault(); errors.Is(err, membership.ErrDamaged) {
		n.log.Error("this node takes no part in ordering the register", "err", err)
		return nil
	}
	sameOrg := func(p protocol.Node) error {
		if p.Org != n.id.Org {
			return errors.New("only this organisation's nodes speak this protocol")
		}
		return nil
	}
	t.SetRules(protoRaft, transport.Rules{Admit: sameOrg, Streams: 32})
	n.group, err = consensus.Open(consensus.Options{Dir: raftPath(n.dir), Node: n.id.Node, Key: n.keys.RaftKey, Overlay: overlay{t},
		Authorize: n.colleague, Machine: machine{n.reg}, ReadingIdentity: n.handOver, Log: n.log})
	if err != nil {
		return err
	}
	t.ConnHandler(protoRaft, n.group.Serve)
	n.reg.SetGroup(raftGroup{n.group, n.store})
	if s := n.reg.State(); slices.Equal(s.Voters(n.id.Org), []protocol.NodeID{n.id.Node}) {
		return n.group.Bootstrap()
	}
	return nil
}

// colleague reports whether a node is an active node of this organisation.
func (n *Node) colleague(id protocol.NodeID) bool {
	p, ok := n.reg.State().Node(id)
	return ok && p.Org == n.id.Org && p.Status == protocol.Active
}

// Close gives everything back. It may be called after Run, or instead of it.
func (n *Node) Close() error {
	if n.api != nil {
		n.api.Close()
	}
	if n.tr != nil {
		n.tr.Close()
	}
	if n.ring != nil {
		n.Lock() // no key stays in memory longer than it serves
	}
	if n.group != nil {
		n.group.Close()
	}
	n.mu.Lock()
	if n.doors != nil {
		n.doors.Close()
		n.doors = nil
	}
	n.mu.Unlock()
	if n.store != nil {
		return n.store.Close()
	}
	return nil
}

// Ready is closed once the node is a member and serves.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Replica is the node's records; valid once Ready.
func (n *Node) Replica() *replica.Replica { return n.rep }

// Register is the node's copy of the register.
func (n *Node) Register() *membership.Register { return n.reg }

// ID names the node, and Org its organisation.
func (n *Node) ID() protocol.NodeID { return n.id.Node }
func (n *Node) Org() protocol.OrgID { return n.id.Org }

// Addrs is where the node listens; valid once Ready.
func (n *Node) Addrs() []string { return n.tr.Addrs() }

// Unlock opens the reading identity. Where it was handed over by another node
// and is not on disk yet, it is saved under this passphrase.
func (n *Node) Unlock(passphrase string) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	_, open := n.ring.Identities()
	if _, err := os.Stat(n.ring.path); errors.Is(err, os.ErrNotExist) {
		if !open {
			return fmt.Errorf("unlock: the reading identity, %s, is not there; nothing was changed: put your copy of the file back and unlock again; a further node of a secretariat is handed it by another one, once both are connected and that one is unlocked", n.ring.path)
		}
		return n.saveHandedOver(passphrase)
	}
	if err := n.ring.unlock(passphrase); err != nil {
		return err
	}
	n.unlocked()
	return nil
}

func (n *Node) unlockFrom(path string) error {
	p, err := readPassphrase(path)
	if err != nil {
		return err
	}
	return n.Unlock(p)
}

// unlocked opens what was kept sealed. Before the node is a member there is
// nothing, and Run calls it again. Called with turn held.
func (n *Node) unlocked() {
	if n.member() != nil {
		return
	}
	n.book.Unlock()
	n.rep.Unlocked()
	select {
	case n.load <- struct{}{}:
	default:
	}
}

// Lock puts the reading identity away, and with it all that it opened: lists
// and feed keys. Records are kept and passed on. An identity that was handed
// over and is not saved yet would be lost, so that it stays.
func (n *Node) Lock() error {
	n.turn.Lock()
	defer n.turn.Unlock()
	n.mu.Lock()
	unsaved := len(n.handedOver) > 0
	n.mu.Unlock()
	if unsaved {
		return errors.New("lock: the reading identity that another node handed over is not saved here yet: nothing was changed; 'alliance unlock' sets the passphrase under which it is kept")
	}
	n.ring.set(nil)
	if n.member() == nil {
		n.book.Lock()
		n.rep.Locked()
	}
	return nil
}

// Locked reports whether the reading identity is still closed.
func (n *Node) Locked() bool {
	_, ok := n.ring.Identities()
	return !ok
}

// onRecord is told of every durable record.
func (n *Node) onRecord(rec *protocol.Record) {
	n.book.Add(rec)
}

// onRegister is told of every newer accepted register.
func (n *Node) onRegister(s *register.State) {
	if s == nil || n.rep == nil {
		return
	}
	n.tr.Recheck()
	n.want(s)
	n.rep.RegisterMoved()
	if n.group != nil {
		select {
		case <-n.named: // an older one that nobody took
		default:
		}
		select {
		case n.named <- s:
		default:
		}
	}
}

// nameVoters tells the Raft group whom the newest register names. The group
// goes on with the steps by itself where one call does not see their end.
func (n *Node) nameVoters(ctx context.Context) error {
	for {
		var s *register.State
		select {
		case <-ctx.Done():
			return nil
		case s = <-n.named:
		}
		var learners []protocol.NodeID
		voters := s.Voters(n.id.Org)
		for _, p := range s.Nodes(n.id.Org) {
			if p.Status == protocol.Active && !slices.Contains(voters, p.ID) {
				learners = append(learners, p.ID)
			}
		}
		wait, cancel := context.WithTimeout(ctx, namingWait)
		err := n.group.SetVoters(wait, voters, learners...)
		cancel()
		if err != nil && ctx.Err() == nil {
			n.log.Info("raft voters not as the register names them yet", "err", err)
		}
	}
}

const namingWait = 5 * time.Second

// handOver seals the reading identities to a further node of the organisation.
func (n *Node) handOver(_ context.Context, to protocol.NodeID) ([]byte, error) {
	p, ok := n.reg.State().Node(to)
	ids, open := n.ring.Identities()
	switch {
	case !ok || p.Org != n.id.Org || p.Status != protocol.Active:
		return nil, errors.New("that node is not an active node of this organisation in an accepted checkpoint")
	case !open:
		return nil, errors.New("this node is locked and cannot hand over what it cannot open")
	}
	r, err := seal.ParseRecipient(p.Sealing)
	if err != nil {
		return nil, err
	}
	return sealHandover(n.id.Network, to, r, ids)
}
