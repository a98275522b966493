package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
)

// draftOf drafts a record of x to y's organisation, kept by the secretariat.
func draftOf(y, sec *running) replica.Draft {
	return replica.Draft{Audience: protocol.ListAudience(y.Org()), Custodians: []protocol.OrgID{sec.Org()},
		Contents: []protocol.Content{{Kind: "test/example", Time: time.Now().Unix(), Body: []byte("an invented example body")}},
		Expiry:   protocol.DayOf(time.Now().Unix()) + 100}
}

// written sends until it is written and not queued.
func written(t *testing.T, x *running, d replica.Draft) (sent replica.Sent) {
	t.Helper()
	until(t, "the head check", func() bool {
		var err error
		if sent, err = x.Replica().Send(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		return sent.Queued == 0
	})
	return sent
}

// copyFolder is what somebody does who backs a node up by copying its folder.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(to, "api.sock"))
}

// A folder that is copied and run twice: both write, the proof is kept and
// told, and both halt for good.
func TestAttackForkByClonedFolder(t *testing.T) {
	t.Parallel()
	a := found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	x, y := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	first := written(t, x, draftOf(y, sec))
	for _, n := range []*running{y, sec} {
		if err := x.Replica().Await(ctx, first.Feed, first.Seq, n.ID()); err != nil {
			t.Fatal(err)
		}
	}
	a.stop("alpha")
	clone := filepath.Join(a.dir, "clone")
	copyFolder(t, filepath.Join(a.dir, "alpha"), clone)
	x = a.start("alpha", filepath.Join(a.dir, "alpha"))
	twin := a.start("clone", clone)
	for _, n := range []*running{x, twin} {
		a.ready(n)
		if err := n.Unlock(passphrase); err != nil {
			t.Fatal(err)
		}
	}
	// Each has heard that nothing is newer than what it has.
	until(t, "both may write", func() bool { return x.Replica().Checked() && twin.Replica().Checked() })
	time.Sleep(2 * time.Second) // of HeadWait, twice: after that nothing holds them back
	var wg sync.WaitGroup
	for i, n := range []*running{x, twin} {
		wg.Go(func() {
			d := draftOf(y, sec)
			d.Contents[0].Body = []byte{'a' + byte(i)}
			sent, err := n.Replica().Send(ctx, d)
			if err != nil || sent.Queued != 0 || sent.Seq != first.Seq+1 {
				t.Errorf("no fork was made: %+v, %v", sent, err)
			}
		})
	}
	wg.Wait()
	for name, n := range map[string]*running{"the secretariat": sec, "the reader": y, "the author": x, "its clone": twin} {
		// Each of the two is told on its own stream.
		within(t, time.Minute, name+" has the proof", func() bool { return len(n.Replica().Forks()) == 1 })
		proof := n.Replica().Forks()[first.Feed]
		if _, seq, node, err := proof.Verify(sec.Register().State()); err != nil || seq != first.Seq+1 || node != x.ID() {
			t.Errorf("%s: proof at %d, %v", name, seq, err)
		}
	}
	for _, n := range []*running{x, twin} {
		if _, err := n.Replica().Send(ctx, draftOf(y, sec)); !errors.Is(err, replica.ErrReplaced) {
			t.Errorf("it writes on: %v", err)
		}
	}
	a.stop("alpha")
	a.stop("clone")
	x = a.start("alpha", filepath.Join(a.dir, "alpha"))
	a.ready(x)
	if err := x.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Replica().Send(ctx, draftOf(y, sec)); !errors.Is(err, replica.ErrReplaced) {
		t.Errorf("it writes after a restart: %v", err)
	}
	if len(sec.Replica().Forks()) != 1 {
		t.Error("the proof is lost")
	}
}

// A folder put back to an older copy is found out before it writes, stays
// locked, and has again what it published.
func TestAttackRolledBackFolderLocks(t *testing.T) {
	t.Parallel()
	a := found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	x, y := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	written(t, x, draftOf(y, sec))
	dir, old := filepath.Join(a.dir, "alpha"), filepath.Join(a.dir, "old")
	a.stop("alpha")
	copyFolder(t, dir, old)
	x = a.start("alpha", dir)
	a.ready(x)
	if err := x.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	last := written(t, x, draftOf(y, sec))
	if err := x.Replica().Await(ctx, last.Feed, last.Seq, sec.ID()); err != nil {
		t.Fatal(err)
	}
	a.stop("alpha")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	copyFolder(t, old, dir)
	for _, again := range []bool{false, true} {
		x = a.start("alpha", dir)
		a.ready(x)
		if err := x.Unlock(passphrase); err != nil {
			t.Fatal(err)
		}
		until(t, "it is locked", x.Replica().Replaced)
		if _, err := x.Replica().Send(ctx, draftOf(y, sec)); !errors.Is(err, replica.ErrReplaced) {
			t.Errorf("it writes: %v", err)
		}
		until(t, "it has its record again", func() bool {
			rec, err := x.store.Record(last.Feed, last.Seq)
			return err == nil && rec.ID() == last.Record.ID()
		})
		if again {
			break
		}
		a.stop("alpha")
	}
	if len(sec.Replica().Forks())+len(y.Replica().Forks()) != 0 {
		t.Error("there is a fork")
	}
}

// A suspended member's connections end; what it wrote before it knew comes
// later, is held on the real disk, and is a link like others once the
// suspension ends.
func TestSuspendedAuthorIsHeldAndReleased(t *testing.T) {
	t.Parallel()
	a := found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	x, y := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first := written(t, x, draftOf(y, sec))
	if err := x.Replica().Await(ctx, first.Feed, first.Seq, y.ID()); err != nil {
		t.Fatal(err)
	}
	a.stop("beta") // away until after the suspension
	second := written(t, x, draftOf(y, sec))
	if err := x.Replica().Await(ctx, second.Feed, second.Seq, sec.ID()); err != nil {
		t.Fatal(err)
	}
	a.suspend(ctx, x.Org())
	until(t, "the secretariat hangs up", func() bool { return !sec.tr.Connected(x.ID()) })
	a.stop("alpha") // it would find beta before beta knows, and deliver itself
	y = a.start("beta", filepath.Join(a.dir, "beta"))
	a.ready(y)
	if err := y.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "it comes from the custodian and is held", func() bool {
		rec, err := y.store.Record(second.Feed, second.Seq)
		return err == nil && rec.State() == protocol.Held
	})
	rec, err := y.store.Record(second.Feed, second.Seq)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := y.Replica().Open(rec); !errors.Is(err, replica.ErrNotAReader) {
		t.Errorf("a held record opens: %v", err)
	}
	a.reinstate(ctx, x.Org())
	until(t, "it is released", func() bool {
		rec, err := y.store.Record(second.Feed, second.Seq)
		return err == nil && rec.State() == protocol.Linked
	})
	x = a.start("alpha", filepath.Join(a.dir, "alpha"))
	a.ready(x)
	if err := x.Replica().Await(ctx, second.Feed, second.Seq, y.ID()); err != nil {
		t.Errorf("no receipt for it: %v", err)
	}
	rec, err = y.store.Record(second.Feed, second.Seq)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := y.Replica().Open(rec); err != nil || len(got) != 1 || got[0].Err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
