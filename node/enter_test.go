package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
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

// A door that sends leaves without end, one that gives them by drops and one
// that sends what are none: each is left after a bounded time with a bounded
// number of bytes, the person reads why, and the next door is asked.
func TestAttackEndlessDoor(t *testing.T) {
	admin, officer := signer(t), signer(t)
	so, err := Prepare(t.TempDir(), Founding{Title: "Example Alliance", Name: "Example Secretariat", Officers: []register.Member{member(officer)}, Threshold: 1,
		Suspend: 1, Admins: []register.Member{member(admin)}, AdminsM: 1, Passphrase: passphrase, Work: 10})
	if err != nil {
		t.Fatal(err)
	}
	network := register.NetworkOf(so.Op)
	for _, k := range []keyfile.SigningKey{admin, officer} {
		sigs, err := register.SignOps(k.Key, network, so.Op)
		if err != nil {
			t.Fatal(err)
		}
		so = so.With(sigs...)
	}
	genesis := so.Leaf(1893456000) // 2030, invented
	key, err := crypto.GenerateKey(random)
	if err != nil {
		t.Fatal(err)
	}
	doors := []membership.Door{{Transport: key.Public(), Addrs: []string{"192.0.2.1:1"}}, {Transport: key.Public(), Addrs: []string{"192.0.2.2:2"}}}
	ticket := func(n protocol.NetworkID) string {
		return membership.Ticket{Network: n, Expires: 1, Doors: doors}.Text()
	}
	const most, page = 20_000, 10

	for name, c := range map[string]struct {
		ticket string
		leaves int           // of each answer
		pause  time.Duration // before it
		junk   bool
		says   string
		calls  int // at most
		took   time.Duration
	}{
		"without end":     {ticket(network), page, 0, false, "it sent more than the 20000 bytes of leaves that are taken from one node", 1 + most/(page*100), 0},
		"by drops":        {ticket(network), 1, answerTime - time.Second, false, "was not done handing out the register after 32 minutes: of its 66 leaves none was kept", 67, doorTime},
		"never":           {ticket(network), 1, time.Hour, false, "does not answer at 192.0.2.1:1 (no answer in time)", 1, answerTime},
		"no leaves":       {ticket(network), 0, 0, false, "it sent neither leaves nor a checkpoint", 1, 0},
		"what is no leaf": {ticket(network), page, 0, true, "decode leaf", 1, 0},
		"another network": {ticket(protocol.NetworkID{1}), page, 0, false, "is the one that this node was set up for", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := register.Found(genesis)
				if err != nil {
					t.Fatal(err)
				}
				calls, sent := 0, 0
				e := entrance{joining: joining{Ticket: c.ticket}, most: most, learn: func([]membership.PeerAddrs) {},
					call: func(ctx context.Context, d membership.Door, b []byte) ([]byte, error) {
						if d.Addrs[0] == doors[1].Addrs[0] {
							return protocol.Encode(membership.EnrolAnswer{Pending: true}), nil
						}
						calls++
						select {
						case <-ctx.Done():
							return nil, ctx.Err()
						case <-time.After(c.pause):
						}
						q, err := protocol.Decode[membership.EnrolRequest](b, protocol.MaxOp)
						if err != nil {
							return nil, err
						}
						var a membership.EnrolAnswer
						for at := q.From; len(a.Leaves) < c.leaves; at++ {
							leaf := genesis
							switch {
							case c.junk:
								leaf = []byte("an invented leaf")
							case at > 0:
								leaf, s = timeLeaf(t, s)
							}
							a.Leaves = append(a.Leaves, leaf)
							sent += len(leaf)
						}
						return protocol.Encode(a), nil
					}}
				began := time.Now()
				err = e.at(t.Context(), doors[0])
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "192.0.2.1:1") || !strings.Contains(err.Error(), "asked again") {
					t.Errorf("it says %v, want %q", err, c.says)
				}
				if took := time.Since(began); took != c.took || calls > c.calls || sent > most+page*len(genesis) {
					t.Errorf("%d calls, %d bytes, %s; want at most %d calls, %s", calls, sent, took, c.calls, c.took)
				}
				if s, err = register.Found(genesis); err != nil {
					t.Fatal(err)
				}
				if err := e.round(t.Context()); !errors.Is(err, errPending) {
					t.Errorf("the next door is not asked: %v", err)
				}
			})
		})
	}
}

// timeLeaf is a valid leaf that nobody needs to sign, as long as one likes.
func timeLeaf(t *testing.T, s *register.State) ([]byte, *register.State) {
	t.Helper()
	op, err := s.Draft(register.OfTime(), register.Time{}, s.Time()+60)
	if err != nil {
		t.Fatal(err)
	}
	leaf, next, err := s.Propose(s.Time()+1, register.SignedOp{Op: op.Encode()})
	if err != nil {
		t.Fatal(err)
	}
	return leaf, next
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
