package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/national-alliance/alliance/crypto"
)

// ParseAddr reads an address as people write it: "host:port", "192.0.2.7:4001",
// "[2001:db8::7]:4001", or a multiaddr. A host and port stand for QUIC and TCP
// on that port, so two multiaddrs come back; a multiaddr stands for itself,
// without its /p2p part. Only QUIC v1 and TCP are spoken.
func ParseAddr(s string) ([]string, error) {
	if strings.HasPrefix(s, "/") {
		m, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("parse address %q: %w", s, err)
		}
		m, _ = peer.SplitAddr(m)
		if m == nil || !(spoken(m, ma.P_TCP) || spoken(m, ma.P_UDP, ma.P_QUIC_V1)) {
			return nil, fmt.Errorf("parse address %q: want /ip4|ip6|dns/HOST/tcp/PORT or …/udp/PORT/quic-v1", s)
		}
		return []string{m.String()}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return nil, fmt.Errorf("parse address %q: want host:port or a multiaddr: %w", s, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("parse address %q: the port is not a number from 0 to 65535", s)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	kind := "dns"
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		kind = "ip6"
		if ip = ip.Unmap(); ip.Is4() {
			kind = "ip4"
		}
		host = ip.String()
	} else if host == "" {
		kind, host = "ip4", "0.0.0.0"
	} else if !hostName(host) {
		return nil, fmt.Errorf("parse address %q: %q is neither an IP address nor a host name", s, host)
	}
	base := "/" + kind + "/" + host
	return []string{base + "/udp/" + port + "/quic-v1", base + "/tcp/" + port}, nil
}

func hostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// spoken reports whether m is one host and then exactly these protocols.
func spoken(m ma.Multiaddr, protocols ...int) bool {
	have := m.Protocols()
	if len(have) != 1+len(protocols) {
		return false
	}
	switch have[0].Code {
	case ma.P_IP4, ma.P_IP6, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
	default:
		return false
	}
	for i, p := range protocols {
		if have[i+1].Code != p {
			return false
		}
	}
	return true
}

func parseAddrs(list []string) ([]ma.Multiaddr, error) {
	var out []ma.Multiaddr
	for _, s := range list {
		parsed, err := ParseAddr(s)
		if err != nil {
			return nil, err
		}
		for _, p := range parsed {
			m, err := ma.NewMultiaddr(p)
			if err != nil {
				return nil, fmt.Errorf("parse address %q: %w", s, err)
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// PeerID returns the libp2p peer ID of a transport key as text (12D3Koo…).
func PeerID(key crypto.PublicKey) string { return peerID(key).String() }

// ParsePeerID reads a peer ID back into the Ed25519 key that it holds. A peer
// ID of another type of key is refused.
func ParsePeerID(s string) (crypto.PublicKey, error) {
	id, err := peer.Decode(s)
	if err != nil {
		return crypto.PublicKey{}, fmt.Errorf("parse peer id: %w", err)
	}
	key, ok := keyOf(id)
	if !ok {
		return crypto.PublicKey{}, fmt.Errorf("parse peer id: it does not hold an Ed25519 key")
	}
	return key, nil
}

func peerID(key crypto.PublicKey) peer.ID {
	pub, err := libcrypto.UnmarshalEd25519PublicKey(key[:])
	if err != nil {
		return ""
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return ""
	}
	return id
}

// keyOf takes the key out of a peer ID. IDs of RSA and other long keys are
// hashes and hold none.
func keyOf(id peer.ID) (crypto.PublicKey, bool) {
	pub, err := id.ExtractPublicKey()
	if err != nil || pub.Type() != libcrypto.Ed25519 {
		return crypto.PublicKey{}, false
	}
	raw, err := pub.Raw()
	if err != nil {
		return crypto.PublicKey{}, false
	}
	key, err := crypto.ParsePublicKey(raw)
	return key, err == nil
}

func libKey(key crypto.PrivateKey) (libcrypto.PrivKey, error) {
	if key.IsZero() {
		return nil, fmt.Errorf("no transport key was given")
	}
	pub := key.Public()
	return libcrypto.UnmarshalEd25519PrivateKey(append(key.Seed(), pub[:]...))
}
