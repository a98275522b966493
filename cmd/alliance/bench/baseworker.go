package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/national-alliance/alliance/crypto/seal"
)

// parts are what one baseline delivery is made of, each measured alone, in
// milliseconds.
type parts struct {
	SyncRecord  float64 `json:"fdatasync_record"`  // twice
	SyncReceipt float64 `json:"fdatasync_receipt"` // once
	Seal        float64 `json:"seal"`              // once, SHA-256 and layout with it
	Sign        float64 `json:"sign"`              // twice
	Verify      float64 `json:"verify"`            // twice
	RoundTrip   float64 `json:"tls_round_trip"`    // once
}

func (p parts) sum() float64 {
	return 2*p.SyncRecord + p.SyncReceipt + p.Seal + 2*p.Sign + 2*p.Verify + p.RoundTrip
}

// baseKeys are the baseline's signing keys. They protect nothing, so both
// sides derive them from the one number that the bench hands to both.
func baseKeys(secret string) (author, recipient ed25519.PrivateKey) {
	key := func(who string) ed25519.PrivateKey {
		seed := sha256.Sum256([]byte(who + secret))
		return ed25519.NewKeyFromSeed(seed[:])
	}
	return key("author"), key("recipient")
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func tlsConfig() (*tls.Config, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, pub, key)
	if err != nil {
		return nil, err
	}
	// The keys above are what a delivery checks; this one only makes TLS.
	return &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// serveTLS listens on loopback and hands each connection to f, one after the
// other.
func serveTLS(f func(net.Conn) error) (addr string, close func() error, err error) {
	c, err := tlsConfig()
	if err != nil {
		return "", nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := f(conn); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
			conn.Close()
		}
	}()
	return l.Addr().String(), l.Close, nil
}

func dialTLS(addr string) (net.Conn, error) {
	c, err := tlsConfig()
	if err != nil {
		return nil, err
	}
	return tls.Dial("tcp", addr, c)
}

// runBaseRecipient: folder, secret, and how many deliveries there may be.
func runBaseRecipient(_ context.Context, w *worker, in io.Reader, dir, secret string, most int) error {
	author, key := baseKeys(secret)
	log, err := newGroupLog(filepath.Join(dir, "recipient.log"), int64(most)*int64(recordSize))
	if err != nil {
		return err
	}
	defer log.close()
	addr, stop, err := serveTLS(func(conn net.Conn) error { return receive(conn, log, key, public(author)) })
	if err != nil {
		return err
	}
	defer stop()
	return w.run(in, answer{Text: addr})
}

// runBaseAuthor: folder, secret, how many deliveries there may be, and where
// the recipient is.
func runBaseAuthor(_ context.Context, w *worker, in io.Reader, dir, secret string, most int, addr string) error {
	key, recipient := baseKeys(secret)
	log, err := newGroupLog(filepath.Join(dir, "author.log"), int64(most)*int64(recordSize+receiptSize))
	if err != nil {
		return err
	}
	defer log.close()
	conn, err := dialTLS(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	a := newBaseAuthor(conn, log, key, public(recipient))
	body := exampleBody()
	w.do["send"] = func(r request) (answer, error) {
		each, whole, err := drive(r.N, r.Flight, func(int) error { return a.deliver(body) })
		return answer{Each: each, Seconds: whole.Seconds(), N: r.N}, err
	}
	w.do["parts"] = func(r request) (answer, error) {
		p, err := a.parts(r.N, filepath.Join(dir, "parts.log"))
		return answer{Parts: &p}, err
	}
	return w.run(in, answer{})
}

// parts measures what a delivery is made of, each alone, n times. They take
// turns as in a delivery: an fdatasync behind another one takes half the time
// of one that comes after a pause, and a signature over what is no longer in
// the processor's cache takes longer.
func (a *baseAuthor) parts(n int, path string) (p parts, err error) {
	os.Remove(path)
	log, err := newGroupLog(path, int64(n*(2*recordSize+receiptSize)))
	if err != nil {
		return p, err
	}
	defer os.Remove(path)
	defer log.close()
	sync := func(size int) func() error {
		b := make([]byte, size)
		return func() error {
			g, _ := log.join(b, nil, func(*group) {})
			if err := log.commit(g); err != nil {
				return err
			}
			return g.send(func([]byte) error { return nil })
		}
	}
	body := exampleBody()
	core := make([]byte, baseCore)
	sig := baseSign(a.key, labelRecord, core)
	sealing := func() error {
		plain := make([]byte, basePlain)
		copy(plain[baseInner:], body)
		at := seal.Place{Seq: 1}
		rand.Read(at.Nonce[:])
		section, err := seal.SealSection(a.feed, at, plain)
		sha256.Sum256(section)
		return err
	}
	sign := func() error { sig = baseSign(a.key, labelRecord, core); return nil }
	verify := func() error { return baseVerify(public(a.key), labelRecord, core, sig) }
	record, receipt := sync(recordSize-frameHead), sync(receiptSize-frameHead)
	took, err := inTurn(n, sealing, sign, record, a.roundTrip, verify, record, sign, verify, receipt)
	if err != nil {
		return p, err
	}
	return parts{Seal: took[0], Sign: (took[1] + took[6]) / 2, SyncRecord: (took[2] + took[5]) / 2, RoundTrip: took[3],
		Verify: (took[4] + took[7]) / 2, SyncReceipt: took[8]}, nil
}

// exampleBody is 1 KiB that does not repeat.
func exampleBody() []byte {
	b := make([]byte, bodySize/2)
	rand.Read(b)
	return []byte(hex.EncodeToString(b))
}
