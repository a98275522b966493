package node

import (
	"context"
	"sync"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// meetings are what peers' hellos said of the register.
type meetings struct {
	mu    sync.Mutex
	sizes map[protocol.NodeID]uint64
}

func (m *meetings) told(id protocol.NodeID, size uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sizes[id] = max(m.sizes[id], size) // a register only grows, and a hello may be overtaken
}

// meet has a peer's register looked at, also for another history.
func (n *Node) meet(p protocol.Node) {
	n.reg.Follow(p.ID)
	n.rep.OnConnect(p)
}

// meetWait is how long a peer's newer register is waited for.
const meetWait = 10 * time.Second

// abreast waits a while for the register that a peer told of in its hello,
// before its records: that an author was suspended would come too late for what
// is vouched for by then.
func (n *Node) abreast(ctx context.Context, id protocol.NodeID) {
	n.meets.mu.Lock()
	size := n.meets.sizes[id]
	n.meets.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, meetWait)
	defer cancel()
	n.reg.Wait(ctx, size)
}
