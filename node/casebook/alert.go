package casebook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

// AlertFilter chooses alerts. Zero fields choose nothing out.
type AlertFilter struct {
	Standing alert.Standing `json:"standing,omitempty"` // in-force, upcoming, expired, withdrawn
	Category alert.Category `json:"category,omitempty"`
	Issuer   string         `json:"issuer,omitempty"`   // name or ID
	Waiting  bool           `json:"waiting,omitempty"`  // not answered: by this organisation, or, of its own, by someone
	Language string         `json:"language,omitempty"` // of headlines, "hi"; the first one else
	Limit    int            `json:"limit,omitempty"`    // 1 to MaxList; MaxList where 0
	After    string         `json:"after,omitempty"`    // the Next of the list before
}

// AlertList is one page of alerts, the newest change first.
type AlertList struct {
	Items   []AlertItem `json:"items"`
	Total   int         `json:"total"`
	Next    string      `json:"next,omitempty"`
	Stray   int         `json:"stray,omitempty"` // records that belong to no alert here
	Loading bool        `json:"loading,omitempty"`
}

// AlertItem is an alert in a list.
type AlertItem struct {
	ID         protocol.RecordID `json:"id"`
	Identifier string            `json:"identifier"` // CAP's
	Issuer     Organisation      `json:"issuer"`
	Standing   alert.Standing    `json:"standing"`
	Banner     string            `json:"banner,omitempty"` // EXERCISE, TEST: not to be taken for real
	Category   alert.Category    `json:"category"`
	Label      string            `json:"label"` // of the category
	TLP        alert.TLP         `json:"tlp"`
	Headline   string            `json:"headline"`
	Severity   alert.Severity    `json:"severity,omitempty"`
	Urgency    alert.Urgency     `json:"urgency,omitempty"`
	Issued     referral.Time     `json:"issued"`
	Updated    referral.Time     `json:"updated"`
	Expires    referral.Time     `json:"expires,omitempty"`
	Breaks     alert.Rule        `json:"breaks,omitempty"` // a rule that it breaks: take it with care
	Answered   int               `json:"answered"`         // organisations, as far as this node knows
	Waiting    int               `json:"waiting"`          // for the issuer: organisations that have not answered
	Mine       *AnswerView       `json:"mine,omitempty"`
	MayAnswer  bool              `json:"may_answer,omitempty"`
}

// AnswerView is an organisation's acknowledgement.
type AnswerView struct {
	Organisation Organisation   `json:"organisation"`
	What         []alert.Action `json:"what"`
	Reason       string         `json:"reason,omitempty"`
	Time         referral.Time  `json:"time"`
	Staff        string         `json:"staff,omitempty"`
	Current      bool           `json:"current"` // about the version that stands
}

// AlertView is an alert as this organisation may see it now.
type AlertView struct {
	AlertItem
	Alert    *alert.Alert         `json:"alert"` // the version that stands, whole
	Staff    string               `json:"staff,omitempty"`
	Versions []AlertVersion       `json:"versions"`
	Rivals   []protocol.RecordID  `json:"rivals,omitempty"` // other versions that nothing replaced
	Withdraw *AlertVersion        `json:"withdrawn,omitempty"`
	Answers  []AnswerView         `json:"answers,omitempty"` // all for the issuer, else the own
	Counts   map[alert.Action]int `json:"counts"`
	Silent   []Organisation       `json:"silent,omitempty"`   // for the issuer: who has not answered
	Audience []Addressee          `json:"audience,omitempty"` // for the issuer
	Findings []alert.Finding      `json:"findings,omitempty"` // rules that it breaks: take it with care
	Records  []protocol.RecordID  `json:"records"`            // that it was issued in
	Rejected []RejectionView      `json:"rejected,omitempty"`
}

// AlertVersion is an issue, update or withdrawal.
type AlertVersion struct {
	Record     protocol.RecordID `json:"record"`
	Identifier string            `json:"identifier"`
	Move       string            `json:"move"`
	Time       referral.Time     `json:"time"`
	Staff      string            `json:"staff,omitempty"`
	Note       string            `json:"note,omitempty"`
}

