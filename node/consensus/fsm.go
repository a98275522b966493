package consensus

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// Tag says which of an organisation's state machines an entry is for.
type Tag uint8

// The tags. The numbers are in the log and never change.
const (
	Register  Tag = 1 // the alliance's register; the secretariat's group only
	Workspace Tag = 2 // the organisation's own workspace
)

func (t Tag) String() string {
	switch t {
	case Register:
		return "register"
	case Workspace:
		return "workspace"
	}
	return fmt.Sprintf("tag %d", uint8(t))
}

// Command is one committed entry for the machine.
type Command struct {
	Index uint64 // in the group's log: rising, with gaps
	Tag   Tag
	Data  []byte // not to be changed or kept by reference
}

// Machine is what the entries act on. All methods but Applied are called from
// one goroutine, and must not call the group; Applied from any.
type Machine interface {
	// Apply acts on a committed entry and returns its outcome, which Propose
	// hands to whoever proposed it, on whichever node. It must give the same
	// on every node: no clock, no chance, no other input. It is durable,
	// together with the index, when Apply returns. A refusal is an outcome
	// and travels in the result. An error says that the entry could not be
	// made durable here: the group stops, and tries again later with the
	// same entry.
	Apply(c Command) (result []byte, err error)
	// Applied is the index of the newest entry that is applied and durable; 0
	// for none. Entries up to it are never applied again.
	Applied() uint64
	// Snapshot captures the state quickly; writing it may take its time
	// while Apply goes on.
	Snapshot() (Snapshot, error)
	// Restore replaces the whole state, Applied included, with that of a
	// snapshot, durably. Only io.EOF proves that r was whole, so it reads to
	// the end before it replaces anything; on an error the old state stands.
	Restore(r io.Reader) error
}

// BatchMachine is a Machine that makes several entries durable at once.
type BatchMachine interface {
	Machine
	// ApplyBatch is Apply for entries in order; a result for each.
	ApplyBatch(c []Command) (results [][]byte, err error)
}

// Snapshot is a captured state.
type Snapshot interface {
	// Persist writes the state, its Applied index included.
	Persist(w io.Writer) error
	// Release is called once, after Persist or instead of it.
	Release()
}

// outcome is what an apply future carries.
type outcome struct {
	result []byte
	err    error
}

var errStopped = errors.New("the machine could not keep an earlier entry")

// fsm hands committed entries to the machine, each exactly once.
type fsm struct {
	machine Machine
	applied *signal     // fires after the machine moved
	fail    func(error) // told the machine's error; nothing is applied after it

	mu      sync.Mutex
	stopped bool
}

func (f *fsm) Apply(l *raft.Log) any { return f.apply([]*raft.Log{l})[0] }

func (f *fsm) apply(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]any, len(logs))
	var todo []Command
	var at []int
	applied := f.machine.Applied()
	for i, l := range logs {
		if l.Type != raft.LogCommand || l.Index <= applied || len(l.Data) == 0 {
			out[i] = outcome{}
			continue
		}
		todo = append(todo, Command{Index: l.Index, Tag: Tag(l.Data[0]), Data: l.Data[1:]})
		at = append(at, i)
	}
	results, err := f.commit(todo)
	for i, j := range at {
		if i < len(results) {
			out[j] = outcome{result: results[i]}
		} else {
			out[j] = outcome{err: err}
		}
	}
	if len(results) > 0 {
		f.applied.fire()
	}
	return out
}

// commit returns the results of the entries that were applied, and why the
// next one was not.
func (f *fsm) commit(todo []Command) (results [][]byte, err error) {
	if f.stopped {
		return nil, errStopped
	}
	if len(todo) == 0 {
		return nil, nil
	}
	defer func() {
		if err != nil {
			f.stopped = true
			f.fail(fmt.Errorf("apply entry: %w", err))
		}
	}()
	if b, ok := f.machine.(BatchMachine); ok && len(todo) > 1 {
		results, err := b.ApplyBatch(todo)
		if err == nil && len(results) != len(todo) {
			err = fmt.Errorf("%d results for %d entries", len(results), len(todo))
		}
		if err != nil {
			return nil, err
		}
		return results, nil
	}
	for _, c := range todo {
		r, err := f.machine.Apply(c)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, errStopped
	}
	s, err := f.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return fsmSnapshot{s}, nil
}

func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.machine.Restore(r); err != nil {
		return fmt.Errorf("restore machine: %w", err)
	}
	// The rest must be read too: only its end proves that it was whole.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("restore machine: %w", err)
	}
	f.applied.fire()
	return nil
}

// batchFSM is the fsm of a BatchMachine.
type batchFSM struct{ *fsm }

func (f batchFSM) ApplyBatch(logs []*raft.Log) []any { return f.apply(logs) }

type fsmSnapshot struct{ s Snapshot }

func (s fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.s.Persist(sink); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s fsmSnapshot) Release() { s.s.Release() }

// signal wakes all who wait for something to change.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

// wait returns a channel that is closed at the next change. Get it before
// looking at what may change.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}
