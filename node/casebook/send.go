package casebook

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// RuleReachable is broken by an addressee that nothing can be sealed to.
const RuleReachable referral.Rule = "addressee-reachable"

// Result says what became of a referral or a move.
type Result struct {
	Referral protocol.RecordID `json:"referral,omitzero"` // zero while a new referral is queued
	Code     referral.Code     `json:"code,omitempty"`
	Record   protocol.RecordID `json:"record,omitzero"`
	Feed     protocol.FeedID   `json:"feed,omitzero"`
	Seq      uint64            `json:"seq,omitempty"`
	Queued   uint64            `json:"queued,omitempty"` // outbox number: written when it can be
	Reason   string            `json:"reason,omitempty"` // why it is queued
	Leg      *Organisation     `json:"leg,omitempty"`
	State    referral.State    `json:"state,omitempty"` // of the leg, after the move
	To       []Organisation    `json:"to"`
	Parts    []PartReaders     `json:"parts,omitempty"` // who reads what beside the own organisation
	Text     string            `json:"text"`            // one sentence
	Notices  []string          `json:"notices,omitempty"`
}

// Organisation is a member as views name it.
type Organisation struct {
	ID     protocol.OrgID `json:"id"`
	Name   string         `json:"name"`
	Class  string         `json:"class,omitempty"`
	Status string         `json:"status,omitempty"` // where it is not active
}

// PartReaders is one part and who can read it.
type PartReaders struct {
	Part    string         `json:"part"`
	Readers []Organisation `json:"readers"`
}

func nameOf(reg Register, id protocol.OrgID) Organisation {
	o, ok := reg.OrgAt(id, reg.Size())
	if !ok {
		return Organisation{ID: id, Name: "unknown organisation " + id.Short()}
	}
	n := Organisation{ID: id, Name: o.Name, Class: o.Class.String()}
	if o.Status != protocol.Active {
		n.Status = o.Status.String()
	}
	return n
}

func namesOf(reg Register, ids []protocol.OrgID) []Organisation {
	out := make([]Organisation, 0, len(ids))
	for _, id := range ids {
		out = append(out, nameOf(reg, id))
	}
	return out
}

// prepared is a referral ready to be sealed.
type prepared struct {
	parts    referral.Parts
	audience []protocol.OrgID
	sets     [referral.SectionCount][]protocol.OrgID
	draft    Draft
}

// prepare completes and checks a draft.
func (b *Book) prepare(reg Register, d referral.Draft, staff string) (prepared, error) {
	const what = "send referral"
	if len(staff) > protocol.MaxKind {
		return prepared{}, fail(Invalid, "%s: not sent: a pseudonym has at most %d characters", what, protocol.MaxKind)
	}
	parts, readers, err := d.Resolve(func(name string) (protocol.OrgID, error) {
		o, err := Member(reg, name)
		return o.ID, err
	})
	if err != nil {
		kind := KindOf(err)
		if kind == Failed { // nothing but the draft was read
			kind = Invalid
		}
		return prepared{}, &Error{Kind: kind, err: err, Text: fmt.Sprintf("%s: not sent, and nothing was kept: %v", what, err)}
	}
	now := b.now()
	given := referral.Given{Sender: referral.Sender{Organisation: b.o.Org, Unit: b.o.Desk.Unit, Role: b.o.Desk.Role, Phone: b.o.Desk.Phone},
		Staff: staff, Language: b.o.Desk.Language, District: b.o.Desk.District, Now: now}
	if _, err := io.ReadFull(b.o.Random, given.Random[:]); err != nil {
		return prepared{}, unsent(what, err)
	}
	parts = parts.Complete(given)
	p := prepared{parts: parts, audience: referral.Audience(parts)}
	event := referral.Event{Author: b.o.Org, Audience: p.audience, Kind: referral.KindSend, Time: now, Staff: staff, Body: &referral.Send{Parts: parts}}
	var faults referral.Faults
	if err := collect(&faults, referral.Check(referral.Referral{}, event), referral.ValidateAddressing(parts, readers, classOf(reg))); err != nil {
		return p, refused(what, err)
	}
	faults = append(faults, unreachable(reg, parts.Summary)...)
	if len(faults) > 0 {
		return p, refused(what, faults)
	}
	p.sets = readers.Sets(p.audience)
	custodians, err := b.Custodians(p.audience, parts.Barred())
	if err != nil {
		return p, refused(what, err)
	}
	p.draft = b.seal(event, p.sets, custodians)
	p.draft.Barred = parts.Barred()
	return p, nil
}

