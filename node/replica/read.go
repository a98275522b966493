package replica

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// keyCache keeps feed keys and key links of older keys, a bounded number.
type keyCache struct {
	mu    sync.Mutex
	order *list.List
	items map[keyAt]*list.Element
}

type keyAt struct {
	feed protocol.FeedID
	seq  uint64
	set  int // -1: the link
}

type cached struct {
	at   keyAt
	key  seal.FeedKey
	link *protocol.KeyLink
}

const cachedKeys = 1024

func (c *keyCache) init() {
	c.order, c.items = list.New(), map[keyAt]*list.Element{}
}

func (c *keyCache) get(at keyAt) (*cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[at]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached), true
}

func (c *keyCache) put(v *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[v.at]; ok {
		return
	}
	c.items[v.at] = c.order.PushFront(v)
	if c.order.Len() > cachedKeys {
		old := c.order.Remove(c.order.Back()).(*cached)
		delete(c.items, old.at)
	}
}

func (c *keyCache) link(f protocol.FeedID, seq uint64) (*protocol.KeyLink, bool) {
	v, ok := c.get(keyAt{f, seq, -1})
	if !ok {
		return nil, false
	}
	return v.link, true
}

func (c *keyCache) putLink(f protocol.FeedID, k *protocol.KeyLink) {
	c.put(&cached{at: keyAt{f, k.Seq, -1}, link: k})
}

// forgetKeys empties the cache, as when the node is locked.
func (c *keyCache) forgetKeys() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.init()
}

// Opened is a section that this organisation could open.
type Opened struct {
	Section int
	protocol.Content
	Err error // wraps protocol.ErrUnreadable where it did not open
}

var (
	// ErrNotAReader: the record is here as ciphertext only.
	ErrNotAReader = errors.New("this organisation is not among the readers")
	// ErrNoIdentity: the record is sealed to a key of this organisation whose
	// reading identity is not on this node.
	ErrNoIdentity = errors.New("it is sealed to an encryption key of this organisation whose reading identity is not on this node")
)

// Open opens those sections of a record that this organisation reads and that
// are here; one that does not open is in the list with its error (see
// [Replica.Report]). Errors: [ErrLocked], [ErrNotAReader], [ErrNoIdentity], or
// the disk's.
func (r *Replica) Open(rec *protocol.Record) ([]Opened, error) {
	ids, ok := r.o.Keys.Identities()
	if !ok {
		return nil, ErrLocked
	}
	if rec.State() != protocol.Linked || rec.Core().Data == nil {
		return nil, ErrNotAReader
	}
	f := r.feed(rec.Feed())
	if f == nil {
		return nil, ErrNotAReader
	}
	tip := f.chain()
	key, err := r.keyOf(f.id, &tip, rec)
	if err != nil {
		return nil, fmt.Errorf("read feed key: %w", err)
	}
	if key == nil {
		return nil, ErrNotAReader
	}
	var out []Opened
	for i, ref := range rec.Core().Data.Sections {
		if ref.Set >= uint64(len(key.Sets)) || !key.Sets[ref.Set].Has(r.o.Org) || rec.Section(i) == nil {
			continue
		}
		var c protocol.Content
		k, err := r.feedKey(f, key, int(ref.Set), ids)
		if err == nil {
			c, err = rec.OpenSection(i, k, key.Sets[ref.Set])
		}
		if err != nil && !errors.Is(err, protocol.ErrUnreadable) {
			return out, fmt.Errorf("open section %d: %w", i, err)
		}
		out = append(out, Opened{i, c, err})
	}
	if len(out) == 0 {
		return nil, ErrNotAReader
	}
	return out, nil
}

// feedKey opens a feed key. That it does not open is the author's fault only
// where the identity that it names as ours is here.
func (r *Replica) feedKey(f *feed, key *protocol.KeyLink, set int, ids []*seal.Identity) (seal.FeedKey, error) {
	at := keyAt{f.id, key.Seq, set}
	if v, ok := r.keys.get(at); ok {
		return v.key, nil
	}
	rec, err := r.record(f, key.Seq)
	if rec == nil {
		return seal.FeedKey{}, err
	}
	if rec.Section(set) == nil {
		return seal.FeedKey{}, fmt.Errorf("read feed key: %w", errNotHere)
	}
	k, err := rec.OpenKey(set, ids...)
	if errors.Is(err, protocol.ErrUnreadable) && !r.fits(key.Size, ids) {
		return seal.FeedKey{}, ErrNoIdentity
	}
	if err != nil {
		return seal.FeedKey{}, err
	}
	r.keys.put(&cached{at: at, key: k})
	if r.locked() { // meanwhile: it was forgotten before it was put there
		r.keys.forgetKeys()
	}
	return k, nil
}

var errNotHere = errors.New("its key record's section is not here yet; it is asked for")

// fits reports whether the identity is here to whose recipient a key record
// under a checkpoint of this size had to be sealed.
func (r *Replica) fits(size uint64, ids []*seal.Identity) bool {
	own, ok := r.members().OrgAt(r.o.Org, size)
	return ok && slices.ContainsFunc(ids, func(id *seal.Identity) bool { return id.Recipient().String() == own.Recipient })
}

// Records calls f with every record of every feed held, feed by feed in order;
// it stops at the first error. Lost records are passed over: repair puts them
// back.
func (r *Replica) Records(fn func(*protocol.Record) error) error {
	feeds := r.allFeeds()
	sortFeeds(feeds)
	for _, f := range feeds {
		top := f.chain().Seq
		for seq := uint64(1); seq <= top; {
			var stop error
			err := r.o.Disk.Range(f.id, seq, top, func(rec *protocol.Record) error {
				seq++
				stop = fn(rec)
				return stop
			})
			switch {
			case stop != nil:
				return stop
			case err == nil:
				seq = top + 1
				continue
			}
			rec, err := r.record(f, seq)
			if err != nil {
				r.o.Log.Warn("record cannot be read; it is asked for again", "feed", f.id.Short(), "seq", seq, "err", err)
			}
			seq++
			if rec == nil {
				continue
			}
			if err := fn(rec); err != nil {
				return err
			}
		}
	}
	return nil
}

func sortFeeds(f []*feed) {
	slices.SortFunc(f, func(a, b *feed) int { return bytes.Compare(a.id[:], b.id[:]) })
}
