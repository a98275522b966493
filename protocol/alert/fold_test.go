package alert

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/national-alliance/alliance/protocol"
)

func org(c byte) protocol.OrgID      { return protocol.OrgID{c} }
func rec(c string) protocol.RecordID { return protocol.RecordID([]byte(fmt.Sprintf("%-32s", c))) }

// story writes events one a line: "id author kind time refs…", where kind is
// issue, update, cancel, or what an acknowledgement says.
func story(t testing.TB, text string) (events []Event) {
	t.Helper()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		e := Event{ID: rec(f[0]), Author: org(f[1][0])}
		if _, err := fmt.Sscan(f[3], &e.Time); err != nil {
			t.Fatal(err)
		}
		for _, ref := range f[4:] {
			e.Refs = append(e.Refs, rec(ref))
		}
		a := &Alert{Identifier: f[0], Sender: f[1], Sent: "2026-01-26T10:00:00+05:30", Infos: []Info{{Expires: "2026-01-27T10:00:00+05:30"}}}
		switch f[2] {
		case "issue":
			e.Kind, e.Body.Alert = KindIssue, a
		case "update":
			e.Kind, e.Body.Alert = KindUpdate, a
		case "cancel":
			e.Kind, e.Body.Alert = KindCancel, a
		case "novelty":
			e.Kind = "alert/novelty"
		case "hollow":
			e.Kind = KindIssue
		case "hollow-update":
			e.Kind, e.Body.Ack = KindUpdate, &Ack{What: []Action{ActionNone}}
		case "hollow-ack":
			e.Kind, e.Body.Alert = KindAck, a
		default:
			e.Kind, e.Body.Ack = KindAck, &Ack{What: []Action{Action(f[2])}}
		}
		events = append(events, e)
	}
	return events
}

func name(id protocol.RecordID) string { return strings.TrimSpace(string(id[:])) }

// tell writes a State in a line a thread, for comparison.
func tell(s *State) string {
	var b strings.Builder
	for _, t := range s.Threads {
		fmt.Fprintf(&b, "%s by %c: ", name(t.Root), t.Issuer[0])
		for n, v := range t.Versions {
			b.WriteString(strings.Repeat(">", min(n, 1)) + name(v.ID))
		}
		fmt.Fprintf(&b, " now %s", name(t.Current.ID))
		for _, v := range t.Rivals {
			b.WriteString(" rival " + name(v.ID))
		}
		if t.Withdrawn != nil {
			b.WriteString(" withdrawn " + name(t.Withdrawn.ID))
		}
		for _, a := range t.Answers {
			old := "old "
			if a.Current {
				old = ""
			}
			fmt.Fprintf(&b, " %s%c:%s", old, a.Org[0], a.Event.Body.Ack.What[0])
		}
		for _, r := range t.Rejected {
			b.WriteString(" refused " + name(r.Event.ID))
		}
		b.WriteString("\n")
	}
	for _, e := range s.Pending {
		b.WriteString("pending " + name(e.ID) + "\n")
	}
	for _, r := range s.Stray {
		b.WriteString("stray " + name(r.Event.ID) + "\n")
	}
	return b.String()
}

