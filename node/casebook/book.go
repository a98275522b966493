package casebook

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// DefaultKeepDays is how long after writing custodians keep a referral's
// records: with the retention of [referral.Parts.Complete] it outlasts a case
// of half a year.
const DefaultKeepDays = 400

// DefaultStrays is generous: answers come to the issuer of an alert, who has
// it, and what follows an alert to those who got it, so that few come early.
const DefaultStrays = 4096

// maxKeepDays leaves a feed key its life: with a longer expiry each day's
// first record would need a new key.
const maxKeepDays = protocol.MaxKeepDays - protocol.MaxKeyDays - 1

// Options of a book. Org, Records and Register must be set.
type Options struct {
	Org      protocol.OrgID // the own one
	Records  Records
	Register func() Register
	Desk     Desk
	// Custodians chooses who keeps a record, given whom it goes to and who
	// must not. Without it: the secretariat; where it may not, all that
	// offered (see [Book.Custodians]).
	Custodians func(audience, barred []protocol.OrgID) []protocol.OrgID
	KeepDays   int // of a referral's records; DefaultKeepDays
	// Strays is how many record IDs are held at most for what one other member
	// wrote of alerts that are not here; DefaultStrays. What is beyond is not
	// shown before the next Load.
	Strays int
	// Unreadable is told once of each section that does not open.
	Unreadable func(ctx context.Context, rec *protocol.Record, section int)
	// Other is told of each record of a kind that is not the book's, with the
	// author's own time and the bodies by section. It must not block, nor
	// call the book.
	Other func(rec *protocol.Record, kind string, time int64, bodies [][]byte)
	// OnChange is told of each case that a new record changed. It must not
	// block. It is not told while [Book.Load] reads what is on disk.
	OnChange func(Change)
	// Count says how many records Each will give, for progress; optional.
	Count  func() uint64
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
}

// Desk is the sender's desk, from the configuration: whom others call.
type Desk struct {
	Unit     string
	Role     string
	Phone    string
	Language string            // of free text; "en" where empty
	District referral.District // preset for the child's
}

// Change says that a case or alert changed; it holds no content.
type Change struct {
	What   string            `json:"what"` // "referral" or "alert"
	ID     protocol.RecordID `json:"id"`
	Record protocol.RecordID `json:"record"` // what changed it
	Own    bool              `json:"own"`    // written by this organisation
}

// Book is the running part. Run works off what [Book.Add] queues.
type Book struct {
	o     Options
	mu    sync.Mutex
	x     *index    // nil while locked
	queue []arrived // records not yet indexed
	doing int       // … and those taken out of the queue
	// unopened are records that did not open, by feed: a part of their key record
	// may not be here yet, and they are tried again when it is.
	unopened map[protocol.FeedID][]arrived
	held     int           // of them
	wake     chan struct{} // queue is not empty
	load     sync.Mutex    // one Load at a time
	moves    [64]sync.Mutex
	issue    sync.Mutex // of alerts, so that one document is issued once
}

// arrived is a record that was added. Few are held as they are; the others
// are read again.
type arrived struct {
	rec  *protocol.Record
	feed protocol.FeedID
	seq  uint64
}

const heldRecords = 256

// maxUnopened is how many records that do not open are remembered; others are
// read at the next unlock.
const maxUnopened = 1 << 16

// New makes an empty book.
func New(o Options) (*Book, error) {
	switch {
	case o.Org.IsZero():
		return nil, errors.New("open casebook: no own organisation")
	case o.Records == nil || o.Register == nil:
		return nil, errors.New("open casebook: no records or no register")
	case o.KeepDays < 0 || o.KeepDays > maxKeepDays:
		return nil, errors.New("open casebook: records are kept 1 to 1069 days")
	}
	if o.KeepDays == 0 {
		o.KeepDays = DefaultKeepDays
	}
	if o.Strays == 0 {
		o.Strays = DefaultStrays
	}
	if o.Unreadable == nil {
		o.Unreadable = func(context.Context, *protocol.Record, int) {}
	}
	if o.Other == nil {
		o.Other = func(*protocol.Record, string, int64, [][]byte) {}
	}
	if o.OnChange == nil {
		o.OnChange = func(Change) {}
	}
	if o.Count == nil {
		o.Count = func() uint64 { return 0 }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Book{o: o, wake: make(chan struct{}, 1)}, nil
}

// Run indexes what [Book.Add] queues until ctx ends, and returns nil.
func (b *Book) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
			b.drain(ctx)
		}
	}
}

