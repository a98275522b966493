package node

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/config"
)

// inUse is what the transport says of a port that another program has.
const inUse = "the port is in use by another program"

// portError names the setting that an address is from, where the address
// cannot be listened at; any other error comes back as it is. kept says what
// became of what was asked.
func portError(setting, kept string, err error) error {
	if err == nil {
		return nil
	}
	if head, _, found := strings.Cut(err.Error(), inUse); found {
		return api.Errorf(api.Unavailable, "%s%s; %s: stop that program ('ss -lntup' shows it), or choose another port as %s in %s", head, inUse, kept, setting, config.FileName)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
		return api.Errorf(api.Invalid, "%s; %s: choose an address of this machine, with a port that this user may open, as %s in %s", Brief(err.Error()), kept, setting, config.FileName)
	}
	return err
}

// portsFree says before a node asks to become a member whether it could be
// one: the transport takes its ports only afterwards.
func portsFree(listen []string) error {
	for _, addr := range listen {
		if strings.HasPrefix(addr, "/") {
			continue // a multiaddr: the transport tells
		}
		l, err := net.Listen("tcp", addr)
		if err == nil {
			l.Close()
			var u net.PacketConn
			if u, err = net.ListenPacket("udp", addr); err == nil {
				u.Close()
			}
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("listen on %s: %s", addr, inUse)
		}
		if err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	return nil
}
