package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multistream"
	"golang.org/x/time/rate"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

var (
	// ErrNotConnected is returned where no connection with a finished hello
	// stands. The dialler works on it if the node is wanted.
	ErrNotConnected = errors.New("not connected to the node")
	// ErrNotActive is returned for a node that the directory does not name as
	// active, and where a protocol's rules do not admit the node.
	ErrNotActive = errors.New("the register does not admit the node here")
	// ErrUnsupported is returned when the other end does not serve the
	// protocol.
	ErrUnsupported = errors.New("the peer does not serve the protocol")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("transport is closed")
)

// Directory is what the transport asks of the register. It is asked at every
// check, from many goroutines, and answers for the newest accepted register.
type Directory interface {
	// Peer returns the active node with a transport key; false for any other.
	Peer(transport crypto.PublicKey) (protocol.Node, bool)
	// Node returns an active node by its ID; false for any other.
	Node(id protocol.NodeID) (protocol.Node, bool)
}

// Options make a Transport. Network, Node, Key and Directory are required.
type Options struct {
	Network   protocol.NetworkID
	Node      protocol.NodeID // this node
	Key       crypto.PrivateKey
	Directory Directory
	// Listen holds addresses that [ParseAddr] reads; empty: only dial. One
	// port number serves QUIC and TCP; port 0 takes a free one.
	Listen []string
	// Hello returns what this node tells of itself in a hello, at most 32
	// KiB. OnHello judges the peer's; an error closes the connection. Both may
	// be nil, and are called from many goroutines.
	Hello   func() []byte
	OnHello func(from protocol.Node, hello []byte) error

	Limits  Limits
	Log     *slog.Logger     // nil: discard
	Now     func() time.Time // nil: time.Now
	Jitter  func() float64   // from [0, 1), of the back-off; nil: random
	Packets PacketConns      // nil: the kernel's; else QUIC only, for a simulated network
}

// Transport holds this node's connections. All methods may be called from any
// goroutine.
type Transport struct {
	opt   Options
	swarm *swarmOf
	gate  gate
	mux   *multistream.MultistreamMuxer[string]
	log   *slog.Logger

	ctx    context.Context // ends with Close; streams' contexts are its children
	cancel context.CancelFunc
	wake   chan struct{} // the dialler's
	events *events
	work   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listening bool
	conns     map[network.Conn]*conn
	peers     map[protocol.NodeID]*peerState
	protocols map[string]*served
	clients   map[clientKey]*client
}

// peerState is what is remembered of one node; guarded by Transport.mu.
type peerState struct {
	node  protocol.NodeID
	ready []*conn // hello finished, oldest first
	made  *conn   // the newest that was dialled, also when it is closed

	wanted   bool
	addrs    []string
	dialing  bool
	attempts int
	next     time.Time
	lastErr  error
	changed  chan struct{} // closed and replaced when ready, or the last error, changes

	streams map[string]int // inbound, by protocol
	faults  map[string]*fault

	bytes, frames *rate.Limiter
}

// New puts a transport together. It does not listen before [Transport.Listen]
// or [Transport.Run].
func New(opt Options) (*Transport, error) {
	if opt.Directory == nil || opt.Key.IsZero() || opt.Node.IsZero() || opt.Network.IsZero() {
		return nil, errors.New("make transport: network, node, key and directory are required")
	}
	opt.Limits = opt.Limits.withDefaults()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Jitter == nil {
		opt.Jitter = rand.Float64
	}
	key, err := libKey(opt.Key)
	if err != nil {
		return nil, fmt.Errorf("make transport: %w", err)
	}
	t := &Transport{
		opt: opt, gate: gate{opt.Directory}, log: opt.Log,
		mux:       multistream.NewMultistreamMuxer[string](),
		wake:      make(chan struct{}, 1),
		conns:     map[network.Conn]*conn{},
		peers:     map[protocol.NodeID]*peerState{},
		protocols: map[string]*served{},
		clients:   map[clientKey]*client{},
	}
	t.mux.AddHandler(helloProto, nil)
	resources, err := opt.Limits.resources(ipRate(opt.Limits), false)
	if err != nil {
		return nil, fmt.Errorf("make transport: %w", err)
	}
	if t.swarm, err = newSwarm(key, t.gate, opt.Limits, resources, opt.Packets); err != nil {
		return nil, fmt.Errorf("make transport: %w", err)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.events = newEvents()
	t.spawn(func() { t.events.run(t.ctx) })
	t.swarm.Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { t.connected(c) },
		DisconnectedF: func(_ network.Network, c network.Conn) { t.disconnected(c) },
	})
	t.swarm.SetStreamHandler(t.accept)
	return t, nil
}

