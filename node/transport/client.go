package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/national-alliance/alliance/protocol"
)

type clientKey struct {
	node  protocol.NodeID
	proto string
}

// client is the asking end of one stream of calls.
type client struct {
	opened chan struct{} // closed when s or err is set
	s      *Stream
	err    error
	slots  chan struct{}

	mu      sync.Mutex
	last    uint32
	waiting map[uint32]chan message // nil channel: given up, its answer may still come
	ended   error
	done    chan struct{} // closed when ended is set
}

// Call asks a connected node and waits for its answer. All calls to one node
// and protocol share one stream; at most Rules.InFlight are under way, others
// wait. A call that ends early by ctx is cancelled at the other end. Errors:
// those of [Transport.Open], *[Error] as the peer answered, ctx's, or the
// stream's, where it is unknown whether the peer acted.
func (t *Transport) Call(ctx context.Context, to protocol.NodeID, proto string, req []byte) ([]byte, error) {
	c, err := t.client(ctx, to, proto)
	if err != nil {
		return nil, err
	}
	if len(req) > c.s.max-callHead {
		return nil, fmt.Errorf("call %s: a request of %d bytes, at most %d are allowed", proto, len(req), c.s.max-callHead)
	}
	m, err := c.call(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", proto, err)
	}
	if m.kind == kindFailure {
		return nil, fmt.Errorf("call %s: %w", proto, &m.fail)
	}
	return m.body, nil
}

// client returns the live client for a node and protocol, and opens its stream
// where there is none.
func (t *Transport) client(ctx context.Context, to protocol.NodeID, proto string) (*client, error) {
	key := clientKey{to, proto}
	t.mu.Lock()
	c := t.clients[key]
	if c == nil {
		if t.closed {
			t.mu.Unlock()
			return nil, ErrClosed
		}
		c = &client{opened: make(chan struct{}), waiting: map[uint32]chan message{}, done: make(chan struct{})}
		t.clients[key] = c
		// The opener's ctx must not be everyone's.
		t.work.Go(func() { t.runClient(key, c) })
	}
	t.mu.Unlock()
	select {
	case <-c.opened:
		return c, c.err
	case <-ctx.Done():
		return nil, fmt.Errorf("call %s: %w", proto, ctx.Err())
	}
}

func (t *Transport) runClient(key clientKey, c *client) {
	defer func() {
		t.mu.Lock()
		if t.clients[key] == c {
			delete(t.clients, key)
		}
		t.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(t.ctx, t.opt.Limits.DialTimeout)
	c.s, c.err = t.Open(ctx, key.node, key.proto)
	cancel()
	if c.err != nil {
		t.mu.Lock() // before anybody learns of it, so that a new call opens anew
		delete(t.clients, key)
		t.mu.Unlock()
		close(c.opened)
		return
	}
	c.slots = make(chan struct{}, t.rules(key.proto).InFlight)
	close(c.opened)
	err := c.read()
	t.mu.Lock()
	delete(t.clients, key)
	t.mu.Unlock()
	c.s.Reset()
	c.mu.Lock()
	c.ended = err
	close(c.done)
	c.mu.Unlock()
}

// read hands answers to their callers until the stream ends.
func (c *client) read() error {
	for {
		b, err := c.s.Read()
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		m, err := decodeMessage(b)
		if err == nil && m.kind != kindAnswer && m.kind != kindFailure {
			err = errors.New("the peer sent a request on a stream of answers")
		}
		if err == nil {
			c.mu.Lock()
			waiter, ok := c.waiting[m.id]
			delete(c.waiting, m.id)
			c.mu.Unlock()
			if ok {
				if waiter != nil {
					waiter <- m
				}
				<-c.slots
				continue
			}
			err = errors.New("the peer answered what was not asked")
		}
		c.s.Abuse()
		return err
	}
}

func (c *client) call(ctx context.Context, req []byte) (message, error) {
	// A slot is free again when the answer came, also that of a call that was
	// given up: what the other end works on is bounded by it.
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return message{}, ctx.Err()
	case <-c.done:
		return message{}, c.ended
	}
	answer := make(chan message, 1)
	c.mu.Lock()
	if c.last == 1<<32-1 {
		c.mu.Unlock()
		c.s.Reset() // ids are used up: a new stream begins again
		return message{}, errors.New("the stream has carried all it can; try again")
	}
	c.last++
	id := c.last
	c.waiting[id] = answer
	c.mu.Unlock()
	if err := c.s.send(false, [][]byte{message{kind: kindRequest, id: id, body: req}.encode()}); err != nil {
		return message{}, err
	}
	select {
	case m := <-answer:
		return m, nil
	case <-c.done:
		select {
		case m := <-answer:
			return m, nil
		default:
			return message{}, c.ended
		}
	case <-ctx.Done():
		c.mu.Lock()
		_, open := c.waiting[id]
		if open {
			c.waiting[id] = nil
		}
		c.mu.Unlock()
		if open {
			c.s.send(false, [][]byte{message{kind: kindCancel, id: id}.encode()})
		}
		return message{}, ctx.Err()
	}
}
