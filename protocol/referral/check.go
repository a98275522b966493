package referral

import (
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
)

// Refusal is a move that may not be made.
type Refusal struct {
	Kind Kind
	Why  string
}

// OfState reports whether the leg's state is why: in another it may be done.
func (r *Refusal) OfState() bool { return strings.HasPrefix(r.Why, legIs) }

func (r *Refusal) Error() string { return fmt.Sprintf("%s is refused: %s", r.Kind, r.Why) }

// Check says whether an event may be sent now, given what its author's node
// holds: by the fold's own rules, and beyond them that all codes are known,
// texts carry nothing that must not travel, and every event it names is here.
// r is the zero Referral for a send. The event's ID is not looked at. The
// error is [Faults] or a *[Refusal].
func Check(r Referral, e Event) error {
	refuse := func(why string) error { return &Refusal{e.Kind, why} }
	if e.Kind == KindSend {
		b, ok := e.Body.(*Send)
		if !ok {
			return refuse("its body is of another kind")
		}
		if b.Summary.Sender.Organisation != e.Author {
			return refuse("its author is not the sender it names")
		}
		if !slices.Equal(sorted(e.Audience), Audience(b.Parts)) {
			return refuse("its audience is not its recipients and watchers")
		}
		return Validate(b.Parts)
	}
	if !r.Known {
		return refuse("the referral itself has not arrived yet")
	}
	if Subject(e) != r.ID {
		return refuse("it speaks of another referral")
	}
	if _, ok := e.Body.(*Unknown); ok {
		return refuse("this program does not know such a move")
	}
	i, why := r.place(e)
	if why != "" {
		return refuse(why)
	}
	if b, ok := e.Body.(*AmendBody); ok {
		return r.checkAmend(e, b)
	}
	l := r.Legs[i]
	for _, ref := range e.Refs {
		if ref != r.ID && !slices.ContainsFunc(l.History, func(h Entry) bool { return h.Event.ID == ref }) {
			return refuse("it names an event that is not of this leg, or not here")
		}
	}
	role, _ := r.side(e.Author, l.Organisation)
	// Whether the move is possible at all is said before what it lacks.
	if _, why := find(e.Kind, role, l.State, e.Time, r.Parts.Summary.Urgency.Expiry); why != "" {
		return refuse(why)
	}
	return validateBody(e.Body, l.Asked).err()
}

func (r Referral) checkAmend(e Event, b *AmendBody) error {
	if !slices.ContainsFunc(r.Legs, func(l Leg) bool { return l.State.Open() }) {
		return &Refusal{e.Kind, "all legs are closed"}
	}
	for _, ref := range e.Refs {
		if !slices.ContainsFunc(r.Versions, func(v Version) bool { return v.Record == ref }) {
			return &Refusal{e.Kind, "it names an event that is no send or amend of this referral, or not here"}
		}
	}
	f := validate(b.Parts)
	if !slices.Equal(b.Summary.Amends.Changed, Diff(r.Parts, b.Parts)) {
		f = append(f, Fault{"summary.amends.changed", RuleChanged, "is not the sorted list of the fields that differ"})
	}
	return f.err()
}

// Audience returns whom a send or amend goes to: recipients and watchers,
// sorted.
func Audience(p Parts) []protocol.OrgID {
	out := slices.Clone(p.Summary.Watchers)
	for _, to := range p.Summary.Recipients {
		out = append(out, to.Organisation)
	}
	return sorted(out)
}

// Refs returns what a new event names as seen: of a leg, its newest events
// and amends; for the zero organisation, the newest amends, as an amend does.
// At least the send, at most [protocol.MaxRefs].
func (r Referral) Refs(leg protocol.OrgID) []protocol.RecordID {
	named := map[protocol.RecordID]bool{}
	var all, out []protocol.RecordID
	if i := r.leg(leg); i >= 0 {
		for _, h := range r.Legs[i].History {
			all = append(all, h.Event.ID)
			for _, ref := range h.Event.Refs {
				named[ref] = true
			}
		}
	} else {
		for _, v := range r.Versions[min(1, len(r.Versions)):] {
			all = append(all, v.Record)
			for _, ref := range v.Refs {
				named[ref] = true
			}
		}
	}
	for _, id := range all {
		if !named[id] {
			out = append(out, id)
		}
	}
	if out == nil {
		return []protocol.RecordID{r.ID}
	}
	return out[:min(len(out), protocol.MaxRefs)]
}

// Moves returns what an organisation may do in a leg now: the kinds for which
// [Check] asks only what must be given. The sender may amend while any leg is
// open.
func Moves(r Referral, leg, me protocol.OrgID, now Time) []Kind {
	l, ok := r.Leg(leg)
	if !ok {
		return nil
	}
	role, _ := r.side(me, leg)
	var out []Kind
	for _, m := range table {
		if _, why := find(m.kind, role, l.State, now, r.Parts.Summary.Urgency.Expiry); why == "" {
			out = append(out, m.kind)
		}
	}
	if role == BySender && slices.ContainsFunc(r.Legs, func(l Leg) bool { return l.State.Open() }) {
		out = append(out, KindAmend)
	}
	return out
}
