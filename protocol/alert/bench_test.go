package alert

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkParseCAP(b *testing.B) {
	_, doc := example(b)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseCAP(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteCAP(b *testing.B) {
	a, _ := example(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.CAP(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBody(b *testing.B) {
	a, _ := example(b)
	body, err := EncodeBody(KindIssue, Body{Alert: a})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeBody(KindIssue, body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFold folds an alert of five versions that a number of
// organisations acknowledged.
func BenchmarkFold(b *testing.B) {
	for _, acks := range []int{50, 1000} {
		b.Run(fmt.Sprintf("acks=%d", acks), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("v0 A issue 1\n")
			for n := 1; n < 5; n++ {
				fmt.Fprintf(&text, "v%d A update %d v%d\n", n, n+1, n-1)
			}
			for n := range acks {
				fmt.Fprintf(&text, "k%d B reported %d v%d\n", n, n, n%5)
			}
			events := story(b, text.String())
			for n := range events[5:] {
				events[5+n].Author[1], events[5+n].Author[2] = byte(n), byte(n>>8)
			}
			b.ReportAllocs()
			for b.Loop() {
				if s := Fold(events); len(s.Threads[0].Answers) != acks {
					b.Fatal(tell(s))
				}
			}
		})
	}
}
