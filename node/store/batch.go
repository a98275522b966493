package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/national-alliance/alliance/protocol"
)

// Batch collects operations that become durable together. Its zero value is
// empty and ready. Values given to it are not copied and must not change until
// it is committed. A batch of up to 512 KiB besides sections is atomic; a
// larger one may be cut between two operations by a power cut, in order.
type Batch struct {
	ops  []op
	size int
}

type op struct {
	size  int
	apply func(*draft) error
}

// Empty reports whether the batch holds no operation.
func (b *Batch) Empty() bool { return len(b.ops) == 0 }

func (b *Batch) add(size int, apply func(*draft) error) {
	b.ops = append(b.ops, op{size, apply})
	b.size += size
}

// Link appends a verified record to its feed, with those of its sections that
// it holds, and replaces the feed's chain by the one that protocol.Chain.Link
// returned with it. The record must follow the stored head, or the commit fails
// with protocol.ErrKnown, ErrGap or ErrDiverged.
func (b *Batch) Link(rec *protocol.Record, chain protocol.Chain) {
	size := len(rec.CoreBytes()) + 1024
	for i := range rec.Core().Sections() {
		size += len(rec.Section(i))
	}
	b.add(size, func(d *draft) error { return d.link(rec, chain) })
}

// Section stores one section's sealed bytes of a record that is here. Bytes
// that are not the ones its core commits to are refused with
// protocol.ErrSection.
func (b *Batch) Section(feed protocol.FeedID, seq uint64, i int, sealed []byte) {
	b.add(len(sealed)+1024, func(d *draft) error { return d.section(feed, seq, i, sealed) })
}

// Drop removes a section on purpose: an expired one, or one whose author
// erased it. It is not lost and not wanted after that.
func (b *Batch) Drop(feed protocol.FeedID, seq uint64, i int) {
	b.add(1024, func(d *draft) error { return d.drop(feed, seq, i) })
}

// Owe notes sections of a record that this node is entitled to and does not
// have yet. Each stands in [Store.Wants] until it is stored or dropped.
func (b *Batch) Owe(feed protocol.FeedID, seq uint64, sections ...int) {
	b.add(128, func(d *draft) error { return d.owe(feed, seq, sections) })
}

// Restore puts a record back whose row was lost, at its place below or at the
// head. Its ID must be the one known for that place, else protocol.ErrSection;
// where none is known any more, restore the record after it first. The caller
// has verified the signature (protocol.Open). Sections come along if they are
// in the envelope. A record that is not lost stays as it is.
func (b *Batch) Restore(env protocol.Envelope) {
	size := len(env.Core) + 1024
	for _, s := range env.Sections {
		size += len(s)
	}
	b.add(size, func(d *draft) error { return d.restore(env) })
}

// Receipt keeps a verified receipt. Of a node and feed the newest stands: with
// the higher seq, or at the same seq the one that vouches for more. Others are
// passed over without an error.
func (b *Batch) Receipt(signed protocol.SignedReceipt, r protocol.Receipt) {
	b.add(len(signed.Body)+256, func(d *draft) error { return d.receipt(signed, r) })
}

// Fork keeps a verified proof that a feed's author signed two records at one
// place. The first one of a feed stands.
func (b *Batch) Fork(feed protocol.FeedID, proof *protocol.Fork) {
	b.add(len(proof.A.Core)+len(proof.B.Core)+512, func(d *draft) error { return d.fork(feed, proof) })
}

// Leaf appends a register leaf. index counts from 0 and must be the number of
// leaves here. The same leaf again changes nothing, unless it was lost; another
// one at its place is ErrConflict.
func (b *Batch) Leaf(index uint64, leaf []byte) {
	b.add(len(leaf)+128, func(d *draft) error { return d.leaf(index, leaf) })
}

// Note keeps the checkpoint note at a register size; a later one of the same
// size replaces it.
func (b *Batch) Note(size uint64, note []byte) {
	b.add(len(note)+128, func(d *draft) error { return d.set(rowNote, keyNumber(rowNote, size), note) })
}

// Accept moves the accepted register size forward. It never goes back and is
// never above the number of leaves.
func (b *Batch) Accept(size uint64) {
	b.add(64, func(d *draft) error {
		if size > d.totals.Leaves {
			return fmt.Errorf("accept register size %d with %d leaves here: %w", size, d.totals.Leaves, ErrConflict)
		}
		d.totals.Accepted = max(d.totals.Accepted, size)
		return nil
	})
}

