package referral

import (
	"bytes"
	"container/heap"
	"reflect"
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// Referral is what the events that speak of one referral add up to. It holds
// no clock: what depends on the reader's now is in [Referral.View].
type Referral struct {
	ID       protocol.RecordID // of the send
	Known    bool              // the send is here and stands; nothing else is set until it is
	Sender   protocol.OrgID
	Audience []protocol.OrgID // of the send: recipients and watchers
	SentAt   Time             // the send's own time
	Parts    Parts            // as amended
	Versions []Version        // the send and its amends, in order
	Legs     []Leg            // by organisation; see [Leg]
	Pending  []protocol.RecordID
	Rejected []Rejection
}

// Version is the send, or one amend: the parts as that record holds them.
type Version struct {
	Record  protocol.RecordID
	Time    Time
	Staff   string
	Refs    []protocol.RecordID
	Changed []string // "part.field"; nil for the send
	Reason  string
	// Contested are changed fields that another amend, unseen by this one's
	// author, changed too: both values are to be looked at by a person.
	Contested []string
	Parts     Parts
}

// Leg is one recipient's side of a referral. Only the sender and that
// recipient hold its events: to anyone else it stays as sent (see
// [Referral.View]).
type Leg struct {
	Organisation protocol.OrgID
	Asked        To
	State        State
	Since        Time           // own time of the event that brought the state
	ClosedFrom   State          // of a closed leg
	Responsible  protocol.OrgID // for the child, as far as this leg goes
	Number       string         // entry or FIR number that the recipient gave last
	NumberKind   string
	History      []Entry // every event that belongs to the leg and the amends, in fold order

	// The newest applied event of each kind, nil if none.
	Acknowledged *Acknowledge
	Accepted     *Accept
	Declined     *Decline
	Started      *Start
	Completed    *Complete
	Disputed     *Dispute
	Closed       *Close
}

// Entry is one event in the history of a leg.
type Entry struct {
	Event    Event
	From, To State
	Verdict  Verdict
	Why      string // of an overtaken event
}

// Verdict is what the fold made of an event.
type Verdict string

// The verdicts.
const (
	Applied   Verdict = "applied"
	Overtaken Verdict = "overtaken" // no longer fitted when its turn came: kept, and its author is told
	Unread    Verdict = "unread"    // of a kind that needs a newer program; moves nothing
)

// Rejection is an event that can never count, whatever else arrives.
type Rejection struct {
	Record protocol.RecordID
	Author protocol.OrgID
	Kind   Kind
	Why    string
}

// Leg returns the leg of an organisation.
func (r Referral) Leg(org protocol.OrgID) (Leg, bool) {
	if i := r.leg(org); i >= 0 {
		return r.Legs[i], true
	}
	return Leg{}, false
}

func (r Referral) leg(org protocol.OrgID) int {
	i, ok := slices.BinarySearchFunc(r.Legs, org, func(l Leg, o protocol.OrgID) int { return l.Organisation.Compare(o) })
	if !ok {
		return -1
	}
	return i
}

// Overtaken returns the entries of the leg that came too late.
func (l Leg) Overtaken() (out []Entry) {
	for _, e := range l.History {
		if e.Verdict == Overtaken {
			out = append(out, e)
		}
	}
	return out
}

// Fold adds up the events that speak of the referral whose send is id. Events
// may come in any order and more than once; those of other referrals are
// passed over. Same events, same result, at every node that holds them: the
// package comment gives the rules.
func Fold(id protocol.RecordID, events []Event) Referral {
	r := Referral{ID: id}
	var rest []Event
	for _, e := range unique(events) {
		switch {
		case e.ID == id:
			if why := r.begin(e); why != "" {
				r.reject(e, why)
			}
		case e.Kind != KindSend && Subject(e) == id:
			rest = append(rest, e)
		}
	}
	if !r.Known {
		for _, e := range rest {
			r.Pending = append(r.Pending, e.ID)
		}
		return r
	}
	var amends []Event
	legs := make([][]Event, len(r.Legs))
	for _, e := range rest {
		switch i, why := r.admit(e); {
		case why != "":
			r.reject(e, why)
		case i < 0:
			amends = append(amends, e)
		default:
			legs[i] = append(legs[i], e)
		}
	}
	ordered, pending := order(id, amends)
	r.Pending = pending
	for _, e := range ordered {
		r.amend(e)
	}
	for i := range r.Legs {
		ordered, pending := order(id, append(legs[i], amends...))
		r.Pending = append(r.Pending, pending...)
		expiry := r.Versions[0].Parts.Summary.Urgency.Expiry
		for _, e := range ordered {
			r.Legs[i].apply(r.Sender, r.Versions[0].Parts.Summary.Kind, &expiry, e)
		}
	}
	slices.SortFunc(r.Pending, protocol.RecordID.Compare)
	r.Pending = slices.Compact(r.Pending)
	return r
}

// unique sorts events by ID and keeps one of each. Copies of a record differ
// only in how much of it could be opened: the fuller one is kept.
func unique(events []Event) []Event {
	out := slices.Clone(events)
	slices.SortFunc(out, func(a, b Event) int {
		if c := a.ID.Compare(b.ID); c != 0 {
			return c
		}
		if reflect.DeepEqual(a, b) {
			return 0
		}
		return bytes.Compare(fullness(b), fullness(a))
	})
	return slices.CompactFunc(out, func(a, b Event) bool { return a.ID == b.ID })
}

// fullness orders the copies of one event: by parts, then by content.
func fullness(e Event) []byte {
	var n byte
	var body [][]byte
	switch b := e.Body.(type) {
	case *Send:
		n, body = b.count(), b.Sections()
	case *AmendBody:
		n, body = b.count(), b.Sections()
	case *Unknown:
		body = [][]byte{protocol.Encode(b)}
	case nil:
	default:
		n, body = 1, EncodeBody(b)
	}
	return append([]byte{n}, protocol.Encode([]any{e.Author, e.Node, e.Audience, e.Kind, e.Time, e.Staff, e.Refs, body})...)
}

func (p Parts) count() byte {
	n := byte(1)
	if p.Case != nil {
		n++
	}
	if p.Identity != nil {
		n++
	}
	if p.Evidence != nil {
		n++
	}
	return n
}

func (r *Referral) reject(e Event, why string) {
	r.Rejected = append(r.Rejected, Rejection{e.ID, e.Author, e.Kind, why})
}

// begin takes the send, or says why it cannot stand.
func (r *Referral) begin(e Event) string {
	b, ok := e.Body.(*Send)
	switch {
	case !ok || e.Kind != KindSend:
		return "it is not a send"
	case b.Summary.Sender.Organisation != e.Author:
		return "its author is not the sender it names"
	case b.Summary.Amends != nil:
		return "it is an amendment sent as a send"
	}
	var legs []Leg
	for _, to := range b.Summary.Recipients {
		// A recipient that the record did not go to has no leg: it could
		// never answer.
		if to.Organisation == e.Author || !slices.Contains(e.Audience, to.Organisation) {
			continue
		}
		if slices.ContainsFunc(legs, func(l Leg) bool { return l.Organisation == to.Organisation }) {
			continue
		}
		legs = append(legs, Leg{Organisation: to.Organisation, Asked: to, State: Sent, Since: e.Time, Responsible: e.Author})
	}
	if len(legs) == 0 {
		return "none of its recipients is in its audience"
	}
	slices.SortFunc(legs, func(a, b Leg) int { return a.Organisation.Compare(b.Organisation) })
	r.Known, r.Sender, r.SentAt, r.Legs = true, e.Author, e.Time, legs
	r.Audience = sorted(e.Audience)
	r.Parts = b.Parts.clone()
	r.Versions = []Version{{Record: e.ID, Time: e.Time, Staff: e.Staff, Refs: e.Refs, Parts: b.Parts}}
	return ""
}

func sorted(orgs []protocol.OrgID) []protocol.OrgID {
	out := slices.Clone(orgs)
	slices.SortFunc(out, protocol.OrgID.Compare)
	return slices.Compact(out)
}

// admit decides, on the event and the send alone, whether the event may count:
// the leg's index, or -1 for an amend; or why it never can.
func (r *Referral) admit(e Event) (leg int, why string) {
	leg, why = r.place(e)
	if why == "" && leg >= 0 {
		if f := mustGive(e.Body, r.Legs[leg].Asked); len(f) > 0 {
			return 0, f.Error()
		}
	}
	return leg, why
}

// place is admit without what the event must give.
func (r *Referral) place(e Event) (leg int, why string) {
	if e.Body == nil {
		return 0, "it could not be read"
	}
	if k := e.Body.Kind(); k != e.Kind && (k != "" || whose(e.Kind) != nil || e.Kind == KindAmend || e.Kind == KindSend) {
		return 0, "its body is of another kind"
	}
	if len(e.Refs) > protocol.MaxRefs {
		return 0, "it names too many events"
	}
	if b, ok := e.Body.(*AmendBody); ok {
		return -1, r.placeAmend(e, b)
	}
	org := e.Body.about().Leg
	i := r.leg(org)
	if i < 0 {
		return 0, "the organisation it names is no recipient"
	}
	role, other := r.side(e.Author, org)
	_, unknown := e.Body.(*Unknown)
	switch {
	case role == Stranger:
		return 0, "its author is no side of the leg"
	case len(e.Audience) != 1 || e.Audience[0] != other:
		return 0, "it did not go to the leg's other side alone"
	case !unknown && !slices.Contains(whose(e.Kind), role):
		return 0, "it is for the other side to do"
	}
	return i, ""
}

// side returns the role of an organisation in a leg, and the other side.
func (r *Referral) side(org, leg protocol.OrgID) (Role, protocol.OrgID) {
	switch org {
	case r.Sender:
		return BySender, leg
	case leg:
		return ByRecipient, r.Sender
	}
	return Stranger, protocol.OrgID{}
}

// apply gives the leg its next event in order.
func (l *Leg) apply(from protocol.OrgID, kind string, expiry *Time, e Event) {
	entry := Entry{Event: e, From: l.State, To: l.State, Verdict: Applied}
	defer func() { l.History = append(l.History, entry) }()
	switch b := e.Body.(type) {
	case *Unknown:
		entry.Verdict = Unread
		return
	case *AmendBody:
		if slices.Contains(b.Summary.Amends.Changed, "summary.urgency.expiry") {
			*expiry = b.Summary.Urgency.Expiry
		}
		if !l.State.Open() {
			entry.Verdict, entry.Why = Overtaken, "the leg is "+string(l.State)
		}
		return
	}
	role := BySender
	if e.Author == l.Organisation {
		role = ByRecipient
	}
	line, why := find(e.Kind, role, l.State, e.Time, *expiry)
	if why != "" {
		entry.Verdict, entry.Why = Overtaken, why
		return
	}
	if line.to != "" {
		l.move(line, from, kind, e.Time)
		entry.To = l.State
	}
	if m, ok := moveOf(e.Kind); ok {
		m.keep(l, e.Body)
	}
}

func (l *Leg) move(m row, from protocol.OrgID, kind string, at Time) {
	if m.to == Closed {
		l.ClosedFrom = l.State
		if m.guard == pastExpiry {
			l.ClosedFrom = Expired
		}
	}
	l.State, l.Since = m.to, at
	switch m.to {
	case Accepted:
		if kind == "transfer" {
			l.Responsible = l.Organisation
		}
	case Returned, Declined, Withdrawn, Void:
		l.Responsible = from
	}
}

// number keeps the entry or FIR number that an event gave.
func (l *Leg) number(n, kind string) {
	if n != "" {
		l.Number, l.NumberKind = n, kind
	}
}

// order sorts events so that each comes after those it names, concurrent ones
// by rank and then ID. An event that names one which is not among them, nor
// the root, waits, and so do those that name it.
func order(root protocol.RecordID, events []Event) (out []Event, pending []protocol.RecordID) {
	index := make(map[protocol.RecordID]int, len(events))
	for i, e := range events {
		index[e.ID] = i
	}
	waits := make([]int, len(events))
	next := make([][]int, len(events))
	for i, e := range events {
		for _, ref := range e.Refs {
			if ref == root {
				continue
			}
			waits[i]++
			if j, ok := index[ref]; ok {
				next[j] = append(next[j], i)
			}
		}
	}
	ready := &queue{}
	for i, n := range waits {
		if n == 0 {
			heap.Push(ready, events[i])
		}
	}
	for ready.Len() > 0 {
		e := heap.Pop(ready).(Event)
		out = append(out, e)
		for _, j := range next[index[e.ID]] {
			if waits[j]--; waits[j] == 0 {
				heap.Push(ready, events[j])
			}
		}
	}
	for i, n := range waits {
		if n > 0 {
			pending = append(pending, events[i].ID)
		}
	}
	return out, pending
}

type queue []Event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if a, b := rank(q[i].Kind), rank(q[j].Kind); a != b {
		return a < b
	}
	return q[i].ID.Compare(q[j].ID) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(Event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
