package consensus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// ear is a connection that counts what is read from it and written to it.
type ear struct {
	net.Conn
	read, written atomic.Int64
	closed        atomic.Bool
}

func (e *ear) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.read.Add(int64(n))
	return n, err
}

func (e *ear) Write(p []byte) (int, error) {
	n, err := e.Conn.Write(p)
	e.written.Add(int64(n))
	return n, err
}

func (e *ear) Close() error { e.closed.Store(true); return e.Conn.Close() }

func (s *conns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (w *town) know(n protocol.NodeID, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[n] = yes
}

// Another organisation's member and a revoked voter are cut off on accept with
// no byte read, on dial with none written, and in the middle of a connection.
func TestAttackRaftByStrangers(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		propose(t, rs[0], "before")
		w.agree([]string{"workspace:before"}, rs...)
		member := nodeID(200) // of another organisation: never in the table
		revoked := rs[2]
		w.know(revoked.id, false)
		for _, who := range []protocol.NodeID{member, revoked.id} {
			for _, kind := range []byte{kindRaft, kindPropose, kindBarrier, kindIdentity, kindLast, 99} {
				mine, theirs := net.Pipe()
				listened := &ear{Conn: theirs}
				ended := make(chan struct{})
				go func() {
					rs[0].g.Serve(protocol.Node{ID: who}, listened)
					close(ended)
				}()
				_, err := mine.Write([]byte{kind, 0, 0, 0, 1, 2})
				<-ended
				if err == nil || listened.read.Load() != 0 || listened.written.Load() != 0 || !listened.closed.Load() {
					t.Errorf("node %s, kind %d: %d bytes read, %d written, closed %v", who.Short(), kind, listened.read.Load(), listened.written.Load(), listened.closed.Load())
				}
			}
			// Dialling it writes nothing either, and does not even dial.
			if _, err := rs[0].g.RequestIdentity(ctx(t), who); !errors.Is(err, ErrStranger) {
				t.Errorf("ask node %s: %v", who.Short(), err)
			}
			if _, err := rs[0].g.engine().conns.Dial(addressOf(who), time.Second); !errors.Is(err, ErrStranger) {
				t.Errorf("dial node %s: %v", who.Short(), err)
			}
		}
		// A node never speaks to itself under its own name from outside.
		mine, theirs := net.Pipe()
		rs[0].g.Serve(protocol.Node{ID: rs[0].id}, theirs)
		if _, err := mine.Write([]byte{kindRaft}); err == nil {
			t.Error("a connection under our own name was taken")
		}
		// The other two go on, and the revoked voter hears nothing of it and
		// cannot propose.
		propose(t, rs[0], "after")
		w.agree([]string{"workspace:before", "workspace:after"}, rs[0], rs[1])
		limit, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if _, err := revoked.g.Propose(limit, Register, []byte("from a revoked voter")); err == nil {
			t.Error("a revoked voter's entry was taken")
		}
		w.agree([]string{"workspace:before"}, revoked)
		if s := rs[0].g.Status(); s.Role != "leader" {
			t.Errorf("the revoked voter unseated the leader: %+v", s)
		}
	})
}

// A connection opened while its peer was welcome says no word more once the
// peer is not.
func TestAttackRevokedInMidConversation(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		peer := nodeID(9)
		w.know(peer, true)
		mine, theirs := net.Pipe()
		ended := make(chan struct{})
		go func() {
			a.g.Serve(protocol.Node{ID: peer}, theirs)
			close(ended)
		}()
		entry := []byte{byte(Workspace), 'x'}
		if _, err := mine.Write([]byte{kindPropose, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		w.know(peer, false)
		mine.Write(append([]byte{byte(len(entry))}, entry...))
		if b, _ := io.ReadAll(mine); len(b) != 0 {
			t.Errorf("answered a revoked node with %d bytes", len(b))
		}
		<-ended
		// And an idle one ends at once when the register changes.
		w.know(peer, true)
		mine, theirs = net.Pipe()
		ended = make(chan struct{})
		go func() {
			a.g.Serve(protocol.Node{ID: peer}, theirs)
			close(ended)
		}()
		if _, err := mine.Write([]byte{kindRaft}); err != nil {
			t.Fatal(err)
		}
		w.know(peer, false)
		a.g.Recheck()
		<-ended
		if got := a.m.all(); len(got) != 0 {
			t.Errorf("applied %q", got)
		}
	})
}

