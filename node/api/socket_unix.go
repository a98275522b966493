//go:build unix

package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// listenPrivate makes a socket that only this user may open: it is made under
// another name in a folder of its own, given its mode, and then moved.
func listenPrivate(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the system allows no path so long: name a socket of at most %d bytes in the configuration", maxSocketPath)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "s")
	if len(tmp) > maxSocketPath {
		return nil, errors.New("its folder's path is too long for the system: name a socket in another folder in the configuration")
	}
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
	return &unlinking{Listener: ln, path: path}, nil
}

// maxSocketPath is what sockaddr_un holds on the narrowest system, macOS.
const maxSocketPath = 103

// unlinking removes its socket when it is closed first; later the path may be
// another node's.
type unlinking struct {
	net.Listener
	path string
	once sync.Once
}

func (u *unlinking) Close() error {
	u.once.Do(func() { os.Remove(u.path) })
	return u.Listener.Close()
}
