package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/national-alliance/alliance/crypto"
)

func FuzzDecode(f *testing.F) {
	d := crypto.Hash{1}
	e := entry(feed(1, true), 3, 0)
	for _, m := range []Msg{{Digest: &d}, {Buckets: []BucketDigest{{Bucket: 3, Digest: d}}}, {Page: &Page{Of: allBuckets, To: lastFeed, Entries: []Entry{e}}}} {
		f.Add(m.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrPeer) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if !bytes.Equal(m.Encode(), b) {
			t.Fatalf("%x became %x", b, m.Encode())
		}
	})
}

// FuzzStep plays a hostile peer: messages of any kind and order. A session
// never panics, mentions only what it holds, and ends.
func FuzzStep(f *testing.F) {
	d := crypto.Hash{1}
	e := entry(feed(1, false), 3, 0)
	script := func(list ...Msg) (b []byte) {
		for _, m := range list {
			enc := m.Encode()
			b = append(b, byte(len(enc)>>8), byte(len(enc)))
			b = append(b, enc...)
		}
		return b
	}
	f.Add(true, 3, script(Msg{Buckets: []BucketDigest{{Bucket: 3, Digest: d}}}, Msg{Page: &Page{Of: allBuckets, To: lastFeed}}))
	f.Add(false, 200, script(Msg{Digest: &d}, Msg{Page: &Page{Of: allBuckets, To: lastFeed, Entries: []Entry{e}}}))
	f.Add(false, 3, script(Msg{Digest: &d}, Msg{Page: &Page{Of: allBuckets, To: lastFeed, Entries: []Entry{e}}}))
	f.Fuzz(func(t *testing.T, start bool, feeds int, b []byte) {
		if feeds < 0 || feeds > 3000 {
			return
		}
		held := map[string]bool{}
		var mine []Entry
		for n := range feeds {
			e := entry(feed(n, n%2 == 0), 7, 0)
			mine = append(mine, e)
			held[fmt.Sprint(e)] = true
		}
		fr, err := NewFrontier(testNetwork, mine)
		if err != nil {
			t.Fatal(err)
		}
		s := New(fr)
		if start {
			s.Start()
		}
		for len(b) >= 2 {
			n := min(int(b[0])<<8|int(b[1]), len(b)-2)
			m, err := Decode(b[2 : 2+n])
			b = b[2+n:]
			if err != nil {
				continue
			}
			reply, found, done, err := s.Step(m)
			if err != nil && (!done || reply != nil) || err == nil && reply == nil && !done {
				t.Fatalf("reply %v, done %v, %v", reply, done, err)
			}
			if reply != nil && reply.Page != nil {
				if err := reply.check(); err != nil {
					t.Fatal(err)
				}
				for _, e := range reply.Page.Entries {
					if !held[fmt.Sprint(e)] {
						t.Fatalf("mentions %+v", e)
					}
				}
			}
			for _, w := range append(found.Want, found.Offer...) {
				if w.From == 0 || w.From > w.To {
					t.Fatalf("span %+v", w)
				}
			}
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	for _, feeds := range []int{10, 1000, 10_000} {
		var mine []Entry
		for n := range feeds {
			mine = append(mine, entry(feed(n, true), 7, 0))
		}
		theirs := append([]Entry(nil), mine...)
		theirs[feeds/2] = entry(theirs[feeds/2].Feed, 8, 0)
		a, c := frontier(b, mine), frontier(b, theirs)
		b.Run(fmt.Sprintf("frontier/%d", feeds), func(b *testing.B) {
			for b.Loop() {
				frontier(b, mine)
			}
		})
		b.Run(fmt.Sprintf("equal/%d", feeds), func(b *testing.B) {
			for b.Loop() {
				exchange(b, a, a)
			}
		})
		b.Run(fmt.Sprintf("one-differs/%d", feeds), func(b *testing.B) {
			for b.Loop() {
				exchange(b, a, c)
			}
		})
	}
}
