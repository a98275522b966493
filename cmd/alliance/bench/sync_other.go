//go:build !linux

package bench

import "os"

func datasync(f *os.File) error { return f.Sync() }

func allocated(fi os.FileInfo) int64 { return fi.Size() }
