package protocol

import (
	"bytes"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// One kibibyte in one section, to one organisation and its custodian.
func benchFeed(b *testing.B) (*world, *pen, []Content) {
	w := newWorld(b, usual)
	p := w.pen("A1", "S")
	p.key("S")
	content := texts()
	content[0].Body = bytes.Repeat([]byte("Example text."), 100)[:1024]
	return w, p, content
}

// The floor under the others, on the same machine in the same minute.

func BenchmarkFloorSign(b *testing.B) {
	w, p, _ := benchFeed(b)
	core := p.data().CoreBytes()
	k := w.keys["A1"]
	for b.Loop() {
		SignCore(k, w.network, core)
	}
}

func BenchmarkFloorVerify(b *testing.B) {
	w, p, _ := benchFeed(b)
	r, k := p.data(), w.keys["A1"].Public()
	for b.Loop() {
		if err := crypto.Verify(k, labelRecord, crypto.Hash(w.network), r.CoreBytes(), r.Signature()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorSeal(b *testing.B) {
	_, p, _ := benchFeed(b)
	at, plain := place(p.data().Core(), p.feed(), 0), make([]byte, seal.PaddedLen(1500))
	for b.Loop() {
		if _, err := seal.SealSection(p.keys[1][0], at, plain); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is compose, seal and sign.
func BenchmarkWrite(b *testing.B) {
	w, p, content := benchFeed(b)
	wr := w.writer("A1", w.now())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := wr.Write(p.chain, p.keys[1], content, p.day, p.day); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is all that needs no feed, the signature above all.
func BenchmarkOpen(b *testing.B) {
	w, p, _ := benchFeed(b)
	env, m := all(p.data()), w.now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(m, env); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLink(b *testing.B) {
	w, p, _ := benchFeed(b)
	before, m := p.chain, w.now()
	s, err := Open(m, all(p.data()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r, _, err := before.Link(m, s); err != nil || r.State() != Linked {
			b.Fatal(err)
		}
	}
}

// BenchmarkAttach compares a section with its hash.
func BenchmarkAttach(b *testing.B) {
	_, p, _ := benchFeed(b)
	r := p.data()
	sealed := r.Section(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Attach(0, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSection(b *testing.B) {
	w, p, content := benchFeed(b)
	r, _, err := w.writer("A1", w.now()).Write(p.chain, p.keys[1], content, p.day, p.day)
	if err != nil {
		b.Fatal(err)
	}
	set := p.chain.Key.Sets[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.OpenSection(0, p.keys[1][0], set); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEntitles(b *testing.B) {
	w, p, _ := benchFeed(b)
	r, m := p.data(), w.now()
	org := orgID("S")
	b.ReportAllocs()
	for b.Loop() {
		if e := Entitles(m, &p.chain, &p.chain.Key, r.Core(), r.State(), org); !e.Any() {
			b.Fatal("not entitled")
		}
	}
}

// BenchmarkReload is what a node does with a record of its own disk.
func BenchmarkReload(b *testing.B) {
	w, p, _ := benchFeed(b)
	r := p.data()
	env := all(r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Reload(w.network, r.ID(), env, Linked, 0); err != nil {
			b.Fatal(err)
		}
	}
}
