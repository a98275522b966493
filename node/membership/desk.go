package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// The enrolment desk: open tickets and the requests that came with them. They
// are entries of the secretariat's workspace, so any of its nodes serves any
// newcomer, and the loss of one node loses no request.

const (
	markDesk    = "desk/"
	markTicket  = markDesk + "ticket/"
	markRequest = markDesk + "request/"
)

const labelToken crypto.Label = "ticket-token"

// deskEntry is one entry of the workspace log.
type deskEntry struct {
	Ticket  *deskTicket  `cbor:"1,keyasint,omitempty"`
	Request *deskRequest `cbor:"2,keyasint,omitempty"`
}

// deskTicket is an issued ticket; the token itself is not kept.
type deskTicket struct {
	Token   crypto.Hash `cbor:"1,keyasint"`
	Expires int64       `cbor:"2,keyasint"`
	Request string      `cbor:"3,keyasint,omitempty"` // mark of the request that used it
}

// open reports whether the ticket still lets somebody in: before its end, and
// the one who used it for as long again as officers may take to sign.
func (t deskTicket) open(now int64) bool {
	end := t.Expires
	if t.Request != "" {
		end += requestSeconds
	}
	return now < end
}

const requestSeconds = 30 * 24 * 3600

type deskRequest struct {
	Token crypto.Hash    `cbor:"1,keyasint"`
	Org   []byte         `cbor:"2,keyasint,omitempty"`
	Node  []byte         `cbor:"3,keyasint,omitempty"`
	Of    protocol.OrgID `cbor:"4,keyasint"`
	Time  int64          `cbor:"5,keyasint"`
}

func (q deskRequest) id() string {
	h := crypto.Sum("enrol-request", crypto.Hash{}, q.Org, q.Node, q.Of[:])
	return markRequest + h.String()
}

func tokenHash(network protocol.NetworkID, token [32]byte) crypto.Hash {
	return crypto.Sum(labelToken, crypto.Hash(network), token[:])
}

// Invite opens a ticket that ends at expires (Unix seconds).
func (r *Register) Invite(ctx context.Context, doors []Door, expires int64) (Ticket, error) {
	if r.o.Checkpoint.IsZero() {
		return Ticket{}, ErrNotHere
	}
	token, err := NewToken()
	if err != nil {
		return Ticket{}, err
	}
	t := Ticket{Network: r.o.Pinned, Trial: r.State().Mode() == register.Trial, Doors: doors, Token: token, Expires: expires}
	return t, r.desk(ctx, deskEntry{Ticket: &deskTicket{Token: tokenHash(r.o.Pinned, token), Expires: expires}})
}

func (r *Register) desk(ctx context.Context, e deskEntry) error {
	r.mu.Lock()
	g := r.group
	r.mu.Unlock()
	if g == nil {
		return ErrNotHere
	}
	// The same entry twice changes nothing, so a lost leader is asked past.
	var b []byte
	err := errors.New("not tried")
	for try := 0; err != nil; try++ {
		if b, err = g.ProposeOwn(ctx, protocol.Encode(e)); err != nil && (try == submitTries || !pause(ctx, 300*time.Millisecond)) {
			return fmt.Errorf("write to the enrolment desk: %w", err)
		}
	}
	if len(b) > 0 {
		return errors.New(string(b))
	}
	return nil
}

// ApplyOwn is the state machine of the desk.
func (r *Register) ApplyOwn(index uint64, data []byte) ([]byte, error) {
	change := Change{Marks: map[string][]byte{markApplied: protocol.Encode(index)}}
	said, err := r.deskChange(data, change.Marks)
	if err != nil {
		return nil, err
	}
	if err := <-r.o.Disk.Enqueue(change); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.applied = index
	r.mu.Unlock()
	return []byte(said), nil
}

func (r *Register) deskChange(data []byte, marks map[string][]byte) (refusal string, err error) {
	e, err := protocol.Decode[deskEntry](data, protocol.MaxLeaf)
	if err != nil {
		return "the enrolment desk cannot read that entry: this program may be older than another node's", nil
	}
	switch {
	case e.Ticket != nil:
		marks[markTicket+e.Ticket.Token.String()] = protocol.Encode(*e.Ticket)
	case e.Request != nil:
		t, err := r.ticket(e.Request.Token)
		if err != nil || t == nil {
			return "the ticket is not known", err
		}
		id := e.Request.id()
		if t.Request != "" && t.Request != id {
			return "the ticket was used for another request: ask the secretariat for a new one", nil
		}
		t.Request = id
		marks[markTicket+t.Token.String()] = protocol.Encode(*t)
		marks[id] = protocol.Encode(*e.Request)
	}
	return "", nil
}

func (r *Register) ticket(token crypto.Hash) (*deskTicket, error) {
	b, err := r.o.Disk.Mark(markTicket + token.String())
	if err != nil || b == nil {
		return nil, err
	}
	t, err := protocol.Decode[deskTicket](b, 1024)
	return &t, err
}

// DoorOpen reports whether any ticket still lets a newcomer in: the enrolment
// listener runs while it does.
func (r *Register) DoorOpen() bool {
	marks, err := r.o.Disk.Marks(markTicket)
	if err != nil {
		return false
	}
	for _, b := range marks {
		if t, err := protocol.Decode[deskTicket](b, 1024); err == nil && t.open(r.o.Now().Unix()) {
			return true
		}
	}
	return false
}

