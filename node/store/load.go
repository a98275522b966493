package store

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/national-alliance/alliance/protocol"
)

var kindNames = map[byte]string{rowChain: "feeds", rowOwed: "owed sections", rowReceipt: "receipts", rowFork: "forks",
	rowNote: "notes", rowOutbox: "outbox", rowMeta: "values"}

// load reads what is kept in memory, and compares it with the counts, the sums
// and the commit counter.
func (s *Store) load() error {
	damage := Damage{Journal: s.torn}
	t := totals{Network: s.network, Sums: make([]sum, len(summed))}
	chains := make(map[protocol.FeedID]protocol.Chain)
	marks := make(marks)
	sums := make([]sum, len(summed))

	if v, err := s.get(keyTotals); err == nil {
		if t, err = protocol.Decode[totals](v, 1<<16); err != nil {
			return fmt.Errorf("%w (totals: %v)", ErrUnusable, err)
		}
		if t.Network != s.network {
			return ErrNetwork
		}
		for len(t.Sums) < len(summed) {
			t.Sums = append(t.Sums, sum{})
		}
	} else if s.anyRow() {
		damage.Kinds = append(damage.Kinds, "totals")
	}

	if err := s.loadChains(chains, marks); err != nil {
		return err
	}
	for _, kind := range summed {
		if kind == rowChain {
			continue
		}
		err := s.each([]byte{kind}, []byte{kind}, func(key, _ []byte, t tag, good bool) error {
			if good {
				marks.set(string(key), &t)
			}
			return nil
		})
		if err != nil {
			damage.Kinds = append(damage.Kinds, kindNames[kind])
		}
	}
	for _, group := range marks {
		for k, m := range group {
			i := summedIndex(k[0])
			sums[i].Count++
			sums[i].Sum.xor(m)
		}
	}
	for i, kind := range summed {
		if sums[i] != t.Sums[i] {
			damage.Kinds = append(damage.Kinds, kindNames[kind])
		}
	}
	t.Sums = sums

	n, whole, torn := s.counter.read()
	switch {
	case n > t.Commit:
		damage.Commits = n - t.Commit
		t.Commit = n
	case t.Commit > 0 && (whole == 0 || torn):
		damage.Counter = true
	}
	if n < t.Commit || whole == 0 || torn {
		if err := s.counter.rewrite(t.Commit); err != nil {
			s.log.Warn("the commit counter could not be written", "error", err)
		}
	}

	lost := make(map[protocol.FeedID]map[uint64]*Lost)
	for feed, c := range chains {
		if c.Seq == 0 {
			continue
		}
		if id, ok := s.rowID(feed, c.Seq); !ok || id != c.Head {
			damage.Heads = append(damage.Heads, feed)
			noteLost(lost, &Lost{Feed: feed, Seq: c.Seq, Core: true})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chains, s.marks, s.totals, s.lost, s.damage = chains, marks, t, lost, damage
	s.words = make(map[string]word)
	return nil
}

// loadChains takes the newer of a feed's two rows.
func (s *Store) loadChains(chains map[protocol.FeedID]protocol.Chain, marks marks) error {
	for _, kind := range []byte{rowChain, rowChain2} {
		err := s.each([]byte{kind}, []byte{kind}, func(key, v []byte, t tag, good bool) error {
			if !good || len(key) != 1+len(protocol.FeedID{}) {
				return nil
			}
			feed := protocol.FeedID(key[1:])
			c, err := protocol.Decode[protocol.Chain](v, 1<<26)
			if err != nil {
				return nil // written by us under a good tag: a newer program's
			}
			if old, ok := chains[feed]; ok && old.Seq >= c.Seq {
				return nil
			}
			chains[feed] = c
			k := keyFeed(rowChain, feed)
			if kind != rowChain {
				t = s.tags.tag(k, v)
			}
			marks.set(string(k), &t)
			return nil
		})
		if err != nil {
			s.log.Error("reading the feeds' heads", "error", err)
		}
	}
	return nil
}

// rowID returns the ID of a record whose row is whole.
func (s *Store) rowID(feed protocol.FeedID, seq uint64) (protocol.RecordID, bool) {
	v, err := s.get(keyRecord(feed, seq))
	if err != nil {
		return protocol.RecordID{}, false
	}
	r, ok := parseRow(v)
	return r.id, ok && protocol.RecordIDOf(s.network, r.env.Core) == r.id
}

// anyRow reports whether the database holds anything at all.
func (s *Store) anyRow() (any bool) {
	s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		it.Rewind()
		any = it.Valid()
		return nil
	})
	return any
}
