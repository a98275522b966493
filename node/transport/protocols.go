package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/national-alliance/alliance/protocol"
)

// Rules of one protocol, for streams in both directions. A zero field takes
// its default.
type Rules struct {
	MaxFrame int // bytes; default and most protocol.MaxFrame
	Streams  int // inbound streams of one peer; default 8
	InFlight int // calls on one stream under way at a time; default 64. Times MaxFrame it bounds what a peer can make this node hold
	// Admit is asked before any byte of a stream is read, when a peer opens
	// one and when this node opens one. An error refuses; nil admits every
	// active node.
	Admit func(peer protocol.Node) error
}

// served is a protocol's rules and its handler; guarded by Transport.mu.
type served struct {
	rules  Rules
	handle func(ctx context.Context, s *Stream) // nil: only dialled
}

func (r Rules) withDefaults() Rules {
	if r.MaxFrame <= 0 || r.MaxFrame > protocol.MaxFrame {
		r.MaxFrame = protocol.MaxFrame
	}
	orDefault(&r.Streams, 8)
	orDefault(&r.InFlight, 64)
	return r
}

// SetRules sets the rules of a protocol, for streams and calls that begin
// afterwards. Set them before [Transport.Listen].
func (t *Transport) SetRules(proto string, r Rules) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entry(proto).rules = r.withDefaults()
}

// entry returns a protocol's entry; t.mu is held.
func (t *Transport) entry(proto string) *served {
	e := t.protocols[proto]
	if e == nil {
		e = &served{rules: Rules{}.withDefaults()}
		t.protocols[proto] = e
	}
	return e
}

func (t *Transport) rules(proto string) Rules {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entry(proto).rules
}

// Handle serves a protocol. Each inbound stream has its own goroutine, which
// owns the stream until h returns; then it is closed. ctx ends with the
// connection or the transport.
func (t *Transport) Handle(proto string, h func(ctx context.Context, from protocol.Node, s *Stream)) {
	t.handle(proto, func(ctx context.Context, s *Stream) { h(ctx, s.node, s) })
}

func (t *Transport) handle(proto string, h func(context.Context, *Stream)) {
	t.mu.Lock()
	t.entry(proto).handle = h
	t.mu.Unlock()
	t.mux.AddHandler(proto, nil)
}

// Open begins a stream to a connected node. Errors: [ErrNotConnected],
// [ErrNotActive] (by the register or the protocol's rules), [ErrUnsupported],
// or the stream's own.
func (t *Transport) Open(ctx context.Context, to protocol.NodeID, proto string) (*Stream, error) {
	k, node, err := t.readyConn(to)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", proto, err)
	}
	rules := t.rules(proto)
	if rules.Admit != nil {
		if err := rules.Admit(node); err != nil {
			return nil, fmt.Errorf("open %s: %w: %w", proto, ErrNotActive, err)
		}
	}
	raw, err := k.c.NewStream(network.WithNoDial(ctx, "open"))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", proto, err)
	}
	if err := selectProto(ctx, raw, proto, t.opt.Limits.HelloTimeout); err != nil {
		raw.Reset()
		return nil, fmt.Errorf("open %s: %w", proto, err)
	}
	return t.charged(t.newStream(raw, node, proto, rules.MaxFrame)), nil
}

// selectProto names the protocol and waits for the other end's yes.
func selectProto(ctx context.Context, raw network.Stream, proto string, timeout time.Duration) error {
	if err := raw.SetProtocol(libprotocol.ID(proto)); err != nil {
		return err
	}
	raw.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { raw.Reset() })
	err := multistream.SelectProtoOrFail(proto, raw)
	if !stop() {
		return ctx.Err()
	}
	if errors.As(err, new(multistream.ErrNotSupported[string])) {
		return ErrUnsupported
	}
	if err != nil {
		return err
	}
	return raw.SetDeadline(time.Time{})
}

// charged lets the peer's quota pay for what it sends on s.
func (t *Transport) charged(s *Stream) *Stream {
	t.mu.Lock()
	s.peer = t.peerOf(s.node.ID)
	t.mu.Unlock()
	return s
}

// accept is libp2p's stream handler; it runs in the stream's own goroutine.
func (t *Transport) accept(raw network.Stream) {
	t.mu.Lock()
	k := t.conns[raw.Conn()]
	if k == nil || t.closed {
		t.mu.Unlock()
		raw.Reset()
		return
	}
	t.work.Add(1)
	t.mu.Unlock()
	defer t.work.Done()

	raw.SetDeadline(time.Now().Add(t.opt.Limits.HelloTimeout))
	proto, _, err := t.mux.Negotiate(raw)
	if err != nil {
		raw.Reset()
		return
	}
	if proto == helloProto {
		t.welcome(k, raw)
		return
	}
	select {
	case <-k.ready: // the dialler may open streams before its last hello frame is read here
	case <-k.ctx.Done():
		raw.Reset()
		return
	}
	s, handle, release, err := t.admit(k, raw, proto)
	if err != nil {
		t.log.Info("stream refused", slog.String("node", k.node.ID.Short()), slog.String("protocol", proto), slog.Any("error", err))
		raw.Reset()
		return
	}
	defer release()
	raw.SetDeadline(time.Time{})
	handle(k.ctx, s)
	s.Close()
}

// admit asks the register and the protocol's rules before any byte is read.
func (t *Transport) admit(k *conn, raw network.Stream, proto string) (s *Stream, handle func(context.Context, *Stream), release func(), err error) {
	node, ok := t.gate.active(raw.Conn().RemotePeer())
	if !ok || node.ID != k.node.ID {
		return nil, nil, nil, ErrNotActive
	}
	if err := raw.SetProtocol(libprotocol.ID(proto)); err != nil {
		return nil, nil, nil, err
	}
	t.mu.Lock()
	e := t.protocols[proto]
	if e == nil || e.handle == nil {
		t.mu.Unlock()
		return nil, nil, nil, ErrUnsupported
	}
	rules, handle := e.rules, e.handle
	t.mu.Unlock()
	if rules.Admit != nil {
		if err := rules.Admit(node); err != nil {
			return nil, nil, nil, fmt.Errorf("%w: %w", ErrNotActive, err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peerOf(node.ID)
	if f := p.faults[proto]; f != nil && t.opt.Now().Before(f.until) {
		return nil, nil, nil, errors.New("the peer waits out a penalty for a broken stream")
	}
	if p.streams[proto] >= rules.Streams {
		return nil, nil, nil, fmt.Errorf("the peer has %d streams of the protocol already", rules.Streams)
	}
	p.streams[proto]++
	s = t.newStream(raw, node, proto, rules.MaxFrame)
	s.peer = p
	return s, handle, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if p.streams[proto]--; p.streams[proto] == 0 {
			delete(p.streams, proto)
		}
	}, nil
}

// penalise makes a peer wait after a broken stream, longer each time.
func (t *Transport) penalise(id protocol.NodeID, proto string) {
	t.mu.Lock()
	p := t.peerOf(id)
	f := p.faults[proto]
	if f == nil {
		f = &fault{}
		p.faults[proto] = f
	}
	now := t.opt.Now()
	if now.Sub(f.until) > 10*time.Minute {
		f.times = 0
	}
	f.until = now.Add(t.opt.Limits.Penalty << min(f.times, 8))
	f.times++
	times := f.times
	t.mu.Unlock()
	t.log.Warn("peer broke a stream", slog.String("node", id.Short()), slog.String("protocol", proto), slog.Int("times", times))
}
