package casebook

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
)

// example is the alert of protocol/alert, sent at the world's time.
func example(t testing.TB, w *world, edit ...func(*alert.Alert)) *alert.Alert {
	t.Helper()
	b, err := os.ReadFile("../../protocol/alert/testdata/example.xml")
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := alert.ParseCAP(b)
	if err != nil {
		t.Fatal(err)
	}
	a.Sent, _ = alert.DateTimeOf(w.clock.Unix(), 330)
	for i := range a.Infos {
		a.Infos[i].Effective = ""
	}
	for _, f := range edit {
		f(a)
	}
	return a
}

func (w *world) alert(as, name string) AlertView {
	w.t.Helper()
	v, err := w.as(as).ShowAlert(context.Background(), name, "")
	if err != nil {
		w.t.Fatalf("%s: %v", as, err)
	}
	return v
}

func names(list []Organisation) (out []string) {
	for _, o := range list {
		out = append(out, o.Name)
	}
	slices.Sort(out)
	return out
}

func TestAlert(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	a := example(t, w)
	r, err := w.as(secretariat).Issue(ctx, Issue{Alert: a, Staff: "officer-1"})
	if err != nil || len(r.Records) != 1 || len(r.Records[0].To) != 5 || r.ID != r.Records[0].Record || len(r.Warnings) != 0 {
		t.Fatalf("issued: %+v, %v", r, err)
	}
	all := []string{commission, keeper, ngo, police, shelter}
	if v := w.alert(secretariat, a.Identifier); v.Waiting != 5 || !slices.Equal(names(v.Silent), all) || len(v.Audience) != 5 || v.Audience[0].Delivery.Stage != Stored || v.Banner != "EXERCISE" || v.MayAnswer {
		t.Errorf("the issuer sees %+v", v)
	}
	for i, who := range all {
		did := []string{"none"}
		if i == 0 {
			did = []string{"warned-families", "checked-records"}
		}
		if v := w.alert(who, r.ID.String()[:8]); v.Standing != alert.InForce || !v.MayAnswer || v.Alert.Infos[0].Description == "" || v.Findings != nil || v.Mine != nil {
			t.Fatalf("%s sees %+v", who, v)
		}
		if _, err := w.as(who).Acknowledge(ctx, r.ID.String(), did, "", "worker-3"); err != nil {
			t.Fatal(err)
		}
		if v := w.alert(secretariat, a.Identifier); v.Answered != i+1 || v.Waiting != 4-i {
			t.Errorf("after %s: answered %d, waiting %d", who, v.Answered, v.Waiting)
		}
	}
	v := w.alert(secretariat, a.Identifier)
	if len(v.Answers) != 5 || v.Counts[alert.ActionNone] != 4 || v.Counts[alert.ActionWarned] != 1 || len(v.Silent) != 0 {
		t.Errorf("the issuer counts %+v", v.Counts)
	}
	if v := w.alert(shelter, a.Identifier); len(v.Answers) != 1 || v.Mine == nil || !v.Mine.Current || v.Audience != nil || v.Silent != nil {
		t.Errorf("the shelter sees %+v", v)
	}

	// Again, it goes to nobody; a member enrolled since gets it.
	_, err = w.as(secretariat).Issue(ctx, Issue{Alert: a})
	wantError(t, err, Refused, "issued before")
	w.enrol("Example Helpline", protocol.ClassNGO, "helpline")
	r, err = w.as(secretariat).Issue(ctx, Issue{Alert: a})
	if err != nil || len(r.Records) != 1 || !slices.Equal(names(r.Records[0].To), []string{"Example Helpline"}) {
		t.Fatalf("to the new member: %+v, %v", r, err)
	}
	v = w.alert(secretariat, a.Identifier)
	if len(v.Records) != 2 || v.Waiting != 1 || v.Answered != 5 || len(v.Audience) != 6 {
		t.Errorf("two records, one alert: %+v", v.AlertItem)
	}
	if l, err := w.as(secretariat).Alerts(AlertFilter{}); err != nil || l.Total != 1 {
		t.Errorf("lists %+v, %v", l, err)
	}

	w.later(time.Hour)
	u := example(t, w, func(u *alert.Alert) {
		u.MsgType, u.Identifier = alert.MsgUpdate, "EXERCISE-2026-0002"
		u.Infos[0].Headline = "EXERCISE: another headline"
	})
	_, err = w.as(shelter).Update(ctx, a.Identifier, u, "")
	wantError(t, err, Refused, "only its issuer")
	same := *u
	same.Identifier = a.Identifier
	_, err = w.as(secretariat).Update(ctx, a.Identifier, &same, "")
	wantError(t, err, Invalid, "identifier of its own")
	if r, err = w.as(secretariat).Update(ctx, a.Identifier, u, ""); err != nil || len(r.Records) != 2 {
		t.Fatalf("updated: %+v, %v", r, err)
	}
	_, err = w.as(secretariat).Update(ctx, u.Identifier, u, "")
	wantError(t, err, Refused, "went to all of them")
	for who, waiting := range map[string]int{secretariat: 6, shelter: 0, "Example Helpline": 0} {
		v := w.alert(who, a.Identifier)
		if v.Headline != "EXERCISE: another headline" || len(v.Versions) != 2 || v.Waiting != waiting {
			t.Errorf("%s sees %q in %d versions, waiting %d", who, v.Headline, len(v.Versions), v.Waiting)
		}
	}
	if l, err := w.as(shelter).Alerts(AlertFilter{Waiting: true}); err != nil || l.Total != 1 || l.Items[0].Mine.Current {
		t.Errorf("the shelter has to answer %+v, %v", l, err)
	}
	if _, err := w.as(shelter).Acknowledge(ctx, a.Identifier, []string{"reported"}, "", ""); err != nil {
		t.Fatal(err)
	}
	if v := w.alert(secretariat, u.Identifier); v.Waiting != 5 || v.Counts[alert.ActionReported] != 1 {
		t.Errorf("after the second answer: %+v", v.AlertItem)
	}

	w.later(time.Hour)
	_, err = w.as(secretariat).CancelAlert(ctx, a.Identifier, "", "")
	wantError(t, err, Invalid, "note")
	if r, err = w.as(secretariat).CancelAlert(ctx, a.Identifier, "the exercise is over", "officer-1"); err != nil || len(r.Records) != 2 {
		t.Fatalf("withdrawn: %+v, %v", r, err)
	}
	_, err = w.as(secretariat).CancelAlert(ctx, a.Identifier, "again", "")
	wantError(t, err, Refused, "withdrawn already")
	_, err = w.as(secretariat).Update(ctx, a.Identifier, example(t, w, func(u *alert.Alert) { u.MsgType, u.Identifier = alert.MsgUpdate, "EXERCISE-2026-0003" }), "")
	wantError(t, err, Refused, "issue a new one")
	if v := w.alert(police, a.Identifier); v.Standing != alert.Withdrawn || v.Withdraw == nil || v.Withdraw.Note != "the exercise is over" || v.Findings != nil {
		t.Errorf("police see %+v", v)
	}
	if _, err := json.Marshal(w.alert(police, a.Identifier)); err != nil {
		t.Error(err)
	}
}

