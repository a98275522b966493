package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var errPower = errors.New("no power")

// memDisk is a disk with two memories: what programs see, and what a power cut
// leaves. Contents become safe by Sync, names by SyncDir.
type memDisk struct {
	failAt int  // the operation that fails, from 1; 0 is none
	cut    bool // the failing operation and all after it do nothing
	n      int  // operations so far
	log    []string

	names, safeNames map[string]*inode
}

type inode struct {
	data, safe []byte
	perm       os.FileMode
}

func newMemDisk(path, content string) *memDisk {
	d := &memDisk{names: map[string]*inode{}, safeNames: map[string]*inode{}}
	if content != "" {
		d.names[path] = &inode{[]byte(content), []byte(content), 0o600}
	}
	d.safeNames = maps.Clone(d.names)
	return d
}

func (d *memDisk) step(op string) error {
	d.n++
	d.log = append(d.log, op)
	if d.failAt != 0 && (d.n == d.failAt || d.cut && d.n > d.failAt) {
		return errPower
	}
	return nil
}

func (d *memDisk) Lstat(path string) (fs.FileInfo, error) {
	if err := d.step("lstat"); err != nil {
		return nil, err
	}
	if d.names[path] == nil {
		return nil, fs.ErrNotExist
	}
	return nil, nil
}

func (d *memDisk) CreateTemp(dir, pattern string) (tempFile, error) {
	if err := d.step("create"); err != nil {
		return nil, err
	}
	f := &memFile{d, strings.Replace(filepath.Join(dir, pattern), "*", "1", 1), &inode{perm: 0o600}}
	d.names[f.name] = f.node
	return f, nil
}

func (d *memDisk) Rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *memDisk) Remove(path string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	delete(d.names, path)
	return nil
}

func (d *memDisk) SyncDir(string) error {
	if err := d.step("syncdir"); err != nil {
		return err
	}
	d.safeNames = maps.Clone(d.names)
	return nil
}

type memFile struct {
	d    *memDisk
	name string
	node *inode
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Chmod(p os.FileMode) error {
	if err := f.d.step("chmod"); err != nil {
		return err
	}
	f.node.perm = p
	return nil
}

func (f *memFile) Write(p []byte) (int, error) {
	if err := f.d.step("write"); err != nil {
		half := len(p) / 2 // a full disk takes a part
		f.node.data = append(f.node.data, p[:half]...)
		return half, err
	}
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

func (f *memFile) Sync() error {
	if err := f.d.step("sync"); err != nil {
		return err
	}
	f.node.safe = append([]byte(nil), f.node.data...)
	return nil
}

func (f *memFile) Close() error { return f.d.step("close") }

// after lists what a reader may find at path after a power cut: the name as it
// was last synced or as it was last changed, in either case with the content
// that was synced.
func (d *memDisk) after(path string) (found []string) {
	for _, names := range []map[string]*inode{d.safeNames, d.names} {
		if n := names[path]; n != nil {
			found = append(found, string(n.safe))
		} else {
			found = append(found, "none")
		}
	}
	return found
}

func TestWriteSurvivesEveryFault(t *testing.T) {
	const path, was, want = "/n/keys", "the old keys", "the new keys, longer"
	for _, replace := range []bool{false, true} {
		old, content := "none", ""
		if replace {
			old, content = was, was
		}
		whole := newMemDisk(path, content)
		if err := write(whole, path, []byte(want), 0o640, replace); err != nil {
			t.Fatal(err)
		}
		if got := whole.after(path); got[0] != want || got[1] != want {
			t.Fatalf("after success a power cut leaves %q", got)
		}
		if whole.names[path].perm != 0o640 {
			t.Errorf("mode %o", whole.names[path].perm)
		}
		if len(whole.names) != 1 {
			t.Errorf("left behind: %v", whole.names)
		}
		for at := 1; at <= whole.n; at++ {
			for _, cut := range []bool{false, true} {
				t.Run(fmt.Sprintf("replace=%v/%d-%s/cut=%v", replace, at, whole.log[at-1], cut), func(t *testing.T) {
					d := newMemDisk(path, content)
					d.failAt, d.cut = at, cut
					err := write(d, path, []byte(want), 0o600, replace)
					if !errors.Is(err, errPower) {
						t.Fatalf("error %v", err)
					}
					for _, got := range d.after(path) {
						if got != old && got != want {
							t.Errorf("a power cut leaves %q", got)
						}
					}
					if whole.log[at-1] == "syncdir" {
						return // in place, and the error says so
					}
					seen := "none"
					if n := d.names[path]; n != nil {
						seen = string(n.data)
					}
					if seen != old {
						t.Errorf("after a reported error a reader sees %q", seen)
					}
					if !cut {
						for name := range d.names {
							if name != path {
								t.Errorf("left %s behind", name)
							}
						}
					}
				})
			}
		}
	}
}

func TestWriteFileRefusesToOverwrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, []byte("two"), 0o600)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "left as it is") {
		t.Errorf("error %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "one" {
		t.Errorf("file holds %q", b)
	}
	if err := ReplaceFile(path, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "two" {
		t.Errorf("file holds %q", b)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v", entries, err)
	}
	if fi, _ := os.Stat(path); runtime.GOOS != "windows" && fi.Mode() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	// A name that points nowhere is a file too.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, []byte("x"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a dangling link: %v", err)
	}
	if err := WriteFile(filepath.Join(t.TempDir(), "no", "such", "keys"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing folder: %v", err)
	}
}
