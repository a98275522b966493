package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	mrand "math/rand/v2"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// world is a register of two invented organisations with one node each, which
// never changes, and an author who writes real records in it.
type world struct {
	network protocol.NetworkID
	orgs    map[protocol.OrgID]protocol.Org
	nodes   map[protocol.NodeID]protocol.Node
	a, b    protocol.OrgID
	key     crypto.PrivateKey
	node    protocol.NodeID
}

func (w *world) Network() protocol.NetworkID         { return w.network }
func (w *world) Size() uint64                        { return 1 }
func (w *world) RootAt(n uint64) (crypto.Hash, bool) { return crypto.Hash{1}, n == 1 }
func (w *world) DayAt(n uint64) (protocol.Day, bool) { return 20000, n == 1 }
func (w *world) GroupAt(protocol.GroupID, uint64) (protocol.Group, bool) {
	return protocol.Group{}, false
}
func (w *world) InGroup(protocol.GroupID, protocol.OrgID, uint64) bool { return false }
func (w *world) TakenAway([]byte, uint64) (protocol.Struck, bool)      { return protocol.Struck{}, false }
func (w *world) OrgAt(id protocol.OrgID, _ uint64) (protocol.Org, bool) {
	o, ok := w.orgs[id]
	return o, ok
}
func (w *world) NodeAt(id protocol.NodeID, _ uint64) (protocol.Node, bool) {
	n, ok := w.nodes[id]
	return n, ok
}

var newWorld = sync.OnceValue(func() *world {
	w := &world{network: protocol.NetworkID{7}, orgs: map[protocol.OrgID]protocol.Org{}, nodes: map[protocol.NodeID]protocol.Node{},
		a: protocol.OrgID{1}, b: protocol.OrgID{2}, node: protocol.NodeID{3}}
	for i, id := range []protocol.OrgID{w.a, w.b} {
		identity, err := seal.GenerateIdentity()
		if err != nil {
			panic(err)
		}
		class := []protocol.Class{protocol.ClassNGO, protocol.ClassSecretariat}[i]
		w.orgs[id] = protocol.Org{ID: id, Name: []string{"Example NGO", "Example Secretariat"}[i], Class: class, Status: protocol.Active,
			Epoch: 1, Recipient: identity.Recipient().String()}
	}
	w.key = newKey()
	w.nodes[w.node] = protocol.Node{ID: w.node, Org: w.a, Author: w.key.Public(), Status: protocol.Active}
	return w
})

func newKey() crypto.PrivateKey {
	k, err := crypto.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// author writes one feed.
type author struct {
	w     protocol.Writer
	feed  protocol.FeedID
	chain protocol.Chain
	keys  []seal.FeedKey
}

// link is a record and the chain after it.
type link struct {
	rec   *protocol.Record
	chain protocol.Chain
}

// authorOf makes an author with a node of its own, n, so that feeds differ.
func authorOf(tb testing.TB, n byte) *author {
	w := newWorld()
	node := protocol.NodeID{3, n}
	worldMu.Lock()
	w.nodes[node] = protocol.Node{ID: node, Org: w.a, Author: w.key.Public(), Status: protocol.Active}
	worldMu.Unlock()
	return &author{w: protocol.Writer{Members: w, Org: w.a, Node: node, Key: w.key, Random: rand.Reader, Recipient: new(seal.Recipients).Parse}}
}

var worldMu sync.Mutex

// next composes the feed's next record; the first is its key record.
func (a *author) next(tb testing.TB, bodies ...[]byte) link {
	tb.Helper()
	var rec *protocol.Record
	var err error
	if a.chain.KeyDue(a.w.Members, a.chain.Seq+1, 20000, 1) != "" {
		w := newWorld()
		rec, a.chain, a.keys, err = a.w.OpenFeed(a.chain, protocol.ListAudience(w.b), nil, []protocol.OrgID{w.b}, nil, 20000, 20900)
		if err == nil {
			a.feed = rec.Feed()
		}
	} else {
		var contents []protocol.Content
		for _, b := range bodies {
			contents = append(contents, protocol.Content{Kind: "test/example", Time: 1, Body: b})
		}
		rec, a.chain, err = a.w.Write(a.chain, a.keys, contents, 20000, 20900)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return link{rec, a.chain}
}

// some composes n records with bodies of the given size.
func (a *author) some(tb testing.TB, n, size int) (out []link) {
	tb.Helper()
	for range n {
		out = append(out, a.next(tb, invented(size)))
	}
	return out
}

func invented(size int) []byte {
	return bytes.Repeat([]byte("invented example text. "), size/23+1)[:size]
}

var testKey = sha256.Sum256([]byte("an example key"))

func testOptions(dir string) Options {
	return Options{Dir: dir, Key: testKey, Network: newWorld().network, MinFree: 1 << 20}
}

func open(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(testOptions(dir))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func mustClose(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func commit(tb testing.TB, s *Store, fill func(b *Batch)) {
	tb.Helper()
	var b Batch
	fill(&b)
	if err := s.Commit(context.Background(), &b); err != nil {
		tb.Fatal(err)
	}
}

func (l link) put(b *Batch) { b.Link(l.rec, l.chain) }

// same fails unless the store holds exactly this record.
func (l link) same(tb testing.TB, s *Store) {
	tb.Helper()
	got, err := s.Record(l.rec.Feed(), l.rec.Core().Seq)
	if err != nil {
		tb.Fatal(err)
	}
	if got.ID() != l.rec.ID() || got.Signature() != l.rec.Signature() || got.State() != l.rec.State() || got.Code() != l.rec.Code() {
		tb.Fatalf("record %d is another one", l.rec.Core().Seq)
	}
	for i := range l.rec.Core().Sections() {
		if !bytes.Equal(got.Section(i), l.rec.Section(i)) {
			tb.Fatalf("section %d of record %d differs", i, l.rec.Core().Seq)
		}
	}
}

func seeded(seed uint64) *mrand.Rand { return mrand.New(mrand.NewPCG(seed, 0)) }
