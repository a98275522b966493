//go:build unix

package api

import (
	"net"
	"os"
	"path/filepath"
)

// listenPrivate makes a socket that only this user may open: it is made under
// another name in a folder of its own, given its mode, and then moved.
func listenPrivate(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(tmp, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	if err := os.Rename(tmp, path); err != nil {
		ln.Close()
		return nil, err
	}
	return &unlinking{ln, path}, nil
}

type unlinking struct {
	net.Listener
	path string
}

func (u *unlinking) Close() error {
	os.Remove(u.path)
	return u.Listener.Close()
}
