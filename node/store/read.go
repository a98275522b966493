package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/national-alliance/alliance/protocol"
)

// Lost is the [ErrLost] of a record: what of it was stored once and is damaged
// or gone.
type Lost struct {
	Feed     protocol.FeedID
	Seq      uint64
	Core     bool  // the record itself, and with it all sections
	Sections []int // where Core is false
}

func (l *Lost) Error() string {
	if l.Core {
		return fmt.Sprintf("record %d of feed %s: %v", l.Seq, l.Feed.Short(), ErrLost)
	}
	return fmt.Sprintf("sections %v of record %d of feed %s: %v", l.Sections, l.Seq, l.Feed.Short(), ErrLost)
}

func (l *Lost) Is(target error) bool { return target == ErrLost }

// Chain returns a feed's chain as far as it is durable; false for a feed that
// holds nothing yet.
func (s *Store) Chain(feed protocol.FeedID) (protocol.Chain, bool) { return s.durable(feed) }

func (s *Store) durable(feed protocol.FeedID) (protocol.Chain, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.chains[feed]
	return c, ok
}

// FeedChain is a feed and its chain.
type FeedChain struct {
	Feed  protocol.FeedID
	Chain protocol.Chain
}

// Feeds returns all feeds, sorted by ID.
func (s *Store) Feeds() []FeedChain {
	return s.feeds(func(protocol.Chain) bool { return true })
}

// FeedsOf returns the feeds of one author node, sorted by ID.
func (s *Store) FeedsOf(node protocol.NodeID) []FeedChain {
	return s.feeds(func(c protocol.Chain) bool { return c.Node == node })
}