func TestAlertRules(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	issue := func(as string, in Issue) error { _, err := w.as(as).Issue(ctx, in); return err }

	risk := example(t, w, func(a *alert.Alert) {
		a.Codes = []string{"institution-risk"}
		for i := range a.Infos {
			a.Infos[i].EventCodes[0].Value = "institution-risk"
			a.Infos[i].Expires, _ = alert.DateTimeOf(w.clock.Unix()+86400, 330)
		}
	})
	wantError(t, issue(ngo, Issue{Alert: risk}), Refused, "nothing was kept", "alliance-issuer")
	wantError(t, issue(secretariat, Issue{Alert: risk, To: []string{shelter}, About: []string{shelter}}), Invalid, "is about "+shelter)
	wantError(t, issue(secretariat, Issue{Alert: risk, To: []string{secretariat}}), Invalid, "own issuer")
	wantError(t, issue(secretariat, Issue{Alert: risk, To: []string{"Nobody"}}), NotFound, "Nobody")
	wantError(t, issue(secretariat, Issue{Alert: example(t, w, func(a *alert.Alert) { a.Status = alert.StatusDraft })}), Invalid, "alliance-status")
	w.change(police, func(o *protocol.Org) { o.Status = protocol.Suspended })
	wantError(t, issue(secretariat, Issue{Alert: risk, To: []string{police}}), Refused, police+" is suspended")
	if n := len(w.sites[secretariat].records()); n != 0 {
		t.Errorf("%d records were written", n)
	}

	// One about a member goes to all the others, and is not kept there.
	r, err := w.as(commission).Issue(ctx, Issue{Alert: risk, About: []string{shelter, secretariat}})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(r.Records[0].To); !slices.Equal(got, []string{keeper, ngo}) {
		t.Errorf("went to %v", got)
	}
	if len(r.LeftOut) != 3 {
		t.Errorf("left out: %+v", r.LeftOut)
	}
	for _, who := range []string{shelter, secretariat} {
		if n := len(w.sites[who].records()); n != 0 {
			t.Errorf("%s holds %d records of an alert about it", who, n)
		}
	}
	_, err = w.as(commission).Acknowledge(ctx, r.ID.String(), []string{"none"}, "", "")
	wantError(t, err, Refused, "own alert")
	_, err = w.as(ngo).Acknowledge(ctx, r.ID.String(), []string{"danced"}, "", "")
	wantError(t, err, Invalid, "danced")
	_, err = w.as(ngo).Acknowledge(ctx, "nothing here", []string{"none"}, "", "")
	wantError(t, err, NotFound)

	// A program that keeps no rules cannot make it look right.
	body, err := alert.EncodeBody(alert.KindIssue, alert.Body{Alert: risk})
	if err != nil {
		t.Fatal(err)
	}
	s := w.sites[ngo]
	sent, err := s.Send(ctx, Draft{Audience: protocol.ListAudience(orgID(keeper)), Custodians: []protocol.OrgID{orgID(secretariat)}, Expiry: s.book.today() + 10,
		Contents: []protocol.Content{s.book.content(alert.KindIssue, "", nil, body)}})
	if err != nil {
		t.Fatal(err)
	}
	v := w.alert(keeper, sent.Record.ID().String())
	if v.Breaks != alert.RuleIssuer || len(v.Findings) != 1 || v.Issuer.Name != ngo {
		t.Errorf("shown as %+v", v.AlertItem)
	}
}

