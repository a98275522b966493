package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

const segmentSize = 8 << 20 // bytes of one preallocated file of the log

// sealedLog is Raft's log and stable store: a raft-wal whose entries are
// sealed, each bound to its place.
type sealedLog struct {
	*wal.WAL
	box  box
	mark *markFile
	// fail is told the first error of a write. raft-wal cannot go on after
	// one, since its buffer then holds frames that never reached the disk.
	fail func(error)
}

var (
	_ raft.LogStore          = (*sealedLog)(nil)
	_ raft.MonotonicLogStore = (*sealedLog)(nil)
	_ raft.StableStore       = (*sealedLog)(nil)
)

func openLog(dir string, key [32]byte, logger hclog.Logger, fail func(error)) (l *sealedLog, err error) {
	state := newStateFile(dir, key)
	first, err := missing(state.path)
	if err != nil {
		return nil, err
	}
	mark, err := openMark(dir, key, first)
	if err != nil {
		return nil, err
	}
	w, err := openWAL(dir, state, logger)
	if err != nil {
		mark.close()
		if errors.Is(err, wal.ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	return &sealedLog{WAL: w, box: newBox(key, "log"), mark: mark, fail: fail}, nil
}

// openWAL turns a panic over damaged lengths into an error.
func openWAL(dir string, state *stateFile, logger hclog.Logger) (w *wal.WAL, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return wal.Open(dir, wal.WithMetaStore(state), wal.WithSegmentSize(segmentSize), wal.WithLogger(logger))
}

func missing(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

func entryAD(l *raft.Log) []byte {
	var ad [17]byte
	binary.BigEndian.PutUint64(ad[:], l.Index)
	binary.BigEndian.PutUint64(ad[8:], l.Term)
	ad[16] = byte(l.Type)
	return ad[:]
}

// sealEntry puts extensions, time and data of an entry under seal: length of
// the extensions (4 bytes), extensions, Unix nanoseconds (8), data.
func (b box) sealEntry(l *raft.Log) *raft.Log {
	plain := make([]byte, 0, 12+len(l.Extensions)+len(l.Data))
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(l.Extensions)))
	plain = append(plain, l.Extensions...)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	plain = binary.BigEndian.AppendUint64(plain, uint64(at))
	plain = append(plain, l.Data...)
	return &raft.Log{Index: l.Index, Term: l.Term, Type: l.Type, Data: b.seal(plain, entryAD(l))}
}

// openEntry opens in place what sealEntry made.
func (b box) openEntry(l *raft.Log) error {
	plain, err := b.open(l.Data, entryAD(l))
	if err != nil {
		return err
	}
	if len(plain) < 12 {
		return ErrDamaged
	}
	n := int(binary.BigEndian.Uint32(plain))
	if n > len(plain)-12 {
		return ErrDamaged
	}
	l.Extensions, l.AppendedAt = nil, time.Time{}
	if n > 0 {
		l.Extensions = plain[4 : 4+n]
	}
	if at := int64(binary.BigEndian.Uint64(plain[4+n:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	l.Data = plain[12+n:]
	return nil
}

// GetLog reads and opens the entry at index.
func (s *sealedLog) GetLog(index uint64, l *raft.Log) error {
	// raft-wal still shows a dropped prefix where it shares a file with the
	// newest entries.
	if first, err := s.FirstIndex(); err != nil {
		return err
	} else if index < first {
		return raft.ErrLogNotFound
	}
	var got raft.Log
	if err := s.readWAL(index, &got); err != nil {
		if errors.Is(err, wal.ErrNotFound) {
			return raft.ErrLogNotFound
		}
		return fmt.Errorf("raft log entry %d: %w", index, err)
	}
	if got.Index != index {
		return fmt.Errorf("raft log entry %d: %w: found %d in its place", index, ErrDamaged, got.Index)
	}
	if err := s.box.openEntry(&got); err != nil {
		return fmt.Errorf("raft log entry %d: %w", index, err)
	}
	*l = got
	return nil
}

// readWAL turns raft-wal's errors and panics over damaged bytes into ErrDamaged.
func (s *sealedLog) readWAL(index uint64, l *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	err = s.WAL.GetLog(index, l)
	if err != nil && !errors.Is(err, wal.ErrNotFound) && !errors.Is(err, wal.ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func (s *sealedLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs seals the entries, appends them and returns when they are durable.
func (s *sealedLog) StoreLogs(logs []*raft.Log) error {
	sealed := make([]*raft.Log, len(logs))
	for i, l := range logs {
		sealed[i] = s.box.sealEntry(l)
	}
	err := s.WAL.StoreLogs(sealed)
	if err == nil && len(logs) > 0 {
		err = s.mark.set(logs[len(logs)-1].Index, false)
	}
	if err != nil && !errors.Is(err, wal.ErrClosed) {
		s.fail(fmt.Errorf("append to raft log: %w", err))
	}
	return err
}

// DeleteRange drops a prefix (after a snapshot) or a suffix (entries that
// never committed) of the log. The mark goes back first, and durably.
func (s *sealedLog) DeleteRange(lo, hi uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if hi >= last {
		keep := lo - 1
		if lo <= first {
			keep = 0
		}
		err = s.mark.set(keep, true)
	}
	if err == nil {
		err = s.WAL.DeleteRange(lo, hi)
	}
	if err != nil && !errors.Is(err, wal.ErrClosed) {
		s.fail(fmt.Errorf("shorten raft log: %w", err))
	}
	return err
}

func (s *sealedLog) Set(key, val []byte) error {
	err := s.WAL.Set(key, val)
	if err != nil && !errors.Is(err, wal.ErrClosed) {
		s.fail(err)
	}
	return err
}

func (s *sealedLog) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.LittleEndian.AppendUint64(nil, val))
}

// check opens every entry, so that damage is found before Raft starts (which
// would panic on it), and compares the ends with the mark and with the newest
// snapshot, which reaches to index snapshot (0: there is none).
func (s *sealedLog) check(snapshot uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if s.mark.last > max(last, snapshot) {
		return fmt.Errorf("raft log: %w: it ends at entry %d and once reached %d", ErrDamaged, last, s.mark.last)
	}
	if last > 0 && last < snapshot {
		// A crash between installing a snapshot and dropping what it
		// replaces. Raft would append after the snapshot and fail.
		return s.DeleteRange(first, last)
	}
	if last > 0 && first > snapshot+1 {
		return fmt.Errorf("raft log: %w: it begins at entry %d and no snapshot holds what was before", ErrDamaged, first)
	}
	if last == 0 {
		return nil
	}
	var l raft.Log
	for i := first; i <= last; i++ {
		err := s.GetLog(i, &l)
		if errors.Is(err, raft.ErrLogNotFound) {
			err = fmt.Errorf("raft log entry %d: %w: it is missing", i, ErrDamaged)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sealedLog) Close() error {
	err := s.WAL.Close()
	if e := s.mark.close(); err == nil {
		err = e
	}
	return err
}

// markFile holds the last index that the log was told is durable.
type markFile struct {
	f    *os.File
	box  box
	mu   sync.Mutex
	last uint64
}

// openMark opens the mark. Only a folder's first opening may lack one.
func openMark(dir string, key [32]byte, first bool) (*markFile, error) {
	path := filepath.Join(dir, "mark")
	m := &markFile{box: newBox(key, "mark")}
	if first {
		// A log without a state file is as good as none; see that nobody
		// took the state file away.
		if segments, _ := filepath.Glob(filepath.Join(dir, "*.wal")); len(segments) > 0 {
			return nil, fmt.Errorf("raft state: %w: the file is gone and the log is there", ErrDamaged)
		}
		if err := writeDurably(path, m.box.seal(make([]byte, 8), nil)); err != nil {
			return nil, fmt.Errorf("write raft mark: %w", err)
		}
	}
	last, err := readMark(dir, key)
	if err != nil {
		return nil, err
	}
	m.last = last
	if m.f, err = os.OpenFile(path, os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("open raft mark: %w", err)
	}
	return m, nil
}

// set moves the mark. Forward it need not be forced to disk, since an older
// one only sees less; backward it must be, or it would cry damage.
func (m *markFile) set(last uint64, force bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var plain [8]byte
	binary.BigEndian.PutUint64(plain[:], last)
	if _, err := m.f.WriteAt(m.box.seal(plain[:], nil), 0); err != nil {
		return fmt.Errorf("write raft mark: %w", err)
	}
	m.last = last
	if force {
		return m.f.Sync()
	}
	return nil
}

func (m *markFile) close() error { return m.f.Close() }
