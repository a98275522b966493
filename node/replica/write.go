package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// Draft is a record to be: for whom, in which parts, with what.
type Draft struct {
	Audience protocol.Audience `cbor:"1,keyasint"`
	// Parts are reader sets beside the whole audience, which is number 0: a
	// content whose Set is i+1 goes to Parts[i] and the own organisation.
	Parts      [][]protocol.OrgID `cbor:"2,keyasint,omitempty"`
	Contents   []protocol.Content `cbor:"3,keyasint"`
	Custodians []protocol.OrgID   `cbor:"4,keyasint,omitempty"`
	Expiry     protocol.Day       `cbor:"5,keyasint"`
}

// Sent says what became of a draft: a record, or, where this node may not
// write yet, an outbox entry that becomes one.
type Sent struct {
	Record *protocol.Record
	Feed   protocol.FeedID
	Seq    uint64
	Queued uint64 // outbox number; 0 where it was written
	Reason string // why it is queued
}

// Send writes a record and returns once it is durable here; it is then on its
// way. Where the head check is not done it returns a queued entry, durable
// too. Errors: [ErrLocked], [ErrReplaced], and those of the disk; then nothing
// was written.
func (r *Replica) Send(ctx context.Context, d Draft) (Sent, error) {
	if err := r.mayWrite(); err != nil {
		return Sent{}, err
	}
	ids, ok := r.o.Keys.Identities()
	if !ok {
		return Sent{}, ErrLocked
	}
	id := protocol.FeedIDOf(r.network, r.o.Node, d.Audience)
	if why := r.holdBack(d.Audience, len(d.Custodians) > 0); why != "" {
		return r.queue(ctx, d, id, why)
	}
	return r.write(ctx, d, ids, 0)
}

// write composes, commits and announces. box is the outbox entry it came from.
func (r *Replica) write(ctx context.Context, d Draft, ids []*seal.Identity, box uint64) (Sent, error) {
	m := r.members()
	id := protocol.FeedIDOf(r.network, r.o.Node, d.Audience)
	f := r.feed(id, true)
	w := protocol.Writer{Members: m, Org: r.o.Org, Node: r.o.Node, Key: r.o.Key, Random: r.o.Random, Recipient: r.recipients.Parse}

	f.mu.Lock()
	if err := f.heal(r); err != nil {
		f.mu.Unlock()
		return Sent{}, err
	}
	change, chain, err := r.compose(f, w, d, ids)
	if err != nil {
		f.mu.Unlock()
		return Sent{}, err
	}
	if box != 0 {
		change.Done = []uint64{box}
	}
	f.tip = chain
	done := r.o.Disk.Enqueue(change)
	f.mu.Unlock()

	if err := <-done; err != nil {
		f.fail()
		return Sent{}, fmt.Errorf("write record: %w", err)
	}
	f.settle(chain, false)
	for _, l := range change.Links {
		r.announce(f, l.Record)
		r.o.OnRecord(l.Record)
	}
	rec := change.Links[len(change.Links)-1].Record
	return Sent{Record: rec, Feed: id, Seq: rec.Core().Seq}, nil
}

