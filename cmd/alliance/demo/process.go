package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/national-alliance/alliance/node/api"
)

// patience bounds one wait for a condition: many times what it takes, since
// the machine may be busy with other things.
const patience = 90 * time.Second

// node is one node of an organisation, and its process while it runs.
type node struct {
	name  string // of the folder
	org   string // name of the organisation
	class string
	dir   string
	pass  string // passphrase file
	desk  string // phone
	key   string // key file of the organisation's administrator

	id, orgID string
	socket    string
	api       *api.Client
	proc      *process
}

// process is a running daemon.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once it ended
	err  error         // how, after done
}

// launch starts a node's daemon; its log goes to a file beside the nodes.
func (d *demo) launch(n *node) error {
	log, err := os.OpenFile(d.path("logs", n.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(d.exe, "daemon", "--dir", n.dir), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = environment(), log, log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	n.proc = p
	return nil
}

// environment is this process's, without what would choose a folder.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "ALLIANCE_") })
}

// stop asks a node's process to end, and waits; one that does not go is
// killed, which is an error.
func (n *node) stop() error {
	p := n.proc
	if p == nil {
		return nil
	}
	n.proc = nil
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.cmd.Process.Kill()
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("stop %s: it did not end within 30 seconds and was killed", n.name)
	}
	if p.err != nil {
		return fmt.Errorf("stop %s: %w", n.name, p.err)
	}
	return nil
}

// kill ends a node's process at once, as a power cut would.
func (n *node) kill() error {
	p := n.proc
	n.proc = nil
	err := p.cmd.Process.Kill()
	<-p.done
	return err
}

// stopAll ends every process that still runs.
func (d *demo) stopAll() error {
	var errs []error
	for _, n := range d.nodes {
		errs = append(errs, n.stop())
	}
	return errors.Join(errs...)
}

// lastLine is the end of a node's log, for errors.
func (d *demo) lastLine(n *node) string {
	b, _ := os.ReadFile(d.path("logs", n.name+".log"))
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// until waits until f says true, and returns f's error then; what names what
// never came.
func (d *demo) until(ctx context.Context, what string, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		ok, err := f()
		if ok {
			return err
		}
		last = err
		for _, n := range d.nodes {
			if n.proc == nil {
				continue
			}
			select {
			case <-n.proc.done:
				return fmt.Errorf("waiting for %s: %s ended by itself (%v): %s", what, n.name, n.proc.err, d.lastLine(n))
			default:
			}
		}
		select {
		case <-ctx.Done():
			if last != nil {
				return fmt.Errorf("waited in vain for %s: %w", what, last)
			}
			return fmt.Errorf("waited in vain for %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// command runs this program with one command line, as a person would.
func (d *demo) command(ctx context.Context, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, d.exe, append(args, "--json")...)
	var out, errs bytes.Buffer
	c.Env, c.Stdout, c.Stderr = environment(), &out, &errs
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	if err := c.Run(); err != nil {
		e := &commandError{line: commandLine(args), code: c.ProcessState.ExitCode(), text: strings.TrimSpace(errs.String())}
		for line := range strings.Lines(e.text) {
			var p api.Error
			if json.Unmarshal([]byte(line), &p) == nil && p.Text != "" {
				e.text = p.Text
			}
		}
		return out.Bytes(), e
	}
	return out.Bytes(), nil
}

// commandError is a command that ended with another code than 0.
type commandError struct {
	line string
	code int
	text string
}

func (e *commandError) Error() string {
	return fmt.Sprintf("'%s' ended with %d: %s", e.line, e.code, e.text)
}

// commandLine is a command as it is shown: without paths and long words.
func commandLine(args []string) string {
	var out []string
	for _, a := range args {
		if filepath.IsAbs(a) {
			a = filepath.Base(a)
		}
		if len(a) > 24 {
			a = a[:20] + "…"
		}
		if strings.Contains(a, " ") {
			a = `"` + a + `"`
		}
		out = append(out, a)
	}
	return "alliance " + strings.Join(out, " ")
}

// ask runs a command and reads what it prints.
func ask[T any](ctx context.Context, d *demo, args ...string) (v T, err error) {
	b, err := d.command(ctx, args...)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("'%s' printed what is not understood: %w", commandLine(args), err)
	}
	return v, nil
}

// status asks a running node how it stands.
func (n *node) status(ctx context.Context) (api.Status, error) {
	return api.Ask[api.Status](ctx, n.api, "GET", "/status", nil)
}

// serving waits until a node is a member and serves.
func (d *demo) serving(ctx context.Context, n *node) (s api.Status, err error) {
	err = d.until(ctx, n.name+" to serve", func() (bool, error) {
		s, err = n.status(ctx)
		return err == nil && s.State == "serving", err
	})
	n.id, n.orgID = s.Node, s.Organisation
	return s, err
}
