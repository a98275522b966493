package node

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

func (a *alliance) suspend(ctx context.Context, org protocol.OrgID) {
	a.t.Helper()
	if err := a.op(ctx, a.nodes["sec"], register.OfOrg(org), register.Suspend{}, a.officers[0]); err != nil {
		a.t.Fatal(err)
	}
}

func (a *alliance) reinstate(ctx context.Context, org protocol.OrgID) {
	a.t.Helper()
	if err := a.op(ctx, a.nodes["sec"], register.OfOrg(org), register.Reinstate{}, a.officers[0]); err != nil {
		a.t.Fatal(err)
	}
}

// three brings the secretariat to three nodes that order and sign.
func (a *alliance) three(ctx context.Context) (sec, two, three *running) {
	a.t.Helper()
	sec = a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		a.t.Fatal(err)
	}
	two, three = a.further(ctx, "sec2"), a.further(ctx, "sec3")
	ids := []protocol.NodeID{sec.ID(), two.ID(), three.ID()}
	about := register.AdministratorsOf(sec.Org())
	if err := a.op(ctx, sec, about, register.NewVoters(ids...), a.admin); err != nil {
		a.t.Fatal(err)
	}
	until(a.t, "three voters", func() bool { return len(sec.group.Status().Voters) == 3 })
	if err := a.op(ctx, sec, about, register.NewSigners(ids...), a.admin); err != nil {
		a.t.Fatal(err)
	}
	return sec, two, three
}

// A member that opens the secretariat's Raft protocol is refused before a byte
// of it is read, and a member's node does not open it for the secretariat.
func TestAttackRaftByStrangers(t *testing.T) {
	t.Parallel()
	a := found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x := a.enrol("alpha", protocol.ClassNGO, "ngo")
	until(t, "both are connected", func() bool { return x.tr.Connected(sec.ID()) && sec.tr.Connected(x.ID()) })
	var served atomic.Int32
	sec.tr.ConnHandler(protoRaft, func(from protocol.Node, c net.Conn) {
		served.Add(1)
		sec.group.Serve(from, c)
	})
	before, log := sec.group.Status(), sec.Register().Tip().Size()
	for _, first := range []byte{1, 2, 3, 4, 5} { // Raft's own, propose, barrier, identity, index
		c, err := x.tr.Conn(ctx, sec.ID(), protoRaft)
		if err != nil {
			continue // the refusal came as early as that
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write(append([]byte{first, 0, 0, 0, 8}, make([]byte, 64)...))
		if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
			t.Errorf("kind %d was answered", first)
		}
		c.Close()
	}
	if n := served.Load(); n != 0 {
		t.Errorf("%d of a stranger's streams were read", n)
	}
	if after := sec.group.Status(); after.Term != before.Term || !slices.Equal(after.Voters, before.Voters) || sec.Register().Tip().Size() != log {
		t.Error("the group moved")
	}
	if c, err := sec.tr.Conn(ctx, x.ID(), protoRaft); err == nil {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte{1})
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a member serves Raft")
		}
		c.Close()
	}
	// A colleague is served, by the same door.
	two := a.further(ctx, "sec2")
	until(t, "a colleague is served", func() bool { return served.Load() > 0 })
	// And one that was retired is not.
	if err := a.op(ctx, sec, register.AdministratorsOf(sec.Org()), register.RetireNode{Node: two.ID()}, a.admin); err != nil {
		t.Fatal(err)
	}
	until(t, "the retired one is cut off", func() bool { return !sec.tr.Connected(two.ID()) })
	if c, err := two.tr.Conn(ctx, sec.ID(), protoRaft); err == nil {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte{1})
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a retired node is served")
		}
	}
}

// flipLeaf flips a bit of a register leaf in a stopped node's database.
func flipLeaf(t *testing.T, dir string, index uint64) {
	t.Helper()
	keys, err := keyfile.LoadNodeKeys(nodeKeyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(storePath(dir), "db")).WithLogger(nil).WithEncryptionKey(keys.StoreKey[:]).WithIndexCacheSize(8 << 20))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := binary.BigEndian.AppendUint64([]byte{'o'}, index)
	err = db.Update(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		v[len(v)/2] ^= 1
		return txn.Set(key, v)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A bit of a leaf flips on one node of the secretariat: it says so and signs
// nothing, the others go on, it serves records and gets the register from them,
// and signs again when a person has restarted it.
func TestAttackBitFlipInLeaf(t *testing.T) {
	t.Parallel()
	a := found(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	sec, two, _ := a.three(ctx)
	x := a.enrol("alpha", protocol.ClassNGO, "ngo")
	until(t, "they have it", func() bool { return two.Register().State().Size() == sec.Register().State().Size() })
	a.stop("sec2")
	dir := filepath.Join(a.dir, "sec2")
	flipLeaf(t, dir, 2)
	two = a.start("sec2", dir)
	a.ready(two)
	if err := two.Register().Fault(); !errors.Is(err, membership.ErrDamaged) {
		t.Fatalf("fault: %v", err)
	}
	if two.group != nil {
		t.Error("it takes part in ordering the register")
	}
	if !slices.ContainsFunc(two.Status().Warnings, func(s string) bool { return s == two.Register().Fault().Error() }) {
		t.Errorf("nobody is told: %q", two.Status().Warnings)
	}
	if err := a.op(ctx, sec, register.OfOrg(x.Org()), register.SetKind{Code: "helpline"}, a.officers[0], a.officers[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Register().Submit(ctx, []byte{}); err == nil {
		t.Error("it takes operations")
	}
	until(t, "it has the register again", func() bool { return two.Register().State().Root() == sec.Register().State().Root() })
	if err := two.Register().Fault(); !errors.Is(err, membership.ErrDamaged) {
		t.Errorf("it signs again by itself: %v", err)
	}
	a.stop("sec2")
	two = a.start("sec2", dir)
	a.ready(two)
	if err := two.Register().Fault(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	a.stop("sec3") // now nothing goes without it
	if err := a.op(ctx, sec, register.OfOrg(x.Org()), register.SetKind{Code: "ngo"}, a.officers[0], a.officers[1]); err != nil {
		t.Fatal(err)
	}
}

// The same on a member's node: it opens, serves, and mends by itself.
func TestDamagedMemberRegisterIsFetchedAnew(t *testing.T) {
	t.Parallel()
	a := found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	x, y := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	until(t, "alpha follows", func() bool { return x.Register().State().Size() == y.Register().State().Size() })
	a.stop("alpha")
	dir := filepath.Join(a.dir, "alpha")
	flipLeaf(t, dir, 1)
	x = a.start("alpha", dir)
	until(t, "it is whole", func() bool {
		s := x.Register().State()
		return x.Register().Fault() == nil && s != nil && s.Root() == sec.Register().State().Root()
	})
	a.ready(x)
	if err := x.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	sent := written(t, x, draftOf(y, sec))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := x.Replica().Await(ctx, sent.Feed, sent.Seq, y.ID()); err != nil {
		t.Error(err)
	}
}
