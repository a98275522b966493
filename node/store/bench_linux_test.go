package store

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// BenchmarkFsync is what the disk needs for 2 KiB appended and synced: the
// measure for the commits below.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 2048)
	for b.Loop() {
		if _, err := f.Write(p); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommit1 is one writer of records with a body of 1 KiB.
func BenchmarkCommit1(b *testing.B) {
	s := open(b, b.TempDir())
	links := authorOf(b, 1).some(b, b.N+1, 1024)
	b.ResetTimer()
	for _, l := range links[:b.N] {
		commit(b, s, l.put)
	}
}

// BenchmarkCommit64 is 64 writers at once, a feed each; ns/op is per record.
func BenchmarkCommit64(b *testing.B) {
	s := open(b, b.TempDir())
	const writers = 64
	feeds := make([][]link, writers)
	for i := range feeds {
		feeds[i] = authorOf(b, byte(i)).some(b, b.N/writers+1, 1024)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, links := range feeds {
		wg.Go(func() {
			for _, l := range links {
				commit(b, s, l.put)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/float64(s.totals.Commit), "records/sync")
}

// BenchmarkPipe64 is one feed with 64 commits under way.
func BenchmarkPipe64(b *testing.B) {
	s := open(b, b.TempDir())
	links := authorOf(b, 1).some(b, b.N+1, 1024)
	b.ResetTimer()
	var waits []<-chan error
	for _, l := range links[:b.N] {
		var batch Batch
		l.put(&batch)
		waits = append(waits, s.Enqueue(&batch))
		if len(waits) == 64 {
			if err := <-waits[0]; err != nil {
				b.Fatal(err)
			}
			waits = waits[1:]
		}
	}
	for _, w := range waits {
		if err := <-w; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/float64(s.totals.Commit), "records/sync")
}

// big is a closed store with n records of 1 KiB.
func big(b *testing.B, n int) string {
	dir := b.TempDir()
	s := open(b, dir)
	appendAll(b, s, 1, n)
	mustClose(b, s)
	return dir
}

func appendAll(b *testing.B, s *Store, node byte, n int) {
	a := authorOf(b, node)
	for n > 0 {
		var batch Batch
		for range min(n, 256) {
			a.next(b, invented(1024)).put(&batch)
		}
		if err := s.Commit(context.Background(), &batch); err != nil {
			b.Fatal(err)
		}
		n -= 256
	}
}

// BenchmarkAppend100k commits 100,000 records in batches of 256.
func BenchmarkAppend100k(b *testing.B) {
	const n = 100_000
	links := authorOf(b, 1).some(b, n, 1024)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		s := open(b, b.TempDir())
		b.StartTimer()
		for i := 0; i < n; i += 256 {
			commit(b, s, func(batch *Batch) {
				for _, l := range links[i:min(n, i+256)] {
					l.put(batch)
				}
			})
		}
		b.StopTimer()
		mustClose(b, s)
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkOpen100k opens a store with 100,000 records, and reports the memory
// that the process then has.
func BenchmarkOpen100k(b *testing.B) {
	dir := big(b, 100_000)
	for b.Loop() {
		s, err := Open(testOptions(dir))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		b.ReportMetric(rss(b), "rss-MB")
		mustClose(b, s)
		b.StartTimer()
	}
}

// BenchmarkRange100k reads 100,000 records in order.
func BenchmarkRange100k(b *testing.B) {
	dir := big(b, 100_000)
	s := open(b, dir)
	feed := s.Feeds()[0].Feed
	n := 0
	for b.Loop() {
		if err := s.Range(feed, 1, 1<<40, func(*protocol.Record) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(rss(b), "rss-MB")
	b.ReportMetric(float64(diskUse(b, dir))/100_000, "bytes/record")
	mustClose(b, s)
}

func rss(tb testing.TB) float64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(raw)) {
		if f := strings.Fields(l); f[0] == "VmRSS:" {
			kb, _ := strconv.Atoi(f[1])
			return float64(kb) / 1024
		}
	}
	return 0
}

func diskUse(tb testing.TB, dir string) (n int64) {
	filepath.Walk(dir, func(_ string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() {
			n += allocated(fi)
		}
		return nil
	})
	return n
}
