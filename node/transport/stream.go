package transport

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/national-alliance/alliance/protocol"
)

// ErrFrame marks a stream that broke the framing: a frame longer than allowed,
// or one that did not come whole in time. The stream is reset.
var ErrFrame = errors.New("broken frame")

const (
	readBuffer  = 4 << 10
	writeBuffer = 64 << 10  // frames up to this together are sent by one write
	keepBuffer  = 256 << 10 // larger buffers are not kept
)

// Stream carries frames. One goroutine at a time may Read; any number may
// Write, and the frames of one Write stay together. Close, Reset and the
// deadlines may be called from anywhere.
type Stream struct {
	raw   network.Stream
	ctx   context.Context // ends waiting for the quota
	limit *Limits
	peer  *peerState // nil where nothing is charged
	fault func()     // makes the peer pay for a broken stream
	node  protocol.Node
	proto string
	max   int
	r     *bufio.Reader

	readMu   sync.Mutex
	deadline time.Time // the user's, of reads

	mu       sync.Mutex // of what follows
	cond     sync.Cond
	pending  []byte
	spare    []byte
	queued   uint64 // Writes begun
	flushed  uint64 // Writes sent
	flushing bool
	renewed  time.Time // when the write deadline was set
	userSet  bool      // the user set a write deadline: leave it alone
	err      error
}

func (t *Transport) newStream(raw network.Stream, node protocol.Node, proto string, max int) *Stream {
	return newStream(t.ctx, raw, node, proto, max, &t.opt.Limits, func() { t.penalise(node.ID, proto) })
}

func newStream(ctx context.Context, raw network.Stream, node protocol.Node, proto string, max int, limit *Limits, fault func()) *Stream {
	s := &Stream{ctx: ctx, raw: raw, limit: limit, fault: fault, node: node, proto: proto, max: max, r: bufio.NewReaderSize(raw, readBuffer)}
	s.cond.L = &s.mu
	return s
}

// Peer returns the node at the other end.
func (s *Stream) Peer() protocol.Node { return s.node }

// Read returns the next frame; the caller owns it. It waits for a frame to
// begin until the read deadline, if one is set, and then for the whole of it no
// longer than the limits allow. A clean end between frames is [io.EOF]; a
// broken frame is [ErrFrame], the stream is reset and the peer pays for it.
func (s *Stream) Read() ([]byte, error) {
	if _, err := s.r.Peek(1); err != nil {
		return nil, err
	}
	limited := false
	if s.r.Buffered() < 4 {
		s.limitRead(0)
		limited = true
	}
	head, err := s.r.Peek(4)
	if err != nil {
		return nil, s.broken(err, false)
	}
	n := binary.BigEndian.Uint32(head)
	if uint64(n) > uint64(s.max) {
		return nil, s.broken(fmt.Errorf("a frame of %d bytes, at most %d are allowed", n, s.max), true)
	}
	s.r.Discard(4)
	if err := s.quota(int(n)); err != nil {
		return nil, err
	}
	if s.r.Buffered() < int(n) {
		s.limitRead(int(n))
		limited = true
	}
	b, err := readFrame(s.r, int(n))
	if err != nil {
		return nil, s.broken(err, false)
	}
	if limited {
		s.readMu.Lock()
		s.raw.SetReadDeadline(s.deadline)
		s.readMu.Unlock()
	}
	return b, nil
}

// More reports whether more than was read has come already, as far as it is
// known without asking the connection. Called by who Reads.
func (s *Stream) More() bool { return s.r.Buffered() > 0 }

// readFrame reads n bytes and allocates no more than twice what has come, so
// that a length that is only claimed costs nothing.
func readFrame(r io.Reader, n int) ([]byte, error) {
	const first = 64 << 10
	b := make([]byte, min(n, first))
	for have := 0; ; {
		m, err := io.ReadFull(r, b[have:])
		if have += m; err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if have == n {
			return b, nil
		}
		grown := make([]byte, min(n, 2*have))
		copy(grown, b)
		b = grown
	}
}

// limitRead gives a frame of n bytes a time to come.
func (s *Stream) limitRead(n int) {
	d := time.Now().Add(s.limit.FrameTimeout + time.Duration(n>>14)*time.Second)
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.deadline.IsZero() || d.Before(s.deadline) {
		s.raw.SetReadDeadline(d)
	} else {
		s.raw.SetReadDeadline(s.deadline)
	}
}

// broken resets the stream. A frame that is too long, or does not come in
// time, costs the peer a pause; a connection that went away does not.
func (s *Stream) broken(err error, fault bool) error {
	s.readMu.Lock()
	asked := !s.deadline.IsZero() && !time.Now().Before(s.deadline)
	s.readMu.Unlock()
	if fault || errors.Is(err, os.ErrDeadlineExceeded) && !asked {
		s.Abuse()
	} else {
		s.Reset()
	}
	return fmt.Errorf("%w: %w", ErrFrame, err)
}