// TestAlertToMany: more members than one record reaches.
func TestAlertToMany(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	for i := range 70 - len(w.sites) {
		w.enrol(fmt.Sprintf("Example Member %02d", i), protocol.ClassNGO, "ngo")
	}
	a := example(t, w)
	// The disk fills after the second record; the second try goes to the rest.
	s := w.sites[secretariat]
	s.failAfter = 2
	_, err := w.as(secretariat).Issue(ctx, Issue{Alert: a})
	wantError(t, err, Failed, "sent in 2 records", "do it again")
	r, err := w.as(secretariat).Issue(ctx, Issue{Alert: a})
	if err != nil || len(r.Records) != 1 {
		t.Fatalf("second try: %+v, %v", r, err)
	}
	v := w.alert(secretariat, a.Identifier)
	if len(v.Records) != 3 || v.Waiting != 69 || len(v.Audience) != 69 {
		t.Fatalf("issued in %d records to %d, waiting for %d", len(v.Records), len(v.Audience), v.Waiting)
	}
	if _, err := w.as("Example Member 60").Acknowledge(ctx, a.Identifier, []string{"none"}, "", ""); err != nil {
		t.Fatal(err)
	}
	if v := w.alert(secretariat, a.Identifier); v.Waiting != 68 || v.Answered != 1 || slices.Contains(names(v.Silent), "Example Member 60") {
		t.Errorf("waiting for %d", v.Waiting)
	}
	// The next alert uses the same feeds, though one member is gone.
	feeds := len(s.held)
	b := example(t, w, func(b *alert.Alert) { b.Identifier = "EXERCISE-2026-0009" })
	if _, err := w.as(secretariat).Issue(ctx, Issue{Alert: b}); err != nil {
		t.Fatal(err)
	}
	if len(s.held) != feeds {
		t.Errorf("%d feeds, then %d", feeds, len(s.held))
	}
	w.change("Example Member 60", func(o *protocol.Org) { o.Status = protocol.Revoked })
	c := example(t, w, func(c *alert.Alert) { c.Identifier = "EXERCISE-2026-0010" })
	if _, err := w.as(secretariat).Issue(ctx, Issue{Alert: c}); err != nil {
		t.Fatal(err)
	}
	if len(s.held) != feeds+1 {
		t.Errorf("%d feeds after one member of 70 is gone, %d before", len(s.held), feeds)
	}
	_, err = w.as(secretariat).ShowAlert(ctx, "", "")
	wantError(t, err, NotFound)
	var list []string
	for after := ""; ; {
		l, err := w.as(ngo).Alerts(AlertFilter{Limit: 2, After: after})
		if err != nil || l.Total != 3 {
			t.Fatalf("listed %+v, %v", l, err)
		}
		for _, it := range l.Items {
			list = append(list, it.Identifier)
		}
		if after = l.Next; after == "" {
			break
		}
	}
	slices.Sort(list)
	if strings.Join(list, " ") != "EXERCISE-2026-0001 EXERCISE-2026-0009 EXERCISE-2026-0010" {
		t.Errorf("pages hold %v", list)
	}
}
