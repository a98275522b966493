package membership

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

func TestSubmitAndFollow(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1 := a.node("S1")
		n1, n2 := a.enrol("N1"), a.enrol("N2")
		// A member's node hands its operation to the secretariat.
		about := register.AdministratorsOf(n1.o.Org)
		size := a.do(n1, about, register.OfferCustody{}, "N1 a")
		if n1.State().Size() != size {
			t.Fatalf("size %d, accepted %d", size, n1.State().Size())
		}
		a.until("the others follow", func() bool { return n2.State().Size() == size && s1.State().Size() == size })
		if n2.State().Root() != s1.State().Root() || string(n2.Note()) != string(s1.Note()) {
			t.Error("two registers")
		}
		// The same signed operation again is in, and nothing more.
		op := a.draft(n1, about, register.WithdrawCustody{}, "N1 a")
		for range 3 {
			got, err := n1.Submit(t.Context(), op)
			if err != nil || got != size+1 {
				t.Fatalf("%d, %v", got, err)
			}
		}
		a.until("N2 follows", func() bool { return n2.State().Size() == size+1 })
		if _, err := n2.Submit(t.Context(), a.draft(n2, about, register.OfferCustody{}, "N2 a")); err == nil {
			t.Error("another organisation's administrator offered custody")
		}
		if _, err := n2.Submit(t.Context(), []byte("junk")); err == nil {
			t.Error("junk was submitted")
		}
		if s1.Tip().Size() != size+1 {
			t.Errorf("the register has %d leaves, want %d", s1.Tip().Size(), size+1)
		}
	})
}

// Operations come in at three nodes at once; all get in, each once.
func TestSubmitRacesFromThreeNodes(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, s2, s3 := a.three()
		a.enrol("N1")
		a.enrol("N2")
		a.enrol("N3")
		before := s1.Tip().Size()
		a.until("all have it", func() bool { return s2.Tip().Size() == before && s3.Tip().Size() == before })
		var wg sync.WaitGroup
		for i, at := range []*mnode{s1, s2, s3} {
			name := []string{"N1", "N2", "N3"}[i]
			op := a.draft(at, register.AdministratorsOf(a.org(s1.State(), name)), register.OfferCustody{}, name+" a")
			for _, by := range []*mnode{s1, s2, s3} { // and each of them everywhere
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					if _, err := by.Submit(ctx, op); err != nil {
						t.Errorf("%s at %s: %v", name, by.name, err)
					}
				})
			}
		}
		wg.Wait()
		if got := s1.Tip().Size(); got != before+3 {
			t.Errorf("%d leaves for 3 operations", got-before)
		}
		a.until("all accept", func() bool {
			return s1.State().Size() == before+3 && s2.State().Size() == before+3 && s3.State().Size() == before+3
		})
		if s1.State().Digest() != s2.State().Digest() || s2.State().Digest() != s3.State().Digest() {
			t.Error("three registers")
		}
	})
}

// The node that gathered a checkpoint may be lost the moment Submit returns:
// the others have it, also where the signers have just become three.
func TestSubmitReturnsWhenColleaguesHaveIt(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, s2, s3 := a.node("S1"), a.further("S2"), a.further("S3")
		about := register.AdministratorsOf(s1.State().Secretariat())
		a.do(s1, about, register.NewVoters(s1.id, s2.id, s3.id), "s1")
		size := a.do(s1, about, register.NewSigners(s1.id, s2.id, s3.id), "s1")
		if s2.State().Size() < size || s3.State().Size() < size {
			t.Fatalf("S2 has %d and S3 %d of %d", s2.State().Size(), s3.State().Size(), size)
		}
		a.halt("S1")
		if got := a.do(s2, register.OfOrg(s2.State().Secretariat()), register.SetKind{Code: "example"}, "o1", "o2"); got != size+1 {
			t.Errorf("size %d", got)
		}
		// One that does not answer is not waited for longer than a moment.
		a.halt("S3")
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := s2.Submit(ctx, a.next(s2)); err == nil {
			t.Error("one of three decided")
		}
		if time.Since(began) > 35*time.Second {
			t.Errorf("after %s", time.Since(began))
		}
	})
}

// The answer to a proposal is lost, and the operation is in: Submit finds it.
func TestSubmitAfterALostAnswer(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, _, _ := a.three()
		before := s1.Tip().Size()
		once := true
		a.log.lost = func() bool { defer func() { once = false }(); return once }
		if got := a.do(s1, register.OfOrg(s1.State().Secretariat()), register.SetKind{Code: "example"}, "o1", "o2"); got != before+1 {
			t.Errorf("size %d after %d", got, before)
		}
	})
}

