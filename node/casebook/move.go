package casebook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// Move is what a person does in one leg of a referral.
type Move struct {
	Referral string // code or ID, or the beginning of one
	// Leg is the recipient, by name or ID. A recipient moves its own; a sender
	// may leave it out where only one leg is open to the move.
	Leg   string
	Body  referral.Body // its About is filled in here
	Staff string        // pseudonym
}

// ReadBody reads the JSON body of a move, named by the last word of its kind
// (accept); nothing is an empty body, whose required fields [Book.Move] asks
// for.
func ReadBody(move string, b []byte) (referral.Body, error) {
	body, ok, err := referral.ParseBody(referral.Kind("referral/"+move), b)
	switch {
	case !ok:
		return nil, fail(NotFound, "there is no move called %q; nothing was sent: 'alliance referral --help' lists the moves", clip(move))
	case err != nil:
		return nil, &Error{Kind: Invalid, err: err, Text: fmt.Sprintf("%s referral: not sent, and nothing was kept: %v", move, err)}
	}
	return body, nil
}

// Move makes a move: checks it as every reader will, and sends it to the
// leg's other side alone.
func (b *Book) Move(ctx context.Context, m Move) (Result, error) {
	if m.Body == nil {
		return Result{}, fail(Invalid, "move referral: no move is given")
	}
	word := strings.TrimPrefix(string(m.Body.Kind()), "referral/")
	what := word + " referral"
	if !referral.Head(m.Body, referral.About{}) {
		return Result{}, fail(Invalid, "%s: this is no move of a leg", what)
	}
	reg := b.o.Register()
	x, k, err := b.named(ctx, m.Referral)
	if err != nil {
		return Result{}, err
	}
	unlock := b.hold(k)
	defer unlock()
	f, err := b.whole(ctx, x, k, what)
	if err != nil {
		return Result{}, err
	}
	now := b.now()
	leg, err := b.leg(reg, f, m, now)
	if err != nil {
		return Result{}, err
	}
	other := leg
	if leg == b.o.Org {
		other = f.Sender
	}
	body := m.Body
	referral.Head(body, referral.About{Referral: f.ID, Leg: leg})
	e := referral.Event{Author: b.o.Org, Audience: []protocol.OrgID{other}, Kind: body.Kind(), Time: now, Staff: m.Staff, Refs: f.Refs(leg), Body: body}
	if err := referral.Check(f.Referral, e); err != nil {
		return Result{}, refused(what, err)
	}
	if err := impossible(body, now); err != nil {
		return Result{}, refused(what, err)
	}
	sent, err := b.send(ctx, reg, what, f, e, [referral.SectionCount][]protocol.OrgID{})
	if err != nil {
		return Result{}, err
	}
	r := Result{Referral: f.ID, Code: f.Parts.Summary.Code, To: namesOf(reg, e.Audience)}
	r.sent(sent)
	name := nameOf(reg, leg)
	r.Leg = &name
	b.own(ctx, sent)
	if after, err := b.fold(ctx, x, k); err == nil {
		l, _ := after.Leg(leg)
		r.State = l.State
	}
	r.Text = fmt.Sprintf("%s: %s of referral %s is %s.", nameOf(reg, other).Name, word, r.Code, r.standing())
	return r, nil
}

// named finds a case, its rows up to date.
func (b *Book) named(ctx context.Context, name string) (*index, *kase, error) {
	if err := b.refresh(ctx); err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil {
		return nil, nil, ErrLocked
	}
	k, err := b.x.find(name)
	return b.x, k, err
}

// hold lets one move of a case be made at a time, so that each has seen the
// one before.
func (b *Book) hold(k *kase) (release func()) {
	m := &b.moves[int(k.id[0])%len(b.moves)]
	m.Lock()
	return m.Unlock
}

// whole folds a case that is to be moved: all of it must be readable.
func (b *Book) whole(ctx context.Context, x *index, k *kase, what string) (*folded, error) {
	f, err := b.fold(ctx, x, k)
	if err != nil {
		return nil, err
	}
	if f.missing > 0 {
		return nil, fail(Failed, "%s: not sent, and nothing was kept: %s of this referral cannot be read here now, so that it may stand elsewhere than this node knows. What the disk lost is fetched again from its other holders: try again later, and look at 'alliance status'", what, count(f.missing, "record"))
	}
	if !f.Known {
		return nil, fail(NotFound, "%s: not sent, and nothing was kept: only replies to this referral are here, and not the referral itself, which may still be on its way: try again later", what)
	}
	return f, nil
}

