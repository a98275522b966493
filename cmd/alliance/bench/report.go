package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Report is what a run measured. Names in JSON end in their unit.
type Report struct {
	DeliveryP50      float64 `json:"delivery_p50_ms"`
	DeliveryP50Ratio float64 `json:"delivery_p50_ratio"` // to the baseline, median of the rounds' ratios
	DeliveryP99      float64 `json:"delivery_p99_ms"`
	DeliveryP99Ratio float64 `json:"delivery_p99_to_p50"`
	Sustained        float64 `json:"sustained_per_s"`
	SustainedRatio   float64 `json:"sustained_ratio"`
	SustainedTen     float64 `json:"sustained_ten_per_s"` // records, each receipted by all ten
	CatchupPerS      float64 `json:"catchup_per_s"`
	CatchupCPU       float64 `json:"catchup_cpu_us"`        // a record, of the one that catches up, its start with it
	CatchupServerCPU float64 `json:"catchup_server_cpu_us"` // … of the one that it catches up from
	WritePerS        float64 `json:"write_per_s"`           // of the backlog, durable at the author alone
	IdleRSS          float64 `json:"idle_rss_mb"`
	IdleOwn          float64 `json:"idle_own_mb"` // of it not mapped files
	LoadedRSS        float64 `json:"loaded_rss_mb"`
	LoadedOwn        float64 `json:"loaded_own_mb"`
	AfterCatchupRSS  float64 `json:"after_catchup_rss_mb"`
	Start            float64 `json:"start_s"`
	StartLoaded      float64 `json:"start_loaded_s"`
	Unlock           float64 `json:"unlock_s"`
	BytesPerRecord   float64 `json:"bytes_per_record"`
	BinaryMB         float64 `json:"binary_mb"`
	DamagedFound     int     `json:"damaged_found"`
	RefillSeconds    float64 `json:"refill_s"`

	BaselineP50       float64 `json:"baseline_p50_ms"`
	BaselineP99       float64 `json:"baseline_p99_ms"`
	BaselinePerS      float64 `json:"baseline_per_s"`
	BaselineCPU       float64 `json:"baseline_cpu_ms"`  // a record, 64 in flight: both processes
	AuthorCPU         float64 `json:"author_cpu_ms"`    // … the product's author
	RecipientCPU      float64 `json:"recipient_cpu_ms"` // … its recipient
	BaselineParts     parts   `json:"baseline_parts_ms"`
	BaselinePartsSum  float64 `json:"baseline_parts_sum_ms"`
	BaselinePartsOver float64 `json:"baseline_p50_to_parts"`

	Rounds    int    `json:"rounds"`
	Records   int    `json:"records"`
	BodyBytes int    `json:"body_bytes"`
	Flight    int    `json:"in_flight"`
	Limits    Limits `json:"limits"`
}

// series gathers the rounds.
type series struct {
	parts                                []parts
	over                                 []float64
	baseP50, baseP99, p50, p99, p50Ratio []float64
	p99Ratio, basePerS, perS, perSRatio  []float64
	baseCPU, authorCPU, recipientCPU     []float64
}

func (s *series) latency(p parts, base, product answer) {
	b50, p50, p99 := quantile(base.Each, 0.5), quantile(product.Each, 0.5), quantile(product.Each, 0.99)
	s.parts = append(s.parts, p)
	s.over = append(s.over, b50/p.sum())
	s.baseP50 = append(s.baseP50, b50)
	s.baseP99 = append(s.baseP99, quantile(base.Each, 0.99))
	s.p50 = append(s.p50, p50)
	s.p99 = append(s.p99, p99)
	s.p50Ratio = append(s.p50Ratio, p50/b50)
	s.p99Ratio = append(s.p99Ratio, p99/p50)
}

func (s *series) sustained(base, product answer) {
	b, p := float64(base.N)/base.Seconds, float64(product.N)/product.Seconds
	s.basePerS = append(s.basePerS, b)
	s.perS = append(s.perS, p)
	s.perSRatio = append(s.perSRatio, p/b)
}

func (s *series) into(r *Report) {
	part := func(f func(parts) float64) float64 {
		var v []float64
		for _, p := range s.parts {
			v = append(v, f(p))
		}
		return median(v)
	}
	r.BaselineParts = parts{
		SyncRecord:  part(func(p parts) float64 { return p.SyncRecord }),
		SyncReceipt: part(func(p parts) float64 { return p.SyncReceipt }),
		Seal:        part(func(p parts) float64 { return p.Seal }),
		Sign:        part(func(p parts) float64 { return p.Sign }),
		Verify:      part(func(p parts) float64 { return p.Verify }),
		RoundTrip:   part(func(p parts) float64 { return p.RoundTrip }),
	}
	r.BaselinePartsSum = part(parts.sum)
	r.BaselinePartsOver = median(s.over)
	r.BaselineP50, r.BaselineP99, r.BaselinePerS = median(s.baseP50), median(s.baseP99), median(s.basePerS)
	r.DeliveryP50, r.DeliveryP50Ratio = median(s.p50), median(s.p50Ratio)
	r.DeliveryP99, r.DeliveryP99Ratio = median(s.p99), median(s.p99Ratio)
	r.Sustained, r.SustainedRatio = median(s.perS), median(s.perSRatio)
	r.BaselineCPU, r.AuthorCPU, r.RecipientCPU = median(s.baseCPU), median(s.authorCPU), median(s.recipientCPU)
}

