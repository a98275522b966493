package membership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// submitTries bounds how often an operation is proposed again because another
// leaf came in between.
const submitTries = 8

// newsWait is how long the secretariat's other nodes are waited for once a
// checkpoint is accepted here.
const newsWait = 3 * time.Second

// Submit puts a signed operation into the register and returns the size at
// which it is in, once a checkpoint covers it. On a member's node it asks a
// connected node of the secretariat. An error says that it is not in, or, where
// ctx ended, that it may be: submitting it again is harmless, since an
// operation's version fits only once.
func (r *Register) Submit(ctx context.Context, signedOp []byte) (uint64, error) {
	so, op, err := register.DecodeSignedOp(signedOp)
	if err != nil {
		return 0, err
	}
	if r.o.Checkpoint.IsZero() {
		return r.submitAway(ctx, signedOp)
	}
	var last error
	for range submitTries {
		size, retry, err := r.propose(ctx, so, op)
		if err == nil {
			r.wakeGather()
			if err := r.Wait(ctx, size); err != nil {
				return 0, fmt.Errorf("submit %s: it is in the register at size %d, and the secretariat's signatures over it are still gathered: %w", op.Kind(), size, err)
			}
			// This node may be lost the moment after: its colleagues have the
			// checkpoint by then.
			short, cancel := context.WithTimeout(ctx, newsWait)
			defer cancel()
			r.until(short, func() bool { return r.told >= size })
			return size, nil
		}
		if !retry || ctx.Err() != nil {
			return 0, fmt.Errorf("submit %s: %w", op.Kind(), err)
		}
		last = err
		if !pause(ctx, 200*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
	return 0, fmt.Errorf("submit %s: tried %d times: %w", op.Kind(), submitTries, last)
}

func (r *Register) submitAway(ctx context.Context, signedOp []byte) (uint64, error) {
	s := r.State()
	if s == nil {
		return 0, errors.New("this node has no register yet")
	}
	err := errors.New("no node of the secretariat is connected: try again when one is")
	for _, n := range r.o.Net.Connected() {
		if n.Org != s.Secretariat() {
			continue
		}
		var a Answer
		if a, err = r.ask(ctx, n.ID, Request{Ask: AskSubmit, Op: signedOp}); err == nil {
			r.Follow(n.ID)
			return a.Size, r.Wait(ctx, a.Size)
		}
	}
	return 0, err
}

// outcome is what the machine made of a proposed entry.
type outcome struct {
	Size  uint64 `cbor:"1,keyasint,omitempty"` // of the register with the leaf in it
	Moved bool   `cbor:"2,keyasint,omitempty"` // another leaf came first
	Fault string `cbor:"3,keyasint,omitempty"`
}

// propose makes a leaf of an operation, has it endorsed, and puts it through
// Raft. An operation that is in the register already, as after a try whose
// answer was lost, is done.
func (r *Register) propose(ctx context.Context, so register.SignedOp, op *register.Op) (size uint64, retry bool, err error) {
	if err := r.Fault(); err != nil {
		return 0, false, err
	}
	r.mu.Lock()
	tip, group := r.tip, r.group
	r.mu.Unlock()
	if group == nil {
		return 0, false, ErrNotHere
	}
	if tip.Version(op.Subject) >= op.Next {
		if size, err := r.find(tip, so, op); err != nil || size > 0 {
			return size, false, err
		}
	}
	now := r.o.Now()
	leaf, _, err := tip.Propose(max(now.Unix(), tip.Time()), so)
	if err != nil && now.Unix() >= op.Expiry && tip.Time() < op.Expiry {
		return 0, false, fmt.Errorf("%w (by this node's clock it is %s: is that right?)", err, now.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return 0, false, err
	}
	e := register.Entry{Leaf: leaf, PrevRoot: tip.Root()}
	if e.Endorsements, err = r.endorsements(ctx, tip, leaf); err != nil {
		return 0, true, err
	}
	b, err := group.Propose(ctx, e.Encode())
	if err != nil {
		return 0, true, err
	}
	o, err := protocol.Decode[outcome](b, MaxMessage)
	switch {
	case err != nil:
		return 0, false, err
	case o.Moved:
		return 0, true, errors.New("another operation came first")
	case o.Fault != "":
		return 0, false, errors.New(o.Fault)
	}
	return o.Size, false, nil
}

// find looks for an operation among the leaves since the one it was drafted on.
func (r *Register) find(tip *register.State, so register.SignedOp, op *register.Op) (uint64, error) {
	for at := op.BaseSize; at < tip.Size(); {
		leaves, err := r.o.Disk.Leaves(at, min(tip.Size(), at+rangeLeaves))
		if err != nil || len(leaves) == 0 {
			return 0, err
		}
		for i, b := range leaves {
			if l, err := register.DecodeLeaf(b); err == nil && bytes.Equal(l.Op, so.Op) {
				return at + uint64(i) + 1, nil
			}
		}
		at += uint64(len(leaves))
	}
	return 0, nil
}

// endorsements asks every signer at once and returns as soon as a majority has
// endorsed.
func (r *Register) endorsements(ctx context.Context, tip *register.State, leaf []byte) ([]register.Endorsement, error) {
	signers, _ := tip.Signers(tip.Size())
	need := tip.EndorsementQuorum()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	type reply struct {
		e   register.Endorsement
		err error
	}
	ch := make(chan reply, len(signers))
	for _, n := range signers {
		go func() {
			if n.ID == r.o.Node {
				e, err := r.endorse(ctx, leaf, tip.Root())
				ch <- reply{e, err}
				return
			}
			a, err := r.ask(ctx, n.ID, Request{Ask: AskEndorse, Leaf: leaf, Root: tip.Root()})
			if err == nil && (a.Endorsement == nil || a.Endorsement.Node != n.ID) {
				err = errors.New("the answer holds no endorsement")
			}
			if err == nil {
				err = tip.CheckEndorsement(leaf, *a.Endorsement)
			}
			if err != nil {
				ch <- reply{err: err}
				return
			}
			ch <- reply{e: *a.Endorsement}
		}()
	}
	var out []register.Endorsement
	var last error
	for range signers {
		x := <-ch
		if x.err != nil {
			last = x.err
			continue
		}
		if out = append(out, x.e); len(out) == need {
			slices.SortFunc(out, func(a, b register.Endorsement) int { return a.Node.Compare(b.Node) })
			return out, nil
		}
	}
	return nil, fmt.Errorf("%d of the %d signers needed have endorsed it; the last fault: %w", len(out), need, last)
}

// endorse signs for a leaf on our own tip, waiting a moment where ours is
// behind.
func (r *Register) endorse(ctx context.Context, leaf []byte, prev crypto.Hash) (register.Endorsement, error) {
	if err := r.Fault(); err != nil {
		return register.Endorsement{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for {
		r.mu.Lock()
		tip, moved, behind := r.tip, r.moved, r.tip.Size() < r.signed.Size
		r.mu.Unlock()
		e, err := register.Endorsement{}, fmt.Errorf("this signer has not applied again what it signed: %w", register.ErrRoot)
		if !behind {
			if err := timely(tip, leaf); err != nil {
				return register.Endorsement{}, err
			}
			e, err = tip.Endorse(r.o.Node, r.o.Author, leaf, prev, r.o.Now().Unix())
		}
		if !errors.Is(err, register.ErrRoot) {
			return e, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return e, err
		}
	}
}

// Apply is the state machine of the register: it applies an entry to the tip
// and makes it durable with its index. Every node of the secretariat comes to
// the same.
func (r *Register) Apply(index uint64, data []byte) ([]byte, error) {
	r.mu.Lock()
	tip, damaged := r.tip, r.damaged
	r.mu.Unlock()
	if damaged != nil {
		return nil, damaged
	}
	var o outcome
	change := Change{Marks: map[string][]byte{markApplied: protocol.Encode(index)}}
	next := tip
	e, err := register.DecodeEntry(data)
	if err == nil {
		next, err = register.ApplyEntry(tip, e)
	}
	switch {
	case errors.Is(err, register.ErrUpgrade):
		r.mu.Lock()
		r.upgrade = err
		r.mu.Unlock()
		return nil, err
	case errors.Is(err, register.ErrRoot):
		next = tip
		if o.Size = r.inAlready(tip, e); o.Size == 0 {
			o.Moved = true
		}
	case err != nil:
		next, o.Fault = tip, fault(err)
	default:
		o.Size = next.Size()
		change.First, change.Leaves = tip.Size(), [][]byte{e.Leaf}
	}
	if err := <-r.o.Disk.Enqueue(change); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.applied = index
	r.advance(next)
	r.mu.Unlock()
	return protocol.Encode(o), nil
}

// inAlready: a node that followed an accepted checkpoint may have the leaf
// before Raft brings it.
func (r *Register) inAlready(tip *register.State, e register.Entry) uint64 {
	for size := tip.Size() - 1; size > 0 && size+64 > tip.Size(); size-- {
		if root, _ := tip.RootAt(size); root == e.PrevRoot {
			if l, err := r.o.Disk.Leaves(size, size+1); err == nil && len(l) == 1 && string(l[0]) == string(e.Leaf) {
				return size + 1
			}
		}
	}
	return 0
}

// Applied is the index of the newest applied entry.
func (r *Register) Applied() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

// cosign signs a checkpoint at a size that is durable here. Its own mark of
// what it signed is durable before the signature leaves.
func (r *Register) cosign(ctx context.Context, size uint64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for {
		r.mu.Lock()
		if fault := errors.Join(r.damaged, r.split); fault != nil {
			r.mu.Unlock()
			return nil, fault
		}
		if r.tip.Size() >= size && r.tip.Size() >= r.signed.Size {
			break // with mu held: one signature at a time
		}
		moved := r.moved
		r.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("this signer has not applied %d leaves yet", size)
		}
	}
	defer r.mu.Unlock()
	if root, _ := r.tip.RootAt(r.signed.Size); r.signed.Size > 0 && root != r.signed.Root {
		r.damaged = fmt.Errorf("%w: it differs from what this node signed", ErrDamaged)
		return nil, r.damaged
	}
	if size > r.signed.Size {
		root, _ := r.tip.RootAt(size)
		m := signedMark{size, root}
		if err := <-r.o.Disk.Enqueue(Change{Marks: map[string][]byte{markSigned: protocol.Encode(m)}}); err != nil {
			return nil, err
		}
		r.signed = m
	}
	return r.tip.SignCheckpoint(size, r.o.Node, r.o.Checkpoint)
}

func (r *Register) wakeGather() {
	select {
	case r.gather <- struct{}{}:
	default:
	}
}

// gatherLoop turns the tip into an accepted checkpoint: at once after an own
// proposal, and a little later for what another node left undone.
func (r *Register) gatherLoop(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		late := false
		select {
		case <-ctx.Done():
			return nil
		case <-r.gather:
		case <-t.C:
			late = true
		}
		r.mu.Lock()
		tip, accepted, since := r.tip, r.accepted, r.tipAt
		r.mu.Unlock()
		if tip == nil || tip.Size() <= accepted.Size() || late && r.o.Now().Sub(since) < 2*time.Second {
			continue
		}
		// Each change of signers needs a note of its own, signed by old and new.
		sizes := append(tip.Changes(accepted.Size(), tip.Size()), tip.Size())
		for _, size := range slices.Compact(sizes) {
			if err := r.checkpoint(ctx, tip, size); err != nil {
				r.o.Log.Info("checkpoint not signed by enough yet", "size", size, "err", err)
				break
			}
		}
	}
}

// checkpoint gathers the signers' notes at a size until enough stand, accepts
// the checkpoint, and spreads the news.
func (r *Register) checkpoint(ctx context.Context, tip *register.State, size uint64) error {
	accepted := r.State()
	if size <= accepted.Size() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	asked := map[protocol.NodeID]bool{}
	for _, at := range []uint64{accepted.Size(), size} {
		nodes, _ := tip.Signers(at)
		for _, n := range nodes {
			asked[n.ID] = true
		}
	}
	leaves, err := r.o.Disk.Leaves(accepted.Size(), size)
	if err != nil {
		return err
	}
	want, _ := tip.Checkpoint(size)
	type reply struct {
		note []byte
		err  error
	}
	replies := make(chan reply, len(asked))
	for id := range asked {
		go func() {
			n, err := r.noteOf(ctx, id, size)
			if err == nil {
				// One that is of something else must not spoil the merge.
				var c register.Checkpoint
				if c, err = register.ParseCheckpoint(n); err == nil && c != want {
					err = errors.New("its note is of another checkpoint")
				}
			}
			if err == nil {
				n, err = tip.MergeNotes(n)
			}
			replies <- reply{n, err}
		}()
	}
	var notes [][]byte
	var last error
	for range asked {
		x := <-replies
		if x.err != nil {
			last = x.err
			continue
		}
		notes = append(notes, x.note)
		merged, err := tip.MergeNotes(notes...)
		if err != nil {
			last = err
			continue
		}
		s, err := register.Accept(accepted, leaves, merged)
		if err != nil {
			last = err
			continue
		}
		if err := r.store(s, accepted.Size(), nil, [][]byte{merged}); err != nil {
			return err
		}
		r.news(ctx, size)
		return nil
	}
	return last
}

// noteOf asks a signer, or this node itself, for its note.
func (r *Register) noteOf(ctx context.Context, id protocol.NodeID, size uint64) ([]byte, error) {
	if id == r.o.Node {
		return r.cosign(ctx, size)
	}
	a, err := r.ask(ctx, id, Request{Ask: AskCosign, To: size})
	if err == nil && len(a.Notes) != 1 {
		err = errors.New("the answer holds no note")
	}
	if err != nil {
		return nil, err
	}
	return a.Notes[0], nil
}

// news tells connected nodes that there is a newer checkpoint, and waits a
// moment until those of the secretariat have accepted it too: if this node is
// lost then, the note that leads there is not lost with it.
func (r *Register) news(ctx context.Context, size uint64) {
	q := protocol.Encode(Request{Ask: TellNews, To: size})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), newsWait+time.Second)
	var all, colleagues sync.WaitGroup
	for _, n := range r.o.Net.Connected() {
		tell := func() { r.o.Net.Call(ctx, n.ID, ProtoRegister, q) }
		if n.Org == r.o.Org {
			colleagues.Go(tell)
		} else {
			all.Go(tell)
		}
	}
	told := make(chan struct{})
	go func() {
		colleagues.Wait()
		close(told)
		all.Wait()
		cancel()
	}()
	wait := time.NewTimer(newsWait)
	defer wait.Stop()
	select {
	case <-told:
	case <-wait.C:
	}
	r.spread(size)
}

// timely refuses a leaf that only moves time soon after another leaf: nobody
// signs it, so nothing else bounds how many there are.
func timely(tip *register.State, leaf []byte) error {
	l, err := register.DecodeLeaf(leaf)
	if err != nil {
		return err
	}
	op, err := register.DecodeOp(l.Op)
	if err != nil {
		return err
	}
	if gap := l.Time - tip.Time(); op.Kind() == register.KindTime && gap < register.MinTimeGap {
		return fmt.Errorf("endorse time: the newest leaf is %d seconds old, and time moves by itself only after %d", gap, register.MinTimeGap)
	}
	return nil
}

// jumpDays is how far time moves with nobody looking.
const jumpDays = 14

// timeLoop moves leaf time once a day when nothing else does.
func (r *Register) timeLoop(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		r.mu.Lock()
		tip, group := r.tip, r.group
		r.mu.Unlock()
		now := r.o.Now().Unix()
		if tip == nil || group == nil || !group.Leads() || now-tip.Time() < 24*3600 {
			continue
		}
		if now-tip.Time() > jumpDays*86400 {
			r.o.Log.Error("this clock is far ahead of the register: time is not moved by itself; look at the clock, and if it is right, submit an operation of kind time", "days", (now-tip.Time())/86400)
			continue
		}
		op, err := tip.Draft(register.OfTime(), register.Time{}, now+3600)
		if err == nil {
			_, err = r.Submit(ctx, register.SignedOp{Op: op.Encode()}.Encode())
		}
		if err != nil {
			r.o.Log.Info("daily time not entered", "err", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
