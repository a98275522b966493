package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Run follows, and on a secretariat node gathers signatures and moves time,
// until ctx ends.
func (r *Register) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.tellLoop(ctx) })
	g.Go(func() error { return r.followLoop(ctx, 0) })
	g.Go(func() error { return r.followLoop(ctx, 1) })
	g.Go(func() error { return r.pollLoop(ctx) })
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

// followSet is whose register is to be looked at: the secretariat's nodes
// apart, so that no other member can delay what they say.
type followSet struct {
	mu      sync.Mutex
	waiting [2]map[protocol.NodeID]bool // others, the secretariat
	wake    [2]chan struct{}
}

func newFollowSet() followSet {
	return followSet{waiting: [2]map[protocol.NodeID]bool{{}, {}}, wake: [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}}
}

func (f *followSet) add(n protocol.NodeID, lane int) {
	f.mu.Lock()
	f.waiting[lane][n] = true
	f.mu.Unlock()
	select {
	case f.wake[lane] <- struct{}{}:
	default:
	}
}

func (f *followSet) next(lane int) (n protocol.NodeID, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n = range f.waiting[lane] {
		delete(f.waiting[lane], n)
		return n, true
	}
	return n, false
}

// Follow asks for a look at a peer's register soon: after a connect, or a hello
// or record that cites a newer checkpoint.
func (r *Register) Follow(n protocol.NodeID) {
	lane := 0
	if s := r.State(); s != nil {
		if p, ok := s.Node(n); ok && p.Org == s.Secretariat() {
			lane = 1
		}
	}
	r.followed.add(n, lane)
}

func (r *Register) followLoop(ctx context.Context, lane int) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.followed.wake[lane]:
		}
		for n, ok := r.followed.next(lane); ok && ctx.Err() == nil; n, ok = r.followed.next(lane) {
			r.followOne(ctx, n)
		}
	}
}

// pollLoop asks every connected peer now and then.
func (r *Register) pollLoop(ctx context.Context) error {
	t := time.NewTicker(r.o.PollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			for _, n := range r.o.Net.Connected() {
				r.Follow(n.ID)
			}
		}
	}
}

// headWait is how long a peer may take to tell its head; followWait bounds the
// whole of one look.
const (
	headWait   = 5 * time.Second
	followWait = time.Minute
)

func (r *Register) followOne(ctx context.Context, n protocol.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, followWait)
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
	a, err := protocol.Decode[Answer](b, MaxMessage)
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

// catchUp accepts what a peer has beyond us. A damaged register is fetched
// anew, from where it is still good or from genesis, which is pinned.
func (r *Register) catchUp(ctx context.Context, n protocol.NodeID) error {
	r.mu.Lock()
	have, was := r.accepted, r.was
	r.mu.Unlock()
	if have == nil {
		return errors.New("this node has no register yet")
	}
	hctx, cancel := context.WithTimeout(ctx, headWait)
	head, err := r.ask(hctx, n, Request{Ask: AskHead})
	cancel()
	if err != nil {
		return err
	}
	if len(head.Notes) != 1 {
		return errors.New("the peer's head came without its note")
	}
	if head.Size <= have.Size() {
		return r.contradicted(have, head.Notes[0])
	}
	if head.Size < was.Size {
		return errors.New("the peer has less of the register than this node had before its disk was damaged")
	}
	s, leaves, notes, err := r.fetchFrom(ctx, n, have, head)
	if err != nil && was.Size > 0 {
		if have, err = r.genesis(); err == nil {
			s, leaves, notes, err = r.fetchFrom(ctx, n, have, head)
		}
	}
	if errors.Is(err, register.ErrUpgrade) {
		r.mu.Lock()
		r.upgrade = err
		r.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("the peer's register is not accepted: %w", err)
	}
	if err := r.agrees(s, have.Size()); err != nil {
		r.damage(err)
		return err
	}
	if err := r.store(s, have.Size(), leaves, notes); err != nil {
		return err
	}
	r.spread(s.Size())
	if was.Size > 0 {
		r.mended()
	}
	if s.Size() < head.Size {
		r.Follow(n) // the next step of a long walk
	}
	return nil
}

