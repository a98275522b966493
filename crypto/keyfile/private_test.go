//go:build !windows

package keyfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLoadRefusesExposedFiles(t *testing.T) {
	for path, load := range everyFile(t) {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o602, 0o601, 0o644, 0o444, 0o777} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			err := load(path)
			if !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("mode %o: %v", mode, err)
			}
		}
		for _, mode := range []os.FileMode{0o600, 0o400} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if err := load(path); err != nil {
				t.Errorf("mode %o: %v", mode, err)
			}
		}
	}
}

func TestLoadNodeCredential(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credential")
	if err := SaveNodeKeys(path, nodeKeys(t)); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]error{0o400: nil, 0o440: nil, 0o600: nil, 0o640: nil, 0o460: ErrExposed, 0o444: ErrExposed, 0o404: ErrExposed} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadNodeCredential(path); !errors.Is(err, want) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestHeldKeyMayBeReadAndNotChanged(t *testing.T) {
	k := testSigning(t)
	path := filepath.Join(t.TempDir(), "held")
	if err := SaveHeld(path, HeldKey{k.Person, k.Key.Public()}); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]error{0o644: nil, 0o600: nil, 0o755: nil, 0o664: ErrExposed, 0o646: ErrExposed} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := LoadHeld(path); !errors.Is(err, want) || ok != (want == nil) {
			t.Errorf("mode %o: %v, %v", mode, ok, err)
		}
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, os.DevNull} {
		if _, err := LoadNodeKeys(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A link is as good as what it points to.
	path, link := filepath.Join(dir, "keys"), filepath.Join(dir, "link")
	if err := SaveNodeKeys(path, nodeKeys(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadNodeKeys(link); err != nil {
		t.Error(err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadNodeKeys(big); !errors.Is(err, ErrDamaged) {
		t.Errorf("oversize: %v", err)
	}
}

// An unreadable file is the system's own error, and names the path.
func TestLoadUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		// Permission bits do not bind root; a loop of links does.
		path := filepath.Join(t.TempDir(), "loop")
		if err := os.Symlink(path, path); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadNodeKeys(path); !errors.Is(err, syscall.ELOOP) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v", err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, nil, 0o000); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadNodeKeys(path); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}