// Alerts returns the alerts that a filter chooses.
func (b *Book) Alerts(f AlertFilter) (AlertList, error) {
	reg := b.o.Register()
	var issuer protocol.OrgID
	if f.Issuer != "" {
		o, err := Member(reg, f.Issuer)
		if err != nil {
			return AlertList{}, err
		}
		issuer = o.ID
	}
	if f.Limit <= 0 || f.Limit > MaxList {
		f.Limit = MaxList
	}
	now := b.o.Now().Unix()
	b.mu.Lock()
	x := b.x
	if x == nil {
		b.mu.Unlock()
		return AlertList{}, ErrLocked
	}
	d := x.alerts.all()
	out := AlertList{Items: []AlertItem{}, Stray: d.stray, Loading: x.loading}
	b.mu.Unlock()

	groups := slices.Clone(d.groups)
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.updated(), a.updated()), a.id.Compare(b.id))
	})
	past := f.After == ""
	for _, g := range groups {
		t := g.first()
		if !issuer.IsZero() && t.Issuer != issuer || f.Category != "" && t.Alert().Category() != f.Category || f.Standing != "" && g.standing(now) != f.Standing {
			continue
		}
		it := b.alertItem(reg, x, g, now, f.Language)
		if f.Waiting && it.Waiting == 0 && (!it.MayAnswer || it.Mine != nil && it.Mine.Current) {
			continue
		}
		out.Total++
		switch {
		case !past:
			past = g.id.String() == f.After
		case len(out.Items) < f.Limit:
			out.Items = append(out.Items, it)
		case out.Next == "":
			out.Next = out.Items[f.Limit-1].ID.String()
		}
	}
	return out, nil
}

func (b *Book) alertItem(reg Register, x *index, g *group, now int64, language string) AlertItem {
	t := g.first()
	a := t.Alert()
	_, until := a.Window()
	row, _ := a.Category().Lookup()
	it := AlertItem{ID: g.id, Identifier: a.Identifier, Issuer: nameOf(reg, t.Issuer), Standing: g.standing(now), Banner: a.Banner(),
		Category: a.Category(), Label: row.Label, TLP: a.TLP(), Issued: referral.Time(t.Versions[0].Time), Updated: referral.Time(g.updated()),
		Expires: referral.Time(until), MayAnswer: t.Issuer != b.o.Org}
	b.mu.Lock()
	if e := x.alerts.at[t.Current.ID].entry; e != nil {
		it.Breaks = e.breaks
	}
	b.mu.Unlock()
	if n := info(a, language); n >= 0 {
		it.Headline, it.Severity, it.Urgency = a.Infos[n].Headline, a.Infos[n].Severity, a.Infos[n].Urgency
	}
	for _, h := range g.threads {
		it.Answered += len(h.Answers)
		for _, r := range h.Seen(b.o.Org).Answers {
			if r.Org == b.o.Org {
				v := answer(reg, r)
				it.Mine = &v
			}
		}
		if h.Issuer == b.o.Org {
			it.Waiting += len(h.Waiting(b.audienceOf(x, h.Root)))
		}
	}
	return it
}

// info chooses the info in a language, or the first.
func info(a *alert.Alert, language string) int {
	if len(a.Infos) == 0 {
		return -1
	}
	if language != "" {
		for n := range a.Infos {
			if tag, _, _ := strings.Cut(strings.ToLower(a.Infos[n].Lang()), "-"); tag == strings.ToLower(language) {
				return n
			}
		}
	}
	return 0
}

func answer(reg Register, r alert.Answer) AnswerView {
	return AnswerView{Organisation: nameOf(reg, r.Org), What: r.Event.Body.Ack.What, Reason: r.Event.Body.Ack.Reason,
		Time: referral.Time(r.Event.Time), Staff: r.Event.Staff, Current: r.Current}
}

// audienceOf returns whom a record went to.
func (b *Book) audienceOf(x *index, id protocol.RecordID) []protocol.OrgID {
	rec, err := b.alertRecord(x, id)
	if err != nil {
		b.o.Log.Warn("record of an alert cannot be read now", "record", id.Short(), "err", err)
		return nil
	}
	return rec.Core().Audience.Orgs
}

func (b *Book) alertRecord(x *index, id protocol.RecordID) (*protocol.Record, error) {
	feed, p, ok := b.alertPlace(x, id)
	if !ok {
		return nil, errors.New("it is not here")
	}
	return b.o.Records.Record(feed, p.seq)
}

func (b *Book) alertPlace(x *index, id protocol.RecordID) (protocol.FeedID, place, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := x.alerts.at[id].entry
	if e == nil {
		return protocol.FeedID{}, place{}, false
	}
	return x.feed[e.feed].id, e.place, true
}

