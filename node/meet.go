package node

import (
	"context"
	"sync"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// meetings are what peers' hellos said of the register, and the peers whose
// newer register is being looked at.
type meetings struct {
	mu    sync.Mutex
	sizes map[protocol.NodeID]uint64
	under map[protocol.NodeID]context.CancelFunc

	running sync.WaitGroup
}

func (m *meetings) told(id protocol.NodeID, size uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sizes[id] = max(m.sizes[id], size) // a register only grows, and a hello may be overtaken
}

// meetWait is how long a peer's newer register is waited for.
const meetWait = 10 * time.Second

// meet takes a peer's newer register before its records: that an author was
// suspended would come too late for what is vouched for by then.
func (n *Node) meet(ctx context.Context, p protocol.Node) {
	n.reg.Follow(p.ID)
	ctx, cancel := context.WithCancel(ctx)
	n.meets.mu.Lock()
	n.meets.under[p.ID] = cancel
	n.meets.mu.Unlock()
	n.meets.running.Go(func() {
		defer cancel()
		n.abreast(ctx, p.ID)
		n.meets.mu.Lock()
		defer n.meets.mu.Unlock()
		if ctx.Err() == nil {
			n.rep.OnConnect(p)
		}
	})
}

// part is meet's end.
func (n *Node) part(id protocol.NodeID) {
	n.meets.mu.Lock()
	defer n.meets.mu.Unlock()
	if cancel := n.meets.under[id]; cancel != nil {
		cancel()
		delete(n.meets.under, id)
	}
	n.rep.OnDisconnect(id)
}

// abreast waits a while for the register that a peer told of in its hello.
func (n *Node) abreast(ctx context.Context, id protocol.NodeID) {
	n.meets.mu.Lock()
	size := n.meets.sizes[id]
	n.meets.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, meetWait)
	defer cancel()
	n.reg.Wait(ctx, size)
}
