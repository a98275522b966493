package node

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// disk is one that a test fills.
type disk interface {
	fill(t *testing.T)
	free(t *testing.T)
}

const diskMinFree = 24 // MB

// A really full disk: the test runs again in a mount namespace of its own,
// where each node has a small file system in memory.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv("ALLIANCE_TEST_MOUNT"); dir != "" {
		fullDisk(t, func(name, dir string) disk {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "tmpfs", dir).CombinedOutput(); err != nil {
				t.Fatalf("mount: %v: %s", err, out)
			}
			t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
			return mounted(filepath.Join(dir, "filler"))
		})
		return
	}
	t.Parallel()
	unshare := []string{"unshare", "--mount", "--propagation", "private"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	probe := append(unshare, "mount", "-t", "tmpfs", "tmpfs", t.TempDir())
	if out, err := exec.Command(probe[0], probe[1:]...).CombinedOutput(); err != nil {
		t.Logf("NOT TESTED on a really full disk, since mounting is not permitted here (%v: %s): the answer about free space is made up instead", err, bytes.TrimSpace(out))
		fullDisk(t, func(string, string) disk { return &pretended{} })
		return
	}
	again := append(unshare, os.Args[0], "-test.run", "^TestFullDisk$", "-test.v")
	cmd := exec.Command(again[0], again[1:]...)
	cmd.Env = append(os.Environ(), "ALLIANCE_TEST_MOUNT=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// mounted is a file that takes all that is left of a file system.
type mounted string

func (m mounted) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(string(m))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk does not fill: %v", err)
	}
}

func (m mounted) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(string(m)); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// pretended is a disk of which only the store is told that it is full.
type pretended struct{ full atomic.Bool }

func (p *pretended) fill(*testing.T) { p.full.Store(true) }
func (p *pretended) free(*testing.T) { p.full.Store(false) }

func (p *pretended) room(string) (uint64, bool, error) {
	if p.full.Load() {
		return 0, true, nil
	}
	return 1 << 40, true, nil
}

func fullDisk(t *testing.T, make func(name, dir string) disk) {
	disks := map[string]disk{}
	a, sec := opened(t, func(name string, o *Options) {
		o.Config.MinFree = diskMinFree
		o.Config.RepairEvery.Duration = time.Second
		if p, ok := disks[name].(*pretended); ok {
			o.Room = p.room
		}
	})
	disks["beta"] = make("beta", filepath.Join(a.dir, "beta"))
	alpha, beta := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx := t.Context()
	first, err := alpha.refer(ctx, referTo("Example beta"))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the first referral shown", func() bool { return beta.sees(t) == 1 })
	until(t, "its receipt", func() bool { return outstanding(t, alpha) == 0 })

	disks["beta"].fill(t)
	ack := map[string]any{"say": map[string]any{"desk": "Example desk", "decide_by": time.Now().Add(time.Hour).Format(time.RFC3339)}}
	acknowledge := func() error {
		return beta.client().Do(ctx, "POST", "/referrals/"+string(first.Code)+"/moves/acknowledge", ack, nil)
	}
	kind, text := problem(acknowledge())
	if kind != api.Unavailable || !strings.Contains(text, "the disk is full") || !strings.Contains(text, "nothing was lost") || !strings.Contains(text, "MB are free") {
		t.Errorf("a move on a full disk: %s %q", kind, text)
	}
	if s := beta.status(t); s.Store.Writable || !strings.Contains(s.Store.Fault, "the disk is full") || !beta.warned(t, "the disk is full") {
		t.Errorf("status on a full disk: %+v %q", s.Store, s.Warnings)
	}
	// What comes now is kept elsewhere and not vouched for here.
	if _, err := alpha.refer(ctx, referTo("Example beta")); err != nil {
		t.Fatal(err)
	}
	until(t, "the custodian has it", func() bool {
		for _, f := range sec.status(t).Feeds {
			if f.Author == "Example alpha" && f.Seq == 3 {
				return outstanding(t, alpha) == 1
			}
		}
		return false
	})
	if beta.sees(t) != 1 {
		t.Error("a full disk took a record")
	}
	if err := beta.client().Do(ctx, "GET", "/referrals/"+string(first.Code), nil, nil); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	if outstanding(t, alpha) != 1 {
		t.Error("a full disk gave a receipt")
	}

	disks["beta"].free(t)
	until(t, "what came meanwhile", func() bool { return beta.sees(t) == 2 })
	until(t, "its receipt", func() bool { return outstanding(t, alpha) == 0 })
	if err := acknowledge(); err != nil {
		t.Errorf("a move after recovery: %v", err)
	}
	if s := beta.status(t); !s.Store.Writable || len(s.Warnings) > 0 {
		t.Errorf("status after recovery: %+v %q", s.Store, s.Warnings)
	}

	// A node that is started on a full disk says why it does not run.
	a.stop("beta")
	disks["beta"].fill(t)
	cfg := beta.cfg
	o := Options{Config: &cfg}
	a.with("beta", &o)
	if n, err := New(beta.dir, o); err == nil {
		n.Close()
		t.Error("a node starts on a full disk")
	} else if !strings.Contains(err.Error(), "the disk is full") || strings.Contains(err.Error(), "reading goes on") {
		t.Errorf("a start on a full disk: %v", err)
	}
	disks["beta"].free(t)
	if v, held := verify(t, beta.dir); len(v.Faults) > 0 || len(held) < 5 {
		t.Errorf("after a full disk: %d records, %q", len(held), v.Faults)
	}
	beta = a.again("beta")
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "all there after a start", func() bool { return beta.sees(t) == 2 })
}

// outstanding is how many nodes have not vouched for a node's own feeds.
func outstanding(t *testing.T, at *running) (n int) {
	t.Helper()
	for _, f := range at.status(t).Feeds {
		if f.Own {
			n += len(f.Outstanding)
		}
	}
	return n
}

// The register's disk is full: an operation is refused with a reason, members
// are served, and it goes in when there is room.
func TestFullDiskAtTheSecretariat(t *testing.T) {
	t.Parallel()
	var p pretended
	a, sec := opened(t, func(name string, o *Options) {
		if name == "sec" {
			o.Room = p.room
		}
	})
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")
	size := sec.reg.State().Size()
	p.fill(t)
	until(t, "the member is connected", func() bool { return alpha.tr.Connected(sec.ID()) })
	submit := func() error {
		return a.op(t.Context(), sec, register.OfGroup("example"),
			register.DefineGroup{Title: "Example group", Members: []protocol.OrgID{alpha.Org()}}, a.officers...)
	}
	last := sec.group.Status().Last
	err := submit()
	if !diskFault(err) || !strings.Contains(err.Error(), "the disk is full") || sec.group.Status().Last != last {
		t.Errorf("an operation on a full disk: %v", err)
	}
	if sec.reg.State().Size() != size || len(sec.status(t).Warnings) == 0 {
		t.Error("the register went on")
	}
	if _, err := alpha.reg.AskPeers(t.Context(), sec.ID()); err != nil {
		t.Errorf("members are not served: %v", err)
	}
	p.free(t)
	until(t, "the operation in the register", func() bool {
		if sec.reg.State().Size() > size {
			return true
		}
		return submit() == nil
	})
	until(t, "the member has it", func() bool { return alpha.reg.State().Size() > size })
}
