package reconcile

import (
	"errors"
	"fmt"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// ErrPeer marks what no honest peer sends. The session is over; the peer pays.
var ErrPeer = errors.New("the peer broke the frontier exchange")

// Msg is one message: exactly one field is set.
type Msg struct {
	Digest  *crypto.Hash   `cbor:"1,keyasint,omitempty"`
	Buckets []BucketDigest `cbor:"2,keyasint,omitempty"`
	Page    *Page          `cbor:"3,keyasint,omitempty"`
}

// BucketDigest is the digest of one bucket that is not empty.
type BucketDigest struct {
	_      struct{} `cbor:",toarray"`
	Bucket uint8
	Digest crypto.Hash
}

// Page holds all entries of its sender whose feeds are in the buckets and from
// one ID to another, both included.
type Page struct {
	_        struct{} `cbor:",toarray"`
	Of       Buckets
	From, To protocol.FeedID
	Entries  []Entry
}

// Encode returns the message's bytes.
func (m Msg) Encode() []byte { return protocol.Encode(m) }

// Decode reads a message and checks what can be checked of it alone. Errors
// wrap [ErrPeer].
func Decode(b []byte) (Msg, error) {
	m, err := protocol.Decode[Msg](b, MaxMessage)
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return Msg{}, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	return m, nil
}

func (m Msg) check() error {
	set := 0
	if m.Digest != nil {
		set++
	}
	if m.Buckets != nil {
		set++
		for i, b := range m.Buckets {
			if i > 0 && m.Buckets[i-1].Bucket >= b.Bucket {
				return errors.New("buckets out of order")
			}
		}
	}
	if p := m.Page; p != nil {
		set++
		if err := p.check(); err != nil {
			return err
		}
	}
	if set != 1 {
		return fmt.Errorf("a message of %d kinds", set)
	}
	return nil
}

func (p *Page) check() error {
	if p.From.Compare(p.To) > 0 || p.Of == (Buckets{}) || len(p.Entries) > MaxPage {
		return errors.New("a page of no range, of no bucket or too long")
	}
	if err := checkEntries(p.Entries); err != nil {
		return err
	}
	for _, e := range p.Entries {
		if e.Feed.Compare(p.From) < 0 || e.Feed.Compare(p.To) > 0 || !p.Of.has(int(e.Feed[0])) {
			return fmt.Errorf("feed %s is not in the page's range", e.Feed.Short())
		}
	}
	return nil
}

// cut reports whether the page may end where it does, given where it should.
func (p *Page) cut(to protocol.FeedID) bool {
	return p.To == to || p.To.Compare(to) < 0 && len(p.Entries) == MaxPage && p.Entries[MaxPage-1].Feed == p.To
}