func TestEndorsementsMissing(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, _, _ := a.three()
		before := s1.Tip().Size()
		a.cut("S2", true)
		a.cut("S3", true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		op := a.draft(s1, register.OfOrg(s1.State().Secretariat()), register.SetKind{Code: "example"}, "o1", "o2")
		_, err := s1.Submit(ctx, op)
		if err == nil || !strings.Contains(err.Error(), "1 of the 2 signers needed") {
			t.Errorf("alone: %v", err)
		}
		if s1.Tip().Size() != before {
			t.Error("a leaf without endorsements")
		}
		a.cut("S2", false)
		if got, err := s1.Submit(t.Context(), op); err != nil || got != before+1 {
			t.Errorf("%d, %v", got, err)
		}
	})
}

// A clock that is a year off endorses nothing and says why, whichever way; the
// others go on, and nothing is lost.
func TestAClockAYearOff(t *testing.T) {
	for name, skew := range map[string]time.Duration{"ahead": 365 * 24 * time.Hour, "behind": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inAlliance(t, func(t *testing.T, a *alliance) {
				s1, s2, s3 := a.three()
				s3.skew.Store(int64(skew))
				about := register.OfOrg(s1.State().Secretariat())
				leaf, _, err := s1.Tip().Propose(s1.o.Now().Unix(), mustSigned(t, a.draft(s1, about, register.SetKind{Code: "example"}, "o1", "o2")))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s3.endorse(t.Context(), leaf, s3.Tip().Root()); err == nil || !strings.Contains(err.Error(), "clock") {
					t.Errorf("S3 endorses: %v", err)
				}
				size := a.do(s1, about, register.SetKind{Code: "example"}, "o1", "o2")
				a.until("S3 follows and signs all the same", func() bool { return s3.State().Size() == size })
				// Submitted at the node whose clock is off: where it is ahead,
				// nobody endorses its time; where it is behind, it is raised to
				// the newest leaf's.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err = s3.Submit(ctx, a.draft(s3, about, register.SetKind{Code: "another"}, "o1", "o2"))
				switch {
				case skew > 0 && (err == nil || !strings.Contains(err.Error(), "by this node's clock it is 2031")):
					t.Errorf("expired by a clock a year ahead: %v", err)
				case skew < 0 && err != nil:
					t.Errorf("raised to the newest leaf's time: %v", err)
				}
				if skew > 0 {
					s3.skew.Store(int64(time.Hour))
					if _, err := s3.Submit(ctx, a.draft(s3, about, register.SetKind{Code: "another"}, "o1", "o2")); err == nil || !strings.Contains(err.Error(), "check the clocks") {
						t.Errorf("a leaf an hour ahead: %v", err)
					}
				}
				if got := s2.Tip().Time(); got > s2.o.Now().Unix()+5 {
					t.Errorf("leaf time %d, now %d", got, s2.o.Now().Unix())
				}
			})
		})
	}
}

func mustSigned(t *testing.T, b []byte) register.SignedOp {
	t.Helper()
	so, _, err := register.DecodeSignedOp(b)
	if err != nil {
		t.Fatal(err)
	}
	return so
}

// A colleague's note of something else does not spoil the others'.
func TestABadNoteIsLeftOut(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, _, _ := a.three()
		old := s1.Note()
		for name, lie := range map[string]Answer{"none": {}, "garbage": {Notes: [][]byte{[]byte("garbage")}}, "of another size": {Notes: [][]byte{old}}, "two": {Notes: [][]byte{old, old}}} {
			a.mu.Lock()
			a.lies = func(to string, q Request) *Answer {
				if to == "S2" && q.Ask == AskCosign {
					return &lie
				}
				return nil
			}
			a.mu.Unlock()
			began := time.Now()
			a.move(s1)
			if time.Since(began) > 10*time.Second {
				t.Errorf("%s: after %s", name, time.Since(began))
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// What a node of the secretariat does, it does for its own: a member's request
// to sign or endorse is refused.
func TestStrangersAreNotServed(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1 := a.node("S1")
		n1 := a.enrol("N1")
		for _, q := range []Request{{Ask: AskCosign, To: 1}, {Ask: AskEndorse, Leaf: a.genesis}, {Ask: 99}} {
			if _, err := n1.ask(t.Context(), s1.id, q); err == nil {
				t.Errorf("request %d was served to a member", q.Ask)
			}
			if _, err := s1.ask(t.Context(), n1.id, q); err == nil {
				t.Errorf("request %d was served by a member", q.Ask)
			}
		}
		self, _ := s1.State().Node(n1.id)
		if _, err := s1.Serve(t.Context(), self, []byte("junk")); !errors.Is(err, ErrPeer) {
			t.Errorf("junk: %v", err)
		}
		if _, err := n1.Invite(t.Context(), nil, began); !errors.Is(err, ErrNotHere) {
			t.Errorf("a member invites: %v", err)
		}
	})
}

// Time moves by itself once a day.
func TestDailyTime(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, s2, _ := a.three()
		before := s1.State().Size()
		time.Sleep(25 * time.Hour)
		a.until("a leaf of time", func() bool { return s2.State().Size() > before })
		if d := s1.o.Now().Unix() - s2.State().Time(); d > 3700 {
			t.Errorf("leaf time is %d seconds old", d)
		}
	})
}

