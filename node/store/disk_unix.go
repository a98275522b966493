//go:build linux || darwin

package store

import "golang.org/x/sys/unix"

// diskRoom asks the file system. The lowest bit of the mount flags is "read
// only" on both systems.
func diskRoom(dir string) (free uint64, writable bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false, err
	}
	free = uint64(st.Bavail) * uint64(st.Bsize)
	if st.Files > 0 && st.Ffree == 0 {
		free = 0 // no file can be made
	}
	return free, uint64(st.Flags)&1 == 0, nil
}
