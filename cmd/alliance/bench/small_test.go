package bench

import (
	"context"
	"io"
	"os"
	"testing"
	"time"
)

// TestSmallRun goes once through everything with small counts: real processes,
// every receipt awaited, every record of the backlog verified, damage found
// and filled again. How fast it was is nobody's business here.
func TestSmallRun(t *testing.T) {
	c := Config{Rounds: 1, Records: 300, Latency: 10, Load: flight, Ten: 3, Dir: t.TempDir(), Work: leastWork, Settle: 10 * time.Millisecond}
	p := Program{Self: []string{os.Args[0], "alliance-bench"}, Stdout: io.Discard, Stderr: t.Output()}
	r, err := Run(context.Background(), p, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]float64{"delivery p50": r.DeliveryP50, "ratio": r.DeliveryP50Ratio, "p99": r.DeliveryP99,
		"sustained": r.Sustained, "sustained ratio": r.SustainedRatio, "to ten": r.SustainedTen, "catch-up": r.CatchupPerS,
		"start": r.Start, "start with records": r.StartLoaded, "unlock": r.Unlock, "bytes a record": r.BytesPerRecord, "binary": r.BinaryMB,
		"baseline": r.BaselineP50, "parts": r.BaselinePartsSum, "damage": float64(r.DamagedFound)} {
		if v <= 0 {
			t.Errorf("%s was not measured: %v", name, v)
		}
	}
}
