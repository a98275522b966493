package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/national-alliance/alliance/protocol"
)

const (
	tagSize   = 16
	pieceSize = 256 << 10 // of a section, in one row
	inlineMax = 4 << 10   // a section up to this that comes with its record stands in the record's row
)

type tag [tagSize]byte

func (t *tag) xor(o tag) {
	for i := range t {
		t[i] ^= o[i]
	}
}

// The kinds of row, by their first byte.
const (
	rowTotals  = 'z'
	rowChain   = 'c'
	rowChain2  = 'd'
	rowRecord  = 'r'
	rowID      = 'i'
	rowOwed    = 'w'
	rowReceipt = 'p'
	rowFork    = 'f'
	rowLeaf    = 'o'
	rowNote    = 'n'
	rowOutbox  = 'x'
	rowPiece   = 'y'
	rowMeta    = 'm'
)

// summed are the kinds that the totals row counts and sums, in its order. The
// order is on disk and only ever grows at the end.
var summed = []byte{rowChain, rowOwed, rowReceipt, rowFork, rowNote, rowOutbox, rowMeta}

func summedIndex(kind byte) int {
	for i, k := range summed {
		if k == kind {
			return i
		}
	}
	return -1
}

// marks are the tags of all summed rows, by group and key.
type marks map[string]map[string]tag

// groupOf is what rows are listed by: receipts and owed sections by feed, the
// others by kind.
func groupOf(key string) string {
	if k := key[0]; (k == rowReceipt || k == rowOwed) && len(key) > 33 {
		return key[:33]
	}
	return key[:1]
}

func (m marks) get(key string) (tag, bool) {
	t, ok := m[groupOf(key)][key]
	return t, ok
}

// set puts a tag, or with nil removes it.
func (m marks) set(key string, t *tag) {
	g := groupOf(key)
	if t == nil {
		delete(m[g], key)
		if len(m[g]) == 0 {
			delete(m, g)
		}
		return
	}
	if m[g] == nil {
		m[g] = make(map[string]tag)
	}
	m[g][key] = *t
}

// sum is how many rows of a kind there are, and the exclusive or of their tags.
type sum struct {
	Count uint64 `cbor:"1,keyasint"`
	Sum   tag    `cbor:"2,keyasint"`
}

// totals is the row that every commit rewrites.
type totals struct {
	Network  protocol.NetworkID `cbor:"1,keyasint"`
	Commit   uint64             `cbor:"2,keyasint"`
	Leaves   uint64             `cbor:"3,keyasint"`
	Accepted uint64             `cbor:"4,keyasint"`
	Sums     []sum              `cbor:"5,keyasint"`
}

func (t totals) clone() totals {
	t.Sums = append([]sum(nil), t.Sums...)
	return t
}

var keyTotals = []byte{rowTotals}

func keyFeed(kind byte, f protocol.FeedID) []byte { return append([]byte{kind}, f[:]...) }

func keySeq(kind byte, f protocol.FeedID, seq uint64) []byte {
	b := make([]byte, 0, 48)
	b = append(append(b, kind), f[:]...)
	return binary.BigEndian.AppendUint64(b, seq)
}

func keyRecord(f protocol.FeedID, seq uint64) []byte { return append(keySeq(rowRecord, f, seq), 0) }

func keyPiece(f protocol.FeedID, seq uint64, section, piece int) []byte {
	b := append(keySeq(rowRecord, f, seq), byte(section+1))
	return binary.BigEndian.AppendUint16(b, uint16(piece))
}

func keyReceipt(f protocol.FeedID, n protocol.NodeID) []byte {
	return append(keyFeed(rowReceipt, f), n[:]...)
}

