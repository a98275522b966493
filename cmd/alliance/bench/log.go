package bench

import (
	"fmt"
	"os"
	"sync"
)

// groupLog is the baseline's file: preallocated, written from the front, with
// one write and one fdatasync for whatever waits. There is no committing
// goroutine to wake: whoever starts a group commits it, and the next group
// gathers meanwhile.
type groupLog struct {
	f *os.File

	mu   sync.Mutex
	off  int64
	next *group
}

// group is what becomes durable by one fdatasync.
type group struct {
	records []byte // sent on as they stand, once durable
	other   []byte
	acked   uint64 // of the receipts in it, the most
	before  *group
	synced  chan struct{}
	sent    chan struct{}
	err     error
}

func newGroup(before *group) *group {
	return &group{before: before, synced: make(chan struct{}), sent: make(chan struct{})}
}

// newGroupLog makes a file of size bytes, all of them written once, so that no
// fdatasync has to tell the file system about new blocks.
func newGroupLog(path string, size int64) (*groupLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make baseline file: %w", err)
	}
	zeros := make([]byte, 1<<20)
	for n := int64(0); n < size; n += int64(len(zeros)) {
		if _, err := f.Write(zeros); err != nil {
			f.Close()
			return nil, fmt.Errorf("make baseline file: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return nil, fmt.Errorf("make baseline file: %w", err)
	}
	return &groupLog{f: f, next: newGroup(nil)}, nil
}

func (l *groupLog) close() error { return l.f.Close() }

// join adds bytes to the group that gathers. The caller that is told to lead
// must call commit and then send. enter runs in the order of the file.
func (l *groupLog) join(record, other []byte, enter func(*group)) (g *group, lead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g = l.next
	lead = len(g.records)+len(g.other) == 0
	g.records = append(g.records, record...)
	g.other = append(g.other, other...)
	enter(g)
	return g, lead
}

// commit waits for the group before, closes this one, and makes it durable.
func (l *groupLog) commit(g *group) error {
	if g.before != nil {
		<-g.before.synced
	}
	l.mu.Lock()
	l.next = newGroup(g)
	l.mu.Unlock()
	records := len(g.records)
	all := append(g.records, g.other...)
	_, g.err = l.f.WriteAt(all, l.off) // only the leader of the turn is here
	if g.err == nil {
		g.err = datasync(l.f)
	}
	l.off += int64(len(all))
	g.records = all[:records]
	close(g.synced)
	return g.err
}

// send passes a durable group's records on, in the order of the groups.
func (g *group) send(w func([]byte) error) error {
	if g.before != nil {
		<-g.before.sent
		g.before = nil // or all groups would stay in memory
	}
	var err error
	if len(g.records) > 0 {
		err = w(g.records)
	}
	close(g.sent)
	return err
}
