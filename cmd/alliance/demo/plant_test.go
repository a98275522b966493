package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/national-alliance/alliance/node/consensus"
	"github.com/national-alliance/alliance/protocol"
)

// plantRaft makes the Raft log of a lone node that holds an entry, and returns
// its folder.
func plantRaft(t *testing.T, key [32]byte, entry []byte) string {
	dir := filepath.Join(t.TempDir(), "raft")
	g, err := consensus.Open(consensus.Options{Dir: dir, Node: protocol.NodeID{1}, Key: key, Overlay: alone{}, Machine: &deaf{},
		Authorize: func(protocol.NodeID) bool { return false }})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	for {
		_, err = g.Propose(ctx, consensus.Workspace, entry)
		if !errors.Is(err, consensus.ErrNoLeader) {
			break
		}
	}
	cancel()
	if rerr := <-ended; err == nil {
		err = rerr
	}
	if cerr := g.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// alone is an overlay without anybody.
type alone struct{}

func (alone) Dial(context.Context, protocol.NodeID) (net.Conn, error) {
	return nil, errors.New("there is nobody")
}

// deaf is a machine that takes everything and remembers nothing.
type deaf struct{ applied atomic.Uint64 }

func (d *deaf) Apply(c consensus.Command) ([]byte, error) {
	d.applied.Store(c.Index)
	return nil, nil
}
func (d *deaf) Applied() uint64                       { return d.applied.Load() }
func (d *deaf) Snapshot() (consensus.Snapshot, error) { return d, nil }
func (d *deaf) Restore(io.Reader) error               { return nil }
func (d *deaf) Persist(io.Writer) error               { return nil }
func (d *deaf) Release()                              {}
