package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"sync"

	"filippo.io/edwards25519"
)

// A node verifies most signatures under a few keys. For a key that comes again
// and again, multiples of its point are kept, which makes verifying two to
// three times as fast. The equation, and so what is accepted, is the standard
// library's to the bit: the encoding of [S]B - [k]A must be the signature's
// first half (RFC 8032 §5.1.7, without the cofactor).

const (
	tableAfter  = 24   // verifications under a key before its table pays; making it takes as long as five
	tablesKept  = 16   // of 220 KB; the base point's, 650 KB, is beside them
	keysCounted = 1024 // keys without a table whose verifications are counted
)

// multiples holds d·2^(bits·i)·P for every digit i of a scalar and every d up
// to half of 2^bits: with signed digits a product takes one addition a digit.
// It is for public scalars: how long an addition takes may depend on them.
type multiples struct {
	bits uint // up to 8
	rows [][]edwards25519.Point
}

func newMultiples(p *edwards25519.Point, bits uint) *multiples {
	m := &multiples{bits, make([][]edwards25519.Point, (255+bits)/bits)}
	p = new(edwards25519.Point).Set(p)
	for i := range m.rows {
		row := make([]edwards25519.Point, 1<<(bits-1))
		row[0].Set(p)
		for j := 1; j < len(row); j++ {
			row[j].Add(&row[j-1], p)
		}
		p.Add(&row[len(row)-1], &row[len(row)-1])
		m.rows[i] = row
	}
	return m
}

// term is one of the multiples that make up a product.
type term struct {
	point edwards25519.Point
	minus bool
}

// terms appends those whose sum is s·P. s is reduced, so its last digit is small
// and takes the carry. They are copied before any is added: the tables are
// larger than a processor's nearest caches, and reading all of them at once
// takes a fraction of waiting for one after the other between additions.
func (m *multiples) terms(out []term, s *edwards25519.Scalar) []term {
	b, carry := s.Bytes(), 0
	for i, row := range m.rows {
		at := uint(i) * m.bits
		d := int(b[at/8] >> (at % 8))
		if at/8+1 < uint(len(b)) {
			d |= int(b[at/8+1]) << (8 - at%8)
		}
		d = d&(1<<m.bits-1) + carry
		carry = 0
		if d > len(row) {
			d -= 2 * len(row)
			carry = 1
		}
		switch {
		case d > 0:
			out = append(out, term{row[d-1], false})
		case d < 0:
			out = append(out, term{row[-d-1], true})
		}
	}
	return out
}

func sumOf(terms []term) *edwards25519.Point {
	sum := edwards25519.NewIdentityPoint()
	for i := range terms {
		if t := &terms[i]; t.minus {
			sum.Subtract(sum, &t.point)
		} else {
			sum.Add(sum, &t.point)
		}
	}
	return sum
}

// ofBase are the multiples of the base point.
var ofBase = sync.OnceValue(func() *multiples { return newMultiples(edwards25519.NewGeneratorPoint(), 8) })

// verify is ed25519.Verify under a key whose negated point m is of.
func (m *multiples) verify(key PublicKey, msg []byte, sig Signature) bool {
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	h := sha512.New()
	h.Write(sig[:32])
	h.Write(key[:])
	h.Write(msg)
	k, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(nil))
	if err != nil {
		return false
	}
	var all [80]term // 43 and 32 at most
	r := sumOf(ofBase().terms(m.terms(all[:0], k), s))
	return bytes.Equal(r.Bytes(), sig[:32])
}

// tables remembers the tables of the keys that came most. It changes how long
// an answer takes and never the answer.
type tables struct {
	mu   sync.Mutex
	keys map[PublicKey]*seen
	kept int
	tick uint64
}

type seen struct {
	count int // without a table
	last  uint64
	table *multiples
}

// keyTables is a memory of answers' cost and of nothing else: the one variable
// of this package that changes.
var keyTables = tables{keys: map[PublicKey]*seen{}}

// of returns a key's table, nil where it has none.
func (t *tables) of(key PublicKey) *multiples {
	t.mu.Lock()
	s := t.keys[key]
	if s == nil {
		if len(t.keys)-t.kept >= keysCounted {
			for k, s := range t.keys {
				if s.table == nil {
					delete(t.keys, k)
				}
			}
		}
		s = &seen{}
		t.keys[key] = s
	}
	t.tick++
	s.last = t.tick
	s.count++
	table, due := s.table, s.table == nil && s.count == tableAfter
	t.mu.Unlock()
	if !due {
		return table
	}
	p, err := new(edwards25519.Point).SetBytes(key[:])
	if err != nil {
		return nil
	}
	table = newMultiples(p.Negate(p), 6)
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.keys[key]; s != nil && s.table != nil {
		return s.table // it was forgotten and made again meanwhile
	}
	if t.kept == tablesKept {
		t.drop()
	}
	s.table = table
	t.keys[key] = s
	t.kept++
	return table
}

// drop forgets the table that was not used for longest.
func (t *tables) drop() {
	var oldest PublicKey
	var last uint64
	for k, s := range t.keys {
		if s.table != nil && (last == 0 || s.last < last) {
			oldest, last = k, s.last
		}
	}
	delete(t.keys, oldest)
	t.kept--
}

func (t *tables) verify(key PublicKey, msg []byte, sig Signature) bool {
	if m := t.of(key); m != nil {
		return m.verify(key, msg, sig)
	}
	return ed25519.Verify(key[:], msg, sig[:])
}
