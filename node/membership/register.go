package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Disk is what membership asks of the store.
type Disk interface {
	LeafCount() (uint64, error)
	Leaves(from, to uint64) ([][]byte, error) // from included, to excluded
	Accepted() (uint64, error)                // size of the newest accepted checkpoint; 0: none
	Note(size uint64) ([]byte, error)         // nil where none is kept
	NoteSizes(from, to uint64) ([]uint64, error)
	Mark(name string) ([]byte, error) // nil where never set
	Marks(prefix string) (map[string][]byte, error)
	Enqueue(Change) <-chan error
}

// Change is one atomic change of the disk.
type Change struct {
	First  uint64 // index of the first of Leaves
	Leaves [][]byte
	Notes  map[uint64][]byte
	Accept uint64 // 0: unchanged
	Marks  map[string][]byte
}

// Network is what membership asks of the transport.
type Network interface {
	Call(ctx context.Context, to protocol.NodeID, proto string, req []byte) ([]byte, error)
	Connected() []protocol.Node
}

// Group is the secretariat's Raft group.
type Group interface {
	Propose(ctx context.Context, data []byte) ([]byte, error)
	ProposeOwn(ctx context.Context, data []byte) ([]byte, error) // of the workspace
	Leads() bool
}

// Options of a register.
type Options struct {
	Pinned protocol.NetworkID
	Org    protocol.OrgID
	Node   protocol.NodeID
	Author crypto.PrivateKey
	// Checkpoint is a secretariat node's checkpoint key; zero elsewhere.
	Checkpoint crypto.PrivateKey
	Disk       Disk
	Net        Network
	Now        func() time.Time
	Log        *slog.Logger
	// OnChange is told, from one goroutine, whenever a newer checkpoint was
	// accepted.
	OnChange func(*register.State)
	// PollEvery is how often a connected peer is asked for its head.
	PollEvery time.Duration
	// Peers tells where nodes can be reached, as far as this one knows.
	Peers func() []PeerAddrs
}

var (
	// ErrNotHere: only a secretariat node does this.
	ErrNotHere = errors.New("only a node of the secretariat does this")
	// ErrDamaged: leaves on this disk are not those that were accepted.
	ErrDamaged = errors.New("the register on this disk is damaged: this node signs and endorses nothing; records are kept and served, and the register is fetched anew from peers")
	// ErrMended: it was damaged, and is whole again.
	ErrMended = errors.New("the register on this disk was damaged and has been fetched anew: look at the disk, and restart this node of the secretariat, before it signs again")
	// ErrSplit: the secretariat's signers signed two histories.
	ErrSplit = errors.New("the secretariat's signers signed two different registers: this node keeps the one that it accepted first, and the other's note as proof; records go on; tell the alliance's officers")
)

// Register is this node's copy. New builds it, Run runs it.
type Register struct {
	o Options

	mu       sync.Mutex
	accepted *register.State // at the newest accepted checkpoint; nil before genesis
	note     []byte          // its note
	tip      *register.State // secretariat: validated and durable, perhaps not accepted yet
	tipAt    time.Time       // since when
	signed   signedMark
	was      signedMark // while accepted is less than what was accepted before damage: that
	damaged  error
	upgrade  error  // the register needs a newer program from here on
	split    error  // another history was signed
	told     uint64 // the secretariat's other nodes have accepted as much, or were waited for
	applied  uint64
	moved    chan struct{} // closed and renewed when tip, accepted or told moves
	group    Group

	followed followSet
	submits  map[protocol.OrgID]*rate.Limiter // of other organisations' operations
	gather   chan struct{}
	events   chan *register.State
}

// signedMark is the newest size and root that this signer put its name to.
type signedMark struct {
	Size uint64      `cbor:"1,keyasint"`
	Root crypto.Hash `cbor:"2,keyasint"`
}

const (
	markSigned  = "signed"
	markApplied = "applied"
	markSplit   = "split"
)

// New reads the register from disk, applies every leaf again, and compares the
// root with the accepted checkpoint. Where that shows damage, it opens with
// what is good of it and says so by [Register.Fault]: records are served, peers
// are asked for the register, and nothing is signed.
func New(o Options) (*Register, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PollEvery == 0 {
		o.PollEvery = 30 * time.Second
	}
	if o.OnChange == nil {
		o.OnChange = func(*register.State) {}
	}
	if o.Peers == nil {
		o.Peers = func() []PeerAddrs { return nil }
	}
	r := &Register{o: o, moved: make(chan struct{}), followed: newFollowSet(), submits: map[protocol.OrgID]*rate.Limiter{}, gather: make(chan struct{}, 1), events: make(chan *register.State, 1)}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("open register: %w", err)
	}
	return r, nil
}

