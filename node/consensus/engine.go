package consensus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/national-alliance/alliance/protocol"
)

// files are a group's open and checked files.
type files struct {
	lock  *dirLock
	log   *sealedLog
	snaps *snapshots
	hclog hclog.Logger
	// restore says that the machine is behind the newest snapshot.
	restore bool
	failed  chan error // holds the first failure
}

func (f *files) fail(err error) {
	select {
	case f.failed <- err:
	default:
	}
}

func openFiles(o *Options) (_ *files, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	f := &files{hclog: newHclog(o.Log, o.Now), failed: make(chan error, 1)}
	if f.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.snaps, err = openSnapshots(o.Dir, o.Key); err != nil {
		return nil, err
	}
	newest, err := f.snaps.check()
	if err != nil {
		return nil, err
	}
	if f.log, err = openLog(o.Dir, o.Key, f.hclog, f.fail); err != nil {
		return nil, err
	}
	if err := f.log.check(newest); err != nil {
		return nil, err
	}
	last, err := f.log.LastIndex()
	if err != nil {
		return nil, err
	}
	if applied := o.Machine.Applied(); applied > max(last, newest) {
		return nil, fmt.Errorf("raft log: %w: it ends at entry %d and entry %d was applied", ErrDamaged, max(last, newest), applied)
	} else {
		f.restore = applied < newest
	}
	return f, nil
}

func (f *files) close() (err error) {
	if f.log != nil {
		err = f.log.Close()
	}
	if e := f.lock.unlock(); err == nil {
		err = e
	}
	return err
}

func (o *Options) raftConfig(f *files) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = idOf(o.Node)
	c.HeartbeatTimeout = o.Heartbeat
	c.ElectionTimeout = max(o.Election, o.Heartbeat)
	c.LeaderLeaseTimeout = max(o.Heartbeat/2, 5*time.Millisecond)
	c.CommitTimeout = o.Commit
	c.SnapshotInterval = o.Interval
	c.SnapshotThreshold = o.SnapshotEvery
	c.TrailingLogs = o.Trailing
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.NoSnapshotRestoreOnStart = true
	c.Logger = hclog.NewNullLogger()
	if f != nil {
		c.Logger = f.hclog
		c.NoSnapshotRestoreOnStart = !f.restore
	}
	return c
}

// engine is a running Raft.
type engine struct {
	opt     *Options
	files   *files
	conns   *conns
	trans   *raft.NetworkTransport
	raft    *raft.Raft
	applied *signal
}

func (g *Group) start(f *files) (*engine, error) {
	e := &engine{opt: &g.opt, files: f, conns: newConns(g.opt), applied: g.applied}
	e.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: e.conns, MaxPool: 2, Timeout: g.opt.Timeout, Logger: f.hclog})
	m := &fsm{machine: g.opt.Machine, applied: g.applied, fail: f.fail}
	var machine raft.FSM = m
	if _, ok := g.opt.Machine.(BatchMachine); ok {
		machine = batchFSM{m}
	}
	var err error
	e.raft, err = raft.NewRaft(g.opt.raftConfig(f), machine, f.log, f.log, f.snaps, e.trans)
	if err != nil {
		e.trans.Close()
		return nil, fmt.Errorf("start raft: %w", err)
	}
	return e, nil
}

// close ends Raft and its connections, then the files.
func (e *engine) close() {
	done := e.raft.Shutdown()
	e.trans.CloseStreams()
	e.trans.Close()
	done.Error()
	e.files.close()
}

// watchLeader fires changed when Raft reports a leader or the loss of one.
func (e *engine) watchLeader(ctx context.Context, changed *signal) {
	ch := make(chan raft.Observation, 8)
	o := raft.NewObserver(ch, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	e.raft.RegisterObserver(o)
	defer e.raft.DeregisterObserver(o)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch:
			changed.fire()
		case <-e.raft.LeaderCh():
			changed.fire()
		}
	}
}

func (e *engine) leader() (protocol.NodeID, bool) {
	_, id := e.raft.LeaderWithID()
	n, err := nodeOf(id)
	return n, err == nil
}

func nodeOf(id raft.ServerID) (n protocol.NodeID, err error) {
	err = n.UnmarshalText([]byte(id))
	return n, err
}

// propose hands an entry (tag and data) in as leader.
func (e *engine) propose(ctx context.Context, entry []byte) answer {
	if e.raft.State() != raft.Leader {
		return answer{status: statusNotLeader}
	}
	f := e.raft.Apply(entry, timeLeft(ctx))
	switch err := await(ctx, f, e.conns.done); {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return answer{status: statusNotLeader}
	case err != nil:
		return answer{status: statusUnknown}
	}
	out, ok := f.Response().(outcome)
	if !ok || out.err != nil {
		// Committed, and this node could not keep it; another leads next.
		return answer{status: statusUnknown}
	}
	return answer{index: f.Index(), body: out.result}
}

// barrier waits as leader until all that was committed before is applied, and
// still leads then.
func (e *engine) barrier(ctx context.Context) answer {
	if e.raft.State() != raft.Leader {
		return answer{status: statusNotLeader}
	}
	if err := await(ctx, e.raft.Barrier(timeLeft(ctx)), e.conns.done); err != nil {
		return answer{status: statusNotLeader}
	}
	return answer{index: e.opt.Machine.Applied()}
}

// await waits for a future, which Raft may never answer once it is shut down.
func await(ctx context.Context, f raft.Future, closed <-chan struct{}) error {
	ch := make(chan error, 1)
	go func() { ch <- f.Error() }()
	select {
	case err := <-ch:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return errClosed
	}
}

func timeLeft(ctx context.Context) time.Duration {
	if t, ok := ctx.Deadline(); ok {
		return max(time.Until(t), time.Millisecond)
	}
	return requestWait
}
