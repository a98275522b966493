package transport

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/libp2p/go-libp2p/core/connmgr"
	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	libquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

// PacketConns makes the UDP sockets of a simulated network. The address to
// listen at may be unspecified and the port 0: the network then chooses.
type PacketConns interface {
	ListenUDP(network string, addr *net.UDPAddr) (net.PacketConn, error)
	PreferredSourceIPForDestination(dst *net.UDPAddr) (net.IP, error)
}

// swarmOf is libp2p put together by hand: the root package would link WebRTC,
// and its host would answer identify and ping to peers before their hello.
type swarmOf struct {
	*swarm.Swarm
	quic      *quicreuse.ConnManager
	resources network.ResourceManager
	noTCP     bool
	once      sync.Once
	err       error
}

func newSwarm(key libcrypto.PrivKey, gate connmgr.ConnectionGater, limits Limits, resources network.ResourceManager, packets PacketConns) (*swarmOf, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("read transport key: %w", err)
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, fmt.Errorf("make peerstore: %w", err)
	}
	if err := store.AddPrivKey(id, key); err != nil {
		return nil, fmt.Errorf("make peerstore: %w", err)
	}
	s, err := swarm.NewSwarm(id, store, eventbus.NewBus(),
		swarm.WithConnectionGater(gate), swarm.WithResourceManager(resources),
		swarm.WithDialRanker(tcpFirst), swarm.WithDialTimeout(limits.DialTimeout), swarm.WithDialTimeoutLocal(limits.DialTimeout),
		// The detectors would take a few members that are switched off for a
		// network without UDP or IPv6.
		swarm.WithUDPBlackHoleSuccessCounter(nil), swarm.WithIPv6BlackHoleSuccessCounter(nil))
	if err != nil {
		return nil, fmt.Errorf("make swarm: %w", err)
	}
	out := &swarmOf{Swarm: s, resources: resources, noTCP: packets != nil}
	if err := out.addTransports(key, gate, limits, packets); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

func (s *swarmOf) addTransports(key libcrypto.PrivKey, gate connmgr.ConnectionGater, limits Limits, packets PacketConns) error {
	reset, token, err := quicKeys(key)
	if err != nil {
		return fmt.Errorf("derive quic keys: %w", err)
	}
	opts := []quicreuse.Option{
		// Count a connection before its handshake, as TCP's upgrader does.
		quicreuse.ConnContext(func(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
			addr, _ := quicreuse.ToQuicMultiaddr(client.RemoteAddr, quic.Version1)
			scope, err := s.resources.OpenConnection(network.DirInbound, false, addr)
			if err != nil {
				return ctx, err
			}
			ctx = network.WithConnManagementScope(ctx, scope)
			context.AfterFunc(ctx, scope.Done)
			return ctx, nil
		}),
		quicreuse.VerifySourceAddress(s.resources.VerifySourceAddress),
	}
	if packets != nil {
		opts = append(opts, quicreuse.OverrideListenUDP(packets.ListenUDP),
			quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return packets, nil }))
	}
	if s.quic, err = quicreuse.NewConnManager(reset, token, opts...); err != nil {
		return fmt.Errorf("make quic: %w", err)
	}
	q, err := libquic.NewTransport(key, s.quic, nil, gate, s.resources)
	if err != nil {
		return fmt.Errorf("make quic: %w", err)
	}
	if err := s.AddTransport(q); err != nil {
		return fmt.Errorf("make quic: %w", err)
	}
	if s.noTCP {
		return nil
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	security, err := tls.New(tls.ID, key, muxers)
	if err != nil {
		return fmt.Errorf("make tls: %w", err)
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, s.resources, gate, upgrader.WithAcceptTimeout(limits.HelloTimeout))
	if err != nil {
		return fmt.Errorf("make tcp: %w", err)
	}
	// With SO_REUSEPORT a second node on the port would start without an
	// error and take half of the connections.
	t, err := tcp.NewTCPTransport(up, s.resources, nil, tcp.DisableReuseport(), tcp.WithConnectionTimeout(limits.DialTimeout))
	if err != nil {
		return fmt.Errorf("make tcp: %w", err)
	}
	if err := s.AddTransport(t); err != nil {
		return fmt.Errorf("make tcp: %w", err)
	}
	return nil
}

