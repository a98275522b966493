package casebook

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// ReferralView is a referral as this organisation may see it now.
type ReferralView struct {
	ID        protocol.RecordID `json:"id"`
	Code      referral.Code     `json:"code"`
	Direction Direction         `json:"direction"`
	Sender    Organisation      `json:"sender"`
	Sent      referral.Time     `json:"sent"`
	Updated   referral.Time     `json:"updated"`
	// Parts are as amended; a part that is not to be read here is left out.
	// Web addresses are written so that they cannot be followed.
	Parts    referral.Parts      `json:"parts"`
	Reads    []string            `json:"reads"` // the parts that are read here
	Legs     []LegView           `json:"legs"`
	Watchers []Addressee         `json:"watchers,omitempty"`
	Versions []VersionView       `json:"versions"`
	Access   Access              `json:"access"` // of the send
	Names    map[string]string   `json:"names"`  // of every organisation mentioned, by ID
	Notices  []string            `json:"notices,omitempty"`
	Pending  []protocol.RecordID `json:"pending,omitempty"` // wait for events that are not here
	Rejected []RejectionView     `json:"rejected,omitempty"`
	Same     []protocol.RecordID `json:"same_id,omitempty"` // other referrals under this one's ID
	Missing  int                 `json:"missing,omitempty"` // records that cannot be read now
}

// LegView is one recipient's side.
type LegView struct {
	Organisation Organisation   `json:"organisation"`
	Unit         string         `json:"unit,omitempty"`
	Services     []string       `json:"services"`
	Hidden       bool           `json:"hidden,omitempty"` // another recipient's: its events do not come here
	State        referral.State `json:"state"`
	Since        referral.Time  `json:"since,omitempty"`
	Silent       bool           `json:"silent,omitempty"` // closed because the sender said nothing
	Responsible  Organisation   `json:"responsible"`      // for the child, as far as this leg goes
	Late         []ClockView    `json:"late,omitempty"`
	SeeFirst     []string       `json:"see_first,omitempty"` // changed safety fields, to be seen before any other act
	Moves        []string       `json:"moves,omitempty"`     // what this organisation may do now
	Number       string         `json:"number,omitempty"`    // entry or FIR
	NumberKind   string         `json:"number_kind,omitempty"`
	Delivery     *Delivery      `json:"delivery,omitempty"` // of the send, for its sender

	Acknowledged *referral.Acknowledge `json:"acknowledged,omitempty"`
	Accepted     *referral.Accept      `json:"accepted,omitempty"`
	Declined     *referral.Decline     `json:"declined,omitempty"`
	Started      *referral.Start       `json:"started,omitempty"`
	Completed    *referral.Complete    `json:"completed,omitempty"`
	Disputed     *referral.Dispute     `json:"disputed,omitempty"`
	Closed       *referral.Close       `json:"closed,omitempty"`
	History      []EntryView           `json:"history,omitempty"`
}

// ClockView is a due time that passed.
type ClockView struct {
	Name string        `json:"name"`
	Due  referral.Time `json:"due"`
}

// EntryView is one event of a leg.
type EntryView struct {
	Record   protocol.RecordID `json:"record"`
	Author   Organisation      `json:"author"`
	Move     string            `json:"move"`
	Time     referral.Time     `json:"time"`
	Staff    string            `json:"staff,omitempty"`
	From     referral.State    `json:"from"`
	To       referral.State    `json:"to"`
	Verdict  referral.Verdict  `json:"verdict"`
	Why      string            `json:"why,omitempty"`
	Body     referral.Body     `json:"body,omitempty"`     // not of an amendment: see versions
	Delivery *Delivery         `json:"delivery,omitempty"` // of an own event to the other side
}

