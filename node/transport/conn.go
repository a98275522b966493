package transport

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/national-alliance/alliance/protocol"
)

// conn is one connection, of which a node may have several: two ends that dial
// each other at once keep both.
type conn struct {
	c       network.Conn
	node    protocol.Node
	since   time.Time
	ready   chan struct{}   // closed when the hello succeeded both ways
	ctx     context.Context // ends with the connection, or the transport
	cancel  context.CancelFunc
	ended   chan struct{} // closed when nothing more is learnt from its hello
	greeted bool          // an inbound hello stream was taken; guarded by Transport.mu
}

func (k *conn) inbound() bool { return k.c.Stat().Direction == network.DirInbound }

// connected is called by libp2p before any stream of c.
func (t *Transport) connected(c network.Conn) {
	node, ok := t.gate.active(c.RemotePeer())
	if !ok { // struck between the gate and here
		t.spawn(func() { c.Close() })
		return
	}
	k := &conn{c: c, node: node, since: t.opt.Now(), ready: make(chan struct{}), ended: make(chan struct{})}
	k.ctx, k.cancel = context.WithCancel(t.ctx)
	t.mu.Lock()
	t.conns[c] = k
	if !k.inbound() {
		t.peerOf(node.ID).made = k
	}
	t.mu.Unlock()
	t.spawn(func() {
		defer close(k.ended)
		if !k.inbound() {
			if err := t.greet(k); err != nil {
				t.failed(k, err)
			}
			return
		}
		timeout := time.NewTimer(t.opt.Limits.HelloTimeout)
		defer timeout.Stop()
		select {
		case <-k.ready:
		case <-k.ctx.Done():
		case <-timeout.C:
			t.failed(k, errors.New("no hello came in time"))
		}
	})
}

// failed closes a connection whose hello did not succeed.
func (t *Transport) failed(k *conn, err error) {
	t.log.Info("hello failed", slog.String("node", k.node.ID.Short()), slog.Any("error", err))
	t.mu.Lock()
	p := t.peerOf(k.node.ID)
	p.lastErr = err
	p.signal()
	t.mu.Unlock()
	k.c.Close()
}

// open marks a connection as ready for streams.
func (t *Transport) open(k *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns[k.c] != k || t.closed {
		return
	}
	close(k.ready)
	p := t.peerOf(k.node.ID)
	p.ready = append(p.ready, k)
	p.lastErr = nil
	p.signal()
	if len(p.ready) == 1 {
		t.events.emit(event{node: k.node, connected: true})
	}
	t.log.Debug("connected", slog.String("node", k.node.ID.Short()), slog.String("by", kindOf(k.c.RemoteMultiaddr())), slog.Bool("inbound", k.inbound()))
}

func (t *Transport) disconnected(c network.Conn) {
	t.mu.Lock()
	k := t.conns[c]
	delete(t.conns, c)
	if k != nil {
		k.cancel()
		p := t.peerOf(k.node.ID)
		if i := slices.Index(p.ready, k); i >= 0 {
			p.ready = slices.Delete(p.ready, i, i+1)
			now := t.opt.Now()
			if now.Sub(k.since) > 2*t.opt.Limits.BackoffMin+10*time.Second {
				p.attempts = 0 // it held for a while: begin anew
			}
			if len(p.ready) == 0 {
				t.retryLater(p, now)
				t.events.emit(event{node: k.node})
			}
			p.signal()
		}
	}
	t.mu.Unlock()
	t.poke()
}

// readyConn returns the oldest usable connection to an active node.
func (t *Transport) readyConn(id protocol.NodeID) (*conn, protocol.Node, error) {
	node, ok := t.opt.Directory.Node(id)
	if !ok || node.Status != protocol.Active {
		return nil, node, ErrNotActive
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, node, ErrClosed
	}
	if p := t.peers[id]; p != nil {
		for _, k := range p.ready {
			if !k.c.IsClosed() {
				return k, node, nil
			}
		}
	}
	return nil, node, ErrNotConnected
}

func kindOf(m ma.Multiaddr) string {
	if _, err := m.ValueForProtocol(ma.P_QUIC_V1); err == nil {
		return "quic"
	}
	return "tcp"
}
