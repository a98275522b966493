package consensus

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// call is one proposal as its caller saw it.
type call struct {
	text       string
	start, end time.Time
	value      uint64 // the machine's count after it; 0: the fate is unknown
}

// checkLinear holds a history against the ledger: each acknowledged entry
// stands there exactly once at the place it was told, none twice, and a call
// that ended before another began has the smaller number.
func checkLinear(t *testing.T, history []call, entries []string) {
	t.Helper()
	at := map[string]int{}
	for i, e := range entries {
		if at[e] != 0 {
			t.Errorf("%q was applied at %d and %d", e, at[e], i+1)
		}
		at[e] = i + 1
	}
	var known []call
	for _, c := range history {
		got := at["workspace:"+c.text]
		if c.value != 0 && got != int(c.value) {
			t.Errorf("%q was acknowledged as number %d and stands at %d", c.text, c.value, got)
		}
		if c.value != 0 {
			known = append(known, c)
		}
	}
	slices.SortFunc(known, func(a, b call) int { return cmp.Compare(a.value, b.value) })
	var latest time.Time // start of any call with a smaller number
	for _, c := range known {
		if c.end.Before(latest) {
			t.Errorf("%q, number %d, ended before one with a smaller number began", c.text, c.value)
		}
		if c.start.After(latest) {
			latest = c.start
		}
	}
}

// writers propose from every node until stop is closed, and return the history.
func writers(t *testing.T, rs []*resident, stop <-chan struct{}, each func()) func() []call {
	var mu sync.Mutex
	var history []call
	var wait sync.WaitGroup
	for i, r := range rs {
		for j := range 2 {
			wait.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					time.Sleep(time.Millisecond) // lets the bubble's clock move
					c := call{text: fmt.Sprintf("writer %d.%d, entry %d", i, j, n), start: time.Now()}
					limit, cancel := context.WithTimeout(context.Background(), time.Second)
					out, err := r.g.Propose(limit, Workspace, []byte(c.text))
					cancel()
					c.end = time.Now()
					switch {
					case err == nil:
						c.value = binary.BigEndian.Uint64(out)
						each()
					case errors.Is(err, ErrUnknown):
					case errors.Is(err, ErrNoLeader), errors.Is(err, errClosed):
						continue // nothing was proposed
					default:
						t.Errorf("propose: %v", err)
					}
					mu.Lock()
					history = append(history, c)
					mu.Unlock()
				}
			})
		}
	}
	return func() []call { wait.Wait(); return history }
}

func leaderOf(t *testing.T, rs ...*resident) (leader *resident, rest []*resident) {
	t.Helper()
	until(t, "a leader", func() bool {
		leader, rest = nil, nil
		for _, r := range rs {
			if r.g.IsLeader() && r.g.Status().Role == "leader" {
				leader = r
			} else {
				rest = append(rest, r)
			}
		}
		return leader != nil
	})
	return leader, rest
}

// The leader is cut off, or dies, with operations in flight; the others go on,
// and it comes back. What was acknowledged is there once, in its order.
func TestFailoverWithOperationsInFlight(t *testing.T) {
	for _, how := range []string{"cut off", "stopped"} {
		t.Run(how, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				rs := w.three()
				stop := make(chan struct{})
				acked := make(chan struct{}, 1<<16)
				history := writers(t, rs, stop, func() { acked <- struct{}{} })
				more := func(n int) {
					for range n {
						select {
						case <-acked:
						case <-time.After(20 * time.Second):
							t.Fatal("no entry is acknowledged any more")
						}
					}
				}
				more(30)
				old, rest := leaderOf(t, rs...)
				if how == "stopped" {
					w.stop(old)
				} else {
					w.cutOff(old, true)
				}
				leaderOf(t, rest...)
				for len(acked) > 0 {
					<-acked
				}
				more(30)
				close(stop)
				calls := history()
				if how == "stopped" {
					w.open(old.id[31]).run()
				} else {
					w.cutOff(old, false)
				}
				propose(t, rest[0], "the last")
				want := rest[0].m.all()
				w.agree(want, rs...)
				checkLinear(t, calls, want)
			})
		})
	}
}

// A leader that is cut off cannot commit: the caller hears that the outcome is
// not known, and the entry is gone or there, the same on all.
func TestCutOffLeaderAcknowledgesNothing(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		propose(t, rs[0], "before")
		w.cutOff(rs[0], true)
		limit, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		if _, err := rs[0].g.Propose(limit, Workspace, []byte("lost")); !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrNoLeader) {
			t.Fatalf("a leader without a majority: %v", err)
		}
		leaderOf(t, rs[1], rs[2])
		propose(t, rs[1], "after")
		w.cutOff(rs[0], false)
		if err := rs[0].g.Barrier(ctx(t)); err != nil {
			t.Fatal(err)
		}
		want := []string{"workspace:before", "workspace:after"}
		w.agree(want, rs...)
	})
}

