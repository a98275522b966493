package transport

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

func answerHello(_ context.Context, from crypto.PublicKey, req []byte) ([]byte, error) {
	switch {
	case from.Check() != nil:
		return nil, errors.New("no key")
	case string(req) == "hello":
		return []byte("pending"), nil
	case string(req) == "later":
		return nil, &Error{Code: Busy, RetryAfter: 5 * time.Second}
	}
	return req, nil
}

func door(t *testing.T, edit func(*EnrolmentOptions)) (*Enrolment, EnrolmentAt) {
	t.Helper()
	opt := EnrolmentOptions{Key: testKey(t, 1), Listen: []string{"127.0.0.1:0"}, Handle: answerHello, Log: testLog(t, "door")}
	if edit != nil {
		edit(&opt)
	}
	e, err := NewEnrolment(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if err := e.Serve(); err != nil {
		t.Fatal(err)
	}
	return e, EnrolmentAt{Addrs: e.Addrs(), Peer: testKey(t, 1).Public()}
}

func TestEnrolmentAnswersStrangers(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			e, at := door(t, nil)
			at.Addrs = only(at.Addrs, kind)
			ctx := testCtx(t)
			if got, err := CallEnrolment(ctx, at, []byte("hello")); err != nil || string(got) != "pending" {
				t.Fatalf("got %q, %v", got, err)
			}
			big := bytes.Repeat([]byte("x"), MaxEnrolRequest)
			if got, err := CallEnrolment(ctx, at, big); err != nil || !bytes.Equal(got, big) {
				t.Fatalf("the largest request: %d bytes, %v", len(got), err)
			}
			if _, err := CallEnrolment(ctx, at, append(big, 'x')); err == nil {
				t.Fatal("an oversize request was sent")
			}
			var busy *Error
			if _, err := CallEnrolment(ctx, at, []byte("later")); !errors.As(err, &busy) || *busy != (Error{Busy, 5 * time.Second}) {
				t.Fatalf("busy: %v", err)
			}
			wrong := at
			wrong.Peer = testKey(t, 9).Public()
			if _, err := CallEnrolment(ctx, wrong, []byte("hello")); err == nil || !strings.Contains(err.Error(), "peer id mismatch") {
				t.Fatalf("another peer than the ticket's: %v", err)
			}
			until(t, "no connection stays", func() bool { return len(e.swarm.Conns()) == 0 })
			e.Close()
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			if _, err := CallEnrolment(ctx, at, []byte("hello")); err == nil {
				t.Fatal("a closed door answered")
			}
		})
	}
}

// The door serves enrolment alone, one request a connection, and ends every
// connection in time; one address cannot knock without end, nor hold all
// places.
func TestAttackEnrolmentExhaustion(t *testing.T) {
	var served atomic.Int32
	e, at := door(t, func(o *EnrolmentOptions) {
		o.Lifetime, o.Conns, o.Burst, o.PerSecond = 300*time.Millisecond, 4, 10, 0.001
		o.Handle = func(ctx context.Context, _ crypto.PublicKey, req []byte) ([]byte, error) {
			served.Add(1)
			return req, nil
		}
	})
	ctx := testCtx(t)
	// Four places, half of them for one address: others are turned away while
	// these idle, and these are hung up on.
	admitted := 0
	for n := byte(20); n < 26; n++ {
		s := rawNode(t, n)
		addrs, _ := parseAddrs(only(at.Addrs, "tcp"))
		s.Peerstore().AddAddrs(peerID(at.Peer), addrs, peerstore.PermanentAddrTTL)
		if c, err := s.DialPeer(ctx, peerID(at.Peer)); err == nil {
			if raw, err := c.NewStream(ctx); err == nil && selectProto(ctx, raw, echoProto, time.Second) == nil {
				t.Fatal("another protocol is served")
			}
			admitted++
		}
	}
	if n := len(e.swarm.Conns()); n > 2 || admitted == 0 {
		t.Fatalf("%d connections of one address stand, %d were admitted", n, admitted)
	}
	until(t, "idlers are hung up on", func() bool { return len(e.swarm.Conns()) == 0 })
	// The address has spent 6 of its 10 knocks; refills take hours.
	for range 30 {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		CallEnrolment(short, EnrolmentAt{Addrs: only(at.Addrs, "tcp"), Peer: at.Peer}, []byte("x"))
		cancel()
	}
	if n := served.Load(); n > 10 || n == 0 {
		t.Fatalf("%d requests of one address were served", n)
	}
}

// The door of one node shuts without disturbing its transport.
func TestEnrolmentBesideTheTransport(t *testing.T) {
	r := newRegister(t, 2)
	a := start(t, r, 1, "127.0.0.1:0", nil, serveEcho)
	b := start(t, r, 2, "", nil, nil)
	e, at := door(t, nil) // the same key
	ctx := testCtx(t)
	if err := b.Connect(ctx, protocol.NodeID{1}, a.Addrs()...); err != nil {
		t.Fatal(err)
	}
	if _, err := CallEnrolment(ctx, at, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	e.Close()
	if _, err := b.Call(ctx, protocol.NodeID{1}, echoProto, nil); err != nil {
		t.Fatal(err)
	}
}