// agrees compares a register that is to be accepted with what this node had
// validated, signed or accepted before.
func (r *Register) agrees(s *register.State, from uint64) error {
	r.mu.Lock()
	tip, was, signed := r.tip, r.was, r.signed
	r.mu.Unlock()
	if was.Size == 0 && tip.Size() > from {
		// A secretariat node may be ahead of its checkpoint: what it has must
		// be what is accepted now.
		size := min(tip.Size(), s.Size())
		mine, _ := tip.RootAt(size)
		theirs, _ := s.RootAt(size)
		if mine != theirs {
			return fmt.Errorf("%w: an accepted checkpoint differs from it", ErrDamaged)
		}
	}
	for _, m := range []signedMark{was, signed} {
		if root, ok := s.RootAt(m.Size); ok && !m.Root.IsZero() && root != m.Root {
			return fmt.Errorf("%w: an accepted checkpoint differs from what this node had accepted or signed", ErrDamaged)
		}
	}
	return nil
}

// contradicted keeps a peer's note if the secretariat's signers signed another
// history with it than the one accepted here.
func (r *Register) contradicted(have *register.State, note []byte) error {
	c, yes := have.Contradicts(note)
	if !yes {
		return nil
	}
	r.mu.Lock()
	known := r.split != nil
	r.split = ErrSplit
	r.mu.Unlock()
	if known {
		return ErrSplit
	}
	r.o.Log.Error("the secretariat's signers signed two histories: the other note is kept, and this node stays with the register that it has", "size", c.Size)
	if err := <-r.o.Disk.Enqueue(Change{Marks: map[string][]byte{markSplit: note}}); err != nil {
		return fmt.Errorf("keep the other note: %w", err)
	}
	return ErrSplit
}

// fetchFrom fetches the leaves after a register and the notes that lead to a
// peer's head, and accepts them. The notes come first: without a majority of
// the signers that this node knows, no leaf is asked for.
func (r *Register) fetchFrom(ctx context.Context, n protocol.NodeID, have *register.State, head Answer) (s *register.State, leaves, notes [][]byte, err error) {
	fail := func(err error) (*register.State, [][]byte, [][]byte, error) { return nil, nil, nil, err }
	c, err := register.ParseCheckpoint(head.Notes[0])
	if err != nil {
		return fail(err)
	}
	if c.Size != head.Size || c.Network != r.o.Pinned {
		return fail(errors.New("the peer's note is not of its head"))
	}
	between := func() error {
		a, err := r.ask(ctx, n, Request{Ask: AskNotes, From: have.Size(), To: head.Size})
		if err != nil {
			return err
		}
		if notes = a.Notes; len(notes) == 0 {
			return errors.New("the peer gives out no note that leads to its head")
		}
		if _, err := have.Leads(notes[0]); err != nil {
			return err
		}
		c, err := register.ParseCheckpoint(notes[len(notes)-1])
		if err == nil && (c.Size <= have.Size() || c.Size > head.Size) {
			err = errors.New("the peer's notes do not lead to its head")
		}
		head.Size = c.Size
		return err
	}
	notes = head.Notes
	_, err = have.Leads(notes[0])
	walked := errors.Is(err, register.ErrSigners)
	if walked {
		err = between()
	}
	if err != nil {
		return fail(err)
	}
	if leaves, err = r.fetchLeaves(ctx, n, have, head.Size); err != nil {
		return fail(err)
	}
	s, leaves, err = accept(have, leaves, notes)
	if errors.Is(err, register.ErrSigners) && !walked {
		if err := between(); err != nil {
			return fail(err)
		}
		s, leaves, err = accept(have, leaves, notes)
	}
	return s, leaves, notes, err
}

// fetchLeaves fetches the leaves from a register to a size.
func (r *Register) fetchLeaves(ctx context.Context, n protocol.NodeID, have *register.State, to uint64) (leaves [][]byte, err error) {
	size, pages := 0, 0
	for at, tried := have.Size(), have; at < to; pages++ {
		a, err := r.ask(ctx, n, Request{Ask: AskRange, From: at, To: to})
		if err != nil {
			return nil, err
		}
		if len(a.Leaves) == 0 || uint64(len(a.Leaves)) > to-at {
			return nil, errors.New("the peer does not give out the leaves that its head covers")
		}
		for _, l := range a.Leaves {
			size += len(l)
		}
		if size > MaxCatch {
			return nil, fmt.Errorf("the peer's leaves are more than %d MB", MaxCatch>>20)
		}
		leaves = append(leaves, a.Leaves...)
		at += uint64(len(a.Leaves))
		if at < to || pages > 0 {
			// Each page is tried before the next is fetched, so that a peer
			// cannot fill this node's memory with leaves that are none.
			if tried, err = register.Replay(tried, a.Leaves); err != nil {
				return nil, err
			}
		}
	}
	return leaves, nil
}