// leg chooses the leg that a move is about.
func (b *Book) leg(reg Register, f *folded, m Move, now referral.Time) (protocol.OrgID, error) {
	if m.Leg != "" {
		o, err := Member(reg, m.Leg)
		if err != nil {
			return protocol.OrgID{}, err
		}
		if _, ok := f.Leg(o.ID); !ok {
			return protocol.OrgID{}, fail(NotFound, "%s is no recipient of this referral; nothing was sent: 'alliance referral show' names them", o.Name)
		}
		return o.ID, nil
	}
	if _, ok := f.Leg(b.o.Org); ok {
		return b.o.Org, nil
	}
	if f.Sender != b.o.Org {
		return protocol.OrgID{}, fail(Refused, "this organisation was told of the referral and not asked to act, so that it has nothing to answer; nothing was sent: to tell its sender something, call its desk")
	}
	if len(f.Legs) == 1 {
		return f.Legs[0].Organisation, nil
	}
	var open, all []protocol.OrgID
	var names []string
	for _, l := range f.Legs {
		all = append(all, l.Organisation)
		if slices.Contains(referral.Moves(f.Referral, l.Organisation, b.o.Org, now), m.Body.Kind()) {
			open = append(open, l.Organisation)
		}
	}
	switch len(open) {
	case 1:
		return open[0], nil
	case 0:
		open = all
	}
	for _, id := range open {
		names = append(names, nameOf(reg, id).Name)
	}
	return protocol.OrgID{}, fail(Ambiguous, "this referral went to several: say with --leg which recipient this is about; nothing was sent: %s", strings.Join(names, ", "))
}

// send seals an event and hands it over.
func (b *Book) send(ctx context.Context, reg Register, what string, f *folded, e referral.Event, sets [referral.SectionCount][]protocol.OrgID) (Sent, error) {
	if len(e.Staff) > protocol.MaxKind {
		return Sent{}, fail(Invalid, "%s: not sent: a pseudonym has at most %d characters", what, protocol.MaxKind)
	}
	for _, id := range e.Audience {
		o, ok := reg.OrgAt(id, reg.Size())
		if why := unfit(o); !ok || why != "" && e.Kind != referral.KindAmend {
			return Sent{}, fail(Refused, "%s: not sent, and nothing was kept: %s %s, so that nothing can be sealed to it. Call its desk", what, nameOf(reg, id).Name, why)
		}
	}
	custodians, err := b.Custodians(e.Audience, f.Parts.Barred())
	if err != nil {
		return Sent{}, refused(what, err)
	}
	d := b.seal(e, sets, custodians)
	d.Barred = f.Parts.Barred()
	sent, err := b.o.Records.Send(ctx, d)
	if err != nil {
		return Sent{}, unsent(what, err)
	}
	return sent, nil
}

// Amendment changes a referral that this organisation sent.
type Amendment struct {
	Referral string // code or ID, or the beginning of one
	// Changes is a JSON merge patch (RFC 7396) of the four parts:
	// {"case": {"safety": {"do_not": ["call-home"]}}}. Lists are replaced
	// whole; null empties a field. Organisations are named by ID.
	Changes []byte
	Reason  string
	Staff   string
}

// Amend sends an amendment to all addressees of the referral: the summary to
// each, every other part to those who read it when it was sent, less those from
// whom it is now withheld and those whose leg is over.
func (b *Book) Amend(ctx context.Context, a Amendment) (Result, error) {
	const what = "amend referral"
	reg := b.o.Register()
	x, k, err := b.named(ctx, a.Referral)
	if err != nil {
		return Result{}, err
	}
	unlock := b.hold(k)
	defer unlock()
	f, err := b.whole(ctx, x, k, what)
	if err != nil {
		return Result{}, err
	}
	if f.Sender != b.o.Org {
		return Result{}, fail(Refused, "%s: not sent: only its sender amends a referral; send it a message instead", what)
	}
	if f.Parts.Case == nil || f.Parts.Identity == nil || f.Parts.Evidence == nil {
		return Result{}, fail(Failed, "%s: not sent, and nothing was kept: a part of it cannot be read here, and an amendment would empty that part; send a message instead", what)
	}
	parts, err := patch(f.Parts, a.Changes)
	if err != nil {
		return Result{}, &Error{Kind: Invalid, err: err, Text: fmt.Sprintf("%s: not sent, and nothing was kept: %v", what, err)}
	}
	body, err := f.Amended(parts, a.Reason)
	if err != nil {
		return Result{}, refused(what, err)
	}
	now := b.now()
	e := referral.Event{Author: b.o.Org, Audience: f.Audience, Kind: referral.KindAmend, Time: now, Staff: a.Staff, Refs: f.Refs(protocol.OrgID{}), Body: body}
	readers, err := b.readersOf(x, f)
	if err != nil {
		return Result{}, fmt.Errorf("%s: not sent: %w", what, err)
	}
	readers = narrow(readers, body.Parts, f.Referral)
	var faults referral.Faults
	if err := collect(&faults, referral.Check(f.Referral, e), referral.ValidateAddressing(body.Parts, readers, classOf(reg))); err != nil {
		return Result{}, refused(what, err)
	}
	if len(faults) > 0 {
		return Result{}, refused(what, faults)
	}
	after := *f
	after.Parts = body.Parts // a body that the amendment bars keeps it no more
	p := prepared{parts: body.Parts, audience: f.Audience, sets: readers.Sets(f.Audience)}
	sent, err := b.send(ctx, reg, what, &after, e, p.sets)
	if err != nil {
		return Result{}, err
	}
	r := p.result(reg)
	r.Referral = f.ID
	r.sent(sent)
	r.Text = fmt.Sprintf("Amendment of referral %s is %s.", r.Code, r.standing())
	b.own(ctx, sent)
	return r, nil
}

