package crypto

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

// Sizes in bytes.
const (
	PublicKeySize = ed25519.PublicKeySize // 32
	SignatureSize = ed25519.SignatureSize // 64
	SeedSize      = ed25519.SeedSize      // 32
)

// PublicKey is an Ed25519 public key (RFC 8032 encoding) that passed
// [ParsePublicKey], or the zero value, which verifies nothing.
type PublicKey [PublicKeySize]byte

// Signature is an Ed25519 signature.
type Signature [SignatureSize]byte

// PrivateKey is an Ed25519 signing key. It prints as "[private key]".
type PrivateKey struct{ k ed25519.PrivateKey }

// KeyID is the labelled hash of a public key; it belongs to no network.
type KeyID Hash

var (
	// ErrSignature is returned by [Verify] when the signature does not stand.
	ErrSignature = errors.New("signature does not verify")
	// ErrPoint is returned for a public key that is not a canonical
	// encoding of a point of large order.
	ErrPoint = errors.New("public key is not a canonical point of large order")
)

// ParsePublicKey checks 32 bytes as an Ed25519 public key: a point on the
// curve, encoded canonically (y < p, no negative zero), and not of small
// order. Anything else is [ErrPoint].
func ParsePublicKey(b []byte) (PublicKey, error) {
	if len(b) != PublicKeySize {
		return PublicKey{}, fmt.Errorf("%w: want %d bytes, got %d", ErrPoint, PublicKeySize, len(b))
	}
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil {
		return PublicKey{}, ErrPoint
	}
	if !bytes.Equal(p.Bytes(), b) { // SetBytes accepts y >= p
		return PublicKey{}, ErrPoint
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return PublicKey{}, ErrPoint
	}
	return PublicKey(b), nil
}

// Check is [ParsePublicKey] for a key that was decoded as an array.
func (k PublicKey) Check() error {
	_, err := ParsePublicKey(k[:])
	return err
}

// IsZero reports whether the key is unset.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// ID returns the key's identifier.
func (k PublicKey) ID() KeyID { return KeyID(Sum("key-id", Hash{}, k[:])) }

// String returns 64 lower-case hex digits.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

func (k KeyID) String() string { return Hash(k).String() }

// GenerateKey makes a signing key from 32 bytes of randomness.
func GenerateKey(random io.Reader) (PrivateKey, error) {
	seed := make([]byte, SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PrivateKey{}, fmt.Errorf("generate signing key: %w", err)
	}
	return NewPrivateKey(seed)
}

// NewPrivateKey makes a signing key from its 32-byte seed (RFC 8032 §5.1.5).
func NewPrivateKey(seed []byte) (PrivateKey, error) {
	if len(seed) != SeedSize {
		return PrivateKey{}, fmt.Errorf("read signing key: want a seed of %d bytes, got %d", SeedSize, len(seed))
	}
	return PrivateKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public returns the public half; the zero key for a zero PrivateKey.
func (k PrivateKey) Public() (p PublicKey) {
	if k.k != nil {
		copy(p[:], k.k[SeedSize:])
	}
	return p
}

// Seed returns a copy of the 32-byte seed, for a key file only.
func (k PrivateKey) Seed() []byte { return bytes.Clone(k.k.Seed()) }

// IsZero reports whether the key is unset.
func (k PrivateKey) IsZero() bool { return k.k == nil }

// String, GoString and Format keep a key out of logs and panics.
func (k PrivateKey) String() string             { return "[private key]" }
func (k PrivateKey) GoString() string           { return "[private key]" }
func (k PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, "[private key]") }

func signed(label Label, network Hash, msg []byte) []byte {
	b := make([]byte, 0, len(labelPrefix)+len(label)+1+HashSize+len(msg))
	b = append(b, labelPrefix...)
	b = append(b, label...)
	b = append(b, 0)
	b = append(b, network[:]...)
	return append(b, msg...)
}

// Sign signs msg for one purpose and one network. It panics on a zero key.
func (k PrivateKey) Sign(label Label, network Hash, msg []byte) Signature {
	if k.k == nil {
		panic("crypto: sign with no key")
	}
	return Signature(ed25519.Sign(k.k, signed(label, network, msg)))
}

// Signer signs with one key, in this process or out of it. [PrivateKey] and
// what [Held] returns are all there are: nothing else can implement it, so
// nothing signs without a label and a network.
type Signer interface {
	Public() PublicKey
	sign(message []byte) (Signature, error)
}

func (k PrivateKey) sign(message []byte) (Signature, error) {
	return Signature(ed25519.Sign(k.k, message)), nil
}

// held is a key that something else holds.
type held struct {
	key PublicKey
	raw func(message []byte) ([]byte, error)
}

// Held returns the signer of a key that something else holds, such as an SSH
// agent. raw is handed the bytes with label and network, and returns the plain
// Ed25519 signature over exactly those; one that does not stand under key is
// not passed on.
func Held(key PublicKey, raw func(message []byte) ([]byte, error)) Signer { return held{key, raw} }

func (h held) Public() PublicKey { return h.key }

func (h held) sign(message []byte) (Signature, error) {
	b, err := h.raw(bytes.Clone(message)) // whoever holds the key may write into its copy
	if err != nil {
		return Signature{}, err
	}
	if len(b) != SignatureSize || h.key.IsZero() || !keyTables.verify(h.key, message, Signature(b)) {
		return Signature{}, ErrSignature
	}
	return Signature(b), nil
}

// SignWith is [PrivateKey.Sign] with any signer. An error is of whatever holds
// the key, or [ErrSignature] where it answered with a signature that is none.
func SignWith(s Signer, label Label, network Hash, msg []byte) (Signature, error) {
	if s.Public().IsZero() {
		panic("crypto: sign with no key")
	}
	return s.sign(signed(label, network, msg))
}

// Verify checks a labelled signature. The key must have passed
// [ParsePublicKey] when it entered; the zero key verifies nothing.
func Verify(key PublicKey, label Label, network Hash, msg []byte, sig Signature) error {
	if key.IsZero() || !keyTables.verify(key, signed(label, network, msg), sig) {
		return ErrSignature
	}
	return nil
}
