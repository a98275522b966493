package membership

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// A member that was away while the signers changed twice walks the notes of
// each change.
func TestFollowerWalksTwoChangesOfSigners(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		n1 := a.enrol("N1")
		before := n1.State().Size()
		away := a.halt("N1")
		s1, s2, s3 := a.three()
		s4 := a.further("S4")
		about := register.AdministratorsOf(s1.State().Secretariat())
		a.do(s1, about, register.NewVoters(s2.id, s3.id, s4.id), "s1")
		a.do(s1, about, register.NewSigners(s2.id, s3.id, s4.id), "s1")
		a.do(s2, about, register.RetireNode{Node: s1.id}, "s1")
		a.move(s3)
		a.halt("S1")
		// No single signer is left of those that it knows.
		n1 = a.reopen("N1", away)
		if n1.State().Size() != before {
			t.Fatal("it is not where it was")
		}
		n1.Follow(s2.id)
		a.until("it has followed", func() bool { return n1.State().Root() == s2.State().Root() })
		if err := n1.Fault(); err != nil {
			t.Error(err)
		}
		// Without the notes in between it cannot be led.
		forged := a.open("N1", away.clone())
		head := s2.State()
		l, err := s2.leaves(before, head.Size())
		if err != nil {
			t.Fatal(err)
		}
		old, err := register.Begin(a.network, a.genesis)
		if err == nil {
			old, err = register.Replay(old, away.leaves[1:before])
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := accept(old, l.Leaves, [][]byte{s2.Note()}); !errors.Is(err, register.ErrSigners) {
			t.Errorf("led by strangers: %v", err)
		}
		if forged.State().Size() == 0 {
			t.Error("no state")
		}
	})
}

// More changes of signers than one answer's notes are walked in steps.
func TestFollowerWalksManyChanges(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		a.enrol("N1")
		away := a.halt("N1")
		s1, s2, s3 := a.three()
		s4 := a.further("S4")
		a.until("S4 is up", func() bool { return s4.State().Size() == s1.State().Size() })
		about := register.AdministratorsOf(s1.State().Secretariat())
		for i := range register.MaxNotes + 5 {
			third := s3
			if i%2 == 0 {
				third = s4
			}
			a.do(s1, about, register.NewSigners(s1.id, s2.id, third.id), "s1")
		}
		n1 := a.reopen("N1", away)
		n1.Follow(s1.id)
		a.until("it has followed", func() bool { return n1.State().Size() == s1.State().Size() })
		// And who joins after all that enters in steps too.
		n2 := a.enrol("N2")
		n2.Follow(s1.id)
		a.until("it has followed", func() bool { return n2.State().Root() == s1.State().Root() })
	})
}

// A leaf is lost on a member's disk: the node opens, serves with what is good,
// says so, fetches the register anew, and goes on.
func TestDamagedMemberFetchesAnew(t *testing.T) {
	for name, damage := range map[string]func(*memory){
		"a lost leaf":      func(d *memory) { d.lose(2) },
		"the newest leaf":  func(d *memory) { d.lose(d.accepted - 1) },
		"the note":         func(d *memory) { d.notes[d.accepted] = nil },
		"a note that lies": func(d *memory) { d.notes[d.accepted] = slices.Clone(d.notes[1]) },
		"all but genesis": func(d *memory) {
			for i := range d.leaves[1:] {
				d.lose(uint64(i) + 1)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inAlliance(t, func(t *testing.T, a *alliance) {
				n1 := a.enrol("N1")
				n2 := a.enrol("N2")
				a.until("N1 follows", func() bool { return n1.State().Size() == n2.State().Size() })
				want := n1.State()
				d := a.halt("N1")
				if d.notes[1] == nil {
					d.notes[1] = a.node("S1").disk.clone().notes[1]
				}
				damage(d)
				n1 = a.open("N1", d)
				if err := n1.Fault(); !errors.Is(err, ErrDamaged) {
					t.Fatalf("fault: %v", err)
				}
				if n1.State() == nil || n1.State().Size() > want.Size() {
					t.Fatal("it has no register to serve with")
				}
				if _, err := n1.answer(t.Context(), protocol.Node{}, Request{Ask: AskHead}); err == nil {
					t.Error("it gives out a damaged head")
				}
				n1.o.Org = want.Secretariat()
				n1 = a.run(n1)
				a.node("S1").o.PollEvery = time.Second
				n1.Follow(a.node("S1").id)
				a.until("it is whole", func() bool { return n1.Fault() == nil && n1.State().Root() == want.Root() })
				a.halt("N1")
				if again := a.open("N1", d); again.Fault() != nil || again.State().Root() != want.Root() {
					t.Errorf("after a restart: %v", again.Fault())
				}
			})
		})
	}
}

