package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// Disk is what the replica asks of the store. Enqueue takes changes in order;
// wait, which is to be called once and soon, returns when they are durable, or
// why not; where one fails, later ones of the same feed fail too.
type Disk interface {
	Chain(protocol.FeedID) (protocol.Chain, bool, error)
	Feeds(func(protocol.FeedID, protocol.Chain) error) error
	// Record returns a durable record. Where sections of it are lost, it comes
	// without them, beside an error.
	Record(protocol.FeedID, uint64) (*protocol.Record, error)
	// Range calls f with the durable records from one seq to another, both
	// included, and stops at the first error: that of f, or its own at a
	// record of which something is lost.
	Range(id protocol.FeedID, from, to uint64, f func(*protocol.Record) error) error
	Receipts(protocol.FeedID) ([]protocol.SignedReceipt, error)
	Forks() (map[protocol.FeedID]protocol.Fork, error)
	Outbox() (map[uint64][]byte, error)
	// Flag reads a small mark; nil where it was never set.
	Flag(name string) ([]byte, error)
	// Lacking lists the links of a feed whose sections are not all here, or
	// that were lost to damage.
	Lacking(protocol.FeedID) ([]uint64, error)
	Enqueue(Change) (wait func() error)
}

// Change is one atomic change of the disk.
type Change struct {
	Links    []Link
	Sections []SectionOf
	Refills  []Refill
	Receipts []protocol.SignedReceipt
	Forks    []ForkOf
	Releases []Release
	Outbox   []OutboxEntry
	Done     []uint64          // outbox entries to remove
	Flags    map[string][]byte // small marks, see Disk.Flag
}

// Link is a record with the chain after it.
type Link struct {
	Record *protocol.Record
	Chain  protocol.Chain
	Owe    []int // sections that are due here and did not come with it
}

// SectionOf is a section that came after its record.
type SectionOf struct {
	Feed  protocol.FeedID
	Seq   uint64
	Index int
	Bytes []byte
}

// Refill is a record whose bytes were lost, fetched again.
type Refill struct {
	Record *protocol.Record
	Owe    []int // sections that are due here and did not come with it
}

// Release makes held links linked ones, on disk and in the feed's chain.
type Release struct {
	Feed     protocol.FeedID
	From, To uint64
}

// ForkOf is a fork proof of a feed.
type ForkOf struct {
	Feed  protocol.FeedID
	Proof protocol.Fork
}

// OutboxEntry is a sealed record-to-be.
type OutboxEntry struct {
	ID    uint64
	Bytes []byte
}

// Network is what the replica asks of the transport.
type Network interface {
	Open(ctx context.Context, to protocol.NodeID, proto string) (Stream, error)
	Call(ctx context.Context, to protocol.NodeID, proto string, req []byte) ([]byte, error)
	// Connected lists the nodes whose hello was accepted.
	Connected() []protocol.Node
}

// Stream is a framed stream. Write may be called from several goroutines.
type Stream interface {
	Read() ([]byte, error)
	Write(frames ...[]byte) error
	Close() error
	// More reports whether more than was read has come already; false is no
	// promise.
	More() bool
	// Abuse ends a stream that carried what no honest peer sends.
	Abuse()
}

// Keyring holds the organisation's reading identities; false while locked.
type Keyring interface {
	Identities() ([]*seal.Identity, bool)
}

// Members is what the replica asks of the register.
type Members interface {
	protocol.Members
	// Nodes lists every node that an organisation ever had.
	Nodes(protocol.OrgID) []protocol.Node
}

// Options of a replica. All but Log, Now and the waits must be set.
type Options struct {
	Org     protocol.OrgID
	Node    protocol.NodeID
	Key     crypto.PrivateKey // author key
	Disk    Disk
	Net     Network
	Keys    Keyring
	Members func() Members // the register at the newest accepted checkpoint
	Random  io.Reader
	Now     func() time.Time
	Log     *slog.Logger
	// HeadWait is how long the head check waits for audience nodes to
	// connect, RepairEvery how often idle peers compare frontiers.
	HeadWait    time.Duration
	RepairEvery time.Duration
	// OnRecord is told of each record once it is durable with every section
	// that is due here, and of a held one when it is released: from any
	// goroutine, in any order, perhaps more than once. It must not block.
	OnRecord func(*protocol.Record)
	// Before is called before records are asked of a newly connected peer, or
	// taken on a stream of its own, and may hold that up for some seconds: what
	// the peer knows of the register should be known here first, so that a
	// suspended author's records are not taken for good ones by who was away.
	Before func(context.Context, protocol.NodeID)
	// OnAhead is told that a peer knows a newer register than this node. It
	// must not block.
	OnAhead func(protocol.NodeID)
	// OnDelivery is told of each new receipt once it is durable.
	OnDelivery func(protocol.Receipt)
}

