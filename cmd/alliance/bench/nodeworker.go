package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
)

// runNode is the product: a whole node from its folder, as the daemon runs it.
// What loads it runs in the same process, so a delivery is timed from the call
// of Send until the receipt is durable here.
func runNode(ctx context.Context, w *worker, in io.Reader, dir, profiles string) error {
	n, err := node.New(dir, node.Options{Log: logger(dir)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	select {
	case <-n.Ready():
	case err := <-done:
		cancel()
		return errors.Join(err, n.Close())
	}
	l := &load{n: n, body: exampleBody(), profiles: profiles, name: filepath.Base(dir)}
	for name, f := range map[string]func(context.Context, request) (answer, error){
		"unlock": l.unlock, "send": l.send, "write": l.write, "held": l.held, "await": l.await, "check": l.check,
		"profile": l.profile,
	} {
		w.do[name] = func(r request) (answer, error) { return f(ctx, r) }
	}
	err = w.run(in, answer{Text: n.ID().String()})
	cancel()
	return errors.Join(err, <-done, n.Close())
}

// logger tells on the standard error what a node of the bench has to complain
// of; ALLIANCE_BENCH_LOG=debug tells all.
func logger(dir string) *slog.Logger {
	level := slog.LevelWarn
	if v := os.Getenv("ALLIANCE_BENCH_LOG"); v != "" {
		level.UnmarshalText([]byte(v))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("at", filepath.Base(dir))
}

// load is what the bench has a node do.
type load struct {
	n        *node.Node
	body     []byte
	name     string
	profiles string

	mu  sync.Mutex
	cpu *os.File
}

func (l *load) unlock(_ context.Context, r request) (answer, error) {
	start := time.Now()
	err := l.n.Unlock(r.Text)
	return answer{Seconds: time.Since(start).Seconds()}, err
}

func ids[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](texts []string) (out []T, err error) {
	for _, s := range texts {
		var id T
		err = errors.Join(err, P(&id).UnmarshalText([]byte(s)))
		out = append(out, id)
	}
	return out, err
}

func (l *load) draft(r request) (replica.Draft, []protocol.NodeID, error) {
	orgs, err := ids[protocol.OrgID](r.Orgs)
	custodians, e := ids[protocol.OrgID](r.Custodians)
	nodes, e2 := ids[protocol.NodeID](r.Nodes)
	now := time.Now().Unix()
	return replica.Draft{Audience: protocol.ListAudience(orgs...), Custodians: custodians, Expiry: protocol.DayOf(now) + 400,
		Contents: []protocol.Content{{Kind: "bench/example", Time: now, Body: l.body}}}, nodes, errors.Join(err, e, e2)
}

// sendOne sends, again and again as long as the node must not write yet.
func (l *load) sendOne(ctx context.Context, d replica.Draft) (replica.Sent, error) {
	sent, err := l.n.Replica().Send(ctx, d)
	if err == nil && sent.Queued != 0 {
		return sent, fmt.Errorf("the node may not write: %s", sent.Reason)
	}
	return sent, err
}

// send delivers n records, at most flight at once, and times each.
func (l *load) send(ctx context.Context, r request) (a answer, err error) {
	d, nodes, err := l.draft(r)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	each, whole, err := drive(r.N, r.Flight, func(int) error {
		sent, err := l.sendOne(ctx, d)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if err := l.n.Replica().Await(ctx, sent.Feed, sent.Seq, n); err != nil {
				return fmt.Errorf("record %d has no receipt: %w", sent.Seq, err)
			}
		}
		return nil
	})
	return answer{Each: each, Seconds: whole.Seconds(), N: r.N}, err
}

// write makes n records durable here and waits for nobody.
func (l *load) write(ctx context.Context, r request) (a answer, err error) {
	d, _, err := l.draft(r)
	if err != nil {
		return a, err
	}
	var mu sync.Mutex
	_, whole, err := drive(r.N, r.Flight, func(int) error {
		sent, err := l.sendOne(ctx, d)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		a.Feed, a.Seq = sent.Feed.String(), max(a.Seq, sent.Seq)
		return nil
	})
	a.Seconds, a.N = whole.Seconds(), r.N
	return a, err
}

func (l *load) state(r request) (replica.FeedState, error) {
	feed, err := ids[protocol.FeedID]([]string{r.Feed})
	if err != nil {
		return replica.FeedState{}, err
	}
	for _, f := range l.n.Replica().Feeds() {
		if f.Feed == feed[0] {
			return f, nil
		}
	}
	return replica.FeedState{Feed: feed[0]}, nil
}

// held says how far a feed is whole and durable here.
func (l *load) held(_ context.Context, r request) (answer, error) {
	status := l.n.Status() // before what is lacking, which verifying adds to
	s := status.Store
	f, err := l.state(r)
	return answer{Seq: f.Chain.Seq, Lost: f.Lacking, Whole: s.ToVerify > 0 && s.Verified == s.ToVerify, Queued: status.Cases.Queued}, err
}

// await waits until a feed is durable here up to seq, with nothing lacking.
func (l *load) await(ctx context.Context, r request) (answer, error) {
	start := time.Now()
	for {
		f, err := l.state(r)
		if err != nil || f.Chain.Seq >= r.Seq && f.Lacking == 0 {
			return answer{Seq: f.Chain.Seq, Seconds: time.Since(start).Seconds()}, err
		}
		if time.Since(start) > 10*time.Minute {
			return answer{}, fmt.Errorf("only %d of %d records came, %d of them with parts missing", f.Chain.Seq, r.Seq, f.Lacking)
		}
		select {
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// check reads a whole feed back from the disk and verifies every record's own
// signature and hashes. Lost counts what is not whole.
func (l *load) check(_ context.Context, r request) (a answer, err error) {
	f, err := l.state(r)
	if err != nil {
		return a, err
	}
	if f.Chain.Seq < r.Seq {
		return a, fmt.Errorf("the feed has %d of %d records", f.Chain.Seq, r.Seq)
	}
	m := l.n.Register().State()
	start := time.Now()
	err = l.n.Replica().Records(func(rec *protocol.Record) error {
		if rec.Feed() != f.Feed {
			return nil
		}
		env := protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature()}
		if _, err := protocol.Open(m, env); err != nil {
			return err
		}
		for i := range rec.Core().Sections() {
			if rec.Section(i) == nil {
				a.Lost++
			}
		}
		a.N++
		return nil
	})
	a.Lost += int(f.Chain.Seq) - a.N
	a.Seconds = time.Since(start).Seconds()
	return a, err
}

// profile starts a CPU profile, or ends it and adds one of the allocations.
func (l *load) profile(_ context.Context, r request) (answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := func(kind string) string {
		return filepath.Join(l.profiles, fmt.Sprintf("%s-%s.%s.pprof", r.Text, l.name, kind))
	}
	if l.cpu == nil {
		f, err := os.Create(name("cpu"))
		if err != nil {
			return answer{}, err
		}
		l.cpu = f
		return answer{}, pprof.StartCPUProfile(f)
	}
	pprof.StopCPUProfile()
	err := l.cpu.Close()
	l.cpu = nil
	f, e := os.Create(name("heap"))
	if e != nil {
		return answer{}, errors.Join(err, e)
	}
	runtime.GC()
	return answer{}, errors.Join(err, pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
