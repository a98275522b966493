package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/national-alliance/alliance/node/consensus"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/node/transport"
	"github.com/national-alliance/alliance/protocol"
)

// The rooms below do not know each other: here the values of one become those
// of another.

// recordDisk is the store as the replica sees it.
type recordDisk struct{ s *store.Store }

func (d recordDisk) Chain(f protocol.FeedID) (protocol.Chain, bool, error) {
	c, ok := d.s.Chain(f)
	return c, ok, nil
}

func (d recordDisk) Feeds(fn func(protocol.FeedID, protocol.Chain) error) error {
	for _, f := range d.s.Feeds() {
		if err := fn(f.Feed, f.Chain); err != nil {
			return err
		}
	}
	return nil
}

func (d recordDisk) Record(f protocol.FeedID, seq uint64) (*protocol.Record, error) {
	return d.s.Record(f, seq)
}

func (d recordDisk) Range(f protocol.FeedID, from, to uint64, fn func(*protocol.Record) error) error {
	return d.s.Range(f, from, to, fn)
}

func (d recordDisk) Receipts(f protocol.FeedID) ([]protocol.SignedReceipt, error) {
	return d.s.Receipts(f)
}

func (d recordDisk) Forks() (map[protocol.FeedID]protocol.Fork, error) {
	out := map[protocol.FeedID]protocol.Fork{}
	for _, f := range d.s.Forks() {
		p, err := d.s.Forked(f)
		if err != nil {
			return nil, err
		}
		out[f] = *p
	}
	return out, nil
}

func (d recordDisk) Lacking(f protocol.FeedID) (out []uint64, err error) {
	for _, w := range d.s.Wants(f) {
		out = append(out, w.Seq)
	}
	return out, nil
}

func (d recordDisk) Outbox() (map[uint64][]byte, error) {
	out := map[uint64][]byte{}
	for _, name := range d.s.Outbox() {
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read outbox: entry %q has no number", name)
		}
		// One that is lost comes as nothing: it stays, is told of, and does
		// not hold up the others.
		out[n], _ = d.s.OutboxEntry(name)
	}
	return out, nil
}

func (d recordDisk) Flag(name string) ([]byte, error) { return meta(d.s, "replica/"+name) }

func (d recordDisk) Enqueue(c replica.Change) (wait func() error) {
	var b store.Batch
	for _, l := range c.Links {
		b.Link(l.Record, l.Chain)
		if len(l.Owe) > 0 {
			b.Owe(l.Record.Feed(), l.Record.Core().Seq, l.Owe...)
		}
	}
	for _, s := range c.Sections {
		b.Section(s.Feed, s.Seq, s.Index, s.Bytes)
	}
	for _, e := range c.Refills {
		env := protocol.Envelope{Core: e.Record.CoreBytes(), Signature: e.Record.Signature()}
		for i := range e.Record.Core().Sections() {
			env.Sections = append(env.Sections, e.Record.Section(i))
		}
		b.Restore(env)
		if len(e.Owe) > 0 {
			b.Owe(e.Record.Feed(), e.Record.Core().Seq, e.Owe...)
		}
	}
	for _, x := range c.Releases {
		b.Release(x.Feed, x.From, x.To)
	}
	for _, r := range c.Receipts {
		got, err := protocol.Decode[protocol.Receipt](r.Body, protocol.MaxReceipt)
		if err == nil {
			b.Receipt(r, got)
		}
	}
	for i := range c.Forks {
		b.Fork(c.Forks[i].Feed, &c.Forks[i].Proof)
	}
	for _, o := range c.Outbox {
		b.Outbox(strconv.FormatUint(o.ID, 10), o.Bytes)
	}
	for _, n := range c.Done {
		b.OutboxDone(strconv.FormatUint(n, 10))
	}
	for name, v := range c.Flags {
		b.Meta("replica/"+name, v)
	}
	return d.s.Stage(&b)
}

func isAbsent(err error) bool { return errors.Is(err, store.ErrAbsent) }

func meta(s *store.Store, name string) ([]byte, error) {
	b, err := s.Meta(name)
	if isAbsent(err) {
		return nil, nil
	}
	return b, err
}

// registerDisk is the store as membership sees it.
type registerDisk struct{ s *store.Store }

const markPrefix = "register/"

