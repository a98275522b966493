package consensus

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// box seals the values of one kind of file.
type box struct{ aead cipher.AEAD }

func subkey(key [32]byte, salt []byte, what string) []byte {
	k, err := hkdf.Key(sha256.New, key[:], salt, "alliance/v1/raft/"+what, chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // only for lengths no caller asks for
	}
	return k
}

func newBox(key [32]byte, what string) box {
	a, err := chacha20poly1305.NewX(subkey(key, nil, what))
	if err != nil {
		panic(err)
	}
	return box{a}
}

func (b box) seal(plain, ad []byte) []byte {
	out := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	rand.Read(out)
	return b.aead.Seal(out, out, plain, ad)
}

func (b box) open(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrDamaged, len(sealed))
	}
	n := chacha20poly1305.NonceSizeX
	plain, err := b.aead.Open(nil, sealed[:n], sealed[n:], ad)
	if err != nil {
		return nil, fmt.Errorf("%w, or sealed under another key", ErrDamaged)
	}
	return plain, nil
}
