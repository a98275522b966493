package reconcile

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

var testNetwork = protocol.NetworkID{1}

// feed is an invented feed ID; spread ones lie in all buckets, others in one.
func feed(n int, spread bool) protocol.FeedID {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h := crypto.Sum("test-feed", crypto.Hash{}, b[:])
	if !spread {
		h[0] = 0x77
	}
	return protocol.FeedID(h)
}

func record(f protocol.FeedID, seq uint64, branch byte) protocol.RecordID {
	var b [9]byte
	binary.BigEndian.PutUint64(b[:], seq)
	b[8] = branch
	return protocol.RecordID(crypto.Sum("test-record", crypto.Hash(f), b[:]))
}

func entry(f protocol.FeedID, seq uint64, branch byte) Entry {
	return Entry{Feed: f, Seq: seq, Head: record(f, seq, branch)}
}

func frontier(t testing.TB, entries []Entry) *Frontier {
	t.Helper()
	f, err := NewFrontier(testNetwork, entries)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *Result) add(more Result) {
	r.Want = append(r.Want, more.Want...)
	r.Offer = append(r.Offer, more.Offer...)
	r.Diverged = append(r.Diverged, more.Diverged...)
}

// exchange runs two sessions against each other, over the wire format, and
// returns what each found and how many messages it took.
func exchange(t testing.TB, asker, answerer *Frontier) (a, b Result, messages int) {
	t.Helper()
	ends := [2]*Session{New(asker), New(answerer)}
	found := [2]*Result{&a, &b}
	msg := ends[0].Start()
	for to := 1; ; to = 1 - to {
		messages++
		m, err := Decode(msg.Encode())
		if err != nil {
			t.Fatalf("message %d: %v", messages, err)
		}
		reply, more, done, err := ends[to].Step(m)
		if err != nil {
			t.Fatalf("message %d: %v", messages, err)
		}
		found[to].add(more)
		if reply == nil {
			if !done {
				t.Fatalf("message %d: no reply, and not done", messages)
			}
			return a, b, messages
		}
		msg = *reply
	}
}

// expected is what one end should find, said in the simplest way.
func expected(mine, theirs []Entry) (out Result) {
	at := map[protocol.FeedID][2]Entry{}
	for _, e := range mine {
		at[e.Feed] = [2]Entry{e, {}}
	}
	for _, e := range theirs {
		at[e.Feed] = [2]Entry{at[e.Feed][0], e}
	}
	var ids []protocol.FeedID
	for id := range at {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, protocol.FeedID.Compare)
	for _, id := range ids {
		switch m, t := at[id][0], at[id][1]; {
		case m.Seq < t.Seq:
			out.Want = append(out.Want, Span{id, m.Seq + 1, t.Seq})
		case t.Seq < m.Seq:
			out.Offer = append(out.Offer, Span{id, t.Seq + 1, m.Seq})
		case m.Head != t.Head:
			out.Diverged = append(out.Diverged, Divergence{id, m.Seq, m.Head, t.Head})
		}
	}
	return out
}

func pages(n int) int { return n/MaxPage + 1 }

func check(t testing.TB, mine, theirs []Entry) (messages int) {
	t.Helper()
	a, b, messages := exchange(t, frontier(t, mine), frontier(t, theirs))
	if want := expected(mine, theirs); !reflect.DeepEqual(a, want) {
		t.Fatalf("asker found %+v, want %+v", a, want)
	}
	if want := expected(theirs, mine); !reflect.DeepEqual(b, want) {
		t.Fatalf("answerer found %+v, want %+v", b, want)
	}
	if most := 2 + 2*(pages(len(mine))+pages(len(theirs))); messages > most {
		t.Fatalf("%d messages, want at most %d", messages, most)
	}
	return messages
}

// Any two frontiers: both ends find exactly the difference, in a bounded number
// of messages.
func TestAnyTwoFrontiers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spread := rapid.Bool().Draw(rt, "spread")
		feeds := rapid.SampledFrom([]int{0, 1, 5, 100, 140, 200, 300, 500, 2500}).Draw(rt, "feeds")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		differ := rapid.SampledFrom([]float64{0, 0.001, 0.1, 1}).Draw(rt, "differ")
		var mine, theirs []Entry
		for n := range feeds {
			e := entry(feed(n, spread), 1+rng.Uint64N(5), 0)
			m, u := e, e
			if rng.Float64() < differ {
				switch rng.IntN(5) {
				case 0:
					m = entry(e.Feed, e.Seq+1+rng.Uint64N(3), 0)
				case 1:
					u = entry(e.Feed, e.Seq+1+rng.Uint64N(1<<40), 0)
				case 2:
					u = entry(e.Feed, e.Seq, 1)
				case 3:
					m = Entry{}
				case 4:
					u = Entry{}
				}
			}
			if m.Seq > 0 {
				mine = append(mine, m)
			}
			if u.Seq > 0 {
				theirs = append(theirs, u)
			}
		}
		rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		check(t, mine, theirs)
	})
}

