package protocol

import "github.com/national-alliance/alliance/crypto"

// Org is an organisation as the register has it at one size.
type Org struct {
	ID     OrgID
	Name   string // printable, never reused
	Class  Class
	Kind   string // finer kind: sjpu, commission, hotline, …
	Status Status
	// Since is the size of the register at which Status last changed.
	Since   uint64
	Custody bool // offers to keep others' records as ciphertext
	// Epoch is the organisation's newest published encryption key, numbered
	// from 1; 0 before the first. Tainted says that this key may no longer be
	// sealed to. Recipient is its age1pq1… text.
	Epoch     uint64
	Tainted   bool
	Recipient string
}

// Fit reports whether records may be sealed to the organisation: active, with
// an untainted key.
func (o Org) Fit() bool { return o.Status == Active && o.Epoch > 0 && !o.Tainted }

// Node is a node as the register has it at one size.
type Node struct {
	ID        NodeID
	Org       OrgID
	Author    crypto.PublicKey // signs records and receipts
	Transport crypto.PublicKey // is the libp2p peer ID
	Sealing   string           // age1pq1…: what only this node may open
	Status    Status           // Suspended or Revoked too where its organisation is
	Since     uint64           // size at which Status last changed
	Signer    bool             // secretariat: endorses leaves and signs checkpoints
	Voter     bool             // of its organisation's Raft group
}

// GroupID names a group of the register, computed or defined by officers.
type GroupID string

// Group is a group's rules at one size.
type Group struct {
	ID        GroupID
	FromStart bool // a joiner reads from the start, not from its joining on
}

// Members is what a verifier asks of the register. Sizes count leaves: size n
// is the register after its first n leaves. Every method answers for any size
// up to Size, always the same for the same size; false means that the size is
// above Size or the thing was never enrolled by then.
type Members interface {
	Network() NetworkID
	// Size is that of the newest accepted checkpoint.
	Size() uint64
	// RootAt is the RFC 6962 root of the first size leaves.
	RootAt(size uint64) (crypto.Hash, bool)
	// DayAt is the day of the last leaf's time.
	DayAt(size uint64) (Day, bool)
	OrgAt(id OrgID, size uint64) (Org, bool)
	NodeAt(id NodeID, size uint64) (Node, bool)
	GroupAt(id GroupID, size uint64) (Group, bool)
	// InGroup reports whether an organisation was in a group, active.
	InGroup(id GroupID, org OrgID, size uint64) bool
	// TakenAway checks a signed operation that only takes away (taint,
	// revoke) against the register at size, and returns the organisation or
	// node it strikes; false where it is not valid then.
	TakenAway(op []byte, size uint64) (Struck, bool)
}

// Struck is what a take-away operation takes away.
type Struck struct {
	Org  OrgID
	Node NodeID // zero: the organisation itself
	// Epoch is the tainted key's number; 0 for a revocation.
	Epoch uint64
}
