package referral

import "slices"

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

// Role is a side of a leg.
type Role uint8

// The roles.
const (
	Stranger Role = iota
	BySender      // the sender's staff
	ByRecipient
)

// row is one line of the table: in one of the states from, the role may do
// kind, and the leg is then in state to ("" for the same).
type row struct {
	kind  Kind
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

// table is how a leg moves. Later kinds add rows.
var table = []row{
	{KindAcknowledge, recipient, []State{Sent}, Acknowledged, always},
	{KindAccept, recipient, undecided, Accepted, always},
	{KindDecline, recipient, undecided, Declined, always},
	{KindStart, recipient, []State{Accepted, OnHold}, InProgress, always},
	{KindComplete, recipient, []State{Accepted, InProgress, OnHold}, Completed, always},
	{KindConfirm, sender, []State{Completed}, Closed, always},
	{KindDispute, sender, []State{Completed}, InProgress, always},
	{KindClose, sender, []State{Declined, Returned, Withdrawn}, Closed, always},
	{KindClose, sender, undecided, Closed, pastExpiry},
	{KindMessage, both, open, "", always},
}

// find returns the row by which role does kind in state s at time t, or why
// there is none.
func find(kind Kind, role Role, s State, t, expiry Time) (row, string) {
	why := "no such move"
	for _, r := range table {
		switch {
		case r.kind != kind:
		case !slices.Contains(r.who, role):
			why = "it is for the other side to do"
		case !slices.Contains(r.from, s):
			if why != notExpired {
				why = "the leg is " + string(s)
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
	for _, r := range table {
		if r.kind == kind {
			out = append(out, r.who...)
		}
	}
	return out
}

// rank orders concurrent events: the safer first.
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

// FHIRStatus maps a leg to the status of a FHIR R4 Task, whose focus is the
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