// wholeAlert opens a record of an alert again.
func (b *Book) wholeAlert(ctx context.Context, x *index, id protocol.RecordID) (alert.Event, *protocol.Record, error) {
	rec, err := b.alertRecord(x, id)
	if err != nil {
		return alert.Event{}, nil, err
	}
	rd, err := b.read(ctx, x, rec)
	if err != nil {
		return alert.Event{}, nil, err
	}
	if rd == nil || rd.sections == nil {
		return alert.Event{}, nil, errors.New("it does not open any more")
	}
	e := rd.alert(rec)
	if e.Body.Alert == nil {
		return e, nil, errors.New("it holds no alert")
	}
	return e, rec, nil
}

// findAlert finds an alert by the ID of one of its records, the beginning of
// one, or CAP's identifier.
func (b *Book) findAlert(name string) (*index, *group, error) {
	name = strings.TrimSpace(name)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil {
		return nil, nil, ErrLocked
	}
	d := b.x.alerts.all()
	var found []*group
	for _, g := range d.groups {
		hit := g.first().Alert().Identifier == name || g.threads[0].Versions[0].Body.Alert.Identifier == name
		for _, t := range g.threads {
			hit = hit || len(name) >= minPrefix && hexPrefix(t.Root, strings.ToLower(name))
		}
		if hit {
			found = append(found, g)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil, fail(NotFound, "no alert with this ID or identifier is here; give at least %d characters of an ID", minPrefix)
	case 1:
		return b.x, found[0], nil
	}
	var ids []string
	for _, g := range found[:min(len(found), 5)] {
		ids = append(ids, g.id.Short())
	}
	return nil, nil, fail(Ambiguous, "this names %d alerts: %s; give more of the ID", len(found), strings.Join(ids, ", "))
}

// ShowAlert returns the alert that a person named by its ID, the beginning of
// it, or CAP's identifier. language chooses the headline; the alert itself
// holds all its languages.
func (b *Book) ShowAlert(ctx context.Context, name, language string) (AlertView, error) {
	reg := b.o.Register()
	x, g, err := b.findAlert(name)
	if err != nil {
		return AlertView{}, err
	}
	t := g.first()
	now := b.o.Now().Unix()
	v := AlertView{AlertItem: b.alertItem(reg, x, g, now, language), Counts: map[alert.Action]int{}, Staff: t.Current.Staff}
	whole, rec, err := b.wholeAlert(ctx, x, t.Current.ID)
	if err != nil {
		return AlertView{}, fmt.Errorf("show alert: its record cannot be read now; it is kept, and asked for again: %w", err)
	}
	v.Alert, v.Findings = whole.Body.Alert, findings(reg, rec, whole)
	for _, e := range t.Versions {
		v.Versions = append(v.Versions, alertVersion(e))
	}
	for _, e := range t.Rivals {
		v.Rivals = append(v.Rivals, e.ID)
	}
	if t.Withdrawn != nil {
		w := alertVersion(*t.Withdrawn)
		v.Withdraw = &w
	}
	for _, h := range g.threads {
		v.Records = append(v.Records, h.Root)
		seen := h.Seen(b.o.Org)
		for _, r := range seen.Answers {
			v.Answers = append(v.Answers, answer(reg, r))
		}
		for what, n := range seen.Counts {
			v.Counts[what] += n
		}
		for _, r := range h.Rejected {
			v.Rejected = append(v.Rejected, RejectionView{r.Event.ID, nameOf(reg, r.Event.Author), strings.TrimPrefix(r.Event.Kind, "alert/"), r.Reason})
		}
		if h.Issuer != b.o.Org {
			continue
		}
		audience := b.audienceOf(x, h.Root)
		v.Silent = append(v.Silent, namesOf(reg, h.Waiting(audience))...)
		last := h.Current.ID
		if h.Withdrawn != nil {
			last = h.Withdrawn.ID
		}
		_, at, _ := b.alertPlace(x, last)
		for _, id := range audience {
			v.Audience = append(v.Audience, Addressee{nameOf(reg, id), b.delivery(x, at, id)})
		}
	}
	return v, nil
}

func alertVersion(e alert.Event) AlertVersion {
	return AlertVersion{Record: e.ID, Identifier: e.Body.Alert.Identifier, Move: strings.TrimPrefix(e.Kind, "alert/"),
		Time: referral.Time(e.Time), Staff: e.Staff, Note: e.Body.Alert.Note}
}
