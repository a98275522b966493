package store

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// fresh are the rows that the journal has made durable and badger does not have
// yet. Readers look here first. Badger is given them many at a time, by a
// goroutine of its own: a commit then waits for the disk alone, and of a row
// that every commit rewrites badger gets only what it came to.
type fresh struct {
	mu    sync.RWMutex
	rows  map[string][]byte // with their tags; nil: removed
	size  int
	given map[string][]byte // what badger is being given

	giving  sync.Mutex // held while it is, and of version and failed
	version uint64     // badger's, of the newest transaction
	failed  error      // until the files are opened again

	wake, quit, stopped chan struct{}
}

const (
	giveSize  = maxTxn / 3 // from so many bytes on badger is given them at once
	giveAfter = 200 * time.Millisecond
)

// get returns a row that is fresh, nil for a removed one.
func (f *fresh) get(key []byte) (row []byte, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if row, ok = f.rows[string(key)]; !ok {
		row, ok = f.given[string(key)]
	}
	return row, ok
}

// put adds durable rows of a size. Called with the turn held.
func (f *fresh) put(rows []journalRow, size int) {
	f.mu.Lock()
	first := len(f.rows) == 0
	for _, r := range rows {
		f.rows[string(r.key)] = r.value
	}
	f.size += size
	now := f.size >= giveSize
	f.mu.Unlock()
	switch {
	case now:
		f.poke()
	case first:
		time.AfterFunc(giveAfter, f.poke)
	}
}

// many reports whether badger is behind by so much that a commit must wait.
func (f *fresh) many() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.size > maxTxn
}

func (f *fresh) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// reset forgets everything, since it is put back from the journal. version is
// badger's newest.
func (f *fresh) reset(version uint64) {
	f.giving.Lock()
	defer f.giving.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows, f.given, f.size = make(map[string][]byte), nil, 0
	f.version, f.failed = version, nil
}

// giver gives badger what is fresh, until quit is closed.
func (s *Store) giver() {
	defer close(s.fresh.stopped)
	for {
		select {
		case <-s.fresh.quit:
			return
		case <-s.fresh.wake:
		}
		s.files.RLock()
		err := error(nil)
		if s.db != nil {
			err = s.give()
		}
		s.files.RUnlock()
		if err != nil {
			s.broke(err)
		}
	}
}

// give gives badger what is fresh and waits until it has it; not as one
// transaction, since it is read here until all of it is there, and the journal
// has it. An error stands until the files are opened again. Called with s.files
// held for reading.
func (s *Store) give() error {
	s.fresh.giving.Lock()
	defer s.fresh.giving.Unlock()
	if s.fresh.failed != nil {
		return s.fresh.failed
	}
	return s.hand()
}

// giveAgain is give also after it failed. Called with s.files held for writing.
func (s *Store) giveAgain() error {
	s.fresh.giving.Lock()
	defer s.fresh.giving.Unlock()
	return s.hand()
}

// hand hands badger what is fresh, and what it did not take before. Called with
// giving held.
func (s *Store) hand() (err error) {
	f := &s.fresh
	f.mu.Lock()
	if len(f.given) == 0 {
		f.given = f.rows
	} else {
		maps.Copy(f.given, f.rows) // these are newer
	}
	f.rows, f.size = make(map[string][]byte), 0
	f.mu.Unlock()
	if len(f.given) == 0 {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write: %v", p)
		}
		if f.failed = err; err == nil { // else it is still read here
			f.mu.Lock()
			f.given = nil
			f.mu.Unlock()
		}
	}()
	s.logs.reserve()
	rows := make([]journalRow, 0, len(f.given))
	for k, v := range f.given {
		rows = append(rows, journalRow{[]byte(k), v})
	}
	f.version++
	if err := applyRows(s.db, rows, f.version); err != nil {
		return err
	}
	s.db.SetDiscardTs(f.version)
	return nil
}
