package casebook

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// A world is some organisations, each with one node and a book, on a network
// without wires: what one writes, all entitled others hold at once, unless
// they are away. Records are the real ones. All invented.
type world struct {
	t       testing.TB
	network protocol.NetworkID
	mu      sync.Mutex
	states  []state // of the register, by size
	sites   map[string]*site
	clock   time.Time
	cache   seal.Recipients
}

type state struct {
	root  crypto.Hash
	orgs  map[protocol.OrgID]protocol.Org
	order []protocol.OrgID
}

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// The members of most tests.
const (
	secretariat = "Example Secretariat"
	ngo         = "Example NGO"
	shelter     = "Example Shelter"
	police      = "Example Police"
	commission  = "Example Commission"
	keeper      = "Example Keeper" // offers custody
)

func usual(t testing.TB) *world {
	w := newWorld(t)
	w.enrol(secretariat, protocol.ClassSecretariat, "secretariat")
	w.enrol(ngo, protocol.ClassNGO, "ngo")
	w.enrol(shelter, protocol.ClassNGO, "child-care-institution")
	w.enrol(police, protocol.ClassPolice, "sjpu")
	w.enrol(commission, protocol.ClassGovernment, "statutory-commission")
	w.enrol(keeper, protocol.ClassNGO, "research")
	w.change(keeper, func(o *protocol.Org) { o.Custody = true })
	return w
}

func newWorld(t testing.TB) *world {
	return &world{t: t, network: protocol.NetworkID(sha256.Sum256([]byte("Example alliance, invented"))), sites: map[string]*site{}, clock: start,
		states: []state{{orgs: map[protocol.OrgID]protocol.Org{}}}}
}

func orgID(name string) protocol.OrgID { return sha256.Sum256([]byte("org " + name)) }
func nodeID(name string) protocol.NodeID {
	return sha256.Sum256([]byte("node " + name))
}

// leaf grows the register by one.
func (w *world) leaf(do func(*state)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.states[len(w.states)-1]
	s := state{orgs: maps.Clone(old.orgs), order: slices.Clone(old.order)}
	do(&s)
	s.root = sha256.Sum256(append(old.root[:], byte(len(w.states))))
	w.states = append(w.states, s)
}

func (w *world) enrol(name string, class protocol.Class, kind string) *site {
	w.t.Helper()
	seed := sha256.Sum256([]byte("test seed of " + name))
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := seal.GenerateIdentity()
	if err != nil {
		w.t.Fatal(err)
	}
	org := protocol.Org{ID: orgID(name), Name: name, Class: class, Kind: kind, Status: protocol.Active, Epoch: 1, Recipient: id.Recipient().String()}
	w.leaf(func(s *state) {
		org.Since = uint64(len(w.states))
		s.orgs[org.ID] = org
		s.order = append(s.order, org.ID)
	})
	s := &site{w: w, name: name, org: org.ID, node: nodeID(name), key: key, id: id, chains: map[protocol.FeedID]protocol.Chain{},
		held: map[protocol.FeedID][]*protocol.Record{}, feedKeys: map[protocol.FeedID]map[uint64][]seal.FeedKey{}}
	w.sites[name] = s
	s.open(nil)
	return s
}

// open gives the site a fresh book, as after a restart, loaded.
func (s *site) open(edit func(*Options)) *Book {
	s.w.t.Helper()
	o := s.options()
	if edit != nil {
		edit(&o)
	}
	b, err := New(o)
	if err != nil {
		s.w.t.Fatal(err)
	}
	if err := b.Load(context.Background(), nil); err != nil && !errors.Is(err, ErrLocked) {
		s.w.t.Fatal(err)
	}
	s.w.mu.Lock()
	s.book = b
	s.w.mu.Unlock()
	return b
}

func (s *site) options() Options {
	return Options{Org: s.org, Records: s, Register: func() Register { return members{s.w} },
		Desk:       Desk{Unit: "Example Desk", Role: "case worker", Phone: "+91 11 2345 6789", Language: "en"},
		Unreadable: func(_ context.Context, rec *protocol.Record, section int) { s.told(rec, section) },
		Now:        func() time.Time { s.w.mu.Lock(); defer s.w.mu.Unlock(); return s.w.clock },
		OnChange:   func(c Change) { s.w.mu.Lock(); s.changes = append(s.changes, c); s.w.mu.Unlock() }}
}