// quota waits until the peer may send a frame of n bytes.
func (s *Stream) quota(n int) error {
	if s.peer == nil {
		return nil
	}
	now := time.Now()
	if !s.peer.frames.AllowN(now, 1) {
		if err := s.peer.frames.Wait(s.ctx); err != nil {
			return fmt.Errorf("wait for the peer's quota: %w", err)
		}
	}
	if !s.peer.bytes.AllowN(now, n+4) {
		if err := s.peer.bytes.WaitN(s.ctx, n+4); err != nil {
			return fmt.Errorf("wait for the peer's quota: %w", err)
		}
	}
	return nil
}

// Write sends frames, each at most as long as the protocol allows, in one
// flush, and returns when they were handed to the connection; frames of
// concurrent Writes share a flush. The caller may change the frames
// afterwards. An error is final: the stream is reset. A peer that takes
// nothing for the limits' WriteTimeout breaks the stream.
func (s *Stream) Write(frames ...[]byte) error { return s.send(true, frames) }

func (s *Stream) send(wait bool, frames [][]byte) error {
	total := 0
	for _, f := range frames {
		if len(f) > s.max {
			return fmt.Errorf("write frame: %d bytes, at most %d are allowed", len(f), s.max)
		}
		total += 4 + len(f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && s.flushing && len(s.pending)+total > writeBuffer {
		s.cond.Wait()
	}
	if s.err != nil {
		return s.err
	}
	s.queued++
	mine := s.queued
	if s.pending == nil {
		s.pending, s.spare = s.spare, nil
	}
	for _, f := range frames {
		s.pending = binary.BigEndian.AppendUint32(s.pending, uint32(len(f)))
		s.pending = append(s.pending, f...)
	}
	switch {
	case s.flushing:
	case wait:
		s.flushing = true
		s.flush(mine)
	default: // the caller does not wait for a slow peer, nor send for others
		s.flushing = true
		go func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.flush(math.MaxUint64)
		}()
	}
	for wait && s.err == nil && s.flushed < mine {
		s.cond.Wait()
	}
	return s.err
}

// flush sends what is pending until nothing is, or hands over to a goroutine
// when the Write with the given number is sent. s.flushing is set by the
// caller; s.mu is held but while it writes.
func (s *Stream) flush(last uint64) {
	for s.err == nil && len(s.pending) > 0 {
		if s.flushed >= last {
			go func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.flush(math.MaxUint64)
			}()
			return
		}
		b, upTo := s.pending, s.queued
		s.pending, s.spare = s.spare[:0], nil
		s.mu.Unlock()
		err := s.writeAll(b)
		s.mu.Lock()
		s.flushed = upTo
		if cap(b) <= keepBuffer {
			s.spare = b[:0]
		}
		if err != nil && s.err == nil {
			s.err = err
			s.raw.Reset()
		}
		s.cond.Broadcast()
	}
	s.flushing = false
	s.cond.Broadcast()
}

func (s *Stream) writeAll(b []byte) error {
	for len(b) > 0 {
		chunk := b[:min(len(b), writeBuffer)]
		s.mu.Lock()
		// Setting a deadline is not free: renew it when half is over.
		if now := time.Now(); !s.userSet && now.Sub(s.renewed) > s.limit.WriteTimeout/2 {
			s.renewed = now
			s.raw.SetWriteDeadline(now.Add(s.limit.WriteTimeout))
		}
		s.mu.Unlock()
		if _, err := s.raw.Write(chunk); err != nil {
			return fmt.Errorf("write to stream: %w", err)
		}
		b = b[len(chunk):]
	}
	return nil
}

// SetReadDeadline ends waiting reads at a time; zero is never.
func (s *Stream) SetReadDeadline(d time.Time) error {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	s.deadline = d
	return s.raw.SetReadDeadline(d)
}

// SetWriteDeadline replaces the limits' WriteTimeout; zero restores it.
func (s *Stream) SetWriteDeadline(d time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.userSet, s.renewed = !d.IsZero(), time.Time{}
	return s.raw.SetWriteDeadline(d)
}

// CloseWrite tells the peer that no more frames will come; Read goes on.
func (s *Stream) CloseWrite() error { return s.raw.CloseWrite() }

// Close ends the stream in both directions; frames already written arrive.
func (s *Stream) Close() error { return s.raw.Close() }

// Reset drops the stream at once, in both directions.
func (s *Stream) Reset() error {
	s.mu.Lock()
	if s.err == nil {
		s.err = network.ErrReset
	}
	s.cond.Broadcast()
	s.mu.Unlock()
	return s.raw.Reset()
}

// Abuse resets the stream and refuses the peer's new streams of this protocol
// for a while that doubles each time: for input that an honest peer cannot
// send.
func (s *Stream) Abuse() {
	s.fault()
	s.Reset()
}