// quicKeys derives from the transport key what QUIC must remember across a
// restart: the keys of stateless resets and of address tokens (RFC 9000 §10.3,
// §8.1). libp2p's own package for it links WebRTC.
func quicKeys(key libcrypto.PrivKey) (reset quic.StatelessResetKey, token quic.TokenGeneratorKey, err error) {
	raw, err := key.Raw()
	if err != nil {
		return reset, token, err
	}
	for out, info := range map[*[32]byte]string{(*[32]byte)(&reset): "alliance quic stateless reset", (*[32]byte)(&token): "alliance quic address token"} {
		b, err := hkdf.Key(sha256.New, raw, nil, info, len(out))
		if err != nil {
			return reset, token, err
		}
		copy(out[:], b)
	}
	return reset, token, nil
}

// listen binds every address or none. Port 0 takes a free number that QUIC and
// TCP share.
func (s *swarmOf) listen(addrs []string) error {
	for _, a := range addrs {
		list, err := parseAddrs([]string{a})
		if err != nil {
			return err
		}
		if err := s.listenOne(list); err != nil {
			s.ListenClose(s.ListenAddresses()...)
			if inUse(err) {
				return fmt.Errorf("listen on %s: the port is in use by another program; nothing was started. Stop that program, or choose another listen address: %w", a, err)
			}
			return fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	return nil
}

// inUse also knows Windows' own number (WSAEADDRINUSE).
func inUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || runtime.GOOS == "windows" && errors.Is(err, syscall.Errno(10048))
}

func (s *swarmOf) listenOne(list []ma.Multiaddr) error {
	var quicAddr, tcpAddr ma.Multiaddr
	for _, m := range list {
		if _, err := m.ValueForProtocol(ma.P_TCP); err == nil {
			tcpAddr = m
		} else {
			quicAddr = m
		}
	}
	if s.noTCP {
		tcpAddr = nil
	}
	if quicAddr == nil || tcpAddr == nil {
		for _, m := range list {
			if m.Equal(quicAddr) || m.Equal(tcpAddr) {
				return s.AddListenAddr(m)
			}
		}
		return errors.New("this node speaks QUIC only")
	}
	for try := 0; ; try++ {
		before := s.ListenAddresses()
		if err := s.AddListenAddr(tcpAddr); err != nil {
			return err
		}
		bound := newest(before, s.ListenAddresses())
		port, err := bound.ValueForProtocol(ma.P_TCP)
		if err != nil {
			return err
		}
		err = s.AddListenAddr(withUDPPort(quicAddr, port))
		if err == nil {
			return nil
		}
		s.ListenClose(bound)
		wanted, _ := tcpAddr.ValueForProtocol(ma.P_TCP)
		if wanted != "0" || try == 16 || !inUse(err) {
			return err
		}
	}
}

func newest(before, after []ma.Multiaddr) ma.Multiaddr {
	for _, a := range after {
		old := false
		for _, b := range before {
			old = old || a.Equal(b)
		}
		if !old {
			return a
		}
	}
	return nil
}

func withUDPPort(m ma.Multiaddr, port string) ma.Multiaddr {
	n, _ := strconv.ParseUint(port, 10, 16)
	out := ma.Multiaddr{}
	for _, c := range m {
		if c.Protocol().Code == ma.P_UDP {
			if p, err := ma.NewComponent("udp", strconv.FormatUint(n, 10)); err == nil {
				c = *p
			}
		}
		out = append(out, c)
	}
	return out
}

// addrs lists where the swarm listens, wildcard hosts spelled out as the
// machine's own addresses.
func (s *swarmOf) addrs() []string {
	list, err := s.InterfaceListenAddresses()
	if err != nil {
		list = s.ListenAddresses()
	}
	out := make([]string, 0, len(list))
	for _, m := range list {
		if manet.IsIP6LinkLocal(m) {
			continue
		}
		out = append(out, m.String())
	}
	return out
}

func (s *swarmOf) Close() error {
	s.once.Do(func() {
		s.err = s.Swarm.Close()
		if s.quic != nil {
			s.err = errors.Join(s.err, s.quic.Close())
		}
		s.err = errors.Join(s.err, s.Peerstore().Close(), s.resources.Close())
	})
	return s.err
}
