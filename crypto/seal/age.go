package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// The parts of the age format that the fixed shapes of this package need.
// They are written out here, and held to age itself by tests, because age's
// stream reader costs 150 KB of garbage for every file, however small.

const (
	intro   = "age-encryption.org/v1\n"
	macMark = "---"

	fileKeySize = 16
	wrappedSize = fileKeySize + chacha20poly1305.Overhead // 32
	macSize     = sha256.Size
	payloadSalt = 16
	chunkSize   = 64 << 10
	overhead    = chacha20poly1305.Overhead
)

var (
	// ErrSealed is returned for a file that is not of the one allowed form,
	// was altered, or was sealed under another key or at another place.
	ErrSealed = errors.New("sealed file does not open")
	// ErrNotForUs is returned for a well-formed key file that none of the
	// given identities can open.
	ErrNotForUs = errors.New("sealed to others")
)

var (
	b64 = base64.RawStdEncoding.Strict()

	wrappedLen = b64.EncodedLen(wrappedSize) // 43 characters
	// macLine is the length of "--- MAC\n".
	macLine = len(macMark) + 1 + b64.EncodedLen(macSize) + 1
)

// unbase64 decodes exactly size bytes from one line's characters.
func unbase64(src []byte, size int) ([]byte, bool) {
	if bytes.ContainsAny(src, "\r\n") { // the decoder would pass over them
		return nil, false
	}
	dst := make([]byte, b64.DecodedLen(len(src)))
	n, err := b64.Decode(dst, src)
	return dst[:n], err == nil && n == size
}

// derive is HKDF-SHA256 to 32 bytes.
func derive(secret, salt []byte, info string) []byte {
	k, err := hkdf.Key(sha256.New, secret, salt, info, 32)
	if err != nil {
		panic("seal: hkdf: " + err.Error()) // only for lengths that never occur
	}
	return k
}

func newAEAD(key []byte) cipher.AEAD {
	a, err := chacha20poly1305.New(key)
	if err != nil {
		panic("seal: chacha20poly1305: " + err.Error()) // only for a wrong key size
	}
	return a
}

// headerMAC covers the header up to and including "---".
func headerMAC(fileKey, header []byte) []byte {
	m := hmac.New(sha256.New, derive(fileKey, nil, "header"))
	m.Write(header)
	return m.Sum(nil)
}

// appendMAC ends a header with its MAC line.
func appendMAC(header, fileKey []byte) []byte {
	header = append(header, macMark...)
	mac := headerMAC(fileKey, header)
	header = append(header, ' ')
	header = b64.AppendEncode(header, mac)
	return append(header, '\n')
}

// checkMACLine says whether a header ends in a well-formed MAC line.
func checkMACLine(header []byte) bool {
	if len(header) < macLine {
		return false
	}
	line := header[len(header)-macLine:]
	if string(line[:4]) != macMark+" " || line[macLine-1] != '\n' {
		return false
	}
	_, ok := unbase64(line[4:macLine-1], macSize)
	return ok
}

// verifyMAC checks a header whose MAC line passed checkMACLine.
func verifyMAC(fileKey, header []byte) bool {
	line := header[len(header)-macLine:]
	mac, ok := unbase64(line[4:macLine-1], macSize)
	return ok && hmac.Equal(mac, headerMAC(fileKey, header[:len(header)-macLine+len(macMark)]))
}

// payloadLen is the length of a payload over n bytes of plaintext.
func payloadLen(n int) int {
	chunks := max(1, (n+chunkSize-1)/chunkSize)
	return payloadSalt + n + chunks*overhead
}

// chunkNonce is age's STREAM nonce: 11 bytes of counter and the last flag.
func chunkNonce(i int, last bool) (nonce [chacha20poly1305.NonceSize]byte) {
	binary.BigEndian.PutUint64(nonce[3:11], uint64(i))
	if last {
		nonce[11] = 1
	}
	return nonce
}

// appendPayload seals plaintext as an age payload with a fresh salt.
func appendPayload(dst, fileKey, plaintext []byte) []byte {
	var salt [payloadSalt]byte
	rand.Read(salt[:])
	dst = append(dst, salt[:]...)
	aead := newAEAD(derive(fileKey, salt[:], "payload"))
	for i := 0; ; i++ {
		n := min(len(plaintext), chunkSize)
		last := n == len(plaintext)
		nonce := chunkNonce(i, last)
		dst = aead.Seal(dst, nonce[:], plaintext[:n], nil)
		if plaintext = plaintext[n:]; last {
			return dst
		}
	}
}

// openPayload opens an age payload: its salt and chunks, and nothing behind.
func openPayload(fileKey, payload []byte) ([]byte, bool) {
	if len(payload) < payloadSalt+overhead {
		return nil, false
	}
	salt, rest := payload[:payloadSalt], payload[payloadSalt:]
	aead := newAEAD(derive(fileKey, salt, "payload"))
	out := make([]byte, 0, len(rest))
	for i := 0; ; i++ {
		n := min(len(rest), chunkSize+overhead)
		last := n == len(rest)
		if i > 0 && n <= overhead { // only the first chunk may be empty
			return nil, false
		}
		nonce := chunkNonce(i, last)
		var err error
		if out, err = aead.Open(out, nonce[:], rest[:n], nil); err != nil {
			return nil, false
		}
		if rest = rest[n:]; last {
			return out, true
		}
	}
}
