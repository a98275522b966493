package replica

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/national-alliance/alliance/protocol"
)

// disk is a store in memory. Like the real one it commits in order, some time
// after Enqueue, refuses a link that does not follow, and tells what is lost.
type disk struct {
	network protocol.NetworkID

	mu     sync.Mutex
	rows   diskRows
	queue  []diskJob
	busy   bool
	reads  int
	fault  func(Change) error // a commit fails with it
	paused bool               // commits wait
}

type diskJob struct {
	change Change
	done   chan error
}

type diskRows struct {
	chains   map[protocol.FeedID]protocol.Chain
	records  map[at]row
	owed     map[at][]int
	receipts map[protocol.FeedID]map[protocol.NodeID]protocol.SignedReceipt
	forks    map[protocol.FeedID]protocol.Fork
	outbox   map[uint64][]byte
	flags    map[string][]byte
}

type at struct {
	feed protocol.FeedID
	seq  uint64
}

type row struct {
	id       protocol.RecordID
	env      protocol.Envelope // with sections
	state    protocol.State
	code     protocol.Code
	lost     bool   // all of it
	lostPart []bool // sections
}

var (
	errAbsent = errors.New("test disk: not here")
	errLost   = errors.New("test disk: lost")
)

func newDisk(network protocol.NetworkID) *disk {
	return &disk{network: network, rows: diskRows{chains: map[protocol.FeedID]protocol.Chain{}, records: map[at]row{}, owed: map[at][]int{},
		receipts: map[protocol.FeedID]map[protocol.NodeID]protocol.SignedReceipt{}, forks: map[protocol.FeedID]protocol.Fork{}, outbox: map[uint64][]byte{}, flags: map[string][]byte{}}}
}

// clone is the disk as it would be copied now.
func (d *disk) clone() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := newDisk(d.network)
	out.rows.chains = maps.Clone(d.rows.chains)
	for k, v := range d.rows.records {
		v.env.Sections = slices.Clone(v.env.Sections)
		out.rows.records[k] = v
	}
	out.rows.owed = maps.Clone(d.rows.owed)
	for f, m := range d.rows.receipts {
		out.rows.receipts[f] = maps.Clone(m)
	}
	out.rows.forks = maps.Clone(d.rows.forks)
	out.rows.outbox = maps.Clone(d.rows.outbox)
	out.rows.flags = maps.Clone(d.rows.flags)
	return out
}

func (d *disk) Chain(f protocol.FeedID) (protocol.Chain, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.rows.chains[f]
	return c, ok, nil
}

func (d *disk) Feeds(fn func(protocol.FeedID, protocol.Chain) error) error {
	d.mu.Lock()
	chains := maps.Clone(d.rows.chains)
	d.mu.Unlock()
	for id, c := range chains {
		if err := fn(id, c); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) Record(f protocol.FeedID, seq uint64) (*protocol.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	r, ok := d.rows.records[at{f, seq}]
	if !ok {
		return nil, errAbsent
	}
	if r.lost {
		return nil, errLost
	}
	env := protocol.Envelope{Core: r.env.Core, Signature: r.env.Signature, Sections: slices.Clone(r.env.Sections)}
	var err error
	for i, gone := range r.lostPart {
		if gone {
			env.Sections[i] = nil
			err = errLost
		}
	}
	rec, rerr := protocol.Reload(d.network, r.id, env, r.state, r.code)
	return rec, errors.Join(err, rerr)
}

func (d *disk) Receipts(f protocol.FeedID) (out []protocol.SignedReceipt, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows.receipts[f] {
		out = append(out, r)
	}
	return out, nil
}

func (d *disk) Forks() (map[protocol.FeedID]protocol.Fork, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.rows.forks), nil
}

func (d *disk) Outbox() (map[uint64][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.rows.outbox), nil
}

func (d *disk) Flag(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rows.flags[name], nil
}

