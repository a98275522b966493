package protocol

import (
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
)

// Labels of this package's hashes and signatures.
const (
	labelFeed    crypto.Label = "feed"
	labelRecord  crypto.Label = "record"
	labelReceipt crypto.Label = "receipt"
	labelHead    crypto.Label = "head"
	labelBody    crypto.Label = "body"
)

// Audience says to whom a feed is addressed: a list, or a group.
type Audience struct {
	// Orgs is sorted and without duplicates: 1 to MaxAudience organisations
	// without the author's own, or the author's own alone. Empty for a group.
	Orgs []OrgID `cbor:"1,keyasint,omitempty"`
	// Group names a group of the register; empty for a list.
	Group GroupID `cbor:"2,keyasint,omitempty"`
	// Except is sorted: up to MaxExceptions organisations that a group's
	// record does not reach.
	Except []OrgID `cbor:"3,keyasint,omitempty"`
}

// ListAudience returns the audience of these organisations, sorted, each once.
func ListAudience(orgs ...OrgID) Audience {
	o := slices.Clone(orgs)
	slices.SortFunc(o, OrgID.Compare)
	return Audience{Orgs: slices.Compact(o)}
}

// Reader is one organisation of a reader set, with the epoch of the key that
// the feed key is sealed to.
type Reader struct {
	Org   OrgID  `cbor:"1,keyasint"`
	Epoch uint64 `cbor:"2,keyasint"`
}

// ReaderSet is a part of the audience, sorted by organisation, the author's
// own always in it. A group's one set lists nobody.
type ReaderSet struct {
	Readers    []Reader    `cbor:"1,keyasint,omitempty"`
	Commitment crypto.Hash `cbor:"2,keyasint"` // crypto/seal.Commit of the set's feed key
}

// Has reports whether an organisation is in the set.
func (s ReaderSet) Has(org OrgID) bool {
	_, ok := slices.BinarySearchFunc(s.Readers, org, func(r Reader, o OrgID) int { return r.Org.Compare(o) })
	return ok
}

// SectionRef commits a core to a section's sealed bytes.
type SectionRef struct {
	Set    uint64   `cbor:"1,keyasint"` // index into the key record's sets
	Length uint64   `cbor:"2,keyasint"` // of the sealed bytes
	SHA256 [32]byte `cbor:"3,keyasint"` // plain SHA-256 of the sealed bytes
}

// KeyBody makes a core a key record.
type KeyBody struct {
	Custodians []OrgID      `cbor:"1,keyasint,omitempty"` // sorted
	Sets       []ReaderSet  `cbor:"2,keyasint"`           // 1 to MaxSets; set 0 is the whole audience
	Sections   []SectionRef `cbor:"3,keyasint,omitempty"` // one a set, in order; none for a group
	Honours    [][]byte     `cbor:"4,keyasint,omitempty"` // signed take-away operations
}

// DataBody makes a core a data record.
type DataBody struct {
	Key      uint64       `cbor:"1,keyasint"` // seq of the feed's newest key record not refused
	Sections []SectionRef `cbor:"2,keyasint"` // 1 to MaxSections; section 0 is of set 0
}

// Core is the clear part of a record: what routes, orders and binds it. Its
// encoding is deterministic CBOR with exactly these fields; exactly one of Key
// and Data stands.
type Core struct {
	Version  uint64      `cbor:"1,keyasint"`
	Network  NetworkID   `cbor:"2,keyasint"`
	Author   OrgID       `cbor:"3,keyasint"`
	Node     NodeID      `cbor:"4,keyasint"`
	Audience Audience    `cbor:"5,keyasint"`
	Seq      uint64      `cbor:"6,keyasint"` // from 1
	Prev     RecordID    `cbor:"7,keyasint"` // zero at seq 1
	Size     uint64      `cbor:"8,keyasint"` // author's accepted checkpoint
	Root     crypto.Hash `cbor:"9,keyasint"`
	Day      Day         `cbor:"10,keyasint"`
	Expiry   Day         `cbor:"11,keyasint"` // custodians drop the sections after it
	Nonce    [32]byte    `cbor:"12,keyasint"` // fresh for every record
	Key      *KeyBody    `cbor:"13,keyasint,omitempty"`
	Data     *DataBody   `cbor:"14,keyasint,omitempty"`
}

// Sections returns the core's section list, of either kind.
func (c *Core) Sections() []SectionRef {
	switch {
	case c.Key != nil:
		return c.Key.Sections
	case c.Data != nil:
		return c.Data.Sections
	}
	return nil
}

// Envelope is a record as it travels: the signed core and the sections the
// holder has, nil where it has none (not entitled, erased, not yet fetched).
type Envelope struct {
	Core      []byte           `cbor:"1,keyasint"`
	Signature crypto.Signature `cbor:"2,keyasint"`
	Sections  [][]byte         `cbor:"3,keyasint,omitempty"`
}