var (
	// ErrLocked: the reading identity is not unlocked yet.
	ErrLocked = errors.New("this node is locked: it keeps and passes on records, and opens none until someone unlocks it with the passphrase")
	// ErrReplaced: this node's disk is older than what it has published, or
	// its key was used elsewhere.
	ErrReplaced = errors.New("this node must be replaced: others hold records under its key that it lacks, so it writes no more; what it holds is kept, and reading goes on")
	// ErrClosed: the replica is closing.
	ErrClosed = errors.New("the node is stopping")
)

// Replica is the running part. New builds it, Run runs it.
type Replica struct {
	o          Options
	network    protocol.NetworkID
	recipients seal.Recipients

	mu    sync.Mutex
	feeds map[protocol.FeedID]*feed
	peers map[protocol.NodeID]*peer
	forks map[protocol.FeedID]fork
	state writeState
	boxes map[uint64]struct{} // outbox entries being kept
	box   uint64              // newest outbox number
	// expect says up to which seq of a feed cores are taken because a signed
	// key record there names this organisation a custodian.
	expect  map[protocol.FeedID]uint64
	telling map[string]bool            // reports under way
	pushes  map[Stream]protocol.NodeID // streams on which nodes push to this one
	waits   map[uint64]string          // why outbox entries were last not written; writeLoop's own
	moved   bool                       // the register did; held links are to be judged again

	pushers quotas // records, by the peer that brings them
	authors quotas // bytes, by author

	keys    keyCache
	wake    chan struct{} // outbox or head check has work
	group   *errgroup.Group
	ctx     context.Context // of Run, once it runs: bounds what peers start
	started chan struct{}
}

// New reads what the disk holds: every feed's chain, forks and the outbox.
func New(o Options) (*Replica, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HeadWait == 0 {
		o.HeadWait = 30 * time.Second
	}
	if o.RepairEvery == 0 {
		o.RepairEvery = 30 * time.Second
	}
	if o.OnRecord == nil {
		o.OnRecord = func(*protocol.Record) {}
	}
	if o.OnDelivery == nil {
		o.OnDelivery = func(protocol.Receipt) {}
	}
	if o.Before == nil {
		o.Before = func(context.Context, protocol.NodeID) {}
	}
	if o.OnAhead == nil {
		o.OnAhead = func(protocol.NodeID) {}
	}
	r := &Replica{o: o, network: o.Members().Network(), feeds: map[protocol.FeedID]*feed{}, peers: map[protocol.NodeID]*peer{},
		forks: map[protocol.FeedID]fork{}, boxes: map[uint64]struct{}{}, expect: map[protocol.FeedID]uint64{}, telling: map[string]bool{}, pushes: map[Stream]protocol.NodeID{}, waits: map[uint64]string{}, moved: true,
		pushers: newQuotas(pushPerSecond, pushBurst), authors: newQuotas(authorPerSecond, authorBurst), wake: make(chan struct{}, 1), started: make(chan struct{})}
	r.ctx = context.Background()
	r.keys.init()
	err := o.Disk.Feeds(func(id protocol.FeedID, c protocol.Chain) error {
		f, err := r.newFeed(id, c)
		if err == nil {
			f.old = true
			r.feeds[id] = f
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	forks, err := o.Disk.Forks()
	if err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	for id, proof := range forks {
		k, err := newFork(proof) // verified before it was kept
		if err != nil {
			return nil, fmt.Errorf("open replica: %w", err)
		}
		r.forks[id] = k
		r.state.replaced = r.state.replaced || k.at.Node == o.Node
	}
	flag, err := o.Disk.Flag(flagReplaced)
	if err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	r.state.replaced, r.state.flagged = r.state.replaced || flag != nil, flag != nil
	boxes, err := o.Disk.Outbox()
	if err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	for id := range boxes {
		r.boxes[id] = struct{}{}
		r.box = max(r.box, id)
	}
	r.state.heard = map[protocol.NodeID]protocol.OrgID{}
	r.state.start = o.Now()
	return r, nil
}

// Run works until ctx ends: the head check, the outbox, and repair with every
// connected peer. It returns nil when ctx ends.
func (r *Replica) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	r.mu.Lock()
	r.group, r.ctx = g, ctx
	r.mu.Unlock()
	close(r.started)
	g.Go(func() error { return r.writeLoop(ctx) })
	for _, n := range r.o.Net.Connected() {
		r.OnConnect(n)
	}
	<-ctx.Done()
	r.mu.Lock()
	for _, p := range r.peers {
		p.stop()
	}
	r.mu.Unlock()
	g.Wait()
	return nil
}

// ErrPeer marks a request that no honest peer makes; the peer pays for it.
var ErrPeer = errors.New("the peer's request is not one that an honest node makes")

// members is the register now.
func (r *Replica) members() Members { return r.o.Members() }

// speaks reports whether a peer is a member in good standing now. The
// transport asks too; here it is asked again for each request.
func (r *Replica) speaks(n protocol.Node) bool {
	m := r.members()
	now, ok := m.NodeAt(n.ID, m.Size())
	return ok && now.Status == protocol.Active && now.Org == n.Org
}

// running is the context of Run.
func (r *Replica) running() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

func (r *Replica) today() protocol.Day { return protocol.DayOf(r.o.Now().Unix()) }

func (r *Replica) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
