package transport

import (
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// Limits bound what others can make a node hold. A zero field takes its
// default.
type Limits struct {
	Conns        int   // connections, in and out together; default 2,048
	Handshakes   int   // inbound connections not yet authenticated; default 64
	ConnsPerPeer int   // default 4
	ConnsPerIP   int   // inbound, from one IPv4 address or IPv6 /56, but loopback, and new ones: twice that at once, then 2 a second; default 64
	StreamsIn    int   // inbound streams of one peer; default 64
	Memory       int64 // bytes of receive windows, all peers; default 256 MiB

	BytesPerSecond  int // what one peer may send; default 64 MiB
	FramesPerSecond int // default 50,000

	HelloTimeout time.Duration // from connection to hello; default 5 s
	FrameTimeout time.Duration // for a frame once begun, and 1 s for each 16 KiB of it; default 15 s
	WriteTimeout time.Duration // for a peer that does not read; default 30 s
	DialTimeout  time.Duration // default 15 s
	BackoffMin   time.Duration // after the first failure; default 500 ms
	BackoffMax   time.Duration // default 60 s
	Penalty      time.Duration // refusal after a peer's first broken stream, doubling up to 256 times; default 1 s
}

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Conns, 2048)
	orDefault(&l.Handshakes, 64)
	orDefault(&l.ConnsPerPeer, 4)
	orDefault(&l.ConnsPerIP, 64)
	orDefault(&l.StreamsIn, 64)
	orDefault(&l.Memory, 256<<20)
	orDefault(&l.BytesPerSecond, 64<<20)
	orDefault(&l.FramesPerSecond, 50_000)
	orDefault(&l.HelloTimeout, 5*time.Second)
	orDefault(&l.FrameTimeout, 15*time.Second)
	orDefault(&l.WriteTimeout, 30*time.Second)
	orDefault(&l.DialTimeout, 15*time.Second)
	orDefault(&l.BackoffMin, 500*time.Millisecond)
	orDefault(&l.BackoffMax, time.Minute)
	orDefault(&l.Penalty, time.Second)
	return l
}

// ipRate is how fast new connections of one address are taken.
func ipRate(l Limits) rate.Limit { return rate.Limit{RPS: 2, Burst: 2 * l.ConnsPerIP} }

// resources turns the limits into libp2p's resource manager, which counts
// connections before their handshake.
//
// Loopback is free of the limits for each address, as several nodes of one
// machine and every test share it, unless strangers are admitted.
func (l Limits) resources(perIP rate.Limit, strangers bool) (network.ResourceManager, error) {
	all := rcmgr.ResourceLimits{
		Streams: rcmgr.LimitVal(l.Conns * l.StreamsIn), StreamsInbound: rcmgr.LimitVal(l.Conns * l.StreamsIn), StreamsOutbound: rcmgr.LimitVal(l.Conns * l.StreamsIn),
		Conns: rcmgr.LimitVal(l.Conns), ConnsInbound: rcmgr.LimitVal(l.Conns), ConnsOutbound: rcmgr.LimitVal(l.Conns),
		FD: rcmgr.LimitVal(l.Conns), Memory: rcmgr.LimitVal64(l.Memory),
	}
	transient := all
	transient.Conns, transient.ConnsInbound, transient.FD = rcmgr.LimitVal(2*l.Handshakes), rcmgr.LimitVal(l.Handshakes), rcmgr.LimitVal(2*l.Handshakes)
	transient.ConnsOutbound = rcmgr.LimitVal(l.Handshakes)
	transient.Memory = rcmgr.LimitVal64(l.Memory / 8)
	peer := rcmgr.ResourceLimits{
		Streams: rcmgr.LimitVal(2 * l.StreamsIn), StreamsInbound: rcmgr.LimitVal(l.StreamsIn), StreamsOutbound: rcmgr.LimitVal(2 * l.StreamsIn),
		Conns: rcmgr.LimitVal(2 * l.ConnsPerPeer), ConnsInbound: rcmgr.LimitVal(l.ConnsPerPeer), ConnsOutbound: rcmgr.LimitVal(l.ConnsPerPeer),
		FD: rcmgr.LimitVal(2 * l.ConnsPerPeer), Memory: rcmgr.LimitVal64(l.Memory / 4),
	}
	config := rcmgr.PartialLimitConfig{
		System: all, Transient: transient, PeerDefault: peer,
		// Nobody is exempt: the allow list stays empty and its limits shut.
		AllowlistedSystem:    rcmgr.ResourceLimits{Conns: rcmgr.BlockAllLimit, Streams: rcmgr.BlockAllLimit},
		AllowlistedTransient: rcmgr.ResourceLimits{Conns: rcmgr.BlockAllLimit, Streams: rcmgr.BlockAllLimit},
	}.Build(rcmgr.InfiniteLimits)
	prefixes := []rate.PrefixLimit{}
	loopback4, loopback6 := []rcmgr.NetworkPrefixLimit{}, []rcmgr.NetworkPrefixLimit{} // not nil: libp2p exempts loopback then
	if !strangers {
		v4, v6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
		prefixes = append(prefixes, rate.PrefixLimit{Prefix: v4}, rate.PrefixLimit{Prefix: v6})
		loopback4 = append(loopback4, rcmgr.NetworkPrefixLimit{Network: v4, ConnCount: math.MaxInt})
		loopback6 = append(loopback6, rcmgr.NetworkPrefixLimit{Network: v6, ConnCount: math.MaxInt})
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(config),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: l.ConnsPerIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: l.ConnsPerIP}}),
		rcmgr.WithNetworkPrefixLimit(loopback4, loopback6),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: prefixes,
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perIP}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: perIP}},
				GracePeriod:      time.Minute,
			},
		}))
}
