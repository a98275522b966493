package casebook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

// index is what the book holds in memory while it is unlocked. Book.mu guards
// it.
type index struct {
	me          protocol.OrgID
	loading     bool
	first       bool // Load reads the records for the first time
	done, total uint64

	feeds  map[protocol.FeedID]uint32
	feed   []feedIndex
	orgs   map[protocol.OrgID]uint32
	org    []protocol.OrgID
	cases  map[protocol.RecordID]*kase
	dirty  map[*kase]struct{} // whose row is older than its events
	cache  cache
	alerts alerts

	unreadable map[spot]struct{}
	malformed  map[place]struct{}
}

// feedIndex says which records of a feed need no second look: all up to upTo,
// and more.
type feedIndex struct {
	id   protocol.FeedID
	upTo uint64
	more map[uint64]struct{}
}

// place is where a record stands.
type place struct {
	feed uint32 // in index.feed
	seq  uint64
}

type spot struct {
	place
	section int
}

// kase is one referral: the places of its records, and its row.
type kase struct {
	id      protocol.RecordID // of the send
	events  []place
	version uint32 // of events
	row     row
}

func newIndex(me protocol.OrgID, strays int) *index {
	return &index{me: me, feeds: map[protocol.FeedID]uint32{}, orgs: map[protocol.OrgID]uint32{}, cases: map[protocol.RecordID]*kase{},
		dirty: map[*kase]struct{}{}, cache: newCache(), alerts: newAlerts(me, strays),
		unreadable: map[spot]struct{}{}, malformed: map[place]struct{}{}}
}

func (x *index) place(rec *protocol.Record) place {
	id := rec.Feed()
	n, ok := x.feeds[id]
	if !ok {
		n = uint32(len(x.feed))
		x.feeds[id] = n
		x.feed = append(x.feed, feedIndex{id: id})
	}
	return place{n, rec.Core().Seq}
}

// has reports whether a record needs no second look.
func (x *index) has(rec *protocol.Record) bool {
	n, ok := x.feeds[rec.Feed()]
	if !ok {
		return false
	}
	f, seq := &x.feed[n], rec.Core().Seq
	_, more := f.more[seq]
	return seq <= f.upTo || more
}

func (x *index) saw(p place) {
	f := &x.feed[p.feed]
	if p.seq <= f.upTo {
		return
	}
	if p.seq > f.upTo+1 {
		if f.more == nil {
			f.more = map[uint64]struct{}{}
		}
		f.more[p.seq] = struct{}{}
		return
	}
	f.upTo = p.seq
	for len(f.more) > 0 {
		if _, ok := f.more[f.upTo+1]; !ok {
			return
		}
		f.upTo++
		delete(f.more, f.upTo)
	}
}

func (x *index) number(org protocol.OrgID) uint32 {
	n, ok := x.orgs[org]
	if !ok {
		n = uint32(len(x.org))
		x.orgs[org] = n
		x.org = append(x.org, org)
	}
	return n
}

// index opens a record and notes what it is about. It reports a change only
// where the record speaks of a case or an alert and is new.
func (b *Book) index(ctx context.Context, rec *protocol.Record) (Change, bool, error) {
	b.mu.Lock()
	x := b.x
	known := x == nil || x.has(rec)
	b.mu.Unlock()
	if known {
		return Change{}, false, nil
	}
	if rec.State() != protocol.Linked {
		return Change{}, false, nil // a held one may be released, and is added again then
	}
	if rec.Core().Data == nil {
		b.mu.Lock()
		x.saw(x.place(rec))
		b.mu.Unlock()
		return Change{}, false, nil
	}
	rd, err := b.read(ctx, x, rec)
	if err != nil || rd == nil {
		return Change{}, false, err
	}

	c := Change{Record: rec.ID(), Own: rec.Core().Author == b.o.Org}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := x.place(rec)
	seen := rd.whole
	defer func() {
		if seen {
			x.saw(p)
		}
	}()
	if rd.sections == nil {
		return Change{}, false, nil
	}
	switch {
	case strings.HasPrefix(rd.Kind, "referral/"):
		e, err := rd.referral(rec)
		if err != nil {
			x.malformed[p] = struct{}{}
			return Change{}, false, nil
		}
		c.What, c.ID = "referral", referral.Subject(e)
		return c, x.putEvent(p, e, rd.size), nil
	case strings.HasPrefix(rd.Kind, "alert/"):
		e := &alertEntry{place: p, Event: rd.alert(rec)}
		if a := e.Body.Alert; a != nil {
			if f := findings(b.o.Register(), rec, e.Event); len(f) > 0 {
				e.breaks = f[0].Rule
			}
			e.Body.Alert = inBrief(a)
		}
		c.What = "alert" // its ID is found when it is asked for
		fresh, kept := x.alerts.put(e)
		if !kept {
			seen = !x.first // what it names may be read later
			b.o.Log.Debug("record names alerts that are not here, as too many of its author's do", "feed", rec.Feed().Short(), "seq", rec.Core().Seq)
		}
		return c, fresh, nil
	}
	if rd.whole { // not the book's business
		b.o.Other(rec, rd.Kind, rd.Time, rd.sections)
	}
	return Change{}, false, nil
}

