package register

import (
	"bytes"
	"errors"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func seeds(f *testing.F) (*world, []Leaf) {
	w := standingWorld(f)
	var ls []Leaf
	for _, b := range w.leaves {
		l, err := DecodeLeaf(b)
		if err != nil {
			f.Fatal(err)
		}
		ls = append(ls, l)
	}
	return w, ls
}

// mutated is a few broken forms of b, as seeds.
func mutated(b []byte) [][]byte {
	out := [][]byte{b, b[:len(b)/2], append(bytes.Clone(b), 0)}
	for _, i := range []int{0, 1, len(b) / 3, len(b) - 1} {
		c := bytes.Clone(b)
		c[i] ^= 1
		out = append(out, c)
	}
	return out
}

func FuzzDecodeOp(f *testing.F) {
	w, ls := seeds(f)
	for _, l := range ls {
		for _, b := range mutated(l.Op) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeOp(b)
		if err != nil {
			return
		}
		if !bytes.Equal(o.Encode(), b) {
			t.Fatal("an operation has two forms")
		}
		for _, s := range []*State{w.s, nil} {
			for _, line := range o.Words(s) {
				if line == "" || bytes.ContainsAny([]byte(line), "\n\r\x1b") {
					t.Fatalf("words %q", line)
				}
			}
		}
	})
}

func FuzzDecodeLeaf(f *testing.F) {
	w, ls := seeds(f)
	for _, l := range ls {
		for _, b := range mutated(l.Encode()) {
			f.Add(b)
		}
		f.Add(SignedOp{l.Op, l.Signatures}.Encode())
		f.Add(Entry{Leaf: l.Encode(), PrevRoot: w.s.Root()}.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := DecodeLeaf(b); err == nil && !bytes.Equal(l.Encode(), b) {
			t.Fatal("a leaf has two forms")
		}
		if s, _, err := DecodeSignedOp(b); err == nil && !bytes.Equal(s.Encode(), b) {
			t.Fatal("a signed operation has two forms")
		}
		if e, err := DecodeEntry(b); err == nil {
			if !bytes.Equal(e.Encode(), b) {
				t.Fatal("an entry has two forms")
			}
			if _, err := ApplyEntry(w.s, e); err == nil {
				t.Fatal("an entry nobody endorsed was applied")
			}
		}
		if p, err := DecodeSplitProof(b); err == nil {
			if err := p.Verify(w.s); err == nil {
				t.Fatal("a split nobody signed was proved")
			}
		}
	})
}

// FuzzApply gives bytes as a leaf, and as an operation that the right people
// sign: nothing panics, nothing changes the old state, and nothing that was not
// signed by somebody is applied.
func FuzzApply(f *testing.F) {
	w, ls := seeds(f)
	for i, l := range ls {
		for _, b := range mutated(l.Encode()) {
			f.Add(b, uint16(i))
		}
		f.Add(l.Op, uint16(i))
	}
	for _, c := range ruleCases {
		cw := standingWorld(f)
		if c.prep != nil {
			c.prep(cw)
		}
		about, body := c.make(cw)
		f.Add(cw.op(about, body).Encode(), uint16(9999))
	}
	states := []*State{}
	s, err := Found(w.leaves[0])
	if err != nil {
		f.Fatal(err)
	}
	for _, l := range w.leaves[1:] {
		states = append(states, s)
		if s, err = Apply(s, l); err != nil {
			f.Fatal(err)
		}
	}
	states = append(states, s)
	everybody := keysOf("o1", "o2", "o3", "o4", "s1", "s2", "n1", "n2", "n3", "Police a", "Ministry a")
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		s := states[min(int(at), len(states)-1)]
		root, size := s.Root(), s.Size()
		if next, err := Apply(s, b); err == nil {
			l, _ := DecodeLeaf(b)
			op, err := DecodeOp(l.Op)
			if err != nil || next.Size() != size+1 || op.Kind() != KindTime && len(l.Signatures) == 0 {
				t.Fatal("an unsigned leaf was applied")
			}
		}
		if leaf, next, err := s.Propose(s.Time()+1, sign(b, s.Network(), everybody...)); err == nil {
			again, err := Apply(s, leaf)
			if err != nil || again.Digest() != next.Digest() {
				t.Fatalf("Apply differs from itself: %v", err)
			}
			(&world{t: t, s: next}).checkInvariants()
		} else if leaf != nil {
			t.Fatal("a refused operation got a leaf")
		}
		if _, ok := s.TakenAway(b, size); ok {
			t.Fatal("an unsigned operation took something away")
		}
		if s.Root() != root || s.Size() != size {
			t.Fatal("the old state moved")
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	w, _ := seeds(f)
	good := w.note(w.s.Size(), "S1", "S2")
	for _, b := range mutated(good) {
		f.Add(b)
	}
	f.Add(w.note(w.s.Size(), "S1"))
	f.Add([]byte(Checkpoint{w.s.Network(), 1, w.s.Root()}.Text() + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCheckpoint(b)
		if err == nil && !bytes.HasPrefix(b, []byte(c.Text()+"\n")) {
			t.Fatal("a checkpoint has two forms")
		}
		if v, err := VerifyCheckpoint(w.s, b); err == nil && (v.Size != w.s.Size() || v.Root != w.s.Root()) {
			t.Fatal("a checkpoint that nobody signed was verified")
		}
		if m, err := w.s.MergeNotes(b); err == nil {
			if n, err := w.s.MergeNotes(m, b); err != nil || !bytes.Equal(m, n) {
				t.Fatal("merging twice is not merging once")
			}
		}
	})
}

func FuzzDecodeJoinRequest(f *testing.F) {
	w := newWorld(f)
	_, sr := w.request("Second NGO", protocol.ClassNGO, 2, "x1", "x2")
	for _, b := range mutated(sr.Encode()) {
		f.Add(b)
	}
	f.Add(sr.Request)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeSignedRequest(b)
		if err != nil {
			if errors.Is(err, ErrUpgrade) {
				t.Fatal("a request asks for an upgrade")
			}
			return
		}
		if !bytes.Equal(c.Signed().Encode(), b) {
			t.Fatal("a request has two forms")
		}
		if c.Verify() == nil && !bytes.Equal(c.Signed().Request, sr.Request) {
			t.Fatal("a request that nobody signed stands")
		}
	})
}
