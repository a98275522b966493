package alert

import (
	"cmp"
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// Event is one verified and opened alert record, as the fold needs it.
type Event struct {
	ID     protocol.RecordID
	Author protocol.OrgID
	Kind   string
	Time   int64  // Unix seconds, by its author
	Staff  string // pseudonym
	Refs   []protocol.RecordID
	Body   Body
}

// before orders events by time, then ID.
func (e *Event) before(o *Event) int {
	return cmp.Or(cmp.Compare(e.Time, o.Time), e.ID.Compare(o.ID))
}

// Reject is an event that was kept and has no effect, and why.
type Reject struct {
	Event  Event
	Reason string
}

// State is every thread that some records tell of. The same records give the
// same State, in any order, however often each came.
type State struct {
	Threads []*Thread // by root ID
	Pending []Event   // that name no record known yet; by ID
	Stray   []Reject  // that belong to no one thread; by ID

	of map[protocol.RecordID]*Thread
}

// Thread is one alert: an issue and what followed.
type Thread struct {
	Root     protocol.RecordID
	Issuer   protocol.OrgID
	Versions []Event // the issue and its updates, in the order in which they build on each other
	Current  Event   // the version that stands, or stood last
	// Rivals are versions that nothing replaced, beside Current: two nodes of
	// the issuer wrote at once. The later one, by time and then ID, is Current.
	Rivals    []Event
	Withdrawn *Event // the earliest cancel; nil while the alert stands
	Answers   []Answer
	Rejected  []Reject // by ID
}

// Answer is an organisation's acknowledgement in force.
type Answer struct {
	Org     protocol.OrgID
	Event   Event
	Current bool // it is about the version that stands, or about the withdrawal
}

// Thread returns the thread that a record belongs to, accepted or rejected.
func (s *State) Thread(id protocol.RecordID) *Thread { return s.of[id] }

// placed is an event with what the fold finds out about it.
type placed struct {
	*Event
	roots []protocol.RecordID // sorted
	depth int                 // 1 for an issue; one more than the deepest record it names
	seen  int                 // for an acknowledgement: the depth of the version it is about
}

// Fold makes the State of a set of events. It never fails: what does not fit
// is kept and marked.
//
//   - An issue opens a thread; its author is the issuer.
//   - Other events belong to the thread of the records they name. Names of
//     records that are not there are passed over; one that names none which is
//     there waits as pending; one that names two threads is a stray.
//   - Only the issuer updates and cancels, and everyone else acknowledges.
//   - An update takes the place of the versions it names and of all before
//     them. A cancel is final, also against an update written at the same time.
//   - Of an organisation's acknowledgements the one about the newest version
//     counts; among these one that names another wins, then the later by time,
//     then the greater ID.
func Fold(events []Event) *State {
	s := &State{of: map[protocol.RecordID]*Thread{}}
	members := map[protocol.RecordID][]*placed{}
	var roots []protocol.RecordID // maps are not walked, so that every run is the same
	settled, rest := order(events)
	for _, p := range settled {
		switch len(p.roots) {
		case 0:
			if p.Kind == KindIssue {
				s.Stray = append(s.Stray, Reject{*p.Event, "it does not hold an alert"})
			} else {
				s.Pending = append(s.Pending, *p.Event)
			}
		case 1:
			if members[p.roots[0]] == nil {
				roots = append(roots, p.roots[0])
			}
			members[p.roots[0]] = append(members[p.roots[0]], p)
		default:
			s.Stray = append(s.Stray, Reject{*p.Event, "it names records of more than one alert"})
		}
	}
	s.Pending = append(s.Pending, rest...)
	for _, root := range roots {
		t := thread(root, members[root])
		s.Threads = append(s.Threads, t)
		for _, p := range members[root] {
			s.of[p.ID] = t
		}
	}
	slices.SortFunc(s.Threads, func(a, b *Thread) int { return a.Root.Compare(b.Root) })
	slices.SortFunc(s.Pending, func(a, b Event) int { return a.ID.Compare(b.ID) })
	slices.SortFunc(s.Stray, func(a, b Reject) int { return a.Event.ID.Compare(b.Event.ID) })
	return s
}

// order returns the events once each, every one after those it names, with its
// roots and depth; and those that name each other in a circle, which honest
// records cannot, since an ID is a hash.
func order(events []Event) (settled []*placed, rest []Event) {
	all := make(map[protocol.RecordID]*placed, len(events))
	var once []*placed
	for n := range events {
		if all[events[n].ID] == nil {
			p := &placed{Event: &events[n]}
			all[p.ID], once = p, append(once, p)
		}
	}
	waits := map[protocol.RecordID]int{}
	names := map[protocol.RecordID][]*placed{}
	var ready []*placed
	for _, p := range once {
		for _, ref := range known(all, p) {
			names[ref.ID] = append(names[ref.ID], p)
			waits[p.ID]++
		}
		if waits[p.ID] == 0 {
			ready = append(ready, p)
		}
	}
	for len(ready) > 0 {
		p := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		p.place(known(all, p))
		settled = append(settled, p)
		for _, next := range names[p.ID] {
			if waits[next.ID]--; waits[next.ID] == 0 {
				ready = append(ready, next)
			}
		}
	}
	for _, p := range once {
		if waits[p.ID] > 0 {
			rest = append(rest, *p.Event)
		}
	}
	slices.SortFunc(settled, func(a, b *placed) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), a.before(b.Event))
	})
	return settled, rest
}