var stories = []struct{ name, events, want string }{
	{"issued", "i A issue 1", "i by A: i now i\n"},
	{"nothing", "", ""},
	{"acknowledged", "i A issue 1\nb B reported 2 i\nc C none 3 i", "i by A: i now i B:reported C:none\n"},
	{"updated", "i A issue 1\nu A update 2 i\nv A update 3 u", "i by A: i>u>v now v\n"},
	{"an update by an early clock", "i A issue 10\nu A update 2 i", "i by A: i>u now u\n"},
	{"an acknowledgement of the old version", "i A issue 1\nb B reported 9 i\nu A update 2 i", "i by A: i>u now u old B:reported\n"},
	{"acknowledged again", "i A issue 1\nb B none 5 i\nc B reported 6 i", "i by A: i now i B:reported\n"},
	{"acknowledged again by an early clock that names the first", "i A issue 1\nb B none 5 i\nc B reported 4 i b", "i by A: i now i B:reported\n"},
	{"the answer to the newer version counts, whenever written", "i A issue 1\nu A update 2 i\nb B none 9 i\nc B reported 3 u", "i by A: i>u now u B:reported\n"},
	{"two at one time", "i A issue 1\nb B none 5 i\nc B reported 5 i", "i by A: i now i B:reported\n"},
	{"withdrawn", "i A issue 1\nx A cancel 2 i", "i by A: i now i withdrawn x\n"},
	{"withdrawn and acknowledged", "i A issue 1\nx A cancel 2 i\nb B none 3 x", "i by A: i now i withdrawn x B:none\n"},
	{"withdrawn twice", "i A issue 1\ny A cancel 3 i\nx A cancel 2 i", "i by A: i now i withdrawn x\n"},
	{"withdrawn and updated at once", "i A issue 1\nx A cancel 2 i\nu A update 3 i", "i by A: i>u now u withdrawn x\n"},
	{"updated after the withdrawal stays withdrawn", "i A issue 1\nx A cancel 2 i\nu A update 3 x", "i by A: i>u now u withdrawn x\n"},
	{"two updates at once", "i A issue 1\nu A update 2 i\nv A update 3 i", "i by A: i>u>v now v rival u\n"},
	{"rivals joined", "i A issue 1\nu A update 2 i\nv A update 3 i\nw A update 4 u v", "i by A: i>u>v>w now w\n"},
	{"update by another", "i A issue 1\nu B update 2 i", "i by A: i now i refused u\n"},
	{"cancel by another", "i A issue 1\nx B cancel 2 i", "i by A: i now i refused x\n"},
	{"update of a refused update", "i A issue 1\nu B update 2 i\nv A update 3 u", "i by A: i>v now v refused u\n"},
	{"acknowledged by the issuer", "i A issue 1\nb A none 2 i", "i by A: i now i refused b\n"},
	{"acknowledgement of an acknowledgement alone", "i A issue 1\nb B none 2 i\nc C none 3 b", "i by A: i now i B:none refused c\n"},
	{"unknown kind", "i A issue 1\nn A novelty 2 i", "i by A: i now i refused n\n"},
	{"pending", "u A update 2 i\nb B none 3 u", "pending b\npending u\n"},
	{"names nothing", "u A update 2", "pending u\n"},
	{"one predecessor unknown", "i A issue 1\nx A cancel 2 i gone", "i by A: i now i withdrawn x\n"},
	{"one predecessor pending", "i A issue 1\nu A update 2 gone\nx A cancel 3 i u", "i by A: i now i withdrawn x\npending u\n"},
	{"two alerts", "i A issue 1\nj A issue 1\nb B none 2 j", "i by A: i now i\nj by A: j now j B:none\n"},
	{"names two alerts", "i A issue 1\nj A issue 1\nx A cancel 2 i j", "i by A: i now i\nj by A: j now j\nstray x\n"},
	{"builds on one that names two alerts", "i A issue 1\nj A issue 1\nu A update 2 i j\nv A update 3 u", "i by A: i now i\nj by A: j now j\nstray u\nstray v\n"},
	{"an issue that names another", "i A issue 1\nj B issue 2 i", "i by A: i now i\nj by B: j now j\n"},
	{"hollow", "h A hollow 1\nu A update 2 h", "pending u\nstray h\n"},
	{"hollow update and acknowledgement", "i A issue 1\nu A hollow-update 2 i\nb B hollow-ack 3 i", "i by A: i now i refused b refused u\n"},
	{"a circle", "i A issue 1\nu A update 2 i v\nv A update 3 u", "i by A: i now i\npending u\npending v\n"},
	{"names itself", "i A issue 1\nu A update 2 i u", "i by A: i now i\npending u\n"},
	{"names one twice", "i A issue 1\nu A update 2 i i", "i by A: i>u now u\n"},
}