const partsBound = 1.4

// hold says whether the baseline is worth comparing with.
func (r *Report) hold(strict bool) error {
	if strict && !(r.BaselinePartsOver > 0 && r.BaselinePartsOver <= partsBound) {
		return fmt.Errorf("the baseline is not to be trusted: its p50 is %.2f times the sum of its parts, at most %.1f is allowed; is the machine busy with other things?", r.BaselinePartsOver, partsBound)
	}
	return nil
}

// target is a row of the table.
type target struct {
	what  string
	value float64
	unit  string
	least bool // the bound is a least and not a most
	bound float64
	note  string
}

func (r *Report) targets() []target {
	return []target{
		{"delivery p50, to the baseline", r.DeliveryP50Ratio, "times", false, 1.6, fmt.Sprintf("%.2f ms; baseline %.2f ms", r.DeliveryP50, r.BaselineP50)},
		{"delivery p99, to its own p50", r.DeliveryP99Ratio, "times", false, 3, fmt.Sprintf("%.2f ms; baseline %.2f ms", r.DeliveryP99, r.BaselineP99)},
		{"sustained, to the baseline", r.SustainedRatio, "times", true, 0.5, fmt.Sprintf("baseline %.0f/s; processor %.2f + %.2f ms a record, baseline %.2f", r.BaselinePerS, r.AuthorCPU, r.RecipientCPU, r.BaselineCPU)},
		{"sustained", r.Sustained, "/s", true, 3000, "on a quiet machine"},
		{"catch-up", r.CatchupPerS, "/s", true, 12000, fmt.Sprintf("%d records; processor %.0f + %.0f µs a record", r.Records, r.CatchupCPU, r.CatchupServerCPU)},
		{"idle memory, fresh", r.IdleRSS, "MB", false, 50, fmt.Sprintf("%.0f MB its own", r.IdleOwn)},
		{"idle memory with the backlog", r.LoadedRSS, "MB", false, 160, fmt.Sprintf("%.0f MB its own; just after catching up %.0f MB", r.LoadedOwn, r.AfterCatchupRSS)},
		{"start, fresh", r.Start, "s", false, 0.5, fmt.Sprintf("unlocking apart: %.2f s", r.Unlock)},
		{"start with the backlog", r.StartLoaded, "s", false, 2, ""},
		{"binary", r.BinaryMB, "MB", false, 40, map[bool]string{true: "stripped", false: "not stripped"}[r.Limits.StrippedBin]},
	}
}

// Table prints the report for people.
func (r *Report) Table(w io.Writer) {
	l := r.Limits
	fmt.Fprintf(w, "%s, %d cores, %.0f GB, Linux %s, %s, %s, load before the run %.1f\n", l.CPU, l.Cores, l.MemoryMB/1024, l.Kernel, l.FileSystem, l.Go, l.Load)
	fmt.Fprintf(w, "limits: append and fdatasync 1 KiB %.2f ms, 4 KiB %.2f, 256 KiB %.2f; sign %.0f µs, verify %.0f, seal 1 KiB %.0f; SHA-256 %.1f GB/s; TLS round trip %.0f µs\n",
		l.Sync1K, l.Sync4K, l.Sync256K, l.Sign*1e3, l.Verify*1e3, l.Seal1K*1e3, l.SHA256, l.RoundTrip*1e3)
	p := r.BaselineParts
	fmt.Fprintf(w, "baseline: p50 %.2f ms, %.2f times the sum of its parts: fdatasync 2 × %.2f + %.2f, seal %.3f, sign 2 × %.3f, verify 2 × %.3f, round trip %.3f ms\n\n",
		r.BaselineP50, r.BaselinePartsOver, p.SyncRecord, p.SyncReceipt, p.Seal, p.Sign, p.Verify, p.RoundTrip)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tMEASURED\tMUST REACH\t\tNOTE")
	for _, x := range r.targets() {
		met, sign := x.value <= x.bound, "at most"
		if x.least {
			met, sign = x.value >= x.bound, "at least"
		}
		verdict := "missed"
		switch {
		case x.value == 0:
			verdict = "not measured"
		case met:
			verdict = "met"
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s %s\t%s\t%s\n", x.what, number(x.value), x.unit, sign, number(x.bound), verdict, x.note)
	}
	fmt.Fprintf(t, "sustained to ten\t%s /s\t\t\teach receipted by all\n", number(r.SustainedTen))
	fmt.Fprintf(t, "disk\t%.0f bytes a record\t\t\t\n", r.BytesPerRecord)
	fmt.Fprintf(t, "damage\t%d records found and filled again\t\t\tin %.1f s\n", r.DamagedFound, r.RefillSeconds)
	t.Flush()
}

func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
