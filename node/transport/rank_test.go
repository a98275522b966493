package transport

import (
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestTCPIsDialledFirst(t *testing.T) {
	at := func(list ...string) (out []ma.Multiaddr) {
		for _, s := range list {
			a, err := ma.NewMultiaddr(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, a)
		}
		return out
	}
	const quic, tcp, far = "/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/127.0.0.1/tcp/4001", "/ip4/192.0.2.7/udp/4001/quic-v1"
	got := map[string]bool{}
	for _, d := range tcpFirst(at(quic, far, tcp)) {
		s := d.Addr.String()
		got[s] = true
		if s == tcp && d.Delay != 0 || s != tcp && d.Delay < quicDelay {
			t.Errorf("%s after %s", s, d.Delay)
		}
	}
	if len(got) != 3 {
		t.Errorf("ranked %v", got)
	}
	if d := tcpFirst(at(quic)); len(d) != 1 || d[0].Delay != 0 {
		t.Errorf("QUIC alone: %v", d)
	}
}
