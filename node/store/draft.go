package store

import (
	"encoding/binary"

	"github.com/dgraph-io/badger/v4"

	"github.com/national-alliance/alliance/protocol"
)

const (
	maxTxn   = 768 << 10 // bytes in one badger transaction; badger's own limit is 15% of the memtable
	maxRows  = 4096      // rows in one badger transaction
	maxPart  = 512 << 10 // bytes of a batch that are committed as one
	maxValue = 512 << 10 // of a named value

	maxOutbox = 64 << 20 // of an outbox entry
)

// draft is what a group of batches changes, over what is durable. It remembers
// how to undo the batch that it is working on, so that a batch that fails
// leaves no trace.
type draft struct {
	s      *Store
	txn    *badger.Txn // for reading
	rows   map[string][]byte
	order  []string
	size   int
	chains map[protocol.FeedID]protocol.Chain
	marks  map[string]*tag // tags of summed rows; nil: removed
	words  map[string]word
	totals totals
	found  []found
	undo   []func()
}

// found is a record (section -1) or a section that is here again.
type found struct {
	feed    protocol.FeedID
	seq     uint64
	section int
}

// save starts a batch; the function it returns takes the batch back.
func (d *draft) save() (undo func()) {
	d.undo = d.undo[:0]
	t, size, nf, no := d.totals.clone(), d.size, len(d.found), len(d.order)
	return func() {
		for i := len(d.undo) - 1; i >= 0; i-- {
			d.undo[i]()
		}
		d.totals, d.size, d.found, d.order = t, size, d.found[:nf], d.order[:no]
	}
}

func (d *draft) put(key, value []byte) {
	k := string(key)
	old, was := d.rows[k]
	if was {
		d.undo = append(d.undo, func() { d.rows[k] = old })
	} else {
		d.undo = append(d.undo, func() { delete(d.rows, k) })
		d.order = append(d.order, k)
	}
	d.rows[k] = value
	d.size += len(k) + len(value) + tagSize + 32
}

func (d *draft) del(key []byte) { d.put(key, nil) }

// get reads a row as the batches before left it. A row that is not there and
// one whose tag is wrong are the same ErrLost; the caller knows from the counts
// whether one must be there.
func (d *draft) get(key []byte) ([]byte, error) {
	if v, ok := d.rows[string(key)]; ok {
		if v == nil {
			return nil, ErrLost
		}
		return v, nil
	}
	v, _, err := d.s.read(d.txn, key)
	return v, err
}

// known reports whether a summed row is there.
func (d *draft) known(key []byte) bool {
	_, ok := d.mark(string(key))
	return ok
}

func (d *draft) mark(key string) (tag, bool) {
	if m, ok := d.marks[key]; ok {
		if m == nil {
			return tag{}, false
		}
		return *m, true
	}
	return d.s.marks.get(key) // only who has the turn writes them
}

// set puts a row of a kind that is counted and summed.
func (d *draft) set(kind byte, key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	t := d.s.tags.tag(key, value)
	d.remark(kind, string(key), &t)
	d.put(key, value)
	return nil
}

func (d *draft) unset(kind byte, key []byte) error {
	if d.known(key) {
		d.remark(kind, string(key), nil)
		d.del(key)
	}
	return nil
}

func (d *draft) remark(kind byte, key string, now *tag) {
	sum := &d.totals.Sums[summedIndex(kind)]
	if old, ok := d.mark(key); ok {
		sum.Count--
		sum.Sum.xor(old)
	}
	if now != nil {
		sum.Count++
		sum.Sum.xor(*now)
	}
	prev, was := d.marks[key]
	d.undo = append(d.undo, func() {
		if was {
			d.marks[key] = prev
		} else {
			delete(d.marks, key)
		}
	})
	d.marks[key] = now
}

func (d *draft) chain(feed protocol.FeedID) (protocol.Chain, bool) {
	if c, ok := d.chains[feed]; ok {
		return c, true
	}
	return d.s.durable(feed)
}

func (d *draft) setChain(feed protocol.FeedID, c protocol.Chain) {
	prev, was := d.chains[feed]
	d.undo = append(d.undo, func() {
		if was {
			d.chains[feed] = prev
		} else {
			delete(d.chains, feed)
		}
	})
	d.chains[feed] = c
	if !was {
		d.size += 2048
	}
}

// finish writes the rows that stand for the whole group: chains and totals.
func (d *draft) finish() {
	for feed, c := range d.chains {
		v := protocol.Encode(c)
		d.set(rowChain, keyFeed(rowChain, feed), v)
		d.put(keyFeed(rowChain2, feed), v)
	}
	d.totals.Commit++
	d.put(keyTotals, protocol.Encode(d.totals))
}

// idOf looks for the ID of a place: at the head, in the rows that hold it, or
// in the record after it.
func idOf(get func([]byte) ([]byte, error), feed protocol.FeedID, seq uint64, c protocol.Chain, network protocol.NetworkID) (id protocol.RecordID, ok bool) {
	if seq == c.Seq {
		return c.Head, seq > 0
	}
	if seq == 0 || seq > c.Seq {
		return id, false
	}
	if v, err := get(keySeq(rowID, feed, seq)); err == nil && len(v) == len(id) {
		copy(id[:], v)
		return id, true
	}
	if v, err := get(keyRecord(feed, seq)); err == nil {
		if r, ok := parseRow(v); ok && protocol.RecordIDOf(network, r.env.Core) == r.id {
			return r.id, true
		}
	}
	if v, err := get(keyRecord(feed, seq+1)); err == nil {
		if r, ok := parseRow(v); ok {
			if core, err := protocol.Decode[protocol.Core](r.env.Core, protocol.MaxCore); err == nil {
				return core.Prev, true
			}
		}
	}
	return id, false
}

func place(v []byte) (feed protocol.FeedID, seq uint64, ok bool) {
	if len(v) != len(feed)+8 {
		return feed, 0, false
	}
	copy(feed[:], v)
	return feed, binary.BigEndian.Uint64(v[len(feed):]), true
}