func (s *Store) feeds(which func(protocol.Chain) bool) (out []FeedChain) {
	s.mu.RLock()
	for f, c := range s.chains {
		if which(c) {
			out = append(out, FeedChain{f, c})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(out, func(a, b FeedChain) int { return a.Feed.Compare(b.Feed) })
	return out
}

// Record returns a record with all of its sections that are stored, every hash
// checked. Errors: [ErrAbsent] for a seq above the head; [*Lost], which is
// [ErrLost], for damage: if only sections are lost, the record is returned
// beside it without them.
func (s *Store) Record(feed protocol.FeedID, seq uint64) (rec *protocol.Record, err error) {
	c, _ := s.durable(feed)
	if seq == 0 || seq > c.Seq {
		return nil, fmt.Errorf("record %d of a feed with %d: %w", seq, c.Seq, ErrAbsent)
	}
	verr := s.view(func(txn *badger.Txn) error {
		rec, err = s.record(txn, feed, seq)
		return nil
	})
	if verr != nil {
		return nil, verr
	}
	return rec, err
}

// record reads one record at or below the head.
func (s *Store) record(txn *badger.Txn, feed protocol.FeedID, seq uint64) (*protocol.Record, error) {
	v, _, err := s.read(txn, keyRecord(feed, seq))
	if err != nil {
		return nil, s.lose(&Lost{Feed: feed, Seq: seq, Core: true})
	}
	return s.rest(txn, feed, seq, v)
}

// rest makes a record of its row and the sections in pieces.
func (s *Store) rest(txn *badger.Txn, feed protocol.FeedID, seq uint64, v []byte) (*protocol.Record, error) {
	r, rec, ok := s.reload(v, feed, seq)
	if !ok {
		return nil, s.lose(&Lost{Feed: feed, Seq: seq, Core: true})
	}
	var gone []int
	if apart := r.have &^ r.inline(); apart != 0 {
		for i, ref := range rec.Core().Sections() {
			if apart&(1<<i) == 0 {
				continue
			}
			if sealed, ok := s.pieces(txn, feed, seq, i, ref.Length); !ok || rec.Attach(i, sealed) != nil {
				gone = append(gone, i)
			}
		}
	}
	if gone != nil {
		return rec, s.lose(&Lost{Feed: feed, Seq: seq, Sections: gone})
	}
	s.whole(feed, seq)
	return rec, nil
}

func (s *Store) pieces(txn *badger.Txn, feed protocol.FeedID, seq uint64, i int, length uint64) ([]byte, bool) {
	var sealed []byte
	for p := 0; p < pieceCount(length); p++ {
		v, _, err := s.read(txn, keyPiece(feed, seq, i, p))
		if err != nil {
			return nil, false
		}
		if sealed == nil && uint64(len(v)) == length {
			return v, true
		}
		sealed = append(sealed, v...)
	}
	return sealed, true
}

// reload turns a record row into the record with those of its sections that
// stand in it.
func (s *Store) reload(v []byte, feed protocol.FeedID, seq uint64) (row, *protocol.Record, bool) {
	r, ok := parseRow(v)
	if !ok {
		return r, nil, false
	}
	rec, err := protocol.Reload(s.network, r.id, r.env, r.state, r.code)
	if err != nil || rec.Feed() != feed || rec.Core().Seq != seq {
		return r, nil, false
	}
	return r, rec, true
}

// Range calls f for the records from seq from to seq to, both included, in
// order, and no further than the head. It stops at the first error: that of f,
// or [*Lost] at a damaged record or section, after which the caller may go on
// with the next seq.
func (s *Store) Range(feed protocol.FeedID, from, to uint64, f func(*protocol.Record) error) error {
	c, _ := s.durable(feed)
	to = min(to, c.Seq)
	for from = max(from, 1); from <= to; {
		recs, rerr, err := s.stretch(feed, from, to)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if err := f(rec); err != nil {
				return err
			}
		}
		if rerr != nil {
			return rerr
		}
		from += uint64(len(recs))
	}
	return nil
}

const stretchSize = 512 << 10 // bytes that are read in one go

// stretch reads some records in one pass over their rows. lost is that of the
// record after them, where it is damaged.
func (s *Store) stretch(feed protocol.FeedID, from, to uint64) (recs []*protocol.Record, lost, err error) {
	err = s.view(func(txn *badger.Txn) error {
		// What was acknowledged before must be seen, and an iterator sees badger
		// alone; where this fails, row finds what is fresh.
		s.give()
		it := &rowIterator{s: s, txn: txn, feed: feed}
		defer it.close()
		for size := 0; from <= to && size < stretchSize; from++ {
			var rec *protocol.Record
			if v, ok := it.row(from); ok {
				rec, lost = s.rest(txn, feed, from, v)
			} else { // asked for by its key, a vanished row is told from a broken iteration
				rec, lost = s.record(txn, feed, from)
			}
			if lost != nil {
				return nil
			}
			size += len(rec.CoreBytes()) + 512
			for i := range rec.Core().Sections() {
				size += len(rec.Section(i))
			}
			recs = append(recs, rec)
		}
		return nil
	})
	return recs, lost, err
}

// rowIterator passes over a feed's record rows.
type rowIterator struct {
	s    *Store
	txn  *badger.Txn
	feed protocol.FeedID
	it   *badger.Iterator
	bad  bool
}

// row returns the row of a record, false where it is not at its place or its
// tag is wrong. seq grows from call to call.
func (r *rowIterator) row(seq uint64) (v []byte, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			r.bad = true
			v, ok = nil, false
		}
	}()
	if r.bad {
		return nil, false
	}
	key := keyRecord(r.feed, seq)
	raw, ok := r.s.fresh.get(key)
	if ok {
		v, _, ok = r.s.tags.open(key, raw)
		return v, ok
	}
	if r.it == nil {
		o := badger.DefaultIteratorOptions
		o.Prefix, o.PrefetchValues = keyFeed(rowRecord, r.feed), false
		r.it = r.txn.NewIterator(o)
		r.it.Seek(key)
	}
	for r.it.Valid() && bytes.Compare(r.it.Item().Key(), key) < 0 { // pieces of sections
		r.it.Next()
	}
	if !r.it.Valid() || !bytes.Equal(r.it.Item().Key(), key) {
		return nil, false
	}
	raw, err := r.it.Item().ValueCopy(nil)
	if err != nil {
		return nil, false
	}
	v, _, ok = r.s.tags.open(key, raw)
	return v, ok
}

func (r *rowIterator) close() {
	if r.it == nil {
		return
	}
	defer func() { recover() }() // over damaged bytes
	r.it.Close()
}

// ID returns the record ID at a place, also where the record itself is lost;
// false where it never was or is not known any more.
func (s *Store) ID(feed protocol.FeedID, seq uint64) (protocol.RecordID, bool) {
	c, _ := s.durable(feed)
	return idOf(s.get, feed, seq, c, s.network)
}

// names returns the keys of a summed kind, or of one feed where the kind is
// kept by feed, sorted. They are in memory, so a row that vanished still has
// its name here.
func (s *Store) names(group []byte) (out []string) {
	s.mu.RLock()
	for k := range s.marks[string(group)] {
		out = append(out, k)
	}
	s.mu.RUnlock()
	slices.Sort(out)
	return out
}

func (s *Store) named(key []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.marks.get(string(key))
	return ok
}

// summedRow reads a row of a counted kind: it is there, absent or lost.
func (s *Store) summedRow(key []byte) ([]byte, error) {
	if !s.named(key) {
		return nil, ErrAbsent
	}
	v, err := s.get(key)
	if err != nil && !s.named(key) {
		return nil, ErrAbsent
	}
	return v, err
}

