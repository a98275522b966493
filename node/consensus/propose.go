package consensus

import (
	"context"
	"fmt"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// Propose puts an entry into the group's order and returns what the machine
// made of it, once it is durable at a majority and applied at the leader and,
// unless ctx ends first, here. It works on every node: one that does not lead
// asks the leader. It waits for a leader until ctx ends (at most 30 s).
//
// ErrNoLeader: nothing was proposed. ErrUnknown: it may be committed, now or
// later; propose the same again only if the machine applies it once.
func (g *Group) Propose(ctx context.Context, tag Tag, data []byte) ([]byte, error) {
	if len(data) > MaxData {
		return nil, fmt.Errorf("propose entry: %d bytes, at most %d are allowed", len(data), MaxData)
	}
	entry := append([]byte{byte(tag)}, data...)
	a, err := g.onLeader(ctx, kindPropose, entry)
	if err != nil {
		return nil, fmt.Errorf("propose entry: %w", err)
	}
	g.reach(ctx, a.index)
	return a.body, nil
}

// Barrier returns when the machine here has applied everything that was
// committed anywhere before the call: what it shows then is current.
func (g *Group) Barrier(ctx context.Context) error {
	a, err := g.onLeader(ctx, kindBarrier, nil)
	if err != nil {
		return fmt.Errorf("raft barrier: %w", err)
	}
	if err := g.reach(ctx, a.index); err != nil {
		return fmt.Errorf("raft barrier: %w", err)
	}
	return nil
}

// reach waits until the machine here has applied index.
func (g *Group) reach(ctx context.Context, index uint64) error {
	for {
		moved := g.applied.wait()
		if g.opt.Machine.Applied() >= index {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-g.stop:
			return errClosed
		}
	}
}

// onLeader does a request at the leader, here or elsewhere, and follows it
// while nothing was proposed.
func (g *Group) onLeader(ctx context.Context, kind byte, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	for {
		changed := g.leader.wait()
		a, err := g.tryLeader(ctx, kind, body, changed)
		switch {
		case err != nil:
			return a, err
		case a.status == statusDone:
			return a, nil
		case a.status == statusUnknown:
			return a, ErrUnknown
		case a.status == statusRefused:
			return a, ErrRefused
		}
		select {
		case <-changed:
		case <-time.After(g.opt.Heartbeat / 4): // the change may have come before
		case <-ctx.Done():
			return a, ErrNoLeader
		case <-g.stop:
			return a, errClosed
		}
	}
}

// tryLeader answers statusNotLeader when nothing was done and another try may
// help. changed is closed when leadership changed since the caller looked.
func (g *Group) tryLeader(ctx context.Context, kind byte, body []byte, changed <-chan struct{}) (answer, error) {
	e := g.engine()
	if e == nil {
		return answer{status: statusNotLeader}, nil
	}
	leader, ok := e.leader()
	if !ok {
		return answer{status: statusNotLeader}, nil
	}
	if leader == g.opt.Node {
		if kind == kindBarrier {
			return e.barrier(ctx), nil
		}
		return e.propose(ctx, body), nil
	}
	c, err := func() (*conn, error) {
		ctx, cancel := context.WithTimeout(ctx, g.opt.Timeout)
		defer cancel()
		go func() { // a dead leader may not refuse, but be silent
			select {
			case <-changed:
				cancel()
			case <-ctx.Done():
			}
		}()
		return e.conns.dial(ctx, leader, kind)
	}()
	if err != nil {
		g.log.Debug("could not reach the leader", "node", leader.Short(), "error", err)
		return answer{status: statusNotLeader}, nil
	}
	if t, ok := ctx.Deadline(); ok {
		c.SetDeadline(t)
	}
	done := make(chan struct{})
	defer close(done)
	go g.giveUpOn(leader, c, done)
	a, err := exchange(ctx, c, body)
	if err != nil && kind == kindBarrier {
		return answer{status: statusNotLeader}, nil
	}
	if err != nil {
		return a, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return a, nil
}

// giveUpOn closes a connection on which a leader's answer is awaited, once
// another leads and the old one had time to answer still.
func (g *Group) giveUpOn(leader protocol.NodeID, c *conn, done <-chan struct{}) {
	for {
		changed := g.leader.wait()
		if now, ok := g.Leader(); ok && now != leader {
			break
		}
		select {
		case <-changed:
		case <-done:
			return
		}
	}
	select {
	case <-time.After(g.opt.Heartbeat):
		c.Close()
	case <-done:
	}
}

// Leader returns the group's leader as this node knows it.
func (g *Group) Leader() (protocol.NodeID, bool) {
	e := g.engine()
	if e == nil {
		return protocol.NodeID{}, false
	}
	return e.leader()
}

// IsLeader reports whether this node leads.
func (g *Group) IsLeader() bool {
	n, ok := g.Leader()
	return ok && n == g.opt.Node
}

// LeaderChanged returns a channel that is closed when leadership next changes.
func (g *Group) LeaderChanged() <-chan struct{} { return g.leader.wait() }