// A flipped bit in a leaf of one node of the secretariat: it signs and endorses
// nothing and says so, and the others go on.
func TestAttackBitFlipInLeaf(t *testing.T) {
	for name, flip := range map[string]func(d *memory){
		"seen by the store": func(d *memory) { d.lose(3) },
		"seen by its root": func(d *memory) {
			l := slices.Clone(d.leaves[3])
			l[len(l)/2] ^= 1
			d.leaves[3] = l
		},
		"in the time of a leaf, which nobody signed": func(d *memory) {
			l, err := register.DecodeLeaf(d.leaves[3])
			if err != nil {
				panic(err)
			}
			l.Time++
			d.leaves[3] = l.Encode()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inAlliance(t, func(t *testing.T, a *alliance) {
				s1, s2, _ := a.three()
				want := s2.State()
				d := a.halt("S2")
				whole := slices.Clone(d.leaves[3])
				flip(d)
				s2 = a.open("S2", d)
				if err := s2.Fault(); !errors.Is(err, ErrDamaged) {
					t.Fatalf("fault: %v", err)
				}
				if _, err := s2.cosign(t.Context(), 1); !errors.Is(err, ErrDamaged) {
					t.Errorf("it signs: %v", err)
				}
				leaf, _, err := s1.Tip().Propose(s1.o.Now().Unix(), mustSigned(t, a.next(s1)))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s2.endorse(t.Context(), leaf, s1.Tip().Root()); !errors.Is(err, ErrDamaged) {
					t.Errorf("it endorses: %v", err)
				}
				if _, err := s2.Apply(1000, []byte("entry")); !errors.Is(err, ErrDamaged) {
					t.Errorf("it applies: %v", err)
				}
				s2.o.Org = want.Secretariat()
				a.mu.Lock() // its machine does not run
				a.nodes["S2"] = s2
				a.mu.Unlock()
				ctx, stop := context.WithCancel(t.Context())
				s2.stop, s2.done = stop, make(chan struct{})
				go func() { defer close(s2.done); s2.Run(ctx) }()
				size := a.move(s1)
				if size != want.Size()+1 {
					t.Errorf("the others came to %d", size)
				}
				if name == "seen by the store" {
					s2.Follow(s1.id)
					a.until("it has the register again", func() bool { return s2.State().Size() == size })
				}
				if err := s2.Fault(); !errors.Is(err, ErrDamaged) {
					t.Errorf("it signs again by itself: %v", err)
				}
				if _, err := s2.cosign(t.Context(), 1); !errors.Is(err, ErrDamaged) {
					t.Errorf("it signs: %v", err)
				}
				a.halt("S2")
				if name == "seen by the store" {
					if string(d.leaves[3]) != string(whole) {
						t.Error("the leaf is not the one that was there")
					}
					if again := a.open("S2", d); again.Fault() != nil {
						t.Errorf("after a restart: %v", again.Fault())
					}
				}
			})
		})
	}
}

// Leaves beyond the accepted checkpoint that are lost come again from the log.
func TestLostTailIsAppliedAgain(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, s2, _ := a.three()
		a.cut("S3", true)
		a.mu.Lock()
		a.lies = func(to string, q Request) *Answer { // nobody signs for now
			if q.Ask == AskCosign {
				return &Answer{Fault: "not now"}
			}
			return nil
		}
		a.mu.Unlock()
		before := s1.State().Size()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := s1.Submit(ctx, a.next(s1)); err == nil || !strings.Contains(err.Error(), "still gathered") {
			t.Fatalf("%v", err)
		}
		if s2.Tip().Size() != before+1 || s2.State().Size() != before {
			t.Fatal("no tail")
		}
		signed := s2.signed
		d := a.halt("S2")
		d.lose(before)
		s2 = a.open("S2", d)
		if err := s2.Fault(); err != nil {
			t.Fatal(err)
		}
		if s2.Tip().Size() != before || s2.Applied() != 0 {
			t.Fatalf("tip %d, applied %d", s2.Tip().Size(), s2.Applied())
		}
		s2.o.Org = s1.o.Org
		a.run(s2)
		if s2.Tip().Size() != before+1 || s2.Tip().Root() != s1.Tip().Root() || s2.signed != signed {
			t.Errorf("tip %d", s2.Tip().Size())
		}
		a.mu.Lock()
		a.lies = nil
		a.mu.Unlock()
		a.until("it is signed", func() bool { return s1.State().Size() == before+1 })
	})
}

