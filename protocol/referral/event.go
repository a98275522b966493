package referral

import (
	"fmt"

	"github.com/national-alliance/alliance/protocol"
)

// Kind is what an event does. It stands in the inner header of the record, so
// it is at most [protocol.MaxKind] characters and sealed.
type Kind string

// The kinds. Those without a body type here are reserved for later rows of
// the table; an event of such a kind is kept, shown raw and moves nothing.
const (
	KindSend        Kind = "referral/send"
	KindAcknowledge Kind = "referral/acknowledge"
	KindAccept      Kind = "referral/accept"
	KindDecline     Kind = "referral/decline"
	KindStart       Kind = "referral/start"
	KindComplete    Kind = "referral/complete"
	KindConfirm     Kind = "referral/confirm"
	KindDispute     Kind = "referral/dispute"
	KindClose       Kind = "referral/close"
	KindAmend       Kind = "referral/amend"
	KindMessage     Kind = "referral/message"

	KindAsk              Kind = "referral/ask"
	KindAnswer           Kind = "referral/answer"
	KindHold             Kind = "referral/hold"
	KindReturn           Kind = "referral/return"
	KindWithdraw         Kind = "referral/withdraw"
	KindReopen           Kind = "referral/reopen"
	KindMarkWrong        Kind = "referral/mark-wrong"
	KindRaise            Kind = "referral/raise"
	KindLower            Kind = "referral/lower"
	KindEscalate         Kind = "referral/escalate"
	KindConsentWithdrawn Kind = "referral/consent-withdrawn"
)

// Event is one record that speaks of a referral, as it came out of its seal.
type Event struct {
	ID       protocol.RecordID
	Author   protocol.OrgID
	Node     protocol.NodeID
	Audience []protocol.OrgID // sorted, as in the record's core; without the author
	Kind     Kind
	Time     Time   // the author's own
	Staff    string // pseudonym
	// Refs are the events its author had seen: of a leg event, those of its
	// leg; of an amend, sends and amends only, so that no leg shows in
	// another. The newest are enough (see [Referral.Refs]).
	Refs []protocol.RecordID
	Body Body
}

// Body is what an event says: a *Send, an *AmendBody, the body of a kind in the
// table of moves (*Acknowledge to *Message), or an *Unknown.
type Body interface {
	// Kind is the kind of event the body belongs to; "" of an *Unknown.
	Kind() Kind
	about() About
}

// About heads the body of every event of a leg: which leg of which referral.
type About struct {
	Referral protocol.RecordID `cbor:"1,keyasint,omitzero" json:"referral"` // the send
	Leg      protocol.OrgID    `cbor:"2,keyasint,omitzero" json:"leg"`      // the recipient
}

func (a About) about() About  { return a }
func (a *About) head(v About) { *a = v }

// Head says of the body of a leg's event which leg of which referral it is
// about; false for a body that no leg's event has.
func Head(b Body, a About) bool {
	h, ok := b.(interface{ head(About) })
	if ok = ok && b.Kind() != ""; ok {
		h.head(a)
	}
	return ok
}

// Send begins a referral; it is known by the ID of this record.
type Send struct{ Parts }

// AmendBody changes a referral; Summary.Amends says what and why.
type AmendBody struct{ Parts }

// Acknowledge says that the referral was seen by a person.
type Acknowledge struct {
	About
	Desk     string `cbor:"3,keyasint,omitempty" json:"desk,omitempty" v:"req"` // whom to call
	DecideBy Time   `cbor:"4,keyasint,omitempty" json:"decide_by,omitempty" v:"req"`
}

// Accept takes on what was asked, or a part of it.
type Accept struct {
	About
	Unit           string   `cbor:"3,keyasint,omitempty" json:"unit,omitempty" v:"req"`
	Desk           string   `cbor:"4,keyasint,omitempty" json:"desk,omitempty" v:"req"`
	FirstContactBy Time     `cbor:"5,keyasint,omitempty" json:"first_contact_by,omitempty" v:"req"`
	Services       []string `cbor:"6,keyasint,omitempty" json:"services,omitempty" v:"list:service"` // empty: all that was asked
	RestReason     string   `cbor:"7,keyasint,omitempty" json:"rest_reason,omitempty" v:"text:500"`  // why not the others
	Number         string   `cbor:"8,keyasint,omitempty" json:"number,omitempty"`                    // entry or FIR, where police have one already
	NumberKind     string   `cbor:"9,keyasint,omitempty" json:"number_kind,omitempty" v:"list:number-kind"`
}

// Decline does not take it on. Police asked for a police report decline only
// as duplicate, or as recorded as zero FIR and passed on.
type Decline struct {
	About
	Reason     string         `cbor:"3,keyasint,omitempty" json:"reason,omitempty" v:"req,list:decline-reason"`
	Text       string         `cbor:"4,keyasint,omitempty" json:"text,omitempty" v:"text:2000"` // required with reason other
	Instead    string         `cbor:"5,keyasint,omitempty" json:"instead,omitempty"`            // another body in words, or "none-known"
	InsteadOrg protocol.OrgID `cbor:"6,keyasint,omitzero" json:"instead_organisation,omitzero"`
	PassedTo   string         `cbor:"7,keyasint,omitempty" json:"passed_to,omitempty"` // of a zero FIR
	Number     string         `cbor:"8,keyasint,omitempty" json:"number,omitempty"`    // of a zero FIR
}