func TestNoLeader(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		w.stop(rs[1])
		w.stop(rs[2])
		until(t, "the leader to step down", func() bool { return !rs[0].g.IsLeader() })
		limit, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		if _, err := rs[0].g.Propose(limit, Register, []byte("x")); !errors.Is(err, ErrNoLeader) {
			t.Fatalf("propose without a majority: %v", err)
		}
		if got := rs[0].m.all(); len(got) != 0 {
			t.Fatalf("applied without a majority: %q", got)
		}
	})
}

func TestVotersGrowAndShrink(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		propose(t, rs[1], "three")
		ids := []protocol.NodeID{rs[0].id, rs[1].id, rs[2].id}
		// To the second alone: the leader hands on and is taken out in turn.
		for _, r := range rs {
			if err := r.g.SetVoters(ctx(t), ids[1:2]); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "a group of one", func() bool {
			s := rs[1].g.Status()
			return s.Role == "leader" && len(s.Voters) == 1 && len(s.Learners) == 0
		})
		if n := propose(t, rs[1], "one"); n != 2 {
			t.Fatalf("number %d", n)
		}
		// One that is taken out cannot disturb: it has no voice any more.
		term := rs[1].g.Status().Term
		until(t, "the others to fall silent", func() bool { return !rs[0].g.IsLeader() && !rs[2].g.IsLeader() })
		propose(t, rs[1], "still one")
		if s := rs[1].g.Status(); s.Term != term || s.Role != "leader" {
			t.Fatalf("a node that was taken out disturbed the leader: %+v", s)
		}
		// And to three again with a newcomer, the first as a learner.
		d := w.open(4).run()
		voters := []protocol.NodeID{rs[1].id, rs[2].id, d.id}
		if err := rs[1].g.SetVoters(ctx(t), voters, rs[0].id); err != nil {
			t.Fatal(err)
		}
		w.agree([]string{"workspace:three", "workspace:one", "workspace:still one"}, rs[0], rs[2], d)
		s := rs[1].g.Status()
		if len(s.Voters) != 3 || !slices.Equal(s.Learners, ids[:1]) {
			t.Fatalf("status %+v", s)
		}
		// Doing it again changes nothing.
		last := rs[1].g.Status().Last
		if err := rs[1].g.SetVoters(ctx(t), voters, rs[0].id); err != nil {
			t.Fatal(err)
		}
		if now := rs[1].g.Status().Last; now != last {
			t.Fatalf("the log grew from %d to %d", last, now)
		}
	})
}

// A vote is given only to a node that answers, or the group would stand still.
func TestAbsentNodeGetsNoVote(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.open(1)
		if err := a.g.Bootstrap(); err != nil {
			t.Fatal(err)
		}
		a.run()
		until(t, "a leader", a.g.IsLeader)
		w.mu.Lock()
		w.known[nodeID(2)], w.known[nodeID(3)] = true, true
		w.mu.Unlock()
		limit, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		err := a.g.SetVoters(limit, []protocol.NodeID{a.id, nodeID(2), nodeID(3)})
		if err == nil || !strings.Contains(err.Error(), "to answer") {
			t.Fatalf("absent voters: %v", err)
		}
		propose(t, a, "alone and at work")
		b, c := w.open(2).run(), w.open(3).run()
		until(t, "three voters", func() bool { return len(a.g.Status().Voters) == 3 })
		w.agree([]string{"workspace:alone and at work"}, b, c)
	})
}

func TestSetVotersRefuses(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.open(1)
		for _, ids := range [][]protocol.NodeID{nil, {nodeID(1), nodeID(2)}, {nodeID(1), nodeID(2), nodeID(1)}} {
			if err := a.g.SetVoters(ctx(t), ids); err == nil {
				t.Errorf("%d voters were taken", len(ids))
			}
		}
		if err := a.g.SetVoters(ctx(t), []protocol.NodeID{nodeID(1)}, nodeID(1)); err == nil {
			t.Error("a voter was taken as a learner too")
		}
	})
}

// A leader that falls silent while it holds a forwarded entry: the caller
// hears soon after the next election that the outcome is not known, and not
// when its own time is up.
func TestSilentLeaderHoldsNobodyUp(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		w.mu.Lock()
		w.deaf[rs[0].id] = true // takes connections and says nothing on them
		w.mu.Unlock()
		got := make(chan error, 1)
		began := time.Now()
		go func() {
			_, err := rs[1].g.Propose(ctx(t), Workspace, []byte("to a silent leader"))
			got <- err
		}()
		synctest.Wait()
		w.mu.Lock()
		w.cut[rs[0].id] = true
		w.mu.Unlock()
		rs[0].g.engine().conns.drop(func(protocol.NodeID) bool { return true })
		if err := <-got; !errors.Is(err, ErrUnknown) {
			t.Fatalf("a silent leader: %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("it took %v", took)
		}
	})
}
