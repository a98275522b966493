package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// Inspect opens a closed store for reading and calls f with every decrypted
// key and value that its files hold, older versions and removed ones included,
// and badger's own rows. It exists for audits: a program can show that nothing
// readable lies under the store's encryption. A store that was not closed
// properly is copied to a temporary folder first. It changes nothing in dir.
func Inspect(dir string, key [32]byte, f func(key, value []byte) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("inspect store: %w (%v)", ErrUnusable, p)
		}
	}()
	j := newJournal(dir, key)
	var db *badger.DB
	if _, err = os.Stat(j.path); errors.Is(err, os.ErrNotExist) {
		db, err = badger.Open(badgerOptions(Options{Dir: dir, Key: key}).WithLogger(nil).WithReadOnly(true))
	} else if err == nil {
		tmp, terr := os.MkdirTemp("", "inspect-")
		if terr != nil {
			return fmt.Errorf("inspect store: %w", terr)
		}
		defer os.RemoveAll(tmp)
		if err := os.CopyFS(filepath.Join(tmp, "db"), os.DirFS(filepath.Join(dir, "db"))); err != nil {
			return fmt.Errorf("inspect store: %w", err)
		}
		if db, err = openBadger(Options{Dir: tmp, Key: key, Log: slog.New(slog.DiscardHandler)}); err == nil {
			version := db.MaxVersion()
			if _, _, err = j.recover(func(rows []journalRow) error {
				version++
				return applyRows(db, rows, version)
			}); err != nil {
				db.Close()
			}
		}
	}
	if errors.Is(err, ErrKey) {
		return fmt.Errorf("inspect store: %w", err)
	}
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return fmt.Errorf("inspect store: %w", ErrKey)
	}
	if err != nil {
		return fmt.Errorf("inspect store: %w", err)
	}
	defer db.Close()
	return db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.AllVersions, o.InternalAccess = true, true
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return fmt.Errorf("inspect store: %w", err)
			}
			if err := f(it.Item().KeyCopy(nil), v); err != nil {
				return err
			}
		}
		return nil
	})
}
