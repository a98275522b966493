package reconcile

import (
	"fmt"

	"github.com/national-alliance/alliance/protocol"
)

// Span is records From to To, both included, of one feed.
type Span struct {
	Feed     protocol.FeedID
	From, To uint64
}

// Divergence is one feed whose newest record has the same seq at both ends and
// is not the same record: one of its author's keys signed a fork.
type Divergence struct {
	Feed         protocol.FeedID
	Seq          uint64
	Mine, Theirs protocol.RecordID
}

// Result is what a step found out, in the order of feeds. A feed occurs once in
// a session. Wants are claims: the peer may hold nothing of the sort.
type Result struct {
	Want     []Span // the peer says that it holds these, and we do not
	Offer    []Span // we hold these, and the peer says that it does not
	Diverged []Divergence
}

// Session is one exchange with one peer. It is not for concurrent use.
type Session struct {
	mine  *Frontier
	state state
	of    Buckets
	from  protocol.FeedID // where the next page begins
	to    protocol.FeedID // leader: where the page sent ends
	taken int             // entries from the peer
}

type state uint8

const (
	fresh     state = iota
	asked           // the digest is sent
	listed          // the buckets' digests are sent: the asker leads
	following       // a page was answered
	leading         // a page is sent
	over
)

// New begins a session over a frontier. Call Start at the end that asks; the
// other end begins with Step.
func New(mine *Frontier) *Session { return &Session{mine: mine} }

// Start returns the asker's first message. If no answer comes to it, the two
// frontiers are equal.
func (s *Session) Start() Msg {
	s.state = asked
	d := s.mine.digest
	return Msg{Digest: &d}
}

// Step takes the peer's next message. It returns the reply to send, if any; what
// was found out by this message; and whether this end is done: then no further
// message is taken. Errors wrap [ErrPeer] and end the session; what earlier
// steps found out stands.
func (s *Session) Step(m Msg) (reply *Msg, found Result, done bool, err error) {
	reply, found, err = s.step(m)
	if err != nil {
		s.state = over
		return nil, Result{}, true, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	return reply, found, s.state == over, nil
}

func (s *Session) step(m Msg) (*Msg, Result, error) {
	if err := m.check(); err != nil {
		return nil, Result{}, err
	}
	switch {
	case s.state == fresh && m.Digest != nil:
		return s.answer(m), Result{}, nil
	case s.state == asked && m.Buckets != nil:
		for b, i := 0, 0; b < buckets; b++ {
			var theirs BucketDigest
			if i < len(m.Buckets) && int(m.Buckets[i].Bucket) == b {
				theirs = m.Buckets[i]
				i++
			}
			if theirs.Digest != s.mine.digests[b] {
				s.of.add(b)
			}
		}
		if s.of == (Buckets{}) {
			return nil, Result{}, fmt.Errorf("its digests differ in sum and not in any bucket")
		}
		return s.lead(), Result{}, nil
	case (s.state == asked || s.state == listed || s.state == following) && m.Page != nil:
		return s.follow(m.Page)
	case s.state == leading && m.Page != nil:
		return s.followed(m.Page)
	}
	return nil, Result{}, fmt.Errorf("a message that does not belong here")
}

// answer is the answerer's first reply.
func (s *Session) answer(m Msg) *Msg {
	if *m.Digest == s.mine.digest {
		s.state = over
		return nil
	}
	if s.mine.Len() <= SmallFrontier {
		s.of = allBuckets
		return s.lead()
	}
	s.state = listed
	var out Msg
	for b, d := range s.mine.digests {
		if s.mine.starts[b] < s.mine.starts[b+1] {
			out.Buckets = append(out.Buckets, BucketDigest{Bucket: uint8(b), Digest: d})
		}
	}
	return &out
}

// lead sends the page at s.from.
func (s *Session) lead() *Msg {
	s.state = leading
	list, to := s.mine.page(&s.of, s.from, lastFeed)
	s.to = to
	return &Msg{Page: &Page{Of: s.of, From: s.from, To: to, Entries: list}}
}

// follow answers the leader's page.
func (s *Session) follow(p *Page) (*Msg, Result, error) {
	if s.state != following {
		s.of = p.Of
	}
	if p.Of != s.of || p.From != s.from || !p.cut(lastFeed) {
		return nil, Result{}, fmt.Errorf("a page that does not follow the one before")
	}
	if err := s.take(p); err != nil {
		return nil, Result{}, err
	}
	s.state = following
	list, to := s.mine.page(&s.of, p.From, p.To)
	reply := &Msg{Page: &Page{Of: s.of, From: p.From, To: to, Entries: list}}
	s.advance(to)
	return reply, compare(list, p.Entries, to), nil
}

// followed takes the follower's answer and goes on behind it.
func (s *Session) followed(p *Page) (*Msg, Result, error) {
	if p.Of != s.of || p.From != s.from || !p.cut(s.to) {
		return nil, Result{}, fmt.Errorf("a page that does not answer the one sent")
	}
	if err := s.take(p); err != nil {
		return nil, Result{}, err
	}
	list, _ := s.mine.page(&s.of, s.from, p.To)
	found := compare(list, p.Entries, p.To)
	if s.advance(p.To); s.state == over {
		return nil, found, nil
	}
	return s.lead(), found, nil
}

func (s *Session) take(p *Page) error {
	if s.taken += len(p.Entries); s.taken > MaxEntries {
		return fmt.Errorf("more than %d entries", MaxEntries)
	}
	return nil
}

func (s *Session) advance(to protocol.FeedID) {
	if to == lastFeed {
		s.state = over
		return
	}
	s.from = after(to)
}

// compare merges two lists as far as to.
func compare(mine, theirs []Entry, to protocol.FeedID) (out Result) {
	for len(mine) > 0 || len(theirs) > 0 {
		var m, t Entry
		order := 0
		switch {
		case len(theirs) == 0:
			order = -1
		case len(mine) == 0:
			order = 1
		default:
			order = mine[0].Feed.Compare(theirs[0].Feed)
		}
		if order <= 0 {
			m, mine = mine[0], mine[1:]
		}
		if order >= 0 {
			t, theirs = theirs[0], theirs[1:]
		}
		feed := m.Feed
		if order > 0 {
			feed = t.Feed
		}
		switch {
		case feed.Compare(to) > 0:
			return out
		case m.Seq < t.Seq:
			out.Want = append(out.Want, Span{feed, m.Seq + 1, t.Seq})
		case m.Seq > t.Seq:
			out.Offer = append(out.Offer, Span{feed, t.Seq + 1, m.Seq})
		case m.Head != t.Head:
			out.Diverged = append(out.Diverged, Divergence{feed, m.Seq, m.Head, t.Head})
		}
	}
	return out
}
