package membership

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// began is when the tests' alliances are founded: 2030-01-01, invented.
const began = 1893456000

func key(name string) crypto.PrivateKey {
	seed := sha256.Sum256([]byte("invented key of " + name))
	k, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		panic(err)
	}
	return k
}

func person(name string) register.Member {
	return register.Member{Key: key(name).Public(), Person: protocol.PersonID(sha256.Sum256([]byte("invented person " + name)))}
}

var recipients sync.Map

func recipient(name string) string {
	if r, ok := recipients.Load(name); ok {
		return r.(string)
	}
	id, err := seal.GenerateIdentity()
	if err != nil {
		panic(err)
	}
	r, _ := recipients.LoadOrStore(name, id.Recipient().String())
	return r.(string)
}

func nodeKeys(name string) register.NodeKeys {
	n := register.NodeKeys{Author: key(name + " author").Public(), Transport: key(name + " transport").Public(), Sealing: recipient(name)}
	if strings.HasPrefix(name, "S") {
		n.Checkpoint = key(name + " checkpoint").Public()
	}
	return n
}

// alliance is a secretariat of nodes S1, S2, …, members with one node each, and
// a network and a log between them that tests break.
type alliance struct {
	t       testing.TB
	network protocol.NetworkID
	genesis []byte
	began   time.Time

	mu    sync.Mutex
	nodes map[string]*mnode
	down  map[string]bool
	log   *raftLog
	// lies, if set, answers in a node's place; nil lets it answer itself.
	lies func(to string, q Request) *Answer
}

// mnode is one node's register.
type mnode struct {
	*Register
	a    *alliance
	name string
	id   protocol.NodeID
	disk *memory
	skew atomic.Int64 // of its clock, nanoseconds

	stop context.CancelFunc
	done chan struct{}
}

// found makes an alliance with its first node, S1, which runs.
func found(t testing.TB) *alliance {
	req := register.Request{Version: 1, Name: "Example Secretariat", Class: protocol.ClassSecretariat, Code: "secretariat",
		Administrators: register.NewSet(1, person("s1")), Node: nodeKeys("S1"), Recipient: recipient("secretariat")}
	op := register.Genesis{Mode: register.Trial, Title: "Example Alliance", Policy: register.Policy{Rules: 1},
		Officers:    register.OfficerSet{Set: register.NewSet(2, person("o1"), person("o2"), person("o3")), Suspension: 1},
		Secretariat: req.Encode()}.Draft().Encode()
	so := register.SignedOp{Op: op}
	for _, k := range []string{"S1 author", "S1 transport", "S1 checkpoint", "o1", "o2", "o3", "s1"} {
		sigs, err := register.SignOps(key(k), register.NetworkOf(op), op)
		if err != nil {
			t.Fatal(err)
		}
		so = so.With(sigs...)
	}
	a := &alliance{t: t, network: register.NetworkOf(op), genesis: so.Leaf(began), began: time.Now(), nodes: map[string]*mnode{}, down: map[string]bool{}}
	a.log = &raftLog{a: a}
	s1 := a.open("S1", newMemory())
	if err := s1.Begin(a.genesis); err != nil {
		t.Fatal(err)
	}
	a.run(s1)
	return a
}

// inAlliance runs a test in virtual time.
func inAlliance(t *testing.T, f func(t *testing.T, a *alliance)) {
	for _, n := range []string{"secretariat", "S1", "S2", "S3", "S4", "N1", "N2", "N3", "N1 key", "N2 key", "N3 key"} {
		recipient(n) // outside of the bubble, since they are shared
	}
	synctest.Test(t, func(t *testing.T) {
		a := found(t)
		defer a.close()
		f(t, a)
	})
}

func (a *alliance) close() {
	for _, n := range a.all() {
		a.halt(n.name)
	}
}

func (a *alliance) all() []*mnode {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Collect(maps.Values(a.nodes))
	slices.SortFunc(out, func(x, y *mnode) int { return strings.Compare(x.name, y.name) })
	return out
}

func (a *alliance) org(s *register.State, name string) protocol.OrgID {
	if strings.HasPrefix(name, "S") {
		return s.Secretariat()
	}
	o, ok := s.OrgNamed("Example " + name)
	if !ok {
		a.t.Fatalf("no organisation of %s", name)
	}
	return o.ID
}

