package consensus

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// one opens a group of one, running.
func (w *town) one(n byte) *resident {
	w.t.Helper()
	a := w.open(n)
	if err := a.g.Bootstrap(); err != nil {
		w.t.Fatal(err)
	}
	a.run()
	until(w.t, "a leader", a.g.IsLeader)
	return a
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, r *resident, n int) (want []string) {
	for i := range n {
		text := fmt.Sprintf("canary %d of an invented entry", i)
		propose(t, r, text)
		want = append(want, "workspace:"+text)
	}
	return want
}

func TestRestartFromDisk(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rs := w.three()
		want := fill(t, rs[0], 10)
		w.agree(want, rs...)
		for _, r := range rs {
			w.stop(r)
		}
		rs[2].m = &ledger{} // a machine that lost everything is filled from the log
		for i := range rs {
			rs[i] = w.open(byte(i + 1))
			if err := rs[i].g.Bootstrap(); err != nil { // does nothing a second time
				t.Fatal(err)
			}
			rs[i].run()
		}
		propose(t, rs[0], "after the restart")
		w.agree(append(want, "workspace:after the restart"), rs...)
	})
}

// kill -9 leaves the files as they are at some moment. Copies of a running
// group's folder are such moments.
func TestCrashLosesNothingAcknowledged(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		acked := 0
		for round := range 5 {
			acked += len(fill(t, a, 20))
			dir := t.TempDir()
			stop := make(chan struct{})
			finish := writers(t, []*resident{a}, stop, func() {})
			// The mark first: on a disk it is never newer than the log.
			for _, part := range []string{"mark", "state", "*.wal"} {
				files, err := filepath.Glob(filepath.Join(a.g.opt.Dir, part))
				if err != nil || len(files) != 1 {
					t.Fatalf("%d files %s: %v", len(files), part, err)
				}
				b, err := os.ReadFile(files[0])
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, filepath.Base(files[0])), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			close(stop)
			finish()
			m := &ledger{}
			o := w.options(a.id, m)
			o.Dir = dir
			g, err := Open(o)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			go g.Run(context.Background())
			if err := g.Barrier(ctx(t)); err != nil {
				t.Fatal(err)
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			got, all := m.all(), a.m.all()
			if len(got) < acked || !slices.Equal(got, all[:len(got)]) {
				t.Fatalf("round %d: %d entries after the crash, %d were acknowledged", round, len(got), acked)
			}
			acked = len(a.m.all())
		}
	})
}

func TestSnapshotReachesANewNode(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.tweak = func(o *Options) { o.SnapshotEvery, o.Trailing = 20, 5 }
		rs := w.three()
		want := fill(t, rs[0], 120)
		until(t, "a shorter log", func() bool {
			e := rs[0].g.engine()
			first, err := e.files.log.FirstIndex()
			return err == nil && first > 1
		})
		d := w.open(4).run()
		voters := []protocol.NodeID{rs[0].id, rs[1].id, d.id}
		if err := rs[0].g.SetVoters(ctx(t), voters); err != nil {
			t.Fatal(err)
		}
		w.agree(want, d)
		if metas, err := d.g.engine().files.snaps.List(); err != nil || len(metas) == 0 {
			t.Fatalf("the newcomer has no snapshot: %v", err)
		}
		// It restarts on what it was given, its machine intact or lost.
		for _, lost := range []bool{false, true} {
			w.stop(d)
			if lost {
				d.m = &ledger{}
			}
			d = w.open(4).run()
			w.agree(want, d)
		}
		propose(t, d, "on")
		w.agree(append(want, "workspace:on"), rs[0], rs[1], d)
	})
}

// A crash after a snapshot came and before the old log went.
func TestCrashBetweenSnapshotAndLog(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		want := fill(t, a, 5)
		index := a.g.engine().raft.LastIndex()
		conf := a.g.engine().raft.GetConfiguration().Configuration()
		w.stop(a)
		s, err := openSnapshots(a.g.opt.Dir, a.g.opt.Key)
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.Create(1, index+100, 9, conf, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		state := ledgerState{Applied: index + 100, Entries: append(want, "workspace:far ahead")}
		if err := state.Persist(k); err != nil {
			t.Fatal(err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		a = w.open(1).run()
		propose(t, a, "next")
		w.agree(append(state.Entries, "workspace:next"), a)
		if s := a.g.Status(); s.Last <= index+100 {
			t.Fatalf("log ends at %d", s.Last)
		}
	})
}

func reopen(w *town, r *resident, change func(*Options)) error {
	o := w.options(r.id, r.m)
	if change != nil {
		change(&o)
	}
	g, err := Open(o)
	if err == nil {
		g.Close()
	}
	return err
}

func TestWrongKey(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		fill(t, a, 3)
		w.stop(a)
		if err := reopen(w, a, func(o *Options) { o.Key[0] ^= 1 }); !errors.Is(err, ErrDamaged) {
			t.Fatalf("another key: %v", err)
		}
		for _, err := range Entries(a.g.opt.Dir, [32]byte{1}) {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("another key: %v", err)
			}
		}
		if err := reopen(w, a, nil); err != nil {
			t.Fatalf("the right key after a wrong one: %v", err)
		}
	})
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		if err := reopen(w, a, nil); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Fatalf("a folder in use: %v", err)
		}
	})
}

