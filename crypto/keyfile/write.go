package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes a new file so that after a crash at any moment it is there
// whole or not at all, and once WriteFile has returned nil, it is there: a
// temporary file beside it is written, synced and renamed, then the folder is
// synced. It refuses if path exists (the error wraps [fs.ErrExist]); keeping
// two writers of one path apart is the caller's part. A crash may leave a file
// named .NAME.*.tmp, of mode 0600, that nothing reads.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	return write(osDisk{}, path, data, perm, false)
}

// ReplaceFile is [WriteFile] for a path that may exist: the old file stays
// whole until the new one is.
func ReplaceFile(path string, data []byte, perm os.FileMode) error {
	return write(osDisk{}, path, data, perm, true)
}

// disk is what a durable write asks of the operating system, so that a test
// can fail each step and cut the power between any two.
type disk interface {
	Lstat(path string) (fs.FileInfo, error)
	CreateTemp(dir, pattern string) (tempFile, error) // mode 0600, new
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error
}

type tempFile interface {
	io.Writer
	Name() string
	Chmod(os.FileMode) error
	Sync() error
	Close() error
}

type osDisk struct{}

func (osDisk) Lstat(path string) (fs.FileInfo, error)           { return os.Lstat(path) }
func (osDisk) CreateTemp(dir, pattern string) (tempFile, error) { return os.CreateTemp(dir, pattern) }
func (osDisk) Rename(from, to string) error                     { return os.Rename(from, to) }
func (osDisk) Remove(path string) error                         { return os.Remove(path) }
func (osDisk) SyncDir(dir string) error                         { return syncDir(dir) }

func write(d disk, path string, data []byte, perm os.FileMode, replace bool) error {
	kept := "nothing was written"
	if replace {
		kept = "the file was left as it was"
	}
	if !replace {
		switch _, err := d.Lstat(path); {
		case err == nil:
			return fmt.Errorf("write %s: %w; it was left as it is; move it away first, or choose another name", path, fs.ErrExist)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("write %s: %w; %s", path, err, kept)
		}
	}
	dir := filepath.Dir(path)
	temp, err := d.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w; %s; check that the folder exists, has space and may be written", path, err, kept)
	}
	if err := fill(temp, data, perm); err != nil {
		d.Remove(temp.Name())
		return fmt.Errorf("write %s: %w; %s; check the disk's space and health, then try again", path, err, kept)
	}
	if err := d.Rename(temp.Name(), path); err != nil {
		d.Remove(temp.Name())
		return fmt.Errorf("write %s: %w; %s", path, err, kept)
	}
	if err := d.SyncDir(dir); err != nil {
		return fmt.Errorf("write %s: sync folder: %w; the new file is in place but may not survive a power cut; check the disk, then write it again", path, err)
	}
	return nil
}

// fill writes, syncs and closes, and reports the first of their errors.
func fill(f tempFile, data []byte, perm os.FileMode) error {
	err := f.Chmod(perm)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
