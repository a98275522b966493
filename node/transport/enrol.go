package transport

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	libp2prate "github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

const (
	enrolProto = "/alliance/enrol/1"
	// MaxEnrolRequest bounds what a stranger may send, in bytes.
	MaxEnrolRequest = 128 << 10
)

// EnrolmentOptions make an enrolment listener. Key and Handle are required.
type EnrolmentOptions struct {
	Key    crypto.PrivateKey // its peer ID is in the ticket; may be the node's transport key
	Listen []string          // as [Options.Listen], on a port of its own
	// Handle answers one request of a newcomer, of whom nothing is known but
	// the key it came with, which it may have made a moment ago. Its errors
	// reach the newcomer as those of [Transport.Serve] do.
	Handle func(ctx context.Context, from crypto.PublicKey, req []byte) ([]byte, error)

	Conns     int           // at a time, all newcomers; default 16
	PerSecond float64       // new connections from one IPv4 address or IPv6 /56; default 1
	Burst     int           // of them at once; default 20
	Lifetime  time.Duration // of a connection, whatever it does; default 30 s
	Log       *slog.Logger
	Packets   PacketConns
}

// Enrolment is the one door that strangers may knock at. It is open only while
// a ticket is: the caller makes one when a ticket is handed out, and closes it
// when none is left. It serves /alliance/enrol/1 alone: one call on a stream,
// as in the package comment, and the connection ends with it.
type Enrolment struct {
	opt    EnrolmentOptions
	limits Limits
	swarm  *swarmOf
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

// anyone admits every Ed25519 key, inbound only.
type anyone struct{}

func (anyone) InterceptPeerDial(peer.ID) bool               { return false }
func (anyone) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return false }
func (anyone) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (anyone) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	_, ok := keyOf(id)
	return ok
}
func (anyone) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// NewEnrolment makes the listener; [Enrolment.Serve] opens it.
func NewEnrolment(opt EnrolmentOptions) (*Enrolment, error) {
	if opt.Handle == nil || opt.Key.IsZero() {
		return nil, errors.New("make enrolment listener: key and handler are required")
	}
	orDefault(&opt.Conns, 16)
	orDefault(&opt.Burst, 20)
	orDefault(&opt.Lifetime, 30*time.Second)
	if opt.PerSecond <= 0 {
		opt.PerSecond = 1
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	limits := Limits{
		Conns: opt.Conns, Handshakes: opt.Conns, ConnsPerPeer: 1, ConnsPerIP: max(1, opt.Conns/2), StreamsIn: 1, Memory: 32 << 20,
		FrameTimeout: opt.Lifetime, WriteTimeout: opt.Lifetime,
	}.withDefaults()
	key, err := libKey(opt.Key)
	if err != nil {
		return nil, fmt.Errorf("make enrolment listener: %w", err)
	}
	resources, err := limits.resources(libp2prate.Limit{RPS: opt.PerSecond, Burst: opt.Burst}, true)
	if err != nil {
		return nil, fmt.Errorf("make enrolment listener: %w", err)
	}
	e := &Enrolment{opt: opt, limits: limits}
	if e.swarm, err = newSwarm(key, anyone{}, limits, resources, opt.Packets); err != nil {
		return nil, fmt.Errorf("make enrolment listener: %w", err)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.swarm.Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		time.AfterFunc(opt.Lifetime, func() { c.Close() })
	}})
	e.swarm.SetStreamHandler(e.accept)
	return e, nil
}

// Serve binds the addresses, all or none, and answers until Close. It does not
// block.
func (e *Enrolment) Serve() error { return e.swarm.listen(e.opt.Listen) }

// Addrs is as [Transport.Addrs].
func (e *Enrolment) Addrs() []string { return e.swarm.addrs() }

// Close shuts the door and waits for the handlers, whose ctx ends.
func (e *Enrolment) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	err := e.swarm.Close()
	e.work.Wait()
	return err
}

func (e *Enrolment) accept(raw network.Stream) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		raw.Reset()
		return
	}
	e.work.Add(1)
	e.mu.Unlock()
	defer e.work.Done()
	if err := e.serve(raw); err != nil {
		e.opt.Log.Info("enrolment request failed", slog.String("from", raw.Conn().RemoteMultiaddr().String()), slog.Any("error", err))
		raw.Reset()
		raw.Conn().Close()
	}
}