func (d *disk) Range(f protocol.FeedID, from, to uint64, fn func(*protocol.Record) error) error {
	for seq := from; seq <= to; seq++ {
		rec, err := d.Record(f, seq)
		if err == nil {
			err = fn(rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) Lacking(f protocol.FeedID) (out []uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.rows.owed {
		if k.feed == f {
			out = append(out, k.seq)
		}
	}
	for k, r := range d.rows.records {
		if k.feed == f && (r.lost || slices.Contains(r.lostPart, true)) {
			out = append(out, k.seq)
		}
	}
	return out, nil
}

// lose damages a record, or one section of it.
func (d *disk) lose(f protocol.FeedID, seq uint64, section int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := at{f, seq}
	r := d.rows.records[k]
	if section < 0 {
		r.lost = true
	} else {
		r.lostPart = make([]bool, len(r.env.Sections))
		r.lostPart[section] = true
	}
	d.rows.records[k] = r
}

func (d *disk) Enqueue(c Change) func() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	j := diskJob{c, make(chan error, 1)}
	d.queue = append(d.queue, j)
	d.kick()
	return func() error { return <-j.done }
}

// kick starts the committer where it is needed; d.mu is held.
func (d *disk) kick() {
	if !d.busy && !d.paused && len(d.queue) > 0 {
		d.busy = true
		go d.commit()
	}
}

func (d *disk) commit() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 && !d.paused {
		j := d.queue[0]
		d.queue = d.queue[1:]
		var err error
		if d.fault != nil {
			err = d.fault(j.change)
		}
		if err == nil {
			err = d.apply(j.change)
		}
		j.done <- err
	}
	d.busy = false
}

// apply checks a change and then makes it; d.mu is held.
func (d *disk) apply(c Change) error {
	heads := map[protocol.FeedID]protocol.Chain{}
	for _, l := range c.Links {
		core := l.Record.Core()
		cur, ok := heads[l.Record.Feed()]
		if !ok {
			cur = d.rows.chains[l.Record.Feed()]
		}
		switch {
		case core.Seq <= cur.Seq:
			return protocol.ErrKnown
		case core.Seq > cur.Seq+1:
			return protocol.ErrGap
		case core.Prev != cur.Head:
			return protocol.ErrDiverged
		}
		heads[l.Record.Feed()] = l.Chain
	}
	for _, l := range c.Links {
		rec, k := l.Record, at{l.Record.Feed(), l.Record.Core().Seq}
		r := row{id: rec.ID(), state: rec.State(), code: rec.Code(), env: protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature(), Sections: make([][]byte, len(rec.Core().Sections()))}}
		for i := range r.env.Sections {
			r.env.Sections[i] = rec.Section(i)
		}
		d.rows.records[k] = r
		d.rows.chains[k.feed] = l.Chain
		if len(l.Owe) > 0 {
			d.rows.owed[k] = l.Owe
		}
	}
	for _, s := range c.Sections {
		k := at{s.Feed, s.Seq}
		r, ok := d.rows.records[k]
		if !ok {
			return errAbsent
		}
		r.env.Sections = slices.Clone(r.env.Sections)
		r.env.Sections[s.Index] = s.Bytes
		if r.lostPart != nil {
			r.lostPart = slices.Clone(r.lostPart)
			r.lostPart[s.Index] = false
		}
		d.rows.records[k] = r
		if d.rows.owed[k] = slices.DeleteFunc(slices.Clone(d.rows.owed[k]), func(i int) bool { return i == s.Index }); len(d.rows.owed[k]) == 0 {
			delete(d.rows.owed, k)
		}
	}
	for _, e := range c.Refills {
		core := e.Record.Core()
		k := at{e.Record.Feed(), core.Seq}
		r := d.rows.records[k]
		if r.id != e.Record.ID() {
			return protocol.ErrSection
		}
		if r.lost {
			r.lost, r.lostPart = false, nil
			r.env.Sections = make([][]byte, len(core.Sections()))
			for i := range r.env.Sections {
				r.env.Sections[i] = e.Record.Section(i)
			}
			d.rows.records[k] = r
			if len(e.Owe) > 0 {
				d.rows.owed[k] = e.Owe
			}
		}
	}
	for _, x := range c.Releases {
		chain := d.rows.chains[x.Feed]
		for seq := x.From; seq <= x.To; seq++ {
			k := at{x.Feed, seq}
			if r, ok := d.rows.records[k]; ok && r.state == protocol.Held {
				r.state = protocol.Linked
				d.rows.records[k] = r
			}
		}
		chain.Held = slices.DeleteFunc(slices.Clone(chain.Held), func(h protocol.Range) bool { return x.From <= h.From && h.To <= x.To })
		if len(chain.Held) == 0 {
			chain.Held = nil
		}
		d.rows.chains[x.Feed] = chain
	}
	for _, s := range c.Receipts {
		got, err := protocol.Decode[protocol.Receipt](s.Body, protocol.MaxReceipt)
		if err != nil {
			return fmt.Errorf("test disk: %w", err)
		}
		if d.rows.receipts[got.Feed] == nil {
			d.rows.receipts[got.Feed] = map[protocol.NodeID]protocol.SignedReceipt{}
		}
		d.rows.receipts[got.Feed][got.Node] = s
	}
	for _, f := range c.Forks {
		if _, ok := d.rows.forks[f.Feed]; !ok {
			d.rows.forks[f.Feed] = f.Proof
		}
	}
	for _, o := range c.Outbox {
		d.rows.outbox[o.ID] = o.Bytes
	}
	for _, n := range c.Done {
		delete(d.rows.outbox, n)
	}
	maps.Copy(d.rows.flags, c.Flags)
	return nil
}
