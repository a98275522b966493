package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// Code is why a call failed at the other end. Nothing more crosses.
type Code uint8

// The codes. The numbers are on the wire and never change.
const (
	Refused  Code = 1 // not admitted, or against the rules; the same call will fail again
	NotFound Code = 2 // unknown, or not yours: the two look the same
	Busy     Code = 3 // try again, after RetryAfter if set
	Invalid  Code = 4 // the request cannot be read
	Internal Code = 5 // a fault of the other end
)

func (c Code) String() string {
	switch c {
	case Refused:
		return "refused"
	case NotFound:
		return "not found"
	case Busy:
		return "busy"
	case Invalid:
		return "invalid"
	case Internal:
		return "internal"
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Error is a failure that crosses the wire: returned by a handler, it reaches
// the caller as it is. Handlers' other errors reach the caller as Internal.
type Error struct {
	Code       Code
	RetryAfter time.Duration // whole milliseconds, at most an hour; 0: not said
}

func (e *Error) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("the peer answered %s, try again in %s", e.Code, e.RetryAfter)
	}
	return fmt.Sprintf("the peer answered %s", e.Code)
}

// CodeOf returns the code of an [Error] in err's chain, or 0.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

type kind uint8

const (
	kindRequest kind = 1
	kindAnswer  kind = 2
	kindFailure kind = 3
	kindCancel  kind = 4

	callHead = 5 // bytes before the body
	maxRetry = time.Hour
)

// message is one frame of a protocol of calls.
type message struct {
	kind kind
	id   uint32
	body []byte // request, answer
	fail Error  // failure
}

func (m message) encode() []byte {
	b := make([]byte, callHead, callHead+max(len(m.body), 5))
	b[0] = byte(m.kind)
	binary.BigEndian.PutUint32(b[1:], m.id)
	if m.kind == kindFailure {
		b = append(b, byte(m.fail.Code))
		return binary.BigEndian.AppendUint32(b, uint32(min(m.fail.RetryAfter, maxRetry)/time.Millisecond))
	}
	return append(b, m.body...)
}

// decodeMessage reads one frame; the body is part of b.
func decodeMessage(b []byte) (message, error) {
	if len(b) < callHead {
		return message{}, fmt.Errorf("decode call: %d bytes, at least %d are needed", len(b), callHead)
	}
	m := message{kind: kind(b[0]), id: binary.BigEndian.Uint32(b[1:])}
	body := b[callHead:]
	switch m.kind {
	case kindRequest, kindAnswer:
		m.body = body
	case kindFailure:
		if len(body) != 5 {
			return message{}, fmt.Errorf("decode call: a failure of %d bytes, want 5", len(body))
		}
		retry := time.Duration(binary.BigEndian.Uint32(body[1:])) * time.Millisecond
		m.fail = Error{Code: Code(body[0]), RetryAfter: retry}
		if m.fail.Code < Refused || m.fail.Code > Internal || retry > maxRetry {
			return message{}, fmt.Errorf("decode call: failure with %s and a wait of %s", m.fail.Code, retry)
		}
	case kindCancel:
		if len(body) != 0 {
			return message{}, errors.New("decode call: a cancel with a body")
		}
	default:
		return message{}, fmt.Errorf("decode call: kind %d is not known", b[0])
	}
	return m, nil
}

// Serve answers calls of a protocol. Every call has its own goroutine, at most
// Rules.InFlight of them for a stream; a peer that asks more is read no further
// until one is done. ctx ends with the connection, or when the caller gives up.
// h owns req.
func (t *Transport) Serve(proto string, h func(ctx context.Context, from protocol.Node, req []byte) ([]byte, error)) {
	t.Handle(proto, func(ctx context.Context, from protocol.Node, s *Stream) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		v := &server{t: t, s: s, h: h, running: map[uint32]context.CancelFunc{}, slots: make(chan struct{}, t.rules(proto).InFlight)}
		v.run(ctx)
		cancel()
		v.calls.Wait()
	})
}

type server struct {
	t     *Transport
	s     *Stream
	h     func(context.Context, protocol.Node, []byte) ([]byte, error)
	slots chan struct{}
	calls sync.WaitGroup

	mu      sync.Mutex
	running map[uint32]context.CancelFunc
}

func (v *server) run(ctx context.Context) {
	for {
		b, err := v.s.Read()
		if err != nil {
			return
		}
		m, err := decodeMessage(b)
		switch {
		case err == nil && m.kind == kindCancel:
			v.mu.Lock()
			if stop := v.running[m.id]; stop != nil {
				stop()
			}
			v.mu.Unlock()
		case err == nil && m.kind == kindRequest && !v.runs(m.id):
			select {
			case v.slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			callCtx, stop := context.WithCancel(ctx)
			v.mu.Lock()
			v.running[m.id] = stop
			v.mu.Unlock()
			v.calls.Go(func() { v.answer(callCtx, m) })
		default:
			v.s.Abuse()
			return
		}
	}
}

func (v *server) runs(id uint32) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.running[id]
	return ok
}

func (v *server) answer(ctx context.Context, m message) {
	body, err := v.h(ctx, v.s.node, m.body)
	out, fault := reply(m.id, body, err, v.s.max)
	if fault != nil && ctx.Err() == nil {
		v.t.log.Warn("call failed here", slog.String("node", v.s.node.ID.Short()), slog.String("protocol", v.s.proto), slog.Any("error", fault))
	}
	v.mu.Lock()
	v.running[m.id]()
	delete(v.running, m.id)
	v.mu.Unlock()
	v.s.send(false, [][]byte{out.encode()})
	<-v.slots
}

// reply makes the frame that tells what a handler returned, at most limit
// bytes long, and returns the error that must not cross.
func reply(id uint32, body []byte, err error, limit int) (message, error) {
	var e *Error
	switch {
	case err == nil && len(body) <= limit-callHead:
		return message{kind: kindAnswer, id: id, body: body}, nil
	case errors.As(err, &e) && e.Code >= Refused && e.Code <= Internal:
		return message{kind: kindFailure, id: id, fail: Error{e.Code, max(0, e.RetryAfter)}}, nil
	case err == nil:
		err = fmt.Errorf("an answer of %d bytes, at most %d are allowed", len(body), limit-callHead)
	}
	return message{kind: kindFailure, id: id, fail: Error{Code: Internal}}, err
}
