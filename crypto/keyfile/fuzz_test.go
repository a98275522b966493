package keyfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzFiles reads what a disk, or a person with an editor, made of key files:
// nothing panics, and what is read is what was written.
func FuzzFiles(f *testing.F) {
	dir := f.TempDir()
	node, err := GenerateNodeKeys()
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, "seed")
	if err := SaveNodeKeys(path, node); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Add([]byte{})
	f.Add([]byte("alliance held key"))
	f.Add(bytes.Repeat([]byte("a: b\n"), 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := LoadNodeKeys(path); err == nil {
			again := filepath.Join(t.TempDir(), "again")
			if err := SaveNodeKeys(again, k); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(again); err != nil || !bytes.Equal(b, data) {
				t.Errorf("%q is read and written as %q: %v", data, b, err)
			}
		}
		if isProtected(data) {
			return // opening tries a passphrase, which takes long by design
		}
		LoadSigning(path, "")
		if k, ok, err := LoadHeld(path); ok && err == nil {
			again := filepath.Join(t.TempDir(), "held")
			if err := SaveHeld(again, k); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(again); err != nil || !bytes.Equal(b, data) {
				t.Errorf("%q is read and written as %q: %v", data, b, err)
			}
		}
	})
}