// known returns the events that p names and that are there, once each. An
// issue builds on nothing, whatever it names.
func known(all map[protocol.RecordID]*placed, p *placed) (list []*placed) {
	if p.Kind == KindIssue {
		return nil
	}
	for _, id := range p.Refs {
		if ref := all[id]; ref != nil && !slices.Contains(list, ref) {
			list = append(list, ref)
		}
	}
	return list
}

func (p *placed) place(refs []*placed) {
	if p.Kind == KindIssue && p.Body.Alert != nil {
		p.roots, p.depth = []protocol.RecordID{p.ID}, 1
	}
	for _, ref := range refs {
		p.roots = append(p.roots, ref.roots...)
		p.depth = max(p.depth, ref.depth+1)
		if ref.Kind != KindAck {
			p.seen = max(p.seen, ref.depth)
		}
	}
	slices.SortFunc(p.roots, protocol.RecordID.Compare)
	p.roots = slices.Compact(p.roots)
}

// thread folds the events of one root, which come in order of depth.
func thread(root protocol.RecordID, list []*placed) *Thread {
	t := &Thread{Root: root}
	in := map[protocol.RecordID]*placed{}
	for _, p := range list {
		in[p.ID] = p
		if p.ID == root {
			t.Issuer = p.Author
		}
	}
	acks := map[protocol.OrgID][]*placed{}
	var answered []protocol.OrgID
	replaced := map[protocol.RecordID]bool{}
	for _, p := range list {
		if why := t.refuses(p); why != "" {
			t.Rejected = append(t.Rejected, Reject{*p.Event, why})
			continue
		}
		switch p.Kind {
		case KindIssue:
			t.Versions = append(t.Versions, *p.Event)
		case KindUpdate:
			t.Versions = append(t.Versions, *p.Event)
			mark(replaced, in, p)
		case KindCancel:
			if t.Withdrawn == nil || p.before(t.Withdrawn) < 0 {
				t.Withdrawn = p.Event
			}
		case KindAck:
			if acks[p.Author] == nil {
				answered = append(answered, p.Author)
			}
			acks[p.Author] = append(acks[p.Author], p)
		}
	}
	for _, v := range t.Versions {
		if !replaced[v.ID] {
			t.Rivals = append(t.Rivals, v)
		}
	}
	slices.SortFunc(t.Rivals, func(a, b Event) int { return b.before(&a) })
	t.Current, t.Rivals = t.Rivals[0], t.Rivals[1:]
	for _, org := range answered {
		p := newest(acks[org])
		current := slices.Contains(p.Refs, t.Current.ID) || t.Withdrawn != nil && slices.Contains(p.Refs, t.Withdrawn.ID)
		t.Answers = append(t.Answers, Answer{org, *p.Event, current})
	}
	slices.SortFunc(t.Answers, func(a, b Answer) int { return a.Org.Compare(b.Org) })
	slices.SortFunc(t.Rejected, func(a, b Reject) int { return a.Event.ID.Compare(b.Event.ID) })
	return t
}

// refuses says why an event of the thread has no effect, or nothing.
func (t *Thread) refuses(p *placed) string {
	switch p.Kind {
	case KindIssue, KindUpdate, KindCancel:
		if p.Body.Alert == nil {
			return "it does not hold an alert"
		}
		if p.Author != t.Issuer {
			return "only the issuer updates or cancels an alert"
		}
	case KindAck:
		if p.Body.Ack == nil {
			return "it does not hold an acknowledgement"
		}
		if p.Author == t.Issuer {
			return "the issuer does not acknowledge its own alert"
		}
		if p.seen == 0 {
			return "it names no version of the alert"
		}
	default:
		return "its kind is not known to this version"
	}
	return ""
}

// mark notes that p replaces the records it names, and all that they build on.
func mark(replaced map[protocol.RecordID]bool, in map[protocol.RecordID]*placed, p *placed) {
	stack := slices.Clone(p.Refs)
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if ref := in[id]; ref != nil && !replaced[id] {
			replaced[id] = true
			if ref.Kind != KindIssue {
				stack = append(stack, ref.Refs...)
			}
		}
	}
}

// newest returns the acknowledgement of one organisation that counts.
func newest(acks []*placed) *placed {
	named := map[protocol.RecordID]bool{}
	for _, p := range acks {
		for _, id := range p.Refs {
			named[id] = true
		}
	}
	return slices.MaxFunc(acks, func(a, b *placed) int {
		latest := func(p *placed) int {
			if named[p.ID] {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.seen, b.seen), cmp.Compare(latest(a), latest(b)), a.before(b.Event))
	})
}
