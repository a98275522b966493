package transport

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// quicDelay is how long a dial leaves to TCP before it tries QUIC too.
const quicDelay = 300 * time.Millisecond

// tcpFirst ranks a peer's addresses: TCP at once, and QUIC a little later or
// when TCP fails. Each record over QUIC costs the two processes together about
// an eighth more processor time, and on a small machine a delivery takes
// longer. QUIC is for networks that let nothing else through, and for punching
// holes.
func tcpFirst(addrs []ma.Multiaddr) []network.AddrDelay {
	var tcp, other []ma.Multiaddr
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			tcp = append(tcp, a)
		} else {
			other = append(other, a)
		}
	}
	out := swarm.DefaultDialRanker(tcp)
	later := swarm.DefaultDialRanker(other)
	if len(tcp) > 0 {
		for i := range later {
			later[i].Delay += quicDelay
		}
	}
	return slices.Concat(out, later)
}
