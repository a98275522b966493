package register

import (
	"fmt"
	"testing"
)

func BenchmarkApply(b *testing.B) {
	w := standingWorld(b)
	for name, c := range map[string]struct {
		about   Subject
		body    Body
		signers []string
	}{
		"time":        {OfTime(), Time{}, nil},
		"set-kind":    {OfOrg(w.orgs["NGO"]), SetKind{"hotline"}, []string{"o1", "o2"}},
		"publish-key": {AdministratorsOf(w.orgs["NGO"]), PublishKey{2, recipient("NGO 2")}, []string{"n1", "n2"}},
	} {
		leaf := sign(w.op(c.about, c.body).Encode(), w.s.Network(), keysOf(c.signers...)...).Leaf(w.time + 1)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Apply(w.s, leaf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// longWorld is a register of n leaves: half time, half the officers' work.
func longWorld(b *testing.B, n int) *world {
	w := standingWorld(b)
	for len(w.leaves) < n {
		about, body, signers := OfTime(), Body(Time{}), []string(nil)
		if len(w.leaves)%2 == 0 {
			about, body, signers = OfOrg(w.orgs["NGO"]), SetKind{fmt.Sprintf("kind-%d", len(w.leaves)%7)}, []string{"o1", "o2"}
		}
		leaf := sign(w.op(about, body).Encode(), w.s.Network(), keysOf(signers...)...).Leaf(w.time + 1)
		next, err := Apply(w.s, leaf)
		if err != nil {
			b.Fatal(err)
		}
		w.s, w.time, w.leaves = next, w.time+1, append(w.leaves, leaf)
	}
	return w
}

func BenchmarkReplay10k(b *testing.B) {
	w := longWorld(b, 10_000)
	begin, err := Found(w.leaves[0])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verified", func(b *testing.B) {
		for b.Loop() {
			if _, err := Replay(begin, w.leaves[1:]); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*len(w.leaves))/b.Elapsed().Seconds(), "leaves/s")
	})
	b.Run("from disk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Load(w.leaves, w.s.Root()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*len(w.leaves))/b.Elapsed().Seconds(), "leaves/s")
	})
}

func BenchmarkHistory(b *testing.B) {
	w := longWorld(b, 10_000)
	for name, ask := range map[string]func(uint64) bool{
		"RootAt":  func(n uint64) bool { _, ok := w.s.RootAt(n); return ok },
		"OrgAt":   func(n uint64) bool { _, ok := w.s.OrgAt(w.orgs["NGO"], n); return ok },
		"NodeAt":  func(n uint64) bool { _, ok := w.s.NodeAt(w.nodes["N2"], n); return ok },
		"InGroup": func(n uint64) bool { return w.s.InGroup(GroupMembers, w.orgs["NGO"], n) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				i = (i*7919 + 1) % 9000
				if !ask(i + 100) {
					b.Fatal("no answer")
				}
			}
		})
	}
}

func BenchmarkVerifyCheckpoint(b *testing.B) {
	w := standingWorld(b)
	msg := w.note(w.s.Size(), "S1", "S2", "S3")
	for b.Loop() {
		if _, err := VerifyCheckpoint(w.s, msg); err != nil {
			b.Fatal(err)
		}
	}
}
