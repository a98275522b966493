package bench

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/national-alliance/alliance/crypto/seal"
)

// The baseline is the least that a delivery can be: seal a body, sign, make it
// durable, send it over TLS 1.3, verify, make it durable, sign a receipt, send
// it back, verify it, make it durable. Two processes, and nothing else: no
// register, no feeds, no index, no encoding beyond a length. Signatures are the
// standard library's: a mark to measure by must not move when the product finds
// a faster way.
//
// On the connection each frame is u32(length), one byte of kind, and
//
//	record   core (400 bytes: seq u64, SHA-256 of the section, zeros), signature, section
//	receipt  body (150 bytes: how many records, u64, zeros), signature
//	echo     anything; answered by an echo of receipt size
//
// A receipt vouches for all records up to a number, and one is signed for each
// group that became durable, as the product does.

const (
	bodySize = 1 << 10

	frameRecord  = 1
	frameReceipt = 2
	frameEcho    = 3
	frameHead    = 5

	baseCore    = 400 // about what a product's core takes
	baseReceipt = 150
	baseInner   = 400 // … and its inner header
)

var (
	basePlain   = seal.PaddedLen(baseInner + bodySize)
	baseSection = seal.SectionLen(basePlain)
	recordSize  = frameHead + baseCore + ed25519.SignatureSize + baseSection
	receiptSize = frameHead + baseReceipt + ed25519.SignatureSize

	errFrame = errors.New("baseline: a frame that was not expected")
)

const (
	labelRecord  = "bench-record"
	labelReceipt = "bench-receipt"
)

func baseSign(key ed25519.PrivateKey, label string, msg []byte) []byte {
	return ed25519.Sign(key, append([]byte(label), msg...))
}

func baseVerify(key ed25519.PublicKey, label string, msg, sig []byte) error {
	if !ed25519.Verify(key, append([]byte(label), msg...), sig) {
		return errors.New("baseline: a signature does not stand")
	}
	return nil
}

func frame(kind byte, size int) []byte {
	b := make([]byte, frameHead, size)
	binary.BigEndian.PutUint32(b, uint32(size-4))
	b[4] = kind
	return b
}

// readFrame returns a frame's bytes behind the kind; they are overwritten by
// the next call.
func readFrame(r *bufio.Reader, buf []byte) (kind byte, body []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:])) - 1
	if n < 0 || n > len(buf) {
		return 0, nil, errFrame
	}
	_, err = io.ReadFull(r, buf[:n])
	return head[4], buf[:n], err
}

// baseAuthor is the sending side.
type baseAuthor struct {
	conn net.Conn
	log  *groupLog
	key  ed25519.PrivateKey
	peer ed25519.PublicKey
	feed seal.FeedKey
	seq  atomic.Uint64

	mu      sync.Mutex
	sent    uint64 // records in the file
	waiting []baseWait
	echo    chan struct{}
	failed  chan struct{}
	err     error
	once    sync.Once
}

type baseWait struct {
	n    uint64
	done chan struct{}
}

func newBaseAuthor(conn net.Conn, log *groupLog, key ed25519.PrivateKey, peer ed25519.PublicKey) *baseAuthor {
	a := &baseAuthor{conn: conn, log: log, key: key, peer: peer, echo: make(chan struct{}, 1), failed: make(chan struct{})}
	rand.Read(a.feed[:])
	go func() { a.fail(a.read()) }()
	return a
}

func (a *baseAuthor) fail(err error) {
	a.once.Do(func() { a.err = err; close(a.failed) })
}

// compose seals and signs one record.
func (a *baseAuthor) compose(seq uint64, body []byte) ([]byte, error) {
	plain := make([]byte, basePlain)
	copy(plain[baseInner:], body)
	at := seal.Place{Seq: seq}
	rand.Read(at.Nonce[:])
	section, err := seal.SealSection(a.feed, at, plain)
	if err != nil {
		return nil, err
	}
	b := frame(frameRecord, recordSize)
	core := b[frameHead : frameHead+baseCore]
	b = b[:frameHead+baseCore]
	binary.BigEndian.PutUint64(core, seq)
	sum := sha256.Sum256(section)
	copy(core[8:], sum[:])
	sig := baseSign(a.key, labelRecord, core)
	return append(append(b, sig...), section...), nil
}