func (a *alliance) options(name string, d *memory) Options {
	n := nodeKeys(name)
	o := Options{Pinned: a.network, Node: n.ID(a.network), Author: key(name + " author"), Disk: d, PollEvery: 30 * time.Second}
	if strings.HasPrefix(name, "S") {
		o.Checkpoint = key(name + " checkpoint")
		s, err := register.Found(a.genesis)
		if err != nil {
			a.t.Fatal(err)
		}
		o.Org = s.Secretariat()
	}
	if os.Getenv("ALLIANCE_TEST_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
	}
	return o
}

// open makes a node of a disk, not running.
func (a *alliance) open(name string, d *memory) *mnode {
	a.t.Helper()
	n := &mnode{a: a, name: name, id: nodeKeys(name).ID(a.network), disk: d}
	o := a.options(name, d)
	o.Net = netOf{n}
	o.Now = func() time.Time {
		return time.Unix(began+10, 0).Add(time.Since(a.began)).Add(time.Duration(n.skew.Load()))
	}
	var err error
	if n.Register, err = New(o); err != nil {
		a.t.Fatal(err)
	}
	if strings.HasPrefix(name, "S") {
		n.SetGroup(groupOf{n})
	}
	return n
}

func (a *alliance) run(n *mnode) *mnode {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop, n.done = cancel, make(chan struct{})
	a.mu.Lock()
	a.nodes[n.name] = n
	delete(a.down, n.name)
	a.mu.Unlock()
	go func() {
		defer close(n.done)
		n.Run(ctx)
	}()
	if strings.HasPrefix(n.name, "S") {
		a.log.replay(n)
	}
	return n
}

// halt stops a node; its disk stays.
func (a *alliance) halt(name string) *memory {
	a.mu.Lock()
	n := a.nodes[name]
	delete(a.nodes, name)
	a.mu.Unlock()
	n.stop()
	<-n.done
	return n.disk
}

func (a *alliance) node(name string) *mnode {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nodes[name]
}

// cut takes a node off the network, or puts it back.
func (a *alliance) cut(name string, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down[name] = on
}

