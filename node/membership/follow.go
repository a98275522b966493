package membership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Run follows, and on a secretariat node gathers signatures and moves time,
// until ctx ends.
func (r *Register) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.tellLoop(ctx) })
	g.Go(func() error { return r.followLoop(ctx) })
	if !r.o.Checkpoint.IsZero() {
		g.Go(func() error { return r.gatherLoop(ctx) })
		g.Go(func() error { return r.timeLoop(ctx) })
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (r *Register) tellLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-r.events:
			r.o.OnChange(s)
		}
	}
}

// Follow asks for a look at a peer's register soon: after a connect, or a hello
// or record that cites a newer checkpoint.
func (r *Register) Follow(n protocol.NodeID) {
	select {
	case r.follow <- n:
	default: // so many wait that the poll will do
	}
}

func (r *Register) followLoop(ctx context.Context) error {
	t := time.NewTicker(r.o.PollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-r.follow:
			r.followOne(ctx, n)
		case <-t.C:
			for _, n := range r.o.Net.Connected() {
				r.followOne(ctx, n.ID)
			}
		}
	}
}

func (r *Register) followOne(ctx context.Context, n protocol.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := r.catchUp(ctx, n); err != nil && ctx.Err() == nil {
		r.o.Log.Info("register not followed", "peer", n.Short(), "err", err)
	}
}

func (r *Register) ask(ctx context.Context, to protocol.NodeID, q Request) (Answer, error) {
	b, err := r.o.Net.Call(ctx, to, ProtoRegister, protocol.Encode(q))
	if err != nil {
		return Answer{}, err
	}
	a, err := protocol.Decode[Answer](b, maxMessage)
	if err != nil {
		return Answer{}, err
	}
	if a.Fault != "" {
		return a, errors.New(a.Fault)
	}
	return a, nil
}

// AskPeers asks a node where others can be reached. What it answers is only an
// address to try: whoever answers there must prove to be the node.
func (r *Register) AskPeers(ctx context.Context, n protocol.NodeID) ([]PeerAddrs, error) {
	a, err := r.ask(ctx, n, Request{Ask: AskPeers})
	return a.Peers, err
}

// catchUp accepts what a peer has beyond us.
func (r *Register) catchUp(ctx context.Context, n protocol.NodeID) error {
	have := r.State()
	if have == nil {
		return errors.New("this node has no register yet")
	}
	head, err := r.ask(ctx, n, Request{Ask: AskHead})
	if err != nil || head.Size <= have.Size() {
		return err
	}
	if len(head.Notes) != 1 {
		return errors.New("the peer's head came without its note")
	}
	var leaves [][]byte
	for at := have.Size(); at < head.Size; {
		a, err := r.ask(ctx, n, Request{Ask: AskRange, From: at, To: head.Size})
		if err != nil {
			return err
		}
		if len(a.Leaves) == 0 || uint64(len(a.Leaves)) > head.Size-at {
			return errors.New("the peer does not give out the leaves that its head covers")
		}
		leaves = append(leaves, a.Leaves...)
		at += uint64(len(a.Leaves))
	}
	notes := head.Notes
	s, err := register.Accept(have, leaves, notes...)
	if errors.Is(err, register.ErrSigners) {
		a, e := r.ask(ctx, n, Request{Ask: AskNotes, From: have.Size(), To: head.Size})
		if e != nil {
			return e
		}
		notes = a.Notes
		s, err = register.Accept(have, leaves, notes...)
	}
	if errors.Is(err, register.ErrUpgrade) {
		r.mu.Lock()
		r.upgrade = err
		r.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("the peer's register is not accepted: %w", err)
	}
	if tip := r.Tip(); tip.Size() > have.Size() {
		// A secretariat node may be ahead of its checkpoint: what it has must
		// be what is accepted now.
		size := min(tip.Size(), s.Size())
		mine, _ := tip.RootAt(size)
		theirs, _ := s.RootAt(size)
		if mine != theirs {
			r.mu.Lock()
			r.damaged = fmt.Errorf("%w: an accepted checkpoint differs from it", ErrDamaged)
			r.mu.Unlock()
			return ErrDamaged
		}
	}
	return r.store(s, have.Size(), leaves, notes)
}

// Serve answers /alliance/register/1. Everything in the register is for every
// member; signing, endorsing and submitting are for the secretariat's nodes.
func (r *Register) Serve(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
	q, err := protocol.Decode[Request](req, maxMessage)
	if err != nil {
		return nil, err
	}
	a, err := r.answer(ctx, from, q)
	if err != nil {
		a = Answer{Fault: fault(err)}
	}
	return protocol.Encode(a), nil
}

func fault(err error) string {
	s := err.Error()
	return s[:min(len(s), maxFault)]
}

func (r *Register) answer(ctx context.Context, from protocol.Node, q Request) (Answer, error) {
	s := r.State()
	if s == nil {
		return Answer{}, errors.New("this node has no register yet")
	}
	switch q.Ask {
	case AskHead:
		r.mu.Lock()
		defer r.mu.Unlock()
		return Answer{Size: r.accepted.Size(), Notes: [][]byte{r.note}}, nil
	case AskRange:
		return r.leaves(q.From, min(q.To, s.Size()))
	case AskNotes:
		return r.notes(s, q.From, min(q.To, s.Size()))
	case AskPeers:
		peers := r.o.Peers()
		return Answer{Peers: peers[:min(len(peers), maxPeers)]}, nil
	case TellNews:
		if q.To > s.Size() {
			r.Follow(from.ID)
		}
		return Answer{}, nil
	}
	if r.o.Checkpoint.IsZero() {
		return Answer{}, ErrNotHere
	}
	switch q.Ask {
	case AskSubmit:
		size, err := r.Submit(ctx, q.Op)
		return Answer{Size: size}, err
	case AskCosign, AskEndorse:
		if from.Org != r.o.Org {
			return Answer{}, ErrNotHere
		}
		if q.Ask == AskCosign {
			n, err := r.cosign(ctx, q.To)
			return Answer{Notes: [][]byte{n}}, err
		}
		e, err := r.endorse(ctx, q.Leaf, q.Root)
		return Answer{Endorsement: &e}, err
	}
	return Answer{}, errors.New("this program does not know that request: it may be older than the peer's")
}

func (r *Register) leaves(from, to uint64) (a Answer, err error) {
	if from >= to {
		return a, nil
	}
	list, err := r.o.Disk.Leaves(from, min(to, from+rangeLeaves))
	size := 0
	for i, l := range list {
		if size += len(l); size > rangeBytes && i > 0 {
			break
		}
		a.Leaves = append(a.Leaves, l)
	}
	return a, err
}

// notes lists what a follower at size from needs to walk to size to: the first
// note kept at or after each change of signers, and the newest.
func (r *Register) notes(s *register.State, from, to uint64) (a Answer, err error) {
	sizes, err := r.o.Disk.NoteSizes(from, to)
	if err != nil {
		return a, err
	}
	var want []uint64
	for _, c := range s.Changes(from, to) {
		for _, n := range sizes {
			if n >= c && (len(want) == 0 || want[len(want)-1] < n) {
				want = append(want, n)
				break
			}
		}
	}
	if n := len(sizes); n > 0 && (len(want) == 0 || want[len(want)-1] != sizes[n-1]) {
		want = append(want, sizes[n-1])
	}
	for _, size := range want {
		b, err := r.o.Disk.Note(size)
		if err != nil {
			return a, err
		}
		a.Notes = append(a.Notes, b)
	}
	return a, nil
}