// refusal is an error that asking again does not mend.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(text string) error { return refusal{errors.New(text)} }

// ServeEnrol answers a newcomer.
func (r *Register) ServeEnrol(ctx context.Context, req []byte) ([]byte, error) {
	q, err := protocol.Decode[EnrolRequest](req, maxEnrol)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	a, err := r.enrol(ctx, q)
	if err != nil {
		_, final := errors.AsType[refusal](err)
		a = EnrolAnswer{Fault: fault(err), Refused: final}
	}
	return protocol.Encode(a), nil
}

func (r *Register) enrol(ctx context.Context, q EnrolRequest) (a EnrolAnswer, err error) {
	s := r.State()
	if s == nil {
		return a, errors.New("this node has no register yet: try again later")
	}
	token := tokenHash(r.o.Pinned, q.Token)
	t, err := r.ticket(token)
	if err != nil {
		return a, err
	}
	if t == nil || !t.open(r.o.Now().Unix()) {
		return a, refuse("the ticket is not known here, or has expired: ask the secretariat for a new one")
	}
	node, err := r.asked(s, q)
	if err != nil {
		return a, err
	}
	d := deskRequest{Token: token, Org: q.Org, Node: q.Node, Of: q.Of, Time: r.o.Now().Unix()}
	if t.Request != "" && t.Request != d.id() {
		return a, refuse("the ticket was used for another request: ask the secretariat for a new one")
	}
	if n, ok := s.Node(node); ok && n.Status == protocol.Active {
		return r.handOut(s, q.From)
	}
	if t.Request == "" {
		if err := r.desk(ctx, deskEntry{Request: &d}); err != nil {
			return a, err
		}
		r.o.Log.Info("enrolment request received", "request", strings.TrimPrefix(d.id(), markRequest)[:8])
	}
	return EnrolAnswer{Pending: true}, nil
}

// asked checks a request by itself and returns the node that it is for.
func (r *Register) asked(s *register.State, q EnrolRequest) (protocol.NodeID, error) {
	switch {
	case len(q.Org) > 0 && len(q.Node) == 0:
		c, err := register.DecodeSignedRequest(q.Org)
		if err != nil {
			return protocol.NodeID{}, refusal{err}
		}
		if c.Network != r.o.Pinned {
			return protocol.NodeID{}, refuse("the request is for another network")
		}
		if err := c.Verify(); err != nil {
			return protocol.NodeID{}, refusal{err}
		}
		return c.Node.ID(r.o.Pinned), nil
	case len(q.Node) > 0 && len(q.Org) == 0:
		if o, ok := s.Org(q.Of); !ok || o.Status != protocol.Active {
			return protocol.NodeID{}, errors.New("the organisation that the node is to belong to is not an active member")
		}
		n, err := DecodeNodeRequest(q.Node)
		if err != nil {
			return protocol.NodeID{}, refusal{err}
		}
		return n.Node.ID(r.o.Pinned), nil
	}
	return protocol.NodeID{}, refuse("a request is for an organisation or for a node")
}

// DecodeNodeRequest reads the body of an enrol-node operation as a newcomer
// sends it.
func DecodeNodeRequest(b []byte) (register.EnrolNode, error) {
	n, err := protocol.Decode[register.EnrolNode](b, protocol.MaxOp)
	if err != nil {
		return n, fmt.Errorf("read node request: %w", err)
	}
	return n, nil
}

// handOut gives the register from a size on, a page at a time; the last page
// comes with the notes.
func (r *Register) handOut(s *register.State, from uint64) (EnrolAnswer, error) {
	l, err := r.leaves(from, s.Size())
	if err != nil {
		return EnrolAnswer{}, err
	}
	a := EnrolAnswer{Leaves: l.Leaves, Size: s.Size()}
	for _, p := range r.o.Peers() { // a newcomer begins with the secretariat
		if n, ok := s.Node(p.Node); ok && n.Org == s.Secretariat() {
			a.Peers = append(a.Peers, p)
		}
	}
	if from+uint64(len(l.Leaves)) >= s.Size() {
		n, err := r.notes(s, 1, s.Size())
		if err != nil {
			return a, err
		}
		if a.Notes = n.Notes; len(a.Notes) == 0 {
			a.Notes = [][]byte{r.Note()}
		}
	}
	return a, nil
}

// Enrolment is a request that waits at the desk.
type Enrolment struct {
	ID   string // 64 hex digits
	Org  []byte // signed request of an organisation, or
	Node []byte // body of an enrol-node operation, for
	Of   protocol.OrgID
	Time int64
	Done bool // the register has it
}

// Enrolments lists the requests at the desk, oldest first.
func (r *Register) Enrolments() ([]Enrolment, error) {
	s := r.State()
	if s == nil {
		return nil, nil
	}
	marks, err := r.o.Disk.Marks(markRequest)
	if err != nil {
		return nil, err
	}
	var out []Enrolment
	for name, b := range marks {
		q, err := protocol.Decode[deskRequest](b, protocol.MaxLeaf)
		if err != nil {
			return nil, err
		}
		e := Enrolment{ID: strings.TrimPrefix(name, markRequest), Org: q.Org, Node: q.Node, Of: q.Of, Time: q.Time}
		if node, err := r.asked(s, EnrolRequest{Org: q.Org, Node: q.Node, Of: q.Of}); err == nil {
			_, e.Done = s.Node(node)
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Enrolment) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}
