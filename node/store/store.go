package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/national-alliance/alliance/protocol"
)

// DefaultMinFree is how much room the disk must have before a group is
// written: enough for what badger has in memory and for a merge of its tables,
// which writes the new ones (up to 160 MiB of level 0 and 128 MiB of the base
// level) before it removes the old.
const DefaultMinFree = 256 << 20

// openFree is how much is enough to open a store, whose records can be read then:
// for the journal, a log of badger's, and the table of the log before.
const openFree = 64 << 20

const memTable = 8 << 20 // bytes; badger's log of one takes twice that

// Options say where a store is and how to open it.
type Options struct {
	Dir     string   // made with mode 0700 where it does not exist
	Key     [32]byte // encrypts everything; from the node's key file
	Network protocol.NetworkID
	Log     *slog.Logger // nil: none

	// MinFree is how many bytes of the disk must be free for writing; 0 is
	// DefaultMinFree.
	MinFree uint64
	// Room returns the free bytes of the disk that holds a folder, and whether
	// it may be written; nil asks the system.
	Room func(dir string) (free uint64, writable bool, err error)
}

// Store is an open store. All methods may be called at once from any number of
// goroutines.
type Store struct {
	opt     Options
	network protocol.NetworkID
	tags    *tagger
	log     *slog.Logger
	counter *counter

	files   sync.RWMutex // held for reading while badger is used; for writing while it is opened again
	db      *badger.DB   // nil: closed, or could not be opened again
	logs    logs         // badger's; under fresh.giving, and of who opens the files
	journal *journal     // of who has the turn
	fresh   fresh

	mu     sync.RWMutex
	chains map[protocol.FeedID]protocol.Chain
	totals totals
	lost   map[protocol.FeedID]map[uint64]*Lost
	damage Damage
	torn   uint64 // damaged commits in the journal, when the files were opened

	marks marks           // of summed rows; written by who has the turn, under mu
	words map[string]word // of receipts written since the files were opened; of who has the turn

	committer
}

// Open opens the store in a folder, or makes one. It checks the commit number,
// the counts and sums, and every feed's chain and newest record; [Store.Damage]
// says what was missing, and [Store.VerifyAll] does the rest. Errors:
// [ErrInUse], [ErrKey], [ErrNetwork], [ErrFull], [ErrReadOnly], [ErrNotOpened],
// [ErrUnusable].
func Open(opt Options) (*Store, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.MinFree == 0 {
		opt.MinFree = DefaultMinFree
	}
	if opt.Room == nil {
		opt.Room = diskRoom
	}
	s := &Store{opt: opt, network: opt.Network, tags: newTagger(opt.Key), journal: newJournal(opt.Dir, opt.Key), log: opt.Log,
		fresh: fresh{wake: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{})}}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.room(min(opt.MinFree, openFree), "it opens"); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	err := s.openFiles()
	if err == nil {
		s.counter, err = openCounter(filepath.Join(opt.Dir, "count"))
	}
	if err == nil {
		err = s.load()
	}
	if err != nil {
		if s.db != nil {
			closeBadger(s.db)
		}
		s.journal.close()
		if s.counter != nil {
			s.counter.close()
		}
		return nil, fmt.Errorf("open store: %w", err)
	}
	if d := s.Damage(); d.Any() {
		s.log.Error(d.String())
	}
	go s.giver()
	s.committer.start(s)
	return s, nil
}

// Close waits for the writes under way and closes the files.
func (s *Store) Close() error {
	if s.committer.stop() {
		close(s.fresh.quit)
	}
	<-s.fresh.stopped
	s.files.Lock()
	defer s.files.Unlock()
	var err error
	if s.db != nil {
		err = s.give()
		if err = errors.Join(err, closeBadger(s.db)); err == nil { // else the journal keeps what is lacking
			err = s.journal.remove()
		}
		s.db = nil
		err = errors.Join(err, s.counter.close())
	}
	s.journal.close()
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Damage returns what was found missing when the files were last opened.
func (s *Store) Damage() Damage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.damage
}

// Network returns the network that the store belongs to.
func (s *Store) Network() protocol.NetworkID { return s.network }

// badgerOptions are those of a small node. Values stay out of the value log,
// whose errors badger does not return. A wide base level rewrites a record
// about once instead of four times, and tables of 4 MiB keep what a compaction
// holds in memory small. Blocks of 16 KiB hold a few records each: of 4 KiB,
// which hold one, catching up took an eighth more of the processor.
func badgerOptions(opt Options) badger.Options {
	return badger.DefaultOptions(filepath.Join(opt.Dir, "db")).
		WithLogger(quiet{opt.Log}).WithMetricsEnabled(false).
		WithEncryptionKey(opt.Key[:]).
		WithSyncWrites(false).WithDetectConflicts(false).WithNumVersionsToKeep(1).
		WithCompression(0).WithBlockSize(16 << 10).
		WithMemTableSize(memTable).WithNumMemtables(2).
		WithValueThreshold(1 << 20).WithValueLogFileSize(16 << 20).
		WithBaseTableSize(4 << 20).WithBaseLevelSize(128 << 20).
		WithNumLevelZeroTables(16).WithNumLevelZeroTablesStall(32).
		WithNumCompactors(2).WithNumGoroutines(2).
		WithBlockCacheSize(8 << 20).WithIndexCacheSize(8 << 20)
}

