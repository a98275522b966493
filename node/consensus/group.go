package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/national-alliance/alliance/protocol"
)

var (
	// ErrDamaged says that a file of the group is damaged, was tampered with,
	// or is sealed under another key. Nothing was changed. A voter with a
	// damaged log is replaced by a new node; it must not vote again.
	ErrDamaged = errors.New("damaged")
	// ErrNoLeader says that the group had no leader in time. Nothing was
	// proposed.
	ErrNoLeader = errors.New("no leader: a majority of the voters is not reachable")
	// ErrUnknown says that an entry was handed in and may or may not be
	// committed. Propose it again only if the machine applies it once.
	ErrUnknown = errors.New("the outcome is not known: leadership changed or time ran out")
	// ErrStranger says that a node is not an active node of this organisation.
	ErrStranger = errors.New("not an active node of this organisation")
	// ErrRefused says that the other node does not do what was asked.
	ErrRefused = errors.New("refused by the other node")
)

// Options say what a group is made of. Dir to Machine are required.
type Options struct {
	Dir     string          // a folder for this group alone; made if missing
	Node    protocol.NodeID // this node
	Key     [32]byte        // seals everything in Dir
	Overlay Overlay
	// Authorize reports whether a node is an active node of this node's
	// organisation by the newest register. It is asked often, from many
	// goroutines, and must be quick.
	Authorize func(protocol.NodeID) bool
	Machine   Machine

	// ReadingIdentity returns the organisation's reading identity sealed to
	// the sealing key of node to, if to stands in an accepted checkpoint.
	// Nil refuses all.
	ReadingIdentity func(ctx context.Context, to protocol.NodeID) ([]byte, error)
	Log             *slog.Logger     // nil: none
	Now             func() time.Time // nil: time.Now; limits repeated log lines only

	Heartbeat time.Duration // silence after which a follower seeks an election; 0: 1 s
	Election  time.Duration // silence after which a candidate tries again; 0: 1 s, at least Heartbeat
	Commit    time.Duration // the longest that followers learn late of a commit, idle; 0: 100 ms
	Timeout   time.Duration // of one Raft message; 0: 10 s
	Interval  time.Duration // between looks at voters and snapshots; 0: 10 s
	// SnapshotEvery is the number of entries after which a snapshot replaces
	// the log, but for the newest Trailing ones; 0: 2,048 and 1,024.
	SnapshotEvery, Trailing uint64
}

func (o *Options) defaults() error {
	if o.Dir == "" || o.Node.IsZero() || o.Overlay == nil || o.Authorize == nil || o.Machine == nil {
		return errors.New("open raft group: dir, node, overlay, authorize and machine are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	orDuration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	orDuration(&o.Heartbeat, time.Second)
	orDuration(&o.Election, max(time.Second, o.Heartbeat))
	orDuration(&o.Commit, 100*time.Millisecond)
	orDuration(&o.Timeout, 10*time.Second)
	orDuration(&o.Interval, 10*time.Second)
	if o.SnapshotEvery == 0 {
		o.SnapshotEvery = 2048
	}
	if o.Trailing == 0 {
		o.Trailing = 1024
	}
	return nil
}

// Group is this node's part in its organisation's Raft group.
type Group struct {
	opt     Options
	log     *slog.Logger
	applied *signal // the machine moved
	leader  *signal // leadership changed, or the engine was started or stopped

	mu      sync.Mutex
	files   *files  // open, with no engine on them yet
	eng     *engine // running
	running bool
	closed  bool
	stop    chan struct{} // closed by Close
	ended   chan struct{} // closed when Run has ended

	want  members
	drive chan struct{} // wakes the membership loop
	one   sync.Mutex    // held by the one that changes membership
}

// Open opens or makes the group's files and checks every entry and snapshot.
// ErrDamaged, wrapped, says that something there cannot be trusted. Another
// process that has Dir open is an error. Nothing runs before Run.
func Open(o Options) (*Group, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	g := &Group{opt: o, log: o.Log, applied: newSignal(), leader: newSignal(),
		stop: make(chan struct{}), ended: make(chan struct{}), drive: make(chan struct{}, 1)}
	f, err := openFiles(&g.opt)
	if err != nil {
		return nil, fmt.Errorf("open raft group: %w", err)
	}
	g.files = f
	return g, nil
}

// Bootstrap makes this node a group of one. Only the first node of an
// organisation calls it, once in its life, before Run; all others wait until
// the leader adds them. On a group that has any state it does nothing.
func (g *Group) Bootstrap() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.files == nil {
		return errors.New("bootstrap raft group: it runs already or is closed")
	}
	f := g.files
	known, err := raft.HasExistingState(f.log, f.log, f.snaps)
	if err != nil {
		return fmt.Errorf("bootstrap raft group: %w", err)
	}
	if known {
		return nil
	}
	if err := raft.BootstrapCluster(g.opt.raftConfig(nil), f.log, f.log, f.snaps, nil, confOf(g.opt.Node)); err != nil {
		return fmt.Errorf("bootstrap raft group: %w", err)
	}
	return nil
}

// confOf is a group of one.
func confOf(n protocol.NodeID) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: idOf(n), Address: addressOf(n)}}}
}

