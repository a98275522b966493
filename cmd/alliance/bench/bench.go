// Package bench measures a whole alliance of real processes on this machine,
// against what the machine itself can do.
//
// # The baseline
//
// Absolute numbers of a shared or unknown machine say little. So the bench
// carries a baseline: two processes over TLS 1.3 that do the same sealing,
// signatures and checks as the product and the same three group-committed
// fdatasyncs (the author's record, the recipient's record, the receipt at the
// author), and nothing else. Baseline and product run by turns, the same count
// of deliveries each, and what is reported is the median over the rounds and
// the median of the rounds' ratios. The baseline is held to account too: its
// own p50 must be within 1.4 of the sum of its parts, each measured alone in
// the same rounds, else the whole run fails.
//
// # What is measured
//
// All nodes are processes of this binary on loopback, in invented trial
// networks that are founded for the run: a secretariat with one node, which is
// also the custodian, and NGOs. A record has one section with a body of 1 KiB.
//
//   - delivery: an NGO's node writes to the secretariat, one record in flight,
//     from the call until the receipt is durable at the author;
//   - sustained: the same with 64 in flight, every record durable at both ends
//     and receipted;
//   - to ten: one record of the secretariat to ten NGOs, no custodian, each of
//     the ten receipts durable at the author;
//   - catch-up: the secretariat was away while an NGO wrote a backlog; from
//     when it serves again until all of it is durable there, every signature
//     checked. Then a bit of the stopped node's files is flipped: the damage
//     must be found by hash and filled again from the author;
//   - start: from the start of the process until it serves; memory when idle;
//     disk per record; unlocking by passphrase apart.
//
// [Main] returns 0 when the run held and everything was measured, whether the
// targets were met or not; 1 when something failed, a wrong result included; 2
// for wrong arguments.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Program is how the bench starts itself again and where it speaks.
type Program struct {
	// Self is the command line that leads to Main, "alliance bench", say; the
	// bench appends the arguments of a worker.
	Self           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Config is what a run may set.
type Config struct {
	JSON     bool
	Rounds   int    // of everything that is compared
	Records  int    // of the backlog
	Latency  int    // deliveries with one in flight, a round
	Load     int    // deliveries with 64 in flight, a round
	Ten      int    // how many NGOs "ten" are
	Dir      string // where the networks live; empty: a temporary folder
	Profiles string // folder for CPU and allocation profiles; empty: none
	Only     string // one phase alone: deliver, ten, late; empty: all
	Strict   bool   // the baseline must hold to its parts
	Work     int    // scrypt work factor; 0 is the default
	Settle   time.Duration
}

const flight = 64

// Main runs the bench, or, where it started itself, a worker.
func Main(ctx context.Context, p Program, args []string) int {
	if len(args) > 0 && args[0] == "worker" {
		if err := work(ctx, p, args[1:]); err != nil {
			json.NewEncoder(p.Stdout).Encode(answer{Err: err.Error()})
			return 1
		}
		return 0
	}
	c, err := parse(args, p.Stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	r, err := Run(ctx, p, c)
	if r != nil {
		if c.JSON {
			e := json.NewEncoder(p.Stdout)
			e.SetIndent("", "  ")
			e.Encode(r)
		} else {
			r.Table(p.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(p.Stderr, "alliance bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (Config, error) {
	c := Config{Strict: true, Ten: 10, Settle: 3 * time.Second}
	f := flag.NewFlagSet("alliance bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, `alliance bench measures invented networks of real processes on this machine,
by turns with a baseline that does only the sealing, signatures and syncs.

usage: alliance bench [--json] [--quick] [--rounds N] [--records N] [--dir D]

example: alliance bench --quick

`)
		f.PrintDefaults()
	}
	quick := f.Bool("quick", false, "few rounds and a small backlog: shows that it works, and roughly how fast")
	f.BoolVar(&c.JSON, "json", false, "print the report as JSON")
	f.IntVar(&c.Rounds, "rounds", 5, "rounds of baseline and product by turns")
	f.IntVar(&c.Records, "records", 100_000, "records of the backlog")
	f.StringVar(&c.Dir, "dir", "", "where the networks live while they run (default: a temporary folder)")
	f.StringVar(&c.Profiles, "profiles", "", "write CPU and allocation profiles of the nodes into this folder")
	f.StringVar(&c.Only, "only", "", "one phase alone: deliver, ten or late")
	f.IntVar(&c.Latency, "latency", 800, "deliveries of a round with one in flight")
	f.IntVar(&c.Load, "load", 6000, "deliveries of a round with 64 in flight")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if *quick {
		set := map[string]bool{}
		f.Visit(func(f *flag.Flag) { set[f.Name] = true })
		for name, v := range map[string]struct {
			to *int
			n  int
		}{"rounds": {&c.Rounds, 3}, "records": {&c.Records, 5000}, "latency": {&c.Latency, 100}, "load": {&c.Load, 1500}} {
			if !set[name] {
				*v.to = v.n
			}
		}
	}
	if f.NArg() > 0 || c.Rounds < 1 || c.Records < 1 || c.Latency < 1 || c.Load < flight || c.Only != "" && c.Only != "deliver" && c.Only != "ten" && c.Only != "late" {
		fmt.Fprintln(stderr, "alliance bench: an argument is not known or too small; see alliance bench --help")
		return c, flag.ErrHelp
	}
	return c, nil
}

func work(ctx context.Context, p Program, args []string) error {
	w := &worker{out: json.NewEncoder(p.Stdout), do: map[string]func(request) (answer, error){}}
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch arg(0) {
	case "recipient", "author":
		most, err := strconv.Atoi(arg(3))
		if err != nil {
			return fmt.Errorf("worker: %w", err)
		}
		if arg(0) == "recipient" {
			return runBaseRecipient(ctx, w, p.Stdin, arg(1), arg(2), most)
		}
		return runBaseAuthor(ctx, w, p.Stdin, arg(1), arg(2), most, arg(4))
	case "node":
		return runNode(ctx, w, p.Stdin, arg(1), arg(2))
	}
	return fmt.Errorf("a worker of no known kind: %q", arg(0))
}

// bench is one run.
type bench struct {
	Config
	self   []string
	stderr io.Writer
	dir    string
	report *Report
}

// Run measures. Where the run failed the report, if any, holds what was
// measured until then.
func Run(ctx context.Context, p Program, c Config) (*Report, error) {
	base := c.Dir
	if base != "" {
		if err := os.MkdirAll(base, 0o700); err != nil {
			return nil, fmt.Errorf("run bench: %w", err)
		}
	}
	dir, err := os.MkdirTemp(base, "alliance-bench-")
	if err != nil {
		return nil, fmt.Errorf("run bench: %w", err)
	}
	defer os.RemoveAll(dir)
	if c.Profiles != "" {
		if err := os.MkdirAll(c.Profiles, 0o700); err != nil {
			return nil, fmt.Errorf("run bench: %w", err)
		}
		if c.Profiles, err = filepath.Abs(c.Profiles); err != nil {
			return nil, fmt.Errorf("run bench: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends every worker that an error left behind
	b := &bench{Config: c, self: p.Self, stderr: p.Stderr, dir: dir, report: &Report{Rounds: c.Rounds, Records: c.Records, BodyBytes: bodySize, Flight: flight}}
	b.say("measuring the machine")
	if b.report.Limits, err = measureLimits(dir, 200); err != nil {
		return nil, err
	}
	if b.report.BinaryMB, b.report.Limits.StrippedBin, err = binarySize(p.Self[0]); err != nil {
		return nil, fmt.Errorf("run bench: %w", err)
	}
	for _, phase := range []struct {
		name string
		run  func(context.Context) error
	}{{"deliver", b.deliver}, {"ten", b.toTen}, {"late", b.late}} {
		if c.Only == "" || c.Only == phase.name {
			if err := phase.run(ctx); err != nil {
				return b.report, fmt.Errorf("%s: %w", phase.name, err)
			}
		}
	}
	return b.report, b.report.hold(c.Strict && c.Only != "ten" && c.Only != "late")
}

func (b *bench) say(format string, a ...any) {
	if b.stderr != nil {
		fmt.Fprintf(b.stderr, "bench: "+format+"\n", a...)
	}
}