// putEvent adds an event to its case.
func (x *index) putEvent(p place, e referral.Event, size int) bool {
	id := referral.Subject(e)
	k := x.cases[id]
	if k == nil {
		k = &kase{id: id}
		x.cases[id] = k
	}
	first := len(k.events) == 0
	again := slices.Contains(k.events, p)
	if !again {
		k.events = append(k.events, p)
	}
	k.version++
	x.dirty[k] = struct{}{}
	switch {
	case again: // with more of its sections: all are read again
		x.cache.drop(k)
	case first:
		x.keep(k, &item{events: []referral.Event{e}, places: []place{p}, size: size})
	default:
		if it := x.cache.get(k); it != nil {
			it.events, it.places, it.folded = append(it.events, e), append(it.places, p), nil
			x.cache.grow(k, size)
			x.evict()
		}
	}
	return true
}

// reading is what came out of a record's seal: the content of its first
// section, which all its readers have, and all sections' bodies by number, nil
// for one that is not to be read here.
type reading struct {
	protocol.Content
	sections [][]byte // nil where the first one does not open
	size     int      // bytes in sections
	whole    bool     // nothing more can come of it
}

// read opens a record. It returns nil where this organisation reads none of it.
func (b *Book) read(ctx context.Context, x *index, rec *protocol.Record) (*reading, error) {
	opened, err := b.o.Records.Open(rec)
	if errors.Is(err, ErrNotAReader) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n := len(rec.Core().Data.Sections)
	rd := &reading{whole: true}
	bodies := make([][]byte, n)
	for _, o := range opened {
		if errors.Is(o.Err, protocol.ErrUnreadable) {
			b.unreadable(ctx, x, rec, o.Section)
			continue
		}
		if o.Err != nil {
			return nil, o.Err
		}
		if o.Section < 0 || o.Section >= n {
			return nil, fmt.Errorf("open record: no section %d", o.Section)
		}
		if o.Section == 0 {
			rd.Content, rd.sections = o.Content, bodies
		}
		if rd.sections != nil && o.Content.Kind != rd.Kind {
			continue // a part of something else does not belong here
		}
		bodies[o.Section] = o.Content.Body
		if bodies[o.Section] == nil {
			bodies[o.Section] = []byte{}
		}
		rd.size += len(o.Content.Body)
	}
	for i := range n {
		rd.whole = rd.whole && rec.Section(i) != nil
	}
	rd.Body = nil
	return rd, nil
}

func (b *Book) unreadable(ctx context.Context, x *index, rec *protocol.Record, section int) {
	b.mu.Lock()
	at := spot{x.place(rec), section}
	_, told := x.unreadable[at]
	x.unreadable[at] = struct{}{}
	b.mu.Unlock()
	if !told {
		b.o.Unreadable(ctx, rec, section)
	}
}

// referral returns the event in a record of a referral's kind. A part beside
// the summary that makes no sense is left out, so that everyone who reads the
// summary comes to the same state.
func (rd *reading) referral(rec *protocol.Record) (referral.Event, error) {
	core := rec.Core()
	e := referral.Event{ID: rec.ID(), Author: core.Author, Node: core.Node, Audience: core.Audience.Orgs,
		Kind: referral.Kind(rd.Kind), Time: referral.Time(rd.Time), Staff: rd.Staff, Refs: rd.Refs}
	body, err := referral.DecodeBody(e.Kind, rd.sections)
	if err != nil && (e.Kind == referral.KindSend || e.Kind == referral.KindAmend) {
		sections := slices.Clone(rd.sections)
		for i := 1; i < len(sections) && i < referral.SectionCount; i++ {
			probe := make([][]byte, i+1)
			probe[0], probe[i] = sections[0], sections[i]
			if _, err := referral.DecodeParts(probe); err != nil {
				sections[i] = nil
			}
		}
		body, err = referral.DecodeBody(e.Kind, sections)
	}
	if err != nil {
		return e, err
	}
	e.Body = body
	if referral.Subject(e).IsZero() {
		return e, errors.New("it names no referral")
	}
	return e, nil
}

// alert returns the event in a record of an alert's kind. A body that makes no
// sense is left empty: the fold says so.
func (rd *reading) alert(rec *protocol.Record) alert.Event {
	e := alert.Event{ID: rec.ID(), Author: rec.Core().Author, Kind: rd.Kind, Time: rd.Time, Staff: rd.Staff, Refs: rd.Refs}
	if len(rd.sections) != 1 {
		return e
	}
	if body, err := alert.DecodeBody(rd.Kind, rd.sections[0]); err == nil {
		e.Body = body
	}
	return e
}

// findings are the rules that an alert as it arrived breaks, judged by the
// register that its author saw.
func findings(reg Register, rec *protocol.Record, e alert.Event) []alert.Finding {
	core := rec.Core()
	var err error
	if e.Kind == alert.KindCancel {
		_, err = e.Body.Alert.Profile()
	} else {
		author, _ := reg.OrgAt(core.Author, core.Size)
		var classes []protocol.Class
		for _, id := range core.Audience.Orgs {
			o, _ := reg.OrgAt(id, core.Size)
			classes = append(classes, o.Class)
		}
		_, err = e.Body.Alert.CheckIssue(author.Class, author.Kind, classes, e.Time)
	}
	return alert.Findings(err)
}

// inBrief copies what lists and the fold need of an alert.
func inBrief(a *alert.Alert) *alert.Alert {
	c := &alert.Alert{Identifier: a.Identifier, Sender: a.Sender, Sent: a.Sent, Status: a.Status, MsgType: a.MsgType,
		Scope: a.Scope, Restriction: a.Restriction, Note: a.Note}
	for _, i := range a.Infos {
		c.Infos = append(c.Infos, alert.Info{Language: i.Language, Event: i.Event, Urgency: i.Urgency, Severity: i.Severity, Certainty: i.Certainty,
			EventCodes: i.EventCodes, Effective: i.Effective, Expires: i.Expires, Headline: i.Headline})
	}
	return c
}
