package casebook

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

func amend(w *world, r Result, changes string) (Result, error) {
	w.later(time.Minute)
	return w.as(ngo).Amend(context.Background(), Amendment{Referral: string(r.Code), Changes: []byte(changes), Reason: "invented", Staff: "worker-1"})
}

// wantError holds an error to its kind and to words that it must hold.
func wantError(t *testing.T, err error, k Kind, words ...string) {
	t.Helper()
	if err == nil || KindOf(err) != k {
		t.Errorf("error %v (%s), want %s", err, KindOf(err), k)
		return
	}
	for _, x := range words {
		if !strings.Contains(err.Error(), x) {
			t.Errorf("error %q does not say %q", err, x)
		}
	}
}

func TestDeclineAndClose(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "emergency"))
	w.move(shelter, r, "", &referral.Acknowledge{Desk: "Example desk", DecideBy: at(w, time.Hour)})
	_, err := w.as(shelter).Move(context.Background(), Move{Referral: string(r.Code), Body: &referral.Decline{Reason: "no-capacity"}})
	wantError(t, err, Invalid, "name-another-body", "nothing was kept")
	w.move(shelter, r, "", &referral.Decline{Reason: "no-capacity", Instead: "none-known"})
	_, err = w.as(shelter).Move(context.Background(), Move{Referral: string(r.Code), Body: &referral.Accept{Unit: "Example", Desk: "Example", FirstContactBy: at(w, time.Hour)}})
	wantError(t, err, Conflict, "declined")
	w.move(shelter, r, "", &referral.Message{Text: "A place is free next week. Invented."})
	if got := w.move(ngo, r, "example shelter", &referral.Close{NextStep: "ask another shelter (invented)"}); got.State != referral.Closed {
		t.Errorf("closed: %+v", got)
	}
	for _, who := range []string{ngo, shelter} {
		if l := w.show(who, string(r.Code)).leg(t, shelter); l.State != referral.Closed || len(l.History) != 4 || l.Declined == nil || l.Responsible.Name != ngo {
			t.Errorf("%s: %+v", who, l)
		}
	}
}

func TestMoveErrors(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "normal", func(d *referral.Draft) { d.Summary.Urgency.Priority = "urgent" }))
	code := string(r.Code)
	ctx := context.Background()
	do := func(as, name, leg string, body referral.Body) error {
		_, err := w.as(as).Move(ctx, Move{Referral: name, Leg: leg, Body: body, Staff: "worker-1"})
		return err
	}
	wantError(t, do(ngo, "0000-0000-0", "", &referral.Confirm{}), NotFound)
	wantError(t, do(ngo, "K7", "", &referral.Confirm{}), Invalid, "at least")
	wantError(t, do(ngo, "0000-0000-X", "", &referral.Confirm{}), Invalid, "mistyped")
	wantError(t, do(ngo, "00000000f", "", &referral.Confirm{}), NotFound, "on its way")
	wantError(t, do(ngo, strings.Repeat("ab", 32), "", &referral.Confirm{}), NotFound)
	wantError(t, do(ngo, code, "", &referral.Confirm{}), Ambiguous, shelter, police)
	wantError(t, do(ngo, code, "Nobody", &referral.Confirm{}), NotFound, "Nobody")
	wantError(t, do(ngo, code, commission, &referral.Confirm{}), NotFound, "no recipient")
	wantError(t, do(ngo, code, police, &referral.Confirm{}), Conflict, "the leg is sent")
	wantError(t, do(ngo, code, police, &referral.Accept{}), Refused, "other side")
	wantError(t, do(shelter, code, police, &referral.Accept{}), Refused)
	wantError(t, do(commission, code, "", &referral.Message{Text: "x"}), Refused, "told")
	wantError(t, do(shelter, code, "", &referral.Accept{}), Invalid, "accept.unit", "required")
	wantError(t, do(shelter, code, "", nil), Invalid)
	wantError(t, do(shelter, code, "", &referral.AmendBody{}), Invalid)
	_, err := w.as(shelter).Amend(ctx, Amendment{Referral: code, Changes: []byte(`{}`)})
	wantError(t, err, Refused, "only its sender")

	before := len(w.sites[shelter].records())
	w.change(ngo, func(o *protocol.Org) { o.Status = protocol.Suspended })
	wantError(t, do(shelter, code, "", &referral.Acknowledge{Desk: "Example", DecideBy: at(w, time.Hour)}), Refused, ngo, "suspended")
	if n := len(w.sites[shelter].records()); n != before {
		t.Errorf("%d records after refused moves, %d before", n, before)
	}
}

