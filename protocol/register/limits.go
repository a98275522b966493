package register

// Every limit of operations, leaves and checkpoints that is not already in
// package protocol. Bytes unless a unit is named. A limit may grow with a new
// rules version and never shrinks.
const (
	// Rules is the newest version of the rules that this program knows.
	Rules = 1

	MaxMembers    = 32   // keys of one set of officers or administrators
	MaxBatch      = 50   // operations under one signature
	MaxSignatures = 160  // of one leaf
	MaxName       = 160  // of an organisation
	MaxTitle      = 400  // of a group or an agreement
	MaxCode       = 64   // of a finer kind or a group's name
	MaxGroupOrgs  = 1500 // organisations of a group that officers define
	MaxVoters     = 5    // voters or signers; 1, 3 or 5 are named
	MaxNotes      = 64   // change notes walked in one acceptance
	MaxNote       = 64 << 10
	MaxRequest    = 32 << 10
	MaxEntry      = 192 << 10

	// MaxTime is the last second of the year 9999.
	MaxTime = 253402300799

	// SuspensionSeconds is how long a suspension lasts, in leaf time.
	SuspensionSeconds = 30 * 86400
	// RepeatSeconds is how long after a suspension's end the next one needs
	// the officers' full threshold.
	RepeatSeconds = 90 * 86400
	// ClockSeconds is how far a leaf's time may be from a signer's own clock.
	ClockSeconds = 300

	// MaxGap is the most, in seconds, that a leaf may be after the one before
	// it, so that one wrong clock cannot carry the register's time away; it is
	// above any absence that a network survives. MinTimeGap is the least before
	// a leaf that only moves time: nobody signs it, so signers endorse none
	// sooner.
	MaxGap     = 400 * 86400
	MinTimeGap = 3600
)