func TestFold(t *testing.T) {
	for _, c := range stories {
		t.Run(c.name, func(t *testing.T) {
			if got := tell(Fold(story(t, c.events))); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestFoldAnyOrder: the order of records, duplicates, and whether they came
// bit by bit make no difference.
func TestFoldAnyOrder(t *testing.T) {
	check := func(t *rapid.T, events []Event) {
		want := Fold(events)
		mixed := slices.Concat(events, rapid.SliceOfN(rapid.SampledFrom(events), 0, 5).Draw(t, "again"))
		got := Fold(rapid.Permutation(mixed).Draw(t, "order"))
		if tell(got) != tell(want) || !reflect.DeepEqual(got.Threads, want.Threads) || !reflect.DeepEqual(got.Pending, want.Pending) || !reflect.DeepEqual(got.Stray, want.Stray) {
			t.Fatalf("got\n%swant\n%s", tell(got), tell(want))
		}
		kept := len(got.Pending) + len(got.Stray)
		for _, th := range got.Threads {
			kept += len(th.Versions) + len(th.Rejected)
			for _, e := range events {
				if got.Thread(e.ID) == th && (e.Kind == KindCancel && e.Author == th.Issuer || e.Kind == KindAck) && !slices.ContainsFunc(th.Rejected, func(r Reject) bool { return r.Event.ID == e.ID }) {
					kept++
				}
			}
		}
		if kept != len(events) {
			t.Fatalf("%d of %d events are kept\n%s", kept, len(events), tell(got))
		}
	}
	for _, c := range stories {
		if events := story(t, c.events); len(events) > 0 {
			t.Run(c.name, func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { check(t, events) }) })
		}
	}
	t.Run("drawn", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			var b strings.Builder
			for n := range rapid.IntRange(1, 14).Draw(r, "events") {
				fmt.Fprintf(&b, "%c %s %s %d", 'a'+n, rapid.SampledFrom([]string{"A", "A", "B", "C"}).Draw(r, "author"),
					rapid.SampledFrom([]string{"issue", "update", "update", "cancel", "none", "reported", "novelty", "hollow", "hollow-update", "hollow-ack"}).Draw(r, "kind"), rapid.IntRange(1, 4).Draw(r, "time"))
				for range rapid.IntRange(0, 3).Draw(r, "refs") {
					fmt.Fprintf(&b, " %c", 'a'+rapid.IntRange(0, 15).Draw(r, "ref"))
				}
				b.WriteString("\n")
			}
			check(r, story(t, b.String()))
		})
	})
}

func TestViews(t *testing.T) {
	s := Fold(story(t, "i A issue 1\nu A update 2 i\nb B reported 3 u\nc C cannot-act 4 i\nd D reported 5 u"))
	th := s.Thread(rec("b"))
	if th == nil || th != s.Threads[0] || s.Thread(rec("z")) != nil {
		t.Fatal("the thread of a record is not found")
	}
	for _, c := range []struct {
		by      byte
		answers int
	}{{'A', 3}, {'B', 1}, {'E', 0}} {
		seen := th.Seen(org(c.by))
		if len(seen.Answers) != c.answers || seen.Total != 3 || seen.Counts[ActionReported] != 2 || seen.Counts[ActionCannot] != 1 {
			t.Errorf("%c sees %+v", c.by, seen)
		}
		for _, a := range seen.Answers {
			if c.by != 'A' && a.Org != org(c.by) {
				t.Errorf("%c sees who answered: %c", c.by, a.Org[0])
			}
		}
	}
	audience := []protocol.OrgID{org('E'), org('A'), org('B'), org('C')}
	if got := th.Waiting(audience); !slices.Equal(got, []protocol.OrgID{org('E'), org('C')}) {
		t.Errorf("waiting for %v", got)
	}
	a := th.Alert()
	sent, end := a.Sent.Unix(), a.Infos[0].Expires.Unix()
	for now, want := range map[int64]Standing{sent - 1: Upcoming, sent: InForce, end - 1: InForce, end: Expired, end + 1e9: Expired} {
		if got := th.StandingAt(now); got != want || th.ActiveAt(now) != (want == InForce) {
			t.Errorf("at %d: %s, want %s", now, got, want)
		}
	}
	s = Fold(story(t, "i A issue 1\nx A cancel 2 i"))
	if got := s.Threads[0].StandingAt(sent); got != Withdrawn || s.Threads[0].ActiveAt(sent) {
		t.Errorf("a withdrawn alert is %s", got)
	}
}
