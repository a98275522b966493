package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/national-alliance/alliance/protocol"
)

// When a sync fails, nobody can say what is on the disk: the files are opened
// again, and what was acknowledged before is there.
func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := authorOf(t, 1)
	l := a.some(t, 4, 100)
	commit(t, s, l[0].put)
	s.journal.f.Close()
	err := try(s, l[1].put)
	wantErr(t, "failed sync", err, ErrUncertain)
	for err = try(s, func(b *Batch) { b.Meta("again", []byte("x")) }); err != nil; err = try(s, func(b *Batch) { b.Meta("again", []byte("x")) }) {
		if !errors.Is(err, ErrDisk) && !errors.Is(err, ErrUncertain) {
			t.Fatal(err)
		}
	}
	l[0].same(t, s)
	if c, _ := s.Chain(a.feed); c.Seq == 1 {
		commit(t, s, l[1].put)
	}
	commit(t, s, func(b *Batch) { l[2].put(b); l[3].put(b) })
	mustClose(t, s)
	s = open(t, dir)
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
	for _, x := range l {
		x.same(t, s)
	}
}

// A disk that is really full: tmpfs with a size.
func TestFullDisk(t *testing.T) {
	mnt := t.TempDir()
	if err := unix.Mount("tmpfs", mnt, "tmpfs", 0, "size=128m"); err != nil {
		t.Logf("NOT TESTED on a real full disk, since mounting is not permitted here: %v", err)
		return
	}
	t.Cleanup(func() { unix.Unmount(mnt, unix.MNT_DETACH) })
	o := testOptions(filepath.Join(mnt, "s"))
	o.MinFree = 48 << 20
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := authorOf(t, 1)
	var kept []link
	var held link
	for {
		held = a.next(t, invented(60<<10))
		if err = try(s, held.put); err != nil {
			break
		}
		kept = append(kept, held)
	}
	wantErr(t, "full disk", err, ErrFull)
	t.Logf("%d records until: %v", len(kept), err)
	// Somebody else takes the rest.
	rest := filepath.Join(mnt, "rest")
	f, err := os.Create(rest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	f.Close()
	wantErr(t, "full disk", try(s, held.put), ErrFull)
	for _, l := range kept {
		l.same(t, s)
	}
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", mnt, "", unix.MS_REMOUNT, "size=256m"); err != nil {
		t.Fatal(err)
	}
	commit(t, s, held.put)
	kept = append(kept, held)
	mustClose(t, s)
	if s, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, l := range kept {
		l.same(t, s)
	}
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// writeChild writes records until it is killed, and prints the seq of each
// once it is acknowledged.
func TestWriteChild(t *testing.T) {
	dir := os.Getenv("STORE_WRITE")
	if dir == "" {
		t.Log("run by the tests of a kill and of a power cut")
		return
	}
	s := open(t, dir)
	a := authorOf(t, 1)
	for {
		var waits []<-chan error
		for range 8 {
			var b Batch
			a.next(t, invented(2000)).put(&b)
			waits = append(waits, s.Enqueue(&b))
		}
		for i, w := range waits {
			if err := <-w; err != nil {
				t.Fatal(err)
			}
			fmt.Printf("acked %d\n", a.chain.Seq-7+uint64(i))
		}
	}
}

// base is the base of the journal in a folder.
func base(dir string) uint64 {
	f, err := os.Open(filepath.Join(dir, "journal"))
	if err != nil {
		return 0
	}
	defer f.Close()
	n, _, _ := (&counter{f}).read()
	return n
}

// startWriter runs the child until it has acknowledged a number of records,
// and with rounds set a hundred since the journal began anew; it returns how
// many and the process.
func startWriter(t *testing.T, dir string, until int, rounds bool) (acked func() int, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.Command(os.Args[0], "-test.run", "^TestWriteChild$")
	cmd.Env = append(os.Environ(), "STORE_WRITE="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	n := 0
	for n < until || rounds && base(dir) == 0 {
		if !sc.Scan() {
			t.Fatal("the writer ended early")
		}
		if fmt.Sscanf(sc.Text(), "acked %d", &n); rounds && base(dir) == 0 {
			until = n + 100
		}
	}
	return func() int {
		for sc.Scan() {
			fmt.Sscanf(sc.Text(), "acked %d", &n)
		}
		return n
	}, cmd
}

// checkAcked opens what is left and looks for every acknowledged record.
func checkAcked(t *testing.T, dir string, acked int) {
	t.Helper()
	s, err := Open(testOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
	feeds := s.Feeds()
	if len(feeds) != 1 || feeds[0].Chain.Seq < uint64(acked) {
		t.Fatalf("%d were acknowledged; %+v", acked, feeds)
	}
	n := 0
	if err := s.Range(feeds[0].Feed, 1, 1<<40, func(*protocol.Record) error { n++; return nil }); err != nil || n < acked {
		t.Errorf("%d of %d acknowledged records: %v", n, acked, err)
	}
	t.Logf("%d acknowledged, %d there", acked, n)
}

func TestKill(t *testing.T) {
	r := seeded(uint64(os.Getpid()))
	dir := t.TempDir()
	for range 4 {
		sub := filepath.Join(dir, strconv.Itoa(r.Int()))
		acked, cmd := startWriter(t, sub, 100+r.IntN(2000), false)
		cmd.Process.Kill()
		n := acked()
		cmd.Wait()
		checkAcked(t, sub, n)
	}
}

// The same when the journal has begun anew.
func TestKillAfterRounds(t *testing.T) {
	dir := t.TempDir()
	acked, cmd := startWriter(t, dir, 0, true)
	cmd.Process.Kill()
	n := acked()
	cmd.Wait()
	checkAcked(t, dir, n)
}

// A power cut keeps what was synced and no more: the writer's file system is an
// image, of which a copy is taken while the writer stands still; its caches are
// not in the copy.
func TestPowerCut(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	mnt := t.TempDir()
	skip := func(err error) {
		t.Logf("NOT TESTED: a power cut needs mkfs.ext4 and a loop mount, which are not permitted here: %v", err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 512<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		skip(fmt.Errorf("%w: %s", err, out))
		return
	}
	if out, err := exec.Command("mount", "-o", "loop", image, mnt).CombinedOutput(); err != nil {
		skip(fmt.Errorf("%w: %s", err, out))
		return
	}
	t.Cleanup(func() { exec.Command("umount", "-l", mnt).Run() })
	// Just after the journal began anew, what was in it is in badger's files alone.
	acked, cmd := startWriter(t, filepath.Join(mnt, "s"), 0, true)
	cmd.Process.Signal(syscall.SIGSTOP)
	copied := image + ".cut"
	if out, err := exec.Command("cp", "--sparse=always", image, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd.Process.Kill()
	n := acked()
	cmd.Wait()
	after := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", copied, after).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer exec.Command("umount", "-l", after).Run()
	checkAcked(t, filepath.Join(after, "s"), n)
}
