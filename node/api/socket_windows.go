package api

import "net"

// listenPrivate relies on the folder's own access list, which the installer
// sets: Windows has no file mode.
func listenPrivate(path string) (net.Listener, error) { return net.Listen("unix", path) }
