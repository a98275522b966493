package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/national-alliance/alliance/protocol"
)

const testProto = "/alliance/test/1"

// pair connects node 2 to node 1, which serves testProto with h.
func pair(t testing.TB, kind string, edit func(*Options), rules Rules, h func(context.Context, protocol.Node, *Stream)) (a, b *Transport) {
	t.Helper()
	r := newRegister(t, 2)
	a = start(t, r, 1, "127.0.0.1:0", edit, func(tr *Transport) {
		tr.SetRules(testProto, rules)
		if h != nil {
			tr.Handle(testProto, h)
		}
	})
	b = start(t, r, 2, "127.0.0.1:0", nil, nil)
	if err := b.Connect(testCtx(t), protocol.NodeID{1}, only(a.Addrs(), kind)...); err != nil {
		t.Fatal(err)
	}
	until(t, "the listener is ready too", func() bool { return a.Connected(protocol.NodeID{2}) })
	return a, b
}

func echoFrames(_ context.Context, _ protocol.Node, s *Stream) {
	for {
		b, err := s.Read()
		if err != nil {
			return
		}
		if s.Write(b) != nil {
			return
		}
	}
}

func TestFramesArriveWhole(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			_, b := pair(t, kind, nil, Rules{}, echoFrames)
			s, err := b.Open(testCtx(t), protocol.NodeID{1}, testProto)
			if err != nil {
				t.Fatal(err)
			}
			var sent [][]byte
			for i, n := range []int{0, 1, 3, 4, 4091, 4092, 4096, 4097, 65535, 65536, 65537, 200_000, 3 << 20} {
				sent = append(sent, bytes.Repeat([]byte{byte(i + 1)}, n))
			}
			wrote := make(chan error, 1)
			go func() { wrote <- s.Write(sent...) }()
			for i, want := range sent {
				got, err := s.Read()
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("frame %d: %d bytes, %v; want %d bytes", i, len(got), err, len(want))
				}
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
			s.CloseWrite()
			if _, err := s.Read(); err != io.EOF {
				t.Fatalf("at the end: %v", err)
			}
		})
	}
}

// The frames of one Write stay together, whoever else writes.
func TestConcurrentWritesDoNotMix(t *testing.T) {
	const writers, times = 16, 50
	_, b := pair(t, "quic", nil, Rules{}, echoFrames)
	s, err := b.Open(testCtx(t), protocol.NodeID{1}, testProto)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range times {
				if err := s.Write([]byte{byte(w), byte(i), 0}, []byte{byte(w), byte(i), 1}); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	next := map[byte]byte{}
	for range writers * times {
		first, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		if first[2] != 0 || second[2] != 1 || !bytes.Equal(first[:2], second[:2]) || first[1] != next[first[0]] {
			t.Fatalf("frames %v and %v out of place", first, second)
		}
		next[first[0]]++
	}
	wg.Wait()
}

// openRaw opens a stream without our framing, to send what we never would.
func openRaw(t testing.TB, from *Transport) network.Stream {
	t.Helper()
	s, err := from.Open(testCtx(t), protocol.NodeID{1}, testProto)
	if err != nil {
		t.Fatal(err)
	}
	return s.raw
}

func TestAnOversizeFrameResetsAndCosts(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			var mu sync.Mutex
			now := time.Unix(1_800_000_000, 0)
			clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
			read := make(chan error, 8)
			_, b := pair(t, kind, func(o *Options) { o.Now = clock }, Rules{MaxFrame: 100}, func(_ context.Context, _ protocol.Node, s *Stream) {
				for {
					b, err := s.Read()
					read <- err
					if err != nil {
						return
					}
					s.Write(b)
				}
			})
			raw := openRaw(t, b)
			raw.Write(append(binary.BigEndian.AppendUint32(nil, 101), make([]byte, 101)...))
			if err := <-read; !errors.Is(err, ErrFrame) {
				t.Fatalf("read: %v", err)
			}
			if _, err := io.ReadAll(raw); err == nil {
				t.Fatal("the stream ended cleanly, want a reset")
			}
			if err := refusedNow(b); err == nil {
				t.Fatal("a new stream was served during the penalty")
			}
			mu.Lock()
			now = now.Add(2 * time.Second)
			mu.Unlock()
			if err := refusedNow(b); err != nil {
				t.Fatalf("after the penalty: %v", err)
			}
			// Our own side does not send such a frame.
			b.SetRules(testProto, Rules{MaxFrame: 100})
			s, err := b.Open(testCtx(t), protocol.NodeID{1}, testProto)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Write(make([]byte, 101)); err == nil {
				t.Fatal("an oversize frame was sent")
			}
		})
	}
}

// refusedNow returns nil if a new stream echoes.
func refusedNow(b *Transport) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := b.Open(ctx, protocol.NodeID{1}, testProto)
	if err != nil {
		return err
	}
	defer s.Reset()
	if err := s.Write([]byte("x")); err != nil {
		return err
	}
	_, err = s.Read()
	return err
}

// A length that is only claimed allocates nothing like it.
func TestAClaimedLengthCostsNothing(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		w.Write(make([]byte, 100_000))
		w.Close()
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readFrame(bytes.NewReader(make([]byte, 1000)), protocol.MaxFrame)
	runtime.ReadMemStats(&after)
	if per := after.TotalAlloc - before.TotalAlloc; err != io.ErrUnexpectedEOF || per > 1<<20 {
		t.Fatalf("%d bytes allocated, %v", per, err)
	}
	if _, err := readFrame(r, protocol.MaxFrame); err != io.ErrUnexpectedEOF {
		t.Fatalf("got %v", err)
	}
}

