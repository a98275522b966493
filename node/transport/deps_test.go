package transport

import (
	"os/exec"
	"strings"
	"testing"
)

// What is not linked cannot be attacked, nor does it cost memory: of libp2p
// only the swarm and its two transports are here.
func TestNothingElseIsLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("only %d packages are listed", len(deps))
	}
	for _, d := range deps {
		for _, unwanted := range []string{
			"github.com/pion/", "/webtransport-go", "go-libp2p/p2p/transport/webrtc", "go-libp2p/p2p/security/noise", "go-libp2p/p2p/security/insecure",
			"go-libp2p/p2p/protocol/identify", "go-libp2p/p2p/host/basic", "go-libp2p/p2p/protocol/circuitv2/relay", "pubsub", "kad-dht",
		} {
			if strings.Contains(d, unwanted) {
				t.Errorf("%s is linked", d)
			}
		}
	}
}
