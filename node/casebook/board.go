package casebook

import (
	"cmp"
	"slices"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
)

// alertEntry is one record that speaks of an alert, in brief.
type alertEntry struct {
	place
	alert.Event
	breaks alert.Rule // the first rule that an issue or update breaks
}

// cluster is the alert records that name each other, directly or not: what is
// folded together. Almost always it is one alert and its acknowledgements.
type cluster struct {
	ids     []protocol.RecordID // known or only named
	entries []*alertEntry
	state   *alert.State // nil when an entry came since
}

// alertAt is where an ID belongs; entry is nil while it is only named.
type alertAt struct {
	cluster *cluster
	entry   *alertEntry
}

// alerts are all alert records, by what names what.
type alerts struct {
	at       map[protocol.RecordID]alertAt
	clusters map[*cluster]struct{}
	board    *board // nil when an entry came since
}

// board is all alerts added up.
type board struct {
	groups []*group
	of     map[*alert.Thread]*group
	stray  int // records that belong to no alert, or wait for one
}

// group is one alert as people see it: the threads under one CAP identifier
// that its issuer sent to more members than one record reaches. A recipient
// has one of them.
type group struct {
	id      protocol.RecordID // the least of the threads' roots
	threads []*alert.Thread   // by root
}

// put adds an entry, and joins the clusters that it names.
func (a *alerts) put(e *alertEntry) (fresh bool) {
	if a.at[e.ID].entry != nil {
		return false
	}
	c := a.cluster(e.ID)
	a.at[e.ID] = alertAt{c, e}
	c.entries = append(c.entries, e)
	if e.Kind != alert.KindIssue { // an issue builds on nothing, whatever it names
		for _, ref := range e.Refs {
			c = a.join(c, a.cluster(ref))
		}
	}
	c.state, a.board = nil, nil
	return true
}

func (a *alerts) cluster(id protocol.RecordID) *cluster {
	at, ok := a.at[id]
	if !ok {
		at.cluster = &cluster{ids: []protocol.RecordID{id}}
		a.at[id] = at
		a.clusters[at.cluster] = struct{}{}
	}
	return at.cluster
}

// join moves the smaller cluster into the larger.
func (a *alerts) join(c, d *cluster) *cluster {
	if c == d {
		return c
	}
	if len(c.ids) < len(d.ids) {
		c, d = d, c
	}
	for _, id := range d.ids {
		a.at[id] = alertAt{c, a.at[id].entry}
	}
	c.ids, c.entries = append(c.ids, d.ids...), append(c.entries, d.entries...)
	delete(a.clusters, d)
	return c
}

func (c *cluster) fold() *alert.State {
	if c.state == nil {
		events := make([]alert.Event, len(c.entries))
		for i, e := range c.entries {
			events[i] = e.Event
		}
		c.state = alert.Fold(events)
	}
	return c.state
}

type groupKey struct {
	issuer protocol.OrgID
	ref    alert.Reference
}

func keyOf(t *alert.Thread) groupKey { return groupKey{t.Issuer, t.Versions[0].Body.Alert.Ref()} }

// all folds what changed since the last time, and returns all alerts.
func (a *alerts) all() *board {
	if a.board != nil {
		return a.board
	}
	d := &board{of: map[*alert.Thread]*group{}}
	by := map[groupKey]*group{}
	for c := range a.clusters {
		s := c.fold()
		d.stray += len(s.Pending) + len(s.Stray)
		for _, t := range s.Threads {
			k := keyOf(t)
			if by[k] == nil {
				by[k] = &group{}
				d.groups = append(d.groups, by[k])
			}
			by[k].threads = append(by[k].threads, t)
			d.of[t] = by[k]
		}
	}
	for _, g := range d.groups {
		slices.SortFunc(g.threads, func(a, b *alert.Thread) int { return a.Root.Compare(b.Root) })
		g.id = g.threads[0].Root
	}
	a.board = d
	return d
}

// id is the alert that a record belongs to, or the record itself.
func (a *alerts) id(rec protocol.RecordID) protocol.RecordID {
	if c := a.at[rec].cluster; c != nil {
		if t := c.fold().Thread(rec); t != nil {
			return a.all().of[t].id
		}
	}
	return rec
}

// first is the thread that stands for the alert: the one changed last.
func (g *group) first() *alert.Thread {
	return slices.MaxFunc(g.threads, func(a, b *alert.Thread) int {
		return cmp.Or(cmp.Compare(a.Current.Time, b.Current.Time), a.Root.Compare(b.Root))
	})
}

// standing is withdrawn once all threads are: a withdrawal that reached only
// some members is finished by withdrawing again.
func (g *group) standing(now int64) alert.Standing {
	s := alert.Withdrawn
	for _, t := range g.threads {
		if at := t.StandingAt(now); at != alert.Withdrawn {
			s = at
		}
	}
	return s
}

func (g *group) updated() (t int64) {
	for _, h := range g.threads {
		t = max(t, h.Current.Time)
		if h.Withdrawn != nil {
			t = max(t, h.Withdrawn.Time)
		}
	}
	return t
}
