package membership

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/protocol/register"
)

func snapshotOf(t testing.TB, r *Register) []byte {
	t.Helper()
	write, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A node that fell behind the log takes a snapshot: leaves, desk and all.
func TestSnapshotAndRestore(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, _, _ := a.three()
		behind := a.halt("S2").clone()
		ticket, err := s1.Invite(t.Context(), nil, s1.o.Now().Unix()+3600)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			a.move(s1)
		}
		snap := snapshotOf(t, s1.Register)
		s2 := a.open("S2", behind)
		was := s2.Tip().Size()
		if err := s2.Restore(bytes.NewReader(snap)); err != nil {
			t.Fatal(err)
		}
		if s2.Tip().Root() != s1.Tip().Root() || s2.Applied() != s1.Applied() || s2.State().Size() != was {
			t.Errorf("tip %d, applied %d, accepted %d", s2.Tip().Size(), s2.Applied(), s2.State().Size())
		}
		if got, err := s2.ticket(tokenHash(a.network, ticket.Token)); err != nil || got == nil {
			t.Errorf("the desk did not come along: %v", err)
		}
		again := a.open("S2", behind)
		if again.Tip().Root() != s1.Tip().Root() || again.Applied() != s1.Applied() {
			t.Error("it is not on disk")
		}
		// Twice is once, and an older one does no harm.
		if err := s2.Restore(bytes.NewReader(snap)); err != nil {
			t.Error(err)
		}
		a.move(s1)
		if err := s1.Restore(bytes.NewReader(snap)); err != nil || s1.Tip().Size() != s2.Tip().Size()+1 {
			t.Errorf("an older snapshot: %v", err)
		}
	})
}

// A snapshot that is not this register's, or not whole, changes nothing.
func TestBadSnapshotsAreRefused(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		s1, _, _ := a.three()
		behind := a.halt("S2").clone()
		if _, err := s1.Invite(t.Context(), nil, s1.o.Now().Unix()+3600); err != nil {
			t.Fatal(err)
		}
		a.move(s1)
		snap := snapshotOf(t, s1.Register)
		s2 := a.open("S2", behind)
		was, before := s2.Tip(), behind.clone()
		try := func(name string, b []byte) {
			t.Helper()
			if err := s2.Restore(bytes.NewReader(b)); err == nil {
				t.Errorf("%s: restored", name)
			}
			if s2.Tip() != was || len(behind.clone().leaves) != len(before.leaves) || len(behind.clone().marks) != len(before.marks) {
				t.Fatalf("%s: something changed", name)
			}
		}
		for _, n := range []int{0, 7, 24, 27, 40, len(snap) / 2, len(snap) - 1} {
			try("cut", snap[:n])
		}
		try("longer", append(slices.Clone(snap), 0))
		flip := func(at int) []byte {
			b := slices.Clone(snap)
			b[at] ^= 1
			return b
		}
		try("a leaf that we have differs", flip(24+4+30))
		first := int(binary.BigEndian.Uint32(snap[24:]))
		try("a length", flip(24+4+first+2))
		huge := slices.Clone(snap)
		binary.BigEndian.PutUint64(huge[8:], 1<<60)
		try("too many leaves", huge)
		huge = slices.Clone(snap)
		binary.BigEndian.PutUint64(huge[16:], 1<<60)
		try("too many marks", huge)
		huge = slices.Clone(snap)
		binary.BigEndian.PutUint32(huge[24:], 1<<31)
		try("a leaf too long", huge)
		// A mark that the desk has nothing to do with.
		var odd bytes.Buffer
		for _, n := range []uint64{9, 0, 1} {
			binary.Write(&odd, binary.BigEndian, n)
		}
		for _, s := range []string{markSigned, "x"} {
			binary.Write(&odd, binary.BigEndian, uint32(len(s)))
			odd.WriteString(s)
		}
		try("another mark", odd.Bytes())
		// The newest leaf of another history.
		other, err := register.Replay(mustBegin(t, a), before.leaves[1:])
		if err != nil {
			t.Fatal(err)
		}
		if other.Root() != was.Root() {
			t.Error("not where it was")
		}
	})
}

func mustBegin(t *testing.T, a *alliance) *register.State {
	t.Helper()
	s, err := register.Begin(a.network, a.genesis)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
