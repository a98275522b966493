package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/national-alliance/alliance/protocol"
)

// members are those that the register names.
type members struct {
	voters, learners []protocol.NodeID
}

func (m members) has(n protocol.NodeID) bool {
	return slices.Contains(m.voters, n) || slices.Contains(m.learners, n)
}

// SetVoters tells the group whom the register names: 1, 3 or 5 voters, and
// nodes that follow without a vote. The leader, on this call and then every
// Interval, takes the steps there one at a time: it adds a node without a
// vote, gives it one when it has caught up, only then takes others out, and
// hands leadership on before it would take itself out. On a node that does not
// lead the names are kept for when it does, and the call returns at once. On
// the leader it returns when the group is as named or the lead is handed on;
// an error says what it waits for, and the steps go on. It also ends the
// connections with nodes that Authorize no longer knows.
func (g *Group) SetVoters(ctx context.Context, voters []protocol.NodeID, learners ...protocol.NodeID) error {
	all := append(slices.Clone(voters), learners...)
	slices.SortFunc(all, protocol.NodeID.Compare)
	if n := len(voters); n != 1 && n != 3 && n != 5 {
		return fmt.Errorf("set raft voters: %d, not 1, 3 or 5", n)
	}
	if len(slices.Compact(all)) != len(voters)+len(learners) {
		return errors.New("set raft voters: a node is named twice")
	}
	g.mu.Lock()
	g.want = members{slices.Clone(voters), slices.Clone(learners)}
	e := g.eng
	g.mu.Unlock()
	g.Recheck()
	if e == nil {
		return nil
	}
	for {
		changed := g.leader.wait()
		done, err := g.step(ctx, e)
		if done {
			return nil
		}
		if err == nil {
			continue
		}
		select {
		case g.drive <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-time.After(g.opt.Heartbeat / 4):
		case <-ctx.Done():
			return fmt.Errorf("set raft voters: %w", err)
		case <-g.stop:
			return fmt.Errorf("set raft voters: %w", errClosed)
		}
	}
}

// keepMembers drives membership whenever this node leads.
func (g *Group) keepMembers(ctx context.Context, e *engine) {
	for {
		changed := g.leader.wait()
		for ctx.Err() == nil {
			short, cancel := context.WithTimeout(ctx, g.opt.Timeout)
			done, err := g.step(short, e)
			cancel()
			if err != nil {
				g.log.Debug("raft members wait", "for", err)
			}
			if done || err != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-g.drive:
			select {
			case <-ctx.Done():
				return
			case <-time.After(g.opt.Heartbeat / 4):
			}
		case <-time.After(g.opt.Interval):
		}
	}
}