func TestAmend(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "normal"))
	code := string(r.Code)
	_, err := amend(w, r, `{"case": {"safety": {"do_not": ["call-home", "post-online"]}}, "identity": {"names": null}, "summary": {"concern": {"types": ["sexual-extortion", "online-grooming"]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string][]string{ngo: {"summary", "case", "identity", "evidence"}, police: {"summary", "case", "identity", "evidence"}, shelter: {"summary", "case", "identity"}, commission: {"summary"}} {
		v := w.show(who, code)
		if !slices.Equal(v.Reads, want) || len(v.Versions) != 2 || len(v.Parts.Summary.Concern.Types) != 2 {
			t.Errorf("%s reads %v in %d versions", who, v.Reads, len(v.Versions))
		}
		if v.Parts.Case != nil && len(v.Parts.Case.Safety.DoNot) != 2 || v.Parts.Identity != nil && v.Parts.Identity.Names != nil {
			t.Errorf("%s: the changes are not in its parts", who)
		}
	}
	l := w.show(shelter, code).leg(t, shelter)
	if !slices.Contains(l.SeeFirst, "case.safety.do_not") && !slices.Contains(l.SeeFirst, "case.safety") {
		t.Errorf("the shelter is to see first: %v", l.SeeFirst)
	}
	w.move(shelter, r, "", &referral.Message{Text: "Seen. Invented."})
	if l := w.show(shelter, code).leg(t, shelter); l.SeeFirst != nil {
		t.Errorf("still to be seen: %v", l.SeeFirst)
	}

	// Withheld from now on: the shelter's copy of the amendment lacks it.
	got, err := amend(w, r, `{"case": {"legal": {"withheld": [{"part": "identity", "organisation": "`+orgID(shelter).String()+`", "why": "fear"}], "consent": {"scope": [{"part": "case", "organisation": "`+orgID(shelter).String()+`"}]}}}, "identity": {"address": "2 Example Street, Example Town"}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Parts {
		if p.Part == "identity" && (len(p.Readers) != 1 || p.Readers[0].Name != police) {
			t.Errorf("identity went to %v", p.Readers)
		}
	}
	if v := w.show(shelter, code); v.Versions[2].Parts.Identity != nil || v.Parts.Identity.Address == "2 Example Street, Example Town" {
		t.Error("the shelter got what is withheld from it")
	}

	for changes, words := range map[string]string{
		`{"case": {"request": 7}}`:      "another kind of value",
		`{"case": {"requests": "x"}}`:   "unknown field",
		`{"summary": {"watchers": []}}`: "", // fixed: every reader would reject it
		`{}`:                            "nothing differs",
		`[]`:                            "JSON object",
		`{} {}`:                         "one JSON object",
		`{"case": {"request": "call +91 98765 43210 at https://example.org"}}`:            "url-in-evidence-only",
		`{"case": {"tied_bodies": [{"organisation": "` + orgID(police).String() + `"}]}}`: "barred-body",
	} {
		_, err := amend(w, r, changes)
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "98765") {
			t.Errorf("%s: %v", changes, err)
		}
	}
	if v := w.show(ngo, code); len(v.Versions) != 3 {
		t.Errorf("%d versions after refused amendments", len(v.Versions))
	}
}

// TestAmendAfterDecline: who declined, or whose leg was closed, learns that
// something changed and gets no further part of the case; who acts gets all.
func TestAmendAfterDecline(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "normal"))
	code := string(r.Code)
	w.move(shelter, r, "", &referral.Decline{Reason: "no-capacity", Instead: "none-known"})
	for i, again := range []string{"declined", "closed"} {
		request := "A place for two nights (invented), " + again
		got, err := amend(w, r, `{"case": {"request": "`+request+`"}, "identity": {"address": "`+again+` Example Street"}}`)
		if err != nil {
			t.Fatal(again, err)
		}
		for _, part := range got.Parts {
			if part.Part != "summary" && slices.ContainsFunc(part.Readers, func(o Organisation) bool { return o.Name == shelter }) {
				t.Errorf("%s: %s went to who does not act", again, part.Part)
			}
		}
		v := w.show(shelter, code)
		if len(v.Versions) != i+2 || v.Versions[i+1].Parts.Case != nil || v.Versions[i+1].Parts.Identity != nil || v.Parts.Case == nil || strings.Contains(v.Parts.Case.Request, again) {
			t.Errorf("%s: the shelter has %d versions, the newest with %+v", again, len(v.Versions), v.Versions[len(v.Versions)-1].Parts)
		}
		for _, who := range []string{ngo, police} {
			if v := w.show(who, code); v.Parts.Case == nil || v.Parts.Case.Request != request {
				t.Errorf("%s: %s does not have the change", again, who)
			}
		}
		if i == 0 {
			w.move(ngo, r, shelter, &referral.Close{NextStep: "ask another shelter (invented)"})
		}
	}
}

