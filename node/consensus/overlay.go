package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/national-alliance/alliance/protocol"
)

// Overlay opens connections between nodes that the transport authenticated.
// Inbound ones go to [Group.Serve].
type Overlay interface {
	// Dial opens a raft/1 stream to a node; ctx bounds the opening alone. The
	// connection has working deadlines, and Close, from any goroutine, ends
	// it for both sides, also with bytes unread.
	Dial(ctx context.Context, to protocol.NodeID) (net.Conn, error)
}

// The first byte of a connection.
const (
	kindRaft     byte = 1
	kindPropose  byte = 2
	kindBarrier  byte = 3
	kindIdentity byte = 4
	kindLast     byte = 5
)

// maxConns bounds the connections of one peer; Raft itself uses about four.
const maxConns = 32

var errClosed = errors.New("the group is closed")

// conns is the group's side of the overlay: every connection is checked, and
// known, so that Close can end it. It is also Raft's stream layer.
type conns struct {
	self      protocol.NodeID
	overlay   Overlay
	authorize func(protocol.NodeID) bool
	accept    chan net.Conn
	done      chan struct{}

	mu   sync.Mutex
	open map[*conn]struct{}
}

var _ raft.StreamLayer = (*conns)(nil)

func newConns(o Options) *conns {
	return &conns{self: o.Node, overlay: o.Overlay, authorize: o.Authorize, accept: make(chan net.Conn), done: make(chan struct{}), open: map[*conn]struct{}{}}
}

// conn asks again on every use whether its peer may still speak.
type conn struct {
	net.Conn
	peer  protocol.NodeID
	owner *conns
	once  sync.Once
	ended chan struct{}
}

// Read returns nothing that arrived from a peer that is no longer authorised.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.owner.authorize(c.peer) {
		clear(p[:n])
		c.Close()
		return 0, ErrStranger
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.owner.authorize(c.peer) {
		c.Close()
		return 0, ErrStranger
	}
	return c.Conn.Write(p)
}

func (c *conn) Close() (err error) {
	c.once.Do(func() {
		c.owner.mu.Lock()
		delete(c.owner.open, c)
		c.owner.mu.Unlock()
		err = c.Conn.Close()
		close(c.ended)
	})
	return err
}

func (c *conn) RemoteAddr() net.Addr { return nodeAddr(c.peer) }

// nodeAddr is a node's address in Raft: its ID.
type nodeAddr protocol.NodeID

func (nodeAddr) Network() string  { return "alliance" }
func (a nodeAddr) String() string { return protocol.NodeID(a).String() }

func addressOf(n protocol.NodeID) raft.ServerAddress { return raft.ServerAddress(n.String()) }
func idOf(n protocol.NodeID) raft.ServerID           { return raft.ServerID(n.String()) }

func (s *conns) add(peer protocol.NodeID, c net.Conn) (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		c.Close()
		return nil, errClosed
	default:
	}
	n := 0
	for o := range s.open {
		if o.peer == peer {
			n++
		}
	}
	if n >= maxConns {
		c.Close()
		return nil, fmt.Errorf("%d connections with node %s are open", n, peer.Short())
	}
	k := &conn{Conn: c, peer: peer, owner: s, ended: make(chan struct{})}
	s.open[k] = struct{}{}
	return k, nil
}

// dial opens a connection and says what it is for.
func (s *conns) dial(ctx context.Context, to protocol.NodeID, kind byte) (*conn, error) {
	if !s.authorize(to) {
		return nil, fmt.Errorf("dial node %s: %w", to.Short(), ErrStranger)
	}
	c, err := s.overlay.Dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("dial node %s: %w", to.Short(), err)
	}
	k, err := s.add(to, c)
	if err != nil {
		return nil, err
	}
	if t, ok := ctx.Deadline(); ok {
		k.SetDeadline(t)
	}
	if _, err := k.Write([]byte{kind}); err != nil {
		k.Close()
		return nil, fmt.Errorf("dial node %s: %w", to.Short(), err)
	}
	return k, nil
}

// Dial, Accept, Close and Addr are raft.StreamLayer.
func (s *conns) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	var to protocol.NodeID
	if err := to.UnmarshalText([]byte(address)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.done:
			cancel()
		case <-stop:
		}
	}()
	c, err := s.dial(ctx, to, kindRaft)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return c, nil
}

func (s *conns) Accept() (net.Conn, error) {
	select {
	case c := <-s.accept:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close ends every connection, those in Raft's pools too.
func (s *conns) Close() error {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.mu.Unlock()
	s.drop(func(protocol.NodeID) bool { return true })
	return nil
}

// drop ends the connections with the nodes named by which.
func (s *conns) drop(which func(protocol.NodeID) bool) {
	s.mu.Lock()
	var end []*conn
	for c := range s.open {
		if which(c.peer) {
			end = append(end, c)
		}
	}
	s.mu.Unlock()
	for _, c := range end {
		c.Close()
	}
}

func (s *conns) Addr() net.Addr { return nodeAddr(s.self) }

// hand gives a connection to Raft and waits until it ends.
func (s *conns) hand(c *conn) {
	select {
	case s.accept <- c:
		<-c.ended
	case <-s.done:
	case <-c.ended:
	}
	c.Close()
}

// readKind reads the first byte.
func readKind(c io.Reader) (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	return b[0], err
}
