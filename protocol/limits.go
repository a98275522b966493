package protocol

// The limits of records and receipts, and those that more rooms than one need.
// Bytes unless a unit is named. A limit may grow with a new Version and never
// shrinks. What stands on them has its own limits beside it: operations, leaves
// and checkpoints in register/limits.go, parts and events in referral (MaxPart,
// MaxBody), alerts in alert (MaxBody, MaxCAP), frontiers in reconcile, and the
// messages between nodes where they are declared: node/replica, node/membership,
// node/transport. SPEC.md, §15, lists all that another implementation must keep.
const (
	Version = 1 // of cores, receipts and operations

	MaxNesting  = 16   // levels of nested CBOR
	MaxElements = 4096 // items of one CBOR array or map

	MaxAudience   = 32 // organisations in a list audience
	MaxExceptions = 8  // organisations left out of a group
	MaxSets       = 8  // reader sets of a key record
	MaxSections   = 16 // sections of a data record
	MaxCustodians = 8  // custodians of a key record
	MaxHonours    = 32 // take-away operations a key record carries
	MaxReaders    = 1000

	MaxCore    = 256 << 10 // an encoded core
	MaxSection = 16 << 20  // one sealed section
	MaxInline  = 64 << 10  // sections sent at once with a core; larger ones are asked for
	MaxFrame   = 32 << 20  // one message on a stream
	MaxReceipt = 64 << 10  // an encoded receipt
	MaxBody    = 15 << 20  // one section's body: with header, padding and seal it fits MaxSection
	MaxInner   = 64 << 10  // an encoded inner header
	MaxRefs    = 256       // references of one inner header
	MaxKind    = 64        // characters of a kind
	MaxGroup   = 64        // characters of a group's name
	MaxOp      = 64 << 10  // one encoded register operation
	MaxLeaf    = 128 << 10
	MaxRanges  = 1024 // refused or held ranges of a receipt

	MaxAheadDays  = 30   // of a record's day after its checkpoint's
	FlagAheadDays = 7    // … from which it is shown to people
	MaxKeepDays   = 1100 // of expiry after the record's day
	MaxKeyDays    = 30   // of a feed key
	MaxKeyRecords = 65536
)