// What a welcome node sends wrongly is refused and bounded.
func TestBadRequests(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		peer := nodeID(9)
		w.know(peer, true)
		ask := func(b []byte) []byte {
			mine, theirs := net.Pipe()
			go a.g.Serve(protocol.Node{ID: peer}, theirs)
			go mine.Write(b)
			got, _ := io.ReadAll(mine)
			return got
		}
		refused := []byte{byte(statusRefused), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		for what, c := range map[string]struct{ send, want []byte }{
			"nothing":         {nil, nil},
			"cut short":       {[]byte{kindPropose, 0, 0}, nil},
			"too long":        {[]byte{kindPropose, 0xff, 0, 0, 0}, nil},
			"an empty entry":  {[]byte{kindPropose, 0, 0, 0, 0}, refused},
			"an unknown kind": {[]byte{77, 0, 0, 0, 0}, refused},
			"no identity":     {[]byte{kindIdentity, 0, 0, 0, 0}, refused},
		} {
			if got := ask(c.send); !bytes.Equal(got, c.want) {
				t.Errorf("%s: answered % x, want % x", what, got, c.want)
			}
		}
		// Silent connections end; too many at once are not taken.
		var ends []net.Conn
		for range maxConns + 3 {
			mine, theirs := net.Pipe()
			go a.g.Serve(protocol.Node{ID: peer}, theirs)
			ends = append(ends, mine)
		}
		synctest.Wait()
		if n := a.g.engine().conns.count(); n != maxConns {
			t.Errorf("%d connections of one peer are open", n)
		}
		for _, c := range ends {
			io.ReadAll(c) // until firstByteWait has passed
		}
		propose(t, a, "unmoved")
	})
}

func TestReadingIdentityIsHandedOver(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		locked := true
		w.tweak = func(o *Options) {
			o.ReadingIdentity = func(_ context.Context, to protocol.NodeID) ([]byte, error) {
				if locked {
					return nil, errors.New("locked")
				}
				return append([]byte("sealed to "), to.String()...), nil
			}
		}
		a := w.one(1)
		b := w.open(2).run()
		until(t, "the second to run", func() bool { return b.g.engine() != nil })
		if _, err := b.g.RequestIdentity(ctx(t), a.id); !errors.Is(err, ErrRefused) {
			t.Fatalf("a locked node: %v", err)
		}
		locked = false
		got, err := b.g.RequestIdentity(ctx(t), a.id)
		if err != nil || string(got) != "sealed to "+b.id.String() {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// Close leaves no connection open, pooled ones included.
func TestCloseEndsConnections(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		propose(t, rs[0], "so that they talk")
		e := rs[0].g.engine()
		w.stop(rs[0])
		if n := e.conns.count(); n != 0 {
			t.Errorf("%d connections are open after Close", n)
		}
		if _, err := e.conns.Dial(addressOf(rs[1].id), time.Second); err == nil {
			t.Error("a closed group dials")
		}
		if err := rs[0].g.Close(); err != nil {
			t.Error(err)
		}
		if _, err := rs[0].g.Propose(ctx(t), Register, nil); err == nil {
			t.Error("a closed group takes an entry")
		}
	})
}

// The bytes on the wire do not change unseen.
func TestWireForm(t *testing.T) {
	var b bytes.Buffer
	if err := writeRequest(&b, []byte("ab")); err != nil {
		t.Fatal(err)
	}
	if want := []byte{0, 0, 0, 2, 'a', 'b'}; !bytes.Equal(b.Bytes(), want) {
		t.Errorf("request % x, want % x", b.Bytes(), want)
	}
	b.Reset()
	if err := writeAnswer(&b, answer{status: statusUnknown, index: 258, body: []byte("c")}); err != nil {
		t.Fatal(err)
	}
	if want := []byte{2, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 'c'}; !bytes.Equal(b.Bytes(), want) {
		t.Errorf("answer % x, want % x", b.Bytes(), want)
	}
	if a, err := readAnswer(&b); err != nil || a.index != 258 || string(a.body) != "c" {
		t.Errorf("read back %+v, %v", a, err)
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 'c'})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAnswer(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeAnswer(&again, a); err != nil || !bytes.HasPrefix(b, again.Bytes()) {
			t.Errorf("% x is written again as % x", b, again.Bytes())
		}
	})
}
