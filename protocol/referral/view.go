package referral

import (
	"slices"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// View is a referral as one organisation sees it at one time.
type View struct {
	Legs []LegView
	// Contested are fields that two amends changed without seeing each other.
	Contested []string
}

// LegView is a leg as one organisation sees it at one time.
type LegView struct {
	Organisation protocol.OrgID
	// Hidden means that the leg is another recipient's: its events do not come
	// here, and State says nothing but that it was sent.
	Hidden bool
	State  State // also [Expired], and [Closed] by silence
	// Silent marks a leg that counts as confirmed because the sender of a
	// normal referral said nothing for 14 days after completion. Nobody
	// confirmed it: it is counted apart, and a dispute still counts.
	Silent      bool
	Responsible protocol.OrgID
	Late        []Clock
	SeeFirst    []string // changed safety or contact fields that this organisation has not answered since; to be seen before any other act
	Moves       []Kind
}

// Clock is a due time that passed.
type Clock struct {
	Name string // acknowledge, decide, act, report, legal
	Due  Time
}

// View computes what depends on the reader: expired legs, confirmation by
// silence, missed clocks, possible moves. It changes nothing; an acceptance
// that arrives after the expiry still counts.
func (r Referral) View(now Time, me protocol.OrgID) View {
	var v View
	for _, x := range r.Versions {
		for _, c := range x.Contested {
			if !slices.Contains(v.Contested, c) {
				v.Contested = append(v.Contested, c)
			}
		}
	}
	slices.Sort(v.Contested)
	for _, l := range r.Legs {
		if me != r.Sender && me != l.Organisation {
			v.Legs = append(v.Legs, LegView{Organisation: l.Organisation, Hidden: true, State: Sent, Responsible: r.Sender})
			continue
		}
		v.Legs = append(v.Legs, r.legView(l, now, me))
	}
	return v
}

func (r Referral) legView(l Leg, now Time, me protocol.OrgID) LegView {
	s := r.Parts.Summary
	v := LegView{Organisation: l.Organisation, State: l.State, Responsible: l.Responsible, Moves: Moves(r, l.Organisation, me, now)}
	switch {
	case slices.Contains(undecided, l.State) && now > s.Urgency.Expiry:
		v.State = Expired
	case l.State == Completed && s.Urgency.Priority == "normal" && now > l.Since+Time(vocab.FactInt("silent-confirm-d"))*Days:
		v.State, v.Silent = Closed, true
	}
	v.Late = r.late(l, now)
	v.SeeFirst = r.unseen(l, me)
	return v
}

// late returns the due times that passed. A decision once made, an
// acknowledgement once given, stops its clock; the recipient's own earlier
// promise counts.
func (r Referral) late(l Leg, now Time) (out []Clock) {
	u := r.Parts.Summary.Urgency
	due := func(name string, t Time) {
		if t != 0 && now > t {
			out = append(out, Clock{name, t})
		}
	}
	switch l.State {
	case Sent:
		due("acknowledge", u.Acknowledge)
		due("decide", u.Decide)
	case Acknowledged, InfoNeeded:
		if l.Acknowledged != nil {
			due("decide", earlier(u.Decide, l.Acknowledged.DecideBy))
		} else {
			due("decide", u.Decide)
		}
	case Accepted:
		if l.Accepted != nil {
			due("act", earlier(u.Act, l.Accepted.FirstContactBy))
		}
		due("report", r.nextReport(l))
	case InProgress, OnHold:
		due("report", r.nextReport(l))
	}
	if slices.Contains([]State{Sent, Acknowledged, InfoNeeded, Accepted, InProgress, OnHold}, l.State) {
		due("legal", u.LegalDue)
	}
	return out
}

func earlier(a, b Time) Time {
	if b != 0 && b < a {
		return b
	}
	return a
}

// nextReport is the first report's due time, or one span of it after the last
// that was heard from the recipient.
func (r Referral) nextReport(l Leg) Time {
	u := r.Parts.Summary.Urgency
	next := u.Report
	span := u.Report - r.Parts.Summary.Written
	for _, h := range l.History {
		if h.Event.Author == l.Organisation && h.Verdict == Applied {
			next = max(next, h.Event.Time+span)
		}
	}
	return next
}

// unseen returns the safety and contact fields changed by amends that no event
// of this organisation in the leg has named as seen since.
func (r Referral) unseen(l Leg, me protocol.OrgID) (out []string) {
	if me == r.Sender {
		return nil
	}
	refs := map[protocol.RecordID][]protocol.RecordID{}
	var todo []protocol.RecordID
	for _, h := range l.History {
		refs[h.Event.ID] = h.Event.Refs
		if h.Event.Author == me {
			todo = append(todo, h.Event.ID)
		}
	}
	seen := map[protocol.RecordID]bool{}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen[id] {
			seen[id] = true
			todo = append(todo, refs[id]...)
		}
	}
	for _, v := range r.Versions {
		if seen[v.Record] {
			continue
		}
		for _, f := range SafetyFields(v.Changed) {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return out
}
