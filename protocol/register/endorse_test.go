package register

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func (w *world) endorse(leaf []byte, now int64, nodes ...string) Entry {
	w.t.Helper()
	e := Entry{Leaf: leaf, PrevRoot: w.s.Root()}
	for _, n := range nodes {
		en, err := w.s.Endorse(w.nodes[n], key(n+" author"), leaf, e.PrevRoot, now)
		if err != nil {
			w.t.Fatal(err)
		}
		e.Endorsements = append(e.Endorsements, en)
	}
	slices.SortFunc(e.Endorsements, func(a, b Endorsement) int { return a.Node.Compare(b.Node) })
	return e
}

func TestApplyEntry(t *testing.T) {
	w := standingWorld(t)
	w.addNode("secretariat", "S4")
	leaf := sign(w.op(OfOrg(w.orgs["NGO"]), SetKind{"hotline"}).Encode(), w.s.Network(), keysOf("o1", "o2")...).Leaf(w.time + 10)
	good := w.endorse(leaf, w.time+10, "S1", "S3")
	again, err := DecodeEntry(good.Encode())
	if err != nil {
		t.Fatal(err)
	}
	next, err := ApplyEntry(w.s, again)
	if err != nil {
		t.Fatal(err)
	}
	if direct, err := Apply(w.s, leaf); err != nil || direct.Digest() != next.Digest() {
		t.Errorf("the entry and its leaf differ: %v", err)
	}
	if _, err := ApplyEntry(next, good); !errors.Is(err, ErrRoot) {
		t.Errorf("again, on the next root: %v", err)
	}
	later := mustLeaf(t, leaf)
	later.Time++
	other := sign(w.op(OfOrg(w.orgs["NGO"]), SetKind{"helpline"}).Encode(), w.s.Network(), keysOf("o1", "o2")...).Leaf(w.time + 10)
	stranger := w.endorse(leaf, w.time+10, "S4")
	for name, e := range map[string]Entry{
		"nobody endorsed":         {Leaf: leaf, PrevRoot: good.PrevRoot},
		"one of three":            w.endorse(leaf, w.time+10, "S2"),
		"one twice":               {leaf, good.PrevRoot, []Endorsement{good.Endorsements[0], good.Endorsements[0]}},
		"in the other order":      {leaf, good.PrevRoot, []Endorsement{good.Endorsements[1], good.Endorsements[0]}},
		"one for another's node":  {leaf, good.PrevRoot, []Endorsement{good.Endorsements[0], {good.Endorsements[1].Node, good.Endorsements[0].Signature}}},
		"no signer":               {leaf, good.PrevRoot, append(slices.Clone(good.Endorsements[:1]), stranger.Endorsements...)},
		"a second later":          {later.Encode(), good.PrevRoot, good.Endorsements},
		"another operation":       {other, good.PrevRoot, good.Endorsements},
		"another root":            {leaf, [32]byte{1}, good.Endorsements},
		"junk":                    {[]byte("junk"), good.PrevRoot, good.Endorsements},
		"an operation that fails": {SignedOp{Op: mustLeaf(t, leaf).Op}.Leaf(w.time + 10), good.PrevRoot, good.Endorsements},
	} {
		if _, err := ApplyEntry(w.s, e); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
	for _, en := range good.Endorsements {
		if err := w.s.CheckEndorsement(leaf, en); err != nil {
			t.Error(err)
		}
	}
	if err := w.s.CheckEndorsement(other, good.Endorsements[0]); err == nil {
		t.Error("an endorsement served another leaf")
	}

	// A signer looks at its clock, its root and the operation.
	for name, try := range map[string]func() error{
		"a clock 301 s behind": func() error {
			_, err := w.s.Endorse(w.nodes["S1"], key("S1 author"), leaf, w.s.Root(), w.time+10-301)
			return err
		},
		"a clock 301 s ahead": func() error {
			_, err := w.s.Endorse(w.nodes["S1"], key("S1 author"), leaf, w.s.Root(), w.time+10+301)
			return err
		},
		"a clock a year off": func() error {
			_, err := w.s.Endorse(w.nodes["S1"], key("S1 author"), leaf, w.s.Root(), w.time+365*dayLong)
			return err
		},
		"another root": func() error {
			_, err := w.s.Endorse(w.nodes["S1"], key("S1 author"), leaf, [32]byte{1}, w.time)
			return err
		},
		"another's key": func() error {
			_, err := w.s.Endorse(w.nodes["S1"], key("S2 author"), leaf, w.s.Root(), w.time)
			return err
		},
		"too few approvals": func() error {
			_, err := w.s.Endorse(w.nodes["S1"], key("S1 author"), SignedOp{Op: mustLeaf(t, leaf).Op}.Leaf(w.time+10), w.s.Root(), w.time)
			return err
		},
	} {
		if try() == nil {
			t.Errorf("endorsed with %s", name)
		}
	}
	// A suspended signer endorses for nobody.
	w.do(OfNode(w.nodes["S3"]), Suspend{}, "o1")
	leaf = w.op(OfTime(), Time{}).leaf(w.time + 1)
	if _, err := ApplyEntry(w.s, w.endorse(leaf, w.time, "S1", "S3")); err == nil {
		t.Error("a suspended signer's endorsement counted")
	}
	if _, err := ApplyEntry(w.s, w.endorse(leaf, w.time, "S1", "S2")); err != nil {
		t.Error(err)
	}
}

func (o *Op) leaf(time int64) []byte { return Leaf{time, o.Encode(), nil}.Encode() }

func TestCheckTime(t *testing.T) {
	for _, c := range []struct {
		now, leaf, before int64
		ok                bool
	}{
		{1000, 1000, 1000, true}, {1000, 1300, 0, true}, {1000, 1301, 0, false}, {1000, 700, 0, true}, {1000, 699, 0, false},
		{1000, 999, 1000, false}, {1000, 1000, 2000, false}, {0, 300, 0, true}, {1000, 1000 + 365*dayLong, 0, false},
	} {
		if err := CheckTime(c.now, c.leaf, c.before); (err == nil) != c.ok {
			t.Errorf("now %d, leaf %d after %d: %v", c.now, c.leaf, c.before, err)
		}
	}
}

func TestSplitProof(t *testing.T) {
	w := standingWorld(t)
	base, leaves, fork := w.s, w.leaves, w.s.Size()
	w.do(OfOrg(w.orgs["NGO"]), RevokeOrg{}, "o1", "o2")
	w.do(OfTime(), Time{})
	left, leftLeaves := w.s, w.leaves
	noteL := w.note(w.s.Size(), "S1", "S2")
	w.s, w.leaves, w.time = base, slices.Clone(leaves), base.Time()
	w.do(OfOrg(w.orgs["NGO"]), SetKind{"hotline"}, "o1", "o2")
	w.do(OfTime(), Time{})
	w.do(OfTime(), Time{})
	right, rightLeaves := w.s, w.leaves
	noteR := w.note(w.s.Size(), "S1", "S3")
	atSame := w.note(left.Size(), "S1", "S3")

	p, err := ProveSplit(noteL, leftLeaves, noteR, rightLeaves)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = DecodeSplitProof(p.Encode()); err != nil {
		t.Fatal(err)
	}
	if p.Index != fork {
		t.Errorf("the histories part at %d, the proof says %d", fork, p.Index)
	}
	for name, s := range map[string]*State{"left": left, "right": right, "before": base} {
		if err := p.Verify(s); err != nil {
			t.Errorf("shown to one who follows %s: %v", name, err)
		}
	}
	if _, ok := left.Contradicts(atSame); !ok {
		t.Error("the other history's note of the same size contradicts nothing")
	}
	if _, ok := left.Contradicts(noteR); ok {
		t.Error("a larger note contradicts what is not here")
	}
	if _, ok := left.Contradicts(noteL); ok {
		t.Error("its own note contradicts")
	}
	if _, err := Accept(left, rightLeaves[left.Size():], noteR); err == nil {
		t.Error("the other history was accepted")
	}
	w.s = right
	alone := w.note(left.Size(), "S3")
	if _, ok := left.Contradicts(alone); ok {
		t.Error("one signer of three contradicts the register")
	}
	for name, change := range map[string]func(*SplitProof){
		"the same leaf":     func(p *SplitProof) { p.Leaves[1], p.Proofs[1], p.Notes[1] = p.Leaves[0], p.Proofs[0], p.Notes[0] },
		"another leaf":      func(p *SplitProof) { p.Leaves[1] = []byte("another") },
		"another index":     func(p *SplitProof) { p.Index-- },
		"no index":          func(p *SplitProof) { p.Index = 0 },
		"an index ahead":    func(p *SplitProof) { p.Index = 1 << 40 },
		"a cut proof":       func(p *SplitProof) { p.Proofs[0] = p.Proofs[0][1:] },
		"one signer's note": func(p *SplitProof) { w.s = right; p.Notes[1] = w.note(right.Size(), "S3") },
		"no note":           func(p *SplitProof) { p.Notes[0] = nil },
	} {
		q := p
		change(&q)
		if err := q.Verify(base); err == nil {
			t.Errorf("%s: proves a split", name)
		}
	}
	if _, err := ProveSplit(noteL, leftLeaves, noteL, leftLeaves); err == nil {
		t.Error("one history was split")
	}
	if _, err := ProveSplit(noteL, leftLeaves, noteR, rightLeaves[:left.Size()]); err == nil {
		t.Error("leaves short of the note")
	}
}

func TestNotes(t *testing.T) {
	w := standingWorld(t)
	size := w.s.Size()
	msg := w.note(size, "S1", "S3")
	c, err := VerifyCheckpoint(w.s, msg)
	if err != nil || c.Size != size || c.Root != w.s.Root() || c.Network != w.s.Network() {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := VerifyCheckpoint(w.s, w.note(size, "S1")); !errors.Is(err, ErrSigners) {
		t.Errorf("one of three: %v", err)
	}
	// Merging is idempotent and in no order; strangers' and bad lines go.
	a, err := w.s.MergeNotes(w.note(size, "S3"), w.note(size, "S1"), w.note(size, "S3"))
	if err != nil || string(a) != string(msg) {
		t.Errorf("merged to another note: %v", err)
	}
	s2 := w.note(size, "S2")
	line := bytes.Clone(s2[bytes.Index(s2, []byte("\n\n"))+2:])
	line[len(line)-10] ^= 1 // its signature no longer stands
	bad := append(append(bytes.Clone(msg), line...), "— example.org/witness AAAAAQAA\n"...)
	if _, err := VerifyCheckpoint(w.s, bad); err != nil {
		t.Errorf("lines of strangers spoil a note: %v", err)
	}
	if b, err := w.s.MergeNotes(bad, msg); err != nil || string(b) != string(msg) {
		t.Errorf("strangers' lines were kept: %v", err)
	}
	if _, err := w.s.MergeNotes(msg, w.note(size-1, "S1")); err == nil {
		t.Error("notes of two sizes were merged")
	}
	if _, err := w.s.SignCheckpoint(size, w.nodes["S1"], key("S2 checkpoint")); err == nil {
		t.Error("signed with another node's key")
	}
	if _, err := w.s.SignCheckpoint(size+1, w.nodes["S1"], key("S1 checkpoint")); err == nil {
		t.Error("signed a size that is not here")
	}
	if _, err := w.s.SignCheckpoint(size, w.nodes["N2"], key("N2 checkpoint")); err == nil {
		t.Error("a member's node signed a checkpoint")
	}
	text := c.Text()
	sigs := string(msg[len(text):])
	for name, bad := range map[string]string{
		"empty":            "",
		"no signatures":    text,
		"another origin":   "example.org/log\n" + text[len(Origin(c.Network))+1:] + sigs,
		"another network":  Checkpoint{protocol.NetworkID{1}, c.Size, c.Root}.Text() + sigs,
		"another size":     Checkpoint{c.Network, c.Size - 1, c.Root}.Text() + sigs,
		"another root":     Checkpoint{c.Network, c.Size, [32]byte{1}}.Text() + sigs,
		"an extension":     text + "more\n" + sigs,
		"a sign before":    Origin(c.Network) + "\n+" + text[len(Origin(c.Network))+1:] + sigs,
		"a zero before":    Origin(c.Network) + "\n0" + text[len(Origin(c.Network))+1:] + sigs,
		"carriage returns": text[:len(text)-1] + "\r\n" + sigs,
	} {
		if _, err := VerifyCheckpoint(w.s, []byte(bad)); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
}