func (e *Enrolment) serve(raw network.Stream) error {
	ctx, cancel := context.WithTimeout(e.ctx, e.opt.Lifetime)
	defer cancel()
	raw.SetDeadline(time.Now().Add(e.opt.Lifetime))
	key, ok := keyOf(raw.Conn().RemotePeer())
	if !ok {
		return ErrNotActive
	}
	mux := multistream.NewMultistreamMuxer[string]()
	mux.AddHandler(enrolProto, nil)
	if _, _, err := mux.Negotiate(raw); err != nil {
		return fmt.Errorf("negotiate: %w", err)
	}
	if err := raw.SetProtocol(enrolProto); err != nil {
		return err
	}
	in := newStream(ctx, raw, protocol.Node{}, enrolProto, MaxEnrolRequest+callHead, &e.limits, func() {})
	b, err := in.Read()
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	m, err := decodeMessage(b)
	if err != nil {
		return err
	}
	if m.kind != kindRequest {
		return errors.New("the first frame is no request")
	}
	body, err := e.opt.Handle(ctx, key, m.body)
	out, fault := reply(m.id, body, err, protocol.MaxFrame)
	if fault != nil {
		e.opt.Log.Warn("enrolment request failed here", slog.Any("error", fault))
	}
	answers := newStream(ctx, raw, protocol.Node{}, enrolProto, protocol.MaxFrame, &e.limits, func() {})
	if err := answers.Write(out.encode()); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	// The newcomer hangs up when it has the answer.
	raw.CloseWrite()
	in.Read()
	return raw.Conn().Close()
}

// EnrolmentAt says where an enrolment listener is.
type EnrolmentAt struct {
	Addrs   []string         // as [ParseAddr] reads them
	Peer    crypto.PublicKey // whoever else answers there is refused
	Packets PacketConns      // as [Options.Packets]
}

// CallEnrolment asks an enrolment listener once, from a key made for this call
// alone. Errors: *[Error] as the listener answered, or the connection's.
func CallEnrolment(ctx context.Context, at EnrolmentAt, req []byte) ([]byte, error) {
	if len(req) > MaxEnrolRequest {
		return nil, fmt.Errorf("ask for enrolment: a request of %d bytes, at most %d are allowed", len(req), MaxEnrolRequest)
	}
	addrs, err := parseAddrs(at.Addrs)
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w", err)
	}
	own, err := crypto.GenerateKey(crand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w", err)
	}
	key, err := libKey(own)
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w", err)
	}
	limits := Limits{Conns: 8, Handshakes: 8, Memory: 64 << 20}.withDefaults()
	resources, err := limits.resources(ipRate(limits), false)
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w", err)
	}
	s, err := newSwarm(key, onePeer(peerID(at.Peer)), limits, resources, at.Packets)
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w", err)
	}
	defer s.Close()
	body, err := ask(ctx, s, peerID(at.Peer), addrs, &limits, req)
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w", err)
	}
	return body, nil
}

func ask(ctx context.Context, s *swarmOf, id peer.ID, addrs []ma.Multiaddr, limits *Limits, req []byte) ([]byte, error) {
	s.Peerstore().AddAddrs(id, addrs, peerstore.PermanentAddrTTL)
	c, err := s.DialPeer(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	raw, err := c.NewStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if err := selectProto(ctx, raw, enrolProto, limits.DialTimeout); err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	st := newStream(ctx, raw, protocol.Node{}, enrolProto, protocol.MaxFrame, limits, func() {})
	if err := st.Write(message{kind: kindRequest, id: 1, body: req}.encode()); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	b, err := st.Read()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	m, err := decodeMessage(b)
	switch {
	case err != nil:
		return nil, err
	case m.kind == kindFailure:
		return nil, &m.fail
	case m.kind != kindAnswer || m.id != 1:
		return nil, errors.New("the listener answered what was not asked")
	}
	return m.body, nil
}

// onePeer admits one peer, outbound only.
type onePeer peer.ID

func (p onePeer) InterceptPeerDial(id peer.ID) bool          { return id == peer.ID(p) }
func (onePeer) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (onePeer) InterceptAccept(network.ConnMultiaddrs) bool  { return false }
func (p onePeer) InterceptSecured(d network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return d == network.DirOutbound && id == peer.ID(p)
}
func (onePeer) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
