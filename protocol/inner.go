package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// ErrUnreadable: the bytes are the ones that the core commits to, but they do
// not open, or what is inside is bound to another place. It is never shown,
// and reported to the author.
var ErrUnreadable = errors.New("section is unreadable")

// Inner is the header inside the seal. Every field that the core has too must
// be equal to it, so that no reader can pass a text off as another's, or as of
// another place.
type Inner struct {
	Network NetworkID   `cbor:"1,keyasint"`
	Author  OrgID       `cbor:"2,keyasint"`
	Node    NodeID      `cbor:"3,keyasint"`
	Feed    FeedID      `cbor:"4,keyasint"`
	Seq     uint64      `cbor:"5,keyasint"`
	Prev    RecordID    `cbor:"6,keyasint"`
	Nonce   [32]byte    `cbor:"7,keyasint"`
	Section uint64      `cbor:"8,keyasint"`
	Readers ReaderSet   `cbor:"9,keyasint"`
	Kind    string      `cbor:"10,keyasint"`           // "referral/send", …
	Time    int64       `cbor:"11,keyasint"`           // author's clock, Unix seconds
	Staff   string      `cbor:"12,keyasint,omitempty"` // pseudonym
	Refs    []RecordID  `cbor:"13,keyasint,omitempty"`
	Length  uint64      `cbor:"14,keyasint"` // of the body
	Hash    crypto.Hash `cbor:"15,keyasint"` // labelled hash of the body
}

// Content is what an author puts into one section and a reader gets out.
type Content struct {
	Set   uint64 // index of the reader set
	Kind  string
	Time  int64
	Staff string
	Refs  []RecordID
	Body  []byte
}

// plaintext lays a section out before sealing:
//
//	u32(len(inner)) ‖ inner ‖ body ‖ zeros up to seal.PaddedLen
func plaintext(core *Core, feed FeedID, set ReaderSet, section int, c Content) ([]byte, error) {
	if len(c.Body) > MaxBody || len(c.Kind) == 0 || len(c.Kind) > MaxKind || len(c.Refs) > MaxRefs || len(c.Staff) > MaxKind {
		return nil, fmt.Errorf("seal section: body, kind, staff or references too large: body at most %d bytes, %d references", MaxBody, MaxRefs)
	}
	in := Encode(&Inner{Network: core.Network, Author: core.Author, Node: core.Node, Feed: feed, Seq: core.Seq, Prev: core.Prev,
		Nonce: core.Nonce, Section: uint64(section), Readers: set, Kind: c.Kind, Time: c.Time, Staff: c.Staff, Refs: c.Refs,
		Length: uint64(len(c.Body)), Hash: bodyHash(core.Network, c.Body)})
	n := 4 + len(in) + len(c.Body)
	out := make([]byte, seal.PaddedLen(n))
	binary.BigEndian.PutUint32(out, uint32(len(in)))
	copy(out[4:], in)
	copy(out[4+len(in):], c.Body)
	return out, nil
}

func bodyHash(network NetworkID, body []byte) crypto.Hash {
	return crypto.Sum(labelBody, crypto.Hash(network), body)
}

// place is where a section stands, for its wrap key.
func place(core *Core, feed FeedID, section int) seal.Place {
	return seal.Place{Network: crypto.Hash(core.Network), Feed: crypto.Hash(feed), Seq: core.Seq, Section: section, Nonce: core.Nonce}
}

// OpenSection opens one section of a verified record under a feed key and
// compares every field of the inner header with the core. set is the reader
// set that the section is sealed to, from the record's key record. The error
// is [ErrUnreadable] where the fault is the author's, or ErrSection where the
// section is not here or the record may not be opened.
func (r *Record) OpenSection(i int, key seal.FeedKey, set ReaderSet) (Content, error) {
	sealed := r.Section(i)
	if sealed == nil || r.state != Linked || r.core.Data == nil {
		return Content{}, ErrSection
	}
	plain, err := seal.OpenSection(key, place(&r.core, r.feed, i), sealed)
	if err != nil {
		return Content{}, fmt.Errorf("%w: %v", ErrUnreadable, err)
	}
	return r.bound(i, plain, set)
}

func (r *Record) bound(i int, plain []byte, set ReaderSet) (Content, error) {
	bad := func(s string) (Content, error) { return Content{}, fmt.Errorf("%w: %s", ErrUnreadable, s) }
	if len(plain) < 4 {
		return bad("too short")
	}
	n := uint64(binary.BigEndian.Uint32(plain))
	if n > MaxInner || 4+n > uint64(len(plain)) {
		return bad("inner header too long")
	}
	in, err := DecodeOpen[Inner](plain[4:4+n], MaxInner)
	if err != nil {
		return bad("inner header is malformed")
	}
	rest := plain[4+n:]
	if in.Length > uint64(len(rest)) {
		return bad("body is cut off")
	}
	body, pad := rest[:in.Length], rest[in.Length:]
	for _, b := range pad {
		if b != 0 {
			return bad("padding is not zero")
		}
	}
	c := &r.core
	switch {
	case in.Network != c.Network, in.Author != c.Author, in.Node != c.Node, in.Feed != r.feed, in.Seq != c.Seq,
		in.Prev != c.Prev, in.Nonce != c.Nonce, in.Section != uint64(i):
		return bad("sealed for another place")
	case !in.Readers.equal(set):
		return bad("sealed for other readers")
	case in.Hash != bodyHash(c.Network, body):
		return bad("body does not match its hash")
	case len(in.Kind) == 0 || len(in.Kind) > MaxKind || len(in.Refs) > MaxRefs || len(in.Staff) > MaxKind:
		return bad("kind or references out of bounds")
	}
	return Content{Set: c.Data.Sections[i].Set, Kind: in.Kind, Time: in.Time, Staff: in.Staff, Refs: in.Refs, Body: body}, nil
}

func (s ReaderSet) equal(o ReaderSet) bool {
	if len(s.Readers) != len(o.Readers) || s.Commitment != o.Commitment {
		return false
	}
	for i := range s.Readers {
		if s.Readers[i] != o.Readers[i] {
			return false
		}
	}
	return true
}

// OpenKey opens the feed key of one reader set of a verified key record with
// the organisation's reading identities and compares it with the commitment.
func (r *Record) OpenKey(set int, ids ...*seal.Identity) (seal.FeedKey, error) {
	if r.core.Key == nil || r.state != Linked || set < 0 || set >= len(r.core.Key.Sections) {
		return seal.FeedKey{}, ErrSection
	}
	sealed := r.Section(set)
	if sealed == nil {
		return seal.FeedKey{}, ErrSection
	}
	if n, err := seal.KeyStanzas(sealed); err != nil || n != len(r.core.Key.Sets[set].Readers) {
		return seal.FeedKey{}, fmt.Errorf("%w: not sealed to each of its readers, once", ErrUnreadable)
	}
	key, err := seal.OpenKey(sealed, ids...)
	if err != nil {
		return seal.FeedKey{}, fmt.Errorf("%w: %v", ErrUnreadable, err)
	}
	if seal.Commit(key, crypto.Hash(r.core.Network), crypto.Hash(r.feed), r.core.Seq, set) != r.core.Key.Sets[set].Commitment {
		return seal.FeedKey{}, fmt.Errorf("%w: the feed key is not the committed one", ErrUnreadable)
	}
	return key, nil
}
