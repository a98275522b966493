package protocol

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// Several authors write, some of it bad, while the register grows. Each
// verifier gets all records in its own order, delayed and duplicated; records
// that must wait are offered again. In the end all chains are equal, and every
// one is what the authors wrote.
func TestChainsConverge(t *testing.T) {
	leaves := []string{"key B", "taint B", "suspend P", "reinstate P", "withdraw C", "offer C", "day 20003", "suspend A", "reinstate A", "org X ngo"}
	acts := []string{"key", "key custodians=C", "key custodians=P", "key parts=A,B", "data", "data", "data sets=0,1", "data day=-2", "data root=other",
		"data sets=7", "key readers=0:A", "data keyseq=1", "data expiry=2000"}
	spare := newWorld(t, usual).ids
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorldWith(t, usual, spare)
		pens := []*pen{w.pen("A1", "B P"), w.pen("A1", "B"), w.pen("B1", "A P"), w.pen("C1", "C")}
		for _, p := range pens {
			p.hollow = true
		}
		author := newDesk(w.now())
		var sent []Envelope
		for range rapid.IntRange(4, 40).Draw(rt, "steps") {
			if rapid.IntRange(0, 4).Draw(rt, "register") == 0 {
				leaf := rapid.SampledFrom(leaves).Draw(rt, "leaf")
				if _, ok := w.now().OrgAt(orgID("X"), w.size()); ok && leaf == "org X ngo" {
					continue
				}
				w.leaves(leaf)
				author.m = w.now()
				continue
			}
			p := pens[rapid.IntRange(0, len(pens)-1).Draw(rt, "author")]
			act := rapid.SampledFrom(acts).Draw(rt, "act")
			kind, options := act, []string(nil)
			if i := bytes.IndexByte([]byte(act), ' '); i > 0 {
				kind, options = act[:i], []string{act[i+1:]}
			}
			if p.chain.Seq == 0 && kind == "data" {
				kind, options = "key", nil
			}
			if p.chain.Key.Seq == 0 && kind == "data" {
				options = []string{"keyseq=1"}
			}
			p.day = usualDay + 3
			env := p.scrawl(t, kind, options)
			if r, err := author.take(env); err != nil {
				rt.Fatalf("%s by %s: %s", act, p.node, outcome(r, err))
			}
			p.chain = author.chains[p.feed()]
			sent = append(sent, env)
		}
		// Whether an author is suspended by now is asked of the newest
		// register, so let all see that one and have the author's desk judge
		// again; only states may differ by it, never what is refused.
		judge := newDesk(w.now())
		for _, env := range sent {
			if r, err := judge.take(env); err != nil {
				rt.Fatal(outcome(r, err))
			}
		}
		for range 2 {
			d := newDesk(w.at(rapid.Uint64Range(1, w.size()).Draw(rt, "size")))
			todo := rapid.Permutation(append(append([]Envelope{}, sent...), sent[:len(sent)/2]...)).Draw(rt, "order")
			for round := 0; len(todo) > 0; round++ {
				var later []Envelope
				for _, env := range todo {
					r, err := d.take(env)
					switch {
					case err == nil, errors.Is(err, ErrKnown):
					case errors.Is(err, ErrWait):
						later = append(later, env)
					default:
						rt.Fatal(outcome(r, err))
					}
				}
				d.m = w.now()
				if todo = later; round > len(sent)+1 {
					rt.Fatalf("%d records wait for ever", len(todo))
				}
			}
			if len(d.chains) != len(judge.chains) {
				rt.Fatalf("%d feeds, want %d", len(d.chains), len(judge.chains))
			}
			for feed, want := range judge.chains {
				got := d.chains[feed]
				got.Held, want.Held = nil, nil // what was taken before a suspension is not held
				if !bytes.Equal(Encode(got), Encode(want)) {
					rt.Fatalf("two verifiers differ:\n%+v\n%+v", got, want)
				}
			}
		}
	})
}