// Run takes part in the group until ctx ends or Close is called, and returns
// nil then. When the disk or the machine cannot keep an entry, it stops taking
// part, so that another node leads, and tries again with growing pauses (1 to
// 30 s). It returns an error only for damage.
func (g *Group) Run(ctx context.Context) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	if g.running {
		g.mu.Unlock()
		return errors.New("run raft group: it runs already")
	}
	g.running = true
	g.mu.Unlock()
	defer close(g.ended)
	pause := time.Second
	for {
		began := time.Now()
		err := g.runOnce(ctx)
		if err == nil || errors.Is(err, ErrDamaged) {
			return err
		}
		if time.Since(began) > time.Minute {
			pause = time.Second
		}
		g.log.Error("raft group stopped; what was acknowledged is kept; trying again", "error", err, "in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-g.stop:
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// runOnce runs one engine until it fails (an error) or is told to end (nil).
func (g *Group) runOnce(ctx context.Context) error {
	g.mu.Lock()
	f, closed := g.files, g.closed
	g.files = nil
	g.mu.Unlock()
	if closed {
		if f != nil {
			return f.close()
		}
		return nil
	}
	if f == nil {
		var err error
		if f, err = openFiles(&g.opt); err != nil {
			return err
		}
	}
	e, err := g.start(f)
	if err != nil {
		f.close()
		return err
	}
	g.mu.Lock()
	g.eng = e
	g.mu.Unlock()
	g.leader.fire()

	work, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { e.watchLeader(work, g.leader) })
	wait.Go(func() { g.keepMembers(work, e) })
	select {
	case <-ctx.Done():
	case <-g.stop:
	case err = <-f.failed:
	}
	cancel()
	g.mu.Lock()
	g.eng = nil
	g.mu.Unlock()
	e.close()
	wait.Wait()
	g.leader.fire()
	if err == nil {
		select {
		case err = <-f.failed: // it failed while it was being closed
			g.log.Warn("raft group failed while closing", "error", err)
		default:
		}
		return nil
	}
	return err
}

// Close ends the group and waits for it. What was acknowledged is durable.
func (g *Group) Close() error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.stop)
	}
	f, running := g.files, g.running
	if !running {
		g.files = nil
	}
	g.mu.Unlock()
	if running {
		<-g.ended
		return nil
	}
	if f != nil {
		return f.close()
	}
	return nil
}

func (g *Group) engine() *engine {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.eng
}

// Recheck ends the connections with nodes that are no longer authorised. Call
// it when the register changes; without it they end at their next message.
func (g *Group) Recheck() {
	if e := g.engine(); e != nil {
		e.conns.drop(func(n protocol.NodeID) bool { return !g.opt.Authorize(n) })
	}
}
