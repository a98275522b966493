package casebook

import (
	"context"
	"errors"

	"github.com/national-alliance/alliance/protocol"
)

// Records is what the book asks of whatever keeps and seals records.
type Records interface {
	// Send writes a record and returns once it is durable here, or is
	// durably queued. On an error nothing was written.
	Send(ctx context.Context, d Draft) (Sent, error)
	// Open opens those sections of a record that this organisation reads and
	// that are here. A section that does not open is in the list too, with an
	// error that wraps [protocol.ErrUnreadable]. Errors: [ErrLocked],
	// [ErrNotAReader], or the disk's.
	Open(rec *protocol.Record) ([]Opened, error)
	// Record returns a record held.
	Record(feed protocol.FeedID, seq uint64) (*protocol.Record, error)
	// Each calls fn with every record held, and stops at its first error.
	Each(fn func(*protocol.Record) error) error
	// Delivery lists whose receipts speak of a record.
	Delivery(feed protocol.FeedID, seq uint64) ([]Holder, error)
}

// Draft is a record to be: for whom, in which parts, with what.
type Draft struct {
	Audience protocol.Audience
	// Parts are reader sets beside the whole audience, which is number 0: a
	// content whose Set is i+1 goes to Parts[i] and the own organisation.
	Parts    [][]protocol.OrgID
	Contents []protocol.Content
	// Custodians are those of a new feed; one that exists keeps its own while
	// none is in Barred: who was left out of one record must not learn of it by
	// keeping a later one of the same feed.
	Custodians []protocol.OrgID
	Barred     []protocol.OrgID
	Expiry     protocol.Day
}

// Sent says what became of a draft: a record, or an outbox entry that becomes
// one.
type Sent struct {
	Record *protocol.Record // nil where it is queued
	Feed   protocol.FeedID
	Seq    uint64
	Queued uint64 // outbox number; 0 where it was written
	Reason string // why it is queued
}

// Opened is a section that this organisation reads.
type Opened struct {
	Section int
	Content protocol.Content
	Err     error // wraps protocol.ErrUnreadable where it did not open
}

// Holder is what one node said of one record.
type Holder struct {
	Org     protocol.OrgID
	Node    protocol.NodeID
	Seq     uint64 // how far its word reaches
	Vouches bool   // for this very record
	Refused protocol.Code
}

var (
	// ErrLocked: the reading identity is not unlocked yet.
	ErrLocked = errors.New("this node is locked: it keeps and passes on records, and opens none until someone unlocks it, with 'alliance unlock' and the passphrase")
	// ErrNotAReader: the record is here as ciphertext only.
	ErrNotAReader = errors.New("this organisation is not among the readers")
)

// Register is what the book asks of the register at its newest accepted size.
type Register interface {
	protocol.Members
	// Orgs lists every organisation ever enrolled, in that order.
	Orgs() []protocol.Org
	// OrgNamed finds one by name, as people type it.
	OrgNamed(name string) (protocol.Org, bool)
}