func (w *world) change(name string, do func(*protocol.Org)) {
	w.leaf(func(s *state) {
		o := s.orgs[orgID(name)]
		do(&o)
		o.Since = uint64(len(w.states))
		s.orgs[o.ID] = o
	})
}

// later moves the clock.
func (w *world) later(d time.Duration) {
	w.mu.Lock()
	w.clock = w.clock.Add(d)
	w.mu.Unlock()
}

// members is the register at its newest size.
type members struct{ w *world }

func (m members) Network() protocol.NetworkID { return m.w.network }
func (m members) Size() uint64 {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return uint64(len(m.w.states) - 1)
}
func (m members) at(size uint64) (state, bool) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if size >= uint64(len(m.w.states)) {
		return state{}, false
	}
	return m.w.states[size], true
}
func (m members) RootAt(size uint64) (crypto.Hash, bool) { s, ok := m.at(size); return s.root, ok }
func (m members) DayAt(size uint64) (protocol.Day, bool) {
	_, ok := m.at(size)
	return protocol.DayOf(start.Unix()), ok
}
func (m members) OrgAt(id protocol.OrgID, size uint64) (protocol.Org, bool) {
	s, _ := m.at(size)
	o, ok := s.orgs[id]
	return o, ok
}
func (m members) NodeAt(id protocol.NodeID, size uint64) (protocol.Node, bool) {
	for name, s := range m.w.sites {
		if s.node == id {
			o, ok := m.OrgAt(orgID(name), size)
			return protocol.Node{ID: id, Org: o.ID, Author: s.key.Public(), Status: o.Status, Since: o.Since}, ok
		}
	}
	return protocol.Node{}, false
}
func (m members) GroupAt(protocol.GroupID, uint64) (protocol.Group, bool) {
	return protocol.Group{}, false
}
func (m members) InGroup(protocol.GroupID, protocol.OrgID, uint64) bool { return false }
func (m members) TakenAway([]byte, uint64) (protocol.Struck, bool)      { return protocol.Struck{}, false }
func (m members) Orgs() (out []protocol.Org) {
	s, _ := m.at(m.Size())
	for _, id := range s.order {
		out = append(out, s.orgs[id])
	}
	return out
}
func (m members) OrgNamed(name string) (protocol.Org, bool) {
	for _, o := range m.Orgs() {
		if strings.EqualFold(o.Name, name) {
			return o, true
		}
	}
	return protocol.Org{}, false
}

// A site is one organisation's node: the Records of its book.
type site struct {
	w         *world
	name      string
	org       protocol.OrgID
	node      protocol.NodeID
	key       crypto.PrivateKey
	id        *seal.Identity
	book      *Book
	locked    bool
	away      bool
	queueing  bool  // may not write yet
	full      error // what the disk says to a write
	failAfter int   // so many writes the next one fails; 0: never
	queued    uint64
	chains    map[protocol.FeedID]protocol.Chain
	held      map[protocol.FeedID][]*protocol.Record
	feedKeys  map[protocol.FeedID]map[uint64][]seal.FeedKey
	lost      map[protocol.RecordID]bool // cannot be read now
	spoilt    map[spoilt]bool            // sections that do not open
	reports   []string
	changes   []Change
	opens     int
	sending   sync.Mutex // one record after another, as a real node's feed
	pulling   sync.Mutex
}

type spoilt struct {
	rec     protocol.RecordID
	section int
}

func (s *site) told(rec *protocol.Record, section int) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.reports = append(s.reports, fmt.Sprintf("%s/%d", rec.ID().Short(), section))
}

