package membership

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// knock sends a request to the desk of a node.
func knock(t *testing.T, at *mnode, q EnrolRequest) EnrolAnswer {
	t.Helper()
	b, err := at.ServeEnrol(t.Context(), protocol.Encode(q))
	if err != nil {
		t.Fatal(err)
	}
	a, err := protocol.Decode[EnrolAnswer](b, protocol.MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDesk(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, s2, _ := a.three()
		now := s1.o.Now().Unix()
		if s1.DoorOpen() {
			t.Error("the door is open without a ticket")
		}
		doors := []Door{{Transport: key("S1 transport").Public(), Addrs: []string{"192.0.2.1:1"}}}
		invite := func() Ticket {
			t.Helper()
			ticket, err := s1.Invite(t.Context(), doors, now+3600)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseTicket("  " + ticket.Text() + "\n"); err != nil || again.Token != ticket.Token || again.Network != a.network {
				t.Fatalf("a ticket is not read back: %v", err)
			}
			return ticket
		}
		ticket := invite()
		if !s1.DoorOpen() || !s2.DoorOpen() {
			t.Error("the door is shut with a ticket")
		}
		for name, b := range s1.disk.marks {
			if bytes.Contains(b, ticket.Token[:]) || bytes.Contains([]byte(name), ticket.Token[:]) {
				t.Error("the token itself is kept")
			}
		}
		_, body, id := a.request("N1")
		_, other, _ := a.request("N2")
		q := EnrolRequest{Token: ticket.Token, Org: body}

		for name, bad := range map[string]EnrolRequest{
			"unknown ticket":        {Token: randomToken(), Org: body},
			"nothing asked":         {Token: ticket.Token},
			"two things asked":      {Token: ticket.Token, Org: body, Node: []byte{1}},
			"no request":            {Token: ticket.Token, Org: []byte("junk")},
			"a cut request":         {Token: ticket.Token, Org: body[:len(body)-1]},
			"a node of a stranger":  {Token: ticket.Token, Node: body, Of: protocol.OrgID{1}},
			"a node that is none":   {Token: ticket.Token, Node: body, Of: s1.o.Org},
			"of another network":    {Token: ticket.Token, Org: elsewhere(t)},
			"signed by another key": {Token: ticket.Token, Org: forged(t, a)},
		} {
			got := knock(t, s1, bad)
			if got.Fault == "" || got.Pending || len(got.Leaves) > 0 {
				t.Errorf("%s: %+v", name, got)
			}
			// An organisation may become a member yet; the others are refused for good.
			if final := name != "a node of a stranger"; got.Refused != final {
				t.Errorf("%s: for good is %v", name, got.Refused)
			}
		}
		// It is pending, at every node of the secretariat, however often.
		for _, at := range []*mnode{s1, s2, s1} {
			if got := knock(t, at, q); !got.Pending || len(got.Leaves) > 0 {
				t.Fatalf("%+v", got)
			}
		}
		list, err := s2.Enrolments()
		if err != nil || len(list) != 1 || list[0].Done || !bytes.Equal(list[0].Org, body) {
			t.Fatalf("%+v, %v", list, err)
		}
		// The ticket is used: for another request it is worth nothing.
		if got := knock(t, s2, EnrolRequest{Token: ticket.Token, Org: other}); !strings.Contains(got.Fault, "used") || !got.Refused {
			t.Errorf("a used ticket: %+v", got)
		}
		// Officers take longer than the ticket; who used it may go on asking.
		time.Sleep(5 * time.Hour)
		if got := knock(t, s1, q); !got.Pending || !s1.DoorOpen() {
			t.Fatalf("after the ticket's end: %+v", got)
		}
		a.do(s1, register.OfOrg(id), register.EnrolOrg{Request: body}, "o1", "o2")
		a.until("S2 has it", func() bool { return s2.State().Size() == s1.State().Size() })
		for _, at := range []*mnode{s1, s2} {
			got := knock(t, at, q)
			if got.Pending || got.Size != s1.State().Size() || len(got.Notes) == 0 {
				t.Fatalf("%+v", got)
			}
			o := a.options("N1", newMemory())
			o.Now = s1.o.Now
			r, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Enter(got.Leaves, got.Notes); err != nil {
				t.Fatal(err)
			}
			if r.State().Root() != s1.State().Root() {
				t.Error("another register")
			}
		}
		if list, _ := s1.Enrolments(); len(list) != 1 || !list[0].Done {
			t.Errorf("%+v", list)
		}
		// From wherever it has got to.
		q.From = s1.State().Size() + 100
		if got := knock(t, s1, q); len(got.Leaves) != 0 {
			t.Errorf("%d leaves beyond the end", len(got.Leaves))
		}
		// An expired ticket that nobody used lets nobody in.
		now = s1.o.Now().Unix()
		late := invite()
		time.Sleep(2 * time.Hour)
		if got := knock(t, s1, EnrolRequest{Token: late.Token, Org: other}); !strings.Contains(got.Fault, "expired") || !got.Refused {
			t.Errorf("an expired ticket: %+v", got)
		}
		s1.skew.Store(int64(40 * 24 * time.Hour))
		if s1.DoorOpen() {
			t.Error("the door stays open for ever")
		}
		if _, err := s1.ServeEnrol(t.Context(), []byte("junk")); !errors.Is(err, ErrPeer) {
			t.Errorf("junk: %v", err)
		}
	})
}

