package node

import (
	"errors"
	"slices"

	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// feedCheck walks one feed from its first record.
type feedCheck struct {
	id     protocol.FeedID
	stored protocol.Chain // as the store has it
	chain  protocol.Chain // as the records make it
	broken bool           // a record is missing, so places behind it are not judged
	keys   map[uint64]protocol.KeyLink
	opened map[openedKey]seal.FeedKey
	owed   map[uint64][]int
}

type openedKey struct {
	seq uint64
	set uint64
}

// record checks one record; those of a feed come in order.
func (v *verifier) record(rec *protocol.Record) HeldRecord {
	core := rec.Core()
	if v.feed == nil || v.feed.id != rec.Feed() {
		v.endFeed()
		v.begin(rec.Feed())
	}
	f := v.feed
	if v.reg != nil {
		v.place(rec)
	}
	link, isKey := protocol.KeyLinkOf(core)
	if isKey && rec.State() != protocol.Refused {
		f.keys[core.Seq] = link
	}
	h := HeldRecord{ID: rec.ID(), Feed: rec.Feed(), Seq: core.Seq, Type: "key", Author: core.Author, Audience: core.Audience.Orgs,
		Group: core.Audience.Group, Custodians: link.Custodians}
	under := &link
	if !isKey {
		h.Type, under = "data", nil
		if k, ok := f.keys[core.Data.Key]; ok {
			under, h.Custodians = &k, k.Custodians
		}
	}
	h.Audience = append([]protocol.OrgID{}, h.Audience...)
	h.Custodians = append([]protocol.OrgID{}, h.Custodians...)
	h.Sections = []int{}
	for i := range core.Sections() {
		if rec.Section(i) != nil {
			h.Sections = append(h.Sections, i)
		}
	}
	if v.reg != nil && v.active() {
		v.rights(rec, under, h.Sections)
	}
	if len(v.ids) > 0 && rec.State() == protocol.Linked && under != nil {
		v.open(rec, *under)
	}
	return h
}

func (v *verifier) begin(id protocol.FeedID) {
	c, _ := v.store.Chain(id)
	f := &feedCheck{id: id, stored: c, keys: map[uint64]protocol.KeyLink{}, opened: map[openedKey]seal.FeedKey{}, owed: map[uint64][]int{}}
	for _, w := range v.store.Wants(id) {
		f.owed[w.Seq] = w.Sections
	}
	v.feed = f
}

// place verifies a record's signature and judges its place again.
func (v *verifier) place(rec *protocol.Record) {
	f, seq := v.feed, rec.Core().Seq
	s, err := protocol.Open(v.reg, protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature()})
	if err != nil {
		v.fault("record %d of feed %s: %v", seq, f.id.Short(), err)
		f.broken = true
	}
	if f.broken {
		return
	}
	again, chain, err := f.chain.Link(v.reg, s)
	if errors.Is(err, protocol.ErrGap) {
		v.fault("feed %s: a record before %d is missing, so places from there on are not judged", f.id.Short(), seq)
		f.broken = true
		return
	}
	if err != nil {
		v.fault("record %d of feed %s: %v", seq, f.id.Short(), err)
		f.broken = true
		return
	}
	f.chain = chain
	if (again.State() == protocol.Refused) != (rec.State() == protocol.Refused) || again.Code() != rec.Code() {
		v.fault("record %d of feed %s: the rules make it %q and it is kept as %q", seq, f.id.Short(), stateWord(again), stateWord(rec))
	}
}

func stateWord(r *protocol.Record) string {
	if r.State() == protocol.Refused {
		return "refused: " + r.Code().String()
	}
	return "good"
}

// rights compares the sections that are here with those that this organisation
// may have.
func (v *verifier) rights(rec *protocol.Record, key *protocol.KeyLink, here []int) {
	f, core := v.feed, rec.Core()
	e := protocol.Entitles(v.reg, &f.stored, key, core, rec.State(), v.id.Org)
	if !e.Core {
		v.fault("record %d of feed %s: it is here, and this organisation is not entitled to it", core.Seq, f.id.Short())
	}
	for _, i := range here {
		if !e.Section(i) {
			v.fault("record %d of feed %s: section %d is here, and this organisation is not entitled to it", core.Seq, f.id.Short(), i)
		}
	}
	today, _ := v.reg.DayAt(v.reg.Size())
	for _, i := range rec.Missing(e) {
		switch {
		case slices.Contains(f.owed[core.Seq], i):
			v.out.Lacking++
		case today <= core.Expiry: // after it, custodians drop sections
			v.fault("record %d of feed %s: section %d is not here, and not known to be on its way", core.Seq, f.id.Short(), i)
		}
	}
}

// open opens what this organisation reads of a record.
func (v *verifier) open(rec *protocol.Record, key protocol.KeyLink) {
	f, core := v.feed, rec.Core()
	for i, ref := range core.Sections() {
		if rec.Section(i) == nil || ref.Set >= uint64(len(key.Sets)) || !key.Sets[ref.Set].Has(v.id.Org) {
			continue
		}
		at := openedKey{key.Seq, ref.Set}
		if core.Key != nil {
			k, err := rec.OpenKey(i, v.ids...)
			if err != nil {
				v.fault("key record %d of feed %s: the key of set %d: %v", core.Seq, f.id.Short(), i, err)
				continue
			}
			f.opened[at] = k
		} else {
			k, ok := f.opened[at]
			if !ok {
				v.fault("record %d of feed %s: the feed key of section %d is not open", core.Seq, f.id.Short(), i)
				continue
			}
			if _, err := rec.OpenSection(i, k, key.Sets[ref.Set]); err != nil {
				v.fault("record %d of feed %s: section %d: %v", core.Seq, f.id.Short(), i, err)
				continue
			}
		}
		v.out.Opened++
	}
}

// endFeed compares the walked chain with the stored one.
func (v *verifier) endFeed() {
	f := v.feed
	v.feed = nil
	if f == nil || v.reg == nil || f.broken {
		return
	}
	a, b := f.chain, f.stored
	if a.Seq != b.Seq || a.Head != b.Head || a.Size != b.Size || a.Day != b.Day || a.Key.Seq != b.Key.Seq || !slices.Equal(a.Refused, b.Refused) {
		v.fault("feed %s: its records make another head than the one that is kept", f.id.Short())
	}
}