// Outbox keeps an entry to be sent, under a name that the caller chose (1 to
// 128 bytes), of at most 64 MiB. The caller seals it. The same name again
// replaces the entry.
func (b *Batch) Outbox(name string, sealed []byte) {
	b.add(len(sealed)+512, func(d *draft) error { return d.outbox(name, sealed) })
}

// OutboxDone removes an outbox entry; one that is not there is no error.
func (b *Batch) OutboxDone(name string) {
	b.add(512, func(d *draft) error { return d.outboxDone(name) })
}

// Meta keeps a small value under a name (1 to 128 bytes), of at most 512 KiB;
// nil removes it.
func (b *Batch) Meta(name string, value []byte) {
	b.add(len(value)+256, func(d *draft) error {
		if err := checkName(name, len(value), maxValue); err != nil {
			return err
		}
		if value == nil {
			return d.unset(rowMeta, keyName(rowMeta, name))
		}
		return d.set(rowMeta, keyName(rowMeta, name), value)
	})
}

// MetaUint is Meta for a number.
func (b *Batch) MetaUint(name string, value uint64) {
	b.Meta(name, binary.BigEndian.AppendUint64(nil, value))
}

func checkName(name string, size, most int) error {
	if len(name) == 0 || len(name) > 128 || size > most {
		return fmt.Errorf("store value: a name has 1 to 128 bytes and the value at most %d: %w", most, ErrConflict)
	}
	return nil
}

// outbox writes the entry in pieces, and a row with its length and SHA-256.
func (d *draft) outbox(name string, sealed []byte) error {
	if err := checkName(name, len(sealed), maxOutbox); err != nil {
		return err
	}
	if err := d.outboxDone(name); err != nil {
		return err
	}
	for p := 0; p < pieceCount(uint64(len(sealed))); p++ {
		d.put(keyOutboxPiece(name, p), sealed[p*pieceSize:min(len(sealed), (p+1)*pieceSize)])
	}
	h := sha256.Sum256(sealed)
	return d.set(rowOutbox, keyName(rowOutbox, name), append(binary.BigEndian.AppendUint64(nil, uint64(len(sealed))), h[:]...))
}

func (d *draft) outboxDone(name string) error {
	key := keyName(rowOutbox, name)
	if !d.known(key) {
		return nil
	}
	if v, err := d.get(key); err == nil && len(v) >= 8 {
		for p := 0; p < pieceCount(binary.BigEndian.Uint64(v)); p++ {
			d.del(keyOutboxPiece(name, p))
		}
	}
	return d.unset(rowOutbox, key)
}

func (d *draft) link(rec *protocol.Record, chain protocol.Chain) error {
	feed, core := rec.Feed(), rec.Core()
	cur, _ := d.chain(feed)
	switch {
	case core.Seq <= cur.Seq:
		return fmt.Errorf("link seq %d after %d: %w", core.Seq, cur.Seq, protocol.ErrKnown)
	case core.Seq > cur.Seq+1:
		return fmt.Errorf("link seq %d after %d: %w", core.Seq, cur.Seq, protocol.ErrGap)
	case core.Prev != cur.Head:
		return fmt.Errorf("link seq %d: %w", core.Seq, protocol.ErrDiverged)
	case chain.Seq != core.Seq || chain.Head != rec.ID():
		return fmt.Errorf("link seq %d: the chain given is not the one after it: %w", core.Seq, ErrConflict)
	}
	r := row{state: rec.State(), code: rec.Code(), id: rec.ID(), env: protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature()}}
	for i := range core.Sections() {
		if s := rec.Section(i); s != nil && !r.put(i, s) {
			d.pieces(feed, core.Seq, i, s)
		}
	}
	d.putRecord(feed, core.Seq, r)
	d.setChain(feed, chain)
	return nil
}

func (d *draft) putRecord(feed protocol.FeedID, seq uint64, r row) {
	d.put(keyRecord(feed, seq), r.bytes())
	d.put(keySeq(rowID, feed, seq), r.id[:])
}

func (d *draft) pieces(feed protocol.FeedID, seq uint64, i int, sealed []byte) {
	for p := 0; p*pieceSize < len(sealed); p++ {
		d.put(keyPiece(feed, seq, i, p), sealed[p*pieceSize:min(len(sealed), (p+1)*pieceSize)])
	}
}