// Start says that work began.
type Start struct {
	About
	ContactAt Time   `cbor:"3,keyasint,omitempty" json:"contact_at,omitempty" v:"req"` // first contact made
	Note      string `cbor:"4,keyasint,omitempty" json:"note,omitempty" v:"text:2000"`
}

// Complete says that the recipient has done its part.
type Complete struct {
	About
	Outcome    string   `cbor:"3,keyasint,omitempty" json:"outcome,omitempty" v:"req,list:outcome"`
	Services   []string `cbor:"4,keyasint,omitempty" json:"services,omitempty" v:"list:service"` // given; required unless the outcome is not
	WhyNot     string   `cbor:"5,keyasint,omitempty" json:"why_not,omitempty" v:"list:why-not"`  // required unless successful
	Text       string   `cbor:"6,keyasint,omitempty" json:"text,omitempty" v:"text:2000"`
	Number     string   `cbor:"7,keyasint,omitempty" json:"number,omitempty"` // required where a police report is among the services
	NumberKind string   `cbor:"8,keyasint,omitempty" json:"number_kind,omitempty" v:"list:number-kind"`
	Order      string   `cbor:"9,keyasint,omitempty" json:"order,omitempty"` // reference of a court's or committee's order
	ChildView  string   `cbor:"10,keyasint,omitempty" json:"child_view,omitempty" v:"nyk,text:2000"`
}

// Confirm agrees that it is done, and closes the leg.
type Confirm struct {
	About
	Note string `cbor:"3,keyasint,omitempty" json:"note,omitempty" v:"text:2000"`
}

// Dispute says what is missing; the recipient goes on.
type Dispute struct {
	About
	Missing string `cbor:"3,keyasint,omitempty" json:"missing,omitempty" v:"req,text:2000"`
}

// Close ends a leg that was not served.
type Close struct {
	About
	NextStep string `cbor:"3,keyasint,omitempty" json:"next_step,omitempty" v:"req,text:2000"` // for the child
}

// Message is a word between the two sides of a leg.
type Message struct {
	About
	Text string `cbor:"3,keyasint,omitempty" json:"text,omitempty" v:"req,text:5000"`
}

// Unknown is the body of a kind that this program does not know. Only its
// head was read.
type Unknown struct{ About }

func (*Send) Kind() Kind        { return KindSend }
func (*AmendBody) Kind() Kind   { return KindAmend }
func (*Acknowledge) Kind() Kind { return KindAcknowledge }
func (*Accept) Kind() Kind      { return KindAccept }
func (*Decline) Kind() Kind     { return KindDecline }
func (*Start) Kind() Kind       { return KindStart }
func (*Complete) Kind() Kind    { return KindComplete }
func (*Confirm) Kind() Kind     { return KindConfirm }
func (*Dispute) Kind() Kind     { return KindDispute }
func (*Close) Kind() Kind       { return KindClose }
func (*Message) Kind() Kind     { return KindMessage }
func (*Unknown) Kind() Kind     { return "" }

func (*Send) about() About { return About{} }
func (b *AmendBody) about() About {
	if b.Summary.Amends == nil {
		return About{}
	}
	return About{Referral: b.Summary.Amends.Referral}
}

// MaxBody bounds the encoded body of an event of a leg, in bytes.
const MaxBody = 64 << 10

// EncodeBody returns the sections of a record with this body: four for a send
// or an amend, one for everything else. It panics on an *Unknown, which
// nobody writes.
func EncodeBody(b Body) [][]byte {
	switch b := b.(type) {
	case *Send:
		return b.Sections()
	case *AmendBody:
		return b.Sections()
	case *Unknown:
		panic("referral: encode the body of an unknown kind")
	}
	return [][]byte{protocol.Encode(b)}
}

// DecodeBody reads the sections of a record of a kind, as [EncodeBody] makes
// them; of a send or an amend, nil stands for a section that could not be
// opened. A kind that this program does not know gives an *Unknown. Errors
// wrap [protocol.ErrEncoding].
func DecodeBody(kind Kind, sections [][]byte) (Body, error) {
	switch kind {
	case KindSend, KindAmend:
		p, err := DecodeParts(sections)
		if err != nil {
			return nil, err
		}
		if kind == KindSend {
			return &Send{p}, nil
		}
		return &AmendBody{p}, nil
	}
	if len(sections) != 1 {
		return nil, fmt.Errorf("decode %s: %w: want one section, got %d", kind, protocol.ErrEncoding, len(sections))
	}
	if m, ok := moveOf(kind); ok {
		return m.decode(sections[0])
	}
	u, err := protocol.DecodeOpen[Unknown](sections[0], MaxBody)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	return &u, nil
}

// ParseBody reads the body of a leg's event from JSON, as a person's program
// gives it; nothing is an empty body. A field that does not exist is an error
// which names it; so is anything after the end. It is false for a kind that no
// leg's event has.
func ParseBody(kind Kind, b []byte) (Body, bool, error) {
	body, ok := NewBody(kind)
	if !ok || len(b) == 0 {
		return body, ok, nil
	}
	return body, true, decodeJSON(b, body)
}

// Subject returns the send that an event speaks of: its own ID for a send. The
// zero ID means that it names none.
func Subject(e Event) protocol.RecordID {
	if e.Kind == KindSend {
		return e.ID
	}
	if e.Body == nil {
		return protocol.RecordID{}
	}
	return e.Body.about().Referral
}
