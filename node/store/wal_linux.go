package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// wal syncs badger's newest write-ahead log. DB.Sync would do, but it also
// syncs a value log that stays empty here, which costs a fifth of a commit.
// Besides, this reserves the log's blocks: badger writes it through a memory
// map of a sparse file, where a full disk is a signal and not an error, and
// syncing reserved blocks is cheaper.
//
// The committer is the only writer and syncs after every transaction, so what
// a transaction wrote is in the log with the highest number.
type wal struct {
	dir  string
	next int
	f    *os.File
}

func newWAL(dir string) wal {
	w := wal{dir: filepath.Join(dir, "db")}
	w.find()
	return w
}

// find opens the log with the highest number.
func (w *wal) find() {
	names, _ := filepath.Glob(filepath.Join(w.dir, "*.mem"))
	last := -1
	for _, n := range names {
		if i, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(n), ".mem")); err == nil {
			last = max(last, i)
		}
	}
	if last >= 0 {
		w.next = last
		w.advance()
	}
}

// advance goes on to the next log if it is there. Its folder is synced, which
// badger leaves out. That blocks cannot be reserved is no error: there are
// file systems without.
func (w *wal) advance() (bool, error) {
	f, err := os.OpenFile(filepath.Join(w.dir, fmt.Sprintf("%05d.mem", w.next)), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open log: %w", err)
	}
	w.close()
	w.f = f
	w.next++
	unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 2*memTable)
	return true, syncDir(w.dir)
}

func (w *wal) sync(db *badger.DB) error {
	if w.f == nil {
		w.find()
	}
	for more := true; more; {
		var err error
		if more, err = w.advance(); err != nil {
			return err
		}
	}
	if w.f == nil {
		return db.Sync()
	}
	for {
		if err := unix.Fdatasync(int(w.f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (w *wal) close() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer d.Close()
	return d.Sync()
}
