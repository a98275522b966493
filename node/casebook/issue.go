package casebook

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
)

// Issue is an alert to be sent.
type Issue struct {
	Alert *alert.Alert
	// To names members by name or ID; all active members where it is empty.
	To []string
	// About names members that the alert is about: they neither get nor keep
	// it.
	About []string
	Staff string // pseudonym
}

// AlertResult says what became of an alert, an update, a withdrawal or an
// acknowledgement.
type AlertResult struct {
	ID         protocol.RecordID `json:"id,omitzero"` // of the alert; zero while all of it is queued
	Identifier string            `json:"identifier"`
	Records    []SentAlert       `json:"records"`
	LeftOut    []LeftOut         `json:"left_out,omitempty"`
	Warnings   []alert.Finding   `json:"warnings,omitempty"`
	Text       string            `json:"text"`
}

// SentAlert is one record of it.
type SentAlert struct {
	Record protocol.RecordID `json:"record,omitzero"`
	Feed   protocol.FeedID   `json:"feed"`
	Seq    uint64            `json:"seq,omitempty"`
	Queued uint64            `json:"queued,omitempty"`
	Reason string            `json:"reason,omitempty"`
	To     []Organisation    `json:"to"`
}

// LeftOut is a member that an alert to all does not go to, and why.
type LeftOut struct {
	Organisation Organisation `json:"organisation"`
	Why          string       `json:"why"`
}

// after is how long custodians keep an alert past its end.
const after = 30

// Issue checks and sends an alert. Where it was sent to some members before,
// as when the disk was full in between, it goes to the others.
func (b *Book) Issue(ctx context.Context, in Issue) (AlertResult, error) {
	const what = "issue alert"
	if in.Alert == nil {
		return AlertResult{}, fail(Invalid, "%s: no alert is given", what)
	}
	reg := b.o.Register()
	b.issue.Lock()
	defer b.issue.Unlock()
	about, err := orgs(reg, in.About)
	if err != nil {
		return AlertResult{}, err
	}
	chunks, leftOut, err := b.chunks(reg, in.To, about)
	if err != nil {
		return AlertResult{}, err
	}
	r := AlertResult{Identifier: in.Alert.Identifier, LeftOut: leftOut}
	if r.Warnings, err = b.checkIssue(reg, what, in.Alert, slices.Concat(chunks...)); err != nil {
		return AlertResult{}, err
	}
	had, err := b.sentBefore(in.Alert)
	if err != nil {
		return AlertResult{}, err
	}
	for i := range chunks {
		chunks[i] = slices.DeleteFunc(chunks[i], func(o protocol.OrgID) bool { return slices.Contains(had, o) })
	}
	chunks = slices.DeleteFunc(chunks, func(c []protocol.OrgID) bool { return len(c) == 0 })
	if len(chunks) == 0 {
		if len(had) > 0 {
			return AlertResult{}, fail(Refused, "%s: not sent again: this alert was issued before, to all of these; to change it, issue an update", what)
		}
		return AlertResult{}, fail(Refused, "%s: not sent: there is no active member to send it to but this one and those that it is about", what)
	}
	body, err := alert.EncodeBody(alert.KindIssue, alert.Body{Alert: in.Alert})
	if err != nil {
		return AlertResult{}, broken(what, err)
	}
	for _, to := range chunks {
		if err := b.sendAlert(ctx, reg, what, &r, to, about, b.alertExpiry(in.Alert), b.content(alert.KindIssue, in.Staff, nil, body)); err != nil {
			return r, err
		}
	}
	r.finish(b, "Alert "+in.Alert.Identifier)
	return r, nil
}

