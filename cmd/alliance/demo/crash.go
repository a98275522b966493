package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol/register"
)

// flight is one of the operations during which the leader is killed.
type flight struct {
	file  string
	org   string
	kind  string // that the operation gives the organisation
	op    []byte
	acked bool
}

// crash kills the secretariat's leader while operations run into it. The two
// others go on and admit a ministry; the killed one comes back.
func (d *demo) crash(ctx context.Context) error {
	leader, others, err := d.leader(ctx)
	if err != nil {
		return err
	}
	d.t.chapter("%s leads the secretariat's group, and is killed with an operation in flight", leader.name)
	if err := d.prepareFlight(ctx, leader); err != nil {
		return err
	}
	if err := d.killInFlight(ctx, leader); err != nil {
		return err
	}
	at, err := d.newLeader(ctx, others)
	if err != nil {
		return err
	}
	d.t.say("%s leads now, with one other.", at.name)
	if _, err := d.enrol(ctx, at, "ministry", d.plan.Members.Ministry, false); err != nil {
		return err
	}
	if err := d.finishFlight(ctx, at); err != nil {
		return err
	}
	if err := d.launch(leader); err != nil {
		return err
	}
	if _, err := d.serving(ctx, leader); err != nil {
		return err
	}
	d.t.say("%s is started again on its own disk.", leader.name)
	return d.sameRoot(ctx)
}

// leader finds the secretariat's leading node.
func (d *demo) leader(ctx context.Context) (leader *node, others []*node, err error) {
	err = d.until(ctx, "a leader", func() (bool, error) {
		leader, others = nil, nil
		for _, n := range d.secretariat() {
			s, err := n.status(ctx)
			if err != nil {
				return false, err
			}
			if s.Raft != nil && s.Raft.Leads {
				leader = n
			} else {
				others = append(others, n)
			}
		}
		return leader != nil && len(others) == 2, nil
	})
	return leader, others, err
}

// newLeader waits until one of the nodes leads.
func (d *demo) newLeader(ctx context.Context, nodes []*node) (leader *node, err error) {
	err = d.until(ctx, "another leader", func() (bool, error) {
		for _, n := range nodes {
			s, err := n.status(ctx)
			if err != nil {
				return false, err
			}
			if s.Raft != nil && s.Raft.Leads {
				leader = n
			}
		}
		return leader != nil, nil
	})
	return leader, err
}

// prepareFlight drafts three changes that the officers sign with one
// signature each: every member gets its finer kind.
func (d *demo) prepareFlight(ctx context.Context, at *node) error {
	m := d.plan.Members
	var files []string
	for _, x := range []member{m.North, m.South, m.Police} {
		file, err := d.draft(ctx, at, "set-kind", "--organisation", x.Name, "--code", x.Later)
		if err != nil {
			return err
		}
		files = append(files, file)
		d.flight = append(d.flight, flight{file: file, org: x.Name, kind: x.Later})
	}
	for i := range d.plan.Threshold {
		if err := d.sign(ctx, d.officer(i), files...); err != nil {
			return err
		}
	}
	for i, f := range d.flight {
		b, err := os.ReadFile(f.file)
		if err != nil {
			return err
		}
		so, _, err := register.DecodeSignedOp(b)
		if err != nil {
			return err
		}
		d.flight[i].op = so.Op
	}
	return nil
}

// killInFlight submits the operations one after another through a relay that
// sees them pass, and kills the leader after half the time that the first one
// took, counted from the moment it was given the second.
func (d *demo) killInFlight(ctx context.Context, leader *node) error {
	r, err := newRelay(d.path("papers", "relay.sock"), leader.socket)
	if err != nil {
		return err
	}
	defer r.close()
	ended := make(chan error, 1)
	go func() {
		args := []string{"op", "submit", "--socket", r.path}
		for _, f := range d.flight {
			args = append(args, f.file)
		}
		_, err := d.command(ctx, args...)
		ended <- err
	}()
	var took time.Duration
	select {
	case took = <-r.second:
	case err := <-ended:
		return fmt.Errorf("no second operation was given to the leader: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
	t := time.NewTimer(took / 2)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := leader.kill(); err != nil {
		return err
	}
	err = <-ended
	for i := range min(r.answers(), len(d.flight)) {
		d.flight[i].acked = true
	}
	n := r.answers()
	d.t.say("SIGKILL, %s after the leader was given the second of three operations; %d acknowledged.", (took / 2).Round(10*time.Microsecond), n)
	d.t.expect(err != nil && n < len(d.flight), "it said that all were taken", "who submitted them is told that not all were taken")
	return nil
}

// finishFlight looks what became of the operations, and submits again those
// that are not in the register.
func (d *demo) finishFlight(ctx context.Context, at *node) error {
	for _, f := range d.flight {
		o, err := api.Ask[api.Org](ctx, at.api, "GET", "/orgs/"+url.PathEscape(f.org), nil)
		if err != nil {
			return err
		}
		in := o.Kind == f.kind
		switch {
		case f.acked:
			d.t.expect(in, o.Kind, "the operation on %s was acknowledged, and is in the register", f.org)
		case in:
			d.t.say("The operation on %s was not acknowledged, and had been committed.", f.org)
		default:
			d.t.say("The operation on %s is not in the register; the same signed file is submitted again.", f.org)
			if err := d.submit(ctx, at, f.file); err != nil {
				return err
			}
		}
	}
	again := d.flight[0]
	before, err := d.settled(ctx, at)
	if err != nil {
		return err
	}
	said := "it is there"
	err = d.submit(ctx, at, again.file)
	var e *commandError
	if errors.As(err, &e) && e.code == api.Refused.Exit() {
		said = e.text
	} else if err != nil {
		return err
	}
	after, err := d.settled(ctx, at)
	if err != nil {
		return err
	}
	d.t.expect(before == after, fmt.Sprintf("%d leaves, then %d: %s", before, after, said),
		"the operation on %s, submitted once more, adds nothing to the register", again.org)
	return nil
}

// settled waits until nothing in a secretariat node's register waits for
// signatures, and returns how many leaves it has.
func (d *demo) settled(ctx context.Context, n *node) (size uint64, err error) {
	err = d.until(ctx, "all leaves to be signed", func() (bool, error) {
		s, err := n.status(ctx)
		size = s.Register.Size
		return err == nil && s.Register.Tip == 0, err
	})
	return size, err
}

// sameRoot waits until every running node holds the same register.
func (d *demo) sameRoot(ctx context.Context) error {
	var roots []string
	var size uint64
	err := d.until(ctx, "one root everywhere", func() (bool, error) {
		roots, size = nil, 0
		for _, n := range d.nodes {
			s, err := n.status(ctx)
			if err != nil {
				return false, err
			}
			roots, size = append(roots, fmt.Sprintf("%d %s", s.Register.Size, s.Register.Root)), s.Register.Size
		}
		return len(slices.Compact(slices.Clone(roots))) == 1, nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.t.expect(err == nil, roots, "all %d nodes hold the same register: %d leaves, one root", len(d.nodes), size)
	return nil
}
