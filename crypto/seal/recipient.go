package seal

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"filippo.io/age"
)

const (
	recipientPrefix = "age1pq1"
	recipientLen    = 1959 // characters
	identityPrefix  = "AGE-SECRET-KEY-PQ-1"
)

var errRecipient = errors.New("want an age1pq1 recipient of 1959 characters, lower case, in its canonical form")

// Recipient is an organisation's public sealing key: age's post-quantum
// hybrid, written age1pq1…, 1,959 characters. Two recipients are the same key
// if and only if their strings are equal.
type Recipient struct {
	text string
	key  *age.HybridRecipient
}

// ParseRecipient reads the canonical age1pq1 form and refuses everything else:
// other kinds of key, upper case, and a key whose X25519 half is of small
// order or not below 2^255-19. age parses those, but sealing to one of small
// order fails for the whole reader set, and the holder of the other kind could
// not open. Parsing costs about 0.1 ms; see [Recipients].
func ParseRecipient(s string) (*Recipient, error) {
	if len(s) != recipientLen || !strings.HasPrefix(s, recipientPrefix) {
		return nil, fmt.Errorf("parse recipient: %w", errRecipient)
	}
	key, err := age.ParseHybridRecipient(s)
	if err != nil || key.String() != s {
		// age's error would repeat all of s.
		return nil, fmt.Errorf("parse recipient: %w", errRecipient)
	}
	if err := checkX25519(x25519Half(s)); err != nil {
		return nil, fmt.Errorf("parse recipient: %w", err)
	}
	return &Recipient{s, key}, nil
}

// String returns the canonical age1pq1 form.
func (r *Recipient) String() string { return r.text }

const bech32Digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l" // BIP 173

// x25519Half returns the last 32 of the 1216 bytes in an age1pq1 string that
// age has already parsed. 1216 bytes are 1946 digits of 5 bits with 2 bits of
// zeros at the end; 6 digits of checksum follow.
func x25519Half(s string) []byte {
	digits := s[len(recipientPrefix) : len(s)-6]
	var out []byte
	acc, bits := uint32(0), 0
	for _, c := range []byte(digits) {
		acc = acc<<5 | uint32(strings.IndexByte(bech32Digits, c))
		if bits += 5; bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return out[len(out)-32:]
}

// checkX25519 refuses encodings of 2^255-19 and above, and points of small
// order. For those every scalar of X25519, being a multiple of 8, gives zero.
func checkX25519(u []byte) error {
	var p [32]byte // 2^255-19, little-endian
	p[0], p[31] = 0xed, 0x7f
	for i := 1; i < 31; i++ {
		p[i] = 0xff
	}
	less := false
	for i := 31; i >= 0; i-- {
		if u[i] != p[i] {
			less = u[i] < p[i]
			break
		}
	}
	if !less {
		return errors.New("the key's X25519 half is not in canonical form")
	}
	scalar, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		return err
	}
	point, err := ecdh.X25519().NewPublicKey(u)
	if err != nil {
		return err
	}
	if _, err := scalar.ECDH(point); err != nil {
		return errors.New("the key's X25519 half is of small order; nothing can be sealed to it")
	}
	return nil
}

// Recipients remembers parsed recipients, at most 1,024 of them; when it is
// full it forgets all. The zero value is ready, and safe for concurrent use.
type Recipients struct {
	mu     sync.Mutex
	parsed map[string]*Recipient
}

const maxRemembered = 1024

// Parse is [ParseRecipient], remembering success.
func (c *Recipients) Parse(s string) (*Recipient, error) {
	c.mu.Lock()
	r := c.parsed[s]
	c.mu.Unlock()
	if r != nil {
		return r, nil
	}
	r, err := ParseRecipient(s)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxRemembered {
		c.parsed = make(map[string]*Recipient)
	}
	c.parsed[r.text] = r
	return r, nil
}

// Identity is the secret half of a [Recipient]. It prints as "[identity]".
type Identity struct {
	key       *age.HybridIdentity
	recipient *Recipient
}

// GenerateIdentity makes a sealing key from the system's randomness.
func GenerateIdentity() (*Identity, error) {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("generate identity: %w", err)
	}
	return newIdentity(key)
}

// ParseIdentity reads the canonical AGE-SECRET-KEY-PQ-1 form. Its errors never
// repeat what they were given.
func ParseIdentity(s string) (*Identity, error) {
	key, err := age.ParseHybridIdentity(s)
	if err != nil || key.String() != s {
		return nil, fmt.Errorf("parse identity: want an %s… secret key in its canonical form", identityPrefix)
	}
	return newIdentity(key)
}

func newIdentity(key *age.HybridIdentity) (*Identity, error) {
	r, err := ParseRecipient(key.Recipient().String())
	if err != nil {
		return nil, err
	}
	return &Identity{key, r}, nil
}

// Recipient returns the public half.
func (i *Identity) Recipient() *Recipient { return i.recipient }

// Secret returns the AGE-SECRET-KEY-PQ-1 form, for a key file only.
func (i *Identity) Secret() string { return i.key.String() }

// String, GoString and Format keep an identity out of logs and panics.
func (i *Identity) String() string             { return "[identity]" }
func (i *Identity) GoString() string           { return "[identity]" }
func (i *Identity) Format(f fmt.State, _ rune) { io.WriteString(f, "[identity]") }
