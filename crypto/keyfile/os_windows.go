package keyfile

import (
	"io/fs"
	"os"
)

const openFlags = os.O_RDONLY

// Windows has no such bits: a file inherits its folder's access list, which
// the installer sets.
func exposed(fs.FileInfo) fs.FileMode { return 0 }

// Windows cannot sync a folder; NTFS journals the rename.
func syncDir(string) error { return nil }
