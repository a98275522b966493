package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/hashicorp/raft-wal/types"
)

// stateFile is the small durable state beside the log: raft-wal's segments,
// and Raft's term and vote. The vote names a node, and a changed one would let
// a node vote twice, so all of it is sealed. It changes at elections and when
// a segment begins or ends, and is then replaced whole.
type stateFile struct {
	path string
	box  box

	mu  sync.Mutex
	cur state
}

type state struct {
	Log    types.PersistentState
	Stable map[string][]byte
}

var _ types.MetaStore = (*stateFile)(nil)

func newStateFile(dir string, key [32]byte) *stateFile {
	return &stateFile{path: filepath.Join(dir, "state"), box: newBox(key, "state")}
}

// Load reads the file; one that does not exist is an empty state.
func (s *stateFile) Load(string) (types.PersistentState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cur = state{Stable: map[string][]byte{}}
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.cur.Log, nil
	}
	if err != nil {
		return s.cur.Log, fmt.Errorf("read raft state: %w", err)
	}
	plain, err := s.box.open(b, nil)
	if err != nil {
		return s.cur.Log, fmt.Errorf("raft state: %w", err)
	}
	if err := json.Unmarshal(plain, &s.cur); err != nil {
		return s.cur.Log, fmt.Errorf("raft state: %w: %v", ErrDamaged, err)
	}
	if s.cur.Stable == nil {
		s.cur.Stable = map[string][]byte{}
	}
	return s.cur.Log, nil
}

func (s *stateFile) save(next state) error {
	plain, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode raft state: %w", err)
	}
	if err := writeDurably(s.path, s.box.seal(plain, nil)); err != nil {
		return fmt.Errorf("write raft state: %w", err)
	}
	s.cur = next
	return nil
}

func (s *stateFile) CommitState(log types.PersistentState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save(state{Log: log, Stable: s.cur.Stable})
}

func (s *stateFile) GetStable(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.cur.Stable[string(key)]...), nil
}

func (s *stateFile) SetStable(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[string][]byte, len(s.cur.Stable)+1)
	for k, v := range s.cur.Stable {
		next[k] = v
	}
	if value == nil {
		delete(next, string(key))
	} else {
		next[string(key)] = append([]byte(nil), value...)
	}
	return s.save(state{Log: s.cur.Log, Stable: next})
}

func (s *stateFile) Close() error { return nil }

// writeDurably replaces a file: temporary file, fsync, rename, fsync of the
// folder. After a crash the file is the old one or the new one, whole.
func writeDurably(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // a folder cannot be synced there
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
