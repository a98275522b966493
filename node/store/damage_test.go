package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// A flipped byte anywhere in the files of a store must never look like
// something that never was: the store refuses to open, or says that it is
// damaged, or what is missing is ErrLost, or all is there. Since badger may
// bring its process down over damaged tables, the check runs in a child.
func TestFlippedByte(t *testing.T) {
	dir := t.TempDir()
	want := fillForDamage(t, dir)
	seed := uint64(os.Getpid())
	if v, err := strconv.ParseUint(os.Getenv("STORE_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("STORE_SEED=%d", seed)
	rounds := 24
	if v, err := strconv.Atoi(os.Getenv("STORE_ROUNDS")); err == nil {
		rounds = v
	}
	r := seeded(seed)
	var files []string
	filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() && fi.Size() > 0 {
			files = append(files, p)
		}
		return nil
	})
	outcomes := map[string]int{}
	for n := range rounds {
		file := files[r.IntN(len(files))]
		copied := filepath.Join(t.TempDir(), "s")
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, file)
		target := filepath.Join(copied, rel)
		raw, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		end := len(raw)
		for end > 1 && raw[end-1] == 0 { // a log is preallocated; flips in its zeros are rarely interesting
			end--
		}
		at, bit := r.IntN(end), byte(1)<<r.IntN(8)
		raw[at] ^= bit
		if err := os.WriteFile(target, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run", "^TestDamageChild$")
		cmd.Env = append(os.Environ(), "STORE_CHILD="+copied, fmt.Sprintf("STORE_WANT=%d/%d/%d", want.records, want.receipts, want.leaves))
		out, err := cmd.CombinedOutput()
		var outcome string
		fmt.Sscanf(string(out), "outcome %s", &outcome)
		if err != nil || outcome == "" {
			t.Errorf("round %d: %s, byte %d, bit %#x: %v\n%s", n, rel, at, bit, err, out)
			outcome = "FAILED"
		}
		outcomes[filepath.Ext(rel)+" "+outcome]++
		os.RemoveAll(copied)
	}
	t.Log(outcomes)
}

type contents struct{ records, receipts, leaves int }

// fillForDamage makes a store whose files are of every kind: tables, a log
// that was not flushed (it is copied while open), the manifest.
func fillForDamage(t *testing.T, dir string) (c contents) {
	live := t.TempDir()
	s := open(t, live)
	a, b := authorOf(t, 1), authorOf(t, 2)
	var receiver = newWorld()
	put := func(n int) {
		for range n {
			commit(t, s, func(batch *Batch) {
				for range 16 {
					a.next(t, invented(1024)).put(batch)
					c.records++
				}
				b.next(t, invented(3000), invented(100)).put(batch)
				c.records++
				batch.Leaf(uint64(c.leaves), fmt.Appendf(nil, "invented leaf %d", c.leaves))
				c.leaves++
			})
		}
		for _, x := range []*author{a, b} {
			rec := protocol.Receipt{Version: protocol.Version, Network: receiver.network, Org: receiver.a, Node: x.w.Node, Feed: x.feed, Seq: x.chain.Seq, Head: x.chain.Head}
			commit(t, s, func(batch *Batch) { batch.Receipt(protocol.SignReceipt(receiver.key, rec), rec) })
		}
		commit(t, s, func(batch *Batch) { batch.MetaUint("applied", uint64(c.leaves)); batch.Outbox("entry", invented(5000)) })
	}
	put(8)
	mustClose(t, s) // flushes a table
	s = open(t, live)
	put(8)
	mustClose(t, s)
	s = open(t, live)
	put(4)
	c.receipts = 2
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDamageChild(t *testing.T) {
	dir := os.Getenv("STORE_CHILD")
	if dir == "" {
		t.Log("run by TestFlippedByte")
		return
	}
	var want contents
	fmt.Sscanf(os.Getenv("STORE_WANT"), "%d/%d/%d", &want.records, &want.receipts, &want.leaves)
	outcome, err := examine(t, dir, want)
	fmt.Printf("outcome %s\n", outcome)
	if err != nil {
		t.Fatal(err)
	}
}

// examine opens a store that may be damaged, and returns how that shows; an
// error where something is missing and nothing shows it.
func examine(t *testing.T, dir string, want contents) (string, error) {
	opt := testOptions(dir)
	s, err := Open(opt)
	if err != nil {
		if errors.Is(err, ErrUnusable) || errors.Is(err, ErrKey) {
			return "refused", nil
		}
		return "", fmt.Errorf("opening: %w", err)
	}
	defer s.Close()
	d := s.Damage()
	lost, lostRecords := 0, 0
	var got contents
	for _, f := range s.Feeds() {
		for seq := uint64(1); seq <= f.Chain.Seq; seq++ {
			rec, err := s.Record(f.Feed, seq)
			switch {
			case errors.Is(err, ErrLost):
				lost++
				lostRecords++
			case err != nil:
				return "", fmt.Errorf("record %d: %w", seq, err)
			default:
				got.records++
				for i := range rec.Core().Sections() {
					if rec.Section(i) == nil {
						return "", fmt.Errorf("section %d of record %d is silently absent", i, seq)
					}
				}
			}
		}
		rs, err := s.Receipts(f.Feed)
		if errors.Is(err, ErrLost) {
			lost++
		} else if err != nil {
			return "", err
		}
		for _, r := range rs {
			if rec, err := protocol.Decode[protocol.Receipt](r.Body, protocol.MaxReceipt); err == nil && rec.Seq == f.Chain.Seq {
				got.receipts++
			}
		}
	}
	for i := uint64(0); i < s.LeafCount(); i++ {
		err := s.Leaves(i, i+1, func(uint64, []byte) error { got.leaves++; return nil })
		if errors.Is(err, ErrLost) {
			lost++
		} else if err != nil {
			return "", err
		}
	}
	applied, err := s.MetaUint("applied")
	if errors.Is(err, ErrLost) {
		lost++
	} else if err != nil && !d.Any() {
		return "", fmt.Errorf("value: %w", err)
	}
	if e, oerr := s.OutboxEntry("entry"); errors.Is(oerr, ErrLost) {
		lost++
	} else if (oerr != nil || len(e) != 5000) && !d.Any() {
		return "", fmt.Errorf("outbox: %w", oerr)
	}
	whole := got == want && (err != nil || applied == uint64(want.leaves))
	if _, err := s.VerifyAll(context.Background(), nil, nil); err != nil {
		return "", fmt.Errorf("verify: %w", err)
	}
	wanted := 0
	for _, f := range s.Feeds() {
		wanted += len(s.Wants(f.Feed))
	}
	if wanted < lostRecords {
		return "", fmt.Errorf("%d records are lost and %d wanted", lostRecords, wanted)
	}
	// Merging the tables must not bring the process down.
	if err := s.db.Flatten(2); err != nil {
		t.Logf("merging tables: %v", err)
	}
	// It must still take writes.
	var b Batch
	b.Meta("after", []byte("example"))
	if err := s.Commit(context.Background(), &b); err != nil {
		return "", fmt.Errorf("write: %w", err)
	}
	switch {
	case d.Any():
		return "damage", nil
	case lost > 0:
		return "lost", nil
	case whole:
		return "intact", nil
	}
	return "", fmt.Errorf("silently absent: got %+v, applied %d, want %+v", got, applied, want)
}
