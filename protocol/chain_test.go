package protocol

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/crypto/seal"
)

func TestFeedDrawnAsText(t *testing.T) {
	for _, c := range []struct{ name, to, script string }{
		{"plain", "B P", `
			key parts=A,P                  → linked
			data                           → linked
			data sets=0,1,0,1              → linked
			key                            → linked
			data keyseq=1                  → refused 10
			data                           → linked`},
		{"a feed opens with a key", "B", `
			data keyseq=1 prev=x           → drop     # no key, no seq 1
			data keyseq=1 seq=2 prev=x     → gap
			key seq=2 prev=x               → gap
			key                            → linked
			data keyseq=3                  → drop     # a key of the future
			data sets=7                    → refused 11
			data sets=8                    → drop     # more than any key record has
			data                           → linked`},
		{"whose record it is", "B", `
			key author=B                   → drop
			key author=N                   → drop
			key network=other              → drop
			key signer=B1                  → drop
			key                            → linked
			data signer=B1                 → drop
			data author=N                  → drop
			data version=2                 → wait
			data version=0                 → drop
			data                           → linked`},
		{"own organisation", "A", `
			key                            → linked
			data                           → linked`},
		{"someone never enrolled", "B X", `
			key                            → refused 6
			+ org X ngo
			key                            → linked`},
		{"root", "B", `
			key                            → linked
			data root=other                → refused 1
			data size=0                    → drop
			data size=99                   → wait
			data                           → linked`},
		{"days", "B", `
			key expiry=200                 → linked
			data day=-1                    → refused 3
			day 30
			data                           → linked
			data day=29                    → refused 3
			data day=31                    → refused 3
			data day=4294947295            → refused 3   # 2^32-1
			data expiry=4294947295         → refused 4
			data expiry=29                 → refused 4
			data expiry=201                → refused 4   # after its key record's
			data expiry=200                → linked
			+ day 20001
			key day=0                      → refused 3   # before its checkpoint
			key day=31 expiry=1132         → refused 4
			key day=31 expiry=1131         → linked`},
		{"expiry's last day", "B", `
			key expiry=1101                → refused 4
			key expiry=1100                → linked
			data expiry=1100               → linked`},
		{"author suspended, at its own checkpoint and in a newer register", "B", `
			key                            → linked
			+ suspend A
			data                           → refused 5
			data size=9                    → held
			data size=9                    → held
			data                           → refused 5
			key size=9                     → held
			data size=9                    → held
			+ reinstate A
			data size=9                    → linked
			data                           → linked
			data size=9                    → refused 2`},
		{"author's node retired, revoked", "B", `
			key                            → linked
			+ node A2 A
			+ retire A1
			data                           → refused 5
			data size=9                    → linked     # written before
			+ revoke A1
			data size=9                    → held`},
		{"custodians", "B P", `
			key custodians=                → refused 7
			key custodians=P               → refused 7
			key custodians=S,P             → refused 7
			key custodians=B               → refused 7   # has not offered
			key custodians=C               → linked
			key custodians=S,C             → linked
			+ withdraw C
			data                           → refused 9
			key custodians=C               → refused 7
			key custodians=S               → linked
			data                           → linked
			+ suspend S
			data                           → refused 9`},
		{"nobody keeps only its own", "B", `
			+ offer A
			key custodians=A               → refused 7
			key custodians=A,S             → linked`},
		{"no custodian needed with the secretariat", "B S", `
			key custodians=                → linked
			data                           → linked`},
		{"take-away operations", "B P", `
			key honours=revoke             → refused 12
			key honours=taint,B,2          → refused 12
			key honours=taint,B,1          → linked
			data                           → linked
			+ taint B
			data                           → linked     # as the key record had it
			+ key B
			data                           → refused 9  # one that was left out is fit again
			key                            → linked
			key honours=revoke,B1          → linked     # a node: its organisation still reads
			key honours=revoke,B           → linked
			+ revoke B
			data                           → linked
			key honours=revoke,A           → refused 8  # nobody seals to all but itself`},
	} {
		t.Run(c.name, func(t *testing.T) { play(t, newWorld(t, usual), "A1", c.to, c.script) })
	}
}

