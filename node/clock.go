package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// errClock: a record of today would be refused by everybody.
var errClock = errors.New("this machine's clock and the register are too far apart")

// time is the clock, raised to the register's newest entry where it is slow:
// what is written now is not from before that.
func (n *Node) time() time.Time {
	now := n.now()
	if s := n.reg.State(); s != nil && now.Unix() < s.Time() {
		return time.Unix(s.Time(), 0)
	}
	return now
}

// checkClock says whether a record of today can be written on the accepted
// register.
func (n *Node) checkClock() error {
	s := n.reg.State()
	newest, _ := s.DayAt(s.Size())
	today := protocol.DayOf(n.now().Unix())
	if today <= newest+protocol.MaxAheadDays {
		return nil
	}
	return fmt.Errorf("%w: it says %s, and the register's newest entry is of %s: where the clock is wrong, set it; where it is right, bring this node into reach of the secretariat; then send it again",
		errClock, today, newest)
}

// drift warns of a clock that does not fit the register's newest entry: "" where
// it does. A signer endorses nothing that is further than
// [register.ClockSeconds] from its own.
func (n *Node) drift(s *register.State) string {
	d := n.now().Sub(time.Unix(s.Time(), 0)).Round(time.Second)
	self, _ := s.Node(n.id.Node)
	switch {
	case d < -register.ClockSeconds*time.Second && self.Signer:
		return fmt.Sprintf("this machine's clock is at least %s slow: this signer endorses nothing until it is set", -d)
	case d < -time.Hour:
		return fmt.Sprintf("this machine's clock is at least %s slow: set it; what is written here bears the register's newest time", -d)
	case d > 48*time.Hour && self.Signer:
		return fmt.Sprintf("the register's newest entry is %s older than this machine's clock: where the clock is wrong, this signer endorses nothing until it is set", d.Round(time.Hour))
	case d > 48*time.Hour:
		return fmt.Sprintf("the register's newest entry is %s older than this machine's clock: look at the clock, and whether the secretariat is reachable", d.Round(time.Hour))
	}
	return ""
}
