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
	issuers []protocol.OrgID // of the alerts among them
	loose   []*alertEntry    // those that count as their authors' strays
	state   *alert.State     // nil when an entry came since
}

// alertAt is where an ID belongs; entry is nil while it is only named, and by
// is then who named it first.
type alertAt struct {
	cluster *cluster
	entry   *alertEntry
	by      protocol.OrgID
}

// alerts are all alert records, by what names what.
type alerts struct {
	me       protocol.OrgID
	most     int // strays of one other member
	at       map[protocol.RecordID]alertAt
	clusters map[*cluster]struct{}
	board    *board // nil when an entry came since

	// strays counts, by author, the record IDs that are held for what belongs
	// to no alert here: it may be on its way, or be invented.
	strays  map[protocol.OrgID]int
	dropped int // entries that were not taken because of it
}

func newAlerts(me protocol.OrgID, most int) alerts {
	return alerts{me: me, most: most, at: map[protocol.RecordID]alertAt{}, clusters: map[*cluster]struct{}{}, strays: map[protocol.OrgID]int{}}
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

// put adds an entry, and joins the clusters that it names. An entry that would
// make too many strays of its author is not kept.
func (a *alerts) put(e *alertEntry) (fresh, kept bool) {
	at, named := a.at[e.ID]
	if at.entry != nil {
		return false, true
	}
	issue := e.Kind == alert.KindIssue
	if e.Author != a.me && !issue && a.strays[e.Author]+a.cost(e) > a.most {
		a.dropped++
		return false, false
	}
	if named {
		a.release(at.by, 1)
	}
	c := a.cluster(e.ID)
	a.at[e.ID] = alertAt{cluster: c, entry: e}
	c.entries = append(c.entries, e)
	if issue { // it builds on nothing, whatever it names
		c.issuers = append(c.issuers, e.Author)
		a.settle(c)
	} else {
		if a.astray(e, c.issuers) {
			c.loose = append(c.loose, e)
			a.strays[e.Author] += weight(e)
		}
		for _, ref := range e.Refs {
			if _, ok := a.at[ref]; !ok {
				a.at[ref] = alertAt{cluster: a.cluster(ref), by: e.Author}
				a.strays[e.Author]++
			}
			c = a.join(c, a.cluster(ref))
		}
	}
	c.state, a.board = nil, nil
	return true, true
}

// weight is how many record IDs an entry holds.
func weight(e *alertEntry) int { return 1 + len(e.Refs) }

// cost is how many strays an entry would make of its author.
func (a *alerts) cost(e *alertEntry) (n int) {
	astray := true
	for _, id := range append([]protocol.RecordID{e.ID}, e.Refs...) {
		if at, ok := a.at[id]; ok {
			astray = astray && a.astray(e, at.cluster.issuers)
		} else if id != e.ID {
			n++
		}
	}
	if astray {
		n += weight(e)
	}
	return n
}

// astray reports whether an entry belongs to none of the alerts of these
// issuers: an answer counts for its issuer alone, and what follows an alert
// only from its own issuer.
func (a *alerts) astray(e *alertEntry, issuers []protocol.OrgID) bool {
	if e.Kind == alert.KindAck && e.Author != a.me {
		return !slices.Contains(issuers, a.me)
	}
	return len(issuers) == 0 || e.Kind != alert.KindAck && !slices.Contains(issuers, e.Author)
}

func (a *alerts) release(author protocol.OrgID, n int) {
	if a.strays[author] -= n; a.strays[author] <= 0 {
		delete(a.strays, author)
	}
}

// settle looks which entries of a cluster are strays no more.
func (a *alerts) settle(c *cluster) {
	c.loose = slices.DeleteFunc(c.loose, func(e *alertEntry) bool {
		astray := a.astray(e, c.issuers)
		if !astray {
			a.release(e.Author, weight(e))
		}
		return !astray
	})
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
		at := a.at[id]
		at.cluster = c
		a.at[id] = at
	}
	c.ids, c.entries, c.loose = append(c.ids, d.ids...), append(c.entries, d.entries...), append(c.loose, d.loose...)
	if c.issuers = append(c.issuers, d.issuers...); len(c.issuers) > 0 {
		a.settle(c)
	}
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
