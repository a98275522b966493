package transport

import (
	"context"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// BenchmarkCall asks with 1 KiB and is answered with 200 bytes.
func BenchmarkCall(b *testing.B) {
	for _, kind := range []string{"quic", "tcp"} {
		b.Run(kind, func(b *testing.B) {
			_, client := callPair(b, kind, Rules{}, func(context.Context, protocol.Node, []byte) ([]byte, error) { return make([]byte, 200), nil })
			req := make([]byte, 1024)
			ask := func() {
				if _, err := client.Call(context.Background(), protocol.NodeID{1}, testProto, req); err != nil {
					b.Error(err)
				}
			}
			b.Run("1-in-flight", func(b *testing.B) {
				for b.Loop() {
					ask()
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
			b.Run("64-in-flight", func(b *testing.B) {
				var wg sync.WaitGroup
				work := make(chan struct{})
				for range 64 {
					wg.Go(func() {
						for range work {
							ask()
						}
					})
				}
				for b.Loop() {
					work <- struct{}{}
				}
				close(work)
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		})
	}
}

// BenchmarkFrames sends 1 KiB frames one way, 16 in a Write.
func BenchmarkFrames(b *testing.B) {
	for _, kind := range []string{"quic", "tcp"} {
		b.Run(kind, func(b *testing.B) {
			done := make(chan int, 1)
			_, client := pair(b, kind, func(o *Options) { o.Limits.FramesPerSecond, o.Limits.BytesPerSecond = 1<<30, 1<<40 }, Rules{}, func(_ context.Context, _ protocol.Node, s *Stream) {
				n := 0
				for {
					if _, err := s.Read(); err != nil {
						break
					}
					n++
				}
				done <- n
			})
			s, err := client.Open(b.Context(), protocol.NodeID{1}, testProto)
			if err != nil {
				b.Fatal(err)
			}
			batch := make([][]byte, 16)
			for i := range batch {
				batch[i] = make([]byte, 1024)
			}
			b.SetBytes(16 << 10)
			for b.Loop() {
				if err := s.Write(batch...); err != nil {
					b.Fatal(err)
				}
			}
			s.CloseWrite()
			if n := <-done; n != 16*b.N {
				b.Fatalf("%d frames arrived, want %d", n, 16*b.N)
			}
			b.ReportMetric(16*float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}