// When a key is due by the register, cause by cause. What is not a cause
// stands here too.
func TestKeyDue(t *testing.T) {
	for _, c := range []struct{ leaf, want string }{
		{"day 20001", "linked"},
		{"org X police", "linked"},
		{"key N", "linked"},
		{"suspend N", "linked"},
		{"key B", "refused 9"},
		{"taint B", "refused 9"},
		{"suspend B", "refused 9"},
		{"revoke B", "refused 9"},
		{"key A", "refused 9"},
		{"taint A", "refused 9"},
		{"revoke C", "refused 9"},
		{"withdraw C", "refused 9"},
		{"reinstate G", "refused 9"}, // left out at the key, now fit
		{"offer B", "linked"},
	} {
		t.Run(c.leaf, func(t *testing.T) {
			w := newWorld(t, usual)
			d := play(t, w, "A1", "B G", `
				+ suspend G
				key custodians=S,C      → linked
				data                    → linked
				+ `+c.leaf+`
				day 1
				data                    → `+c.want)
			chain := d.chains[w.pen("A1", "B G").feed()] // the author is told the same
			if due := chain.KeyDue(w.now(), chain.Seq+1, usualDay+1, w.size()); (due != "") != (c.want == "refused 9") {
				t.Errorf("the author is told %q", due)
			}
		})
	}
}

func TestKeyDueByAge(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	p.key("S")
	k := p.chain.Key
	for _, c := range []struct {
		seq uint64
		day Day
		due bool
	}{
		{2, usualDay, false},
		{2, usualDay + MaxKeyDays, false},
		{2, usualDay + MaxKeyDays + 1, true},
		{1 + MaxKeyRecords, usualDay, false},
		{2 + MaxKeyRecords, usualDay, true},
	} {
		if got := p.chain.KeyDue(w.now(), c.seq, c.day, w.size()) != ""; got != c.due {
			t.Errorf("seq %d, day %d: due %v", c.seq, c.day, got)
		}
	}
	c := p.chain
	c.Key.Expiry = usualDay + 3
	if c.KeyDue(w.now(), 2, usualDay+3, w.size()) != "" || c.KeyDue(w.now(), 2, usualDay+4, w.size()) == "" {
		t.Error("a key is due the day after its record expires")
	}

	// Verifiers count the same.
	d := newDesk(w.now())
	d.take(all(p.records[0]))
	at := d.chains[p.feed()]
	at.Seq = MaxKeyRecords // 65,535 records later
	p.chain = at
	for _, want := range []string{"linked", "refused 9", "refused 9"} {
		s, err := Open(d.m, p.scrawl(t, "data", nil))
		if err != nil {
			t.Fatal(err)
		}
		r, n, err := p.chain.Link(d.m, s)
		if got := outcome(r, err); got != want {
			t.Errorf("seq %d, key at %d: %s", s.Core().Seq, k.Seq, got)
		}
		p.chain = n
	}
}

