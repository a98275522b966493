package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/national-alliance/alliance/crypto/keyfile"
)

// limit bounds the whole run, however slow the machine.
const limit = 10 * time.Minute

// Main runs the demo. It returns 0 when every expectation held, 1 when one did
// not or something failed, and 2 for wrong arguments. Every process it started
// has ended when it returns, also after an interrupt.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("alliance demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	input := fs.String("input", filepath.Join("deploy", "demo"), "folder of the input files")
	dir := fs.String("dir", os.Getenv("DEMO_DIR"), "where the nodes live: new or empty; default $DEMO_DIR, else a temporary folder")
	keep := fs.Bool("keep", os.Getenv("KEEP") == "1", "leave the folder, with nodes.json; default $KEEP")
	fs.Usage = func() {
		fmt.Fprint(stderr, "alliance demo runs an alliance of real processes on this machine, with invented data.\nRun it from the project's root, or say where its input is.\n\n")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "alliance demo: %q is one word too many\n", fs.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := run(ctx, *input, *dir, *keep, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "alliance demo: %v\n", err)
		return 1
	}
	return 0
}

// demo is one run.
type demo struct {
	exe   string // this program
	input string // folder
	dir   string
	plan  plan
	t     *teller
	start time.Time

	nodes  []*node // in the order they were made
	admin  string  // key file of the secretariat's administrator
	papers int     // operations drafted so far

	cases  []*referralCase
	alert  alertCase
	flight []flight
	reads  []reading
}

func run(ctx context.Context, input, dir string, keep bool, out io.Writer) (err error) {
	d := &demo{input: input, t: &teller{w: out}, start: time.Now()}
	if d.exe, err = os.Executable(); err != nil {
		return err
	}
	if d.plan, err = readPlan(filepath.Join(input, "network.json")); err != nil {
		return fmt.Errorf("%w: run it from the project's root, or give -input", err)
	}
	if d.dir, err = makeDir(dir); err != nil {
		return err
	}
	if keep {
		d.t.note("The nodes live in %s and stay there.", d.dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	}
	defer d.stopAll()
	for _, step := range []func(context.Context) error{d.found, d.admit, d.refer, d.issue, d.crash, d.away, d.disks} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("stopped: %w", context.Cause(ctx))
			}
			if keep {
				err = fmt.Errorf("%w; the logs are in %s", err, d.path("logs"))
			}
			return err
		}
	}
	if keep {
		if err := d.writeNodes(); err != nil {
			return err
		}
	}
	if d.t.failed > 0 {
		return fmt.Errorf("%d of %d expectations did not hold", d.t.failed, d.t.held+d.t.failed)
	}
	d.t.note("All %d expectations held, in %.0f seconds.", d.t.held, time.Since(d.start).Seconds())
	return nil
}

// makeDir makes the folder of a run; one that holds something is left alone.
func makeDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "alliance-demo-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return "", fmt.Errorf("%s is not empty and was left as it is: remove it, or choose another", dir)
	}
	return dir, os.MkdirAll(dir, 0o700)
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// folders are those beside the nodes'.
func (d *demo) folders() error {
	for _, name := range []string{"passphrases", "people", "papers", "logs"} {
		if err := os.MkdirAll(d.path(name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// write writes a private file of the run.
func (d *demo) write(text string, parts ...string) (string, error) {
	path := d.path(parts...)
	return path, keyfile.WriteFile(path, []byte(text), 0o600)
}