func (a *alliance) until(what string, f func() bool) {
	a.t.Helper()
	for range 60_000 {
		synctest.Wait()
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	a.t.Fatalf("never came: %s", what)
}

// draft makes a signed operation on a node's tip.
func (a *alliance) draft(at *mnode, about register.Subject, b register.Body, keys ...string) []byte {
	a.t.Helper()
	s := at.Tip()
	op, err := s.Draft(about, b, s.Time()+7*86400)
	if err != nil {
		a.t.Fatal(err)
	}
	so := register.SignedOp{Op: op.Encode()}
	for _, k := range keys {
		sigs, err := register.SignOps(key(k), a.network, so.Op)
		if err != nil {
			a.t.Fatal(err)
		}
		so = so.With(sigs...)
	}
	return so.Encode()
}

// next is an operation like any other, on a node's tip; move submits one.
func (a *alliance) next(at *mnode) []byte {
	a.t.Helper()
	about := register.OfOrg(at.Tip().Secretariat())
	return a.draft(at, about, register.SetKind{Code: fmt.Sprintf("example-%d", at.Tip().Version(about))}, "o1", "o2")
}

func (a *alliance) move(at *mnode) uint64 {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	size, err := at.Submit(ctx, a.next(at))
	if err != nil {
		a.t.Fatal(err)
	}
	return size
}

func (a *alliance) do(at *mnode, about register.Subject, b register.Body, keys ...string) uint64 {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	size, err := at.Submit(ctx, a.draft(at, about, b, keys...))
	if err != nil {
		a.t.Fatal(err)
	}
	return size
}

// enrol admits an organisation with one node, which enters and runs.
func (a *alliance) enrol(name string) *mnode {
	a.t.Helper()
	at := a.node("S1")
	_, body, id := a.request(name)
	a.do(at, register.OfOrg(id), register.EnrolOrg{Request: body}, "o1", "o2")
	return a.enter(name, newMemory())
}

func (a *alliance) request(name string) (register.Request, []byte, protocol.OrgID) {
	r := register.Request{Version: 1, Network: a.network, Name: "Example " + name, Class: protocol.ClassNGO, Code: "ngo",
		Administrators: register.NewSet(1, person(name+" a")), Node: nodeKeys(name), Recipient: recipient(name + " key")}
	sr := register.NewSignedRequest(r, key(name+" a"), key(name+" author"), key(name+" transport"))
	return r, sr.Encode(), register.OrgIDOf(a.network, sr.Request)
}

// enter gives a new node the register that S1 has, and runs it.
func (a *alliance) enter(name string, d *memory) *mnode {
	a.t.Helper()
	n := a.open(name, d)
	s := a.node("S1").State()
	n.o.Org = a.org(s, name)
	given, err := a.node("S1").handOut(s, 0)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := n.Enter(given.Leaves, given.Notes); err != nil {
		a.t.Fatal(err)
	}
	return a.run(n)
}

// further admits a further node of the secretariat.
func (a *alliance) further(name string) *mnode {
	a.t.Helper()
	at := a.node("S1")
	n := nodeKeys(name)
	about := register.AdministratorsOf(at.State().Secretariat())
	a.do(at, about, n.Enrol(a.network, at.State().Secretariat(), key(name+" author"), key(name+" transport"), key(name+" checkpoint")), "s1")
	return a.enter(name, newMemory())
}

// three brings the secretariat to its usual three nodes, all signers.
func (a *alliance) three() (s1, s2, s3 *mnode) {
	a.t.Helper()
	s1, s2, s3 = a.node("S1"), a.further("S2"), a.further("S3")
	about := register.AdministratorsOf(s1.State().Secretariat())
	a.do(s1, about, register.NewVoters(s1.id, s2.id, s3.id), "s1")
	a.do(s1, about, register.NewSigners(s1.id, s2.id, s3.id), "s1")
	a.until("all have it", func() bool {
		return s2.State().Size() == s1.State().Size() && s3.State().Size() == s1.State().Size()
	})
	return s1, s2, s3
}

// reopen starts a halted node on a disk.
func (a *alliance) reopen(name string, d *memory) *mnode {
	a.t.Helper()
	n := a.open(name, d)
	if s := n.State(); s != nil {
		n.o.Org = a.org(s, name)
	}
	return a.run(n)
}

// netOf is the network as one node sees it.
type netOf struct{ n *mnode }

func (x netOf) Connected() (out []protocol.Node) {
	for _, p := range x.n.a.all() {
		if p == x.n || x.n.a.off(p.name) || x.n.a.off(x.n.name) {
			continue
		}
		if q, ok := x.n.State().Node(p.id); ok && q.Status == protocol.Active {
			out = append(out, q)
		}
	}
	return out
}

func (a *alliance) off(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.down[name]
}

func (x netOf) Call(ctx context.Context, to protocol.NodeID, proto string, req []byte) ([]byte, error) {
	a := x.n.a
	for _, p := range a.all() {
		if p.id != to || a.off(p.name) || a.off(x.n.name) {
			continue
		}
		a.mu.Lock()
		lies := a.lies
		a.mu.Unlock()
		if q, err := protocol.Decode[Request](req, MaxMessage); err == nil && lies != nil {
			if l := lies(p.name, q); l != nil {
				return protocol.Encode(*l), nil
			}
		}
		self, ok := p.State().Node(x.n.id)
		if !ok {
			self = protocol.Node{ID: x.n.id, Org: x.n.o.Org}
		}
		b, err := p.Serve(ctx, self, req)
		if len(b) > MaxMessage {
			a.t.Errorf("an answer of %d bytes", len(b))
		}
		return b, err
	}
	return nil, errors.New("test net: not connected")
}

// raftLog is one order of entries for the secretariat's nodes that run.
type raftLog struct {
	a       *alliance
	mu      sync.Mutex
	entries []logEntry
	// lost, if set, says that the answer to a proposal is lost.
	lost func() bool
}

type logEntry struct {
	own  bool
	data []byte
}

func (l *raftLog) applyTo(n *mnode) (last []byte, err error) {
	for i := n.Applied(); i < uint64(len(l.entries)); i++ {
		e := l.entries[i]
		if e.own {
			last, err = n.ApplyOwn(i+1, e.data)
		} else {
			last, err = n.Apply(i+1, e.data)
		}
		if err != nil {
			return nil, err
		}
	}
	return last, nil
}

func (l *raftLog) replay(n *mnode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applyTo(n)
}

func (l *raftLog) propose(by *mnode, e logEntry) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	voters := by.Tip().Voters(by.o.Org)
	alive := 0
	for _, n := range l.a.all() {
		if slices.Contains(voters, n.id) && !l.a.off(n.name) {
			alive++
		}
	}
	if 2*alive <= len(voters) {
		return nil, errors.New("test log: no majority")
	}
	l.entries = append(l.entries, e)
	var answer []byte
	for _, n := range l.a.all() {
		if !strings.HasPrefix(n.name, "S") || l.a.off(n.name) {
			continue
		}
		b, err := l.applyTo(n)
		if n == by {
			answer = b
			if err != nil {
				return nil, err
			}
		}
	}
	if l.lost != nil && l.lost() {
		return nil, errors.New("test log: the leader was lost")
	}
	return answer, nil
}

