package keyfile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/national-alliance/alliance/crypto"
)

// maxFile bounds every key file; the largest holds a few hundred identities.
const maxFile = 1 << 20

// readPrivate reads a regular file that nobody but its owner may touch, save
// for the permission bits in allowed.
func readPrivate(path string, allowed fs.FileMode) ([]byte, error) {
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat() // of what is open, not of what the name points to by now
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("read key file %s: not a regular file; nothing was read; give the path of the key file itself", path)
	}
	if bad := exposed(fi) &^ allowed; bad != 0 {
		return nil, fmt.Errorf("read key file %s: %w (mode %04o); nothing was read; if nobody else uses this machine run: chmod 600 %s, else replace the keys",
			path, ErrExposed, fi.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w; the file was not changed", path, err)
	}
	if len(b) > maxFile {
		return nil, damaged(path, "larger than any key file")
	}
	return b, nil
}

func damaged(path, why string) error {
	return fmt.Errorf("read key file %s: %w: %s; the file was left as it is; restore it from a backup", path, ErrDamaged, why)
}

// head is how every key file's JSON begins.
type head struct {
	File    string `json:"file"`
	Version int    `json:"version"`
}

const version = 1

// document is a pointer to one of the four JSON shapes.
type document interface {
	fileHead() *head
	checkField() *string
}

func (h *head) fileHead() *head { return h }

// tail is how every key file's JSON ends.
type tail struct {
	Check string `json:"check"`
}

func (t *tail) checkField() *string { return &t.Check }

// encode sets head and check and returns the one form of a document.
func encode(kind string, d document) []byte {
	*d.fileHead() = head{kind, version}
	*d.checkField() = ""
	*d.checkField() = crypto.Sum("key-file", crypto.Hash{}, marshal(d)).String()
	return marshal(d)
}

func marshal(d document) []byte {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic("keyfile: " + err.Error()) // only strings and numbers in there
	}
	return append(b, '\n')
}

// decode reads what encode wrote, byte for byte, and nothing else.
func decode(path, kind string, data []byte, d document) error {
	var h head
	if err := json.Unmarshal(data, &h); err != nil {
		return damaged(path, "not JSON") // json's error would repeat bytes
	}
	if h.File != kind {
		return fmt.Errorf("read key file %s: %w: it is no file of %s; it was left as it is; give the path of the right file", path, ErrDamaged, kind)
	}
	if h.Version > version {
		return fmt.Errorf("read key file %s: written by a newer program (version %d, this one knows %d); it was left as it is; upgrade", path, h.Version, version)
	}
	if err := json.Unmarshal(data, d); err != nil {
		return damaged(path, "a field has the wrong form")
	}
	if !bytes.Equal(encode(kind, d), data) {
		return damaged(path, "its check does not match")
	}
	return nil
}

// seed reads 32 bytes of hex from a document that passed its check.
func seed(path, name, s string) (k [32]byte, err error) {
	if hex.DecodedLen(len(s)) != len(k) {
		return k, damaged(path, name+" is not 64 hex digits")
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return [32]byte{}, damaged(path, name+" is not 64 hex digits")
	}
	return k, nil
}
