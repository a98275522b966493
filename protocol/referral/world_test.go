package referral

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// The world of the tests: an NGO sends, a shelter and police receive, a
// commission watches, a stranger meddles. All invented.
var (
	ngo        = org("Example NGO")
	shelter    = org("Example Shelter")
	police     = org("Example Police")
	commission = org("Example Commission")
	stranger   = org("Example Stranger")
)

const t0 Time = 1795000000

func org(name string) protocol.OrgID { return sha256.Sum256([]byte(name)) }

func rid(n int) protocol.RecordID {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func lookup(name string) (protocol.OrgID, error) {
	switch name {
	case "Example NGO", "Example Shelter", "Example Police", "Example Commission":
		return org(name), nil
	}
	return protocol.OrgID{}, fmt.Errorf("no member has this name")
}

func classes(o protocol.OrgID) (protocol.Class, string) {
	switch o {
	case police:
		return protocol.ClassPolice, "sjpu"
	case commission:
		return protocol.ClassGovernment, "statutory-commission"
	}
	return protocol.ClassNGO, "ngo"
}

func given() Given {
	return Given{Sender: Sender{ngo, "Example Desk", "case worker", "+91 11 2345 6789"}, Staff: "worker-1", Now: t0, Random: sha256.Sum256([]byte("random"))}
}

// file reads a draft, resolved and completed.
func file(t testing.TB, name string) (Parts, Readers) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ParseDraft(b)
	if err != nil {
		t.Fatal(err)
	}
	p, r, err := d.Resolve(lookup)
	if err != nil {
		t.Fatal(err)
	}
	return p.Complete(given()), r
}

// chain builds a history event by event, as the nodes of its authors would.
type chain struct {
	t      testing.TB
	events []Event
	n      int
}

func newChain(t testing.TB, p Parts) *chain {
	c := &chain{t: t}
	c.add(Event{Author: ngo, Audience: Audience(p), Kind: KindSend, Time: t0, Body: &Send{p}})
	return c
}

func (c *chain) root() protocol.RecordID { return c.events[0].ID }

func (c *chain) add(e Event) Event {
	c.n++
	e.ID = rid(c.n)
	if e.Time == 0 {
		e.Time = t0 + Time(c.n)*60
	}
	c.events = append(c.events, e)
	return e
}

func (c *chain) fold() Referral { return Fold(c.root(), c.events) }

// draft makes the event that author would send in leg, having seen all.
func (c *chain) draft(author, leg protocol.OrgID, b Body) Event {
	other := leg
	if author == leg {
		other = ngo
	}
	switch b := b.(type) {
	case *Acknowledge:
		b.About = About{c.root(), leg}
	case *Accept:
		b.About = About{c.root(), leg}
	case *Decline:
		b.About = About{c.root(), leg}
	case *Start:
		b.About = About{c.root(), leg}
	case *Complete:
		b.About = About{c.root(), leg}
	case *Confirm:
		b.About = About{c.root(), leg}
	case *Dispute:
		b.About = About{c.root(), leg}
	case *Close:
		b.About = About{c.root(), leg}
	case *Message:
		b.About = About{c.root(), leg}
	case *AmendBody:
		return Event{Author: author, Audience: Audience(b.Parts), Kind: KindAmend, Refs: c.fold().Refs(protocol.OrgID{}), Body: b, Time: t0 + Time(c.n+1)*60}
	}
	return Event{Author: author, Audience: []protocol.OrgID{other}, Kind: b.Kind(), Refs: c.fold().Refs(leg), Body: b, Time: t0 + Time(c.n+1)*60}
}

// do checks and adds an event that must be possible.
func (c *chain) do(author, leg protocol.OrgID, b Body) Event {
	c.t.Helper()
	e := c.draft(author, leg, b)
	if err := Check(c.fold(), e); err != nil {
		c.t.Fatalf("%s: %v", e.Kind, err)
	}
	return c.add(e)
}

func (c *chain) state(leg protocol.OrgID, want State) {
	c.t.Helper()
	l, ok := c.fold().Leg(leg)
	if !ok || l.State != want {
		c.t.Fatalf("leg is %q, want %q", l.State, want)
	}
}

// bodies that give all they must, by kind.
func body(k Kind) Body {
	switch k {
	case KindAcknowledge:
		return &Acknowledge{Desk: "Example desk", DecideBy: t0 + Hours}
	case KindAccept:
		return &Accept{Unit: "Example unit", Desk: "Example desk", FirstContactBy: t0 + 2*Hours}
	case KindDecline:
		return &Decline{Reason: "duplicate"}
	case KindStart:
		return &Start{ContactAt: t0 + Hours}
	case KindComplete:
		return &Complete{Outcome: "successful", Services: []string{"safety-shelter"}}
	case KindConfirm:
		return &Confirm{}
	case KindDispute:
		return &Dispute{Missing: "one visit (invented)"}
	case KindClose:
		return &Close{NextStep: "ask another shelter (invented)"}
	case KindMessage:
		return &Message{Text: "Example message"}
	}
	return nil
}
