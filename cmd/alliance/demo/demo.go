package demo

import (
	"context"
	"errors"
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

// Options of a run.
type Options struct {
	Input string // folder of the input files
	Dir   string // where the nodes live, new or empty; a temporary folder where it is empty
	Keep  bool   // leave the folder, with nodes.json
	Out   io.Writer
}

// Run runs the demo. Its error says that an expectation did not hold, or what
// failed. Every process it started has ended when it returns, also after an
// interrupt.
func Run(ctx context.Context, o Options) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return run(ctx, o)
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
}

func run(ctx context.Context, o Options) (err error) {
	d := &demo{input: o.Input, t: &teller{w: o.Out}, start: time.Now()}
	if d.exe, err = os.Executable(); err != nil {
		return err
	}
	if d.plan, err = readPlan(filepath.Join(o.Input, "network.json")); err != nil {
		return fmt.Errorf("%w: run it from the project's root, or give --input", err)
	}
	if d.dir, err = makeDir(o.Dir); err != nil {
		return err
	}
	if o.Keep {
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
			if o.Keep {
				err = fmt.Errorf("%w; the logs are in %s", err, d.path("logs"))
			}
			return err
		}
	}
	if o.Keep {
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