// Listen binds the listen addresses, all or none, and begins to admit peers.
// Handlers should be in place by now. Once it has succeeded, another
// call does nothing.
func (t *Transport) Listen() error {
	t.mu.Lock()
	closed, done := t.closed, t.listening
	t.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if done {
		return nil
	}
	if err := t.swarm.listen(t.opt.Listen); err != nil {
		return err
	}
	t.mu.Lock()
	t.listening = true
	t.mu.Unlock()
	return nil
}

// Run listens if [Transport.Listen] was not called, keeps connections to the
// wanted nodes until ctx ends, and closes the transport.
func (t *Transport) Run(ctx context.Context) error {
	defer t.Close()
	if err := t.Listen(); err != nil {
		return err
	}
	t.dialLoop(ctx)
	return nil
}

// Close ends all connections and streams and waits for every handler. A
// handler must therefore heed its context, or its stream's error.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	err := t.swarm.Close()
	t.work.Wait()
	return err
}

// spawn runs f in a goroutine that Close waits for; not after Close.
func (t *Transport) spawn(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.work.Go(f)
	}
}

// Addrs returns the multiaddrs at which this node listens, wildcard hosts
// spelled out as the machine's own addresses, without a /p2p part.
func (t *Transport) Addrs() []string { return t.swarm.addrs() }

// Notify calls connect when the first connection to a node is ready, and
// disconnect when the last one is gone, strictly by turns for a node, from one
// goroutine: they must not block for long. Either may be nil. Calls before
// Listen see every event.
func (t *Transport) Notify(connect func(protocol.Node), disconnect func(protocol.NodeID)) {
	t.events.subscribe(connect, disconnect)
}

// Recheck closes at once the connections of all peers that the directory no
// longer names as active, and lets the dialler try again at once those that
// became active. Call it when the register has changed.
func (t *Transport) Recheck() {
	for _, c := range t.swarm.Conns() {
		if _, ok := t.gate.active(c.RemotePeer()); !ok {
			c.Close()
		}
	}
	t.mu.Lock()
	known := slices.Collect(maps.Keys(t.peers))
	t.mu.Unlock()
	active := map[protocol.NodeID]bool{} // asked without our lock: the directory has its own
	for _, id := range known {
		_, active[id] = t.opt.Directory.Node(id)
	}
	t.mu.Lock()
	for _, id := range known {
		p := t.peers[id]
		switch {
		case p == nil:
		case !active[id] && !p.wanted && len(p.ready) == 0 && !p.dialing:
			delete(t.peers, id)
		case active[id] && errors.Is(p.lastErr, ErrNotActive):
			p.attempts, p.next = 0, time.Time{}
		}
	}
	t.mu.Unlock()
	t.poke()
}

// Charge takes tokens for bytes out of a peer's quota, for what it sent and
// nobody could use. Its next frames wait until the quota is full enough again.
func (t *Transport) Charge(node protocol.NodeID, bytes int) {
	t.mu.Lock()
	p := t.peerOf(node)
	t.mu.Unlock()
	for bytes > 0 { // a reservation holds at most one burst
		n := min(bytes, p.bytes.Burst())
		p.bytes.ReserveN(time.Now(), n)
		bytes -= n
	}
}

// peerOf returns the state of a node; t.mu is held.
func (t *Transport) peerOf(node protocol.NodeID) *peerState {
	p := t.peers[node]
	if p == nil {
		l := t.opt.Limits
		p = &peerState{
			node: node, changed: make(chan struct{}), streams: map[string]int{}, faults: map[string]*fault{},
			bytes:  rate.NewLimiter(rate.Limit(l.BytesPerSecond), max(l.BytesPerSecond, 2*protocol.MaxFrame)),
			frames: rate.NewLimiter(rate.Limit(l.FramesPerSecond), l.FramesPerSecond),
		}
		t.peers[node] = p
	}
	return p
}

// fault counts a peer's broken streams of one protocol; new ones are refused
// until a time.
type fault struct {
	times int
	until time.Time
}

func (p *peerState) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}