// accept is register.Accept for as many of the leaves as the newest note
// covers, since a long walk over changes of signers takes several steps.
func accept(have *register.State, leaves, notes [][]byte) (*register.State, [][]byte, error) {
	if len(notes) == 0 {
		return nil, leaves, errors.New("accept checkpoint: no note came")
	}
	c, err := register.ParseCheckpoint(notes[len(notes)-1])
	if err != nil {
		return nil, leaves, err
	}
	if c.Size > have.Size() && c.Size-have.Size() < uint64(len(leaves)) {
		leaves = leaves[:c.Size-have.Size()]
	}
	s, err := register.Accept(have, leaves, notes...)
	return s, leaves, err
}

// Serve answers /alliance/register/1. Everything in the register is for every
// member; signing, endorsing and submitting are for the secretariat's nodes.
// The error wraps [ErrPeer].
func (r *Register) Serve(ctx context.Context, from protocol.Node, req []byte) ([]byte, error) {
	q, err := protocol.Decode[Request](req, MaxMessage)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	a, err := r.answer(ctx, from, q)
	if err != nil {
		a = Answer{Fault: fault(err)}
	}
	return protocol.Encode(a), nil
}

func fault(err error) string {
	s := err.Error()
	return strings.ToValidUTF8(s[:min(len(s), maxFault)], "")
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
		if r.was.Size > 0 {
			return Answer{}, r.damaged // others are asked
		}
		return Answer{Size: r.accepted.Size(), Notes: [][]byte{r.note}}, nil
	case AskRange:
		return r.leaves(q.From, min(q.To, s.Size()))
	case AskNotes:
		return r.notes(s, q.From, min(q.To, s.Size()))
	case AskPeers:
		return Answer{Peers: fitting(r.o.Peers())}, nil
	case TellNews:
		switch {
		case q.To <= s.Size():
		case from.Org == r.o.Org && !r.o.Checkpoint.IsZero():
			ctx, cancel := context.WithTimeout(ctx, newsWait)
			defer cancel()
			if err := r.catchUp(ctx, from.ID); err != nil {
				return Answer{}, err
			}
			return Answer{Size: r.State().Size()}, nil
		default:
			r.Follow(from.ID)
		}
		return Answer{}, nil
	}
	if r.o.Checkpoint.IsZero() {
		return Answer{}, ErrNotHere
	}
	switch q.Ask {
	case AskSubmit:
		if err := r.maySubmit(from, q.Op); err != nil {
			return Answer{}, err
		}
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

// fitting is as much of an address list as one answer holds.
func fitting(list []PeerAddrs) []PeerAddrs {
	size := 0
	for i, p := range list {
		size += 64
		for _, a := range p.Addrs {
			size += len(a) + 4
		}
		if i == maxPeers || size > peersBytes {
			return list[:i]
		}
	}
	return list
}

// maySubmit bounds what one organisation can add to everybody's register:
// people sign operations, a few a day. Time moves by the secretariat alone.
func (r *Register) maySubmit(from protocol.Node, op []byte) error {
	if from.Org == r.o.Org {
		return nil
	}
	_, o, err := register.DecodeSignedOp(op)
	if err != nil {
		return err
	}
	if o.Kind() == register.KindTime {
		return ErrNotHere
	}
	r.mu.Lock()
	q := r.submits[from.Org]
	if q == nil {
		q = rate.NewLimiter(rate.Every(submitEvery), submitBurst)
		r.submits[from.Org] = q
	}
	r.mu.Unlock()
	if !q.AllowN(r.o.Now(), 1) {
		return errors.New("this organisation has submitted many operations: nothing was kept; try again in a minute")
	}
	return nil
}

const (
	submitEvery = 30 * time.Second
	submitBurst = 60
)

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
	for _, size := range want[:min(len(want), register.MaxNotes)] {
		b, err := r.o.Disk.Note(size)
		if err != nil {
			return a, err
		}
		a.Notes = append(a.Notes, b)
	}
	return a, nil
}