func (s *site) Send(_ context.Context, d Draft) (Sent, error) {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.w.mu.Lock()
	feed := protocol.FeedIDOf(s.w.network, s.node, d.Audience)
	clock := s.w.clock
	switch {
	case s.locked:
		s.w.mu.Unlock()
		return Sent{}, ErrLocked
	case s.full != nil:
		s.w.mu.Unlock()
		return Sent{}, s.full
	case s.failAfter < 0:
		s.failAfter = 0
		s.w.mu.Unlock()
		return Sent{}, errors.New("the disk is full")
	case s.queueing:
		s.queued++
		n := s.queued
		s.w.mu.Unlock()
		return Sent{Feed: feed, Queued: n, Reason: "the head check is not done"}, nil
	}
	if s.failAfter > 0 {
		if s.failAfter--; s.failAfter == 0 {
			s.failAfter = -1
		}
	}
	c := s.chains[feed]
	keys := s.feedKeys[feed]
	s.w.mu.Unlock()

	m := members{s.w}
	w := protocol.Writer{Members: m, Org: s.org, Node: s.node, Key: s.key, Random: rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, s.name, feed, c.Seq))), Recipient: s.w.cache.Parse}
	day := w.Day(c, protocol.DayOf(clock.Unix()))
	if keys == nil {
		keys = map[uint64][]seal.FeedKey{}
	}
	sets, fits := setsOf(c, d, s.org)
	if c.KeyDue(m, c.Seq+1, day, m.Size()) != "" || !fits || !slices.Equal(c.Key.Custodians, d.Custodians) || d.Expiry > c.Key.Expiry {
		rec, next, k, err := w.OpenFeed(c, d.Audience, d.Parts, d.Custodians, nil, day, day+protocol.MaxKeepDays)
		if err != nil {
			return Sent{}, err
		}
		c, keys[next.Seq] = next, k
		s.w.keep(s, rec, c, keys)
		sets, _ = setsOf(c, d, s.org)
	}
	contents := slices.Clone(d.Contents)
	for i := range contents {
		contents[i].Set = sets[contents[i].Set]
	}
	rec, next, err := w.Write(c, keys[c.Key.Seq], contents, day, d.Expiry)
	if err != nil {
		return Sent{}, err
	}
	s.w.keep(s, rec, next, keys)
	return Sent{Record: rec, Feed: feed, Seq: rec.Core().Seq}, nil
}

func setsOf(c protocol.Chain, d Draft, own protocol.OrgID) ([]uint64, bool) {
	out := []uint64{0}
	for _, part := range d.Parts {
		i := slices.IndexFunc(c.Key.Sets, func(s protocol.ReaderSet) bool {
			n := 0
			for _, r := range c.Key.Sets[0].Readers {
				if r.Org == own || slices.Contains(part, r.Org) {
					n++
					if !s.Has(r.Org) {
						return false
					}
				}
			}
			return n == len(s.Readers)
		})
		if i < 0 {
			return nil, false
		}
		out = append(out, uint64(i))
	}
	return out, true
}

// keep stores an author's record and brings it to all that are there.
func (w *world) keep(s *site, rec *protocol.Record, c protocol.Chain, keys map[uint64][]seal.FeedKey) {
	w.mu.Lock()
	id := rec.Feed()
	s.chains[id], s.feedKeys[id] = c, keys
	s.held[id] = append(s.held[id], rec)
	sites := slices.Collect(maps.Values(w.sites))
	w.mu.Unlock()
	for _, o := range sites {
		if o != s && !o.away {
			o.pull(s, id)
		}
	}
	s.book.Add(rec)
}

// pull takes what the other site holds of a feed and this one may have.
func (s *site) pull(from *site, id protocol.FeedID) {
	s.pulling.Lock()
	defer s.pulling.Unlock()
	m := members{s.w}
	for {
		s.w.mu.Lock()
		c := s.chains[id]
		their := from.chains[id]
		if uint64(len(from.held[id])) <= c.Seq {
			s.w.mu.Unlock()
			return
		}
		rec := from.held[id][c.Seq]
		core := rec.Core()
		key, isKey := protocol.KeyLinkOf(core)
		if !isKey {
			key, _ = protocol.KeyLinkOf(from.held[id][core.Data.Key-1].Core())
		}
		s.w.mu.Unlock()
		e := protocol.Entitles(m, &their, &key, core, rec.State(), s.org)
		if !e.Core {
			return
		}
		env := rec.Envelope(e)
		signed, err := protocol.Open(m, env)
		if err != nil {
			s.w.t.Errorf("%s: open: %v", s.name, err)
			return
		}
		got, next, err := c.Link(m, signed)
		if err != nil {
			s.w.t.Errorf("%s: link: %v", s.name, err)
			return
		}
		for i, sealed := range env.Sections {
			if sealed != nil && got.State() != protocol.Refused {
				if err := got.Attach(i, sealed); err != nil {
					s.w.t.Errorf("%s: attach: %v", s.name, err)
				}
			}
		}
		s.w.mu.Lock()
		s.chains[id] = next
		s.held[id] = append(s.held[id], got)
		s.w.mu.Unlock()
		s.book.Add(got)
	}
}

// back brings a site that was away what the others hold for it.
func (w *world) back(name string) {
	s := w.sites[name]
	s.away = false
	for _, o := range w.sites {
		if o == s {
			continue
		}
		w.mu.Lock()
		feeds := slices.Collect(maps.Keys(o.held))
		w.mu.Unlock()
		for _, id := range feeds {
			// From who has all of it: a reader of a part gives no more than that.
			if o.held[id][0].Core().Node == o.node {
				s.pull(o, id)
			}
		}
	}
}