// FeedIDOf returns the feed of one author node for one audience.
func FeedIDOf(network NetworkID, node NodeID, a Audience) FeedID {
	return FeedID(crypto.Sum(labelFeed, crypto.Hash(network), node[:], Encode(&a)))
}

// RecordIDOf returns the identifier of a record: the labelled hash of its core
// bytes as received.
func RecordIDOf(network NetworkID, core []byte) RecordID {
	return RecordID(crypto.Sum(labelRecord, crypto.Hash(network), core))
}

// SignCore signs core bytes with the author node's key.
func SignCore(key crypto.PrivateKey, network NetworkID, core []byte) crypto.Signature {
	return key.Sign(labelRecord, crypto.Hash(network), core)
}

// shape checks what a core must satisfy whatever the register says. Authors
// and verifiers both call it. A core without shape is undecodable: dropped.
func (c *Core) shape() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: core: %s", ErrEncoding, fmt.Sprintf(format, a...))
	}
	if c.Version != Version {
		return bad("version %d", c.Version)
	}
	if (c.Key == nil) == (c.Data == nil) {
		return bad("exactly one of key and data must stand")
	}
	if c.Seq == 0 || (c.Seq == 1) != c.Prev.IsZero() {
		return bad("seq and prev do not fit")
	}
	if c.Seq == 1 && c.Key == nil {
		return bad("a feed opens with a key record")
	}
	if c.Size == 0 {
		return bad("no register checkpoint")
	}
	if err := c.Audience.shape(c.Author); err != nil {
		return err
	}
	if k := c.Key; k != nil {
		group := c.Audience.Group != ""
		switch {
		case len(k.Sets) == 0 || len(k.Sets) > MaxSets:
			return bad("%d reader sets", len(k.Sets))
		case group && (len(k.Sets) != 1 || len(k.Sections) != 0 || len(k.Sets[0].Readers) != 0):
			return bad("a group's key record has one set, no readers and no sections")
		case !group && len(k.Sections) != len(k.Sets):
			return bad("one section a set")
		case len(k.Custodians) > MaxCustodians || len(k.Honours) > MaxHonours:
			return bad("too many custodians or take-away operations")
		case !sortedOrgs(k.Custodians):
			return bad("custodians not sorted")
		}
		for i, s := range k.Sets {
			if len(s.Readers) > MaxReaders {
				return bad("set %d has %d readers", i, len(s.Readers))
			}
			for j, r := range s.Readers {
				if r.Epoch == 0 || j > 0 && s.Readers[j-1].Org.Compare(r.Org) >= 0 {
					return bad("readers of set %d not sorted, or without epoch", i)
				}
			}
		}
		for i, r := range k.Sections {
			if r.Set != uint64(i) || r.Length == 0 || r.Length > MaxSection {
				return bad("section %d", i)
			}
		}
		for _, h := range k.Honours {
			if len(h) == 0 || len(h) > MaxOp {
				return bad("take-away operation of %d bytes", len(h))
			}
		}
	}
	if d := c.Data; d != nil {
		if len(d.Sections) == 0 || len(d.Sections) > MaxSections || d.Key == 0 || d.Key >= c.Seq {
			return bad("sections or key")
		}
		for i, r := range d.Sections {
			if r.Set >= MaxSets || r.Length == 0 || r.Length > MaxSection {
				return bad("section %d", i)
			}
		}
	}
	return nil
}

func (a Audience) shape(author OrgID) error {
	bad := func(s string) error { return fmt.Errorf("%w: audience: %s", ErrEncoding, s) }
	if a.Group != "" {
		if len(a.Orgs) != 0 || len(a.Group) > MaxGroup || len(a.Except) > MaxExceptions || !sortedOrgs(a.Except) {
			return bad("a group takes no list, and sorted exceptions")
		}
		return nil
	}
	switch {
	case len(a.Except) != 0:
		return bad("a list takes no exceptions")
	case len(a.Orgs) == 0 || len(a.Orgs) > MaxAudience || !sortedOrgs(a.Orgs):
		return bad("1 to 32 organisations, sorted, each once")
	case len(a.Orgs) > 1 && slices.Contains(a.Orgs, author):
		return bad("the author's own organisation stands only alone")
	}
	return nil
}

func (a Audience) equal(b Audience) bool {
	return a.Group == b.Group && slices.Equal(a.Orgs, b.Orgs) && slices.Equal(a.Except, b.Except)
}

func sortedOrgs(o []OrgID) bool {
	for i := 1; i < len(o); i++ {
		if o[i-1].Compare(o[i]) >= 0 {
			return false
		}
	}
	return true
}

// VerifyCore checks core bytes against one author key, whatever the register
// says: a node does so with its own, to know its own hand.
func VerifyCore(key crypto.PublicKey, network NetworkID, core []byte, sig crypto.Signature) error {
	return crypto.Verify(key, labelRecord, crypto.Hash(network), core, sig)
}
