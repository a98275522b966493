package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// entrance is what a newcomer needs to become a member.
type entrance struct {
	joining
	reg     *membership.Register
	call    func(context.Context, membership.Door, []byte) ([]byte, error)
	learn   func([]membership.PeerAddrs)
	waiting func(error) // told after each round what it waits for
	pause   time.Duration
	most    int // bytes of leaves that are taken from one door
}

// How long a door may take: for an answer, and for all that it hands out. An
// honest one that needs the whole of its time for each of the largest pages
// comes to the end of the largest register within doorTime; one that trickles
// keeps the newcomer from the next door no longer.
const (
	answerTime = 30 * time.Second
	doorTime   = membership.CatchPages * answerTime
)

// errPending is the answer while the officers have not signed.
var errPending = errors.New("the request is with the secretariat and waits for its officers to sign")

// refusal is an answer of the secretariat that asking again does not change.
type refusal struct{ why string }

func (r refusal) Error() string { return "the secretariat refuses the request: " + r.why }

// shut is a refusal that is believed: the secretariat is not asked any more.
type shut struct{ refusal }

func (s shut) Error() string {
	return "the secretariat refuses the request, and is not asked any more: " + s.why +
		"; then make a new folder with 'alliance join' and leave this one: nobody has sent it anything"
}

func (s shut) Unwrap() error { return s.refusal }

// refusals is how many rounds in a row must end with a refusal before it is
// believed: one node of the secretariat may learn of a ticket a moment later
// than another.
const refusals = 3

// enter asks the doors of the ticket until the register has this node, and
// then takes the register. A request that is refused is asked for no more; it
// then waits for ctx, so that the operator can read why.
func (e entrance) enter(ctx context.Context) error {
	wait, refused := e.pause, 0
	for {
		err := e.round(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		refused++
		r, no := errors.AsType[refusal](err)
		if !no {
			refused = 0
		}
		if refused == refusals {
			e.waiting(shut{r})
			<-ctx.Done()
			return ctx.Err()
		}
		e.waiting(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(wait+e.pause, 10*e.pause)
	}
}

// round asks each door until one lets the node in or has its request. Else a
// refusal says more than a door that does not answer.
func (e entrance) round(ctx context.Context) error {
	t, _, err := e.request(0)
	if err != nil {
		return err
	}
	var last, refused error
	for _, door := range t.Doors {
		err := e.at(ctx, door)
		if err == nil || errors.Is(err, errPending) {
			return err
		}
		if _, no := errors.AsType[refusal](err); no {
			refused = err
		}
		last = err
	}
	if refused != nil {
		return refused
	}
	return last
}

// at asks one door, page after page where it hands out the register. What came
// before a fault is not kept.
func (e entrance) at(whole context.Context, door membership.Door) error {
	whole, cancel := context.WithTimeoutCause(whole, doorTime, errSlow)
	defer cancel()
	t, _, err := e.request(0)
	if err != nil {
		return err
	}
	where, got := strings.Join(door.Addrs, ", "), membership.NewHandout(t.Network, e.most)
	for {
		_, q, err := e.request(uint64(len(got.Leaves())))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(whole, answerTime)
		b, err := e.call(ctx, door, protocol.Encode(q))
		cancel()
		if err != nil && context.Cause(whole) == errSlow {
			return fmt.Errorf("the secretariat's node at %s %w: of its %d leaves none was kept, and it is asked again; look at the line", where, errSlow, len(got.Leaves()))
		}
		if err != nil {
			return fmt.Errorf("the secretariat does not answer at %s (%s): it is asked again; look at the line, and whether its node runs", where, Brief(err.Error()))
		}
		a, err := protocol.Decode[membership.EnrolAnswer](b, protocol.MaxFrame)
		switch {
		case err != nil:
			return fmt.Errorf("the secretariat's answer cannot be read: the two programs may differ in age: %w", err)
		case a.Refused:
			return refusal{clean(a.Fault)}
		case a.Fault != "":
			return errors.New("the secretariat cannot take the request now, and is asked again: " + clean(a.Fault))
		case a.Pending:
			return errPending
		}
		last := len(a.Notes) > 0
		if err := got.Add(a.Leaves, last); errors.Is(err, register.ErrUpgrade) {
			return err
		} else if err != nil {
			return fmt.Errorf("the secretariat's node at %s hands out a register that cannot be taken (%s): nothing of it was kept, and it is asked again; tell the secretariat", where, clean(err.Error()))
		}
		e.learn(a.Peers)
		if last {
			return e.reg.Enter(got.Leaves(), a.Notes)
		}
	}
}

// errSlow ends the time of one door.
var errSlow = fmt.Errorf("was not done handing out the register after %d minutes", int(doorTime.Minutes()))

// clean is a peer's sentence as one line.
func clean(s string) string { return strings.Join(strings.Fields(s), " ") }

// briefRunes is how long a brief reason is at most.
const briefRunes = 100

// Brief is an error of the network for a person, on one line. The network's
// library tells a line for each address it tried; of those only the reasons
// are kept, each once.
func Brief(s string) string {
	var why []string
	note := func(w string) {
		w = strings.TrimSpace(strings.NewReplacer("context deadline exceeded", "no answer in time", "no recent network activity", "no answer in time", "i/o timeout", "no answer in time").Replace(w))
		if w != "" && !slices.Contains(why, w) {
			why = append(why, w)
		}
	}
	for line := range strings.Lines(s) {
		if _, tried, ok := strings.Cut(line, "* ["); ok {
			if _, reason, ok := strings.Cut(tried, "] "); ok {
				note(reason[strings.LastIndex(reason, ": ")+1:])
			}
		}
	}
	if len(why) == 0 {
		first, _, _ := strings.Cut(s, "\n")
		note(clean(first))
	}
	if r := []rune(strings.Join(why, "; ")); len(r) > briefRunes {
		return string(r[:briefRunes-1]) + "…"
	} else {
		return string(r)
	}
}
