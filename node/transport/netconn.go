package transport

import (
	"context"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/national-alliance/alliance/protocol"
)

// Conn opens a stream as a plain net.Conn, without frames, for a library that
// brings its own. The protocol's rules are asked as in [Transport.Open]. Its
// Close resets the stream, so that nothing pooled lingers at the other end.
func (t *Transport) Conn(ctx context.Context, to protocol.NodeID, proto string) (net.Conn, error) {
	s, err := t.Open(ctx, to, proto)
	if err != nil {
		return nil, err
	}
	return &netConn{Stream: s.raw, local: nodeAddr(t.opt.Node), remote: nodeAddr(to)}, nil
}

// ConnHandler serves a protocol with plain connections. h may keep c beyond
// its return: the stream ends when c is closed, or with its connection.
func (t *Transport) ConnHandler(proto string, h func(from protocol.Node, c net.Conn)) {
	t.handle(proto, func(ctx context.Context, s *Stream) {
		c := &netConn{Stream: s.raw, local: nodeAddr(t.opt.Node), remote: nodeAddr(s.node.ID), closed: make(chan struct{})}
		h(s.node, c)
		select { // the stream counts against the peer until then
		case <-c.closed:
		case <-ctx.Done():
			c.Close()
		}
	})
}

type netConn struct {
	network.Stream
	local, remote nodeAddr
	once          sync.Once
	closed        chan struct{}
}

func (c *netConn) Close() error {
	c.once.Do(func() {
		if c.closed != nil {
			close(c.closed)
		}
	})
	return c.Stream.Reset()
}
func (c *netConn) LocalAddr() net.Addr  { return c.local }
func (c *netConn) RemoteAddr() net.Addr { return c.remote }

// nodeAddr is a node ID as a net.Addr.
type nodeAddr protocol.NodeID

func (nodeAddr) Network() string  { return "alliance" }
func (a nodeAddr) String() string { return protocol.NodeID(a).String() }