// used returns the files of a group's folder and, for each, where its bytes
// end (a segment goes on with zeros).
func used(t *testing.T, dir string) map[string]int {
	t.Helper()
	out := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = len(bytes.TrimRight(b, "\x00"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One flipped byte anywhere that is used, or a cut tail, is an error that says
// so, and never a shorter memory.
func TestAttackTamperedFiles(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.tweak = func(o *Options) { o.SnapshotEvery, o.Trailing = 40, 10 }
		a := w.one(1)
		fill(t, a, 60)
		until(t, "a snapshot", func() bool { m, err := a.g.engine().files.snaps.List(); return err == nil && len(m) > 0 })
		fill(t, a, 10)
		w.stop(a)
		dir := a.g.opt.Dir
		last, err := lastOf(w, a)
		if err != nil {
			t.Fatal(err)
		}
		segments := 0
		for path, n := range used(t, dir) {
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(path)
			if filepath.Ext(path) == ".wal" {
				segments++
			}
			caught := 0
			try := func(what string, b []byte) {
				t.Helper()
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				o := w.options(a.id, &ledger{})
				g, err := Open(o)
				if errors.Is(err, ErrDamaged) {
					caught++
					return
				}
				if err != nil {
					t.Errorf("%s, %s: %v, which is not said to be damage", name, what, err)
					return
				}
				defer g.Close()
				// It opened, and Open has read every entry and the snapshot's
				// head: then the byte was of no entry that is still in use.
				if got, err := g.files.log.LastIndex(); err != nil || got != last {
					t.Errorf("%s, %s: opened without a word, and ends at entry %d of %d, %v", name, what, got, last, err)
				}
			}
			step := max(1, n/150)
			for i := 0; i < n; i += step {
				b := bytes.Clone(whole)
				b[i] ^= 0x41
				try(fmt.Sprintf("byte %d of %d", i, n), b)
			}
			for _, cut := range []int{0, n / 2, n - 1} {
				try(fmt.Sprintf("cut at %d of %d", cut, n), whole[:cut])
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d changes refused", name, caught)
			if caught < 20 {
				t.Errorf("%s: only %d changes were refused", name, caught)
			}
		}
		if segments == 0 {
			t.Fatal("no segment was tried")
		}
		if err := reopen(w, a, nil); err != nil {
			t.Fatalf("the untouched folder: %v", err)
		}
	})
}

func lastOf(w *town, r *resident) (uint64, error) {
	g, err := Open(w.options(r.id, r.m))
	if err != nil {
		return 0, err
	}
	defer g.Close()
	return g.files.log.LastIndex()
}

func TestLostFiles(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		fill(t, a, 3)
		w.stop(a)
		for path := range used(t, a.g.opt.Dir) {
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(path)
			if err := reopen(w, a, nil); !errors.Is(err, ErrDamaged) {
				t.Errorf("without %s: %v", filepath.Base(path), err)
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := reopen(w, a, nil); err != nil {
			t.Fatal(err)
		}
	})
}

// A folder older than its machine was restored from a copy; it must not vote.
func TestOldFolderIsRefused(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		fill(t, a, 3)
		w.stop(a)
		old := t.TempDir()
		copyDir(t, a.g.opt.Dir, old)
		a = w.open(1).run()
		fill(t, a, 3)
		w.stop(a)
		if err := reopen(w, a, func(o *Options) { o.Dir = old }); !errors.Is(err, ErrDamaged) {
			t.Fatalf("an old folder: %v", err)
		}
	})
}

// Nothing that was proposed is readable in any file, and all of it through the
// offline reader.
func TestNothingReadableOnDisk(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.tweak = func(o *Options) { o.SnapshotEvery, o.Trailing = 20, 5 }
		a := w.one(1)
		want := fill(t, a, 50)
		until(t, "a snapshot", func() bool { m, err := a.g.engine().files.snaps.List(); return err == nil && len(m) > 0 })
		w.stop(a)
		canary := []byte("canary")
		for path := range used(t, a.g.opt.Dir) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range [][]byte{canary, []byte(base64.StdEncoding.EncodeToString(canary)), []byte(a.id.String())} {
				if bytes.Contains(b, c) {
					t.Errorf("%s holds %q", filepath.Base(path), c)
				}
			}
		}
		seen := map[Kind]int{}
		texts := map[string]bool{}
		for e, err := range Entries(a.g.opt.Dir, a.g.opt.Key) {
			if err != nil {
				t.Fatal(err)
			}
			seen[e.Kind]++
			if e.Kind == KindCommand {
				texts[e.Tag.String()+":"+string(e.Data)] = true
			}
			if e.Kind == KindSnapshot && !bytes.Contains(e.Data, canary) {
				t.Error("a snapshot without its entries")
			}
		}
		for _, x := range want[len(want)-5:] {
			if !texts[x] {
				t.Errorf("the reader does not show %q", x)
			}
		}
		for _, k := range []Kind{KindCommand, KindConfiguration, KindOther, KindStable, KindSnapshot} {
			if seen[k] == 0 {
				t.Errorf("the reader shows no %s", k)
			}
		}
		for range Entries(a.g.opt.Dir, a.g.opt.Key) {
			break // may be left early
		}
		for _, err := range Entries(t.TempDir(), a.g.opt.Key) {
			if err == nil {
				t.Error("an empty folder yields something")
			}
		}
	})
}