func (r *Register) load() error {
	d := r.o.Disk
	n, err := d.LeafCount()
	if err != nil {
		return err
	}
	size, err := d.Accepted()
	if err != nil {
		return err
	}
	if n == 0 || size == 0 {
		return nil // nothing was entered, or not to its end
	}
	leaves, lost := r.readLeaves(n)
	if len(leaves) == 0 {
		return fmt.Errorf("%w, its first leaf too: replace this node: %v", ErrDamaged, lost)
	}
	s, err := register.Begin(r.o.Pinned, leaves[0])
	if err != nil {
		return err
	}
	good, fault := prefix(s, leaves[1:min(uint64(len(leaves)), size)])
	note, err := d.Note(size)
	if err == nil && fault == nil && good.Size() == size {
		var c register.Checkpoint
		if c, err = register.VerifyCheckpoint(good, note); err == nil && c.Size != size {
			err = fmt.Errorf("the note kept for size %d is of size %d", size, c.Size)
		}
	}
	if err == nil && good.Size() == size {
		r.accepted, r.note = good, note
	} else {
		r.was = signedMark{Size: size}
		if c, err := register.ParseCheckpoint(note); err == nil && c.Size == size {
			r.was.Root = c.Root
		}
		r.damaged = fmt.Errorf("%w: leaf %d of %d, %v", ErrDamaged, good.Size(), size, errors.Join(lost, fault, err))
		if r.accepted, err = r.trusted(s, good, leaves); err != nil {
			return err
		}
	}
	r.tip = r.accepted
	if err := r.loadMarks(); err != nil {
		return err
	}
	if r.damaged != nil || r.o.Checkpoint.IsZero() {
		return nil
	}
	// A secretariat node's leaves may go beyond what is accepted. Where they
	// are damaged, Raft's log has them, and is applied again.
	tip, fault := prefix(good, leaves[min(uint64(len(leaves)), size):])
	if fault != nil || tip.Size() < n {
		r.o.Log.Error("leaves that are not accepted yet are damaged; they are applied again from the log", "from", tip.Size(), "of", n)
		r.applied = 0
	}
	r.tip = tip
	if root, ok := tip.RootAt(r.signed.Size); ok && root != r.signed.Root {
		r.damaged = fmt.Errorf("%w: it differs from what this node signed", ErrDamaged)
	}
	return nil
}

// readLeaves reads as many leaves as can be read, from the first on.
func (r *Register) readLeaves(n uint64) (leaves [][]byte, err error) {
	for at := uint64(0); at < n; {
		page, err := r.o.Disk.Leaves(at, min(n, at+rangeLeaves))
		leaves = append(leaves, page...)
		if at += uint64(len(page)); err != nil || len(page) == 0 {
			return leaves, err
		}
	}
	return leaves, nil
}

// prefix applies as many leaves as can be applied.
func prefix(s *register.State, leaves [][]byte) (*register.State, error) {
	for _, l := range leaves {
		next, err := register.Apply(s, l)
		if err != nil {
			return s, err
		}
		s = next
	}
	return s, nil
}

// trusted is how far a damaged register may be used until it is fetched anew:
// as far as it applies, but where a kept note shows that it was changed before,
// no further than the newest note that still stands.
func (r *Register) trusted(first, s *register.State, leaves [][]byte) (*register.State, error) {
	sizes, err := r.o.Disk.NoteSizes(0, s.Size())
	if err != nil {
		return first, nil
	}
	slices.Sort(sizes)
	stands := uint64(1)
	for _, size := range sizes {
		note, err := r.o.Disk.Note(size)
		if err != nil {
			continue
		}
		if c, err := register.VerifyCheckpoint(s, note); err != nil || c.Size != size {
			return register.Replay(first, leaves[1:stands])
		}
		stands = size
	}
	if s.Size() == r.was.Size { // the note at its end is the one that does not stand
		return register.Replay(first, leaves[1:stands])
	}
	return s, nil
}

func (r *Register) loadMarks() error {
	b, err := r.o.Disk.Mark(markApplied)
	if err == nil && b != nil {
		r.applied, err = protocol.Decode[uint64](b, 16)
	}
	if err != nil { // Raft's log is applied again from its beginning
		r.o.Log.Error("the number of the newest applied entry is lost", "err", err)
		r.applied = 0
	}
	b, err = r.o.Disk.Mark(markSigned)
	if err == nil && b != nil {
		r.signed, err = protocol.Decode[signedMark](b, 64)
	}
	if err != nil {
		r.damaged = fmt.Errorf("%w: what this node signed last is lost, so it must be replaced: %v", ErrDamaged, err)
	}
	if b, err := r.o.Disk.Mark(markSplit); err == nil && b != nil {
		r.split = ErrSplit
	}
	return nil
}

