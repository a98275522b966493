package consensus

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// MaxData is the most bytes one entry carries.
const MaxData = 1 << 20

const (
	maxRequest = MaxData + 1
	maxAnswer  = 4 << 20
	// firstByteWait is how long a new connection may stay silent, and
	// requestWait how long a request may take in all.
	firstByteWait = 10 * time.Second
	requestWait   = 30 * time.Second
)

type status byte

const (
	statusDone      status = 0
	statusNotLeader status = 1
	statusUnknown   status = 2
	statusRefused   status = 3
)

type answer struct {
	status status
	index  uint64
	body   []byte
}

func writeRequest(w io.Writer, body []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func writeAnswer(w io.Writer, a answer) error {
	b := append([]byte{byte(a.status)}, binary.BigEndian.AppendUint64(nil, a.index)...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.body)))
	_, err := w.Write(append(b, a.body...))
	return err
}

func readSized(r io.Reader, limit uint32) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > limit {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", n, limit)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func readAnswer(r io.Reader) (a answer, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return a, err
	}
	a.status, a.index = status(head[0]), binary.BigEndian.Uint64(head[1:])
	a.body, err = readSized(r, maxAnswer)
	return a, err
}

// ask sends one request to a node and returns its answer.
func (s *conns) ask(ctx context.Context, to protocol.NodeID, kind byte, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	c, err := s.dial(ctx, to, kind)
	if err != nil {
		return answer{}, err
	}
	return exchange(ctx, c, body)
}

// exchange sends a request over a connection just dialled, reads the answer
// and closes it. An error leaves open whether the request was done.
func exchange(ctx context.Context, c *conn, body []byte) (a answer, err error) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err = writeRequest(c, body); err == nil {
		a, err = readAnswer(c)
	}
	if err != nil {
		return answer{}, fmt.Errorf("ask node %s: %w", c.peer.Short(), err)
	}
	return a, nil
}

// Serve takes over a raft/1 connection that a node opened, and returns when it
// has ended. A peer that Authorize does not know is cut off unread.
func (g *Group) Serve(from protocol.Node, nc net.Conn) {
	if from.ID == g.opt.Node || !g.opt.Authorize(from.ID) {
		nc.Close()
		g.log.Warn("refused a raft connection", "node", from.ID.Short())
		return
	}
	e := g.engine()
	if e == nil {
		nc.Close()
		return
	}
	c, err := e.conns.add(from.ID, nc)
	if err != nil {
		g.log.Warn("refused a raft connection", "node", from.ID.Short(), "error", err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(firstByteWait))
	kind, err := readKind(c)
	if err != nil {
		return
	}
	if kind == kindRaft {
		c.SetDeadline(time.Time{})
		e.conns.hand(c)
		return
	}
	c.SetDeadline(time.Now().Add(requestWait))
	body, err := readSized(c, maxRequest)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestWait)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := writeAnswer(c, g.answer(ctx, e, from.ID, kind, body)); err != nil {
		g.log.Debug("could not answer a raft request", "node", from.ID.Short(), "error", err)
		return
	}
	// A close resets the stream, and that may overtake the answer: the asker
	// closes it when it has read all.
	c.SetDeadline(time.Now().Add(firstByteWait))
	c.Read(make([]byte, 1))
}

func (g *Group) answer(ctx context.Context, e *engine, from protocol.NodeID, kind byte, body []byte) answer {
	switch kind {
	case kindPropose:
		if len(body) == 0 {
			return answer{status: statusRefused}
		}
		return e.propose(ctx, body)
	case kindBarrier:
		return e.barrier(ctx)
	case kindLast:
		return answer{index: e.raft.LastIndex()}
	case kindIdentity:
		if g.opt.ReadingIdentity == nil {
			return answer{status: statusRefused}
		}
		sealed, err := g.opt.ReadingIdentity(ctx, from)
		if err != nil || len(sealed) == 0 || len(sealed) > maxAnswer {
			g.log.Warn("did not hand over the reading identity", "node", from.Short(), "error", err)
			return answer{status: statusRefused}
		}
		g.log.Info("handed over the reading identity", "node", from.Short())
		return answer{body: sealed}
	}
	return answer{status: statusRefused}
}

// RequestIdentity asks another node of the organisation for the reading
// identity, sealed to this node. ErrRefused: the other node is locked, or the
// register does not name this node yet; ask again later, or another node.
func (g *Group) RequestIdentity(ctx context.Context, from protocol.NodeID) ([]byte, error) {
	e := g.engine()
	if e == nil {
		return nil, fmt.Errorf("request reading identity: %w", errClosed)
	}
	a, err := e.conns.ask(ctx, from, kindIdentity, nil)
	if err != nil {
		return nil, fmt.Errorf("request reading identity: %w", err)
	}
	if a.status != statusDone || len(a.body) == 0 {
		return nil, fmt.Errorf("request reading identity of node %s: %w", from.Short(), ErrRefused)
	}
	return a.body, nil
}