func TestMessagesOfTheUsualCases(t *testing.T) {
	var many []Entry
	for n := range 10_000 {
		many = append(many, entry(feed(n, true), 7, 0))
	}
	oneNewer := slices.Clone(many)
	oneNewer[5000] = entry(oneNewer[5000].Feed, 8, 0)
	edges := []Entry{entry(firstFeed, 1, 0), entry(lastFeed, 2, 0)}
	full := slices.Clone(many[:MaxPage-1])
	full = append(full, entry(lastFeed, 1, 0)) // a full page that ends at the last ID
	for _, tc := range []struct {
		name         string
		mine, theirs []Entry
		messages     int
	}{
		{"idle and empty", nil, nil, 1},
		{"idle", many, many, 1},
		{"one newer among many", oneNewer, many, 4},
		{"one older among many", many, oneNewer, 4},
		{"a few", many[:3], many[1:4], 3},
		{"edges", edges, nil, 3},
		{"edges, from the other end", nil, edges, 3},
		{"a newcomer asks", nil, many, 2 + 2*10},
		{"a newcomer is asked", many, nil, 1 + 2*1 + 2*9},
		{"a full last page", full, many[:1], 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := check(t, tc.mine, tc.theirs); got != tc.messages {
				t.Errorf("%d messages, want %d", got, tc.messages)
			}
		})
	}
}