// stored returns a record's row and the record with those of its sections that
// stand in the row.
func (d *draft) stored(feed protocol.FeedID, seq uint64) (row, *protocol.Record, error) {
	c, _ := d.chain(feed)
	if seq == 0 || seq > c.Seq {
		return row{}, nil, fmt.Errorf("record %d of a feed with %d: %w", seq, c.Seq, ErrAbsent)
	}
	v, err := d.get(keyRecord(feed, seq))
	if err != nil {
		return row{}, nil, fmt.Errorf("record %d: %w", seq, ErrLost)
	}
	r, rec, ok := d.s.reload(v, feed, seq)
	if !ok {
		return row{}, nil, fmt.Errorf("record %d: %w", seq, ErrLost)
	}
	return r, rec, nil
}

func (d *draft) section(feed protocol.FeedID, seq uint64, i int, sealed []byte) error {
	r, rec, err := d.stored(feed, seq)
	if err != nil {
		return fmt.Errorf("store section: %w", err)
	}
	if err := rec.Attach(i, sealed); err != nil {
		return fmt.Errorf("store section %d of record %d: %w", i, seq, err)
	}
	if r.inline()&(1<<i) == 0 { // one that comes after its record stands in pieces, however small
		d.pieces(feed, seq, i, sealed)
	}
	d.found = append(d.found, found{feed, seq, i})
	if r.have&(1<<i) == 0 || r.dropped&(1<<i) != 0 {
		r.have |= 1 << i
		r.dropped &^= 1 << i
		d.put(keyRecord(feed, seq), r.bytes())
	}
	return d.pay(feed, seq, 1<<i)
}

func (d *draft) drop(feed protocol.FeedID, seq uint64, i int) error {
	r, rec, err := d.stored(feed, seq)
	if err != nil {
		return fmt.Errorf("drop section: %w", err)
	}
	refs := rec.Core().Sections()
	if i < 0 || i >= len(refs) {
		return fmt.Errorf("drop section %d of record %d, which has %d: %w", i, seq, len(refs), ErrConflict)
	}
	if r.inline()&(1<<i) != 0 {
		r.take(i)
	} else {
		for p := 0; p < pieceCount(refs[i].Length); p++ {
			d.del(keyPiece(feed, seq, i, p))
		}
	}
	r.have &^= 1 << i
	r.dropped |= 1 << i
	d.put(keyRecord(feed, seq), r.bytes())
	d.found = append(d.found, found{feed, seq, i})
	return d.pay(feed, seq, 1<<i)
}

func pieceCount(length uint64) int { return int((length + pieceSize - 1) / pieceSize) }

func (d *draft) owe(feed protocol.FeedID, seq uint64, sections []int) error {
	c, _ := d.chain(feed)
	if seq == 0 || seq > c.Seq {
		return fmt.Errorf("owe sections of record %d of a feed with %d: %w", seq, c.Seq, ErrAbsent)
	}
	old, _ := d.owed(feed, seq)
	now := old
	for _, i := range sections {
		if i < 0 || i >= 32 {
			return fmt.Errorf("owe section %d: %w", i, ErrConflict)
		}
		now |= 1 << i
	}
	if now == old {
		return nil
	}
	return d.set(rowOwed, keySeq(rowOwed, feed, seq), binary.BigEndian.AppendUint32(nil, now))
}

func (d *draft) owed(feed protocol.FeedID, seq uint64) (uint32, bool) {
	key := keySeq(rowOwed, feed, seq)
	if !d.known(key) {
		return 0, false
	}
	v, err := d.get(key)
	if err != nil || len(v) != 4 {
		return 0, true
	}
	return binary.BigEndian.Uint32(v), true
}

// pay takes sections off what is owed.
func (d *draft) pay(feed protocol.FeedID, seq uint64, paid uint32) error {
	old, ok := d.owed(feed, seq)
	if !ok || old&paid == 0 {
		return nil
	}
	key := keySeq(rowOwed, feed, seq)
	if old&^paid == 0 {
		return d.unset(rowOwed, key)
	}
	return d.set(rowOwed, key, binary.BigEndian.AppendUint32(nil, old&^paid))
}