func (r *AlertResult) finish(b *Book, what string) {
	queued, to := 0, 0
	b.mu.Lock()
	for _, s := range r.Records {
		to += len(s.To)
		if s.Queued != 0 {
			queued++
		} else if b.x != nil && r.ID.IsZero() {
			r.ID = b.x.alerts.id(s.Record)
		}
	}
	b.mu.Unlock()
	r.Text = fmt.Sprintf("%s is written and on its way to %s.", what, count(to, "organisation"))
	if queued > 0 {
		r.Text = fmt.Sprintf("%s is kept here for %s, and queued in %s, to go out as soon as they can: %s.", what, count(to, "organisation"), count(queued, "record"), r.Records[len(r.Records)-1].Reason)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func orgs(reg Register, names []string) (out []protocol.OrgID, err error) {
	for _, n := range names {
		o, err := Member(reg, n)
		if err != nil {
			return nil, err
		}
		out = append(out, o.ID)
	}
	return union(out), nil
}

// chunks divides those that an alert goes to into audiences. Each member's
// chunk follows from its place in the register alone, so that the feeds stay
// the same as members come and go.
func (b *Book) chunks(reg Register, to []string, about []protocol.OrgID) (out [][]protocol.OrgID, leftOut []LeftOut, err error) {
	const what = "issue alert"
	named, err := orgs(reg, to)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range named {
		o, _ := reg.OrgAt(id, reg.Size())
		switch why := unfit(o); {
		case id == b.o.Org:
			return nil, nil, fail(Invalid, "%s: not sent: an alert is not addressed to its own issuer", what)
		case slices.Contains(about, id):
			return nil, nil, fail(Invalid, "%s: not sent: the alert is about %s, so it does not go there", what, o.Name)
		case why != "":
			return nil, nil, fail(Refused, "%s: not sent, and nothing was kept: %s %s, so that nothing can be sealed to it. Leave it out, or call it", what, o.Name, why)
		}
	}
	if len(to) > 0 && len(named) <= protocol.MaxAudience {
		return [][]protocol.OrgID{named}, nil, nil
	}
	for i, o := range reg.Orgs() {
		if i%protocol.MaxAudience == 0 {
			out = append(out, nil)
		}
		last := &out[len(out)-1]
		switch why := unfit(o); {
		case o.ID == b.o.Org, o.Status == protocol.Revoked, len(to) > 0 && !slices.Contains(named, o.ID):
		case slices.Contains(about, o.ID):
			leftOut = append(leftOut, LeftOut{nameOf(reg, o.ID), "the alert is about it"})
		case why != "":
			leftOut = append(leftOut, LeftOut{nameOf(reg, o.ID), o.Name + " " + why})
		default:
			*last = append(*last, o.ID)
		}
	}
	return out, leftOut, nil
}

// checkIssue holds the rules of an issue or update.
func (b *Book) checkIssue(reg Register, what string, a *alert.Alert, audience []protocol.OrgID) ([]alert.Finding, error) {
	own, _ := reg.OrgAt(b.o.Org, reg.Size())
	var classes []protocol.Class
	for _, id := range audience {
		o, _ := reg.OrgAt(id, reg.Size())
		classes = append(classes, o.Class)
	}
	warnings, err := a.CheckIssue(own.Class, own.Kind, classes, b.o.Now().Unix())
	if err != nil {
		return nil, broken(what, err)
	}
	if _, until := a.Window(); until != 0 && until <= b.o.Now().Unix() {
		return nil, fail(Invalid, "%s: not sent: it has expired; give it a later time in its expires, and a new identifier", what)
	}
	return warnings, nil
}

// broken makes an Error of findings.
func broken(what string, err error) error {
	findings := alert.Findings(err)
	if !slices.ContainsFunc(findings, func(f alert.Finding) bool { return f.Rule != alert.RuleIssuer && f.Rule != alert.RuleAudience }) {
		return &Error{Kind: Refused, Findings: findings, err: err,
			Text: fmt.Sprintf("%s: not sent, and nothing was kept: %s", what, strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	return &Error{Kind: Invalid, Findings: findings, err: err,
		Text: fmt.Sprintf("%s: not sent, and nothing was kept: %s. Put this right and send it again", what, strings.ReplaceAll(err.Error(), "\n", "; "))}
}

// sentBefore lists whom this organisation sent this very alert to.
func (b *Book) sentBefore(a *alert.Alert) (had []protocol.OrgID, err error) {
	b.mu.Lock()
	x := b.x
	if x == nil {
		b.mu.Unlock()
		return nil, ErrLocked
	}
	var roots []protocol.RecordID
	for _, g := range x.alerts.all().groups {
		if t := g.threads[0]; t.Issuer == b.o.Org && t.Versions[0].Body.Alert.Ref() == a.Ref() {
			for _, t := range g.threads {
				roots = append(roots, t.Root)
			}
		}
	}
	b.mu.Unlock()
	for _, id := range roots {
		rec, err := b.alertRecord(x, id)
		if err != nil {
			return nil, fmt.Errorf("issue alert: not sent: whom it went to before cannot be read now: %w", err)
		}
		had = append(had, rec.Core().Audience.Orgs...)
	}
	return had, nil
}

func (b *Book) alertExpiry(a *alert.Alert) protocol.Day {
	_, until := a.Window()
	return min(max(protocol.DayOf(until), b.today())+after, b.today()+maxKeepDays)
}

func (b *Book) content(kind, staff string, refs []protocol.RecordID, body []byte) protocol.Content {
	return protocol.Content{Kind: kind, Time: b.o.Now().Unix(), Staff: staff, Refs: refs, Body: body}
}

// sendAlert sends one record and notes it in the result.
func (b *Book) sendAlert(ctx context.Context, reg Register, what string, r *AlertResult, to, barred []protocol.OrgID, expiry protocol.Day, c protocol.Content) error {
	if len(c.Staff) > protocol.MaxKind {
		return fail(Invalid, "%s: not sent: a pseudonym has at most %d characters", what, protocol.MaxKind)
	}
	custodians, err := b.Custodians(to, barred)
	if err != nil {
		return refused(what, err)
	}
	sent, err := b.o.Records.Send(ctx, Draft{Audience: protocol.ListAudience(to...), Contents: []protocol.Content{c}, Custodians: custodians, Barred: barred, Expiry: expiry})
	if err != nil && len(r.Records) > 0 {
		return fmt.Errorf("%s: sent in %s, and not to the others; do it again, and it goes to them alone: %w", what, count(len(r.Records), "record"), err)
	}
	if err != nil {
		return unsent(what, err)
	}
	s := SentAlert{Feed: sent.Feed, Seq: sent.Seq, Queued: sent.Queued, Reason: sent.Reason, To: namesOf(reg, to)}
	if sent.Record != nil {
		s.Record = sent.Record.ID()
	}
	r.Records = append(r.Records, s)
	b.own(ctx, sent)
	return nil
}

// ownAlert finds an alert that this organisation issued.
func (b *Book) ownAlert(what, name string) (*index, *group, error) {
	x, g, err := b.findAlert(name)
	if err != nil {
		return nil, nil, err
	}
	if g.threads[0].Issuer != b.o.Org {
		return nil, nil, fail(Refused, "%s: not sent: only its issuer changes or withdraws an alert", what)
	}
	return x, g, nil
}

// heads are the records of a thread that a new one builds on.
func heads(t *alert.Thread) []protocol.RecordID {
	refs := []protocol.RecordID{t.Current.ID}
	for _, e := range t.Rivals {
		refs = append(refs, e.ID)
	}
	return refs[:min(len(refs), protocol.MaxRefs)]
}

// Update replaces the alert named with another, sent to all that it went to.
// Its msgType is Update and its identifier its own; where it has no references
// they are filled in.
func (b *Book) Update(ctx context.Context, name string, a *alert.Alert, staff string) (AlertResult, error) {
	const what = "update alert"
	if a == nil {
		return AlertResult{}, fail(Invalid, "%s: no alert is given", what)
	}
	b.issue.Lock()
	defer b.issue.Unlock()
	x, g, err := b.ownAlert(what, name)
	if err != nil {
		return AlertResult{}, err
	}
	current := g.first()
	c := *a
	if len(c.References) == 0 {
		c.References = []alert.Reference{current.Alert().Ref()}
	}
	for _, t := range g.threads {
		if t.Withdrawn != nil {
			return AlertResult{}, fail(Refused, "%s: not sent: the alert is withdrawn; issue a new one", what)
		}
	}
	if slices.ContainsFunc(current.Versions, func(e alert.Event) bool {
		return e.Kind == alert.KindIssue && e.Body.Alert.Identifier == c.Identifier && e.Body.Alert.Sender == c.Sender
	}) {
		return AlertResult{}, fail(Invalid, "%s: not sent: an update needs an identifier of its own: give the document a new one, and send it again", what)
	}
	return b.follow(ctx, what, x, g, alert.KindUpdate, &c, staff)
}

// CancelAlert withdraws the alert named, for a reason that all may read.
func (b *Book) CancelAlert(ctx context.Context, name, reason, staff string) (AlertResult, error) {
	const what = "cancel alert"
	b.issue.Lock()
	defer b.issue.Unlock()
	x, g, err := b.ownAlert(what, name)
	if err != nil {
		return AlertResult{}, err
	}
	if g.standing(0) == alert.Withdrawn {
		return AlertResult{}, fail(Refused, "%s: not sent: the alert is withdrawn already", what)
	}
	current, _, err := b.wholeAlert(ctx, x, g.first().Current.ID)
	if err != nil {
		return AlertResult{}, fmt.Errorf("%s: not sent: the alert cannot be read now: %w", what, err)
	}
	var random [4]byte
	if _, err := io.ReadFull(b.o.Random, random[:]); err != nil {
		return AlertResult{}, fmt.Errorf("%s: not sent: %w", what, err)
	}
	sent, err := alert.DateTimeOf(b.o.Now().Unix(), 330)
	if err != nil {
		return AlertResult{}, fmt.Errorf("%s: not sent: %w", what, err)
	}
	c := current.Body.Alert.Withdrawal(current.Body.Alert.Identifier+"-cancel-"+hex.EncodeToString(random[:]), sent, reason)
	return b.follow(ctx, what, x, g, alert.KindCancel, c, staff)
}

// follow sends an update or withdrawal in every thread of an alert, to those
// whom the thread went to; threads that have it already are passed over.
func (b *Book) follow(ctx context.Context, what string, x *index, g *group, kind string, a *alert.Alert, staff string) (AlertResult, error) {
	reg := b.o.Register()
	r := AlertResult{ID: g.id, Identifier: a.Identifier}
	audiences := make([][]protocol.OrgID, len(g.threads))
	for i, t := range g.threads {
		rec, err := b.alertRecord(x, t.Root)
		if err != nil {
			return AlertResult{}, fmt.Errorf("%s: not sent: whom it went to cannot be read now: %w", what, err)
		}
		audiences[i] = rec.Core().Audience.Orgs
	}
	var err error
	if kind == alert.KindUpdate {
		r.Warnings, err = b.checkIssue(reg, what, a, slices.Concat(audiences...))
	} else {
		r.Warnings, err = a.Profile()
	}
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return AlertResult{}, err
		}
		return AlertResult{}, broken(what, err)
	}
	body, err := alert.EncodeBody(kind, alert.Body{Alert: a})
	if err != nil {
		return AlertResult{}, broken(what, err)
	}
	for i, t := range g.threads {
		if t.Withdrawn != nil || t.Alert().Ref() == a.Ref() {
			continue
		}
		if err := b.sendAlert(ctx, reg, what, &r, audiences[i], nil, b.alertExpiry(a), b.content(kind, staff, heads(t), body)); err != nil {
			return r, err
		}
	}
	if len(r.Records) == 0 {
		return AlertResult{}, fail(Refused, "%s: not sent again: it went to all of them before", what)
	}
	r.finish(b, map[string]string{alert.KindUpdate: "Update ", alert.KindCancel: "Withdrawal "}[kind]+a.Identifier)
	return r, nil
}

// outside lists those that neither got an alert nor keep it: it may be about
// one of them, so an answer names none of them as custodian.
func (b *Book) outside(x *index, t *alert.Thread) (out []protocol.OrgID, err error) {
	rec, err := b.alertRecord(x, t.Root)
	if err != nil {
		return nil, err
	}
	_, keepers, err := b.readers(rec.Feed(), rec.Core().Seq)
	if err != nil {
		return nil, err
	}
	inside := append(slices.Concat(keepers, rec.Core().Audience.Orgs), rec.Core().Author)
	for _, o := range b.o.Register().Orgs() {
		if protocol.MayKeep(o) && !slices.Contains(inside, o.ID) {
			out = append(out, o.ID)
		}
	}
	return out, nil
}

// Acknowledge answers the alert named: what was done (see [alert.Actions]),
// and why not. It goes to the issuer alone.
func (b *Book) Acknowledge(ctx context.Context, name string, did []string, reason, staff string) (AlertResult, error) {
	const what = "acknowledge alert"
	ack, err := alert.ParseAck(did, reason)
	if err != nil {
		return AlertResult{}, &Error{Kind: Invalid, err: err, Text: err.Error() + "; nothing was sent"}
	}
	b.issue.Lock()
	defer b.issue.Unlock()
	x, g, err := b.findAlert(name)
	if err != nil {
		return AlertResult{}, err
	}
	issuer := g.threads[0].Issuer
	if issuer == b.o.Org {
		return AlertResult{}, fail(Refused, "%s: not sent: an issuer does not acknowledge its own alert", what)
	}
	reg := b.o.Register()
	if o, ok := reg.OrgAt(issuer, reg.Size()); !ok || unfit(o) != "" {
		return AlertResult{}, fail(Refused, "%s: not sent, and nothing was kept: %s %s, so that nothing can be sealed to it. Call its desk", what, nameOf(reg, issuer).Name, unfit(o))
	}
	body, err := alert.EncodeBody(alert.KindAck, alert.Body{Ack: ack})
	if err != nil {
		return AlertResult{}, &Error{Kind: Invalid, err: err, Text: err.Error() + "; nothing was sent"}
	}
	r := AlertResult{ID: g.id, Identifier: g.first().Alert().Identifier}
	for _, t := range g.threads {
		refs := heads(t)
		if t.Withdrawn != nil {
			refs = append(refs, t.Withdrawn.ID)
		}
		for _, a := range t.Answers {
			if a.Org == b.o.Org {
				refs = append(refs, a.Event.ID)
			}
		}
		refs = refs[max(0, len(refs)-protocol.MaxRefs):]
		barred, err := b.outside(x, t)
		if err != nil {
			return r, fmt.Errorf("%s: not sent: who keeps the alert cannot be read now: %w", what, err)
		}
		if err := b.sendAlert(ctx, reg, what, &r, []protocol.OrgID{issuer}, barred, b.today()+protocol.Day(b.o.KeepDays), b.content(alert.KindAck, staff, refs, body)); err != nil {
			return r, err
		}
	}
	r.finish(b, "Acknowledgement of "+r.Identifier)
	return r, nil
}
