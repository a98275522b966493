package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A worker is this same binary, started again. It reads requests from its
// standard input, one JSON object a line, and answers each with one line, in
// order; the first line it writes says that it is ready. It ends with its
// input, so that none outlives the bench.

// request asks a worker for one thing; the fields that an action does not
// know stay empty.
type request struct {
	Do         string   `json:"do"`
	N          int      `json:"n,omitempty"`
	Flight     int      `json:"flight,omitempty"`
	Feed       string   `json:"feed,omitempty"`
	Seq        uint64   `json:"seq,omitempty"`
	Orgs       []string `json:"orgs,omitempty"`
	Custodians []string `json:"custodians,omitempty"`
	Nodes      []string `json:"nodes,omitempty"`
	Text       string   `json:"text,omitempty"`
}

// answer is what a worker says.
type answer struct {
	Err     string    `json:"err,omitempty"`
	Text    string    `json:"text,omitempty"`
	Each    []float64 `json:"each_ms,omitempty"`
	Seconds float64   `json:"seconds,omitempty"`
	Feed    string    `json:"feed,omitempty"`
	Seq     uint64    `json:"seq,omitempty"`
	N       int       `json:"n,omitempty"`
	Lost    int       `json:"lost,omitempty"`
	Whole   bool      `json:"whole,omitempty"`  // all that is stored was verified since the start
	Queued  int       `json:"queued,omitempty"` // records that are not in the lists yet
	Parts   *parts    `json:"parts,omitempty"`
}

// process is a running worker as the bench sees it.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	started time.Time
	hello   answer
	mu      sync.Mutex
}

// start runs a worker and waits until it says that it is ready.
func (b *bench) start(ctx context.Context, role string, args ...string) (*process, error) {
	argv := append(append([]string{}, b.self[1:]...), append([]string{"worker", role}, args...)...)
	p := &process{cmd: exec.CommandContext(ctx, b.self[0], argv...)}
	p.cmd.Stderr = b.stderr
	p.cmd.Env = os.Environ()
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 64<<10)
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	if p.hello, err = p.read(); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return p, nil
}

func (p *process) read() (a answer, err error) {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("the process went away: %w", err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, err
	}
	if a.Err != "" {
		return a, errors.New(a.Err)
	}
	return a, nil
}

// ask sends a request and waits for its answer.
func (p *process) ask(r request) (answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return answer{}, fmt.Errorf("%s: %w", r.Do, err)
	}
	a, err := p.read()
	if err != nil {
		return a, fmt.Errorf("%s: %w", r.Do, err)
	}
	return a, nil
}

// stop ends a worker by ending its input, and by force where it does not go.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	p.in.Close()
	t := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	defer t.Stop()
	return p.cmd.Wait()
}

// worker is the other side: it answers requests until its input ends.
type worker struct {
	out *json.Encoder
	do  map[string]func(request) (answer, error)
}

func (w *worker) run(in io.Reader, hello answer) error {
	if err := w.out.Encode(hello); err != nil {
		return err
	}
	d := json.NewDecoder(in)
	for {
		var r request
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		f := w.do[r.Do]
		if f == nil {
			return fmt.Errorf("a request that is not known: %q", r.Do)
		}
		a, err := f(r)
		if err != nil {
			a.Err = err.Error()
		}
		if err := w.out.Encode(a); err != nil {
			return err
		}
	}
}
