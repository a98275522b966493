package casebook

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// ReferralList is one page of a list, the newest change first.
type ReferralList struct {
	Items   []ReferralItem `json:"items"`
	Total   int            `json:"total"`             // that match the filter
	Next    string         `json:"next,omitempty"`    // Filter.After of the next page
	Waiting int            `json:"waiting,omitempty"` // referrals of which only replies are here
	Loading bool           `json:"loading,omitempty"` // the node was unlocked just now: more is to come
}

// ReferralItem is a referral in a list. It holds codes and no text.
type ReferralItem struct {
	ID        protocol.RecordID `json:"id"`
	Code      referral.Code     `json:"code"`
	CaseCode  referral.Code     `json:"case_code,omitempty"`
	Kind      string            `json:"kind"`
	Direction Direction         `json:"direction"`
	Sender    Organisation      `json:"sender"`
	Sent      referral.Time     `json:"sent"`
	Updated   referral.Time     `json:"updated"`
	Priority  string            `json:"priority"`
	DangerNow string            `json:"danger_now"`
	Services  []string          `json:"services"`
	Concern   []string          `json:"concern"`
	AgeBand   string            `json:"age_band"`
	District  string            `json:"district,omitempty"`
	Legs      []LegItem         `json:"legs"`
	Notice    bool              `json:"notice,omitempty"` // something is to be looked at
}

// LegItem is a leg in a list.
type LegItem struct {
	Organisation Organisation   `json:"organisation"`
	State        referral.State `json:"state"`
	Hidden       bool           `json:"hidden,omitempty"` // another recipient's: as it was sent
	Mine         bool           `json:"mine,omitempty"`   // for this organisation to move
	Overdue      bool           `json:"overdue,omitempty"`
	Due          referral.Time  `json:"due,omitempty"` // the next clock
}

// List returns the referrals that a filter chooses.
func (b *Book) List(ctx context.Context, f Filter) (ReferralList, error) {
	reg := b.o.Register()
	var org protocol.OrgID
	if f.Organisation != "" {
		o, err := Member(reg, f.Organisation)
		if err != nil {
			return ReferralList{}, err
		}
		org = o.ID
	}
	if f.Limit <= 0 || f.Limit > MaxList {
		f.Limit = MaxList
	}
	if err := b.refresh(ctx); err != nil {
		return ReferralList{}, err
	}
	var after *kase
	if f.After != "" {
		var err error
		if after, err = cursor(f.After); err != nil {
			return ReferralList{}, err
		}
	}
	now := b.now()
	b.mu.Lock()
	x := b.x
	if x == nil {
		b.mu.Unlock()
		return ReferralList{}, ErrLocked
	}
	out := ReferralList{Items: []ReferralItem{}, Loading: x.loading}
	found := newest{limit: f.Limit + 1}
	for _, k := range x.cases {
		if !k.row.known {
			out.Waiting++
			continue
		}
		if !x.matches(k, f, org, now) {
			continue
		}
		out.Total++
		if after == nil || newestFirst(k, after) > 0 {
			found.add(k)
		}
	}
	page := found.sorted()
	if len(page) > f.Limit {
		page = page[:f.Limit]
		last := page[f.Limit-1]
		out.Next = fmt.Sprintf("%d-%s", last.row.updated, last.id)
	}
	b.mu.Unlock()

	for _, k := range page {
		c, err := b.fold(ctx, x, k)
		if err != nil {
			return ReferralList{}, err
		}
		if c.Known {
			b.mu.Lock()
			r := k.row
			b.mu.Unlock()
			out.Items = append(out.Items, b.item(reg, x, c, r, now))
		}
	}
	return out, nil
}

// newest chooses the first of many cases without sorting them all.
type newest struct {
	limit int
	list  []*kase
	worst *kase // of the limit that were first when it was last looked at
}

func (n *newest) add(k *kase) {
	if n.worst != nil && newestFirst(k, n.worst) > 0 {
		return
	}
	if n.list = append(n.list, k); len(n.list) >= 2*n.limit {
		n.list = n.sorted()
		n.worst = n.list[len(n.list)-1]
	}
}

func (n *newest) sorted() []*kase {
	slices.SortFunc(n.list, newestFirst)
	return n.list[:min(len(n.list), n.limit)]
}

// cursor reads what Next holds: where the last page ended.
func cursor(s string) (*kase, error) {
	k := &kase{}
	at, id, ok := strings.Cut(s, "-")
	if _, err := fmt.Sscan(at, &k.row.updated); !ok || err != nil || k.id.UnmarshalText([]byte(id)) != nil {
		return nil, fail(Invalid, "list referrals: this is not where a list ended: begin again without it")
	}
	return k, nil
}

func (b *Book) item(reg Register, x *index, f *folded, r row, now referral.Time) ReferralItem {
	s := f.Parts.Summary
	it := ReferralItem{ID: f.ID, Code: r.codeText(), CaseCode: s.Child.CaseCode, Kind: s.Kind, Direction: r.dir.direction(), Sender: nameOf(reg, f.Sender),
		Sent: f.SentAt, Updated: r.updated, Priority: s.Urgency.Priority, DangerNow: s.Urgency.DangerNow, Services: s.Services,
		Concern: s.Concern.Types, AgeBand: s.Child.AgeBand, District: s.Child.District.Code, Notice: r.notice}
	for i, l := range r.legs {
		state, mine, late := l.at(now)
		li := LegItem{Organisation: nameOf(reg, f.Legs[i].Organisation), State: state, Hidden: l.hidden, Mine: mine, Overdue: late}
		if l.due != never {
			li.Due = l.due
		}
		it.Legs = append(it.Legs, li)
	}
	return it
}
