package demo

import (
	"context"
	"errors"
	"slices"

	"github.com/national-alliance/alliance/node/api"
)

// row is a part of a record, or records that belong together: a line of the
// table of who holds and who can read what.
type row struct {
	title   string
	records []string
	section int
	readers []*node // for whom it is sealed
	others  []*node // addressed too, without this part
	reads   map[*node]bool
	// opens asks a running node whether it can open it.
	opens func(context.Context, *node) (bool, error)
}

var partNames = []string{"summary", "case", "identity", "evidence"}

// rows lists what there is, and asks every node what it can open of it.
func (d *demo) rows(ctx context.Context) ([]*row, error) {
	var out []*row
	for _, c := range d.cases {
		sent, _, err := d.show(ctx, c.sender, c.id)
		if err != nil {
			return nil, err
		}
		for i, part := range partNames {
			out = append(out, &row{title: c.title + ", " + part, records: []string{c.id}, section: i, readers: c.readers(part), others: c.audience(),
				opens: func(ctx context.Context, n *node) (bool, error) {
					v, err := d.glance(ctx, n, c.id)
					return slices.Contains(v.Reads, part), err
				}})
		}
		for _, leg := range c.legs {
			_, records := sent.leg(leg.org)
			records = slices.DeleteFunc(records, func(id string) bool { return id == c.id })
			if len(records) == 0 {
				continue
			}
			both := []*node{c.sender, leg}
			out = append(out, &row{title: c.title + ", between " + c.sender.name + " and " + leg.name, records: records, readers: both,
				opens: func(ctx context.Context, n *node) (bool, error) {
					v, err := d.glance(ctx, n, c.id)
					_, seen := v.leg(leg.org)
					return !slices.ContainsFunc(records, func(id string) bool { return !slices.Contains(seen, id) }), err
				}})
		}
	}
	all := append(slices.Clone(d.secretariat()), d.alert.audience...)
	out = append(out, &row{title: "alert", records: d.alert.records, readers: all, opens: func(ctx context.Context, n *node) (bool, error) {
		v, err := d.glanceAlert(ctx, n)
		return len(v.Records) > 0, err
	}})
	for _, m := range d.alert.audience {
		both := append(slices.Clone(d.secretariat()), m)
		out = append(out, &row{title: "alert, answer of " + m.name, records: d.alert.acks[m], readers: both, opens: func(ctx context.Context, n *node) (bool, error) {
			v, err := d.glanceAlert(ctx, n)
			return slices.ContainsFunc(v.Answers, func(a answer) bool { return a.Organisation.Name == m.org }), err
		}})
	}
	for _, r := range out {
		r.reads = map[*node]bool{}
		for _, n := range d.nodes {
			ok, err := r.opens(ctx, n)
			if err != nil {
				return nil, err
			}
			r.reads[n] = ok
		}
	}
	return out, nil
}

// glance is a referral as a node's API shows it; empty where it shows none.
func (d *demo) glance(ctx context.Context, n *node, id string) (view, error) {
	return shown(api.Ask[view](ctx, n.api, "GET", "/referrals/"+id, nil))
}

func (d *demo) glanceAlert(ctx context.Context, n *node) (alertView, error) {
	return shown(api.Ask[alertView](ctx, n.api, "GET", "/alerts/"+d.alert.id, nil))
}

func shown[T any](v T, err error) (T, error) {
	var e *api.Error
	if errors.As(err, &e) && e.Kind == api.NotFound {
		return v, nil
	}
	return v, err
}

// What an organisation has of a row.
const (
	nothing = "-"
	header  = "header" // the record's clear head, not the bytes of this part
	sealed  = "sealed" // the sealed bytes, and no key to them
	reads   = "reads"
)

// should is what a node should have by the rules: the secretariat keeps what
// is not for it, sealed.
func (d *demo) should(r *row, n *node) string {
	same := func(x *node) bool { return x.org == n.org }
	switch {
	case slices.ContainsFunc(r.readers, same):
		return reads
	case n.class == secretariatClass:
		return sealed
	case slices.ContainsFunc(r.others, same):
		return header
	}
	return nothing
}

// has is what a node has by its disk, and by what it could open.
func (r *row) has(n *node, disk map[string]held) string {
	cores, sections := 0, 0
	for _, id := range r.records {
		if h, ok := disk[id]; ok {
			cores++
			if slices.Contains(h.Sections, r.section) {
				sections++
			}
		}
	}
	all := len(r.records)
	switch {
	case r.reads[n] && sections == all && all > 0:
		return reads
	case r.reads[n]:
		return "reads what is not on its disk"
	case sections == all:
		return sealed
	case sections == 0 && cores == all:
		return header
	case cores == 0:
		return nothing
	}
	return "a part"
}
