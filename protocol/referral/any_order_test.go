package referral

import (
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/protocol"
	"pgregory.net/rapid"
)

var everyone = []protocol.OrgID{ngo, shelter, police, commission, stranger}

var everyKind = []Kind{KindAcknowledge, KindAccept, KindDecline, KindStart, KindComplete, KindConfirm, KindDispute, KindClose, KindMessage, KindAsk, KindWithdraw, "referral/later"}

var normal = sync.OnceValue(func() Parts {
	b, err := os.ReadFile("testdata/normal.json")
	if err != nil {
		panic(err)
	}
	d, err := ParseDraft(b)
	if err != nil {
		panic(err)
	}
	p, _, err := d.Resolve(lookup)
	if err != nil {
		panic(err)
	}
	return p.Complete(given())
})

// history makes a random history, with next(n) a number below n: moves as
// the nodes would make them, each having seen a random part of what went
// before, mixed with forged, misdirected and broken ones.
func history(t testing.TB, next func(n int) int) []Event {
	p := normal().clone()
	if next(8) == 0 {
		p.Summary.Kind = "transfer"
	}
	c := newChain(t, p)
	if next(16) == 0 {
		c.events[0].Author = stranger
	}
	if next(8) == 0 {
		c.add(Event{Author: ngo, Audience: Audience(p), Kind: KindSend, Body: &Send{p}}) // another referral
	}
	for range 1 + next(24) {
		seen := c.events
		if next(3) == 0 {
			seen = seen[:1+next(len(seen))] // has not heard of the newest
		}
		c.add(randomEvent(t, c, Fold(c.root(), seen), next))
	}
	return c.events
}

func randomEvent(t testing.TB, c *chain, r Referral, next func(int) int) Event {
	leg := everyone[1+next(2)]
	me := []protocol.OrgID{ngo, leg}[next(2)]
	if r.Known && next(8) == 0 {
		fields := []func(*Parts){
			func(p *Parts) { p.Case.Request = []string{"A (invented)", "B (invented)"}[next(2)] },
			func(p *Parts) { p.Identity.SafeContact.Who = []string{"C", "D"}[next(2)] },
			func(p *Parts) { p.Summary.Urgency.Expiry += Time(next(3)+1) * Hours },
		}
		q := r.Parts.clone()
		fields[next(len(fields))](&q)
		if b, err := r.Amended(q, "invented"); err == nil {
			return spoil(Event{Author: ngo, Audience: Audience(q), Kind: KindAmend, Refs: r.Refs(protocol.OrgID{}), Body: b, Time: t0 + Time(next(900))*Hours}, c, next)
		}
	}
	kind := everyKind[next(len(everyKind))]
	if moves := Moves(r, leg, me, t0+900*Hours); len(moves) > 0 && next(5) > 0 {
		if k := moves[next(len(moves))]; k != KindAmend {
			kind = k
		}
	}
	b := body(kind)
	if b == nil {
		b = &Unknown{About{c.root(), leg}}
	}
	e := c.draft(me, leg, b)
	e.Kind, e.Refs, e.Time = kind, r.Refs(leg), t0+Time(next(900))*Hours
	return spoil(e, c, next)
}

// spoil breaks one event in five.
func spoil(e Event, c *chain, next func(int) int) Event {
	any := func() protocol.RecordID { return rid(next(c.n+4) + 1) } // of any leg, itself, or not there
	switch next(30) {
	case 0:
		e.Author = everyone[next(len(everyone))]
	case 1:
		e.Audience = []protocol.OrgID{everyone[next(len(everyone))]}
	case 2:
		e.Refs = append(slices.Clone(e.Refs), any(), any())
	case 3:
		e.Refs = []protocol.RecordID{any()}
	case 4:
		e.Refs = nil
	case 5:
		e.Body = &Unknown{About{any(), e.Author}}
	}
	return e
}