// compose makes the records that a draft needs: a key record first where one
// is due or a reader set or custodian differs. Called with f.mu held.
func (r *Replica) compose(f *feed, w protocol.Writer, d Draft, ids []*seal.Identity) (Change, protocol.Chain, error) {
	var change Change
	c := f.tip
	day := w.Day(c, r.today())
	size := w.Members.Size()
	sets, fits := resolve(w, c, d)
	if due := c.KeyDue(w.Members, c.Seq+1, day, size); due != "" || !fits || !slices.Equal(c.Key.Custodians, sorted(d.Custodians)) || d.Expiry > c.Key.Expiry {
		parts := mergeParts(c, d.Parts)
		rec, n, keys, err := w.OpenFeed(c, d.Audience, parts, d.Custodians, nil, day, max(d.Expiry, day+protocol.MaxKeepDays))
		if err != nil {
			return change, c, err
		}
		change.Links = append(change.Links, Link{Record: rec, Chain: n})
		c, f.keys = n, keys
		if sets, fits = resolve(w, c, d); !fits {
			return change, c, errors.New("write record: no reader set fits a part of it")
		}
	}
	if f.keys == nil {
		rec, err := r.o.Disk.Record(f.id, c.Key.Seq)
		if err != nil {
			return change, c, fmt.Errorf("read own feed key: %w", err)
		}
		for i := range c.Key.Sets {
			k, err := rec.OpenKey(i, ids...)
			if err != nil {
				f.keys = nil
				return change, c, fmt.Errorf("open own feed key: %w", err)
			}
			f.keys = append(f.keys, k)
		}
	}
	contents := slices.Clone(d.Contents)
	for i := range contents {
		contents[i].Set = sets[contents[i].Set]
	}
	rec, n, err := w.Write(c, f.keys, contents, day, d.Expiry)
	if err != nil {
		return change, c, err
	}
	change.Links = append(change.Links, Link{Record: rec, Chain: n})
	return change, n, nil
}

// resolve maps the draft's set numbers to the key's; false where one is
// missing. Set 0 is the whole audience in both.
func resolve(w protocol.Writer, c protocol.Chain, d Draft) ([]uint64, bool) {
	out := []uint64{0}
	for _, part := range d.Parts {
		i := slices.IndexFunc(c.Key.Sets, func(s protocol.ReaderSet) bool { return sameReaders(c.Key.Sets[0], s, part, w.Org) })
		if i < 0 {
			return nil, false
		}
		out = append(out, uint64(i))
	}
	for _, content := range d.Contents {
		if content.Set >= uint64(len(out)) {
			return nil, false
		}
	}
	return out, true
}

// sameReaders: s holds exactly the part of the whole set, and the own one.
func sameReaders(whole, s protocol.ReaderSet, part []protocol.OrgID, own protocol.OrgID) bool {
	n := 0
	for _, r := range whole.Readers {
		if r.Org == own || slices.Contains(part, r.Org) {
			n++
			if !s.Has(r.Org) {
				return false
			}
		}
	}
	return n == len(s.Readers)
}

// mergeParts keeps the key's present parts beside the wanted ones where there
// is room, so that two kinds of records in one feed do not renew its key by
// turns.
func mergeParts(c protocol.Chain, want [][]protocol.OrgID) [][]protocol.OrgID {
	var out [][]protocol.OrgID
	add := func(p []protocol.OrgID) {
		p = sorted(p)
		if len(out) < protocol.MaxSets-1 && !slices.ContainsFunc(out, func(o []protocol.OrgID) bool { return slices.Equal(o, p) }) {
			out = append(out, p)
		}
	}
	for _, p := range want {
		add(p)
	}
	for i := len(c.Key.Sets) - 1; i > 0; i-- {
		var p []protocol.OrgID
		for _, r := range c.Key.Sets[i].Readers {
			if r.Org != c.Author {
				p = append(p, r.Org)
			}
		}
		add(p)
	}
	return out
}

func sorted(o []protocol.OrgID) []protocol.OrgID {
	o = slices.Clone(o)
	slices.SortFunc(o, protocol.OrgID.Compare)
	return slices.Compact(o)
}

// queue keeps a draft in the outbox, sealed to the own organisation.
func (r *Replica) queue(ctx context.Context, d Draft, id protocol.FeedID, why string) (Sent, error) {
	r.mu.Lock()
	r.box++
	n := r.box
	r.mu.Unlock()
	b, err := r.sealDraft(d, n)
	if err != nil {
		return Sent{}, fmt.Errorf("keep in outbox: %w", err)
	}
	select {
	case err = <-r.o.Disk.Enqueue(Change{Outbox: []OutboxEntry{{n, b}}}):
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return Sent{}, fmt.Errorf("keep in outbox: %w", err)
	}
	r.mu.Lock()
	r.boxes[n] = struct{}{}
	r.mu.Unlock()
	r.poke()
	return Sent{Feed: id, Queued: n, Reason: why}, nil
}

