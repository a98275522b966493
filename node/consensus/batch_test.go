package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
)

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The machine gets each command once, in order, and nothing else; in batches
// where it takes them; and nothing after it failed.
func TestMachineIsFedOnce(t *testing.T) {
	logs := []*raft.Log{
		{Index: 3, Data: []byte{1, 'a'}},
		{Index: 4, Type: raft.LogConfiguration, Data: []byte{1}},
		{Index: 5, Data: []byte{2, 'b'}},
		{Index: 6, Data: nil},
		{Index: 7, Data: []byte{2, 'c'}},
	}
	l := &ledger{applied: 3, entries: []string{"register:a"}}
	var failed error
	f := batchFSM{&fsm{machine: batchLedger{l}, applied: newSignal(), fail: func(err error) { failed = err }}}
	moved := f.applied.wait()
	out := f.ApplyBatch(logs)
	if want := []string{"register:a", "workspace:b", "workspace:c"}; !slices.Equal(l.all(), want) || l.batches != 1 {
		t.Fatalf("applied %q in %d batches", l.all(), l.batches)
	}
	for i, n := range []byte{0, 0, 2, 0, 3} {
		o := out[i].(outcome)
		if got := append(o.result, 0)[max(0, len(o.result)-1)]; got != n || o.err != nil {
			t.Errorf("result %d is %v", i, o)
		}
	}
	select {
	case <-moved:
	default:
		t.Error("nobody was told that the machine moved")
	}
	if f.ApplyBatch(logs); len(l.all()) != 3 {
		t.Errorf("applied again: %q", l.all())
	}

	l.refuse = errors.New("no space")
	o := f.Apply(&raft.Log{Index: 8, Data: []byte{1, 'd'}}).(outcome)
	if !errors.Is(o.err, l.refuse) || !errors.Is(failed, l.refuse) {
		t.Errorf("a failed entry: %v, %v", o.err, failed)
	}
	l.refuse = nil
	o = f.Apply(&raft.Log{Index: 9, Data: []byte{1, 'e'}}).(outcome)
	if o.err == nil || len(l.all()) != 3 {
		t.Errorf("an entry after a failed one was applied: %q", l.all())
	}
	if _, err := f.Snapshot(); err == nil {
		t.Error("a failed machine gives a snapshot, which would skip the entry")
	}
}

func TestManyAtOnceAreBatched(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		l := &ledger{}
		w.tweak = func(o *Options) { o.Machine = batchLedger{l} }
		a := w.one(1)
		var wait sync.WaitGroup
		for i := range 64 {
			wait.Go(func() { propose(t, a, fmt.Sprint("entry ", i)) })
		}
		wait.Wait()
		if n := len(l.all()); n != 64 || l.batches == 0 {
			t.Errorf("%d entries in %d batches", n, l.batches)
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	entry := bytes.Repeat([]byte{'x'}, 1024)
	run := func(b *testing.B, g *Group) {
		for b.Loop() {
			if _, err := g.Propose(context.Background(), Workspace, entry); err != nil {
				b.Fatal(err)
			}
		}
	}
	many := func(b *testing.B, g *Group) {
		b.ResetTimer()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := g.Propose(context.Background(), Workspace, entry); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, c := range []struct {
		name string
		run  func(*testing.B, *Group)
	}{{"serial", run}, {"64 at once", many}} {
		b.Run("one node, "+c.name, func(b *testing.B) {
			w := newTown(b)
			c.run(b, w.one(1).g)
		})
		b.Run("three nodes, "+c.name, func(b *testing.B) {
			w := newTown(b)
			w.tweak = slow
			c.run(b, w.three()[0].g)
		})
	}
	b.Run("three nodes, forwarded", func(b *testing.B) {
		w := newTown(b)
		w.tweak = slow
		run(b, w.three()[1].g)
	})
}

// slow keeps elections away on a busy machine.
func slow(o *Options) { o.Heartbeat, o.Commit, o.SnapshotEvery = 1e9, 5e7, 1<<40 }

// Close at any moment around Run leaves the folder free for the next.
func TestCloseWhileRunBegins(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		for range 50 {
			r := w.open(1).run()
			w.stop(r)
		}
		a := w.one(1)
		propose(t, a, "still at work")
	})
}
