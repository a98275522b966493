package store

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, func(b *Batch) { b.Meta("x", []byte("example")) })
	_, err := Open(testOptions(dir))
	wantErr(t, "open twice", err, ErrInUse)
	mustClose(t, s)
	o := testOptions(dir)
	o.Key[0] ^= 1
	_, err = Open(o)
	wantErr(t, "another key", err, ErrKey)
	o = testOptions(dir)
	o.Network = protocol.NetworkID{8}
	_, err = Open(o)
	wantErr(t, "another network", err, ErrNetwork)
	o = testOptions(dir)
	o.Room = func(string) (uint64, bool, error) { return 100, true, nil }
	_, err = Open(o)
	wantErr(t, "no room", err, ErrFull)
	s = open(t, dir)
	if v, err := s.Meta("x"); string(v) != "example" || err != nil || s.Damage().Any() {
		t.Errorf("%q, %v, %v", v, err, s.Damage())
	}
}

func TestMissingCounterShows(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"missing": os.Remove,
		"flipped": func(path string) error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw[9] ^= 4
			return os.WriteFile(path, raw, 0o600)
		},
	} {
		dir := t.TempDir()
		s := open(t, dir)
		commit(t, s, func(b *Batch) { b.Meta("x", []byte("example")) })
		mustClose(t, s)
		if err := spoil(filepath.Join(dir, "count")); err != nil {
			t.Fatal(err)
		}
		if s = open(t, dir); !s.Damage().Counter {
			t.Errorf("%s: damage %+v", name, s.Damage())
		}
		if v, err := s.Meta("x"); string(v) != "example" || err != nil {
			t.Errorf("%s: %q, %v", name, v, err)
		}
		mustClose(t, s)
		if s = open(t, dir); s.Damage().Any() {
			t.Errorf("%s: damage stays: %v", name, s.Damage())
		}
	}
}

func TestFullOrReadOnlyDiskStopsWritingOnly(t *testing.T) {
	var free atomic.Uint64
	var readOnly atomic.Bool
	free.Store(1 << 30)
	o := testOptions(t.TempDir())
	o.Room = func(string) (uint64, bool, error) { return free.Load(), !readOnly.Load(), nil }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := authorOf(t, 1).some(t, 3, 100)
	commit(t, s, l[0].put)
	free.Store(o.MinFree - 1)
	wantErr(t, "full", try(s, l[1].put), ErrFull)
	wantErr(t, "full", s.Writable(), ErrFull)
	l[0].same(t, s)
	free.Store(1 << 30)
	readOnly.Store(true)
	wantErr(t, "read only", try(s, l[1].put), ErrReadOnly)
	l[0].same(t, s)
	readOnly.Store(false)
	if err := s.Writable(); err != nil {
		t.Error(err)
	}
	commit(t, s, l[1].put)
	l[1].same(t, s)
}

// A nearly full disk does not keep people from reading.
func TestNearlyFullDiskOpens(t *testing.T) {
	dir := t.TempDir()
	l := authorOf(t, 1).some(t, 2, 100)
	s := open(t, dir)
	commit(t, s, l[0].put)
	mustClose(t, s)
	o := testOptions(dir)
	o.MinFree = 256 << 20
	o.Room = func(string) (uint64, bool, error) { return openFree, true, nil }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l[0].same(t, s)
	wantErr(t, "nearly full", try(s, l[1].put), ErrFull)
}

func TestInspectSeesEverything(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := authorOf(t, 1).some(t, 2, 100)
	commit(t, s, func(b *Batch) { l[0].put(b); l[1].put(b); b.Meta("canary", []byte("an invented canary")) })
	look := func() (records int, canary bool) {
		t.Helper()
		err := Inspect(dir, testKey, func(k, v []byte) error {
			if k[0] == rowRecord && len(k) == 42 {
				records++
			}
			canary = canary || string(k) == "mcanary" && string(v[:len(v)-tagSize]) == "an invented canary"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return records, canary
	}
	mustClose(t, s)
	if n, c := look(); n != 2 || !c {
		t.Errorf("%d records, canary %v", n, c)
	}
	// As after a kill: the log was not cut to its length.
	s = open(t, dir)
	commit(t, s, func(b *Batch) { b.Meta("x", nil) })
	live := dir
	dir = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	if n, c := look(); n != 2 || !c {
		t.Errorf("copy: %d records, canary %v", n, c)
	}
	var other [32]byte
	wantErr(t, "another key", Inspect(dir, other, func(_, _ []byte) error { return nil }), ErrKey)
	// Nothing of it can be read without the key.
	raw, err := os.ReadDir(filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range raw {
		b, err := os.ReadFile(filepath.Join(dir, "db", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"canary", string(l[0].rec.CoreBytes()[:40])} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds %q in the clear", f.Name(), secret)
			}
		}
	}
}
