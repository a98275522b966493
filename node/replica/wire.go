package replica

import (
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/reconcile"
)

// Protocol names.
const (
	ProtoPush     = "/alliance/push/1"
	ProtoFrontier = "/alliance/frontier/1"
	ProtoFetch    = "/alliance/fetch/1"
	ProtoReceipt  = "/alliance/receipt/1"
)

// Push is one frame of a pusher: a record with those sections that go at once
// (together at most protocol.MaxInline), or, answering a want, sections alone.
type Push struct {
	Record   *protocol.Envelope `cbor:"1,keyasint,omitempty"`
	Feed     protocol.FeedID    `cbor:"2,keyasint"`
	Seq      uint64             `cbor:"3,keyasint"`
	Sections []Section          `cbor:"4,keyasint,omitempty"`
}

// Section is one section's sealed bytes with its number.
type Section struct {
	Index uint64 `cbor:"1,keyasint"`
	Bytes []byte `cbor:"2,keyasint"`
}

// Verdict is what a receiver says of a pushed record.
type Verdict uint8

// The verdicts. Numbers are on the wire.
const (
	Have   Verdict = 1 // committed, or known already; a receipt follows
	Want   Verdict = 2 // committed, sections are wanted
	Refuse Verdict = 3 // not taken; Code says why
	Gap    Verdict = 4 // earlier records are missing; the receiver fetches them
)

// Refusal codes of a push. Numbers are on the wire.
const (
	RefusedDrop    = 1 // undecodable, wrongly signed, of another network
	RefusedNotOurs = 2 // the receiver is not entitled to it
	RefusedBusy    = 3 // quota or disk; try again later
	RefusedWait    = 4 // newer version or checkpoint; the receiver will ask
	RefusedFork    = 5 // another record stands at its place
)

// PushAnswer is one frame of a receiver: verdicts, receipts, or both, and the
// proof where a feed parts. Of two nodes under one key each pushes on streams
// of its own, and only there does each hear of the other for certain.
type PushAnswer struct {
	Verdicts []PushVerdict            `cbor:"1,keyasint,omitempty"`
	Receipts []protocol.SignedReceipt `cbor:"2,keyasint,omitempty"`
	Forks    []protocol.Fork          `cbor:"3,keyasint,omitempty"`
}

// PushVerdict answers one pushed record.
type PushVerdict struct {
	Feed     protocol.FeedID `cbor:"1,keyasint"`
	Seq      uint64          `cbor:"2,keyasint"`
	Verdict  Verdict         `cbor:"3,keyasint"`
	Code     uint64          `cbor:"4,keyasint,omitempty"`
	Sections []uint64        `cbor:"5,keyasint,omitempty"` // wanted
}

// FetchRequest asks for a feed's records From to To (both included), or, where
// Sections stands, for those sections of the record From alone; or, where Own
// is set, for the heads of the asking node's own feeds, after the feed Feed.
type FetchRequest struct {
	Feed     protocol.FeedID `cbor:"1,keyasint"`
	From     uint64          `cbor:"2,keyasint"`
	To       uint64          `cbor:"3,keyasint"`
	Sections []uint64        `cbor:"4,keyasint,omitempty"`
	Own      bool            `cbor:"5,keyasint,omitempty"`
}

// FetchAnswer holds as many of the asked records as fit one page, from the
// first on; empty where the feed is unknown or not the asker's to know.
type FetchAnswer struct {
	Records  []protocol.Envelope `cbor:"1,keyasint,omitempty"`
	Sections []Section           `cbor:"2,keyasint,omitempty"`
	Heads    []FeedHead          `cbor:"3,keyasint,omitempty"`
	More     bool                `cbor:"4,keyasint,omitempty"`
	// Unsure comes with heads: this node has only just started and has not
	// compared with its organisation's others, or cannot read what it holds.
	Unsure bool `cbor:"5,keyasint,omitempty"`
}

// FeedHead is how far a node holds a feed.
type FeedHead struct {
	Feed protocol.FeedID   `cbor:"1,keyasint"`
	Seq  uint64            `cbor:"2,keyasint"`
	Head protocol.RecordID `cbor:"3,keyasint"`
	Core []byte            `cbor:"4,keyasint"` // of the head, with its signature: shows that it is real
	Sig  crypto.Signature  `cbor:"5,keyasint"`
}

// ReceiptBatch carries receipts, head statements and fork proofs.
type ReceiptBatch struct {
	Receipts []protocol.SignedReceipt `cbor:"1,keyasint,omitempty"`
	Heads    []protocol.SignedHead    `cbor:"2,keyasint,omitempty"`
	Forks    []protocol.Fork          `cbor:"3,keyasint,omitempty"`
}

// Limits of this package's messages, in bytes: what one message of each
// protocol may hold at most.
const (
	MaxPushFrame     = protocol.MaxSection + 512<<10
	MaxFetchFrame    = protocol.MaxSection + 512<<10
	MaxFrontierFrame = reconcile.MaxMessage
	MaxReceiptFrame  = 4 << 20
)

const (
	pageBytes   = 1 << 20 // records of one fetch answer
	maxPage     = 4096    // records of one fetch answer
	maxBatch    = 1024    // receipts of one batch
	maxOwnHeads = 512     // heads of one answer
	maxInFlight = 1024    // pushed records waiting for durability, one stream
	fetchAhead  = 2       // pages that wait to be verified
	maxLacking  = 1024    // lacking records asked for in one comparison, of one feed
	maxExpected = 4096    // feeds whose cores are taken ahead of a key record
	maxQuotas   = 4096    // token buckets kept although they are full

	// Tokens of a peer: one for each record or small thing it sends or asks.
	pushPerSecond = 20e3
	pushBurst     = 40e3
	dropCost      = 200 // a record that is dropped: a signature was verified for nothing
	waitCost      = 20  // one that is refused
	wantCost      = 10  // a section asked for
	fetchCost     = 20  // a page asked for
	compareCost   = 100 // a frontier

	// Bytes of an author, whoever brings them.
	authorPerSecond = 32 << 20
	authorBurst     = 512 << 20
)

// spreadAfter is how long a holder leaves a new record to its author's own
// push before it compares frontiers with the audience.
const spreadAfter = time.Second
