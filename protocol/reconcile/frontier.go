package reconcile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Limits.
const (
	MaxPage       = 1024      // entries of one page
	MaxEntries    = 1 << 18   // that a session takes from a peer
	MaxMessage    = 128 << 10 // bytes of an encoded message
	SmallFrontier = 128       // entries up to which buckets are not worth a message

	buckets = 256
)

// Entry is the newest record of one feed that a node holds without a gap
// before it.
type Entry struct {
	_    struct{} `cbor:",toarray"`
	Feed protocol.FeedID
	Seq  uint64 // from 1
	Head protocol.RecordID
}

// Frontier is a sorted list of entries and its digests. It does not change, and
// any number of sessions may share it.
type Frontier struct {
	entries []Entry
	starts  [buckets + 1]int // entries[starts[b]:starts[b+1]] is bucket b
	digests [buckets]crypto.Hash
	digest  crypto.Hash
}

// NewFrontier sorts a copy of entries. A feed named twice, a seq of 0 and a
// zero ID are errors.
func NewFrontier(network protocol.NetworkID, entries []Entry) (*Frontier, error) {
	f := &Frontier{entries: slices.Clone(entries)}
	// By index: entries are copied as seldom as can be.
	sort.Slice(f.entries, func(i, j int) bool { return bytes.Compare(f.entries[i].Feed[:], f.entries[j].Feed[:]) < 0 })
	if err := checkEntries(f.entries); err != nil {
		return nil, fmt.Errorf("make frontier: %w", err)
	}
	at := 0
	all := crypto.NewHash("frontier", crypto.Hash(network))
	var part [1 + crypto.HashSize]byte
	for b := range buckets {
		f.starts[b] = at
		for at < len(f.entries) && int(f.entries[at].Feed[0]) == b {
			at++
		}
		if f.starts[b] == at {
			continue
		}
		f.digests[b] = digestOf(network, f.entries[f.starts[b]:at])
		part[0] = byte(b)
		copy(part[1:], f.digests[b][:])
		all.Part(part[:])
	}
	f.starts[buckets] = at
	f.digest = all.Sum()
	return f, nil
}

// Len returns the number of feeds.
func (f *Frontier) Len() int { return len(f.entries) }

func digestOf(network protocol.NetworkID, entries []Entry) crypto.Hash {
	b := make([]byte, 0, len(entries)*(2*crypto.HashSize+8))
	for _, e := range entries {
		b = append(b, e.Feed[:]...)
		b = binary.BigEndian.AppendUint64(b, e.Seq)
		b = append(b, e.Head[:]...)
	}
	return crypto.Sum("frontier-bucket", crypto.Hash(network), b)
}

// checkEntries wants a strictly ascending list of entries that say something.
func checkEntries(list []Entry) error {
	for i, e := range list {
		switch {
		case i > 0 && list[i-1].Feed.Compare(e.Feed) >= 0:
			return fmt.Errorf("feed %s is named twice or out of order", e.Feed.Short())
		case e.Seq == 0 || e.Head.IsZero():
			return fmt.Errorf("feed %s has an entry without a record", e.Feed.Short())
		}
	}
	return nil
}

// page returns the entries of the chosen buckets from one ID to another, both
// included, at most MaxPage, and how far they go.
func (f *Frontier) page(of *Buckets, from, to protocol.FeedID) (list []Entry, end protocol.FeedID) {
	for b := int(from[0]); b <= int(to[0]); b++ {
		if !of.has(b) {
			continue
		}
		in := f.entries[f.starts[b]:f.starts[b+1]]
		i := sort.Search(len(in), func(i int) bool { return in[i].Feed.Compare(from) >= 0 })
		for _, e := range in[i:] {
			if e.Feed.Compare(to) > 0 {
				return list, to
			}
			if list = append(list, e); len(list) == MaxPage {
				return list, e.Feed
			}
		}
	}
	return list, to
}

// Buckets is a set of buckets: bit 7 of byte 0 is bucket 0.
type Buckets [buckets / 8]byte

func (s *Buckets) has(b int) bool { return s[b/8]&(0x80>>(b%8)) != 0 }
func (s *Buckets) add(b int)      { s[b/8] |= 0x80 >> (b % 8) }

var (
	firstFeed  protocol.FeedID
	lastFeed   = protocol.FeedID(slices.Repeat([]byte{0xff}, crypto.HashSize))
	allBuckets = Buckets(slices.Repeat([]byte{0xff}, buckets/8))
)

// after returns the next ID; the last has none.
func after(id protocol.FeedID) protocol.FeedID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