// boxed is an outbox entry on disk: a fresh key sealed to the own
// organisation, and the draft sealed under it.
type boxed struct {
	Key   []byte   `cbor:"1,keyasint"`
	Nonce [32]byte `cbor:"2,keyasint"`
	Draft []byte   `cbor:"3,keyasint"`
}

func (r *Replica) boxPlace(n uint64, nonce [32]byte) seal.Place {
	return seal.Place{Network: [32]byte(r.network), Feed: [32]byte(r.o.Node), Seq: n, Nonce: nonce}
}

func (r *Replica) sealDraft(d Draft, n uint64) ([]byte, error) {
	m := r.members()
	own, ok := m.OrgAt(r.o.Org, m.Size())
	if !ok || own.Recipient == "" {
		return nil, errors.New("the own organisation has no encryption key")
	}
	to, err := r.recipients.Parse(own.Recipient)
	if err != nil {
		return nil, err
	}
	key, err := seal.NewFeedKey(r.o.Random)
	if err != nil {
		return nil, err
	}
	var b boxed
	if _, err := r.o.Random.Read(b.Nonce[:]); err != nil {
		return nil, err
	}
	if b.Key, err = seal.SealKey(key, []*seal.Recipient{to}); err != nil {
		return nil, err
	}
	if b.Draft, err = seal.SealSection(key, r.boxPlace(n, b.Nonce), protocol.Encode(d)); err != nil {
		return nil, err
	}
	return protocol.Encode(b), nil
}

func (r *Replica) openDraft(n uint64, sealed []byte, ids []*seal.Identity) (Draft, error) {
	b, err := protocol.Decode[boxed](sealed, protocol.MaxFrame)
	if err != nil {
		return Draft{}, err
	}
	key, err := seal.OpenKey(b.Key, ids...)
	if err != nil {
		return Draft{}, err
	}
	plain, err := seal.OpenSection(key, r.boxPlace(n, b.Nonce), b.Draft)
	if err != nil {
		return Draft{}, err
	}
	return protocol.Decode[Draft](plain, protocol.MaxFrame)
}

// writeLoop empties the outbox whenever something may have changed: a head
// check answer, an unlock, a new checkpoint, or a second's passing.
func (r *Replica) writeLoop(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		r.emptyOutbox(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-t.C:
		}
	}
}

func (r *Replica) emptyOutbox(ctx context.Context) {
	r.mu.Lock()
	n := len(r.boxes)
	r.mu.Unlock()
	if n == 0 || r.mayWrite() != nil {
		return
	}
	ids, ok := r.o.Keys.Identities()
	if !ok {
		return
	}
	boxes, err := r.o.Disk.Outbox()
	if err != nil {
		r.o.Log.Warn("outbox cannot be read", "err", err)
		return
	}
	var order []uint64
	for n := range boxes {
		order = append(order, n)
	}
	slices.Sort(order)
	for _, n := range order {
		if ctx.Err() != nil {
			return
		}
		d, err := r.openDraft(n, boxes[n], ids)
		if err != nil {
			r.o.Log.Error("outbox entry does not open; it is kept", "entry", n, "err", err)
			continue
		}
		if r.holdBack(d.Audience, len(d.Custodians) > 0) != "" {
			continue
		}
		if _, err := r.write(ctx, d, ids, n); err != nil {
			r.o.Log.Warn("outbox entry waits", "entry", n, "err", err)
			continue
		}
		r.mu.Lock()
		delete(r.boxes, n)
		r.mu.Unlock()
	}
}

// Queued counts the outbox entries.
func (r *Replica) Queued() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.boxes)
}

// Unlocked tells the replica that the reading identity is there now.
func (r *Replica) Unlocked() { r.poke() }
