package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

const year = 365 * 24 * time.Hour

// off gives nodes clocks that go wrong by so much.
func off(by map[string]time.Duration) func(string, *Options) {
	return func(name string, o *Options) {
		if d := by[name]; d != 0 {
			o.Now = func() time.Time { return time.Now().Add(d) }
		}
	}
}

// A member whose clock is a year slow writes records of the register's day,
// and everybody takes them; one whose clock is a year fast writes none, is told
// why, and loses nothing.
func TestClockAYearOffAtAMember(t *testing.T) {
	t.Parallel()
	a, sec := opened(t, off(map[string]time.Duration{"slow": -year, "fast": year}))
	slow, fast := a.enrol("slow", protocol.ClassNGO, "ngo"), a.enrol("fast", protocol.ClassNGO, "ngo")
	ctx := t.Context()
	first, err := slow.refer(ctx, referTo("Example fast"))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the slow clock's referral read", func() bool { return fast.sees(t) == 1 })
	until(t, "all receipts", func() bool { return outstanding(t, slow) == 0 })
	feeds := sec.rep.Feeds()
	if len(feeds) != 1 || len(feeds[0].Chain.Refused) > 0 {
		t.Fatalf("the custodian holds %+v", feeds)
	}
	rec, err := sec.store.Record(feeds[0].Feed, feeds[0].Chain.Seq)
	if err != nil {
		t.Fatal(err)
	}
	s := slow.reg.State()
	newest, _ := s.DayAt(s.Size())
	if core := rec.Core(); core.Day != newest || core.Expiry < newest+protocol.Day(slow.cfg.KeepDays) {
		t.Errorf("a record of day %s, kept until %s, in a register of %s", core.Day, core.Expiry, newest)
	}
	view, err := api.Ask[struct{ Sent time.Time }](ctx, fast.client(), "GET", "/referrals/"+string(first.Code), nil)
	if err != nil || view.Sent.Unix() < s.Time()-1 {
		t.Errorf("it is shown as sent at %v: %v", view.Sent, err)
	}
	if !slow.warned(t, "slow") {
		t.Errorf("the slow clock is not told of: %q", slow.status(t).Warnings)
	}

	kind, text := problem(fast.client().Do(ctx, "POST", "/referrals/"+string(first.Code)+"/moves/acknowledge",
		map[string]any{"say": map[string]any{"desk": "Example desk", "decide_by": time.Now().Add(year + time.Hour).Format(time.RFC3339)}}, nil))
	if kind != api.Unavailable || !strings.Contains(text, "nothing was kept") || !strings.Contains(text, "set it") ||
		!strings.Contains(text, protocol.DayOf(time.Now().Add(year).Unix()).String()) {
		t.Errorf("a move by a fast clock: %s %q", kind, text)
	}
	if _, err := fast.refer(ctx, referTo("Example slow")); err == nil {
		t.Error("a fast clock's referral is sent")
	}
	if s := fast.status(t); len(s.Feeds) != 1 || s.Outbox != 0 || !fast.warned(t, "clock") {
		t.Errorf("after a fast clock: %d feeds, %d in the outbox, %q", len(s.Feeds), s.Outbox, s.Warnings)
	}
	// Even past that check nothing is committed that others would refuse.
	if sent, err := fast.rep.Send(ctx, example(slow, sec)); err == nil && sent.Queued == 0 {
		t.Errorf("a record of the next year is committed: %+v", sent)
	}

	// The clock is set, and all is well.
	a.stop("fast")
	a.with = off(map[string]time.Duration{"slow": -year})
	fast = a.again("fast")
	if err := fast.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "the cases listed", func() bool { return fast.sees(t) == 1 })
	if _, err := fast.refer(ctx, referTo("Example slow")); err != nil {
		t.Error(err)
	}
	until(t, "the referral of the clock that was set", func() bool { return slow.sees(t) == 2 })
}

// One signer of three whose clock is a year off endorses nothing; the others go
// on without it, whoever of them leads.
func TestClockAYearOffAtASigner(t *testing.T) {
	for name, by := range map[string]time.Duration{"slow": -year, "fast": year} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signerOff(t, by)
		})
	}
}

func signerOff(t *testing.T, by time.Duration) {
	a, sec := opened(t, off(map[string]time.Duration{"sec2": by}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	two, three := a.further(ctx, "sec2"), a.further(ctx, "sec3")
	ids := []protocol.NodeID{sec.ID(), two.ID(), three.ID()}
	about := register.AdministratorsOf(sec.Org())
	for _, body := range []register.Body{register.NewVoters(ids...), register.NewSigners(ids...)} {
		if err := a.op(ctx, sec, about, body, a.admin); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "three voters", func() bool { return len(sec.group.Status().Voters) == 3 })
	until(t, "all have the register", func() bool {
		size := sec.reg.State().Size()
		return two.reg.State().Size() == size && three.reg.State().Size() == size
	})

	group := register.DefineGroup{Title: "Example group", Members: []protocol.OrgID{sec.Org()}}
	for i, at := range []*running{sec, three} {
		if err := a.op(ctx, at, register.OfGroup(protocol.GroupID("example-"+string(rune('a'+i)))), group, a.officers...); err != nil {
			t.Errorf("an operation at a node whose clock is right: %v", err)
		}
	}
	// A slow clock's leaf bears the time of the one before, which may still do.
	err := a.op(ctx, two, register.OfGroup("example-c"), group, a.officers...)
	if by > 0 && err == nil || err != nil && !strings.Contains(err.Error(), "clock") {
		t.Errorf("an operation at the node whose clock is wrong: %v", err)
	}
	s := sec.reg.Tip()
	op, err := s.Draft(register.OfGroup("example-d"), group, time.Now().Unix()+3600)
	if err != nil {
		t.Fatal(err)
	}
	so := register.SignedOp{Op: op.Encode()}
	for _, k := range a.officers {
		sigs, err := register.SignOps(k.Key, s.Network(), so.Op)
		if err != nil {
			t.Fatal(err)
		}
		so = so.With(sigs...)
	}
	leaf, _, err := s.Propose(time.Now().Unix(), so)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*running{two, three} {
		b, err := sec.tr.Call(ctx, n.ID(), membership.ProtoRegister, protocol.Encode(membership.Request{Ask: membership.AskEndorse, Leaf: leaf, Root: s.Root()}))
		if err != nil {
			t.Fatal(err)
		}
		a, err := protocol.Decode[membership.Answer](b, protocol.MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := n == two; wrong != (a.Endorsement == nil) || wrong != strings.Contains(a.Fault, "check the clocks") {
			t.Errorf("asked to endorse, with a wrong clock %v: %+v %q", wrong, a.Endorsement, a.Fault)
		}
	}
	until(t, "the node whose clock is wrong follows", func() bool { return two.reg.State().Size() == sec.reg.State().Size() })
	if !two.warned(t, "this signer endorses nothing") {
		t.Errorf("the signer does not say so: %q", two.status(t).Warnings)
	}
	for _, n := range []*running{sec, three} {
		if n.warned(t, "clock") {
			t.Errorf("a right clock is complained of: %q", n.status(t).Warnings)
		}
	}
	a.enrol("alpha", protocol.ClassNGO, "ngo")
}
