package referral

import (
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// State is where a leg stands.
type State string

// The states of a leg.
const (
	Sent         State = "sent"
	Acknowledged State = "acknowledged"
	InfoNeeded   State = "info-needed"
	Accepted     State = "accepted"
	InProgress   State = "in-progress"
	OnHold       State = "on-hold"
	Returned     State = "returned"
	Completed    State = "completed"
	Declined     State = "declined"
	Withdrawn    State = "withdrawn"
	Closed       State = "closed"
	Void         State = "void"
	// Expired is never folded: [Referral.View] computes it at the reader's now.
	Expired State = "expired"
)

// Open reports whether anything may still be said about the leg.
func (s State) Open() bool { return s != Closed && s != Void }

// Over reports whether the recipient acts no more: it gets no further part of
// the case.
func (s State) Over() bool {
	switch s {
	case Declined, Returned, Withdrawn, Closed, Void:
		return true
	}
	return false
}

// Role is a side of a leg.
type Role uint8

// The roles.
const (
	Stranger Role = iota
	BySender      // the sender's staff
	ByRecipient
)

// move is everything about one kind of event in a leg. Whoever adds a kind adds
// its body (event.go) and its entry in the table: reading, checking, folding
// and what people are offered follow from these.
type move struct {
	kind   Kind
	rows   []row
	empty  func() Body
	decode func([]byte) (Body, error)
	give   func(c *checker, b Body, asked To, field func(string) string) // what the tags cannot say; may be nil
	keep   func(*Leg, Body)                                              // what the leg shows of it; may be nil
}

// row is one line: in one of the states from, the role may do it, and the leg
// is then in state to ("" for the same).
type row struct {
	who   []Role
	from  []State
	to    State
	guard guard
}

// guard names a condition on the event's own time.
type guard uint8

const (
	always     guard = iota
	pastExpiry       // the event's time is after the referral's expiry
)

var (
	undecided = []State{Sent, Acknowledged, InfoNeeded}
	open      = []State{Sent, Acknowledged, InfoNeeded, Accepted, InProgress, OnHold, Returned, Completed, Declined, Withdrawn}
	sender    = []Role{BySender}
	recipient = []Role{ByRecipient}
	both      = []Role{BySender, ByRecipient}
)

// table is how a leg moves, in the order in which moves are offered. Later
// kinds add entries.
var table = []move{
	entry(nil, func(l *Leg, b *Acknowledge) { l.Acknowledged = b },
		row{recipient, []State{Sent}, Acknowledged, always}),
	entry((*checker).accept, func(l *Leg, b *Accept) { l.Accepted = b; l.number(b.Number, b.NumberKind) },
		row{recipient, undecided, Accepted, always}),
	entry((*checker).decline, func(l *Leg, b *Decline) { l.Declined = b; l.number(b.Number, "zero-fir") },
		row{recipient, undecided, Declined, always}),
	entry(nil, func(l *Leg, b *Start) { l.Started = b },
		row{recipient, []State{Accepted, OnHold}, InProgress, always}),
	entry((*checker).complete, func(l *Leg, b *Complete) { l.Completed = b; l.number(b.Number, b.NumberKind) },
		row{recipient, []State{Accepted, InProgress, OnHold}, Completed, always}),
	entry(nil, func(*Leg, *Confirm) {},
		row{sender, []State{Completed}, Closed, always}),
	entry(nil, func(l *Leg, b *Dispute) { l.Disputed = b },
		row{sender, []State{Completed}, InProgress, always}),
	entry(nil, func(l *Leg, b *Close) { l.Closed = b },
		row{sender, []State{Declined, Returned, Withdrawn}, Closed, always},
		row{sender, undecided, Closed, pastExpiry}),
	entry(nil, func(*Leg, *Message) {},
		row{both, open, "", always}),
}

// entry makes the move whose body is a *T.
func entry[T any, P interface {
	*T
	Body
}](give func(*checker, P, To, func(string) string), keep func(*Leg, P), rows ...row) move {
	m := move{kind: P(new(T)).Kind(), rows: rows, empty: func() Body { return P(new(T)) }}
	m.decode = func(b []byte) (Body, error) {
		v, err := protocol.DecodeOpen[T](b, MaxBody)
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", m.kind, err)
		}
		return P(&v), nil
	}
	m.keep = func(l *Leg, b Body) { keep(l, b.(P)) }
	if give != nil {
		m.give = func(c *checker, b Body, asked To, field func(string) string) { give(c, b.(P), asked, field) }
	}
	return m
}

// moveOf returns the entry of a kind; false for a send, an amend, and a kind
// that this program does not know.
func moveOf(kind Kind) (move, bool) {
	for _, m := range table {
		if m.kind == kind {
			return m, true
		}
	}
	return move{}, false
}

// Moves reports whether an event of the kind can bring a leg to another state.
func (k Kind) Moves() bool {
	m, _ := moveOf(k)
	return slices.ContainsFunc(m.rows, func(r row) bool { return r.to != "" })
}

// NewBody returns an empty body of a leg's event; false for a send, an amend,
// and a kind that this program does not know.
func NewBody(kind Kind) (Body, bool) {
	m, ok := moveOf(kind)
	if !ok {
		return nil, false
	}
	return m.empty(), true
}

const legIs = "the leg is " // and a state

// find returns the row by which role does kind in state s at time t, or why
// there is none.
func find(kind Kind, role Role, s State, t, expiry Time) (row, string) {
	why := "no such move"
	m, _ := moveOf(kind)
	for _, r := range m.rows {
		switch {
		case !slices.Contains(r.who, role):
			why = "it is for the other side to do"
		case !slices.Contains(r.from, s):
			if why != notExpired {
				why = legIs + string(s)
			}
		case r.guard == pastExpiry && t <= expiry:
			why = notExpired
		default:
			return r, ""
		}
	}
	return row{}, why
}

const notExpired = "the referral has not expired"

// whose returns the roles that may ever do kind.
func whose(kind Kind) (out []Role) {
	m, _ := moveOf(kind)
	for _, r := range m.rows {
		out = append(out, r.who...)
	}
	return out
}

// rank orders concurrent events: the safer first. Kinds that are reserved have
// theirs already, so that programs of different age will order alike.
func rank(k Kind) int {
	switch k {
	case KindMarkWrong:
		return 0
	case KindWithdraw:
		return 1
	case KindConsentWithdrawn:
		return 2
	case KindDecline:
		return 3
	case KindReturn:
		return 4
	}
	return 5
}

// FHIRStatus is for an export to health services, which is still to be made; it
// stands with the states so that a new one is not left out. It maps a leg to the status of a FHIR R4 Task, whose focus is the
// service asked for. A closed leg keeps the status that it was closed from; an
// expired one is failed.
func FHIRStatus(l Leg) string {
	s := l.State
	if s == Closed {
		s = l.ClosedFrom
	}
	switch s {
	case Sent:
		return "requested"
	case Acknowledged:
		return "received"
	case InfoNeeded, OnHold:
		return "on-hold"
	case Accepted:
		return "accepted"
	case InProgress:
		return "in-progress"
	case Completed:
		return "completed"
	case Declined:
		return "rejected"
	case Withdrawn:
		return "cancelled"
	case Returned, Expired:
		return "failed"
	case Void:
		return "entered-in-error"
	}
	return "requested"
}
