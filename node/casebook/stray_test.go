package casebook

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
)

// miscounted counts the strays anew and says where the running count differs.
func miscounted(a *alerts) string {
	want := map[protocol.OrgID]int{}
	for c := range a.clusters {
		for _, e := range c.entries {
			if e.Kind != alert.KindIssue && a.astray(e, c.issuers) {
				want[e.Author] += weight(e)
			}
		}
	}
	for _, at := range a.at {
		if at.entry == nil {
			want[at.by]++
		}
	}
	if !maps.Equal(a.strays, want) {
		return fmt.Sprintf("strays are counted as %v, and are %v", a.strays, want)
	}
	return ""
}

func made(n int) (id protocol.RecordID) {
	binary.BigEndian.PutUint64(id[:], uint64(n)+1)
	return id
}

// A member's answers to alerts that are not here take a bounded room, whatever
// they name, and cost others nothing: neither their answers nor the member's
// own to an alert that is here.
func TestAttackFloodOfStrays(t *testing.T) {
	me, flooder, other := protocol.OrgID{1}, protocol.OrgID{2}, protocol.OrgID{3}
	ack := func(id int, by protocol.OrgID, refs ...protocol.RecordID) *alertEntry {
		return &alertEntry{Event: alert.Event{ID: made(id), Author: by, Kind: alert.KindAck, Refs: refs, Body: alert.Body{Ack: &alert.Ack{What: []alert.Action{alert.ActionNone}}}}}
	}
	issue := func(id int, by protocol.OrgID) *alertEntry {
		return &alertEntry{Event: alert.Event{ID: made(id), Author: by, Kind: alert.KindIssue, Body: alert.Body{Alert: &alert.Alert{Identifier: fmt.Sprint(id)}}}}
	}
	for name, refs := range map[string]func(n int) []protocol.RecordID{
		"each names others":            func(n int) []protocol.RecordID { return []protocol.RecordID{made(1e9 + 2*n), made(1e9 + 2*n + 1)} },
		"all name one":                 func(int) []protocol.RecordID { return []protocol.RecordID{made(1e9)} },
		"each names the one before":    func(n int) []protocol.RecordID { return []protocol.RecordID{made(1e6 + n - 1)} },
		"none names any":               func(int) []protocol.RecordID { return nil },
		"each names a known one too":   func(n int) []protocol.RecordID { return []protocol.RecordID{made(1), made(1e9 + n)} },
		"each names the flooder's own": func(n int) []protocol.RecordID { return []protocol.RecordID{made(2), made(1e9 + n)} },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAlerts(me, 100)
			a.put(issue(1, me))
			a.put(issue(2, flooder))
			for n := range 10000 {
				a.put(ack(1e6+n, flooder, refs(n)...))
			}
			held := 0
			for _, at := range a.at {
				if e := at.entry; e == nil || e.Author == flooder {
					held++
				}
			}
			if held > 210 || a.strays[flooder] > 100 || a.dropped == 0 {
				t.Errorf("%d IDs are held of the flood, %d strays, %d dropped", held, a.strays[flooder], a.dropped)
			}
			if msg := miscounted(&a); msg != "" {
				t.Error(msg)
			}
			for id, by := range map[int]protocol.OrgID{5: other, 6: flooder} {
				if fresh, kept := a.put(ack(id, by, made(1))); !fresh || !kept {
					t.Errorf("the answer of %v to an alert that is here is not taken", by)
				}
			}
			if fresh, kept := a.put(ack(7, other, made(3))); !fresh || !kept {
				t.Error("another's answer that came early is not taken")
			}
			a.put(issue(3, me))
			if got := a.all().of; len(got) != 3 {
				t.Errorf("%d alerts", len(got))
			}
			if th := a.at[made(3)].cluster.fold().Thread(made(3)); th == nil || len(th.Answers) != 1 {
				t.Error("the early answer is not shown when its alert has come")
			}
		})
	}
}

// answersFirst gives the records of others before the own ones, as the feeds'
// order on a disk may be.
type answersFirst struct{ *site }

func (r answersFirst) Each(fn func(*protocol.Record) error) error {
	list := r.records()
	slices.SortStableFunc(list, func(a, b *protocol.Record) int {
		own := func(x *protocol.Record) int {
			if x.Core().Author == r.org {
				return 1
			}
			return 0
		}
		return own(a) - own(b)
	})
	for _, rec := range list {
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

// A book that reads many answers before their alerts shows all of them in the
// end.
func TestLoadAnswersBeforeAlerts(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	var ids []string
	for n := range 4 {
		r, err := w.as(secretariat).Issue(ctx, Issue{Alert: example(t, w, func(a *alert.Alert) { a.Identifier = fmt.Sprint("EXERCISE-2026-100", n) })})
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{ngo, shelter} {
			if _, err := w.as(who).Acknowledge(ctx, r.ID.String(), []string{"none"}, "", ""); err != nil {
				t.Fatal(err)
			}
		}
		ids = append(ids, r.ID.String())
	}
	s := w.sites[secretariat]
	w.settle()
	s.open(func(o *Options) { o.Records, o.Strays = answersFirst{s}, 3 })
	for _, id := range ids {
		if v := w.alert(secretariat, id); v.Answered != 2 {
			t.Errorf("%d answers are shown, want 2", v.Answered)
		}
	}
	if s.book.x.alerts.dropped != 0 || len(s.book.x.alerts.strays) != 0 {
		t.Errorf("left over: %d dropped, %v", s.book.x.alerts.dropped, s.book.x.alerts.strays)
	}
}