func keyNumber(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

func keyOutboxPiece(name string, piece int) []byte {
	return binary.BigEndian.AppendUint16(append(keyName(rowPiece, name), 0), uint16(piece))
}

// bulk reports whether a row only has a meaning through another one, so that
// it may be written ahead of it.
func bulk(key string) bool {
	return key[0] == rowPiece || key[0] == rowRecord && len(key) > 42
}

func keyName(kind byte, name string) []byte { return append([]byte{kind}, name...) }

// tagger makes tags. Its key is derived from the store key, so that badger's
// key and this one never meet.
type tagger struct{ pool sync.Pool }

func newTagger(storeKey [32]byte) *tagger {
	m := hmac.New(sha256.New, storeKey[:])
	m.Write([]byte("alliance/v1/store-tag"))
	key := m.Sum(nil)
	return &tagger{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

func (t *tagger) tag(key, value []byte) (out tag) {
	m := t.pool.Get().(hash.Hash)
	defer t.pool.Put(m)
	m.Reset()
	var n [2]byte
	binary.BigEndian.PutUint16(n[:], uint16(len(key)))
	m.Write(n[:])
	m.Write(key)
	m.Write(value)
	var b [sha256.Size]byte
	copy(out[:], m.Sum(b[:0]))
	return out
}

// open returns the value of a row without its tag; false where the tag is
// wrong.
func (t *tagger) open(key, row []byte) ([]byte, tag, bool) {
	if len(row) < tagSize {
		return nil, tag{}, false
	}
	v := row[: len(row)-tagSize : len(row)-tagSize]
	got := tag(row[len(row)-tagSize:])
	return v, got, hmac.Equal(got[:], tagBytes(t.tag(key, v)))
}

func tagBytes(t tag) []byte { return t[:] }

// row is the record row's value.
type row struct {
	state   protocol.State
	code    protocol.Code
	have    uint32 // bit i: section i was stored
	dropped uint32 // bit i: section i was dropped on purpose
	id      protocol.RecordID
	env     protocol.Envelope // of the sections, those that stand in the row
}

const rowHead = 1 + 2 + 4 + 4 + 4 + 32 + 64 + 4

// inline are the sections that stand in the row.
func (r *row) inline() (bits uint32) {
	for i, s := range r.env.Sections {
		if s != nil {
			bits |= 1 << i
		}
	}
	return bits
}

// put puts a section of a record into the row if it is small; false where it
// is to be stored in pieces.
func (r *row) put(i int, sealed []byte) bool {
	r.have |= 1 << i
	r.dropped &^= 1 << i
	if len(sealed) > inlineMax {
		return false
	}
	for len(r.env.Sections) <= i {
		r.env.Sections = append(r.env.Sections, nil)
	}
	r.env.Sections[i] = sealed
	return true
}

// take removes a section from the row.
func (r *row) take(i int) {
	if i < len(r.env.Sections) {
		r.env.Sections[i] = nil
	}
}

func (r row) bytes() []byte {
	n := rowHead + len(r.env.Core)
	for _, s := range r.env.Sections {
		n += 4 + len(s)
	}
	b := make([]byte, 0, n+tagSize) // the tag follows
	b = append(b, byte(r.state))
	b = binary.BigEndian.AppendUint16(b, uint16(r.code))
	b = binary.BigEndian.AppendUint32(b, r.have)
	b = binary.BigEndian.AppendUint32(b, r.dropped)
	b = binary.BigEndian.AppendUint32(b, r.inline())
	b = append(b, r.id[:]...)
	b = append(b, r.env.Signature[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.env.Core)))
	b = append(b, r.env.Core...)
	for _, s := range r.env.Sections {
		if s != nil {
			b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// parseRow reads a row; what it returns is part of b.
func parseRow(b []byte) (r row, ok bool) {
	if len(b) < rowHead {
		return r, false
	}
	r.state = protocol.State(b[0])
	r.code = protocol.Code(binary.BigEndian.Uint16(b[1:]))
	r.have = binary.BigEndian.Uint32(b[3:])
	r.dropped = binary.BigEndian.Uint32(b[7:])
	inline := binary.BigEndian.Uint32(b[11:])
	copy(r.id[:], b[15:])
	copy(r.env.Signature[:], b[47:])
	b = b[rowHead-4:]
	part := func() (p []byte) {
		if len(b) < 4 {
			ok = false
			return nil
		}
		n := binary.BigEndian.Uint32(b)
		if uint64(n) > uint64(len(b)-4) {
			ok = false
			return nil
		}
		p, b = b[4:4+n:4+n], b[4+n:]
		return p
	}
	ok = true
	r.env.Core = part()
	for _, i := range bitList(inline) {
		for len(r.env.Sections) <= i {
			r.env.Sections = append(r.env.Sections, nil)
		}
		r.env.Sections[i] = part()
	}
	return r, ok && len(b) == 0
}
