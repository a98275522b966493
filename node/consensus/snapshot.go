package consensus

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

const (
	keepSnapshots  = 2
	maxDescription = 1 << 20
)

// snapshots keeps the group's snapshots, one sealed file each, named by term
// and index so that names sort by age.
type snapshots struct {
	dir string
	key [32]byte
}

var _ raft.SnapshotStore = (*snapshots)(nil)

func openSnapshots(dir string, key [32]byte) (*snapshots, error) {
	s := &snapshots{dir: filepath.Join(dir, "snapshots"), key: key}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make snapshot folder: %w", err)
	}
	unfinished, err := filepath.Glob(filepath.Join(s.dir, "*.tmp"))
	if err != nil {
		return nil, err
	}
	for _, f := range unfinished {
		if err := os.Remove(f); err != nil {
			return nil, fmt.Errorf("remove unfinished snapshot: %w", err)
		}
	}
	return s, nil
}

func (s *snapshots) path(id string) string { return filepath.Join(s.dir, id+".snap") }

// ids returns the snapshots there are, newest first.
func (s *snapshots) ids() ([]string, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var ids []string
	for _, f := range files {
		if id, ok := strings.CutSuffix(f.Name(), ".snap"); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// List returns the snapshots, newest first. A damaged one is an error: to pass
// it over would bring back an older membership.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var metas []*raft.SnapshotMeta
	for _, id := range ids {
		meta, r, err := s.Open(id)
		if err != nil {
			return nil, err
		}
		r.Close()
		metas = append(metas, meta)
	}
	return metas, nil
}

// check reads every snapshot to its end and returns the index that the newest
// reaches; 0: there is none.
func (s *snapshots) check() (newest uint64, err error) {
	ids, err := s.ids()
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		meta, r, err := s.Open(id)
		if err != nil {
			return 0, err
		}
		n, err := io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return 0, fmt.Errorf("snapshot %s: %w", id, err)
		}
		if n != meta.Size {
			return 0, fmt.Errorf("snapshot %s: %w: %d bytes of %d", id, ErrDamaged, n, meta.Size)
		}
		newest = max(newest, meta.Index)
	}
	return newest, nil
}

type snapshotReader struct {
	io.Reader
	io.Closer
}

// Open returns a snapshot's description and the machine's bytes, opened.
func (s *snapshots) Open(id string) (meta *raft.SnapshotMeta, r io.ReadCloser, err error) {
	f, err := os.Open(s.path(id))
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			err = fmt.Errorf("snapshot %s: %w", id, err)
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(f, salt); err != nil {
		return nil, nil, fmt.Errorf("%w: cut short", ErrDamaged)
	}
	body := newOpenReader(f, s.key, salt)
	var size [4]byte
	if _, err := io.ReadFull(body, size[:]); err != nil {
		return nil, nil, damaged(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxDescription {
		return nil, nil, ErrDamaged
	}
	description := make([]byte, n)
	if _, err := io.ReadFull(body, description); err != nil {
		return nil, nil, damaged(err)
	}
	meta = new(raft.SnapshotMeta)
	if err := json.Unmarshal(description, meta); err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if meta.ID != id {
		return nil, nil, fmt.Errorf("%w: it is snapshot %s renamed", ErrDamaged, meta.ID)
	}
	meta.Size = openedSize(st.Size()-saltSize) - 4 - int64(n)
	return meta, snapshotReader{body, f}, nil
}

func damaged(err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %v", ErrDamaged, err)
}

// Create begins a snapshot. It exists once its sink is closed.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	id := fmt.Sprintf("%020d-%020d", term, index)
	meta := raft.SnapshotMeta{Version: version, ID: id, Index: index, Term: term, Configuration: conf, ConfigurationIndex: confIndex}
	description, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.dir, id+"-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	k := &sink{store: s, id: id, f: f, body: newSealWriter(f, s.key, salt)}
	head := append(binary.BigEndian.AppendUint32(nil, uint32(len(description))), description...)
	if _, err = f.Write(salt); err == nil {
		_, err = io.Copy(k.body, bytes.NewReader(head))
	}
	if err != nil {
		k.Cancel()
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	return k, nil
}

// sink takes a new snapshot's bytes.
type sink struct {
	store *snapshots
	id    string
	f     *os.File
	body  *sealWriter
	done  bool
}

func (k *sink) ID() string { return k.id }

func (k *sink) Write(p []byte) (int, error) { return k.body.Write(p) }

func (k *sink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	k.f.Close()
	return os.Remove(k.f.Name())
}

// Close makes the snapshot durable and drops those older than the newest two.
func (k *sink) Close() error {
	if k.done {
		return nil
	}
	err := k.body.Close()
	if err == nil {
		err = k.f.Sync()
	}
	if err != nil {
		k.Cancel()
		return fmt.Errorf("write snapshot: %w", err)
	}
	k.done = true
	if err := k.f.Close(); err != nil {
		os.Remove(k.f.Name())
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := os.Rename(k.f.Name(), k.store.path(k.id)); err != nil {
		os.Remove(k.f.Name())
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := syncDir(k.store.dir); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	ids, err := k.store.ids()
	if err != nil {
		return err
	}
	for _, id := range ids[min(keepSnapshots, len(ids)):] {
		if err := os.Remove(k.store.path(id)); err != nil {
			return fmt.Errorf("remove old snapshot: %w", err)
		}
	}
	return nil
}