// openBadger opens the database and turns a panic over damaged files into an
// error. One goroutine at a time writes and all read what is newest, so the
// database is spared from finding versions and from keeping account of readers.
func openBadger(opt Options) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w (%v)", ErrUnusable, p)
		}
	}()
	if err := mend(opt); err != nil {
		return nil, err
	}
	db, err = badger.OpenManaged(badgerOptions(opt))
	switch {
	case err == nil:
		return db, nil
	case strings.Contains(err.Error(), "Cannot acquire directory lock"):
		return nil, ErrInUse
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return nil, ErrKey
	}
	for _, passing := range []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE, syscall.EROFS, syscall.EACCES} {
		if errors.Is(err, passing) {
			return nil, fmt.Errorf("%w (%v)", ErrNotOpened, passing)
		}
	}
	return nil, fmt.Errorf("%w (%v)", ErrUnusable, err)
}

// openFiles opens the database, puts back what only the journal has, and begins
// a new journal.
func (s *Store) openFiles() (err error) {
	db, err := openBadger(s.opt)
	if err != nil {
		return err
	}
	s.logs = newLogs(s.opt.Dir)
	s.logs.reserve()
	version := db.MaxVersion()
	frames, missing, err := s.journal.recover(func(rows []journalRow) error {
		version++
		return applyRows(db, rows, version)
	})
	if err == nil && frames > 0 {
		err = s.logs.sync()
		s.log.Info("commits were put back from the journal", "commits", frames, "damaged", missing)
	}
	s.torn = missing
	if err == nil {
		err = s.journal.create()
	}
	if err != nil {
		closeBadger(db)
		return err
	}
	s.fresh.reset(version)
	s.db = db
	return nil
}

// applyRows writes rows into the database and waits until it has them.
func applyRows(db *badger.DB, rows []journalRow, version uint64) error {
	w := db.NewWriteBatchAt(version)
	defer w.Cancel()
	for _, r := range rows {
		if err := r.into(w); err != nil {
			return fmt.Errorf("give rows to the database: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("give rows to the database: %w", err)
	}
	return nil
}

func closeBadger(db *badger.DB) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w (%v)", ErrUnusable, p)
		}
	}()
	return db.Close()
}

// view reads from the database. A panic inside badger over damaged bytes
// counts as a loss.
func (s *Store) view(f func(txn *badger.Txn) error) (err error) {
	s.files.RLock()
	defer s.files.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w (%v)", ErrLost, p)
		}
	}()
	return s.db.View(f)
}

// read returns a row's value and tag, or ErrLost: badger's "not found" and a
// wrong tag are the same here, and the caller knows whether the row must be
// there.
func (s *Store) read(txn *badger.Txn, key []byte) (v []byte, t tag, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("%w (%v)", ErrLost, p)
		}
	}()
	raw, ok := s.fresh.get(key)
	if !ok {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrDBClosed) {
			return nil, tag{}, ErrClosed
		}
		if err != nil {
			return nil, tag{}, ErrLost
		}
		if raw, err = item.ValueCopy(nil); err != nil {
			return nil, tag{}, ErrLost
		}
	}
	v, t, good := s.tags.open(key, raw)
	if !good {
		return nil, tag{}, ErrLost
	}
	return v, t, nil
}

// get reads one row.
func (s *Store) get(key []byte) (v []byte, err error) {
	verr := s.view(func(txn *badger.Txn) error {
		v, _, err = s.read(txn, key)
		return nil
	})
	if verr != nil {
		return nil, verr
	}
	return v, err
}

// each passes over the rows with a prefix, in order. good is false where the
// tag is wrong.
func (s *Store) each(prefix []byte, from []byte, f func(key, value []byte, t tag, good bool) error) error {
	return s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix = prefix
		o.PrefetchSize = 32
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			key := it.Item().KeyCopy(nil)
			raw, err := it.Item().ValueCopy(nil)
			if err != nil {
				raw = nil
			}
			v, t, good := s.tags.open(key, raw)
			if err := f(key, v, t, good); err != nil {
				return err
			}
		}
		return nil
	})
}

// whileOpen is what a person is told to expect of an open store.
const whileOpen = "reading goes on, and writing resumes"

// room says whether the disk may be written to, having so much left at least,
// and what comes when it may.
func (s *Store) room(least uint64, then string) error {
	free, writable, err := s.opt.Room(s.opt.Dir)
	switch {
	case err != nil:
		return fmt.Errorf("ask for free space: %w", err)
	case !writable:
		return fmt.Errorf("%w: nothing was lost, %s when it is mounted for writing", ErrReadOnly, then)
	case free < least:
		return fmt.Errorf("%w: nothing was lost, %s when %d MB are free (now %d)",
			ErrFull, then, (least+1<<20-1)>>20, free>>20)
	}
	return nil
}

// quiet passes badger's warnings and errors on, and nothing that holds a key.
type quiet struct{ log *slog.Logger }

func (q quiet) Errorf(f string, a ...any) {
	q.log.Error("database", "message", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (q quiet) Warningf(f string, a ...any) {
	q.log.Warn("database", "message", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (q quiet) Infof(string, ...any)  {}
func (q quiet) Debugf(string, ...any) {}

// Writable returns nil, or why nothing can be written now: [ErrFull],
// [ErrDisk] or [ErrClosed].
func (s *Store) Writable() error {
	if err := s.committer.state(); err != nil {
		return err
	}
	return s.room(s.opt.MinFree, whileOpen)
}