// Receipts returns the newest receipt of every node for a feed, sorted by node.
// With an [ErrLost] those that are left are returned.
func (s *Store) Receipts(feed protocol.FeedID) (out []protocol.SignedReceipt, err error) {
	for _, k := range s.names(keyFeed(rowReceipt, feed)) {
		v, rerr := s.summedRow([]byte(k))
		if rerr != nil || len(v) < 16 {
			err = fmt.Errorf("receipts of feed %s: %w", feed.Short(), ErrLost)
			continue
		}
		r, rerr := protocol.Decode[protocol.SignedReceipt](v[16:], protocol.MaxReceipt+1024)
		if rerr != nil {
			err = fmt.Errorf("receipts of feed %s: %w", feed.Short(), ErrLost)
			continue
		}
		out = append(out, r)
	}
	return out, err
}

// Forked returns the fork proof of a feed, [ErrAbsent] where there is none.
func (s *Store) Forked(feed protocol.FeedID) (*protocol.Fork, error) {
	v, err := s.summedRow(keyFeed(rowFork, feed))
	if err != nil {
		return nil, fmt.Errorf("fork proof: %w", err)
	}
	f, err := protocol.Decode[protocol.Fork](v, 4*protocol.MaxCore)
	if err != nil {
		return nil, fmt.Errorf("fork proof: %w", ErrLost)
	}
	return &f, nil
}

// Forks lists the feeds with a fork proof.
func (s *Store) Forks() (out []protocol.FeedID) {
	for _, k := range s.names([]byte{rowFork}) {
		out = append(out, protocol.FeedID([]byte(k[1:])))
	}
	return out
}

// LeafCount is how many register leaves are here.
func (s *Store) LeafCount() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.totals.Leaves
}

// Accepted is the register size last accepted; 0 before the first.
func (s *Store) Accepted() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.totals.Accepted
}

// Leaves calls f for the leaves from index from up to, and without, index to,
// in order, and no further than there are. It stops at the first error: that of
// f, or [ErrLost], which names the leaf; it is put back with [Batch.Leaf].
func (s *Store) Leaves(from, to uint64, f func(index uint64, leaf []byte) error) error {
	to = min(to, s.LeafCount())
	for from < to {
		var leaves [][]byte
		var lerr error
		start := from
		err := s.view(func(txn *badger.Txn) error {
			for n := 0; n < 64 && from < to; n++ {
				v, _, err := s.read(txn, keyNumber(rowLeaf, from))
				if err != nil {
					lerr = fmt.Errorf("register leaf %d: %w", from, err)
					return nil
				}
				leaves = append(leaves, v)
				from++
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, l := range leaves {
			if err := f(start+uint64(i), l); err != nil {
				return err
			}
		}
		if lerr != nil {
			return lerr
		}
	}
	return nil
}

// Note returns the checkpoint note at a register size.
func (s *Store) Note(size uint64) ([]byte, error) {
	v, err := s.summedRow(keyNumber(rowNote, size))
	if err != nil {
		return nil, fmt.Errorf("note at size %d: %w", size, err)
	}
	return v, nil
}

// Notes lists the register sizes from from to to, both included, that have a
// note, ascending.
func (s *Store) Notes(from, to uint64) (out []uint64) {
	for _, k := range s.names([]byte{rowNote}) {
		if n := binary.BigEndian.Uint64([]byte(k[1:])); from <= n && n <= to {
			out = append(out, n)
		}
	}
	return out
}

// Outbox lists the names of the entries to be sent, sorted.
func (s *Store) Outbox() (out []string) {
	for _, k := range s.names([]byte{rowOutbox}) {
		out = append(out, k[1:])
	}
	return out
}

// OutboxEntry returns an entry's bytes.
func (s *Store) OutboxEntry(name string) ([]byte, error) {
	v, err := s.summedRow(keyName(rowOutbox, name))
	if err != nil {
		return nil, fmt.Errorf("outbox entry: %w", err)
	}
	if len(v) != 8+sha256.Size {
		return nil, fmt.Errorf("outbox entry: %w", ErrLost)
	}
	var out []byte
	for p := 0; p < pieceCount(binary.BigEndian.Uint64(v)); p++ {
		b, err := s.get(keyOutboxPiece(name, p))
		if err != nil {
			return nil, fmt.Errorf("outbox entry: %w", err)
		}
		out = append(out, b...)
	}
	if sha256.Sum256(out) != [sha256.Size]byte(v[8:]) {
		return nil, fmt.Errorf("outbox entry: %w", ErrLost)
	}
	return out, nil
}

// Meta returns a named value; [ErrAbsent] where there is none.
func (s *Store) Meta(name string) ([]byte, error) {
	v, err := s.summedRow(keyName(rowMeta, name))
	if err != nil {
		return nil, fmt.Errorf("value %q: %w", name, err)
	}
	return v, nil
}

// MetaUint returns a named number; [ErrAbsent] where there is none.
func (s *Store) MetaUint(name string) (uint64, error) {
	v, err := s.Meta(name)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("value %q is not a number: %w", name, ErrConflict)
	}
	return binary.BigEndian.Uint64(v), nil
}