func (s *site) Open(rec *protocol.Record) ([]Opened, error) {
	s.w.mu.Lock()
	s.opens++
	locked := s.locked
	core := rec.Core()
	var key *protocol.Record
	if core.Data != nil {
		key = s.held[rec.Feed()][core.Data.Key-1]
	}
	s.w.mu.Unlock()
	if locked {
		return nil, ErrLocked
	}
	if rec.State() != protocol.Linked || key == nil {
		return nil, ErrNotAReader
	}
	var out []Opened
	for i, ref := range core.Data.Sections {
		set := key.Core().Key.Sets[ref.Set]
		if !set.Has(s.org) || rec.Section(i) == nil {
			continue
		}
		s.w.mu.Lock()
		bad := s.spoilt[spoilt{rec.ID(), i}]
		s.w.mu.Unlock()
		if bad {
			out = append(out, Opened{Section: i, Err: fmt.Errorf("section %d: %w", i, protocol.ErrUnreadable)})
			continue
		}
		k, err := key.OpenKey(int(ref.Set), s.id)
		if err != nil {
			return nil, err
		}
		c, err := rec.OpenSection(i, k, set)
		out = append(out, Opened{i, c, err})
	}
	if len(out) == 0 {
		return nil, ErrNotAReader
	}
	return out, nil
}

func (s *site) Record(feed protocol.FeedID, seq uint64) (*protocol.Record, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if seq == 0 || seq > uint64(len(s.held[feed])) {
		return nil, errors.New("no such record")
	}
	rec := s.held[feed][seq-1]
	if s.lost[rec.ID()] {
		return nil, errors.New("the disk lost it")
	}
	return rec, nil
}

func (s *site) Each(fn func(*protocol.Record) error) error {
	for _, rec := range s.records() {
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

// records is all that a site holds, feed by feed.
func (s *site) records() (out []*protocol.Record) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	feeds := slices.SortedFunc(maps.Keys(s.held), protocol.FeedID.Compare)
	for _, id := range feeds {
		out = append(out, s.held[id]...)
	}
	return out
}

func (s *site) Delivery(feed protocol.FeedID, seq uint64) (out []Holder, err error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, o := range s.w.sites {
		if n := uint64(len(o.held[feed])); o != s && n > 0 {
			h := Holder{Org: o.org, Node: o.node, Seq: n, Vouches: seq <= n}
			if seq <= n && o.held[feed][seq-1].State() == protocol.Refused {
				h.Vouches, h.Refused = false, o.held[feed][seq-1].Code()
			}
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b Holder) int { return a.Node.Compare(b.Node) })
	return out, nil
}

// draft reads a draft and lets the test change it.
func draft(t testing.TB, name string, edit ...func(*referral.Draft)) referral.Draft {
	t.Helper()
	b, err := os.ReadFile("../../protocol/referral/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := referral.ParseDraft(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edit {
		f(&d)
	}
	return d
}

// settle lets every book take in what came to it.
func (w *world) settle() {
	for _, s := range w.sites {
		s.book.drain(context.Background())
	}
}

// as is the book of a member, up to date.
func (w *world) as(name string) *Book {
	w.settle()
	return w.sites[name].book
}

func (w *world) send(from string, d referral.Draft) Result {
	w.t.Helper()
	r, err := w.as(from).Send(context.Background(), d, "worker-1")
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) show(as string, name string) ReferralView {
	w.t.Helper()
	v, err := w.as(as).Show(context.Background(), name)
	if err != nil {
		w.t.Fatalf("%s: %v", as, err)
	}
	return v
}

func (w *world) move(as string, r Result, leg string, body referral.Body) Result {
	w.t.Helper()
	w.later(time.Minute)
	got, err := w.as(as).Move(context.Background(), Move{Referral: string(r.Code), Leg: leg, Body: body, Staff: "worker-2"})
	if err != nil {
		w.t.Fatalf("%s: %s: %v", as, body.Kind(), err)
	}
	return got
}

func (v ReferralView) leg(t testing.TB, name string) LegView {
	t.Helper()
	for _, l := range v.Legs {
		if l.Organisation.Name == name {
			return l
		}
	}
	t.Fatalf("no leg of %s", name)
	return LegView{}
}

func at(w *world, d time.Duration) referral.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return referral.Time(w.clock.Add(d).Unix())
}
