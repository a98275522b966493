package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/national-alliance/alliance/protocol"
)

const maxQueued = 16 << 20 // bytes that wait before Enqueue waits too

// job is a batch, or a part of one, on its way.
type job struct {
	ops   []op
	size  int
	after *job // the part before; if that failed, so does this
	err   error
	done  chan error // one value of the last part of a batch, when it is durable or has failed
}

func (j *job) end(err error) {
	if j.err = err; j.done != nil {
		j.done <- err
	}
}

// committer lets one goroutine at a time write: whoever waits for a batch
// commits what is in line, if nobody is at it, which saves waking another
// goroutine and being woken by it; its own goroutine does the rest.
type committer struct {
	turn sync.Mutex // held while writing
	q    struct {
		sync.Mutex
		jobs   []*job
		size   int
		closed bool
		broken error // set while the files must be opened again
		space  *sync.Cond
	}
	wake    chan struct{}
	stopped chan struct{}
}

func (c *committer) start(s *Store) {
	c.q.space = sync.NewCond(&c.q.Mutex)
	c.wake = make(chan struct{}, 1)
	c.stopped = make(chan struct{})
	go s.run()
}

// stop ends it, and reports whether this call did.
func (c *committer) stop() (first bool) {
	c.q.Lock()
	first = !c.q.closed
	c.q.closed = true
	c.q.space.Broadcast()
	c.q.Unlock()
	if first {
		c.poke()
	}
	<-c.stopped
	return first
}

func (c *committer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *committer) state() error {
	c.q.Lock()
	defer c.q.Unlock()
	if c.q.closed {
		return ErrClosed
	}
	return c.failure()
}

func (c *committer) failed() error {
	c.q.Lock()
	defer c.q.Unlock()
	return c.failure()
}

func (c *committer) failure() error {
	if c.q.broken != nil {
		return fmt.Errorf("%w (%v)", ErrDisk, c.q.broken)
	}
	return nil
}

// Enqueue puts a batch in line. The channel yields one value, when the batch is
// durable (nil) or has failed. Batches become durable in the order of Enqueue,
// so a caller may compose the next record of a feed while the one before is
// being synced; if that one fails, the next fails too, since it does not follow
// the stored head. Enqueue itself waits while more than 16 MiB are in line.
func (s *Store) Enqueue(b *Batch) <-chan error {
	done, _ := s.line(b)
	s.committer.poke()
	return done
}

// Stage is Enqueue for a caller that waits: the function that it returns
// commits what is in line, if nobody is at it, and returns when the batch is
// durable or has failed. It is to be called once and soon: a batch that nobody
// waits for lies for up to a second.
func (s *Store) Stage(b *Batch) (wait func() error) {
	done, first := s.line(b)
	if !first || b.size > maxQueued { // who waits may have others before him, or behind him
		s.committer.poke()
	}
	return func() error {
		s.lead()
		return <-done
	}
}

// line puts a batch in line and reports whether it is the first.
func (s *Store) line(b *Batch) (done chan error, first bool) {
	jobs, done := split(b)
	c := &s.committer
	c.q.Lock()
	for c.q.size > maxQueued && !c.q.closed {
		c.q.space.Wait()
	}
	defer c.q.Unlock()
	if c.q.closed {
		done <- ErrClosed
		return done, false
	}
	first = len(c.q.jobs) == 0
	c.q.jobs = append(c.q.jobs, jobs...)
	c.q.size += b.size
	return done, first
}

// lead commits what is in line, unless somebody is writing, who then sees to
// it that the rest is committed too.
func (s *Store) lead() {
	c := &s.committer
	if !c.turn.TryLock() {
		return
	}
	s.round()
	c.turn.Unlock()
	c.pass()
}

// pass sees to what came while somebody was writing, since whoever brought it
// left it to him. Called after the turn was given up.
func (c *committer) pass() {
	c.q.Lock()
	defer c.q.Unlock()
	if len(c.q.jobs) > 0 {
		c.poke()
	}
}