// Add takes a record that is durable here, of whatever kind, and returns at
// once. It may come from any goroutine and more than once; a record whose
// sections come later is added again when they have come. While the node is
// locked nothing is kept: [Book.Load] finds the record on the disk.
func (b *Book) Add(rec *protocol.Record) {
	b.mu.Lock()
	if b.x == nil || b.x.has(rec) {
		b.mu.Unlock()
		return
	}
	a := arrived{feed: rec.Feed(), seq: rec.Core().Seq}
	if len(b.queue) < heldRecords {
		a.rec = rec
	}
	b.queue = append(b.queue, a)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// drain indexes what is queued.
func (b *Book) drain(ctx context.Context) {
	for ctx.Err() == nil {
		b.mu.Lock()
		if len(b.queue) == 0 {
			b.mu.Unlock()
			break
		}
		todo := b.queue
		b.queue, b.doing = nil, len(todo)
		b.mu.Unlock()
		for i, a := range todo {
			if ctx.Err() != nil {
				b.mu.Lock()
				b.queue, b.doing = append(todo[i:], b.queue...), 0
				b.mu.Unlock()
				return
			}
			if err := b.take(ctx, a); err != nil {
				b.o.Log.Info("record is not shown yet; it is kept, and read again when its key is here, or at the next unlock", "feed", a.feed.Short(), "seq", a.seq, "err", err)
				b.later(a)
			}
			b.mu.Lock()
			b.doing--
			b.mu.Unlock()
		}
	}
	if err := b.refresh(ctx); err != nil && !errors.Is(err, ErrLocked) && ctx.Err() == nil {
		b.o.Log.Warn("lists are not up to date", "err", err)
	}
}

func (b *Book) take(ctx context.Context, a arrived) error {
	if a.rec == nil {
		var err error
		if a.rec, err = b.o.Records.Record(a.feed, a.seq); err != nil {
			return err
		}
	}
	c, ok, err := b.index(ctx, a.rec)
	if err == nil && a.rec.Core().Key != nil {
		b.again(a.feed)
	}
	if !ok {
		return err
	}
	if c.What == "alert" {
		b.mu.Lock()
		if b.x != nil {
			c.ID = b.x.alerts.id(c.Record)
		}
		b.mu.Unlock()
	}
	b.o.OnChange(c)
	return nil
}

// later keeps a record's place until its feed's key record comes.
func (b *Book) later(a arrived) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil || b.held >= maxUnopened {
		return
	}
	if b.unopened == nil {
		b.unopened = map[protocol.FeedID][]arrived{}
	}
	b.unopened[a.feed] = append(b.unopened[a.feed], arrived{feed: a.feed, seq: a.seq})
	b.held++
}

// again queues what waited for a feed's key record.
func (b *Book) again(feed protocol.FeedID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.unopened[feed]
	b.queue = append(b.queue, list...)
	b.held -= len(list)
	delete(b.unopened, feed)
}

// Lock empties the book, as when the reading identity is put away.
func (b *Book) Lock() {
	b.mu.Lock()
	b.x, b.queue, b.unopened, b.held = nil, nil, nil, 0
	b.mu.Unlock()
}

// Status says how full the book is.
type Status struct {
	Locked     bool   `json:"locked"`
	Loading    bool   `json:"loading"` // what it shows is not complete yet
	Done       uint64 `json:"done,omitempty"`
	Total      uint64 `json:"total,omitempty"` // 0 where unknown
	Referrals  int    `json:"referrals"`
	Alerts     int    `json:"alerts"`
	Waiting    int    `json:"waiting"`    // referrals of which only replies are here
	Queued     int    `json:"queued"`     // records that arrived and are not indexed yet
	Unreadable int    `json:"unreadable"` // sections that do not open
	Malformed  int    `json:"malformed"`  // records that open and make no sense
}

// Status returns how full the book is.
func (b *Book) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil {
		return Status{Locked: true}
	}
	s := Status{Loading: b.x.loading, Done: b.x.done, Total: b.x.total, Queued: len(b.queue) + b.doing,
		Unreadable: len(b.x.unreadable), Malformed: len(b.x.malformed), Alerts: len(b.x.alerts.all().groups)}
	for _, k := range b.x.cases {
		if k.row.known {
			s.Referrals++
		} else {
			s.Waiting++
		}
	}
	return s
}

func (b *Book) now() referral.Time { return referral.Time(b.o.Now().Unix()) }
