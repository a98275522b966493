package crypto

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
)

// HashSize is the size in bytes of every hash and identifier.
const HashSize = 32

// Hash is a labelled SHA-256 hash. Its text form is 64 lower-case hex digits.
type Hash [HashSize]byte

// Label names the one purpose of a hash or a signature. Labels are ASCII
// letters, digits, '-' and '/'; the prefix "alliance/v1/" is added when used.
type Label string

const labelPrefix = "alliance/v1/"

// Sum returns the labelled hash of parts for a network (see the package
// comment for the exact bytes). It panics if a part is longer than 4 GiB.
func Sum(label Label, network Hash, parts ...[]byte) Hash {
	h := NewHash(label, network)
	for _, p := range parts {
		h.Part(p)
	}
	return h.Sum()
}

// Hasher builds a labelled hash part by part.
type Hasher struct{ h hash.Hash }

// NewHash starts a labelled hash.
func NewHash(label Label, network Hash) Hasher {
	h := sha256.New()
	var b [1]byte
	b[0] = byte(len(labelPrefix) + len(label))
	h.Write(b[:])
	h.Write([]byte(labelPrefix))
	h.Write([]byte(label))
	h.Write(network[:])
	return Hasher{h}
}

// Part adds one length-prefixed part.
func (h Hasher) Part(p []byte) {
	if uint64(len(p)) > 0xffffffff {
		panic("crypto: hash part longer than 4 GiB")
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(len(p)))
	h.h.Write(b[:])
	h.h.Write(p)
}

// Uint adds a number as one part of eight big-endian bytes.
func (h Hasher) Uint(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	h.Part(b[:])
}

// Sum ends the hash.
func (h Hasher) Sum() (out Hash) {
	h.h.Sum(out[:0])
	return out
}

// IsZero reports whether every byte is zero: the "no hash" of a first link.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads exactly 64 lower-case hex digits.
func ParseHash(s string) (h Hash, err error) {
	if len(s) != 2*HashSize {
		return Hash{}, fmt.Errorf("parse hash: want %d hex digits, got %d characters", 2*HashSize, len(s))
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Hash{}, fmt.Errorf("parse hash: only the digits 0-9 and a-f may stand in it")
		}
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, fmt.Errorf("parse hash: %w", err)
	}
	return h, nil
}
