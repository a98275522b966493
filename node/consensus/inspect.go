package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// Kind says what an inspected value is.
type Kind string

// The kinds. "other" are Raft's own entries: barriers and empty ones.
const (
	KindCommand       Kind = "command"
	KindConfiguration Kind = "configuration"
	KindOther         Kind = "other"
	KindStable        Kind = "stable"
	KindSnapshot      Kind = "snapshot"
)

// Entry is one value of a group's folder, opened.
type Entry struct {
	Kind  Kind
	Index uint64 // of entries and snapshots
	Term  uint64
	Tag   Tag    // of commands
	Name  string // of stable values and snapshots
	Data  []byte // a command's data, a snapshot's whole state
}

// Entries opens everything that a group's folder holds and yields it: stable
// values, snapshots, and every entry in the log's files, also those that were
// given up since and are still on the disk. It changes nothing, needs no
// group, and takes the folder as it stands, so stop the node first. What
// cannot be opened is yielded as an error ([ErrDamaged]), after which the rest
// follows as far as it can be read.
func Entries(dir string, key [32]byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		state := newStateFile(dir, key)
		if _, err := os.Stat(state.path); err != nil {
			yield(Entry{}, fmt.Errorf("inspect raft folder: %w", err))
			return
		}
		if _, err := state.Load(dir); err != nil && !yield(Entry{}, err) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(state.cur.Stable)) {
			if !yield(Entry{Kind: KindStable, Name: name, Data: state.cur.Stable[name]}, nil) {
				return
			}
		}
		newest, ok := inspectSnapshots(dir, key, yield)
		if !ok {
			return
		}
		last, ok := inspectLog(dir, key, yield)
		if !ok {
			return
		}
		mark, err := readMark(dir, key)
		if err == nil && mark > max(last, newest) {
			err = fmt.Errorf("raft log: %w: entries after %d cannot be read, and it once reached %d", ErrDamaged, last, mark)
		}
		if err != nil {
			yield(Entry{}, err)
		}
	}
}

func inspectSnapshots(dir string, key [32]byte, yield func(Entry, error) bool) (newest uint64, ok bool) {
	s := &snapshots{dir: filepath.Join(dir, "snapshots"), key: key}
	ids, err := s.ids()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, yield(Entry{}, err)
	}
	for _, id := range ids {
		e := Entry{Kind: KindSnapshot, Name: id}
		meta, r, err := s.Open(id)
		if err == nil {
			e.Index, e.Term = meta.Index, meta.Term
			newest = max(newest, meta.Index)
			e.Data, err = io.ReadAll(r)
			r.Close()
		}
		if !yield(e, err) {
			return newest, false
		}
	}
	return newest, true
}

func inspectLog(dir string, key [32]byte, yield func(Entry, error) bool) (last uint64, ok bool) {
	box := newBox(key, "log")
	var codec wal.BinaryCodec
	stopped := errors.New("stopped")
	err := segment.NewFiler(dir, walfs.New()).DumpLogs(0, 0, func(_ types.SegmentInfo, raw types.LogEntry) (bool, error) {
		var l raft.Log
		err := decodeEntry(&codec, raw.Data, &l)
		if err == nil && l.Index != raw.Index {
			err = fmt.Errorf("%w: found %d in its place", ErrDamaged, l.Index)
		}
		if err == nil {
			err = box.openEntry(&l)
		}
		last = max(last, raw.Index)
		e := Entry{Index: raw.Index, Term: l.Term, Kind: KindOther, Data: l.Data}
		switch {
		case err != nil:
			e, err = Entry{Index: raw.Index}, fmt.Errorf("raft log entry %d: %w", raw.Index, err)
		case l.Type == raft.LogCommand && len(l.Data) > 0:
			e.Kind, e.Tag, e.Data = KindCommand, Tag(l.Data[0]), l.Data[1:]
		case l.Type == raft.LogConfiguration:
			e.Kind = KindConfiguration
		}
		if !yield(e, err) {
			return false, stopped
		}
		return true, nil
	})
	if errors.Is(err, stopped) {
		return last, false
	}
	if err != nil {
		return last, yield(Entry{}, fmt.Errorf("inspect raft log: %w", err))
	}
	return last, true
}

// decodeEntry decodes raft-wal's form of an entry, which panics on some damage.
func decodeEntry(c *wal.BinaryCodec, b []byte, l *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	if err := c.Decode(b, l); err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return nil
}

func readMark(dir string, key [32]byte) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(dir, "mark"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("raft mark: %w: the file is gone", ErrDamaged)
	}
	if err != nil {
		return 0, fmt.Errorf("read raft mark: %w", err)
	}
	plain, err := newBox(key, "mark").open(b, nil)
	if err == nil && len(plain) != 8 {
		err = ErrDamaged
	}
	if err != nil {
		return 0, fmt.Errorf("raft mark: %w", err)
	}
	return binary.BigEndian.Uint64(plain), nil
}