// A frame that is begun must come: a slow-loris stream is reset and its peer
// pays. A stream between frames may idle.
func TestASlowFrameResets(t *testing.T) {
	for _, begun := range []string{"\x00", "\x00\x00\x00\x09four"} {
		for _, kind := range []string{"quic", "tcp"} {
			t.Run(fmt.Sprintf("%s/%d", kind, len(begun)), func(t *testing.T) {
				read := make(chan error, 1)
				_, b := pair(t, kind, func(o *Options) { o.Limits.FrameTimeout = 100 * time.Millisecond; o.Limits.Penalty = time.Hour }, Rules{},
					func(_ context.Context, _ protocol.Node, s *Stream) {
						_, err := s.Read()
						read <- err
					})
				idle := openRaw(t, b)
				raw := openRaw(t, b)
				raw.Write([]byte(begun))
				if err := <-read; !errors.Is(err, ErrFrame) {
					t.Fatalf("read: %v", err)
				}
				if err := refusedNow(b); err == nil {
					t.Fatal("a new stream was served during the penalty")
				}
				idle.Write([]byte("\x00\x00\x00\x01x")) // the idle one went on
				if err := <-read; err != nil {
					t.Fatalf("idle stream: %v", err)
				}
			})
		}
	}
}

// A peer that reads nothing does not hold a writer for ever.
func TestAWriterDoesNotWaitForEver(t *testing.T) {
	for _, kind := range []string{"quic", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			wrote := make(chan error, 1)
			_, b := pair(t, kind, func(o *Options) { o.Limits.WriteTimeout = 200 * time.Millisecond }, Rules{},
				func(_ context.Context, _ protocol.Node, s *Stream) {
					for {
						if err := s.Write(make([]byte, 1<<20)); err != nil {
							wrote <- err
							return
						}
					}
				})
			openRaw(t, b)
			if err := <-wrote; err == nil {
				t.Fatal("the writer never failed")
			}
		})
	}
}

func TestStreamsOfOnePeerAreBounded(t *testing.T) {
	served := make(chan struct{}, 100)
	_, b := pair(t, "quic", nil, Rules{Streams: 3}, func(ctx context.Context, _ protocol.Node, s *Stream) {
		served <- struct{}{}
		<-ctx.Done()
	})
	for range 3 {
		openRaw(t, b)
		<-served
	}
	for range 20 {
		if s, err := b.Open(testCtx(t), protocol.NodeID{1}, testProto); err == nil { // refused here, or a moment later
			if _, err := s.Read(); err == nil {
				t.Fatal("a fourth stream was served")
			}
		}
	}
	if len(served) != 0 {
		t.Fatalf("%d more were served", len(served))
	}
}

// Unsigned junk spends the quota of the peer that pushed it, and of nobody
// else.
func TestAttackJunkSpendsThePushersQuota(t *testing.T) {
	r := newRegister(t, 3)
	a := start(t, r, 1, "127.0.0.1:0", func(o *Options) {
		// A bucket of 64 MiB (twice the longest frame) that fills by 100
		// bytes a second: what is gone is gone for this test.
		o.Limits.BytesPerSecond = 100
	}, func(tr *Transport) { tr.Handle(testProto, echoFrames) })
	ctx := testCtx(t)
	var streams []*Stream
	for n := byte(2); n <= 3; n++ {
		x := start(t, r, n, "", nil, nil)
		if err := x.Connect(ctx, protocol.NodeID{1}, a.Addrs()...); err != nil {
			t.Fatal(err)
		}
		s, err := x.Open(ctx, protocol.NodeID{1}, testProto)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	echo := func(s *Stream) error {
		if err := s.Write([]byte("x")); err != nil {
			return err
		}
		s.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := s.Read()
		return err
	}
	for _, s := range streams {
		if err := echo(s); err != nil {
			t.Fatal(err)
		}
	}
	a.Charge(protocol.NodeID{2}, 2*protocol.MaxFrame+10_000)
	if err := echo(streams[0]); err == nil {
		t.Fatal("the pusher was read on")
	}
	if err := echo(streams[1]); err != nil {
		t.Fatalf("another peer paid: %v", err)
	}
}

func FuzzReadFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01x\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x10\x00short"))
	f.Fuzz(func(t *testing.T, in []byte) {
		limits := Limits{}.withDefaults()
		faults := 0
		s := newStream(t.Context(), &memStream{in: bytes.NewReader(in)}, protocol.Node{}, testProto, 4096, &limits, func() { faults++ })
		var again []byte
		var last error
		for {
			b, err := s.Read()
			if err != nil {
				last = err
				break
			}
			if len(b) > 4096 {
				t.Fatalf("a frame of %d bytes", len(b))
			}
			again = binary.BigEndian.AppendUint32(again, uint32(len(b)))
			again = append(again, b...)
		}
		if !bytes.HasPrefix(in, again) || last == io.EOF && len(again) != len(in) {
			t.Fatalf("frames %x of %x, %v", again, in, last)
		}
		if oversize := len(in)-len(again) >= 4 && binary.BigEndian.Uint32(in[len(again):]) > 4096; oversize != (faults > 0) {
			t.Fatalf("%d faults, %v", faults, last)
		}
	})
}

// memStream reads from memory and takes everything else.
type memStream struct {
	network.Stream
	in io.Reader
}

func (m *memStream) Read(b []byte) (int, error)       { return m.in.Read(b) }
func (m *memStream) Write(b []byte) (int, error)      { return len(b), nil }
func (m *memStream) Reset() error                     { return nil }
func (m *memStream) SetReadDeadline(time.Time) error  { return nil }
func (m *memStream) SetWriteDeadline(time.Time) error { return nil }
