package transport

import (
	"context"
	"sync"

	"github.com/national-alliance/alliance/protocol"
)

// events delivers connects and disconnects in order from one goroutine, so
// that a subscriber may call back into the transport.
type events struct {
	mu          sync.Mutex
	queue       []event
	wake        chan struct{}
	subscribers []subscriber
}

type event struct {
	node      protocol.Node
	connected bool
}

type subscriber struct {
	connect    func(protocol.Node)
	disconnect func(protocol.NodeID)
}

func newEvents() *events { return &events{wake: make(chan struct{}, 1)} }

func (e *events) subscribe(connect func(protocol.Node), disconnect func(protocol.NodeID)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subscribers = append(e.subscribers, subscriber{connect, disconnect})
}

func (e *events) emit(ev event) {
	e.mu.Lock()
	e.queue = append(e.queue, ev)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *events) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		e.mu.Lock()
		queue, subscribers := e.queue, e.subscribers
		e.queue = nil
		e.mu.Unlock()
		for _, ev := range queue {
			for _, s := range subscribers {
				switch {
				case ev.connected && s.connect != nil:
					s.connect(ev.node)
				case !ev.connected && s.disconnect != nil:
					s.disconnect(ev.node.ID)
				}
			}
		}
	}
}
