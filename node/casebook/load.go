package casebook

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// Unlock opens an empty book, which says that it is loading until the next
// [Book.Load] has ended: whoever unlocked the node is not told that it is
// locked a moment later.
func (b *Book) Unlock() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil {
		b.x = newIndex(b.o.Org, b.o.Strays)
		b.x.loading = true
	}
}

// Load reads every record after an unlock, and returns when lists are
// complete; until then they show what is there. progress, which may be nil, is
// told now and then how many records were read, and of how many (0 where that
// is unknown). Records that arrive meanwhile are taken by [Book.Add]. The
// error is [ErrLocked], the disk's, or ctx's; the book then shows what it has,
// and Load may be called again.
func (b *Book) Load(ctx context.Context, progress func(done, total uint64)) error {
	b.load.Lock()
	defer b.load.Unlock()
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	b.mu.Lock()
	if b.x == nil {
		b.x = newIndex(b.o.Org, b.o.Strays)
	}
	x := b.x
	x.loading, x.done, x.total = true, 0, b.o.Count()
	b.mu.Unlock()

	err := b.loadAll(ctx, x, progress)
	b.mu.Lock()
	x.loading = false
	if errors.Is(err, ErrLocked) && b.x == x {
		b.x, b.queue = nil, nil
	}
	b.mu.Unlock()
	if err != nil && !errors.Is(err, ErrLocked) {
		return fmt.Errorf("load casebook: %w", err)
	}
	return err
}

const tellEvery = 1000

// loadAll reads all records, and those again that named alerts which came only
// after them, where there were many.
func (b *Book) loadAll(ctx context.Context, x *index, progress func(done, total uint64)) error {
	b.mu.Lock()
	x.first = true
	b.mu.Unlock()
	err := b.loadOnce(ctx, x, progress)
	b.mu.Lock()
	x.first = false
	dropped := x.alerts.dropped
	x.alerts.dropped = 0
	b.mu.Unlock()
	if err == nil && dropped > 0 {
		err = b.loadOnce(ctx, x, progress)
	}
	if err != nil {
		return err
	}
	return b.rows(ctx, x)
}

func (b *Book) loadOnce(ctx context.Context, x *index, progress func(done, total uint64)) error {
	// Records are read by one goroutine and opened by as many as there are
	// processors.
	work := make(chan *protocol.Record, 64)
	g, gctx := errgroup.WithContext(ctx)
	var done atomic.Uint64
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for rec := range work {
				_, _, err := b.index(gctx, rec)
				if errors.Is(err, ErrLocked) {
					return err
				}
				if err != nil {
					b.o.Log.Warn("record is not shown: it cannot be read now", "feed", rec.Feed().Short(), "seq", rec.Core().Seq, "err", err)
				}
				done.Add(1)
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(work)
		n := uint64(0)
		return b.o.Records.Each(func(rec *protocol.Record) error {
			select {
			case work <- rec:
			case <-gctx.Done():
				return gctx.Err()
			}
			if n++; n%tellEvery == 0 {
				b.tell(x, done.Load(), progress)
			}
			return nil
		})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	b.tell(x, done.Load(), progress)
	return nil
}

func (b *Book) tell(x *index, done uint64, progress func(done, total uint64)) {
	b.mu.Lock()
	x.done = done
	total := max(x.total, done)
	if x.total == 0 {
		total = 0
	}
	b.mu.Unlock()
	progress(done, total)
}

// refresh writes the rows that are older than their events. While Load goes
// on, which does so at its end, lists show what there is.
func (b *Book) refresh(ctx context.Context) error {
	b.mu.Lock()
	x := b.x
	loading := x != nil && x.loading
	b.mu.Unlock()
	switch {
	case x == nil:
		return ErrLocked
	case loading:
		return nil
	}
	return b.rows(ctx, x)
}

func (b *Book) rows(ctx context.Context, x *index) error {
	b.mu.Lock()
	due := make([]*kase, 0, len(x.dirty))
	for k := range x.dirty {
		due = append(due, k)
	}
	b.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(due)) {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(due)) && gctx.Err() == nil; i = next.Add(1) - 1 {
				if _, err := b.fold(gctx, x, due[i]); err != nil {
					return err
				}
			}
			return gctx.Err()
		})
	}
	return g.Wait()
}

// fold returns a case added up, and writes its row where that is due.
func (b *Book) fold(ctx context.Context, x *index, k *kase) (*folded, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.mu.Lock()
		if it := x.cache.get(k); it != nil {
			it.fold()
			if _, due := x.dirty[k]; due {
				x.setRow(k, it.folded)
			}
			f := it.folded
			b.mu.Unlock()
			return f, nil
		}
		version := k.version
		places := append([]place(nil), k.events...)
		feeds := make([]protocol.FeedID, len(places))
		for i, p := range places {
			feeds[i] = x.feed[p.feed].id
		}
		b.mu.Unlock()

		it, missing, err := b.reread(ctx, x, places, feeds)
		if err != nil {
			return nil, err
		}
		it.kase = k
		it.fold()
		f := it.folded // another's event may empty it as soon as it is kept
		f.missing = missing
		b.mu.Lock()
		if k.version == version {
			if missing == 0 {
				x.keep(k, it)
			}
			x.setRow(k, f)
			b.mu.Unlock()
			return f, nil
		}
		b.mu.Unlock() // an event came meanwhile
	}
}

// reread opens a case's records again. One that cannot be read now is counted.
func (b *Book) reread(ctx context.Context, x *index, places []place, feeds []protocol.FeedID) (*item, int, error) {
	it := &item{}
	missing := 0
	for i, p := range places {
		e, size, err := b.event(ctx, x, feeds[i], p.seq)
		if errors.Is(err, ErrLocked) {
			return nil, 0, err
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if err != nil {
			b.o.Log.Warn("record of a referral cannot be read now", "feed", feeds[i].Short(), "seq", p.seq, "err", err)
			missing++
			continue
		}
		it.events, it.places, it.size = append(it.events, e), append(it.places, p), it.size+size
	}
	return it, missing, nil
}

func (b *Book) event(ctx context.Context, x *index, feed protocol.FeedID, seq uint64) (referral.Event, int, error) {
	rec, err := b.o.Records.Record(feed, seq)
	if err != nil {
		return referral.Event{}, 0, err
	}
	rd, err := b.read(ctx, x, rec)
	if err != nil {
		return referral.Event{}, 0, err
	}
	if rd == nil || rd.sections == nil {
		return referral.Event{}, 0, errors.New("it does not open any more")
	}
	e, err := rd.referral(rec)
	return e, rd.size, err
}
