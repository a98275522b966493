package alert

import (
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// Standing is how an alert stands at a time.
type Standing string

// The standings.
const (
	Upcoming  Standing = "upcoming" // not yet effective
	InForce   Standing = "in-force"
	Expired   Standing = "expired"
	Withdrawn Standing = "withdrawn"
)

// StandingAt returns how the alert stands at a Unix time. It is a view at the
// reader's clock; nothing is recorded.
func (t *Thread) StandingAt(now int64) Standing {
	from, until := t.Current.Body.Alert.Window()
	switch {
	case t.Withdrawn != nil:
		return Withdrawn
	case until != 0 && now >= until:
		return Expired
	case now < from:
		return Upcoming
	}
	return InForce
}

// ActiveAt reports whether the alert is in force at a Unix time.
func (t *Thread) ActiveAt(now int64) bool { return t.StandingAt(now) == InForce }

// Alert returns the version that stands, or stood last.
func (t *Thread) Alert() *Alert { return t.Current.Body.Alert }

// Seen is what an organisation may know of the acknowledgements.
type Seen struct {
	Answers []Answer       // all of them for the issuer; for others their own alone
	Total   int            // organisations that answered, as far as this node knows
	Counts  map[Action]int // organisations by what they did
}

// Seen returns the acknowledgements as the organisation by may see them: the
// issuer sees who, others see counts and their own.
func (t *Thread) Seen(by protocol.OrgID) Seen {
	s := Seen{Total: len(t.Answers), Counts: map[Action]int{}}
	for _, a := range t.Answers {
		if by == t.Issuer || by == a.Org {
			s.Answers = append(s.Answers, a)
		}
		for _, what := range a.Event.Body.Ack.What {
			s.Counts[what]++
		}
	}
	return s
}

// Waiting returns those of the audience that have not acknowledged the version
// that stands, in the order given. It is for the issuer.
func (t *Thread) Waiting(audience []protocol.OrgID) (list []protocol.OrgID) {
	for _, org := range audience {
		if org != t.Issuer && !slices.ContainsFunc(t.Answers, func(a Answer) bool { return a.Org == org && a.Current }) {
			list = append(list, org)
		}
	}
	return list
}
