package store

import (
	"os"
	"syscall"
)

// allocated is what a file takes on the disk; it may be sparse.
func allocated(fi os.FileInfo) int64 { return fi.Sys().(*syscall.Stat_t).Blocks * 512 }