// Commit makes a batch durable. Errors are those of the operations, and
// [ErrFull], [ErrDisk], [ErrUncertain], [ErrClosed]. A wait that ends with its
// context leaves the outcome open.
func (s *Store) Commit(ctx context.Context, b *Batch) error {
	if b.Empty() {
		return nil
	}
	select {
	case err := <-s.Enqueue(b):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// split cuts a large batch between operations. Where a part fails those behind
// it fail for the same reason, so the last one speaks for all.
func split(b *Batch) (jobs []*job, done chan error) {
	j := &job{}
	for _, o := range b.ops {
		if len(j.ops) > 0 && (j.size+o.size > maxPart || len(j.ops) >= maxRows/8) {
			jobs = append(jobs, j)
			j = &job{after: j}
		}
		j.ops = append(j.ops, o)
		j.size += o.size
	}
	j.done = make(chan error, 1)
	return append(jobs, j), j.done
}

func (s *Store) run() {
	c := &s.committer
	defer close(c.stopped)
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	seconds := 0
	for {
		c.turn.Lock()
		closed := s.round()
		c.turn.Unlock()
		if closed {
			return
		}
		c.pass()
		select {
		case <-c.wake:
		case <-retry.C: // for files that are to be opened again, and to trim
			if seconds++; seconds%5 == 0 {
				trim(s.opt.Dir)
			}
		}
	}
}

// round commits what is in line now, and opens files again that failed. It
// reports whether the store is closed. Called with the turn held.
func (s *Store) round() (closed bool) {
	c := &s.committer
	c.q.Lock()
	jobs, closed, broken := c.q.jobs, c.q.closed, c.q.broken
	c.q.jobs, c.q.size = nil, 0
	c.q.space.Broadcast()
	c.q.Unlock()
	if broken != nil && !closed {
		s.reopen()
	}
	for len(jobs) > 0 {
		jobs = s.group(jobs)
	}
	return closed
}

// group commits as many jobs as fit into one transaction and returns the rest.
func (s *Store) group(jobs []*job) (rest []*job) {
	err := s.committer.failed() // what was in line before Close is still written
	if err == nil {
		err = s.room(s.opt.MinFree, whileOpen)
	}
	if err != nil {
		for _, j := range jobs {
			j.end(err)
		}
		return nil
	}
	d := &draft{s: s, rows: make(map[string][]byte), chains: make(map[protocol.FeedID]protocol.Chain),
		marks: make(map[string]*tag), words: make(map[string]word), totals: s.totals.clone()}
	var in []*job
	err = s.view(func(txn *badger.Txn) error {
		d.txn = txn
		for len(jobs) > 0 {
			j := jobs[0]
			if len(in) > 0 && (d.size+j.size > maxTxn || len(d.order)+8*len(j.ops) > maxRows) {
				break
			}
			jobs = jobs[1:]
			if err := d.do(j); err != nil {
				j.end(err)
				continue
			}
			in = append(in, j)
		}
		return nil
	})
	switch {
	case err != nil: // none of them was read up to, or something panicked
		in, jobs = append(in, jobs...), nil
	case len(in) > 0:
		err = s.write(d)
	}
	for _, j := range in {
		j.end(err)
	}
	return jobs
}

// do applies one job to the draft, or leaves the draft as it was.
func (d *draft) do(j *job) error {
	if j.after != nil && j.after.err != nil {
		return j.after.err
	}
	undo := d.save()
	for _, o := range j.ops {
		if err := o.apply(d); err != nil {
			undo()
			return err
		}
	}
	return nil
}

// write makes a draft durable and then visible.
func (s *Store) write(d *draft) error {
	d.finish()
	if err := s.flush(d); err != nil {
		s.broke(err)
		return fmt.Errorf("%w (%v)", ErrUncertain, err)
	}
	if err := s.counter.write(d.totals.Commit); err != nil {
		s.log.Warn("the commit counter could not be written", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals = d.totals
	for f, c := range d.chains {
		s.chains[f] = c
	}
	for k, m := range d.marks {
		s.marks.set(k, m)
	}
	for k, w := range d.words {
		s.words[k] = w
	}
	for _, f := range d.found {
		s.refound(f)
	}
	return nil
}

// broke has the files opened again.
func (s *Store) broke(err error) {
	c := &s.committer
	c.q.Lock()
	first := c.q.broken == nil
	c.q.broken = err
	c.q.Unlock()
	if first {
		s.log.Error("writing failed; the files will be opened again", "error", err)
	}
	c.poke()
}

// flush writes the rows. What is too much for one transaction are pieces of
// sections and outbox entries: those go ahead, and mean nothing until the last
// transaction names them.
func (s *Store) flush(d *draft) (err error) {
	s.files.RLock()
	defer s.files.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write: %v", p)
		}
	}()
	rows := d.order
	if d.size > maxTxn {
		var last, part []string
		size := 0
		for _, k := range rows {
			if !bulk(k) {
				last = append(last, k)
				continue
			}
			if n := len(d.rows[k]); size+n > maxTxn && len(part) > 0 {
				if err := s.transact(d, part); err != nil {
					return err
				}
				part, size = part[:0], 0
			}
			part = append(part, k)
			size += len(d.rows[k]) + len(k) + tagSize
		}
		if len(part) > 0 {
			if err := s.transact(d, part); err != nil {
				return err
			}
		}
		rows = last
	}
	return s.transact(d, rows)
}

// transact makes rows durable: all or none of them.
func (s *Store) transact(d *draft, keys []string) error {
	size := 0
	for _, k := range keys {
		size += len(k) + len(d.rows[k]) + tagSize + 8
	}
	if s.fresh.many() {
		if err := s.give(); err != nil {
			return err
		}
	}
	j := s.journal
	j.begin(size)
	rows := make([]journalRow, 0, len(keys))
	for _, k := range keys {
		rows = append(rows, j.add(k, d.rows[k], s.tags))
	}
	err := j.seal()
	if errors.Is(err, errJournalFull) {
		if err = s.checkpoint(); err == nil {
			err = j.seal()
		}
	}
	if err == nil {
		err = j.write()
	}
	if err != nil {
		return err
	}
	s.fresh.put(rows, size)
	return nil
}

// checkpoint makes badger's own files durable, so that the journal may begin a
// new round.
func (s *Store) checkpoint() error {
	if err := s.give(); err != nil {
		return err
	}
	if err := s.logs.sync(); err != nil {
		return err
	}
	return s.journal.restart()
}

// reopen closes the files and opens them again, once there is room, or says
// why it cannot and is called again. What failed may be there or not; the heads
// are read anew.
func (s *Store) reopen() {
	if err := s.room(s.opt.MinFree, whileOpen); err != nil {
		s.log.Debug("the files are not opened again yet", "error", err)
		return
	}
	s.files.Lock()
	defer s.files.Unlock()
	if s.db != nil {
		s.giveAgain() // what is acknowledged does not hang on reading back a file that failed
		if err := closeBadger(s.db); err != nil {
			s.log.Warn("closing the failed files", "error", err)
		}
		s.db = nil
	}
	if err := s.openFiles(); err != nil {
		s.log.Error("opening the files again failed", "error", err)
		return
	}
	s.files.Unlock()
	err := s.load()
	s.files.Lock()
	if err != nil {
		closeBadger(s.db)
		s.db = nil
		s.log.Error("reading the files again failed", "error", err)
		return
	}
	s.committer.q.Lock()
	s.committer.q.broken = nil
	s.committer.q.Unlock()
	s.log.Info("writing resumes")
}