// TestAmendKeepsAll: an amendment of one field leaves every other one as it is.
func TestAmendKeepsAll(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "normal"))
	before := w.show(ngo, string(r.Code)).Versions[0].Parts
	if _, err := amend(w, r, `{"evidence": {"note": "Another note. Invented."}}`); err != nil {
		t.Fatal(err)
	}
	v := w.show(ngo, string(r.Code)).Versions[1]
	if !slices.Equal(v.Changed, []string{"evidence.note"}) {
		t.Fatalf("changed: %v", v.Changed)
	}
	v.Parts.Summary.Amends = nil
	if d := referral.Diff(before, v.Parts); !slices.Equal(d, []string{"evidence.note"}) {
		t.Errorf("differs: %v", d)
	}
}

// TestAttackBarredBody: a body that the alleged person belongs to neither gets
// nor keeps anything.
func TestAttackBarredBody(t *testing.T) {
	w := usual(t)
	tie := func(name string) func(*referral.Draft) {
		return func(d *referral.Draft) { d.Tied = append(d.Tied, referral.DraftTie{Organisation: name}) }
	}
	ctx := context.Background()
	for _, name := range []string{shelter, commission} { // a recipient, a watcher
		_, err := w.as(ngo).Send(ctx, draft(t, "normal", tie(name)), "worker-1")
		wantError(t, err, Invalid, "barred-body")
	}
	r := w.send(ngo, draft(t, "normal", tie(secretariat)))
	v := w.show(ngo, string(r.Code))
	if len(v.Access.Custodians) != 1 || v.Access.Custodians[0].Name != keeper {
		t.Errorf("kept by %v", v.Access.Custodians)
	}
	w.move(shelter, r, "", &referral.Message{Text: "Seen. Invented."})
	if n := len(w.sites[secretariat].records()); n != 0 {
		t.Errorf("the barred secretariat holds %d records", n)
	}
	_, err := w.as(ngo).Send(ctx, draft(t, "normal", tie(secretariat), tie(keeper)), "worker-1")
	wantError(t, err, Refused, "no organisation may keep", "custody")
	if n := len(w.sites[keeper].records()); n == 0 {
		t.Error("the keeper holds nothing")
	}
	// Also what the option says cannot name a barred body, nor police.
	o := w.sites[ngo].options()
	o.Custodians = func(_, _ []protocol.OrgID) []protocol.OrgID {
		return []protocol.OrgID{orgID(secretariat), orgID(police), orgID(keeper), orgID(ngo)}
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Custodians(nil, []protocol.OrgID{orgID(secretariat)})
	if err != nil || !slices.Equal(got, []protocol.OrgID{orgID(keeper)}) {
		t.Errorf("custodians %v, %v", got, err)
	}
}

func TestSendErrors(t *testing.T) {
	w := usual(t)
	ctx := context.Background()
	send := func(name string, edit ...func(*referral.Draft)) error {
		_, err := w.as(ngo).Send(ctx, draft(t, name, edit...), "worker-1")
		return err
	}
	w.change(shelter, func(o *protocol.Org) { o.Status = protocol.Suspended })
	w.change(police, func(o *protocol.Org) { o.Tainted = true })
	w.change(commission, func(o *protocol.Org) { o.Epoch, o.Recipient = 0, "" })
	err := send("normal")
	wantError(t, err, Invalid, shelter+" is suspended", police+" has withdrawn", commission+" has published no", string(RuleReachable))
	var e *Error
	if !errors.As(err, &e) || len(e.Faults) != 3 {
		t.Errorf("faults: %+v", e)
	}
	w.change(shelter, func(o *protocol.Org) { o.Status = protocol.Active })
	w.change(police, func(o *protocol.Org) { o.Tainted = false })
	wantError(t, send("emergency", func(d *referral.Draft) { d.Recipients[0].Organisation = "Nobody at all" }), NotFound, "Nobody at all", "recipients[0]")
	// All faults at once, of the parts, the addressing and the reach.
	w.change(shelter, func(o *protocol.Org) { o.Status = protocol.Revoked })
	err = send("emergency", func(d *referral.Draft) {
		d.Summary.Child.AgeBand = ""
		d.Recipients[0].Parts = []string{"evidence"}
	})
	wantError(t, err, Invalid, "summary.child.age_band", string(referral.RuleEvidenceReader), "revoked")
	if n := len(w.sites[ngo].records()); n != 0 {
		t.Errorf("%d records were written", n)
	}
	w.change(shelter, func(o *protocol.Org) { o.Status = protocol.Active })
	s := w.sites[ngo]
	s.full = errors.New("the disk is full")
	wantError(t, send("emergency"), Failed, "disk is full", "nothing was kept")
	s.full = nil
	s.queueing = true
	r, err := w.as(ngo).Send(ctx, draft(t, "emergency"), "worker-1")
	if err != nil || r.Queued != 1 || r.Reason == "" || !r.Record.IsZero() || !strings.Contains(r.Text, "queued") {
		t.Errorf("queued: %+v, %v", r, err)
	}
	s.queueing = false
	p, err := w.as(ngo).Preview(draft(t, "emergency"), "worker-1")
	if err != nil || len(p.Parts) != 4 || len(s.records()) != 0 {
		t.Errorf("preview: %+v, %v", p, err)
	}
	_, err = w.as(ngo).Send(ctx, draft(t, "emergency"), strings.Repeat("x", 65))
	wantError(t, err, Invalid, "pseudonym")
}

// TestDelivery: from the author's disk to a custodian and on to who was away.
func TestDelivery(t *testing.T) {
	w := usual(t)
	stage := func(r Result, want Stage) {
		t.Helper()
		if d := w.show(ngo, string(r.Code)).leg(t, shelter).Delivery; d == nil || d.Stage != want {
			t.Errorf("delivery %+v, want %s", d, want)
		}
	}
	w.sites[shelter].away, w.sites[secretariat].away = true, true
	r := w.send(ngo, draft(t, "emergency"))
	stage(r, Queued) // the police have their copy, and are no custodian
	w.back(secretariat)
	stage(r, WithCustodian)
	w.sites[ngo].away = true
	w.back(shelter)
	stage(r, Stored)
	if l := w.show(shelter, string(r.Code)).leg(t, shelter); l.State != referral.Sent || l.Delivery != nil {
		t.Errorf("the shelter sees %+v", l)
	}
	if a := w.show(ngo, string(r.Code)).Access; len(a.Parts) != 4 || len(a.Parts[0].Readers) != 3 || len(a.Parts[3].Readers) != 2 {
		t.Errorf("who reads what: %+v", a.Parts)
	}
}

func TestViewsAreJSON(t *testing.T) {
	w := usual(t)
	r := w.send(ngo, draft(t, "normal"))
	w.move(shelter, r, "", &referral.Accept{Unit: "Example House", Desk: "Example desk", FirstContactBy: at(w, time.Hour)})
	v := w.show(police, string(r.Code))
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"hxxps://example[.]org/chat/1"`, `+05:30"`, `"direction":"received"`, `"` + orgID(shelter).String() + `"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the JSON does not hold %s", want)
		}
	}
	if strings.Contains(string(b), "https://") {
		t.Error("the JSON holds an address that can be followed")
	}
	l, err := w.as(ngo).List(context.Background(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(l); err != nil || strings.Contains(string(b), "Invented") {
		t.Errorf("a list holds text: %s, %v", b, err)
	}
}

func TestReadBody(t *testing.T) {
	b, err := ReadBody("message", []byte(`{"text":"an example"}`))
	if m, _ := b.(*referral.Message); err != nil || m == nil || m.Text != "an example" {
		t.Errorf("%+v %v", b, err)
	}
	if b, err := ReadBody("confirm", nil); err != nil || b.Kind() != referral.KindConfirm {
		t.Errorf("%+v %v", b, err)
	}
	for _, move := range []string{"", "send", "amend", "later", "message "} {
		_, err := ReadBody(move, nil)
		wantError(t, err, NotFound)
	}
	_, err = ReadBody("message", []byte(`{"text":"an example","more":1}`))
	wantError(t, err, Invalid, "nothing was kept")
	if err != nil && (strings.Contains(err.Error(), "an example") || !strings.Contains(err.Error(), "more")) {
		t.Error(err)
	}
}

// A record whose day is well after the register that its author knew is shown
// with a word on it.
func TestDayAheadIsShown(t *testing.T) {
	w := usual(t)
	early := w.send(ngo, draft(t, "normal"))
	day, _ := members{w}.DayAt(members{w}.Size())
	w.mu.Lock()
	w.clock = time.Unix((int64(day)+protocol.FlagAheadDays-1)*86400+3600, 0)
	w.mu.Unlock()
	below := w.send(ngo, draft(t, "normal"))
	w.later(24 * time.Hour)
	late := w.send(ngo, draft(t, "normal"))
	for r, want := range map[*Result]bool{&early: false, &below: false, &late: true} {
		for _, who := range []string{ngo, shelter} {
			notices := strings.Join(w.show(who, r.Referral.String()).Notices, "\n")
			if strings.Contains(notices, "7 days after what its author's node knew") != want {
				t.Errorf("%s at %s: want a word on it: %v: %q", r.Code, who, want, notices)
			}
		}
	}
}
