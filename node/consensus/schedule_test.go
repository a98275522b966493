package consensus

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the one schedule to run; 0: a few")

// Three nodes, and two that stand by, under a random schedule of cuts, deaths,
// returns and changes of voters. After every step no two machines differ in
// what both have; at the end all agree, and no acknowledged entry is missing,
// doubled or out of order.
func TestRandomSchedules(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) { schedule(t, w, seed) })
		})
	}
}

func schedule(t *testing.T, w *town, seed uint64) {
	w.tweak = func(o *Options) { o.SnapshotEvery, o.Trailing = 30, 10 }
	rng := rand.New(rand.NewPCG(seed, 0))
	rs := w.three()
	rs = append(rs, w.open(4).run(), w.open(5).run())
	up := []bool{true, true, true, true, true}
	cut := make([]bool, 5)

	stop := make(chan struct{})
	var mu sync.Mutex // guards history and the groups that are replaced
	var history []call
	var wait sync.WaitGroup
	for i := range rs {
		wait.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				mu.Lock()
				g := rs[i].g
				mu.Unlock()
				c := call{text: fmt.Sprintf("node %d, entry %d", i, n), start: time.Now()}
				limit, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
				out, err := g.Propose(limit, Workspace, []byte(c.text))
				cancel()
				c.end = time.Now()
				if err == nil {
					c.value = binary.BigEndian.Uint64(out)
				} else if !errors.Is(err, ErrUnknown) {
					continue
				}
				mu.Lock()
				history = append(history, c)
				mu.Unlock()
			}
		})
	}
	for range 25 {
		i := rng.IntN(len(rs))
		switch rng.IntN(5) {
		case 0, 1:
			cut[i] = !cut[i]
			w.cutOff(rs[i], cut[i])
		case 2, 3:
			if up[i] {
				w.stop(rs[i])
			} else {
				mu.Lock()
				w.open(byte(i + 1)).run()
				mu.Unlock()
			}
			up[i] = !up[i]
		case 4:
			perm := rng.Perm(5)[:3]
			var voters []protocol.NodeID
			for _, j := range perm {
				voters = append(voters, rs[j].id)
			}
			limit, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			for _, r := range rs {
				r.g.SetVoters(limit, voters) // an error says that it takes longer
			}
			cancel()
		}
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond) // of virtual time: the schedule
		synctest.Wait()
		for _, a := range rs {
			for _, b := range rs {
				x, y := a.m.all(), b.m.all()
				if n := min(len(x), len(y)); !slices.Equal(x[:n], y[:n]) {
					t.Fatalf("nodes %s and %s differ", a.id.Short(), b.id.Short())
				}
			}
		}
	}
	for i := range rs {
		if cut[i] {
			w.cutOff(rs[i], false)
		}
		if !up[i] {
			mu.Lock()
			w.open(byte(i + 1)).run()
			mu.Unlock()
		}
	}
	close(stop)
	wait.Wait()
	all := []protocol.NodeID{rs[0].id, rs[1].id, rs[2].id, rs[3].id, rs[4].id}
	for _, r := range rs {
		go r.g.SetVoters(ctx(t), all)
	}
	until(t, "all five to vote", func() bool {
		for _, r := range rs {
			if s := r.g.Status(); s.Role == "leader" && len(s.Voters) == 5 {
				return true
			}
		}
		return false
	})
	propose(t, rs[0], "the last")
	leader, _ := leaderOf(t, rs...)
	want := leader.m.all()
	w.agree(want, rs...)
	checkLinear(t, history, want)
	acked := 0
	for _, c := range history {
		if c.value != 0 {
			acked++
		}
	}
	if acked < 30 {
		t.Errorf("only %d entries were acknowledged", acked)
	}
	t.Logf("%d entries acknowledged, %d unknown, %d applied", acked, len(history)-acked, len(want))
}