// damage notes that this copy is not the one that others have.
func (r *Register) damage(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damaged == nil {
		r.o.Log.Error("the register is damaged", "err", err)
		r.damaged = err
	}
}

// mended notes that a damaged register was fetched anew. A member's node goes
// on; one of the secretariat signs again after a person restarted it.
func (r *Register) mended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.o.Log.Info("the register was fetched anew")
	r.was = signedMark{}
	if r.damaged = nil; !r.o.Checkpoint.IsZero() {
		r.damaged = fmt.Errorf("%w (%w)", ErrMended, ErrDamaged)
	}
}

// genesis is the register's beginning, which is pinned.
func (r *Register) genesis() (*register.State, error) {
	l, err := r.o.Disk.Leaves(0, 1)
	if err != nil {
		return nil, err
	}
	return register.Begin(r.o.Pinned, l[0])
}

// State is the register at the newest accepted checkpoint, nil before any.
func (r *Register) State() *register.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// Tip is, on a secretariat node, what is validated and durable here; elsewhere
// State.
func (r *Register) Tip() *register.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tip
}

// Note is the newest accepted checkpoint as it was signed.
func (r *Register) Note() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.note
}

// Fault is why this copy of the register stands still or signs nothing; nil
// where all is well.
func (r *Register) Fault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.damaged != nil:
		return r.damaged
	case r.split != nil:
		return r.split
	}
	return r.upgrade
}

// SetGroup gives a secretariat node its Raft group, before Run.
func (r *Register) SetGroup(g Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.group = g
}

// Begin writes a new alliance's genesis leaf and this node's own checkpoint
// over it: the first node of the secretariat is the first signer.
func (r *Register) Begin(genesis []byte) error {
	s, err := register.Begin(r.o.Pinned, genesis)
	if err != nil {
		return err
	}
	note, err := s.SignCheckpoint(1, r.o.Node, r.o.Checkpoint)
	if err != nil {
		return err
	}
	return r.store(s, 0, [][]byte{genesis}, [][]byte{note})
}

// Enter takes the register that enrolment handed out: leaves from genesis on
// and the notes that lead to it.
func (r *Register) Enter(leaves, notes [][]byte) error {
	if len(leaves) == 0 {
		return errors.New("enter register: no leaves came")
	}
	s, err := register.Begin(r.o.Pinned, leaves[0])
	if err != nil {
		return err
	}
	s, rest, err := accept(s, leaves[1:], notes)
	if err != nil {
		return fmt.Errorf("enter register: %w", err)
	}
	return r.store(s, 0, leaves[:1+len(rest)], notes)
}

// store makes leaves and notes durable and then shows the new state.
func (r *Register) store(s *register.State, first uint64, leaves, notes [][]byte) error {
	change := Change{First: first, Leaves: leaves, Notes: map[uint64][]byte{}, Accept: s.Size()}
	for _, n := range notes {
		c, err := register.ParseCheckpoint(n)
		if err != nil {
			return err
		}
		change.Notes[c.Size] = n
	}
	if err := <-r.o.Disk.Enqueue(change); err != nil {
		return fmt.Errorf("keep register: %w", err)
	}
	r.mu.Lock()
	if r.accepted == nil || s.Size() > r.accepted.Size() {
		r.accepted, r.note = s, notes[len(notes)-1]
	}
	r.advance(s)
	now := r.accepted
	r.mu.Unlock()
	r.tell(now)
	return nil
}

// advance moves the tip, if it is further. Called with mu held.
func (r *Register) advance(s *register.State) {
	if r.tip == nil || s.Size() > r.tip.Size() {
		r.tip, r.tipAt = s, r.o.Now()
	}
	r.stir()
}

// spread notes up to which size the secretariat's other nodes have accepted,
// or were waited for.
func (r *Register) spread(size uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = max(r.told, size)
	r.stir()
}

// stir wakes whoever waits for the register to move. Called with mu held.
func (r *Register) stir() {
	close(r.moved)
	r.moved = make(chan struct{})
}

// tell hands the newest state to the one goroutine that calls OnChange.
func (r *Register) tell(s *register.State) {
	for {
		select {
		case r.events <- s:
			return
		case <-r.events:
		}
	}
}

// Wait returns once the accepted register has reached a size.
func (r *Register) Wait(ctx context.Context, size uint64) error {
	return r.until(ctx, func() bool { return r.accepted != nil && r.accepted.Size() >= size })
}

// until returns once a condition holds, which is asked with mu held.
func (r *Register) until(ctx context.Context, holds func() bool) error {
	for {
		r.mu.Lock()
		done, moved := holds(), r.moved
		r.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
