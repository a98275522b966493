package consensus

import (
	"bufio"
	"crypto/cipher"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	chunkSize   = 64 << 10
	sealedChunk = chunkSize + chacha20poly1305.Overhead
	saltSize    = 32
)

func streamAEAD(key [32]byte, salt []byte) cipher.AEAD {
	a, err := chacha20poly1305.New(subkey(key, salt, "snapshot"))
	if err != nil {
		panic(err)
	}
	return a
}

// chunkNonce is an 11-byte big-endian counter and the mark of the last chunk.
func chunkNonce(n uint64, last bool) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSize)
	for i := 10; i >= 3; i, n = i-1, n>>8 {
		nonce[i] = byte(n)
	}
	if last {
		nonce[11] = 1
	}
	return nonce
}

// sealWriter seals a stream in chunks. Close writes the last one.
type sealWriter struct {
	w    io.Writer
	aead cipher.AEAD
	buf  []byte
	n    uint64
	err  error
}

func newSealWriter(w io.Writer, key [32]byte, salt []byte) *sealWriter {
	return &sealWriter{w: w, aead: streamAEAD(key, salt), buf: make([]byte, 0, sealedChunk)}
}

func (s *sealWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && s.err == nil {
		if len(s.buf) == chunkSize { // only now is it known not to be the last
			s.flush(false)
			continue
		}
		n := min(len(p), chunkSize-len(s.buf))
		s.buf, p = append(s.buf, p[:n]...), p[n:]
	}
	return total - len(p), s.err
}

func (s *sealWriter) flush(last bool) {
	_, s.err = s.w.Write(s.aead.Seal(s.buf[:0], chunkNonce(s.n, last), s.buf, nil))
	s.n++
	s.buf = s.buf[:0]
}

func (s *sealWriter) Close() error {
	if s.err == nil {
		s.flush(true)
	}
	return s.err
}

// openReader opens what sealWriter sealed. A stream that is cut short, goes on
// after its last chunk or was changed ends in ErrDamaged, never in io.EOF.
type openReader struct {
	r    *bufio.Reader
	aead cipher.AEAD
	buf  []byte // holds one sealed chunk
	rest []byte // opened and not yet read
	n    uint64
	err  error
}

func newOpenReader(r io.Reader, key [32]byte, salt []byte) *openReader {
	return &openReader{r: bufio.NewReader(r), aead: streamAEAD(key, salt), buf: make([]byte, sealedChunk)}
}

func (o *openReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(o.rest) == 0 && o.err == nil {
		o.next()
	}
	if len(o.rest) == 0 {
		return 0, o.err
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

func (o *openReader) next() {
	n, err := io.ReadFull(o.r, o.buf)
	if err != nil && err != io.ErrUnexpectedEOF {
		if err == io.EOF {
			err = fmt.Errorf("%w: cut short", ErrDamaged)
		}
		o.err = err
		return
	}
	_, err = o.r.Peek(1)
	last := err == io.EOF
	if err != nil && !last {
		o.err = err
		return
	}
	o.rest, err = o.aead.Open(o.buf[:0], chunkNonce(o.n, last), o.buf[:n], nil)
	if err != nil {
		o.rest, o.err = nil, fmt.Errorf("%w, or sealed under another key", ErrDamaged)
		return
	}
	o.n++
	if last {
		o.err = io.EOF
	}
}

// openedSize is the length of the plaintext of size sealed bytes.
func openedSize(size int64) int64 {
	chunks := (size + sealedChunk - 1) / sealedChunk
	return size - chunks*chacha20poly1305.Overhead
}