// deliver returns when the record's receipt is durable here.
func (a *baseAuthor) deliver(body []byte) error {
	b, err := a.compose(a.seq.Add(1), body)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	g, lead := a.log.join(b, nil, func(*group) {
		a.mu.Lock()
		a.sent++
		a.waiting = append(a.waiting, baseWait{a.sent, done})
		a.mu.Unlock()
	})
	if lead {
		a.lead(g)
	}
	select {
	case <-done:
		return nil
	case <-a.failed:
		return a.err
	}
}

func (a *baseAuthor) lead(g *group) {
	if err := a.log.commit(g); err != nil {
		a.fail(err)
	}
	if g.acked > 0 {
		a.mu.Lock()
		i := 0
		for ; i < len(a.waiting) && a.waiting[i].n <= g.acked; i++ {
			close(a.waiting[i].done)
		}
		a.waiting = a.waiting[i:]
		a.mu.Unlock()
	}
	if err := g.send(a.write); err != nil {
		a.fail(err)
	}
}

func (a *baseAuthor) write(b []byte) error {
	_, err := a.conn.Write(b)
	return err
}

// read takes receipts until the connection ends.
func (a *baseAuthor) read() error {
	r := bufio.NewReaderSize(a.conn, 64<<10)
	buf := make([]byte, receiptSize)
	for {
		kind, b, err := readFrame(r, buf)
		if err != nil {
			return fmt.Errorf("baseline author: %w", err)
		}
		switch {
		case kind == frameEcho:
			a.echo <- struct{}{}
		case kind == frameReceipt && len(b) == baseReceipt+ed25519.SignatureSize:
			if err := baseVerify(a.peer, labelReceipt, b[:baseReceipt], b[baseReceipt:]); err != nil {
				return err
			}
			n := binary.BigEndian.Uint64(b)
			g, lead := a.log.join(nil, b, func(g *group) { g.acked = max(g.acked, n) })
			a.mu.Lock()
			busy := a.sent > n
			a.mu.Unlock()
			switch {
			case lead && busy: // more receipts will come before this one is durable
				go a.lead(g)
			case lead:
				a.lead(g)
			}
		default:
			return errFrame
		}
	}
}

// roundTrip sends as many bytes as a record has and waits for as many as a
// receipt has. Nothing else may be under way.
func (a *baseAuthor) roundTrip() error {
	if err := a.write(frame(frameEcho, recordSize)[:recordSize]); err != nil {
		return err
	}
	select {
	case <-a.echo:
		return nil
	case <-a.failed:
		return a.err
	}
}

// receive is the receiving side: it serves one author until the connection
// ends.
func receive(conn net.Conn, log *groupLog, key ed25519.PrivateKey, peer ed25519.PublicKey) error {
	groups := make(chan *group, 64)
	done := make(chan error, 1)
	total := uint64(0)
	settle := func(g *group) error {
		if err := log.commit(g); err != nil {
			return err
		}
		total += uint64(len(g.records) / recordSize)
		b := frame(frameReceipt, receiptSize)[:frameHead+baseReceipt]
		binary.BigEndian.PutUint64(b[frameHead:], total)
		sig := baseSign(key, labelReceipt, b[frameHead:])
		if err := g.send(func([]byte) error { return nil }); err != nil {
			return err
		}
		_, err := conn.Write(append(b, sig...))
		return err
	}
	go func() {
		var err error
		for g := range groups {
			if err == nil {
				if err = settle(g); err != nil {
					conn.Close()
				}
			}
		}
		done <- err
	}()
	err := receiveAll(conn, log, peer, groups)
	close(groups)
	if e := <-done; e != nil {
		return e
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func receiveAll(conn net.Conn, log *groupLog, peer ed25519.PublicKey, groups chan<- *group) error {
	r := bufio.NewReaderSize(conn, 256<<10)
	buf := make([]byte, recordSize)
	whole := frame(frameRecord, recordSize)
	for {
		kind, b, err := readFrame(r, buf)
		if err != nil {
			return err
		}
		switch {
		case kind == frameEcho:
			if _, err := conn.Write(frame(frameEcho, receiptSize)[:receiptSize]); err != nil {
				return err
			}
		case kind == frameRecord && len(b) == recordSize-frameHead:
			core, sig, section := b[:baseCore], b[baseCore:baseCore+ed25519.SignatureSize], b[baseCore+ed25519.SignatureSize:]
			if err := baseVerify(peer, labelRecord, core, sig); err != nil {
				return err
			}
			if sha256.Sum256(section) != [32]byte(core[8:40]) {
				return errFrame
			}
			g, lead := log.join(append(whole[:frameHead], b...), nil, func(*group) {})
			if lead {
				groups <- g
			}
		default:
			return errFrame
		}
	}
}
