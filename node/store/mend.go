package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// mend puts right what keeps badger from opening its files although nothing, or
// little, is lost.
func mend(opt Options) error {
	if err := removeEmptyLogs(opt.Dir); err != nil {
		return err
	}
	return forgetMissingTables(opt)
}

// removeEmptyLogs removes what a kill leaves of a log that badger had just made,
// or was about to remove since its table was written: an empty one, over which
// it refuses to open.
func removeEmptyLogs(dir string) error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		names, err := filepath.Glob(filepath.Join(dir, "db", pattern))
		if err != nil {
			return fmt.Errorf("look for empty logs: %w", err)
		}
		for _, name := range names {
			if fi, err := os.Stat(name); err == nil && fi.Size() == 0 {
				if err := os.Remove(name); err != nil {
					return fmt.Errorf("remove empty log: %w", err)
				}
			}
		}
	}
	return nil
}

// forgetMissingTables takes tables that are not there off the list of tables.
// When syncing that list fails, badger removes the table that it has just
// listed and writes it again under the next number, so nothing is missing. If
// something is, the counts and sums show it, and peers have it.
func forgetMissingTables(opt Options) error {
	dir := filepath.Join(opt.Dir, "db")
	f, err := os.OpenFile(filepath.Join(dir, badger.ManifestFilename), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read list of tables: %w", err)
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, 0, badgerOptions(opt))
	if err != nil {
		return nil // badger says so itself
	}
	// badgerpb4.ManifestChangeSet: field 1, and in each change field 1 the
	// table's number and field 2 the operation, 1 to delete.
	var set []byte
	for id := range m.Tables {
		if _, err := os.Stat(table.NewFilename(id, dir)); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		change := append(binary.AppendUvarint([]byte{1 << 3}, id), 2<<3, 1)
		set = append(append(set, 1<<3|2, byte(len(change))), change...)
		opt.Log.Warn("a table of the database is missing and is taken off its list", "table", id)
	}
	if set == nil {
		return nil
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(set)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(set, castagnoli))
	if err = f.Truncate(end); err == nil { // behind it is at most a torn entry
		_, err = f.Seek(end, io.SeekStart)
	}
	if err == nil {
		_, err = f.Write(append(b, set...))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("write list of tables: %w", err)
	}
	return nil
}
