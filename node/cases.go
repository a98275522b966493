package node

import (
	"context"
	"errors"
	"strings"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/node/config"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// records is the replica as the casebook sees it.
type records struct{ n *Node }

func (r records) Send(ctx context.Context, d casebook.Draft) (casebook.Sent, error) {
	if err := r.n.checkClock(); err != nil {
		return casebook.Sent{}, err
	}
	s, err := r.n.rep.Send(ctx, replica.Draft{Audience: d.Audience, Parts: d.Parts, Contents: d.Contents, Custodians: d.Custodians, Barred: d.Barred, Keep: true, Expiry: d.Expiry})
	return casebook.Sent{Record: s.Record, Feed: s.Feed, Seq: s.Seq, Queued: s.Queued, Reason: s.Reason}, caseError(err)
}

func (r records) Open(rec *protocol.Record) ([]casebook.Opened, error) {
	list, err := r.n.rep.Open(rec)
	out := make([]casebook.Opened, 0, len(list))
	for _, o := range list {
		out = append(out, casebook.Opened{Section: o.Section, Content: o.Content, Err: o.Err})
	}
	return out, caseError(err)
}

func (r records) Record(f protocol.FeedID, seq uint64) (*protocol.Record, error) {
	return r.n.store.Record(f, seq)
}

func (r records) Each(fn func(*protocol.Record) error) error { return r.n.rep.Records(fn) }

func (r records) Delivery(f protocol.FeedID, seq uint64) ([]casebook.Holder, error) {
	list, err := r.n.rep.Delivery(f, seq)
	out := make([]casebook.Holder, 0, len(list))
	for _, h := range list {
		out = append(out, casebook.Holder{Org: h.Org, Node: h.Node, Seq: h.Seq, Vouches: h.Vouches, Refused: h.Refused})
	}
	return out, err
}

func caseError(err error) error {
	switch {
	case errors.Is(err, replica.ErrLocked):
		return casebook.ErrLocked
	case errors.Is(err, replica.ErrNotAReader):
		return casebook.ErrNotAReader
	}
	return err
}

// openBook makes the casebook; it is filled when the node is unlocked.
func (n *Node) openBook() (err error) {
	n.book, err = casebook.New(casebook.Options{Org: n.id.Org, Records: records{n}, Now: n.time, Random: random, Log: n.log,
		Register: func() casebook.Register { return n.reg.State() }, KeepDays: n.cfg.KeepDays,
		Desk:       casebook.Desk{Unit: n.cfg.Desk.Unit, Role: n.cfg.Desk.Role, Phone: n.cfg.Desk.Phone, Language: n.cfg.Desk.Language},
		Unreadable: n.report, Other: n.other, Count: n.countRecords})
	return err
}

func (n *Node) countRecords() (total uint64) {
	for _, f := range n.rep.Feeds() {
		total += f.Chain.Seq
	}
	return total
}

// report tells an author, sealed, that a section of its record does not open.
func (n *Node) report(ctx context.Context, rec *protocol.Record, section int) {
	custodians, err := n.book.Custodians([]protocol.OrgID{rec.Core().Author}, nil)
	if err == nil {
		err = n.rep.Report(ctx, rec, section, custodians)
	}
	if err != nil {
		n.log.Warn("an unreadable section is not reported yet", "feed", rec.Feed().Short(), "seq", rec.Core().Seq, "err", err)
	}
}

// other takes records that are neither referrals nor alerts: a reader's report
// that a record of ours does not open is kept for status.
func (n *Node) other(rec *protocol.Record, kind string, at int64, bodies [][]byte) {
	if kind != replica.KindUnreadable || rec.Core().Author == n.id.Org || len(bodies) != 1 {
		return
	}
	c, err := replica.ReadReport(rec.Core().Author, at, bodies[0])
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	by := 0 // one member's inventions must not crowd out another's report
	for _, o := range n.complaints {
		if o.By == c.By {
			by++
		}
		if o.By == c.By && o.Unreadable == c.Unreadable {
			return
		}
	}
	if by < complaintsEach && len(n.complaints) < maxComplaints {
		n.complaints = append(n.complaints, c)
	}
}

// Reports kept for status: of one organisation, and in all.
const (
	complaintsEach = 20
	maxComplaints  = 1000
)

// loadBook fills the casebook after each unlock.
func (n *Node) loadBook(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.load:
		}
		if n.Locked() {
			continue // again
		}
		if err := n.book.Load(ctx, nil); err != nil && !errors.Is(err, casebook.ErrLocked) && ctx.Err() == nil {
			n.log.Warn("cases are not all listed", "err", err)
		}
		n.turn.Lock()
		if n.Locked() { // meanwhile: an empty book would say that there is nothing
			n.book.Lock()
		}
		n.turn.Unlock()
	}
}

// answer makes an API error of a casebook's.
func answer[T any](v T, err error) (T, error) {
	if err == nil {
		return v, nil
	}
	kinds := map[casebook.Kind]api.Kind{casebook.Invalid: api.Invalid, casebook.Refused: api.Refused, casebook.Conflict: api.Conflict, casebook.NotFound: api.NotFound,
		casebook.Ambiguous: api.Invalid, casebook.Locked: api.Locked}
	kind, ok := kinds[casebook.KindOf(err)]
	switch {
	case ok:
	case errors.Is(err, replica.ErrReplaced):
		kind = api.Refused
	case diskFault(err), errors.Is(err, errClock):
		kind = api.Unavailable
	default:
		kind = api.Internal
	}
	out := &api.Error{Kind: kind, Text: err.Error()}
	var e *casebook.Error
	if errors.As(err, &e) {
		for _, f := range e.Faults {
			out.Faults = append(out.Faults, f.Field+" ("+string(f.Rule)+"): "+f.Message+remedy(f))
		}
		for _, f := range e.Findings {
			text := f.String()
			if f.Rule == alert.RuleCategory {
				text += codesOf(vocab.AlertCategory)
			}
			out.Faults = append(out.Faults, text)
		}
	}
	return v, out
}

// remedy says where what a fault asks for is to be found.
func remedy(f referral.Fault) string {
	switch list, ofList := strings.CutPrefix(f.Message, "is no code of the list "); {
	case f.Rule == referral.RuleKnownCode && ofList:
		return codesOf(vocab.List(list))
	case f.Rule == referral.RuleRequired && strings.HasPrefix(f.Field, "summary.sender."):
		return ": set it once, as " + strings.TrimPrefix(f.Field, "summary.sender.") + " under [desk] in " + config.FileName + ", and start the node again"
	}
	return ""
}

func codesOf(l vocab.List) string { return ": 'alliance codes " + string(l) + "' prints them" }