func (d registerDisk) LeafCount() (uint64, error) { return d.s.LeafCount(), nil }

func (d registerDisk) Leaves(from, to uint64) (out [][]byte, err error) {
	err = d.s.Leaves(from, to, func(_ uint64, leaf []byte) error {
		out = append(out, leaf)
		return nil
	})
	return out, err
}

func (d registerDisk) Accepted() (uint64, error) { return d.s.Accepted(), nil }

func (d registerDisk) Note(size uint64) ([]byte, error) {
	b, err := d.s.Note(size)
	if isAbsent(err) {
		return nil, nil
	}
	return b, err
}

func (d registerDisk) NoteSizes(from, to uint64) (out []uint64, err error) {
	for _, n := range d.s.Notes(from, to) {
		if n > from && n <= to {
			out = append(out, n)
		}
	}
	return out, nil
}

func (d registerDisk) Mark(name string) ([]byte, error) { return meta(d.s, markPrefix+name) }

func (d registerDisk) Marks(prefix string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range d.s.MetaNames(markPrefix + prefix) {
		b, err := d.s.Meta(name)
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(name, markPrefix)] = b
	}
	return out, nil
}

func (d registerDisk) Enqueue(c membership.Change) <-chan error {
	var b store.Batch
	for i, l := range c.Leaves {
		b.Leaf(c.First+uint64(i), l)
	}
	for size, n := range c.Notes {
		b.Note(size, n)
	}
	if c.Accept > 0 {
		b.Accept(c.Accept)
	}
	for name, v := range c.Marks {
		b.Meta(markPrefix+name, v)
	}
	return d.s.Enqueue(&b)
}

// junkCost is the bytes of its quota that a peer pays for a request that no
// honest node makes.
const junkCost = 1 << 20

// blame tells a peer that its request was wrong, where it was, and lets it pay.
func (n *Node) blame(h func(context.Context, protocol.Node, []byte) ([]byte, error)) func(context.Context, protocol.Node, []byte) ([]byte, error) {
	return func(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
		b, err := h(ctx, from, req)
		if errors.Is(err, replica.ErrPeer) || errors.Is(err, membership.ErrPeer) {
			n.log.Info("a peer's request is not one that an honest node makes", "peer", from.ID.Short(), "err", err)
			n.tr.Charge(from.ID, junkCost)
			return nil, &transport.Error{Code: transport.Invalid}
		}
		return b, err
	}
}

// machine is the secretariat's state machine as Raft sees it.
type machine struct{ r *membership.Register }

func (m machine) Apply(c consensus.Command) ([]byte, error) {
	switch c.Tag {
	case consensus.Register:
		return m.r.Apply(c.Index, c.Data)
	case consensus.Workspace:
		return m.r.ApplyOwn(c.Index, c.Data)
	}
	return nil, fmt.Errorf("an entry of %s needs a newer program: upgrade this node", c.Tag)
}

func (m machine) Applied() uint64 { return m.r.Applied() }

func (m machine) Snapshot() (consensus.Snapshot, error) {
	write, err := m.r.Snapshot()
	return snapshot(write), err
}

func (m machine) Restore(in io.Reader) error { return m.r.Restore(in) }

type snapshot func(io.Writer) error

func (s snapshot) Persist(w io.Writer) error { return s(w) }
func (s snapshot) Release()                  {}

// raftGroup is the group as membership sees it. What could not be kept here is
// not proposed: the log would only grow by entries that wait for room.
type raftGroup struct {
	g *consensus.Group
	s *store.Store
}

func (g raftGroup) Propose(ctx context.Context, b []byte) ([]byte, error) {
	if err := g.s.Writable(); err != nil {
		return nil, err
	}
	return g.g.Propose(ctx, consensus.Register, b)
}

func (g raftGroup) ProposeOwn(ctx context.Context, b []byte) ([]byte, error) {
	if err := g.s.Writable(); err != nil {
		return nil, err
	}
	return g.g.Propose(ctx, consensus.Workspace, b)
}

func (g raftGroup) Leads() bool { return g.g.IsLeader() }

// overlay is the transport as Raft sees it.
type overlay struct{ t *transport.Transport }

func (o overlay) Dial(ctx context.Context, to protocol.NodeID) (net.Conn, error) {
	return o.t.Conn(ctx, to, protoRaft)
}
