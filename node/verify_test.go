package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol"
)

// wrote is a network in which alpha wrote to beta; delta got nothing.
func wrote(t *testing.T) (a *alliance, feed protocol.FeedID) {
	t.Helper()
	a = found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	x, y := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	a.enrol("delta", protocol.ClassPolice, "sjpu")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var sent replica.Sent
	until(t, "a record written", func() bool {
		var err error
		sent, err = x.Replica().Send(ctx, replica.Draft{Audience: protocol.ListAudience(y.Org()), Custodians: []protocol.OrgID{sec.Org()},
			Contents: []protocol.Content{{Kind: "test/example", Time: time.Now().Unix(), Body: []byte("an invented example body")}},
			Expiry:   protocol.DayOf(time.Now().Unix()) + 100})
		if err != nil {
			t.Fatal(err)
		}
		return sent.Queued == 0
	})
	for _, n := range []*running{y, sec} {
		if err := x.Replica().Await(ctx, sent.Feed, sent.Seq, n.ID()); err != nil {
			t.Fatal(err)
		}
	}
	return a, sent.Feed
}

// verify verifies a stopped node's folder.
func verify(t *testing.T, dir string) (Verification, []HeldRecord) {
	t.Helper()
	var held []HeldRecord
	v, err := Verify(t.Context(), dir, VerifyOptions{Passphrase: passphrase, Each: func(h HeldRecord) error {
		held = append(held, h)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return v, held
}

func TestVerifyAFolder(t *testing.T) {
	a, feed := wrote(t)
	dirs := map[string]string{}
	orgs := map[string]protocol.OrgID{}
	for name, n := range a.nodes {
		dirs[name], orgs[name] = n.dir, n.Org()
	}
	if _, err := Verify(t.Context(), dirs["alpha"], VerifyOptions{}); !InUse(err) {
		t.Fatalf("verify beside a running node: %v", err)
	}
	for name := range dirs {
		a.stop(name)
	}
	for name, opened := range map[string]uint64{"alpha": 2, "beta": 2, "sec": 0} {
		v, held := verify(t, dirs[name])
		if len(v.Faults) > 0 || v.Records < 2 || v.Leaves != 4 || v.Checkpoints == 0 || v.Opened < opened {
			t.Errorf("%s: %+v", name, v)
		}
		if (name == "sec") != (v.Raft > 0) {
			t.Errorf("%s has %d entries of a Raft log", name, v.Raft)
		}
		i := slices.IndexFunc(held, func(h HeldRecord) bool { return h.Feed == feed && h.Type == "data" })
		if i < 0 {
			t.Fatalf("%s does not list the record: %+v", name, held)
		}
		h := held[i]
		if h.Author != orgs["alpha"] || !slices.Equal(h.Audience, []protocol.OrgID{orgs["beta"]}) || h.Group != "" ||
			!slices.Equal(h.Custodians, []protocol.OrgID{orgs["sec"]}) || !slices.Equal(h.Sections, []int{0}) {
			t.Errorf("%s lists %+v", name, h)
		}
	}
	if v, held := verify(t, dirs["delta"]); len(v.Faults) > 0 || len(held) > 0 {
		t.Errorf("delta: %+v, %d records", v, len(held))
	}
	if _, err := Verify(t.Context(), dirs["beta"], VerifyOptions{Passphrase: "another"}); err == nil || !strings.Contains(err.Error(), "wrong passphrase") {
		t.Errorf("with a wrong passphrase: %v", err)
	}
	notEntitled(t, dirs["beta"], dirs["delta"], feed)
	damaged(t, dirs["beta"])
}

// notEntitled puts a feed into the store of a node that has no right to it.
func notEntitled(t *testing.T, from, to string, feed protocol.FeedID) {
	t.Helper()
	src, dst := openStore(t, from), openStore(t, to)
	var b store.Batch
	c, _ := src.Chain(feed)
	for seq := uint64(1); seq <= c.Seq; seq++ {
		rec, err := src.Record(feed, seq)
		if err != nil {
			t.Fatal(err)
		}
		at := c
		at.Seq, at.Head = seq, rec.ID()
		b.Link(rec, at)
	}
	if err := dst.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	src.Close()
	dst.Close()
	v, held := verify(t, to)
	if len(held) != int(c.Seq) || !slices.ContainsFunc(v.Faults, func(f string) bool { return strings.Contains(f, "not entitled") }) {
		t.Errorf("foreign records pass: %+v", v)
	}
}

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	id, err := loadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyfile.LoadNodeKeys(nodeKeyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Options{Dir: storePath(dir), Key: keys.StoreKey, Network: id.Network, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// damaged flips one byte in the middle of every table.
func damaged(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(storePath(dir), "db", "*.sst"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/3] ^= 1
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v, err := Verify(t.Context(), dir, VerifyOptions{Passphrase: passphrase})
	if err == nil && len(v.Faults) == 0 {
		t.Errorf("a flipped byte passes: %+v", v)
	}
}
