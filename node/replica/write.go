package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	Parts    [][]protocol.OrgID `cbor:"2,keyasint,omitempty"`
	Contents []protocol.Content `cbor:"3,keyasint"`
	// Custodians keep the record. Where Keep is set they are those of a new
	// feed, and a feed keeps the ones it has while they may be and none is in
	// Barred: whoever was left out of one record must not learn of it by being
	// named for a later one, since custodians get a feed's cores from the
	// first.
	Custodians []protocol.OrgID `cbor:"4,keyasint,omitempty"`
	Expiry     protocol.Day     `cbor:"5,keyasint"`
	Barred     []protocol.OrgID `cbor:"6,keyasint,omitempty"`
	Keep       bool             `cbor:"7,keyasint,omitempty"`
}

// custodiansFor chooses the custodians of a draft's record.
func (d Draft) custodiansFor(m protocol.Members, c *protocol.Chain) []protocol.OrgID {
	for _, id := range c.Key.Custodians {
		o, ok := m.OrgAt(id, m.Size())
		if !ok || !protocol.MayKeep(o) || slices.Contains(d.Barred, id) {
			return sorted(d.Custodians)
		}
	}
	if !d.Keep || len(c.Key.Custodians) == 0 {
		return sorted(d.Custodians)
	}
	return c.Key.Custodians
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
// too. Errors: [ErrLocked], [ErrReplaced], why the draft can be no record, and
// those of the disk; then nothing was written, but for a disk that failed in
// the middle and says so.
func (r *Replica) Send(ctx context.Context, d Draft) (Sent, error) {
	return r.send(ctx, d, nil)
}

// send is Send with marks that become durable together with the record.
func (r *Replica) send(ctx context.Context, d Draft, flags map[string][]byte) (Sent, error) {
	if err := r.mayWrite(); err != nil {
		return Sent{}, err
	}
	ids, ok := r.o.Keys.Identities()
	if !ok {
		return Sent{}, ErrLocked
	}
	if err := d.check(); err != nil {
		return Sent{}, err
	}
	if err := ctx.Err(); err != nil {
		return Sent{}, err
	}
	if why := r.holdBack(d); why != "" {
		return r.queue(d, ids, why, flags)
	}
	return r.write(d, ids, Change{Flags: flags})
}

// check refuses what nothing can make a record of.
func (d Draft) check() error {
	switch {
	case len(d.Contents) == 0 || len(d.Contents) > protocol.MaxSections:
		return fmt.Errorf("write record: %d sections, 1 to %d are allowed", len(d.Contents), protocol.MaxSections)
	case d.Contents[0].Set != 0:
		return errors.New("write record: the first section is for the whole audience")
	case len(d.Parts) >= protocol.MaxSets:
		return fmt.Errorf("write record: %d parts of the audience, at most %d", len(d.Parts), protocol.MaxSets-1)
	}
	for _, c := range d.Contents {
		if c.Set > uint64(len(d.Parts)) {
			return fmt.Errorf("write record: a section for part %d of %d", c.Set, len(d.Parts))
		}
	}
	return nil
}

func (r *Replica) writer() protocol.Writer {
	return protocol.Writer{Members: r.members(), Org: r.o.Org, Node: r.o.Node, Key: r.o.Key, Random: r.o.Random, Recipient: r.recipients.Parse}
}

// write composes, commits and announces. with is what becomes durable in the
// same change.
func (r *Replica) write(d Draft, ids []*seal.Identity, with Change) (Sent, error) {
	f := r.lockFeed(protocol.FeedIDOf(r.network, r.o.Node, d.Audience))
	if err := f.heal(r); err != nil {
		f.mu.Unlock()
		return Sent{}, err
	}
	links, keys, err := r.compose(f.id, f.tip, f.keys, r.writer(), d, ids)
	if err != nil {
		r.forget(f)
		f.mu.Unlock()
		return Sent{}, err
	}
	last := links[len(links)-1]
	if f.tip, f.keys = last.Chain, keys; r.locked() {
		f.keys = nil
	}
	with.Links = links
	wait := r.o.Disk.Enqueue(with)
	f.mu.Unlock()

	if err := wait(); err != nil {
		f.fail()
		return Sent{}, fmt.Errorf("write record: %w", err)
	}
	f.settle(last.Chain, false)
	for _, l := range links {
		r.o.OnRecord(l.Record)
	}
	r.announceOwn(f, links) // last, so that whoever pushes it runs next
	return Sent{Record: last.Record, Feed: f.id, Seq: last.Record.Core().Seq}, nil
}

// announceOwn announces own durable records in the order of their feed,
// whichever of them was told durable first: a receiver that sees a gap has to
// ask.
func (r *Replica) announceOwn(f *feed, links []Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range links {
		f.out[l.Record.Core().Seq] = l.Record
		f.recent.put(l.Record.Core().Seq, l.Record.ID())
	}
	for {
		rec := f.out[f.sent+1]
		if rec == nil {
			return
		}
		f.sent++
		delete(f.out, f.sent)
		r.announce(f, &f.tip, rec)
	}
}

// compose makes the records that a draft needs, after a chain whose feed keys
// are given or nil: a key record first where one is due or a reader set or
// custodian differs. It returns the feed keys after them. Nothing is kept.
func (r *Replica) compose(id protocol.FeedID, c protocol.Chain, keys []seal.FeedKey, w protocol.Writer, d Draft, ids []*seal.Identity) (links []Link, _ []seal.FeedKey, err error) {
	day := w.Day(c, r.today())
	sets, fits := resolve(w, c, d)
	custodians := d.custodiansFor(w.Members, &c)
	renew := !fits || !slices.Equal(c.Key.Custodians, custodians) || d.Expiry > c.Key.Expiry ||
		c.KeyDue(w.Members, c.Seq+1, day, w.Members.Size()) != ""
	if !renew && keys == nil {
		if keys, err = r.ownKeys(id, &c, ids); err != nil {
			// It is lost, or sealed to an identity that is no longer here.
			r.o.Log.Info("own feed key does not open; the feed gets a new one", "feed", id.Short(), "err", err)
			renew = true
		}
	}
	if renew {
		var rec *protocol.Record
		rec, c, keys, err = w.OpenFeed(c, d.Audience, mergeParts(c, d.Parts), custodians, nil, day, max(d.Expiry, day+protocol.MaxKeepDays))
		if err != nil {
			return nil, nil, err
		}
		links = append(links, Link{Record: rec, Chain: c})
		if sets, fits = resolve(w, c, d); !fits {
			return nil, nil, errors.New("write record: no reader set fits a part of it")
		}
	}
	contents := slices.Clone(d.Contents)
	for i := range contents {
		contents[i].Set = sets[contents[i].Set]
	}
	rec, c, err := w.Write(c, keys, contents, day, d.Expiry)
	if err != nil {
		return nil, nil, err
	}
	return append(links, Link{Record: rec, Chain: c}), keys, nil
}

// ownKeys opens the feed keys of an own feed's newest key record.
func (r *Replica) ownKeys(id protocol.FeedID, c *protocol.Chain, ids []*seal.Identity) (keys []seal.FeedKey, err error) {
	rec, err := r.o.Disk.Record(id, c.Key.Seq)
	if err != nil {
		return nil, fmt.Errorf("read own feed key: %w", err)
	}
	for i := range c.Key.Sets {
		k, err := rec.OpenKey(i, ids...)
		if err != nil {
			return nil, fmt.Errorf("open own feed key: %w", err)
		}
		keys = append(keys, k)
	}
	return keys, nil
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

// queue keeps a draft in the outbox, sealed to the own organisation. What could
// not be written even after the head check is refused at once.
func (r *Replica) queue(d Draft, ids []*seal.Identity, why string, flags map[string][]byte) (Sent, error) {
	id := protocol.FeedIDOf(r.network, r.o.Node, d.Audience)
	var c protocol.Chain
	if f := r.feed(id); f != nil {
		c = f.chain()
	}
	if _, _, err := r.compose(id, c, nil, r.writer(), d, ids); err != nil {
		return Sent{}, err
	}
	r.mu.Lock()
	r.box++
	n := r.box
	r.mu.Unlock()
	b, err := r.sealDraft(d, n)
	if err == nil {
		err = r.o.Disk.Enqueue(Change{Outbox: []OutboxEntry{{n, b}}, Flags: flags})()
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
	if _, err := io.ReadFull(r.o.Random, b.Nonce[:]); err != nil {
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

// writeLoop empties the outbox, and looks at held links, whenever something may have changed: a head
// check answer, an unlock, a new checkpoint, or a second's passing.
func (r *Replica) writeLoop(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		r.rejudge(ctx)
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
			if r.waits[n] != err.Error() {
				r.waits[n] = err.Error()
				r.o.Log.Error("outbox entry does not open; it is kept", "entry", n, "err", err)
			}
			continue
		}
		if r.holdBack(d) != "" {
			continue
		}
		if _, err := r.write(d, ids, Change{Done: []uint64{n}}); err != nil {
			if r.waits[n] != err.Error() {
				r.waits[n] = err.Error()
				r.o.Log.Warn("outbox entry waits", "entry", n, "err", err)
			}
			continue
		}
		delete(r.waits, n)
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

func (r *Replica) locked() bool {
	_, ok := r.o.Keys.Identities()
	return !ok
}

// Locked tells the replica that the reading identity was put away, after it
// was: no opened feed key stays in memory.
func (r *Replica) Locked() {
	r.keys.forgetKeys()
	for _, f := range r.allFeeds() {
		f.mu.Lock()
		f.keys = nil
		f.mu.Unlock()
	}
}