// mangle returns the events in another order, some more than once.
func mangle(events []Event, next func(int) int) []Event {
	out := slices.Clone(events)
	for range next(len(events) + 1) {
		out = append(out, events[next(len(events))])
	}
	for i := len(out) - 1; i > 0; i-- {
		j := next(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// The same events, in any order, duplicated, delayed in batches, fold to the
// same referral; and the two sides of a leg, which hold different events,
// agree on that leg and on the parts.
func checkAnyOrder(t testing.TB, events []Event, next func(int) int) {
	t.Helper()
	root := events[0].ID
	want := Fold(root, events)
	other := mangle(events, next)
	half := Fold(root, other[:next(len(other)+1)]) // must not disturb what follows
	if got := Fold(root, other); !reflect.DeepEqual(got, want) {
		t.Fatalf("another order folds to another referral:\n%+v\n%+v", got, want)
	}
	if half.Known && len(half.Legs) != len(want.Legs) {
		t.Fatal("a part of the events gives other legs")
	}
	for _, l := range want.Legs {
		for _, me := range []protocol.OrgID{ngo, l.Organisation} {
			mine := slices.DeleteFunc(slices.Clone(other), func(e Event) bool {
				return e.Author != me && !slices.Contains(e.Audience, me)
			})
			r := Fold(root, mine)
			got, _ := r.Leg(l.Organisation)
			all, _ := want.Leg(l.Organisation)
			if !reflect.DeepEqual(got, all) || !reflect.DeepEqual(r.Parts, want.Parts) || !reflect.DeepEqual(r.Versions, want.Versions) {
				t.Fatalf("%s sees leg %s as %s, the whole is %s", me.Short(), l.Organisation.Short(), got.State, all.State)
			}
		}
		checkLeg(t, want, l)
	}
}

// checkLeg holds what is true of every leg.
func checkLeg(t testing.TB, r Referral, l Leg) {
	t.Helper()
	state := Sent
	place := map[protocol.RecordID]int{}
	for i, h := range l.History {
		place[h.Event.ID] = i + 1
		if h.From != state {
			t.Fatalf("the history jumps from %s to %s", state, h.From)
		}
		if h.Verdict != Applied && h.To != h.From {
			t.Fatalf("an event that did not count moved the leg")
		}
		state = h.To
		for _, ref := range h.Event.Refs {
			if ref != r.ID && place[ref] == 0 {
				t.Fatal("an event stands before one that it names")
			}
		}
	}
	if state != l.State {
		t.Fatalf("the history ends in %s, the leg is %s", state, l.State)
	}
	if l.Responsible != r.Sender && (r.Parts.Summary.Kind != "transfer" || l.Accepted == nil) {
		t.Fatal("responsibility moved without an accepted transfer")
	}
	for _, me := range everyone {
		for _, k := range Moves(r, l.Organisation, me, t0) {
			if me != r.Sender && me != l.Organisation {
				t.Fatalf("a stranger may %s", k)
			}
		}
	}
}

func TestFoldAnyOrder(t *testing.T) {
	states := map[State]int{}
	verdicts := map[Verdict]int{}
	var rejected, pending, versions int
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		events := history(t, rng.IntN)
		checkAnyOrder(t, events, rng.IntN)
		r := Fold(events[0].ID, events)
		rejected, pending, versions = rejected+len(r.Rejected), pending+len(r.Pending), versions+len(r.Versions)
		for _, l := range r.Legs {
			states[l.State]++
			for _, h := range l.History {
				verdicts[h.Verdict]++
			}
		}
	})
	// The histories must be worth the name.
	for _, s := range []State{Sent, Acknowledged, Accepted, InProgress, Completed, Declined, Closed} {
		if states[s] == 0 {
			t.Errorf("no history ended %s: %v", s, states)
		}
	}
	if verdicts[Applied] == 0 || verdicts[Overtaken] == 0 || verdicts[Unread] == 0 || rejected == 0 || pending == 0 || versions < 100 {
		t.Errorf("verdicts %v, rejected %d, pending %d, versions %d", verdicts, rejected, pending, versions)
	}
}

func FuzzFold(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("an invented history of no meaning, long enough to hold some moves"))
	f.Add([]byte{1, 1, 1, 9, 0, 0, 2, 1, 3, 1, 0, 1, 4, 200, 7, 7, 7, 1, 1, 1, 0, 0, 2, 3, 90, 80, 70, 60, 50, 40, 30, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		i := 0
		next := func(n int) int {
			if i >= len(b) {
				return 0
			}
			i++
			return int(b[i-1]) % n
		}
		checkAnyOrder(t, history(t, next), next)
	})
}

func BenchmarkFold100(b *testing.B) {
	p, _ := file(b, "normal.json")
	c := newChain(b, p)
	for len(c.events) < 98 {
		c.do([]protocol.OrgID{ngo, shelter}[c.n%2], shelter, body(KindMessage))
	}
	c.do(shelter, shelter, body(KindAccept))
	c.do(ngo, protocol.OrgID{}, amendment(b, c, func(p *Parts) { p.Case.Request = "Changed (invented)." }))
	b.ReportAllocs()
	for b.Loop() {
		if r := Fold(c.root(), c.events); len(r.Legs) != 2 {
			b.Fatal("legs")
		}
	}
}
