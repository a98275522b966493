package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/national-alliance/alliance/protocol"
)

const dialsAtOnce = 8

// Want names the nodes to keep connections to, with addresses that [ParseAddr]
// reads, and replaces what was wanted before. Nodes that are no longer wanted
// keep the connections they have. A node without addresses is waited for. This
// node's own ID is passed over. An address that cannot be read shows in
// [Transport.Peers] as the node's error.
func (t *Transport) Want(nodes map[protocol.NodeID][]string) {
	t.mu.Lock()
	for id, p := range t.peers {
		if _, ok := nodes[id]; !ok {
			p.wanted = false
		}
	}
	for id, addrs := range nodes {
		if id == t.opt.Node {
			continue
		}
		p := t.peerOf(id)
		if !p.wanted || !slices.Equal(p.addrs, addrs) {
			p.attempts, p.next = 0, time.Time{}
		}
		p.wanted, p.addrs = true, slices.Clone(addrs)
	}
	t.mu.Unlock()
	t.poke()
}

func (t *Transport) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// dialLoop starts a dial for every wanted node that is due, until ctx ends.
func (t *Transport) dialLoop(ctx context.Context) {
	slots := make(chan struct{}, dialsAtOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := t.opt.Now()
		wait := time.Hour
		t.mu.Lock()
		for _, p := range t.peers {
			if t.closed || !p.wanted || p.dialing || len(p.ready) > 0 || len(p.addrs) == 0 {
				continue
			}
			if left := p.next.Sub(now); left > 0 {
				wait = min(wait, left)
				continue
			}
			select {
			case slots <- struct{}{}:
			default: // a dial that ends wakes the loop
				continue
			}
			p.dialing = true
			t.work.Go(func() {
				t.dial(t.ctx, p)
				<-slots
				t.poke()
			})
		}
		t.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-t.ctx.Done():
			return
		case <-t.wake:
		case <-timer.C:
		}
	}
}

// dial makes one attempt; p.dialing is set.
func (t *Transport) dial(ctx context.Context, p *peerState) {
	ctx, cancel := context.WithTimeout(ctx, t.opt.Limits.DialTimeout+t.opt.Limits.HelloTimeout)
	defer cancel()
	err := t.dialOnce(ctx, p)
	t.mu.Lock()
	defer t.mu.Unlock()
	p.dialing = false
	if err != nil && len(p.ready) == 0 {
		p.lastErr = err
		t.retryLater(p, t.opt.Now())
		t.log.Info("dial failed", slog.String("node", p.node.Short()), slog.Any("error", err), slog.Int("attempts", p.attempts))
	}
	p.signal()
}

func (t *Transport) dialOnce(ctx context.Context, p *peerState) error {
	node, ok := t.opt.Directory.Node(p.node)
	if !ok || node.Status != protocol.Active {
		return ErrNotActive
	}
	t.mu.Lock()
	list := slices.Clone(p.addrs)
	t.mu.Unlock()
	addrs, err := parseAddrs(list)
	if err != nil {
		return err
	}
	id := peerID(node.Transport)
	book := t.swarm.Peerstore()
	book.ClearAddrs(id)
	book.AddAddrs(id, addrs, peerstore.PermanentAddrTTL)
	t.swarm.Backoff().Clear(id) // the back-off here is ours
	c, err := t.swarm.DialPeer(ctx, id)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	t.mu.Lock()
	k := t.conns[c]
	if k == nil && p.made != nil && p.made.c == c {
		k = p.made // it is over already, and says why
	}
	t.mu.Unlock()
	if k == nil {
		return errors.New("dial: the connection closed at once")
	}
	select {
	case <-k.ready:
		return nil
	case <-k.ctx.Done():
		select { // a refusal may have come just before the end
		case <-k.ended:
		case <-ctx.Done():
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if p.lastErr != nil {
			return p.lastErr
		}
		return errors.New("dial: the connection closed before its hello")
	case <-ctx.Done():
		return fmt.Errorf("dial: %w", ctx.Err())
	}
}

// retryLater puts the next attempt between a half and the whole of a time that
// doubles; t.mu is held.
func (t *Transport) retryLater(p *peerState, now time.Time) {
	d := t.opt.Limits.BackoffMax
	if p.attempts < 20 {
		d = min(d, t.opt.Limits.BackoffMin<<p.attempts)
	}
	p.attempts++
	p.next = now.Add(d/2 + time.Duration(t.opt.Jitter()*float64(d/2)))
}

// Connect returns when a connection to the node stands and its hello has
// succeeded both ways. Without one it tries at once, whatever the back-off, at
// the addresses given or else those it is wanted at; it tries once.
func (t *Transport) Connect(ctx context.Context, id protocol.NodeID, addrs ...string) error {
	for first := true; ; first = false {
		_, _, err := t.readyConn(id)
		if !errors.Is(err, ErrNotConnected) {
			return err
		}
		t.mu.Lock()
		p := t.peerOf(id)
		if len(addrs) > 0 {
			p.addrs = slices.Clone(addrs)
		}
		changed := p.changed
		start := !p.dialing && first && len(p.addrs) > 0 && !t.closed
		switch {
		case start:
			p.dialing = true
			t.work.Go(func() { t.dial(t.ctx, p); t.poke() })
		case !p.dialing && len(p.ready) == 0 && (!first || len(p.addrs) == 0):
			err := p.lastErr
			t.mu.Unlock()
			if err == nil {
				err = ErrNotConnected
			}
			return fmt.Errorf("connect to node %s: %w", id.Short(), err)
		}
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("connect to node %s: %w", id.Short(), ctx.Err())
		case <-t.ctx.Done():
			return ErrClosed
		}
	}
}

// Peer is what the transport knows of one node, for people.
type Peer struct {
	Node      protocol.NodeID
	Wanted    bool
	Connected bool
	By        string    // "quic" or "tcp"; empty while not connected
	Address   string    // the peer's multiaddr on the connection
	Inbound   bool      // the peer dialled
	Since     time.Time // of the connection
	Error     string    // of the last attempt; empty while connected
	Attempts  int       // since the last connection that held
	Next      time.Time // the next attempt; zero while connected or not wanted
}

// Peers lists the nodes that are wanted or connected, by ID.
func (t *Transport) Peers() []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Peer
	for id, p := range t.peers {
		if !p.wanted && len(p.ready) == 0 {
			continue
		}
		s := Peer{Node: id, Wanted: p.wanted, Attempts: p.attempts}
		if len(p.ready) > 0 {
			k := p.ready[0]
			s.Connected, s.Since = true, k.since
			s.By, s.Address = kindOf(k.c.RemoteMultiaddr()), k.c.RemoteMultiaddr().String()
			s.Inbound = k.inbound()
		} else {
			if p.lastErr != nil {
				s.Error = p.lastErr.Error()
			}
			if p.wanted {
				s.Next = p.next
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Peer) int { return a.Node.Compare(b.Node) })
	return out
}

// Connected reports whether a connection to the node is ready.
func (t *Transport) Connected(id protocol.NodeID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	return p != nil && len(p.ready) > 0
}
