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
