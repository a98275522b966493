package store

import (
	"errors"
	"fmt"

	"github.com/national-alliance/alliance/protocol"
)

var (
	// ErrAbsent: it never was here, and the counts agree.
	ErrAbsent = errors.New("not in the store")
	// ErrLost: it was stored, and is damaged or gone. A peer's copy can be put
	// back.
	ErrLost = errors.New("stored once, and now damaged or gone")
	// ErrFull: the disk has too little room. Nothing was lost, reading goes on,
	// and writing resumes when there is room again.
	ErrFull = errors.New("the disk is full")
	// ErrReadOnly: the disk may not be written. As with ErrFull.
	ErrReadOnly = errors.New("the disk may only be read")
	// ErrUncertain: the disk failed while writing. The batch may or may not be
	// there after the store has opened its files again.
	ErrUncertain = errors.New("the disk failed while writing; it is not certain that this was kept")
	// ErrDisk: the disk failed before, and the store has not been able to open
	// its files again. This was not written; it tries again every second.
	ErrDisk = errors.New("the disk failed; this was not written, and the store tries again every second")
	// ErrInUse: another process has the store open.
	ErrInUse = errors.New("the store is open in another process, most likely the running node: stop that one first")
	// ErrKey: the store key is not the one that the store was made with.
	ErrKey = errors.New("the store key does not fit this store, or its key file is damaged; nothing was changed")
	// ErrNetwork: the store belongs to another alliance.
	ErrNetwork = errors.New("the store belongs to another network")
	// ErrNotOpened: the system did not let the files be opened or read.
	ErrNotOpened = errors.New("the store's files could not be opened; nothing was changed; see to the disk and to who may read and write there, then start again")
	// ErrUnusable: the files are damaged so much that they do not open. The
	// node must be replaced, not restored; nothing was changed.
	ErrUnusable = errors.New("the store's files are damaged and do not open; nothing was changed; enrol a replacement node")
	// ErrClosed: the store is closed, or closing.
	ErrClosed = errors.New("the store is closed")
	// ErrConflict: a batch contradicts what is stored.
	ErrConflict = errors.New("contradicts what is stored")
)

// Damage is what was found missing when the store was opened. A node with
// damage is like one restored from an old disk: it must do the head check with
// its peers before it writes a record of its own.
type Damage struct {
	// Commits is how many of the newest commits are gone.
	Commits uint64
	// Journal is how many commits stood damaged in the journal, with others
	// behind them. The database may have them all the same.
	Journal uint64
	// Counter: the file that holds the newest commit's number is missing or
	// damaged, so lost commits would not show.
	Counter bool
	// Kinds names the kinds of rows whose count or sum is wrong: "feeds",
	// "receipts", "forks", "notes", "outbox", "values", "owed sections",
	// "totals".
	Kinds []string
	// Heads are the feeds whose newest record is lost; it is in Wants.
	Heads []protocol.FeedID
}

// Any reports whether anything is damaged.
func (d Damage) Any() bool {
	return d.Commits > 0 || d.Journal > 0 || d.Counter || len(d.Kinds) > 0 || len(d.Heads) > 0
}

func (d Damage) String() string {
	if !d.Any() {
		return "no damage found"
	}
	s := "damage found in the store:"
	if d.Commits > 0 {
		s += fmt.Sprintf(" the newest %d commits are gone;", d.Commits)
	}
	if d.Journal > 0 {
		s += fmt.Sprintf(" %d commits in the journal are damaged;", d.Journal)
	}
	if d.Counter {
		s += " the commit counter is missing or damaged;"
	}
	for _, k := range d.Kinds {
		s += " " + k + " are missing or old;"
	}
	if len(d.Heads) > 0 {
		s += fmt.Sprintf(" the newest record of %d feeds is damaged;", len(d.Heads))
	}
	return s + " the rest was kept, and peers are asked for what is missing"
}
