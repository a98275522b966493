package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
)

// A newcomer says in words what each round brought, and asks no more once all
// doors that answer have refused three times in a row.
func TestRefusalsAreBelieved(t *testing.T) {
	key, err := crypto.GenerateKey(random)
	if err != nil {
		t.Fatal(err)
	}
	ticket := membership.Ticket{Network: protocol.NetworkID{1}, Expires: 1, Doors: []membership.Door{
		{Transport: key.Public(), Addrs: []string{"192.0.2.1:1"}}, {Transport: key.Public(), Addrs: []string{"192.0.2.2:2"}}}}
	no := membership.EnrolAnswer{Fault: "the ticket is not known here:\nask for a new one", Refused: true}
	pending, busy := membership.EnrolAnswer{Pending: true}, membership.EnrolAnswer{Fault: "the disk is full"}
	for name, c := range map[string]struct {
		answers []any  // of the doors in turn, again and again from the last two on
		last    string // what the operator reads in the end
		asked   int    // calls within an hour; 0: on and on
	}{
		"refused by both":        {[]any{no, no}, "refuses the request, and is not asked any more: the ticket is not known here: ask for a new one; then make a new folder", 6},
		"one is away":            {[]any{errors.New("no route"), no}, "is not asked any more", 6},
		"pending at the second":  {[]any{no, pending}, "waits for its officers to sign", 0},
		"refused only at first":  {[]any{no, no, no, no, errors.New("x"), pending}, "waits for its officers to sign", 0},
		"cannot now":             {[]any{busy, busy}, "cannot take the request now, and is asked again: the disk is full", 0},
		"nobody answers":         {[]any{errors.New("x"), errors.New("all dials failed\n  * [/ip4/192.0.2.2/tcp/2] dial tcp4 192.0.2.2:2: connect: connection refused")}, "does not answer at 192.0.2.2:2 (connection refused): it is asked again", 0},
		"refused, and then away": {[]any{no, errors.New("x"), no, errors.New("x"), errors.New("x"), errors.New("x")}, "does not answer at 192.0.2.2:2 (x)", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				asked, said := 0, ""
				e := entrance{joining: joining{Ticket: ticket.Text()}, pause: time.Second,
					call: func(_ context.Context, d membership.Door, _ []byte) ([]byte, error) {
						i := asked
						asked++
						if i >= len(c.answers) {
							i = len(c.answers) - 2 + i%2
						}
						if err, ok := c.answers[i].(error); ok {
							return nil, err
						}
						return protocol.Encode(c.answers[i].(membership.EnrolAnswer)), nil
					},
					waiting: func(err error) { said = err.Error() }}
				if err := e.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("entered: %v", err)
				}
				if !strings.Contains(said, c.last) || strings.Contains(said, "\n") {
					t.Errorf("it says %q, want %q", said, c.last)
				}
				if asked != c.asked && (c.asked > 0 || asked < 200) {
					t.Errorf("asked %d times, want %d", asked, c.asked)
				}
			})
		})
	}
}

// What the network's library says of a failed dial becomes one short line.
func TestBrief(t *testing.T) {
	for in, want := range map[string]string{
		"dial: failed to dial 12D3: all dials failed\n  * [/ip4/127.0.0.1/tcp/9] dial tcp4 127.0.0.1:9: connect: connection refused\n  * [/ip4/127.0.0.1/udp/9/quic-v1] timeout: no recent network activity\n  * [/ip4/192.0.2.1/tcp/9] dial tcp4 192.0.2.1:9: connect: connection refused": "connection refused; no answer in time",
		"ask for enrolment: dial: context deadline exceeded": "ask for enrolment: dial: no answer in time",
		"one line\nand another":                              "one line",
		"":                                                   "",
		strings.Repeat("ab ", 100):                           strings.Repeat("ab ", 33) + "…",
		"x\n  * [/ip4/192.0.2.1/tcp/9] the node is not a member": "the node is not a member",
	} {
		if got := Brief(in); got != want {
			t.Errorf("%q\nbecomes %q\nnot     %q", in, got, want)
		}
	}
}
