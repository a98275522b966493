package casebook

import (
	"slices"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// Stage is how far a record has come to one organisation. Stages are known
// from receipts, which the author's organisation has.
type Stage string

// The stages. That somebody opened it is not told yet.
const (
	Queued        Stage = "queued"         // at its author alone
	WithCustodian Stage = "with-custodian" // a custodian keeps it for when they are there
	Stored        Stage = "stored"         // durable at the organisation
	Opened_       Stage = "opened"         // read there; not told yet
	RefusedThere  Stage = "refused"        // its nodes hold that it breaks a rule
)

// Delivery is how far one record has come to one organisation.
type Delivery struct {
	Stage Stage             `json:"stage"`
	Nodes []protocol.NodeID `json:"nodes,omitempty"` // that say so
	Code  protocol.Code     `json:"code,omitempty"`  // of a refusal
	Why   string            `json:"why,omitempty"`
}

// delivery asks the receipts how far a record has come to an organisation;
// nil where that cannot be told.
func (b *Book) delivery(x *index, at place, to protocol.OrgID) *Delivery {
	if at.seq == 0 {
		return nil
	}
	b.mu.Lock()
	feed := x.feed[at.feed].id
	b.mu.Unlock()
	holders, err := b.o.Records.Delivery(feed, at.seq)
	if err != nil {
		b.o.Log.Warn("receipts cannot be read", "feed", feed.Short(), "err", err)
		return nil
	}
	d := Delivery{Stage: Queued}
	raise := func(s Stage, node protocol.NodeID) {
		if rank(s) > rank(d.Stage) {
			d = Delivery{Stage: s}
		}
		if s == d.Stage {
			d.Nodes = append(d.Nodes, node)
		}
	}
	for _, h := range holders {
		switch {
		case h.Org == b.o.Org:
		case h.Org == to && h.Vouches:
			raise(Stored, h.Node)
		case h.Org == to && h.Refused != 0:
			raise(RefusedThere, h.Node)
			d.Code, d.Why = h.Refused, h.Refused.String()
		case h.Vouches:
			raise(WithCustodian, h.Node)
		}
	}
	if d.Stage == WithCustodian {
		// Another addressee that stores its copy is no custodian of this one.
		_, custodians, err := b.readers(feed, at.seq)
		if err != nil {
			return nil
		}
		d = Delivery{Stage: Queued}
		for _, h := range holders {
			if h.Vouches && slices.Contains(custodians, h.Org) {
				d.Stage, d.Nodes = WithCustodian, append(d.Nodes, h.Node)
			}
		}
	}
	return &d
}

func rank(s Stage) int {
	return slices.Index([]Stage{Queued, WithCustodian, RefusedThere, Stored}, s)
}

// sectionReaders lists who reads each section of the record at a place, from
// the key record that it is under; the author's organisation among them.
func (b *Book) sectionReaders(x *index, at place) ([][]protocol.OrgID, error) {
	b.mu.Lock()
	feed := x.feed[at.feed].id
	b.mu.Unlock()
	sections, _, err := b.readers(feed, at.seq)
	return sections, err
}

func (b *Book) readers(feed protocol.FeedID, seq uint64) (sections [][]protocol.OrgID, custodians []protocol.OrgID, err error) {
	rec, err := b.o.Records.Record(feed, seq)
	if err != nil {
		return nil, nil, err
	}
	data := rec.Core().Data
	if data == nil {
		return nil, nil, protocol.ErrSection
	}
	key, err := b.o.Records.Record(feed, data.Key)
	if err != nil {
		return nil, nil, err
	}
	link, ok := protocol.KeyLinkOf(key.Core())
	if !ok {
		return nil, nil, protocol.ErrSection
	}
	for _, ref := range data.Sections {
		var orgs []protocol.OrgID
		if ref.Set < uint64(len(link.Sets)) {
			for _, r := range link.Sets[ref.Set].Readers {
				orgs = append(orgs, r.Org)
			}
		}
		sections = append(sections, orgs)
	}
	return sections, link.Custodians, nil
}

// ahead is how many days the send's own day is after the checkpoint that it
// cites; 0 where that cannot be said.
func (b *Book) ahead(reg Register, x *index, f *folded) int {
	at := f.at[f.ID]
	b.mu.Lock()
	feed := x.feed[at.feed].id
	b.mu.Unlock()
	rec, err := b.o.Records.Record(feed, at.seq)
	if err != nil {
		return 0
	}
	core := rec.Core()
	cited, ok := reg.DayAt(core.Size)
	if !ok || core.Day < cited {
		return 0
	}
	return int(core.Day - cited)
}

// access says who can read and who keeps the send.
func (b *Book) access(n namer, x *index, f *folded) (Access, error) {
	at := f.at[f.ID]
	b.mu.Lock()
	feed := x.feed[at.feed].id
	b.mu.Unlock()
	sections, custodians, err := b.readers(feed, at.seq)
	a := Access{Record: f.ID, Custodians: []Organisation{}}
	for i, orgs := range sections {
		p := PartReaders{}
		if i < referral.SectionCount {
			p.Part = referral.PartNames[i]
		}
		for _, id := range orgs {
			p.Readers = append(p.Readers, n.of(id))
		}
		a.Parts = append(a.Parts, p)
	}
	for _, id := range custodians {
		a.Custodians = append(a.Custodians, n.of(id))
	}
	return a, err
}