// Two histories signed by the signers: the second is kept as proof, told, and
// not followed; nothing is endorsed or signed while it stands.
func TestAttackSplitView(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1 := a.node("S1")
		n1 := a.enrol("N1")
		mine := n1.State()
		// The lone signer signs another leaf at the same place.
		half := mine.Size() - 1
		other, err := register.Begin(a.network, a.genesis)
		if err == nil {
			other, err = register.Replay(other, s1.disk.clone().leaves[1:half])
		}
		if err != nil {
			t.Fatal(err)
		}
		op, err := other.Draft(register.OfTime(), register.Time{}, other.Time()+9000)
		if err != nil {
			t.Fatal(err)
		}
		_, other, err = other.Propose(other.Time()+4000, register.SignedOp{Op: op.Encode()})
		if err != nil {
			t.Fatal(err)
		}
		note, err := other.SignCheckpoint(other.Size(), s1.id, key("S1 checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		a.mu.Lock()
		a.lies = func(to string, q Request) *Answer {
			if to == "S1" && q.Ask == AskHead {
				return &Answer{Size: other.Size(), Notes: [][]byte{note}}
			}
			return nil
		}
		a.mu.Unlock()
		n1.Follow(s1.id)
		a.until("N1 says so", func() bool { return errors.Is(n1.Fault(), ErrSplit) })
		if n1.State().Root() != mine.Root() {
			t.Error("it followed")
		}
		if b, _ := n1.disk.Mark(markSplit); string(b) != string(note) {
			t.Error("the proof is not kept")
		}
		a.halt("N1")
		if again := a.open("N1", n1.disk); !errors.Is(again.Fault(), ErrSplit) {
			t.Error("forgotten after a restart")
		}
	})
}

