package node

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// goroutines are the stacks of those that run code of this module, or of the
// libraries that only it starts, by number. Tests that wait for their turn are
// left out.
func goroutines() map[string]string {
	buf := make([]byte, 64<<20)
	buf = buf[:runtime.Stack(buf, true)]
	out := map[string]string{}
	for _, g := range strings.Split(string(buf), "\n\n") {
		head, stack, _ := strings.Cut(g, "\n")
		if strings.Contains(stack, "testing.(*T).Parallel") || strings.Contains(stack, "node.goroutines(") {
			continue
		}
		if number := goroutineNumber.FindString(head); ours.MatchString(stack) {
			out[number] = g
		}
	}
	return out
}

var (
	goroutineNumber = regexp.MustCompile(`^goroutine \d+`)
	ours            = regexp.MustCompile(`national-alliance/alliance/|dgraph-io/badger|hashicorp/raft|libp2p/go-libp2p|quic-go/quic-go|yamux`)
)

// After Close nothing of a node runs on: not of one that served, stopped
// while it was busy, nor of one that was never run.
func TestNoGoroutineIsLeft(t *testing.T) { // beside no other
	before := goroutines()
	left := func() (out []string) {
		for number, g := range goroutines() {
			if before[number] == "" {
				out = append(out, g)
			}
		}
		return out
	}
	none := func(when string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); len(left()) > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s these are left:\n%s", when, strings.Join(left(), "\n\n"))
			}
		}
	}
	a, sec := opened(t)
	alpha, beta := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	if len(left()) < 20 {
		t.Fatalf("only %d goroutines are seen while three nodes run", len(left()))
	}
	for range 3 {
		if _, err := alpha.refer(t.Context(), referTo("Example beta")); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the referrals", func() bool { return beta.sees(t) == 3 })
	if err := beta.Unlock(passphrase); err != nil { // its cases are read while it stops
		t.Fatal(err)
	}
	if _, err := sec.Invite(t.Context(), time.Hour); err != nil { // its door is open
		t.Fatal(err)
	}
	dir := alpha.dir
	for _, name := range []string{"beta", "sec", "alpha"} {
		a.stop(name)
	}
	none("after three nodes closed")

	n, err := New(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	none("after one closed that never ran")
	if n, err := New(t.TempDir(), Options{}); err == nil {
		n.Close()
		t.Error("a node without a folder")
	}
	none("after one that did not open")
}