func TestNewFrontierRefuses(t *testing.T) {
	f := feed(1, true)
	for name, list := range map[string][]Entry{
		"a feed twice": {entry(f, 1, 0), entry(f, 2, 0)},
		"seq 0":        {{Feed: f, Head: record(f, 1, 0)}},
		"no head":      {{Feed: f, Seq: 1}},
	} {
		if _, err := NewFrontier(testNetwork, list); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	a, b := frontier(t, []Entry{entry(f, 1, 0)}), frontier(t, nil)
	other, err := NewFrontier(protocol.NetworkID{2}, []Entry{entry(f, 1, 0)})
	if err != nil || a.digest == b.digest || a.digest == other.digest {
		t.Error("digests do not tell frontiers or networks apart")
	}
}

// A peer that names feeds which it may not know of is answered, byte for byte,
// as if this node did not hold them: the frontier of what both are entitled to
// is all that the machine has.
func TestAttackInterestDisclosure(t *testing.T) {
	shared := []Entry{entry(feed(1, true), 3, 0), entry(feed(2, true), 4, 0)}
	guessed := []Entry{entry(feed(3, true), 1, 0), entry(feed(4, true), 9, 0), entry(feed(5, true), 2, 0)}
	held := map[protocol.FeedID]bool{shared[0].Feed: true, shared[1].Feed: true}
	probe := func(named []Entry) (said [][]byte) {
		hostile, honest := New(frontier(t, named)), New(frontier(t, shared))
		msg := hostile.Start()
		for {
			reply, _, _, err := honest.Step(msg)
			if err != nil || reply == nil {
				return said
			}
			said = append(said, reply.Encode())
			if reply.Page != nil {
				for _, e := range reply.Page.Entries {
					if !held[e.Feed] {
						t.Fatalf("feed %s was mentioned", e.Feed.Short())
					}
				}
			}
			back, _, _, err := hostile.Step(*reply)
			if err != nil || back == nil {
				return said
			}
			msg = *back
		}
	}
	quiet := probe(shared[:1])
	for n := range guessed {
		if loud := probe(append(slices.Clone(shared[:1]), guessed[:n+1]...)); !reflect.DeepEqual(loud, quiet) {
			t.Fatalf("naming %d feeds changed the answers", n+1)
		}
	}
}

// What no honest peer sends ends the session with ErrPeer, and found-out things
// stay as they were.
func TestHostileMessages(t *testing.T) {
	var many []Entry
	for n := range 3000 {
		many = append(many, entry(feed(n, true), 7, 0))
	}
	mine := frontier(t, many)
	other := crypto.Hash{9}
	some := entry(feed(1, true), 1, 0)
	page := func(p Page) Msg { return Msg{Page: &p} }
	asked := func() *Session { s := New(mine); s.Start(); return s }
	led := func() *Session { // has sent the buckets
		s := New(mine)
		s.Step(Msg{Digest: &other})
		return s
	}
	lead := func() *Session { // has sent a page
		s := asked()
		s.Step(Msg{Buckets: []BucketDigest{}})
		return s
	}
	var out []Entry
	for n := range MaxPage + 1 {
		out = append(out, entry(feed(n, true), 1, 0))
	}
	slices.SortFunc(out, func(a, b Entry) int { return a.Feed.Compare(b.Feed) })
	one := Buckets{}
	one.add(int(some.Feed[0]) ^ 1)
	for name, tc := range map[string]struct {
		at *Session
		m  Msg
	}{
		"nothing":                       {New(mine), Msg{}},
		"two things":                    {New(mine), Msg{Digest: &other, Page: &Page{Of: allBuckets, To: lastFeed}}},
		"a page before a digest":        {New(mine), page(Page{Of: allBuckets, To: lastFeed})},
		"buckets before a digest":       {New(mine), Msg{Buckets: []BucketDigest{}}},
		"a digest for an answer":        {asked(), Msg{Digest: &other}},
		"a second digest":               {led(), Msg{Digest: &other}},
		"buckets out of order":          {asked(), Msg{Buckets: []BucketDigest{{Bucket: 2, Digest: other}, {Bucket: 1, Digest: other}}}},
		"a bucket twice":                {asked(), Msg{Buckets: []BucketDigest{{Bucket: 2, Digest: other}, {Bucket: 2, Digest: other}}}},
		"no bucket":                     {led(), page(Page{To: lastFeed})},
		"a range backwards":             {led(), page(Page{Of: allBuckets, From: lastFeed})},
		"a page that ends early":        {led(), page(Page{Of: allBuckets, To: some.Feed})},
		"a page that begins late":       {led(), page(Page{Of: allBuckets, From: some.Feed, To: lastFeed})},
		"entries out of order":          {led(), page(Page{Of: allBuckets, To: lastFeed, Entries: []Entry{out[1], out[0]}})},
		"an entry twice":                {led(), page(Page{Of: allBuckets, To: lastFeed, Entries: []Entry{some, some}})},
		"seq 0":                         {led(), page(Page{Of: allBuckets, To: lastFeed, Entries: []Entry{{Feed: some.Feed, Head: some.Head}}})},
		"too many entries":              {led(), page(Page{Of: allBuckets, To: lastFeed, Entries: out})},
		"an entry of another bucket":    {led(), page(Page{Of: one, To: lastFeed, Entries: []Entry{some}})},
		"an answer of other buckets":    {lead(), page(Page{Of: one, To: lastFeed})},
		"an answer beyond the question": {lead(), page(Page{Of: allBuckets, To: lastFeed})},
		"an answer of no progress":      {lead(), page(Page{Of: allBuckets, To: firstFeed})},
	} {
		t.Run(name, func(t *testing.T) {
			reply, found, done, err := tc.at.Step(tc.m)
			if !errors.Is(err, ErrPeer) || reply != nil || !done || !reflect.DeepEqual(found, Result{}) {
				t.Fatalf("got %v, %+v, %v, %v", reply, found, done, err)
			}
			if _, _, _, err := tc.at.Step(Msg{Digest: &other}); !errors.Is(err, ErrPeer) {
				t.Fatalf("afterwards: %v", err)
			}
		})
	}
}

// A peer that invents feeds without end is cut off, whichever part it plays.
func TestAttackEndlessFrontier(t *testing.T) {
	invented := func(from protocol.FeedID) (list []Entry) {
		for id := from; len(list) < MaxPage; id = after(id) {
			list = append(list, Entry{Feed: id, Seq: 1, Head: protocol.RecordID{1}})
		}
		return list
	}
	// As leader.
	var many []Entry
	for n := range SmallFrontier + 1 {
		many = append(many, entry(feed(n, true), 7, 0))
	}
	s := New(frontier(t, many))
	other := crypto.Hash{9}
	reply, _, _, err := s.Step(Msg{Digest: &other})
	if err != nil || reply.Buckets == nil {
		t.Fatalf("got %+v, %v", reply, err)
	}
	from, steps := firstFeed, 0
	for err == nil {
		list := invented(from)
		to := list[MaxPage-1].Feed
		_, _, _, err = s.Step(Msg{Page: &Page{Of: allBuckets, From: from, To: to, Entries: list}})
		from = after(to)
		steps++
	}
	if !errors.Is(err, ErrPeer) || steps != MaxEntries/MaxPage+1 {
		t.Fatalf("cut off after %d pages: %v", steps, err)
	}
	// As follower.
	s = New(frontier(t, nil))
	reply, _, _, err = s.Step(Msg{Digest: &other})
	for steps = 0; err == nil; steps++ {
		p := *reply.Page
		p.Entries = invented(p.From)
		p.To = p.Entries[MaxPage-1].Feed
		reply, _, _, err = s.Step(Msg{Page: &p})
	}
	if !errors.Is(err, ErrPeer) || steps != MaxEntries/MaxPage+1 {
		t.Fatalf("cut off after %d pages: %v", steps, err)
	}
}

func TestTheLargestMessagesFit(t *testing.T) {
	p := Page{Of: allBuckets, To: lastFeed}
	for n := range MaxPage {
		p.Entries = append(p.Entries, Entry{Feed: feed(n, true), Seq: 1<<64 - 1, Head: protocol.RecordID{1}})
	}
	m := Msg{}
	for b := range buckets {
		m.Buckets = append(m.Buckets, BucketDigest{Bucket: uint8(b), Digest: crypto.Hash{1}})
	}
	for _, m := range []Msg{{Page: &p}, m} {
		if n := len(m.Encode()); n > MaxMessage {
			t.Errorf("%d bytes, at most %d are read", n, MaxMessage)
		}
	}
}
