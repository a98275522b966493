package bench

import (
	"context"
	"os"
	"testing"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "alliance-bench" {
		os.Exit(Main(context.Background(), Program{Self: os.Args[:2], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestTurnsAddUp(t *testing.T) {
	for _, flight := range []int{1, 64} {
		for n := flight; n < 40*flight; n++ {
			sum := 0
			for _, part := range turns(n, flight) {
				if sum += part; part < flight {
					t.Errorf("%d with %d in flight: a turn of %d", n, flight, part)
				}
			}
			if sum != n {
				t.Errorf("%d with %d in flight: %d in all turns", n, flight, sum)
			}
		}
	}
}