// step takes at most one step towards the wanted members. done says that none
// is left for this node to take; an error, what the next one waits for.
func (g *Group) step(ctx context.Context, e *engine) (done bool, err error) {
	g.one.Lock()
	defer g.one.Unlock()
	g.mu.Lock()
	want := g.want
	g.mu.Unlock()
	if len(want.voters) == 0 || e.raft.State() != raft.Leader {
		return true, nil
	}
	conf := e.raft.GetConfiguration()
	if err := conf.Error(); err != nil {
		return false, err
	}
	now := map[protocol.NodeID]raft.ServerSuffrage{}
	for _, s := range conf.Configuration().Servers {
		n, err := nodeOf(s.ID)
		if err != nil {
			return false, err
		}
		now[n] = s.Suffrage
	}
	change := func(f raft.IndexFuture) (bool, error) {
		return false, await(ctx, f, e.conns.done)
	}
	for _, n := range append(slices.Clone(want.voters), want.learners...) {
		if _, ok := now[n]; !ok {
			g.log.Info("raft: adding a node", "node", n.Short())
			return change(e.raft.AddNonvoter(idOf(n), addressOf(n), 0, timeLeft(ctx)))
		}
	}
	var waiting error
	for _, n := range want.voters {
		if now[n] == raft.Voter {
			continue
		}
		if err := e.caughtUp(ctx, n); err != nil {
			waiting = err
			continue
		}
		g.log.Info("raft: giving a node its vote", "node", n.Short())
		return change(e.raft.AddVoter(idOf(n), addressOf(n), 0, timeLeft(ctx)))
	}
	if waiting != nil {
		return false, waiting
	}
	for _, n := range sortedKeys(now) {
		id := idOf(n)
		switch {
		case n == g.opt.Node:
		case !want.has(n):
			g.log.Info("raft: taking a node out", "node", n.Short())
			return change(e.raft.RemoveServer(id, 0, timeLeft(ctx)))
		case now[n] == raft.Voter && !slices.Contains(want.voters, n):
			g.log.Info("raft: taking a node's vote", "node", n.Short())
			return change(e.raft.DemoteVoter(id, 0, timeLeft(ctx)))
		}
	}
	if slices.Contains(want.voters, g.opt.Node) {
		return true, nil
	}
	to := want.voters[0]
	for _, n := range want.voters {
		if e.caughtUp(ctx, n) == nil {
			to = n
			break
		}
	}
	g.log.Info("raft: handing leadership on", "node", to.Short())
	if err := await(ctx, e.raft.LeadershipTransferToServer(idOf(to), addressOf(to)), e.conns.done); err != nil {
		return false, fmt.Errorf("node %s to take the lead: %w", to.Short(), err)
	}
	return true, nil
}

func sortedKeys(m map[protocol.NodeID]raft.ServerSuffrage) []protocol.NodeID {
	var out []protocol.NodeID
	for n := range m {
		out = append(out, n)
	}
	slices.SortFunc(out, protocol.NodeID.Compare)
	return out
}

// caughtUp is nil when a node has answered and holds all that was committed.
// A vote for one that is away could leave the group without a majority.
func (e *engine) caughtUp(ctx context.Context, n protocol.NodeID) error {
	if n == e.opt.Node {
		return nil
	}
	commit := e.raft.CommitIndex()
	ctx, cancel := context.WithTimeout(ctx, e.opt.Timeout)
	defer cancel()
	a, err := e.conns.ask(ctx, n, kindLast, nil)
	if err != nil {
		return fmt.Errorf("node %s to answer: %w", n.Short(), err)
	}
	if a.index < commit {
		return fmt.Errorf("node %s to catch up: at entry %d of %d", n.Short(), a.index, commit)
	}
	return nil
}

// Status is a group as this node sees it.
type Status struct {
	Role         string // leader, follower, candidate; stopped
	Leader       protocol.NodeID
	HasLeader    bool
	Term         uint64
	Last, Commit uint64 // newest entry here; newest known committed
	Applied      uint64 // by the machine
	Voters       []protocol.NodeID
	Learners     []protocol.NodeID
	LastContact  time.Time // with the leader; zero: never, or this node leads
}

// Status returns the group's state here and now.
func (g *Group) Status() Status {
	s := Status{Role: "stopped", Applied: g.opt.Machine.Applied()}
	e := g.engine()
	if e == nil {
		return s
	}
	switch e.raft.State() {
	case raft.Leader:
		s.Role = "leader"
	case raft.Candidate:
		s.Role = "candidate"
	case raft.Follower:
		s.Role = "follower"
		s.LastContact = e.raft.LastContact()
	}
	s.Leader, s.HasLeader = e.leader()
	s.Term, s.Last, s.Commit = e.raft.CurrentTerm(), e.raft.LastIndex(), e.raft.CommitIndex()
	if conf := e.raft.GetConfiguration(); conf.Error() == nil {
		for _, srv := range conf.Configuration().Servers {
			n, err := nodeOf(srv.ID)
			switch {
			case err != nil:
			case srv.Suffrage == raft.Voter:
				s.Voters = append(s.Voters, n)
			default:
				s.Learners = append(s.Learners, n)
			}
		}
	}
	return s
}
