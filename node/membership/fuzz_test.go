package membership

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// alone is a running secretariat's one node, and a ticket of it.
func alone(f *testing.F) (*alliance, *mnode, Ticket) {
	a := found(f)
	f.Cleanup(a.close)
	s1 := a.node("S1")
	t, err := s1.Invite(f.Context(), []Door{{Transport: key("S1 transport").Public(), Addrs: []string{"192.0.2.1:1"}}}, s1.o.Now().Unix()+3600)
	if err != nil {
		f.Fatal(err)
	}
	return a, s1, t
}

// bounded fails where f makes far more garbage than it was given.
func bounded(t *testing.T, in int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(1000*in)+64<<20 {
		t.Fatalf("%d bytes of input made %d bytes of garbage", in, used)
	}
}

// FuzzRegisterRequest: whatever a member asks of a secretariat's node, it is
// answered, and the register does not move.
func FuzzRegisterRequest(f *testing.F) {
	a, s1, _ := alone(f)
	op := a.draft(s1, register.OfOrg(s1.o.Org), register.SetKind{Code: "example"}) // signed by nobody
	for _, q := range []Request{{Ask: AskHead}, {Ask: AskRange, To: 9}, {Ask: AskRange, From: 1<<64 - 1, To: 1<<64 - 1}, {Ask: AskNotes, To: 9}, {Ask: AskCosign, To: 1},
		{Ask: AskEndorse, Leaf: a.genesis}, {Ask: AskSubmit, Op: op}, {Ask: TellNews, To: 1 << 60}, {Ask: AskPeers}, {Ask: 200}} {
		f.Add(protocol.Encode(q), true)
		f.Add(protocol.Encode(q), false)
	}
	s := s1.State()
	f.Fuzz(func(t *testing.T, b []byte, colleague bool) {
		from := protocol.Node{ID: protocol.NodeID{1}, Org: protocol.OrgID{2}, Status: protocol.Active}
		if colleague {
			from.Org = s1.o.Org
		}
		bounded(t, len(b), func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			out, err := s1.Serve(ctx, from, b)
			if err == nil {
				if _, err := protocol.Decode[Answer](out, MaxMessage); err != nil {
					t.Fatal(err)
				}
			}
		})
		if s1.Tip() != s || s1.Fault() != nil {
			t.Fatal("the register moved")
		}
	})
}

// FuzzEnrolRequest: whatever a stranger with a ticket, or without, asks for, it
// learns nothing of the register.
func FuzzEnrolRequest(f *testing.F) {
	a, s1, ticket := alone(f)
	_, body, _ := a.request("N1")
	f.Add(protocol.Encode(EnrolRequest{Token: ticket.Token, Org: body}), false)
	f.Add(protocol.Encode(EnrolRequest{Org: body, From: 1 << 63}), true)
	n := nodeKeys("S2").Enrol(a.network, s1.o.Org, key("S2 author"), key("S2 transport"), key("S2 checkpoint"))
	f.Add(protocol.Encode(EnrolRequest{Token: ticket.Token, Node: protocol.Encode(n), Of: s1.o.Org}), false)
	f.Fuzz(func(t *testing.T, b []byte, give bool) {
		if q, err := protocol.Decode[EnrolRequest](b, maxEnrol); err == nil && give {
			q.Token = ticket.Token
			b = protocol.Encode(q)
		}
		bounded(t, len(b), func() {
			out, err := s1.ServeEnrol(t.Context(), b)
			if err != nil {
				return
			}
			got, err := protocol.Decode[EnrolAnswer](out, protocol.MaxFrame)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Leaves)+len(got.Notes) > 0 {
				// Only who is enrolled is given anything: S1 itself is.
				if q, _ := protocol.Decode[EnrolRequest](b, maxEnrol); len(q.Org) > 0 {
					t.Fatalf("a stranger was given %d leaves", len(got.Leaves))
				}
			}
		})
	})
}

// FuzzTicket: whatever people paste.
func FuzzTicket(f *testing.F) {
	good := Ticket{Network: protocol.NetworkID{1}, Doors: []Door{{Transport: key("S1 transport").Public(), Addrs: []string{"192.0.2.1:1"}}}, Token: [32]byte{7}, Expires: began}
	f.Add(good.Text())
	f.Add(ticketPrefix)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTicket(s)
		if err != nil {
			return
		}
		again, err := ParseTicket(got.Text())
		if err != nil || again.Text() != got.Text() {
			t.Fatalf("%v", err)
		}
	})
}

// FuzzDesk: whatever stands in the workspace's log, every node makes the same
// of it and goes on.
func FuzzDesk(f *testing.F) {
	a, s1, ticket := alone(f)
	_, body, _ := a.request("N1")
	token := tokenHash(a.network, ticket.Token)
	f.Add(protocol.Encode(deskEntry{Ticket: &deskTicket{Token: token, Expires: 1}}))
	f.Add(protocol.Encode(deskEntry{Request: &deskRequest{Token: token, Org: body}}))
	f.Add(protocol.Encode(deskEntry{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, y := s1.disk.clone(), s1.disk.clone()
		var said [2][]byte
		for i, d := range []*memory{x, y} {
			r, err := New(a.options("S1", d))
			if err != nil {
				t.Fatal(err)
			}
			if said[i], err = r.ApplyOwn(1000, b); err != nil {
				t.Fatal(err)
			}
			if r.Applied() != 1000 {
				t.Fatal("not applied")
			}
			if _, err := r.Enrolments(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(said[0], said[1]) || len(x.marks) != len(y.marks) {
			t.Fatal("two nodes made two things of it")
		}
		for k, v := range x.marks {
			if !bytes.Equal(v, y.marks[k]) {
				t.Fatal("two nodes made two things of it")
			}
		}
	})
}

// FuzzSnapshot: whatever comes for a snapshot, the register does not move by
// what its people did not sign.
func FuzzSnapshot(f *testing.F) {
	a, s1, _ := alone(f)
	a.move(s1)
	f.Add(snapshotOf(f, s1.Register))
	f.Add([]byte{})
	f.Add(make([]byte, 24))
	d := s1.disk.clone()
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := New(a.options("S1", d.clone()))
		if err != nil {
			t.Fatal(err)
		}
		size := r.Tip().Size()
		bounded(t, len(b), func() {
			if r.Restore(bytes.NewReader(b)) == nil && r.Tip().Size() != size {
				t.Fatal("the register moved")
			}
		})
	})
}
