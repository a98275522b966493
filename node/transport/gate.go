package transport

import (
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/national-alliance/alliance/protocol"
)

// gate admits active nodes of the register and no one else, in both
// directions. It asks the directory every time.
type gate struct{ directory Directory }

func (g gate) active(id peer.ID) (protocol.Node, bool) {
	key, ok := keyOf(id)
	if !ok {
		return protocol.Node{}, false
	}
	n, ok := g.directory.Peer(key)
	return n, ok && n.Status == protocol.Active && n.Transport == key
}

func (g gate) InterceptPeerDial(id peer.ID) bool {
	_, ok := g.active(id)
	return ok
}
func (g gate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (g gate) InterceptAccept(network.ConnMultiaddrs) bool  { return true } // counted by the resource manager; the peer is not known yet
func (g gate) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	_, ok := g.active(id)
	return ok
}
func (g gate) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	_, ok := g.active(c.RemotePeer())
	return ok, 0
}