type groupOf struct{ n *mnode }

func (g groupOf) Propose(_ context.Context, b []byte) ([]byte, error) {
	return g.n.a.log.propose(g.n, logEntry{data: b})
}
func (g groupOf) ProposeOwn(_ context.Context, b []byte) ([]byte, error) {
	return g.n.a.log.propose(g.n, logEntry{own: true, data: b})
}
func (g groupOf) Leads() bool { return g.n.name == "S1" }

// memory is a store in memory. Like the real one it takes the same leaf again,
// refuses another at its place, and puts a lost one back.
type memory struct {
	mu       sync.Mutex
	leaves   [][]byte
	lost     map[uint64]bool
	notes    map[uint64][]byte
	marks    map[string][]byte
	accepted uint64
	hook     func(Change) error              // before it is kept
	after    func(c Change, durable *memory) // once it is durable, before it is told
}

func newMemory() *memory {
	return &memory{lost: map[uint64]bool{}, notes: map[uint64][]byte{}, marks: map[string][]byte{}}
}

func (d *memory) clone() *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.copy()
}

func (d *memory) copy() *memory {
	return &memory{leaves: slices.Clone(d.leaves), lost: maps.Clone(d.lost), notes: maps.Clone(d.notes), marks: maps.Clone(d.marks), accepted: d.accepted}
}

var errLost = errors.New("test disk: lost")

func (d *memory) LeafCount() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(len(d.leaves)), nil
}

func (d *memory) Leaves(from, to uint64) (out [][]byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := from; i < min(to, uint64(len(d.leaves))); i++ {
		if d.lost[i] {
			return out, errLost
		}
		out = append(out, d.leaves[i])
	}
	return out, nil
}

func (d *memory) Accepted() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accepted, nil
}

func (d *memory) Note(size uint64) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.notes[size], nil
}

func (d *memory) NoteSizes(from, to uint64) (out []uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.notes {
		if n > from && n <= to {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (d *memory) Mark(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.marks[name], nil
}

func (d *memory) Marks(prefix string) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string][]byte{}
	for k, v := range d.marks {
		if strings.HasPrefix(k, prefix) {
			out[k] = v
		}
	}
	return out, nil
}

func (d *memory) Enqueue(c Change) <-chan error {
	done := make(chan error, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	done <- d.apply(c)
	return done
}

func (d *memory) apply(c Change) error {
	if d.hook != nil {
		if err := d.hook(c); err != nil {
			return err
		}
	}
	leaves, lost := slices.Clone(d.leaves), maps.Clone(d.lost)
	for i, l := range c.Leaves {
		at := c.First + uint64(i)
		switch {
		case at > uint64(len(leaves)):
			return errors.New("test disk: a leaf beyond the end")
		case at == uint64(len(leaves)):
			leaves = append(leaves, l)
		case lost[at]:
			leaves[at] = l
			delete(lost, at)
		case string(leaves[at]) != string(l):
			return errors.New("test disk: another leaf stands there")
		}
	}
	if c.Accept > uint64(len(leaves)) {
		return errors.New("test disk: accepted beyond the end")
	}
	d.leaves, d.lost, d.accepted = leaves, lost, max(d.accepted, c.Accept)
	maps.Copy(d.notes, c.Notes)
	maps.Copy(d.marks, c.Marks)
	if d.after != nil {
		d.after(c, d.copy())
	}
	return nil
}

// lose damages a leaf.
func (d *memory) lose(i uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost[i] = true
}

func randomToken() (t [32]byte) {
	rand.Read(t[:])
	return t
}