// collect gathers the faults in errs; it returns the first error that is none.
func collect(to *referral.Faults, errs ...error) error {
	for _, err := range errs {
		if f, ok := err.(referral.Faults); ok {
			*to = append(*to, f...)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func classOf(reg Register) func(protocol.OrgID) (protocol.Class, string) {
	return func(id protocol.OrgID) (protocol.Class, string) {
		o, _ := reg.OrgAt(id, reg.Size())
		return o.Class, o.Kind
	}
}

// unreachable names the addressees that nothing can be sealed to.
func unreachable(reg Register, s referral.Summary) (out referral.Faults) {
	look := func(field string, id protocol.OrgID) {
		o, ok := reg.OrgAt(id, reg.Size())
		if why := unfit(o); ok && why != "" {
			out = append(out, referral.Fault{Field: field, Rule: RuleReachable, Message: o.Name + " " + why + ": nothing can be sealed to it; choose another, or call it"})
		}
	}
	for i, to := range s.Recipients {
		look(fmt.Sprintf("summary.recipients[%d]", i), to.Organisation)
	}
	for i, w := range s.Watchers {
		look(fmt.Sprintf("summary.watchers[%d]", i), w)
	}
	return out
}

// seal makes the record's draft: a part that all addressees read goes under
// the whole audience, any other under a set of its own readers.
func (b *Book) seal(e referral.Event, sets [referral.SectionCount][]protocol.OrgID, custodians []protocol.OrgID) Draft {
	d := Draft{Audience: protocol.ListAudience(e.Audience...), Custodians: custodians, Expiry: b.today() + protocol.Day(b.o.KeepDays)}
	for i, body := range referral.EncodeBody(e.Body) {
		c := protocol.Content{Kind: string(e.Kind), Time: int64(e.Time), Staff: e.Staff, Refs: e.Refs, Body: body}
		if i > 0 && !slices.Equal(sets[i], d.Audience.Orgs) {
			n := slices.IndexFunc(d.Parts, func(p []protocol.OrgID) bool { return slices.Equal(p, sets[i]) })
			if n < 0 {
				n = len(d.Parts)
				d.Parts = append(d.Parts, sets[i])
			}
			c.Set = uint64(n + 1)
		}
		d.Contents = append(d.Contents, c)
	}
	return d
}

// today is the day that a record made now carries at least: a slow clock is
// raised to the register's.
func (b *Book) today() protocol.Day {
	reg := b.o.Register()
	day, _ := reg.DayAt(reg.Size())
	return max(day, protocol.DayOf(b.o.Now().Unix()))
}

// Custodians returns who keeps a record as ciphertext: what the option says;
// else the secretariat; else, where the secretariat is barred, all that
// offered custody. Nobody barred, nor the own organisation, is among them. It
// may be nobody where the secretariat is author or in the audience.
func (b *Book) Custodians(audience, barred []protocol.OrgID) ([]protocol.OrgID, error) {
	reg := b.o.Register()
	may := func(o protocol.Org) bool {
		return protocol.MayKeep(o) && o.ID != b.o.Org && !slices.Contains(barred, o.ID)
	}
	var secretariat protocol.OrgID
	var offered []protocol.OrgID
	for _, o := range reg.Orgs() {
		if o.Class == protocol.ClassSecretariat {
			secretariat = o.ID
		} else if may(o) {
			offered = append(offered, o.ID)
		}
	}
	var out []protocol.OrgID
	s, _ := reg.OrgAt(secretariat, reg.Size())
	switch {
	case b.o.Custodians != nil:
		for _, id := range b.o.Custodians(audience, barred) {
			if o, ok := reg.OrgAt(id, reg.Size()); ok && may(o) {
				out = append(out, id)
			}
		}
	case may(s):
		out = append(out, secretariat)
	case secretariat != b.o.Org:
		out = offered
	}
	out = union(out)
	out = out[:min(len(out), protocol.MaxCustodians)]
	if len(out) == 0 && secretariat != b.o.Org && !slices.Contains(audience, secretariat) {
		return nil, fail(Refused, "no organisation may keep this record for those who are away: the secretariat and those that offered are barred or not active. Hand it over in person, or ask another member to offer custody")
	}
	return out, nil
}

// Preview says who would read which part of a referral, after all its checks,
// and sends nothing.
func (b *Book) Preview(d referral.Draft, staff string) (Result, error) {
	reg := b.o.Register()
	p, err := b.prepare(reg, d, staff)
	if err != nil {
		return Result{}, err
	}
	r := p.result(reg)
	r.Text = "Nothing was sent: this is what would be."
	return r, nil
}

func (p prepared) result(reg Register) Result {
	r := Result{Code: p.parts.Summary.Code, To: namesOf(reg, p.audience)}
	for i, name := range referral.PartNames {
		r.Parts = append(r.Parts, PartReaders{name, namesOf(reg, p.sets[i])})
	}
	if p.parts.Summary.Urgency.DangerNow == "yes" {
		r.Notices = append(r.Notices, danger())
	}
	return r
}

func danger() string {
	police, _ := vocab.FactOf("call-emergency")
	child, _ := vocab.FactOf("call-child-helpline")
	return fmt.Sprintf("A child is in danger now: call %s or %s first. A referral replaces no call and no report to police.", police.Value, child.Value)
}

// Send completes, checks, seals and sends a referral. staff is the author's
// pseudonym. Every rule that is broken is in the one error.
func (b *Book) Send(ctx context.Context, d referral.Draft, staff string) (Result, error) {
	reg := b.o.Register()
	p, err := b.prepare(reg, d, staff)
	if err != nil {
		return Result{}, err
	}
	sent, err := b.o.Records.Send(ctx, p.draft)
	if err != nil {
		return Result{}, unsent("send referral", err)
	}
	r := p.result(reg)
	r.sent(sent)
	if sent.Record != nil {
		r.Referral, r.State = r.Record, referral.Sent
	}
	r.Text = fmt.Sprintf("Referral %s is %s.", r.Code, r.standing())
	b.own(ctx, sent)
	return r, nil
}

func (r *Result) sent(s Sent) {
	r.Feed, r.Seq, r.Queued, r.Reason = s.Feed, s.Seq, s.Queued, s.Reason
	if s.Record != nil {
		r.Record = s.Record.ID()
	}
}

func (r *Result) standing() string {
	if r.Record.IsZero() {
		return fmt.Sprintf("kept here and queued as number %d, to go out as soon as it can: %s", r.Queued, r.Reason)
	}
	return "written and on its way"
}

// own indexes what was written just now, so that whoever reads next sees it.
func (b *Book) own(ctx context.Context, s Sent) {
	if s.Record == nil {
		return
	}
	// It is durable: an error here is of showing, not of sending, and Add or
	// the next Load mends it.
	if err := b.take(context.WithoutCancel(ctx), arrived{rec: s.Record}); err != nil {
		b.o.Log.Warn("own record is not shown yet", "feed", s.Feed.Short(), "seq", s.Seq, "err", err)
	}
}