func TestFork(t *testing.T) {
	w := newWorld(t, usual)
	d := newDesk(w.now())
	p := w.pen("A1", "B")
	first := p.key("S")
	d.take(all(first))
	one := p.scrawl(t, "data", nil)
	other := p.scrawl(t, "data", nil)
	if got := d.outcome(one); got != "linked" {
		t.Fatal(got)
	}
	if got := d.outcome(one); got != "known" {
		t.Error("the same record again is no fork, but", got)
	}
	_, err := d.take(other)
	var f *Fork
	if !errors.As(err, &f) {
		t.Fatal("want a fork, got", err)
	}
	if f.A.Sections != nil || f.B.Sections != nil {
		t.Error("a proof needs no sections")
	}
	round, err := Decode[Fork](Encode(f), MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	feed, seq, node, err := round.Verify(w.now())
	if err != nil || feed != p.feed() || seq != 2 || node != nodeID("A1") {
		t.Error(feed, seq, node, err)
	}

	a, _ := Open(w.now(), one)
	b, _ := Open(w.now(), other)
	ab, _ := NewFork(a, b)
	ba, _ := NewFork(b, a)
	if !bytes.Equal(Encode(ab), Encode(ba)) {
		t.Error("the proof depends on who came first")
	}
	if _, ok := NewFork(a, a); ok {
		t.Error("a record forks with itself")
	}

	// What proves nothing.
	key, _ := Open(w.now(), all(first))
	elsewhere, _ := Open(w.now(), w.pen("A1", "P").scrawl(t, "key", nil))
	forged := *f
	forged.B.Signature[0]++
	for name, bad := range map[string]*Fork{
		"one record twice":  {A: one, B: one},
		"two places":        {A: key.env, B: one},
		"two feeds":         {A: key.env, B: elsewhere.env},
		"a forged half":     &forged,
		"nothing":           {},
		"another one's key": {A: one, B: w.pen("N1", "B").scrawl(t, "key", nil)},
	} {
		if _, _, _, err := bad.Verify(w.now()); !errors.Is(err, ErrDrop) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, _, err := f.Verify(w.at(5)); !errors.Is(err, ErrWait) {
		t.Error("a proof above our checkpoint waits, but:", err)
	}

	// A record that follows the branch we have not got.
	later := p.scrawl(t, "data", nil) // p still stands after the key record
	d.chains[p.feed()] = p.chain
	p.chain.Seq, p.chain.Head = 2, b.ID()
	onOther := p.scrawl(t, "data", nil)
	d.outcome(later)
	if got := d.outcome(onOther); got != "diverged" {
		t.Error(got)
	}
}

// A refused record is a link and no more: no sections, for nobody, and the
// newest key, day and size stay what they were.
func TestRefusedLink(t *testing.T) {
	w := newWorld(t, usual)
	d := newDesk(w.now())
	p := w.pen("A1", "B")
	d.take(all(p.key("S")))
	before := d.chains[p.feed()]
	env := p.scrawl(t, "key", strings.Fields("custodians=P day=5"))
	r, err := d.take(env)
	if err != nil || r.State() != Refused || r.Code() != CodeCustodian {
		t.Fatal(outcome(r, err))
	}
	after := d.chains[p.feed()]
	if after.Key.Seq != 1 || after.Day != before.Day || after.Size != before.Size || after.Head != r.ID() || after.Seq != 2 {
		t.Errorf("chain after a refused key record: %+v", after)
	}
	if !slices.EqualFunc(after.Custody, before.Custody, func(a, b Custody) bool { return a == b }) {
		t.Error("a refused key record named a custodian")
	}
	if err := r.Attach(0, env.Sections[0]); !errors.Is(err, ErrSection) {
		t.Error("a refused record took a section:", err)
	}
	if _, err := r.OpenKey(0, w.identity("B")...); !errors.Is(err, ErrSection) {
		t.Error("a refused key record opens:", err)
	}
	own, _ := KeyLinkOf(r.Core())
	for _, o := range []string{"S", "A", "B", "P", "N"} {
		e := Entitles(w.now(), &after, &own, r.Core(), r.State(), orgID(o))
		if e.Any() || e.Core != (o == "S" || o == "A" || o == "B") || len(r.Missing(e)) != 0 {
			t.Errorf("%s: %+v", o, e)
		}
	}
	if !slices.Equal(after.Refused, []Refusal{{2, 2, CodeCustodian}}) {
		t.Error(after.Refused)
	}
}

// An author that alternates good and bad records cannot make others' lists
// grow for ever.
func TestFeedClosesAfterTooManyRefusals(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	p.key("S")
	for i := range uint64(MaxRanges - 1) {
		p.chain.Refused = append(p.chain.Refused, Refusal{2*i + 2, 2*i + 2, CodeDay})
	}
	p.chain.Seq = 2 * MaxRanges
	p.chain.Refused = p.chain.Refused[:MaxRanges-2]
	for i, want := range []string{"linked", "refused 3", "refused 13", "refused 13"} {
		env := p.scrawl(t, "data", nil)
		if want == "refused 3" {
			env = p.scrawl(t, "data", []string{"day=-1"})
		}
		s, err := Open(w.now(), env)
		if err != nil {
			t.Fatal(err)
		}
		r, n, err := p.chain.Link(w.now(), s)
		if got := outcome(r, err); got != want {
			t.Errorf("record %d: %s, want %s", i, got, want)
		}
		p.chain = n
	}
	rs := p.chain.Refused
	if len(rs) != MaxRanges || rs[len(rs)-1].Code != CodeClosed || rs[len(rs)-1].To != p.chain.Seq {
		t.Errorf("%d ranges, the last %+v", len(rs), rs[len(rs)-1])
	}
	rec := Receipt{Version: Version, Network: w.network, Org: orgID("B"), Node: nodeID("B1"), Feed: p.feed(), Seq: p.chain.Seq, Head: p.chain.Head, Refused: rs}
	if _, err := SignReceipt(w.keys["B1"], rec).Verify(w.now()); err != nil {
		t.Error("the receipt of a closed feed:", err)
	}
	var held []Range
	for i := range uint64(2 * MaxRanges) {
		held = appendRange(held, 2*i+1)
	}
	if len(held) != MaxRanges || held[MaxRanges-1].To != 4*MaxRanges-1 || !ordered(held, 4*MaxRanges) {
		t.Errorf("%d held ranges", len(held))
	}
}

func TestLinkRefusesAnotherFeedsRecord(t *testing.T) {
	w := newWorld(t, usual)
	p, q := w.pen("A1", "B"), w.pen("A1", "P")
	p.key("S")
	q.chain = p.chain // q follows p's head
	s, err := Open(w.now(), q.scrawl(t, "key", nil))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, err := p.chain.Link(w.now(), s); !errors.Is(err, ErrDrop) {
		t.Error(outcome(r, err))
	}
}

func TestGroupAudienceWaits(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	p.key("S")
	core := *p.records[0].Core()
	core.Audience = Audience{Group: "members", Except: orgIDs("N")}
	core.Key = &KeyBody{Custodians: orgIDs("S"), Sets: []ReaderSet{{Commitment: core.Key.Sets[0].Commitment}}}
	env := w.sign("A1", &core, nil)
	if got := newDesk(w.now()).outcome(env); got != "wait" {
		t.Error(got)
	}
	for name, spoil := range map[string]func(*Core){
		"readers":             func(c *Core) { c.Key.Sets[0].Readers = []Reader{{orgID("A"), 1}} },
		"two sets":            func(c *Core) { c.Key.Sets = append(c.Key.Sets, c.Key.Sets[0]) },
		"a section":           func(c *Core) { c.Key.Sections = []SectionRef{{Length: 1}} },
		"a list too":          func(c *Core) { c.Audience.Orgs = orgIDs("B") },
		"a name too long":     func(c *Core) { c.Audience.Group = GroupID(strings.Repeat("g", MaxGroup+1)) },
		"too many exceptions": func(c *Core) { c.Audience.Except = sortOrgs(orgIDs("a b c d e f g h i")) },
		"exception twice":     func(c *Core) { c.Audience.Except = orgIDs("N N") },
	} {
		bad := core
		key := *core.Key
		key.Sets = slices.Clone(key.Sets)
		bad.Key = &key
		spoil(&bad)
		if got := newDesk(w.now()).outcome(w.sign("A1", &bad, nil)); got != "drop" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, _, _, err := w.writer("A1", w.now()).OpenFeed(Chain{}, core.Audience, nil, nil, nil, usualDay, usualDay); err == nil {
		t.Error("wrote to a group, which this version cannot")
	}
}

// Shapes that no register is asked about.
func TestCoreShape(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	key := p.key("S", "P")
	data := p.data(0, 1)
	many := func(n int) (out []OrgID) {
		for i := range n {
			var o OrgID
			o[0], o[1] = byte(i>>8), byte(i)
			out = append(out, o)
		}
		return out
	}
	for _, c := range []struct {
		name  string
		of    *Record
		spoil func(*Core)
	}{
		{"neither key nor data", data, func(c *Core) { c.Data = nil }},
		{"key and data", data, func(c *Core) { c.Key = key.Core().Key }},
		{"seq 0", key, func(c *Core) { c.Seq = 0 }},
		{"seq 1 with prev", key, func(c *Core) { c.Prev[0] = 1 }},
		{"seq 2 without prev", data, func(c *Core) { c.Prev = RecordID{} }},
		{"no checkpoint", key, func(c *Core) { c.Size = 0 }},
		{"no audience", key, func(c *Core) { c.Audience = Audience{} }},
		{"33 organisations", key, func(c *Core) { c.Audience.Orgs = many(33) }},
		{"audience unsorted", key, func(c *Core) { slices.Reverse(c.Audience.Orgs) }},
		{"audience twice", key, func(c *Core) { c.Audience.Orgs = []OrgID{orgID("B"), orgID("B")} }},
		{"author among others", key, func(c *Core) { c.Audience = ListAudience(orgIDs("A B")...) }},
		{"exceptions to a list", key, func(c *Core) { c.Audience.Except = orgIDs("N") }},
		{"no set", key, func(c *Core) { c.Key.Sets, c.Key.Sections = nil, nil }},
		{"nine sets", key, func(c *Core) {
			c.Key.Sets = slices.Repeat(c.Key.Sets[:1], 9)
			c.Key.Sections = nil
			for i := range uint64(9) {
				c.Key.Sections = append(c.Key.Sections, SectionRef{Set: i, Length: 1})
			}
		}},
		{"a set without section", key, func(c *Core) { c.Key.Sections = c.Key.Sections[:1] }},
		{"sections out of order", key, func(c *Core) { slices.Reverse(c.Key.Sections) }},
		{"nine custodians", key, func(c *Core) { c.Key.Custodians = many(9) }},
		{"custodian twice", key, func(c *Core) { c.Key.Custodians = orgIDs("S S") }},
		{"readers unsorted", key, func(c *Core) { slices.Reverse(c.Key.Sets[0].Readers) }},
		{"reader twice", key, func(c *Core) { c.Key.Sets[0].Readers = slices.Repeat(c.Key.Sets[0].Readers[:1], 2) }},
		{"epoch 0", key, func(c *Core) { c.Key.Sets[0].Readers[0].Epoch = 0 }},
		{"1001 readers", key, func(c *Core) {
			c.Key.Sets[0].Readers = nil
			for _, o := range many(MaxReaders + 1) {
				c.Key.Sets[0].Readers = append(c.Key.Sets[0].Readers, Reader{o, 1})
			}
		}},
		{"33 honours", key, func(c *Core) { c.Key.Honours = slices.Repeat([][]byte{{1}}, MaxHonours+1) }},
		{"empty honour", key, func(c *Core) { c.Key.Honours = [][]byte{{}} }},
		{"null honour", key, func(c *Core) { c.Key.Honours = [][]byte{nil} }},
		{"honour too long", key, func(c *Core) { c.Key.Honours = [][]byte{make([]byte, MaxOp+1)} }},
		{"no section", data, func(c *Core) { c.Data.Sections = nil }},
		{"17 sections", data, func(c *Core) { c.Data.Sections = slices.Repeat(c.Data.Sections[:1], MaxSections+1) }},
		{"empty section", data, func(c *Core) { c.Data.Sections[0].Length = 0 }},
		{"section too long", data, func(c *Core) { c.Data.Sections[0].Length = MaxSection + 1 }},
		{"section 2^63 long", data, func(c *Core) { c.Data.Sections[0].Length = 1 << 63 }},
		{"key 0", data, func(c *Core) { c.Data.Key = 0 }},
		{"its own key", data, func(c *Core) { c.Data.Key = c.Seq }},
		{"core too large", key, func(c *Core) { c.Key.Honours = slices.Repeat([][]byte{make([]byte, MaxOp)}, 5) }},
	} {
		core, err := Decode[Core](c.of.CoreBytes(), MaxCore)
		if err != nil {
			t.Fatal(err)
		}
		c.spoil(&core)
		if _, err := Open(w.now(), w.sign("A1", &core, nil)); !errors.Is(err, ErrDrop) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := Open(w.now(), Envelope{Core: key.CoreBytes(), Signature: key.Signature(), Sections: make([][]byte, MaxSections+1)}); !errors.Is(err, ErrDrop) {
		t.Error("17 sections in an envelope:", err)
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	p.key("S")
	r := p.data(0, 0)
	env := all(r)
	env.Sections[1] = nil
	back, err := Reload(w.network, r.ID(), env, Linked, 0)
	if err != nil {
		t.Fatal(err)
	}
	if back.ID() != r.ID() || back.Feed() != r.Feed() || back.State() != Linked || back.Section(0) == nil || back.Section(1) != nil {
		t.Error("reloaded record differs")
	}
	bad := all(r)
	bad.Core = slices.Clone(bad.Core)
	bad.Core[len(bad.Core)-1] ^= 1
	if _, err := Reload(w.network, r.ID(), bad, Linked, 0); err == nil {
		t.Error("a flipped bit in the core")
	}
	bad = all(r)
	bad.Sections[0] = slices.Clone(bad.Sections[0])
	bad.Sections[0][0] ^= 1
	if _, err := Reload(w.network, r.ID(), bad, Linked, 0); !errors.Is(err, ErrSection) {
		t.Error("a flipped bit in a section:", err)
	}
	bad = all(r)
	bad.Sections = append(bad.Sections, []byte{1})
	if _, err := Reload(w.network, r.ID(), bad, Linked, 0); err == nil {
		t.Error("a section too many")
	}
}

// A chain that was written down and read again judges as before.
func TestChainOnDisk(t *testing.T) {
	w := newWorld(t, usual)
	d := play(t, w, "A1", "B P", `
		key custodians=C parts=A,P honours=taint,B,1  → linked
		data                           → linked
		data day=-1                    → refused 3
		key custodians=S               → linked
		+ suspend A
		data size=9                    → held`)
	for feed, c := range d.chains {
		b := Encode(c)
		back, err := Decode[Chain](b, MaxFrame)
		if err != nil || !bytes.Equal(Encode(back), b) {
			t.Fatal(err)
		}
		p := w.pen("A1", "B P")
		p.keys[4] = make([]seal.FeedKey, 1)
		p.chain = c
		for _, next := range []string{"data", "data size=9", "key", "data sets=3"} {
			f := strings.Fields(next)
			s, err := Open(d.m, p.scrawl(t, f[0], f[1:]))
			if err != nil {
				t.Fatal(err)
			}
			r1, n1, err1 := c.Link(d.m, s)
			r2, n2, err2 := back.Link(d.m, s)
			if outcome(r1, err1) != outcome(r2, err2) || !bytes.Equal(Encode(n1), Encode(n2)) {
				t.Errorf("%s in %s: %s, and after reading %s", next, feed.Short(), outcome(r1, err1), outcome(r2, err2))
			}
		}
	}
}
