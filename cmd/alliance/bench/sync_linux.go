package bench

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes a file's bytes durable, and of its metadata only what reading
// them back needs.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// allocated is what a file takes on the disk; it may be sparse.
func allocated(fi os.FileInfo) int64 {
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return fi.Size()
}
