package casebook

import (
	"slices"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
)

// alertEntry is one record that speaks of an alert, in brief.
type alertEntry struct {
	place
	alert.Event
}

// board is all alerts added up.
type board struct {
	groups []*group
	of     map[protocol.RecordID]*group
	stray  int // records that belong to no alert, or wait for one
}

// group is one alert as people see it: the threads under one CAP identifier
// that its issuer sent to more members than one record reaches. A recipient
// has one of them.
type group struct {
	id      protocol.RecordID // the least of the threads' roots
	threads []*alert.Thread   // by root
}

func (x *index) putAlert(p place, e alert.Event) (fresh bool) {
	if _, ok := x.alertAt[e.ID]; ok {
		return false
	}
	x.alertAt[e.ID] = len(x.alerts)
	x.alerts = append(x.alerts, alertEntry{p, e})
	x.boarded = nil
	return true
}

// board folds the alerts if any came since the last time.
func (x *index) board() *board {
	if x.boarded != nil {
		return x.boarded
	}
	events := make([]alert.Event, len(x.alerts))
	for i := range x.alerts {
		events[i] = x.alerts[i].Event
	}
	s := alert.Fold(events)
	d := &board{of: map[protocol.RecordID]*group{}, stray: len(s.Pending) + len(s.Stray)}
	type key struct {
		issuer protocol.OrgID
		ref    alert.Reference
	}
	by := map[key]*group{}
	for _, t := range s.Threads { // by root
		k := key{t.Issuer, t.Versions[0].Body.Alert.Ref()}
		g := by[k]
		if g == nil {
			g = &group{id: t.Root}
			by[k] = g
			d.groups = append(d.groups, g)
		}
		g.threads = append(g.threads, t)
	}
	for _, e := range events {
		if t := s.Thread(e.ID); t != nil {
			d.of[e.ID] = by[key{t.Issuer, t.Versions[0].Body.Alert.Ref()}]
		}
	}
	x.boarded = d
	return d
}

// id is the alert that a record belongs to, or the record itself.
func (d *board) id(rec protocol.RecordID) protocol.RecordID {
	if g := d.of[rec]; g != nil {
		return g.id
	}
	return rec
}

// first is the thread that stands for the alert: the one changed last.
func (g *group) first() *alert.Thread {
	return slices.MaxFunc(g.threads, func(a, b *alert.Thread) int {
		switch {
		case a.Current.Time != b.Current.Time:
			if a.Current.Time < b.Current.Time {
				return -1
			}
			return 1
		}
		return a.Root.Compare(b.Root)
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