// A peer's register that is none changes nothing, and costs bounded memory.
func TestAttackLyingPeers(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1 := a.node("S1")
		n1 := a.enrol("N1")
		a.enrol("N2")
		a.until("N1 follows", func() bool { return n1.State().Size() == s1.State().Size() })
		at := n1.State()
		good := s1.Note()
		huge := uint64(1) << 50
		asked := 0
		leafTime := at.Time()
		endless := func(q Request) *Answer { // leaves of time that nobody endorsed: valid, and without end
			s := at
			if asked > 0 {
				return &Answer{Leaves: [][]byte{[]byte("junk")}}
			}
			asked++
			var out [][]byte
			for range 20 {
				op, err := s.Draft(register.OfTime(), register.Time{}, s.Time()+9000)
				if err != nil {
					t.Error(err)
					return nil
				}
				leafTime += 3700
				l, next, err := s.Propose(leafTime, register.SignedOp{Op: op.Encode()})
				if err != nil {
					t.Error(err)
					return nil
				}
				s = next
				out = append(out, l)
			}
			return &Answer{Leaves: out}
		}
		fakeNote := []byte(strings.Replace(string(good), "\n"+sizeText(at.Size())+"\n", "\n"+sizeText(huge)+"\n", 1))
		newer := register.Leaf{Time: at.Time() + 1, Op: protocol.Encode(map[int]any{1: 2, 3: 99})}.Encode()
		if _, err := register.Apply(at, newer); !errors.Is(err, register.ErrUpgrade) {
			t.Fatal(err)
		}
		// The lone signer itself lies.
		signed := signedNote(t, register.Checkpoint{Network: a.network, Size: huge, Root: at.Root()}, s1.id, key("S1 checkpoint"))
		for name, lie := range map[string]func(q Request) *Answer{
			"no note":         func(q Request) *Answer { return &Answer{Size: huge} },
			"a note of less":  func(q Request) *Answer { return &Answer{Size: huge, Notes: [][]byte{good}} },
			"junk for a note": func(q Request) *Answer { return &Answer{Size: huge, Notes: [][]byte{[]byte("junk")}} },
			"no leaves": func(q Request) *Answer {
				if q.Ask == AskHead {
					return &Answer{Size: huge, Notes: [][]byte{fakeNote}}
				}
				return &Answer{}
			},
			"too many leaves": func(q Request) *Answer {
				if q.Ask == AskHead {
					return &Answer{Size: at.Size() + 1, Notes: [][]byte{fakeNote}}
				}
				return &Answer{Leaves: [][]byte{{1}, {2}, {3}}}
			},
			"leaves without end": func(q Request) *Answer {
				if q.Ask == AskHead {
					return &Answer{Size: huge, Notes: [][]byte{signed}}
				}
				return endless(q)
			},
			"leaves without end, a false note between": func(q Request) *Answer {
				switch q.Ask {
				case AskHead:
					return &Answer{Size: huge, Notes: [][]byte{fakeNote}}
				case AskNotes:
					return &Answer{Notes: [][]byte{fakeNote}}
				}
				return endless(q)
			},
			"a note between that is beyond its head": func(q Request) *Answer {
				switch q.Ask {
				case AskHead:
					return &Answer{Size: at.Size() + 1, Notes: [][]byte{[]byte(strings.Replace(string(good), "\n"+sizeText(at.Size())+"\n", "\n"+sizeText(at.Size()+1)+"\n", 1))}}
				case AskNotes:
					return &Answer{Notes: [][]byte{signed}}
				}
				return endless(q)
			},
			"an operation of a newer program": func(q Request) *Answer {
				if q.Ask == AskHead {
					return &Answer{Size: huge, Notes: [][]byte{fakeNote}}
				}
				return &Answer{Leaves: [][]byte{newer}, Notes: [][]byte{fakeNote}}
			},
		} {
			leaves := 0
			a.mu.Lock()
			a.lies = func(to string, q Request) *Answer {
				if to == "S1" {
					if q.Ask == AskRange {
						leaves++
					}
					return lie(q)
				}
				return nil
			}
			a.mu.Unlock()
			if err := n1.catchUp(t.Context(), s1.id); err == nil {
				t.Errorf("%s: accepted", name)
			}
			if want := name == "leaves without end"; (leaves > 0) != want || leaves > 2 {
				t.Errorf("%s: leaves were asked for %d times", name, leaves)
			}
			if n1.State() != at || n1.Fault() != nil {
				t.Errorf("%s: something changed: %v", name, n1.Fault())
			}
		}
	})
}

// signedNote is a note of a checkpoint that no register has.
func signedNote(t *testing.T, c register.Checkpoint, id protocol.NodeID, k crypto.PrivateKey) []byte {
	t.Helper()
	public := k.Public()
	text, err := note.NewEd25519VerifierKey(id.String(), public[:])
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := note.Sign(&note.Note{Text: c.Text()}, noteSigner{v, ed25519.NewKeyFromSeed(k.Seed())})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type noteSigner struct {
	note.Verifier
	key ed25519.PrivateKey
}

func (n noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(n.key, msg), nil }

func sizeText(n uint64) string {
	c := register.Checkpoint{Size: n}
	return strings.Split(c.Text(), "\n")[1]
}

// A newcomer whose power fails while it enters begins again.
func TestEnterCutInTwo(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		a.enrol("N1")
		d := a.halt("N1")
		d.accepted, d.notes = 0, map[uint64][]byte{}
		d.leaves = d.leaves[:2]
		n1 := a.open("N1", d)
		if n1.State() != nil || n1.Fault() != nil {
			t.Fatal("half a register counts")
		}
		given, err := a.node("S1").handOut(a.node("S1").State(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := n1.Enter(given.Leaves, given.Notes); err != nil {
			t.Fatal(err)
		}
		if n1.State().Root() != a.node("S1").State().Root() {
			t.Error("another register")
		}
		synctest.Wait()
	})
}

// Another network's register is not entered, nor opened.
func TestThePinnedNetworkAlone(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1 := a.node("S1")
		o := a.options("N1", newMemory())
		o.Pinned = protocol.NetworkID{1}
		o.Now = s1.o.Now
		r, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		given, err := s1.handOut(s1.State(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Enter(given.Leaves, given.Notes); err == nil {
			t.Error("entered")
		}
		o.Disk = s1.disk.clone()
		if _, err := New(o); err == nil {
			t.Error("opened")
		}
	})
}