// elsewhere is a request to join another network.
func elsewhere(t *testing.T) []byte {
	n := protocol.NetworkID{9}
	r := register.Request{Version: 1, Network: n, Name: "Example N1", Class: protocol.ClassNGO, Code: "ngo",
		Administrators: register.NewSet(1, person("N1 a")), Node: nodeKeys("N1"), Recipient: recipient("N1 key")}
	return register.NewSignedRequest(r, key("N1 a"), key("N1 author"), key("N1 transport")).Encode()
}

// forged is a request whose node's keys did not sign it.
func forged(t *testing.T, a *alliance) []byte {
	r, _, _ := a.request("N3")
	return register.NewSignedRequest(r, key("N3 a"), key("o1"), key("o2")).Encode()
}

func TestTicketText(t *testing.T) {
	good := Ticket{Network: protocol.NetworkID{1}, Trial: true, Doors: []Door{{Transport: key("S1 transport").Public(), Addrs: []string{"192.0.2.1:1"}}}, Token: [32]byte{7}, Expires: began}
	if got, err := ParseTicket(good.Text()); err != nil || got.Text() != good.Text() {
		t.Fatal(err)
	}
	bad := map[string]string{"empty": "", "no prefix": good.Text()[5:], "cut": good.Text()[:len(good.Text())-3], "doubled": good.Text() + good.Text(), "white space inside": strings.Replace(good.Text(), "A", " A", 1), "long": ticketPrefix + strings.Repeat("A", 1<<20)}
	for name, change := range map[string]func(*Ticket){
		"no door":           func(t *Ticket) { t.Doors = nil },
		"many doors":        func(t *Ticket) { t.Doors = make([]Door, maxDoors+1) },
		"no address":        func(t *Ticket) { t.Doors = []Door{{Transport: t.Doors[0].Transport}} },
		"a small-order key": func(t *Ticket) { t.Doors = []Door{{Transport: crypto.PublicKey{1}, Addrs: []string{"192.0.2.1:1"}}} },
	} {
		x := good
		change(&x)
		bad[name] = x.Text()
	}
	for i := range good.Text() { // a slip anywhere
		s := []byte(good.Text())
		if s[i]++; s[i] == 'z'+1 {
			s[i] = 'a'
		}
		bad[fmt.Sprint("a slip at ", i)] = string(s)
	}
	for name, s := range bad {
		if _, err := ParseTicket(s); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}
