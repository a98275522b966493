package casebook

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// row is what lists choose and sort by, so that a list of many cases opens
// none but those it shows.
type row struct {
	known    bool // the send is here and stands
	notice   bool // overtaken, rejected, waiting or contested events
	dir      dirNumber
	sender   uint32 // in index.org
	code     uint64 // the first 40 bits of Summary.ID, of which the code is made
	updated  referral.Time
	priority string
	legs     []legRow
}

// legRow is a leg now, and as it will be later without anyone's doing.
type legRow struct {
	org     uint32
	hidden  bool
	mine    bool // this organisation may move it now
	later   bool // … after turnsAt
	state   stateNumber
	turned  stateNumber // from turnsAt on
	turnsAt referral.Time
	due     referral.Time // the next clock to be missed
}

// Direction says how a referral came to be here.
type Direction string

// The directions.
const (
	Outgoing Direction = "sent"
	Incoming Direction = "received"
	Watching Direction = "watching"
)

type dirNumber uint8

var directions = [...]Direction{Outgoing, Incoming, Watching}

func (d dirNumber) direction() Direction { return directions[d] }

// stateNumber is a state in one byte.
type stateNumber uint8

var states = [...]referral.State{referral.Sent, referral.Acknowledged, referral.InfoNeeded, referral.Accepted, referral.InProgress, referral.OnHold, referral.Returned,
	referral.Completed, referral.Declined, referral.Withdrawn, referral.Closed, referral.Void, referral.Expired}

func numberOf(s referral.State) stateNumber { return stateNumber(slices.Index(states[:], s)) }
func (n stateNumber) state() referral.State { return states[n] }

const never referral.Time = math.MaxInt64

// setRow writes a case's row.
func (x *index) setRow(k *kase, f *folded) {
	delete(x.dirty, k)
	if !f.Known {
		if f.missing == 0 { // else it is only that it cannot be read now
			k.row = row{}
		}
		return
	}
	s := f.Parts.Summary
	r := row{known: true, updated: f.SentAt, priority: s.Urgency.Priority, sender: x.number(f.Sender), code: codeBits(f.Versions[0].Parts.Summary.ID)}
	r.dir = dirNumber(slices.Index(directions[:], direction(f.Referral, x.me)))
	r.notice = len(f.Pending)+len(f.Rejected)+f.missing > 0
	for _, v := range f.Versions {
		r.updated = max(r.updated, v.Time)
		r.notice = r.notice || len(v.Contested) > 0
	}
	// The view in the far future tells which clocks run, and how the leg
	// ends if nobody does anything.
	start, end := f.View(0, x.me), f.View(never, x.me)
	for i, now := range start.Legs {
		l, then := f.Legs[i], end.Legs[i]
		lr := legRow{org: x.number(now.Organisation), hidden: now.Hidden, state: numberOf(now.State), turned: numberOf(then.State), turnsAt: never, due: never, mine: moves(now.Moves), later: moves(then.Moves)}
		if then.State != now.State || lr.later != lr.mine {
			lr.turnsAt = s.Urgency.Expiry
			if then.Silent {
				lr.turnsAt = l.Since + referral.Time(vocab.FactInt("silent-confirm-d"))*referral.Days
			}
		}
		for _, c := range then.Late {
			lr.due = min(lr.due, c.Due)
		}
		for _, h := range l.History {
			if now.Hidden {
				break
			}
			r.updated = max(r.updated, h.Event.Time)
			r.notice = r.notice || h.Verdict == referral.Overtaken
		}
		r.legs = append(r.legs, lr)
	}
	k.row = r
}

// moves reports whether there is more to do than talk.
func moves(kinds []referral.Kind) bool {
	return slices.ContainsFunc(kinds, referral.Kind.Moves)
}

func direction(r referral.Referral, me protocol.OrgID) Direction {
	switch _, leg := r.Leg(me); {
	case r.Sender == me:
		return Outgoing
	case leg:
		return Incoming
	}
	return Watching
}

func codeBits(id referral.UID) uint64 {
	return uint64(id[0])<<32 | uint64(binary.BigEndian.Uint32(id[1:5]))
}

func (r row) codeText() referral.Code {
	return referral.NewCode(binary.BigEndian.AppendUint64(nil, r.code)[3:])
}

func (l legRow) at(now referral.Time) (state referral.State, mine, late bool) {
	if now > l.turnsAt {
		return l.turned.state(), l.later, now > l.due
	}
	return l.state.state(), l.mine, now > l.due
}

// Filter chooses referrals. Zero fields choose nothing out.
type Filter struct {
	Direction    Direction      `json:"direction,omitempty"`
	State        referral.State `json:"state,omitempty"`        // some leg is in it, as far as it shows here
	Priority     string         `json:"priority,omitempty"`     // emergency, urgent, normal
	Organisation string         `json:"organisation,omitempty"` // sender or recipient, by name or ID
	Open         bool           `json:"open,omitempty"`         // some leg is neither closed nor void
	Overdue      bool           `json:"overdue,omitempty"`      // some clock was missed
	Mine         bool           `json:"mine,omitempty"`         // it is for this organisation to move
	Notice       bool           `json:"notice,omitempty"`       // something is to be looked at: overtaken, contested, waiting
	Limit        int            `json:"limit,omitempty"`        // 1 to MaxList; MaxList where 0
	After        string         `json:"after,omitempty"`        // the Next of the list before
}

// MaxList bounds one page of a list.
const MaxList = 200

func (x *index) matches(k *kase, f Filter, org protocol.OrgID, now referral.Time) bool {
	r := &k.row
	if !r.known || f.Direction != "" && r.dir.direction() != f.Direction || f.Priority != "" && r.priority != f.Priority || f.Notice && !r.notice {
		return false
	}
	ofOrg := org.IsZero() || x.org[r.sender] == org
	state, open, late, own := f.State == "", !f.Open, !f.Overdue, !f.Mine
	for _, l := range r.legs {
		s, mine, overdue := l.at(now)
		state = state || s == f.State
		open = open || s.Open()
		late = late || overdue
		own = own || mine
		ofOrg = ofOrg || x.org[l.org] == org
	}
	return ofOrg && state && open && late && own
}

// newestFirst orders cases for lists.
func newestFirst(a, b *kase) int {
	return cmp.Or(cmp.Compare(b.row.updated, a.row.updated), a.id.Compare(b.id))
}
