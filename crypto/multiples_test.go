package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"filippo.io/edwards25519"
)

// torsion is a point of order 8.
func torsion(t testing.TB) *edwards25519.Point {
	b := []byte{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	four := new(edwards25519.Point).Add(p, p)
	if four.Add(four, four); four.Equal(edwards25519.NewIdentityPoint()) == 1 || new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 0 {
		t.Fatal("not of order 8")
	}
	return p
}

// signer makes signatures as no honest program would.
type signer struct {
	a   *edwards25519.Scalar
	key PublicKey
}

func newSigner(r *rand.Rand, twist *edwards25519.Point) signer {
	a := scalar(r)
	p := new(edwards25519.Point).ScalarBaseMult(a)
	if twist != nil {
		p.Add(p, twist)
	}
	return signer{a, PublicKey(p.Bytes())}
}

func scalar(r *rand.Rand) *edwards25519.Scalar {
	var b [64]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	s, _ := new(edwards25519.Scalar).SetUniformBytes(b[:])
	return s
}

// sign adds twist to the signature's point.
func (s signer) sign(r *rand.Rand, msg []byte, twist *edwards25519.Point) (sig Signature) {
	n := scalar(r)
	p := new(edwards25519.Point).ScalarBaseMult(n)
	if twist != nil {
		p.Add(p, twist)
	}
	copy(sig[:], p.Bytes())
	h := sha512.Sum512(bytes.Join([][]byte{sig[:32], s.key[:], msg}, nil))
	k, _ := new(edwards25519.Scalar).SetUniformBytes(h[:])
	copy(sig[32:], n.MultiplyAdd(k, s.a, n).Bytes())
	return sig
}

// With its table a key verifies what the standard library verifies, and
// nothing else: also where keys or signatures are made to tell two ways of
// verifying apart.
func TestMultiplesVerifyAsTheStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	twist := torsion(t)
	var taken, refused int
	try := func(m *multiples, key PublicKey, msg []byte, sig Signature) {
		t.Helper()
		want := ed25519.Verify(key[:], msg, sig[:])
		if got := m.verify(key, msg, sig); got != want {
			t.Fatalf("%v for key %s, message %x, signature %x; the standard library says %v", got, key, msg, sig, want)
		}
		if want {
			taken++
		} else {
			refused++
		}
	}
	for i := range 60 {
		var keyTwist *edwards25519.Point
		if i%3 == 0 {
			keyTwist = twist // of mixed order
		}
		s := newSigner(r, keyTwist)
		p, err := new(edwards25519.Point).SetBytes(s.key[:])
		if err != nil {
			t.Fatal(err)
		}
		m := newMultiples(p.Negate(p), []uint{6, 8, 5}[i%3])
		for range 16 { // a twisted key's signatures stand once in eight
			msg := fmt.Appendf(nil, "example %d", r.Uint64())
			sig := s.sign(r, msg, nil)
			try(m, s.key, msg, sig)
			try(m, s.key, msg, s.sign(r, msg, twist))
			try(m, s.key, append(msg, 'x'), sig)
			flipped := sig
			flipped[r.IntN(64)] ^= 1 << r.IntN(8)
			try(m, s.key, msg, flipped)
		}
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			var sig Signature
			for i := range sig {
				sig[i] = b
			}
			try(m, s.key, nil, sig)
			try(m, s.key, nil, Signature{0: 1}) // the identity, and S = 0
		}
	}
	if taken < 60 || refused < 60 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
}

// The scalars at which digits carry.
func TestMultiplesOfEdgeScalars(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	p := new(edwards25519.Point).ScalarBaseMult(scalar(r))
	for _, bits := range []uint{3, 4, 5, 6, 7, 8} {
		m := newMultiples(p, bits)
		for _, fill := range []byte{0x00, 0x01, 0x07, 0x08, 0x77, 0x78, 0x7f, 0x80, 0x81, 0x88, 0x99, 0xff} {
			b := bytes.Repeat([]byte{fill}, 32)
			b[31] &= 0x0f // below the order of the group
			for _, top := range []byte{b[31], 0x00, 0x0f} {
				b[31] = top
				s, err := new(edwards25519.Scalar).SetCanonicalBytes(b)
				if err != nil {
					t.Fatal(err)
				}
				if got := sumOf(m.terms(nil, s)); got.Equal(new(edwards25519.Point).ScalarMult(s, p)) != 1 {
					t.Errorf("%d bits: %x·P is wrong", bits, b)
				}
			}
		}
		minus, _ := new(edwards25519.Scalar).SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
		minus.Negate(minus) // the largest
		if got := sumOf(m.terms(nil, minus)); got.Equal(new(edwards25519.Point).Negate(p)) != 1 {
			t.Errorf("%d bits: -P is wrong", bits)
		}
	}
}

// Many keys in many goroutines, more than are kept: each signature stands and
// each false one falls, before and after its key has a table.
func TestTablesAreBounded(t *testing.T) {
	store := tables{keys: map[PublicKey]*seen{}}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(9, uint64(g)))
			for range tablesKept/2 + 5 {
				s := newSigner(r, nil)
				good := s.sign(r, []byte("example"), nil)
				bad := good
				bad[40] ^= 1
				for range tableAfter {
					if !store.verify(s.key, []byte("example"), good) || store.verify(s.key, []byte("example"), bad) {
						t.Error("wrong answer")
						return
					}
				}
			}
		})
	}
	all.Wait()
	with := 0
	for _, s := range store.keys {
		if s.table != nil {
			with++
		}
	}
	if with != tablesKept || store.kept != with {
		t.Errorf("%d tables, %d counted, %d allowed", with, store.kept, tablesKept)
	}
	for i := range 3 * keysCounted {
		store.of(PublicKey{byte(i), byte(i >> 8), 1})
	}
	if n := len(store.keys); n > keysCounted+tablesKept {
		t.Errorf("%d keys are remembered", n)
	}
}

func FuzzMultiples(f *testing.F) {
	r := rand.New(rand.NewPCG(11, 12))
	s := newSigner(r, nil)
	p, _ := new(edwards25519.Point).SetBytes(s.key[:])
	m := newMultiples(p.Negate(p), 6)
	for _, msg := range []string{"", "example"} {
		sig := s.sign(r, []byte(msg), nil)
		f.Add([]byte(msg), sig[:])
	}
	f.Fuzz(func(t *testing.T, msg, sig []byte) {
		if len(sig) != SignatureSize {
			return
		}
		if got, want := m.verify(s.key, msg, Signature(sig)), ed25519.Verify(s.key[:], msg, sig); got != want {
			t.Errorf("%v, the standard library says %v", got, want)
		}
	})
}

func BenchmarkVerifyStandard(b *testing.B) {
	s, msg := newSigner(rand.New(rand.NewPCG(1, 1)), nil), make([]byte, 440)
	sig := s.sign(rand.New(rand.NewPCG(1, 2)), msg, nil)
	for b.Loop() {
		if !ed25519.Verify(s.key[:], msg, sig[:]) {
			b.Fatal("it does not stand")
		}
	}
}

func BenchmarkVerifyKnownKey(b *testing.B) {
	s, msg := newSigner(rand.New(rand.NewPCG(1, 1)), nil), make([]byte, 440)
	sig := s.sign(rand.New(rand.NewPCG(1, 2)), msg, nil)
	for b.Loop() {
		if !keyTables.verify(s.key, msg, sig) {
			b.Fatal("it does not stand")
		}
	}
}
