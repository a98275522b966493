//go:build !windows

package keyfile

import (
	"io/fs"
	"os"
	"syscall"
)

// openFlags keep a pipe in a key file's place from blocking the open.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// exposed returns the permission bits that let group or others in.
func exposed(fi fs.FileInfo) fs.FileMode { return fi.Mode().Perm() & 0o077 }

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