// VersionView is the send, or one amendment.
type VersionView struct {
	Record    protocol.RecordID `json:"record"`
	Time      referral.Time     `json:"time"`
	Staff     string            `json:"staff,omitempty"`
	Changed   []string          `json:"changed,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Contested []string          `json:"contested,omitempty"` // two amendments changed it unseen: look at both
	Parts     referral.Parts    `json:"parts"`               // as that record has them
	Delivery  []Addressee       `json:"delivery,omitempty"`
}

// RejectionView is a record that can never count.
type RejectionView struct {
	Record protocol.RecordID `json:"record"`
	Author Organisation      `json:"author"`
	Move   string            `json:"move"`
	Why    string            `json:"why"`
}

// Addressee is an organisation and how far a record has come to it.
type Addressee struct {
	Organisation Organisation `json:"organisation"`
	Delivery     *Delivery    `json:"delivery,omitempty"`
}

// Access says who can read and who keeps one record.
type Access struct {
	Record     protocol.RecordID `json:"record"`
	Parts      []PartReaders     `json:"parts"`
	Custodians []Organisation    `json:"custodians"` // keep it as ciphertext
}

// Show returns the referral that a person named by its code or ID, or the
// beginning of one.
func (b *Book) Show(ctx context.Context, name string) (ReferralView, error) {
	reg := b.o.Register()
	x, k, err := b.named(ctx, name)
	if err != nil {
		return ReferralView{}, err
	}
	f, err := b.fold(ctx, x, k)
	if err != nil {
		return ReferralView{}, err
	}
	if !f.Known && f.missing == 0 {
		return ReferralView{}, fail(NotFound, "the referral itself is not here: it may still be on its way")
	}
	if !f.Known {
		return ReferralView{}, fail(Failed, "the referral's own record cannot be read here now; it is kept, and asked for again")
	}
	b.mu.Lock()
	r := k.row
	same := x.same(k)
	b.mu.Unlock()

	v := ReferralView{ID: f.ID, Code: r.codeText(), Direction: r.dir.direction(), Sent: f.SentAt, Updated: r.updated, Parts: defanged(f.Parts),
		Pending: f.Pending, Missing: f.missing, Names: map[string]string{}}
	n := namer{reg, v.Names}
	v.Sender = n.of(f.Sender)
	v.Reads = reads(f.Parts)
	n.mention(f.Parts)
	now := b.now()
	seen := f.View(now, b.o.Org)
	for i, lv := range seen.Legs {
		v.Legs = append(v.Legs, b.legView(n, x, f, f.Legs[i], lv))
	}
	v.Watchers = b.addressees(n, x, f, f.ID, f.Parts.Summary.Watchers)
	for _, y := range f.Versions {
		w := VersionView{Record: y.Record, Time: y.Time, Staff: y.Staff, Changed: y.Changed, Reason: y.Reason, Contested: y.Contested, Parts: defanged(y.Parts)}
		if y.Record != f.ID {
			w.Delivery = b.addressees(n, x, f, y.Record, f.Audience)
		}
		v.Versions = append(v.Versions, w)
	}
	for _, j := range f.Rejected {
		v.Rejected = append(v.Rejected, RejectionView{j.Record, n.of(j.Author), word(j.Kind), j.Why})
	}
	v.Same = b.sameID(ctx, x, f, same)
	if v.Access, err = b.access(n, x, f); err != nil {
		b.o.Log.Warn("readers of a record cannot be shown", "record", f.ID.Short(), "err", err)
	}
	v.Notices = notices(f, seen, v)
	if days := b.ahead(reg, x, f); days >= protocol.FlagAheadDays {
		v.Notices = append(v.Notices, fmt.Sprintf("It bears a day that is %d days after what its author's node knew of the register then: that node's clock is wrong, or it was cut off for so long. Ask its sender when it was written.", days))
	}
	return v, nil
}

// namer names organisations and notes whom it named.
type namer struct {
	reg  Register
	seen map[string]string
}

func (n namer) of(id protocol.OrgID) Organisation {
	o := nameOf(n.reg, id)
	n.seen[id.String()] = o.Name
	return o
}

func word(k referral.Kind) string { return strings.TrimPrefix(string(k), "referral/") }

func reads(p referral.Parts) []string {
	out := []string{referral.PartNames[referral.SectionSummary]}
	for i, has := range []bool{p.Case != nil, p.Identity != nil, p.Evidence != nil} {
		if has {
			out = append(out, referral.PartNames[i+1])
		}
	}
	return out
}

// mention names the organisations that the parts hold by ID.
func (n namer) mention(p referral.Parts) {
	for _, to := range p.Summary.Recipients {
		n.of(to.Organisation)
	}
	for _, w := range p.Summary.Watchers {
		n.of(w)
	}
	if p.Case == nil {
		return
	}
	for _, id := range p.Barred() {
		n.of(id)
	}
	for _, w := range p.Case.Legal.Withheld {
		if !w.Organisation.IsZero() {
			n.of(w.Organisation)
		}
	}
}

// defanged copies the parts with web addresses that cannot be followed.
func defanged(p referral.Parts) referral.Parts {
	if p.Evidence == nil {
		return p
	}
	e := *p.Evidence
	e.URLs = slices.Clone(e.URLs)
	for i := range e.URLs {
		e.URLs[i] = referral.Defang(e.URLs[i])
	}
	e.Accounts = slices.Clone(e.Accounts)
	for i := range e.Accounts {
		if e.Accounts[i].URL != "" {
			e.Accounts[i].URL = referral.Defang(e.Accounts[i].URL)
		}
	}
	p.Evidence = &e
	return p
}

func (b *Book) legView(n namer, x *index, f *folded, l referral.Leg, lv referral.LegView) LegView {
	out := LegView{Organisation: n.of(l.Organisation), Unit: l.Asked.Unit, Services: l.Asked.Services, Hidden: lv.Hidden, State: lv.State,
		Silent: lv.Silent, Responsible: n.of(lv.Responsible), SeeFirst: lv.SeeFirst}
	if f.Sender == b.o.Org {
		out.Delivery = b.delivery(x, f.at[f.ID], l.Organisation)
	}
	if lv.Hidden {
		return out
	}
	out.Since, out.Number, out.NumberKind = l.Since, l.Number, l.NumberKind
	out.Acknowledged, out.Accepted, out.Declined, out.Started = l.Acknowledged, l.Accepted, l.Declined, l.Started
	out.Completed, out.Disputed, out.Closed = l.Completed, l.Disputed, l.Closed
	for _, c := range lv.Late {
		out.Late = append(out.Late, ClockView(c))
	}
	for _, m := range lv.Moves {
		out.Moves = append(out.Moves, word(m))
	}
	other := l.Organisation
	if b.o.Org == l.Organisation {
		other = f.Sender
	}
	for _, h := range l.History {
		e := EntryView{Record: h.Event.ID, Author: n.of(h.Event.Author), Move: word(h.Event.Kind), Time: h.Event.Time, Staff: h.Event.Staff,
			From: h.From, To: h.To, Verdict: h.Verdict, Why: h.Why}
		if h.Event.Kind != referral.KindAmend {
			e.Body = h.Event.Body
		}
		if h.Event.Author == b.o.Org {
			e.Delivery = b.delivery(x, f.at[h.Event.ID], other)
		}
		out.History = append(out.History, e)
	}
	return out
}

func (b *Book) addressees(n namer, x *index, f *folded, rec protocol.RecordID, orgs []protocol.OrgID) (out []Addressee) {
	for _, id := range orgs {
		a := Addressee{Organisation: n.of(id)}
		if f.Sender == b.o.Org {
			a.Delivery = b.delivery(x, f.at[rec], id)
		}
		out = append(out, a)
	}
	return out
}

// same lists the other cases that carry the code of k, known by the first 40
// bits of their ID.
func (x *index) same(k *kase) (out []*kase) {
	for _, o := range x.cases {
		if o != k && o.row.known && o.row.code == k.row.code {
			out = append(out, o)
		}
	}
	return out
}

func (b *Book) sameID(ctx context.Context, x *index, f *folded, others []*kase) (out []protocol.RecordID) {
	for _, k := range others {
		if o, err := b.fold(ctx, x, k); err == nil && o.Known && o.Versions[0].Parts.Summary.ID == f.Versions[0].Parts.Summary.ID {
			out = append(out, o.ID)
		}
	}
	slices.SortFunc(out, protocol.RecordID.Compare)
	return out
}

// notices says in words what a person is to look at.
func notices(f *folded, seen referral.View, v ReferralView) (out []string) {
	say := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	closed := !slices.ContainsFunc(seen.Legs, func(l referral.LegView) bool { return l.State.Open() })
	if f.Parts.Summary.Urgency.DangerNow == "yes" && !closed {
		out = append(out, danger())
	}
	for _, c := range seen.Contested {
		say("Two amendments changed %s without seeing each other: look at both.", c)
	}
	for _, l := range v.Legs {
		if len(l.SeeFirst) > 0 {
			say("Changed since this organisation last answered, to be seen before anything else: %s.", strings.Join(l.SeeFirst, ", "))
		}
		for _, h := range l.History {
			if h.Verdict == referral.Overtaken {
				say("%s by %s came too late and changed nothing: %s.", h.Move, h.Author.Name, h.Why)
			}
		}
		if l.State == referral.Expired {
			say("%s has not decided in time: the child is the responsibility of %s.", l.Organisation.Name, l.Responsible.Name)
		}
	}
	if len(f.Pending) > 0 {
		say("%d records wait for earlier ones that are not here yet.", len(f.Pending))
	}
	if len(v.Same) > 0 {
		say("Another referral carries the same number: this is a mistake, or somebody's attempt. Compare both with their senders.")
	}
	if f.missing > 0 {
		say("%d records of this referral cannot be read here now, so it may stand elsewhere; they are asked for again.", f.missing)
	}
	return out
}