// readersOf returns who reads each part, from the key record of the send.
func (b *Book) readersOf(x *index, f *folded) (referral.Readers, error) {
	sets, err := b.sectionReaders(x, f.at[f.ID])
	if err != nil {
		return referral.Readers{}, err
	}
	if len(sets) != referral.SectionCount {
		return referral.Readers{}, errors.New("the referral does not have four parts")
	}
	others := func(i int) []protocol.OrgID {
		return slices.DeleteFunc(slices.Clone(sets[i]), func(o protocol.OrgID) bool { return o == b.o.Org })
	}
	var recipients []protocol.OrgID
	for _, to := range f.Parts.Summary.Recipients {
		recipients = append(recipients, to.Organisation)
	}
	return referral.Readers{Case: union(recipients), Identity: others(referral.SectionIdentity), Evidence: others(referral.SectionEvidence)}, nil
}

// narrow takes from each part those it is withheld from now, and those whose
// leg is over: who declined learns that something changed, and no more.
func narrow(r referral.Readers, p referral.Parts, f referral.Referral) referral.Readers {
	over := func(o protocol.OrgID) bool {
		l, ok := f.Leg(o)
		return ok && l.State.Over()
	}
	without := func(part string, list []protocol.OrgID) []protocol.OrgID {
		return slices.DeleteFunc(list, func(o protocol.OrgID) bool {
			return over(o) || slices.ContainsFunc(p.Case.Legal.Withheld, func(w referral.Withheld) bool { return w.Part == part && w.Organisation == o })
		})
	}
	r.Case, r.Identity, r.Evidence = without("case", r.Case), without("identity", r.Identity), without("evidence", r.Evidence)
	return r
}

// patch returns the parts with a JSON merge patch applied.
func patch(p referral.Parts, changes []byte) (referral.Parts, error) {
	if len(changes) > referral.MaxDraft {
		return p, fmt.Errorf("the changes have %d bytes, at most %d are allowed", len(changes), referral.MaxDraft)
	}
	p.Summary.Amends = nil
	whole, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	var target, change map[string]any
	if err := json.Unmarshal(whole, &target); err != nil {
		return p, err
	}
	dec := json.NewDecoder(bytes.NewReader(changes))
	dec.UseNumber()
	if err := dec.Decode(&change); err != nil {
		return p, errors.New("the changes are not a JSON object")
	}
	if _, err := dec.Token(); err != io.EOF {
		return p, errors.New("the changes are not one JSON object")
	}
	merged, err := json.Marshal(merge(target, change))
	if err != nil {
		return p, err
	}
	// The parts of a draft have the same names, and are read as strictly.
	d := struct {
		Summary  referral.Summary  `json:"summary"`
		Case     referral.Case     `json:"case"`
		Identity referral.Identity `json:"identity"`
		Evidence referral.Evidence `json:"evidence"`
	}{}
	strict := json.NewDecoder(bytes.NewReader(merged))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&d); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			return p, fmt.Errorf("field %q holds another kind of value than it should", t.Field)
		}
		return p, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return referral.Parts{Summary: d.Summary, Case: &d.Case, Identity: &d.Identity, Evidence: &d.Evidence}, nil
}

// merge is the MergePatch of RFC 7396, section 2.
func merge(target, change map[string]any) map[string]any {
	if target == nil {
		target = map[string]any{}
	}
	for k, v := range change {
		switch v := v.(type) {
		case nil:
			delete(target, k)
		case map[string]any:
			inner, _ := target[k].(map[string]any)
			target[k] = merge(inner, v)
		default:
			target[k] = v
		}
	}
	return target
}