func (d *draft) restore(env protocol.Envelope) error {
	core, err := protocol.Decode[protocol.Core](env.Core, protocol.MaxCore)
	if err != nil {
		return fmt.Errorf("restore record: %w", err)
	}
	feed, seq := protocol.FeedIDOf(d.s.network, core.Node, core.Audience), core.Seq
	c, _ := d.chain(feed)
	if seq == 0 || seq > c.Seq {
		return fmt.Errorf("restore record %d of a feed with %d: %w", seq, c.Seq, ErrAbsent)
	}
	id := protocol.RecordIDOf(d.s.network, env.Core)
	if want, ok := d.idOf(feed, seq, c); !ok || want != id {
		return fmt.Errorf("restore record %d: not the record that stood there: %w", seq, protocol.ErrSection)
	}
	r, rec, err := d.stored(feed, seq)
	if err != nil {
		r = row{id: id, env: protocol.Envelope{Core: env.Core, Signature: env.Signature}}
		r.state, r.code = stateAt(c, seq)
		if rec, err = protocol.Reload(d.s.network, id, r.env, r.state, r.code); err != nil {
			return fmt.Errorf("restore record %d: %w", seq, err)
		}
	}
	var paid uint32
	for i, sealed := range env.Sections {
		if sealed == nil {
			continue
		}
		if err := rec.Attach(i, sealed); err != nil {
			return fmt.Errorf("restore record %d: section %d: %w", seq, i, err)
		}
		if !r.put(i, sealed) {
			d.pieces(feed, seq, i, sealed)
		}
		d.found = append(d.found, found{feed, seq, i})
		paid |= 1 << i
	}
	d.putRecord(feed, seq, r)
	d.found = append(d.found, found{feed, seq, -1})
	return d.pay(feed, seq, paid)
}

// stateAt reads the state of a link out of the chain, which keeps it apart from
// the record.
func stateAt(c protocol.Chain, seq uint64) (protocol.State, protocol.Code) {
	for _, r := range c.Refused {
		if r.From <= seq && seq <= r.To {
			return protocol.Refused, r.Code
		}
	}
	for _, r := range c.Held {
		if r.From <= seq && seq <= r.To {
			return protocol.Held, 0
		}
	}
	return protocol.Linked, 0
}

// idOf is the ID known for a place, from wherever it still stands.
func (d *draft) idOf(feed protocol.FeedID, seq uint64, c protocol.Chain) (protocol.RecordID, bool) {
	return idOf(d.get, feed, seq, c, d.s.network)
}

// word is how far a receipt reaches, and for how many records it vouches.
type word struct{ seq, vouched uint64 }

func (d *draft) receipt(signed protocol.SignedReceipt, r protocol.Receipt) error {
	key := keyReceipt(r.Feed, r.Node)
	now := word{r.Seq, r.Seq}
	for _, h := range r.Held {
		now.vouched -= h.To - h.From + 1
	}
	for _, f := range r.Refused {
		now.vouched -= f.To - f.From + 1
	}
	// Memory may say that this is news; what the row says is looked at only
	// where it does not, for the row may be lost.
	last, ok := d.words[string(key)]
	if !ok {
		last, ok = d.s.words[string(key)]
	}
	if !ok || !now.better(last) {
		if old, ok := d.word(key); ok && !now.better(old) {
			return nil
		}
	}
	k := string(key)
	was, had := d.words[k]
	d.undo = append(d.undo, func() {
		if delete(d.words, k); had {
			d.words[k] = was
		}
	})
	d.words[k] = now
	v := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, now.seq), now.vouched)
	return d.set(rowReceipt, key, append(v, protocol.Encode(signed)...))
}

func (w word) better(old word) bool {
	return w.seq > old.seq || w.seq == old.seq && w.vouched > old.vouched
}

// word is what the newest receipt under a key says; false where there is none,
// or it is lost.
func (d *draft) word(key []byte) (word, bool) {
	if !d.known(key) {
		return word{}, false
	}
	v, err := d.get(key)
	if err != nil || len(v) <= 16 {
		return word{}, false
	}
	return word{binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}, true
}

func (d *draft) fork(feed protocol.FeedID, proof *protocol.Fork) error {
	key := keyFeed(rowFork, feed)
	if d.known(key) {
		if _, err := d.get(key); err == nil {
			return nil
		}
	}
	bare := protocol.Fork{A: protocol.Envelope{Core: proof.A.Core, Signature: proof.A.Signature},
		B: protocol.Envelope{Core: proof.B.Core, Signature: proof.B.Signature}}
	return d.set(rowFork, key, protocol.Encode(bare))
}

func (d *draft) leaf(index uint64, leaf []byte) error {
	key := keyNumber(rowLeaf, index)
	switch {
	case index > d.totals.Leaves:
		return fmt.Errorf("store leaf %d after %d: %w", index, d.totals.Leaves, ErrConflict)
	case index < d.totals.Leaves:
		if v, err := d.get(key); err == nil {
			if string(v) != string(leaf) {
				return fmt.Errorf("store leaf %d: another one stands there: %w", index, ErrConflict)
			}
			return nil
		}
	default:
		d.totals.Leaves++
	}
	d.put(key, leaf)
	return nil
}

func bitList(b uint32) (out []int) {
	for ; b != 0; b &= b - 1 {
		out = append(out, bits.TrailingZeros32(b))
	}
	return out
}
