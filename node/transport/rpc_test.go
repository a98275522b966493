package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// callPair connects node 2 to node 1, which answers testProto with h.
func callPair(t testing.TB, kind string, rules Rules, h func(context.Context, protocol.Node, []byte) ([]byte, error)) (a, b *Transport) {
	t.Helper()
	r := newRegister(t, 2)
	a = start(t, r, 1, "127.0.0.1:0", nil, func(tr *Transport) {
		tr.SetRules(testProto, rules)
		tr.Serve(testProto, h)
	})
	b = start(t, r, 2, "", nil, func(tr *Transport) { tr.SetRules(testProto, rules) })
	if err := b.Connect(testCtx(t), protocol.NodeID{1}, only(a.Addrs(), kind)...); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestAnswersComeInAnyOrder(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			release := make(chan struct{})
			_, b := callPair(t, kind, Rules{}, func(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
				if from.ID != (protocol.NodeID{2}) {
					return nil, errors.New("wrong peer")
				}
				if string(req) == "first" {
					<-release
				}
				return append([]byte("re: "), req...), nil
			})
			ctx := testCtx(t)
			first := make(chan string, 1)
			go func() {
				got, err := b.Call(ctx, protocol.NodeID{1}, testProto, []byte("first"))
				first <- fmt.Sprint(string(got), err)
			}()
			for i := range 30 {
				req := fmt.Sprintf("later %d", i)
				got, err := b.Call(ctx, protocol.NodeID{1}, testProto, []byte(req))
				if err != nil || string(got) != "re: "+req {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			if len(first) != 0 {
				t.Fatal("the first was answered before it could")
			}
			close(release)
			if got := <-first; got != "re: first<nil>" {
				t.Fatalf("first: %s", got)
			}
			if n := len(b.clients); n != 1 {
				t.Fatalf("%d streams of calls, want 1", n)
			}
		})
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	var running, most atomic.Int32
	_, b := callPair(t, "quic", Rules{InFlight: 10}, func(_ context.Context, _ protocol.Node, req []byte) ([]byte, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return req, nil
	})
	b.SetRules(testProto, Rules{InFlight: 200}) // it asks more than it may: it waits
	ctx := testCtx(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			req := bytes.Repeat([]byte{byte(i)}, 1+i*37)
			got, err := b.Call(ctx, protocol.NodeID{1}, testProto, req)
			if err != nil || !bytes.Equal(got, req) {
				t.Errorf("call %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	if m := most.Load(); m > 10 {
		t.Fatalf("%d handlers at once, at most 10 are allowed", m)
	}
}

func TestErrorsCrossAsCodes(t *testing.T) {
	_, b := callPair(t, "quic", Rules{MaxFrame: 1000}, func(_ context.Context, _ protocol.Node, req []byte) ([]byte, error) {
		switch string(req) {
		case "refused":
			return nil, fmt.Errorf("a reason that stays here: %w", &Error{Code: Refused})
		case "busy":
			return nil, &Error{Code: Busy, RetryAfter: 1500 * time.Millisecond}
		case "not found":
			return nil, &Error{Code: NotFound}
		case "invalid":
			return nil, &Error{Code: Invalid}
		case "too long":
			return make([]byte, 1000), nil
		case "code 77":
			return nil, &Error{Code: 77}
		}
		return nil, errors.New("a secret of this node")
	})
	ctx := testCtx(t)
	for req, want := range map[string]Error{
		"refused": {Code: Refused}, "busy": {Busy, 1500 * time.Millisecond}, "not found": {Code: NotFound}, "invalid": {Code: Invalid},
		"too long": {Code: Internal}, "code 77": {Code: Internal}, "anything": {Code: Internal},
	} {
		_, err := b.Call(ctx, protocol.NodeID{1}, testProto, []byte(req))
		var e *Error
		if !errors.As(err, &e) || *e != want || CodeOf(err) != want.Code {
			t.Errorf("%s: %v, want %v", req, err, &want)
		}
	}
	if _, err := b.Call(ctx, protocol.NodeID{1}, testProto, make([]byte, 1000)); err == nil {
		t.Error("an oversize request was sent")
	}
	if _, err := b.Call(ctx, protocol.NodeID{1}, "/alliance/nothing/1", nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("unknown protocol: %v", err)
	}
	if _, err := b.Call(ctx, protocol.NodeID{2}, testProto, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("no connection: %v", err)
	}
	if _, err := b.Call(ctx, protocol.NodeID{77}, testProto, nil); !errors.Is(err, ErrNotActive) {
		t.Errorf("unknown node: %v", err)
	}
}

func TestACancelReachesTheHandler(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	_, b := callPair(t, "quic", Rules{InFlight: 1}, func(ctx context.Context, _ protocol.Node, req []byte) ([]byte, error) {
		if string(req) == "quick" {
			return req, nil
		}
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(testCtx(t))
	result := make(chan error, 1)
	go func() {
		_, err := b.Call(ctx, protocol.NodeID{1}, testProto, []byte("slow"))
		result <- err
	}()
	<-started
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("caller: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("handler: %v", err)
	}
	// Its late answer does no harm, and the stream serves on.
	if got, err := b.Call(testCtx(t), protocol.NodeID{1}, testProto, []byte("quick")); err != nil || string(got) != "quick" {
		t.Fatalf("afterwards: %q, %v", got, err)
	}
}

// A peer that answers what was not asked, or sends what is no message, loses
// the stream, and callers learn it at once.
func TestAHostilePeerLosesItsStream(t *testing.T) {
	for name, frame := range map[string][]byte{
		"an id not asked":  message{kind: kindAnswer, id: 99}.encode(),
		"a request":        message{kind: kindRequest, id: 1}.encode(),
		"a short frame":    {2, 0, 0},
		"an unknown kind":  {9, 0, 0, 0, 1},
		"an unknown code":  {3, 0, 0, 0, 1, 9, 0, 0, 0, 0},
		"a wait of months": {3, 0, 0, 0, 1, 3, 255, 255, 255, 255},
	} {
		t.Run(name, func(t *testing.T) {
			_, b := pair(t, "quic", nil, Rules{}, func(_ context.Context, _ protocol.Node, s *Stream) {
				s.Read()
				s.Write(frame)
				s.Read()
			})
			if _, err := b.Call(testCtx(t), protocol.NodeID{1}, testProto, []byte("x")); err == nil || CodeOf(err) != 0 {
				t.Fatalf("got %v", err)
			}
		})
	}
	for name, frames := range map[string][][]byte{
		"an answer":         {message{kind: kindAnswer, id: 1}.encode()},
		"the same id twice": {message{kind: kindRequest, id: 1}.encode(), message{kind: kindRequest, id: 1}.encode()},
		"an empty frame":    {{}},
	} {
		t.Run("asks with "+name, func(t *testing.T) {
			_, b := callPair(t, "quic", Rules{}, func(ctx context.Context, _ protocol.Node, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			s, err := b.Open(testCtx(t), protocol.NodeID{1}, testProto)
			if err != nil {
				t.Fatal(err)
			}
			s.Write(frames...)
			if got, err := s.Read(); err == nil {
				t.Fatalf("got %x, want a reset", got)
			}
		})
	}
}

func TestCallsFailWhenThePeerGoes(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			asked := make(chan struct{})
			a, b := callPair(t, kind, Rules{}, func(ctx context.Context, _ protocol.Node, _ []byte) ([]byte, error) {
				close(asked)
				<-ctx.Done()
				return nil, ctx.Err()
			})
			result := make(chan error, 1)
			go func() {
				_, err := b.Call(testCtx(t), protocol.NodeID{1}, testProto, nil)
				result <- err
			}()
			<-asked
			a.Close()
			if err := <-result; err == nil {
				t.Fatal("the call succeeded")
			}
			until(t, "the peer is gone", func() bool { return !b.Connected(protocol.NodeID{1}) })
		})
	}
}

// A plain connection carries bytes both ways, and its Close resets the other
// end at once.
func TestNetConn(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			accepted := make(chan net.Conn, 1)
			r := newRegister(t, 2)
			a := start(t, r, 1, "127.0.0.1:0", nil, func(tr *Transport) {
				tr.ConnHandler(testProto, func(_ protocol.Node, c net.Conn) { accepted <- c }) // kept beyond its return
			})
			b := start(t, r, 2, "", nil, nil)
			if err := b.Connect(testCtx(t), protocol.NodeID{1}, only(a.Addrs(), kind)...); err != nil {
				t.Fatal(err)
			}
			ours, err := b.Conn(testCtx(t), protocol.NodeID{1}, testProto)
			if err != nil {
				t.Fatal(err)
			}
			theirs := <-accepted
			if ours.RemoteAddr().String() != (protocol.NodeID{1}).String() || theirs.RemoteAddr().String() != (protocol.NodeID{2}).String() {
				t.Fatalf("addresses %s, %s", ours.RemoteAddr(), theirs.RemoteAddr())
			}
			for from, to := range map[net.Conn]net.Conn{ours: theirs, theirs: ours} {
				from.Write([]byte("example"))
				got := make([]byte, 7)
				if _, err := to.Read(got); err != nil || string(got) != "example" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			ours.Close()
			if _, err := theirs.Read(make([]byte, 1)); err == nil {
				t.Fatal("the other end reads on")
			}
			theirs.Close()
			until(t, "nothing counts against the peer", func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				return len(a.peers[protocol.NodeID{2}].streams) == 0
			})
		})
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(message{kind: kindRequest, id: 7, body: []byte("x")}.encode())
	f.Add(message{kind: kindAnswer, id: 1<<32 - 1}.encode())
	f.Add(message{kind: kindFailure, id: 1, fail: Error{Busy, time.Hour}}.encode())
	f.Add(message{kind: kindCancel, id: 1}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatalf("%x became %x", b, m.encode())
		}
	})
}
