package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

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
	ErrDamaged = errors.New("the register on this disk is damaged: this node signs and endorses nothing; records are kept; replace the node, or, on a member's node, fetch the register anew")
)

// Register is this node's copy. New builds it, Run runs it.
type Register struct {
	o Options

	mu       sync.Mutex
	accepted *register.State // at the newest accepted checkpoint; nil before genesis
	note     []byte          // its note
	tip      *register.State // secretariat: validated and durable, perhaps not accepted yet
	signed   signedMark
	damaged  error
	upgrade  error // the register needs a newer program from here on
	applied  uint64
	moved    chan struct{} // closed and renewed when tip or accepted moves
	group    Group

	follow chan protocol.NodeID
	gather chan struct{}
	events chan *register.State
}

// signedMark is the newest size and root that this signer put its name to.
type signedMark struct {
	Size uint64      `cbor:"1,keyasint"`
	Root crypto.Hash `cbor:"2,keyasint"`
}

const (
	markSigned  = "signed"
	markApplied = "applied"
)

// New reads the register from disk, applies every leaf again, and compares the
// root with the accepted checkpoint.
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
	r := &Register{o: o, moved: make(chan struct{}), follow: make(chan protocol.NodeID, 64), gather: make(chan struct{}, 1), events: make(chan *register.State, 1)}
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
	if n == 0 {
		return nil
	}
	size, err := d.Accepted()
	if err != nil {
		return err
	}
	leaves, err := d.Leaves(0, n)
	if err != nil {
		return err
	}
	if size == 0 || size > n {
		return fmt.Errorf("%w: no accepted checkpoint for it", ErrDamaged)
	}
	if r.note, err = d.Note(size); err != nil {
		return err
	}
	c, err := register.ParseCheckpoint(r.note)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if c.Network != r.o.Pinned {
		return fmt.Errorf("it is of network %s, and this node was set up for %s", c.Network.Short(), r.o.Pinned.Short())
	}
	s, err := register.Load(leaves[:size], [32]byte(c.Root))
	if err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if _, err := register.VerifyCheckpoint(s, r.note); err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	r.accepted, r.tip = s, s
	if r.tip, err = register.Replay(s, leaves[size:]); err != nil {
		r.tip, r.damaged = s, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if b, err := d.Mark(markApplied); err != nil {
		return err
	} else if b != nil {
		if r.applied, err = protocol.Decode[uint64](b, 16); err != nil {
			return fmt.Errorf("%w: %v", ErrDamaged, err)
		}
	}
	b, err := d.Mark(markSigned)
	if err != nil {
		return err
	}
	if b != nil {
		if r.signed, err = protocol.Decode[signedMark](b, 64); err != nil {
			return fmt.Errorf("%w: %v", ErrDamaged, err)
		}
		if root, ok := r.tip.RootAt(r.signed.Size); ok && root != r.signed.Root {
			r.damaged = fmt.Errorf("%w: it differs from what this node signed", ErrDamaged)
		}
	}
	return nil
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
	if r.damaged != nil {
		return r.damaged
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
	if s, err = register.Accept(s, leaves[1:], notes...); err != nil {
		return fmt.Errorf("enter register: %w", err)
	}
	return r.store(s, 0, leaves, notes)
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
	if r.tip == nil || s.Size() > r.tip.Size() {
		r.tip = s
	}
	r.stir()
	now := r.accepted
	r.mu.Unlock()
	r.tell(now)
	return nil
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
	for {
		r.mu.Lock()
		done, moved := r.accepted != nil && r.accepted.Size() >= size, r.moved
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