// A hundred ask at once for signatures over an older and a newer size. None is
// released before its mark is durable, no mark goes back, and whenever the
// node dies in between, what starts from its disk contradicts nothing.
func TestAttackConcurrentCosigning(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, s2, _ := a.three()
		n := s2.Tip().Size()
		for range 6 {
			a.move(s1)
			time.Sleep(time.Second)
		}
		a.until("S2 has it", func() bool { return s2.Tip().Size() == n+6 })
		d := a.halt("S2")
		delete(d.marks, markSigned) // as if it had signed nothing yet
		x := a.open("S2", d)
		mark := func(d *memory) (m signedMark) {
			if b := d.marks[markSigned]; b != nil {
				var err error
				if m, err = protocol.Decode[signedMark](b, 64); err != nil {
					t.Error(err)
				}
			}
			return m
		}
		var crashes []*memory
		d.after = func(c Change, durable *memory) {
			if c.Marks[markSigned] != nil {
				crashes = append(crashes, durable) // dies here, before the reply
			}
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				size := n + uint64(i%2)*uint64(1+i%6)
				note, err := x.cosign(t.Context(), size)
				if err != nil {
					t.Error(err)
					return
				}
				c, err := register.ParseCheckpoint(note)
				if root, _ := x.Tip().RootAt(size); err != nil || c.Size != size || c.Root != root {
					t.Errorf("signed %+v, %v", c, err)
				}
				if m := mark(d.clone()); m.Size < size {
					t.Errorf("a signature over %d was released with the mark at %d", size, m.Size)
				}
			})
		}
		wg.Wait()
		last := uint64(0)
		for i, c := range append(crashes, d.clone()) {
			m := mark(c)
			if m.Size < last {
				t.Fatalf("mark %d went back from %d to %d", i, last, m.Size)
			}
			last = m.Size
			again, err := New(a.options("S2", c))
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []uint64{n, n + 6} {
				note, err := again.cosign(t.Context(), size)
				if err != nil {
					t.Fatal(err)
				}
				if got, _ := register.ParseCheckpoint(note); got.Root != func() (r [32]byte) { h, _ := x.Tip().RootAt(size); return h }() {
					t.Error("another root was signed after a crash")
				}
			}
		}
		// A disk put back to an older state, on which another history grew,
		// keeps the mark of nothing; one that has the mark refuses.
		other := d.clone()
		other.leaves = other.leaves[:n]
		other.accepted = n
		for size := range other.notes {
			if size > n {
				delete(other.notes, size)
			}
		}
		o := a.options("S2", other)
		o.Now = func() time.Time { return time.Unix(began+9000, 0) }
		back, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			leaf, next, err := back.tip.Propose(back.tip.Time()+7, mustSigned(t, a.next(&mnode{Register: back, a: a})))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := back.endorse(t.Context(), leaf, back.tip.Root()); err == nil {
				t.Error("it endorses before it has again what it signed")
			}
			if err := <-other.Enqueue(Change{First: back.tip.Size(), Leaves: [][]byte{leaf}}); err != nil {
				t.Fatal(err)
			}
			back.tip = next
		}
		if _, err := back.cosign(t.Context(), n+6); !errors.Is(err, ErrDamaged) {
			t.Errorf("another history was signed: %v", err)
		}
		if again, err := New(a.options("S2", other)); err != nil || !errors.Is(again.Fault(), ErrDamaged) {
			t.Errorf("after a restart: %v", err)
		}
	})
}
