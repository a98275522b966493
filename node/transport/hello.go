package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/national-alliance/alliance/protocol"
)

const (
	helloProto = "/alliance/hello/1"
	maxHello   = 64 << 10
)

// hello is the first message each way. Fields are only ever added.
type hello struct {
	Network protocol.NetworkID `cbor:"1,keyasint"`
	Node    protocol.NodeID    `cbor:"2,keyasint"`
	Oldest  uint64             `cbor:"3,keyasint"`
	Newest  uint64             `cbor:"4,keyasint"`
	Body    []byte             `cbor:"5,keyasint,omitempty"`
	Refusal refusal            `cbor:"6,keyasint,omitempty"`
}

type refusal uint8

const (
	refusedNetwork refusal = 1
	refusedNode    refusal = 2
	refusedVersion refusal = 3
	refusedBody    refusal = 4
)

func (r refusal) Error() string {
	switch r {
	case refusedNetwork:
		return "hello refused: the two nodes belong to different networks"
	case refusedNode:
		return "hello refused: the node ID is not the one enrolled with the transport key"
	case refusedVersion:
		return "hello refused: no protocol version in common; upgrade the older node"
	case refusedBody:
		return "hello refused: the peer's view of the register was not accepted"
	}
	return fmt.Sprintf("hello refused: reason %d", uint8(r))
}

func (t *Transport) myHello() hello {
	h := hello{Network: t.opt.Network, Node: t.opt.Node, Oldest: protocol.Version, Newest: protocol.Version}
	if t.opt.Hello != nil {
		h.Body = t.opt.Hello()
	}
	return h
}

// judge checks a peer's hello against what its key says of it.
func (t *Transport) judge(k *conn, b []byte) (hello, error) {
	// Unknown fields are passed over: a newer program may say more.
	h, err := protocol.DecodeOpen[hello](b, maxHello)
	if err != nil {
		return h, fmt.Errorf("decode hello: %w", err)
	}
	switch {
	case h.Refusal != 0:
		return h, h.Refusal
	case h.Network != t.opt.Network:
		return h, refusedNetwork
	case h.Node != k.node.ID:
		return h, refusedNode
	case h.Oldest > protocol.Version || h.Newest < protocol.Version:
		return h, refusedVersion
	}
	if t.opt.OnHello != nil {
		if err := t.opt.OnHello(k.node, h.Body); err != nil {
			return h, fmt.Errorf("%w (%w)", refusedBody, err)
		}
	}
	return h, nil
}

// greet is the dialler's side of a hello.
func (t *Transport) greet(k *conn) (err error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.opt.Limits.HelloTimeout)
	defer cancel()
	raw, err := k.c.NewStream(network.WithNoDial(ctx, "hello"))
	if err != nil {
		return closedEarly(fmt.Errorf("open hello: %w", err))
	}
	defer func() {
		if err != nil {
			raw.Reset()
		}
	}()
	s := t.newStream(raw, k.node, helloProto, maxHello)
	t.limitHello(s)
	if err := raw.SetProtocol(helloProto); err != nil {
		return fmt.Errorf("open hello: %w", err)
	}
	if err := multistream.SelectProtoOrFail(helloProto, raw); err != nil {
		return closedEarly(fmt.Errorf("open hello: %w", err))
	}
	if err := s.Write(protocol.Encode(t.myHello())); err != nil {
		return closedEarly(fmt.Errorf("send hello: %w", err))
	}
	b, err := s.Read()
	if err != nil {
		return closedEarly(fmt.Errorf("read hello: %w", err))
	}
	if _, err := t.judge(k, b); err != nil {
		return err
	}
	if err := s.Write(nil); err != nil {
		return fmt.Errorf("send hello: %w", err)
	}
	t.open(k)
	raw.Close()
	return nil
}

// limitHello gives the whole exchange its time: real time, as libp2p's
// deadlines are.
func (t *Transport) limitHello(s *Stream) {
	end := time.Now().Add(t.opt.Limits.HelloTimeout)
	s.SetReadDeadline(end)
	s.SetWriteDeadline(end)
}

// closedEarly explains the commonest cause: a peer whose register does not
// name this node as active hangs up without a word.
func closedEarly(err error) error {
	return fmt.Errorf("the peer closed the connection before its hello; perhaps its register does not name this node as active (yet): %w", err)
}

// welcome is the listener's side of a hello.
func (t *Transport) welcome(k *conn, raw network.Stream) {
	t.mu.Lock()
	again := k.greeted || !k.inbound()
	k.greeted = true
	t.mu.Unlock()
	if again {
		t.failed(k, errors.New("a second hello came on one connection"))
		return
	}
	if err := raw.SetProtocol(libprotocol.ID(helloProto)); err != nil {
		t.failed(k, err)
		return
	}
	s := t.newStream(raw, k.node, helloProto, maxHello)
	t.limitHello(s)
	b, err := s.Read()
	if err != nil {
		t.failed(k, fmt.Errorf("read hello: %w", err))
		return
	}
	if _, err := t.judge(k, b); err != nil {
		var r refusal
		if errors.As(err, &r) {
			// Tell it, and wait until it has read that and hung up.
			mine := t.myHello()
			mine.Body, mine.Refusal = nil, r
			s.Write(protocol.Encode(mine))
			raw.CloseWrite()
			s.Read()
		}
		t.failed(k, err)
		return
	}
	if err := s.Write(protocol.Encode(t.myHello())); err != nil {
		t.failed(k, fmt.Errorf("send hello: %w", err))
		return
	}
	if b, err := s.Read(); err != nil || len(b) != 0 {
		t.failed(k, fmt.Errorf("read hello's end: %w", err))
		return
	}
	t.open(k)
	raw.Close()
}
