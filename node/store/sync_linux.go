package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync makes a file's bytes durable, and no more of what stands about it
// than reading them needs.
func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// reserve reserves a file's blocks, where the file system can.
func reserve(f *os.File, size int64) { unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size) }