// A machine that cannot keep an entry stops the group; it goes on when it can.
func TestMachineOutOfSpace(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		want := fill(t, a, 3)
		a.m.mu.Lock()
		a.m.refuse = errors.New("no space left")
		a.m.mu.Unlock()
		if _, err := a.g.Propose(ctx(t), Workspace, []byte("kept in the log")); !errors.Is(err, ErrUnknown) {
			t.Fatalf("an entry that the machine could not keep: %v", err)
		}
		until(t, "the group to stop", func() bool { return a.g.Status().Role == "stopped" })
		w.agree(want, a)
		a.m.mu.Lock()
		a.m.refuse = nil
		a.m.mu.Unlock()
		propose(t, a, "on")
		w.agree(append(want, "workspace:kept in the log", "workspace:on"), a)
	})
}

// A log that cannot be written stops the group, which starts again on what is
// there.
func TestLogOutOfSpace(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := w.one(1)
		want := fill(t, a, 3)
		a.g.engine().files.log.mark.f.Close() // every append fails from now on
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		out, err := a.g.Propose(limit, Workspace, []byte("in the log, not acknowledged"))
		if err == nil {
			t.Fatalf("an append that failed was acknowledged: %x", out)
		}
		until(t, "a new start", a.g.IsLeader)
		propose(t, a, "on")
		got := a.m.all()
		if !slices.Equal(got[:3], want) || got[len(got)-1] != "workspace:on" {
			t.Fatalf("after a failed append: %q", got)
		}
	})
}

func TestSnapshotStream(t *testing.T) {
	key := [32]byte{7}
	salt := make([]byte, saltSize)
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 5} {
		plain := bytes.Repeat([]byte("invented "), n/9+1)[:n]
		var sealed bytes.Buffer
		s := newSealWriter(&sealed, key, salt)
		if _, err := io.Copy(s, &pieces{plain}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := openedSize(int64(sealed.Len())); got != int64(n) {
			t.Errorf("%d bytes are counted as %d", n, got)
		}
		open := func(b []byte) ([]byte, error) { return io.ReadAll(newOpenReader(bytes.NewReader(b), key, salt)) }
		if got, err := open(sealed.Bytes()); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		bad := map[string][]byte{"one byte more": append(bytes.Clone(sealed.Bytes()), 0), "one byte less": sealed.Bytes()[:sealed.Len()-1], "nothing": nil}
		if n > chunkSize {
			bad["the last chunk gone"] = sealed.Bytes()[:sealedChunk]
			bad["the first chunk gone"] = sealed.Bytes()[sealedChunk:]
			swapped := bytes.Clone(sealed.Bytes())
			if len(swapped) > 2*sealedChunk {
				copy(swapped, sealed.Bytes()[sealedChunk:2*sealedChunk])
				copy(swapped[sealedChunk:], sealed.Bytes()[:sealedChunk])
				bad["two chunks swapped"] = swapped
			}
		}
		for what, b := range bad {
			if _, err := open(b); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d bytes, %s: %v", n, what, err)
			}
		}
	}
}

// pieces reads in small odd pieces.
type pieces struct{ b []byte }

func (p *pieces) Read(q []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(q[:min(len(q), 1000)], p.b)
	p.b = p.b[n:]
	return n, nil
}

func TestSnapshotRenamed(t *testing.T) {
	s, err := openSnapshots(t.TempDir(), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(4) {
		k, err := s.Create(1, i+1, 1, confOf(nodeID(1)), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Write([]byte("state")); err != nil {
			t.Fatal(err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
	metas, err := s.List()
	if err != nil || len(metas) != keepSnapshots || metas[0].Index != 4 || metas[0].Size != 5 {
		t.Fatalf("snapshots %+v, %v", metas, err)
	}
	if err := os.Rename(s.path(metas[0].ID), s.path("00000000000000000009-00000000000000000009")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a renamed snapshot: %v", err)
	}
}

// Every chunk of a snapshot is looked at, not its head alone.
func TestDamagedSnapshotBody(t *testing.T) {
	dir, key := t.TempDir(), [32]byte{1}
	s, err := openSnapshots(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.Create(1, 7, 1, confOf(nodeID(1)), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Write(make([]byte, 3*chunkSize)); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.check(); err != nil || n != 7 {
		t.Fatalf("reaches %d, %v", n, err)
	}
	path := s.path(k.ID())
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-100] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.check(); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a changed last chunk: %v", err)
	}
}
