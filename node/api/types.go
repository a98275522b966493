package api

import (
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// Status is what a node tells of itself. It holds no content and no key.
type Status struct {
	Program      string         `json:"program"` // version
	Network      string         `json:"network"`
	Title        string         `json:"title,omitempty"`
	Mode         string         `json:"mode"`             // trial or live
	Notice       string         `json:"notice,omitempty"` // of a trial: invented data only
	Organisation string         `json:"organisation"`
	Name         string         `json:"name,omitempty"`
	Class        string         `json:"class,omitempty"`
	Node         string         `json:"node"`
	State        string         `json:"state"`                 // pending, refused, serving, replaced
	Answer       string         `json:"answer,omitempty"`      // of the secretariat, while this node is no member
	Fingerprint  string         `json:"fingerprint,omitempty"` // of the request, likewise: to compare by phone
	Locked       bool           `json:"locked"`
	Warnings     []string       `json:"warnings,omitempty"`
	Register     RegisterStatus `json:"register"`
	Peers        []Peer         `json:"peers"`
	Feeds        []Feed         `json:"feeds"`
	Outbox       int            `json:"outbox"` // drafts that wait to be written
	Raft         *Raft          `json:"raft,omitempty"`
	Store        StoreStatus    `json:"store"`
	Addresses    []string       `json:"addresses,omitempty"`
	Custody      Custody        `json:"custody"`
	Cases        Cases          `json:"cases"`
	Unreadable   []Unreadable   `json:"unreadable,omitempty"` // reported by readers of our records
}

// Cases says how full the casebook is.
type Cases struct {
	Loading    bool   `json:"loading,omitempty"`
	Done       uint64 `json:"done,omitempty"`
	Total      uint64 `json:"total,omitempty"`
	Referrals  int    `json:"referrals"`
	Alerts     int    `json:"alerts"`
	Waiting    int    `json:"waiting,omitempty"`
	Queued     int    `json:"queued,omitempty"`
	Unreadable int    `json:"unreadable,omitempty"`
	Malformed  int    `json:"malformed,omitempty"`
}

// Unreadable is a reader's report that a section of our record does not open.
type Unreadable struct {
	By      string    `json:"by"`
	Record  string    `json:"record"`
	Feed    string    `json:"feed"`
	Seq     uint64    `json:"seq"`
	Section uint64    `json:"section"`
	At      time.Time `json:"at"`
}

// RegisterStatus is the newest accepted checkpoint.
type RegisterStatus struct {
	Size   uint64    `json:"size"`
	Root   string    `json:"root"`
	Time   time.Time `json:"time,omitzero"` // of the newest leaf
	Note   string    `json:"note,omitempty"`
	Tip    uint64    `json:"tip,omitempty"` // secretariat: validated here, perhaps not signed by enough yet
	Signer bool      `json:"signer,omitempty"`
}

// Peer is one other node.
type Peer struct {
	Node         string    `json:"node"`
	Organisation string    `json:"organisation"`
	Name         string    `json:"name"`
	Connected    bool      `json:"connected"`
	By           string    `json:"by,omitempty"` // quic or tcp
	Since        time.Time `json:"since,omitzero"`
	Error        string    `json:"error,omitempty"`
	Next         time.Time `json:"next,omitzero"` // next attempt
	Synced       time.Time `json:"synced,omitzero"`
}

// Feed is one feed held here.
type Feed struct {
	Feed        string   `json:"feed"`
	Author      string   `json:"author"`
	Node        string   `json:"node"`
	Audience    []string `json:"audience"`
	Seq         uint64   `json:"seq"`
	Lacking     int      `json:"lacking,omitempty"`     // records whose sections are not all here
	Refused     int      `json:"refused,omitempty"`     // refused links
	Held        int      `json:"held,omitempty"`        // sealed and unshown: the author is suspended or revoked
	Forked      bool     `json:"forked,omitempty"`      // its author signed two records at one place
	Own         bool     `json:"own,omitempty"`         // written by this node
	Outstanding []string `json:"outstanding,omitempty"` // nodes whose receipt is not here for all of it
	Custodians  []string `json:"custodians,omitempty"`
}

// Custody counts what is kept for others.
type Custody struct {
	Feeds   int    `json:"feeds"`
	Records uint64 `json:"records"`
}

// Raft is a secretariat node's group.
type Raft struct {
	Leader string   `json:"leader,omitempty"`
	Leads  bool     `json:"leads"`
	Voters []string `json:"voters"`
}

// StoreStatus is the disk.
type StoreStatus struct {
	Writable bool   `json:"writable"`
	Fault    string `json:"fault,omitempty"`
	Records  uint64 `json:"records"`
	// Verified of ToVerify records and leaves were read and compared with
	// their hashes since the start.
	Verified uint64 `json:"verified"`
	ToVerify uint64 `json:"to_verify"`
}

// Org is a member.
type Org struct {
	ID        protocol.OrgID `json:"id"`
	Name      string         `json:"name"`
	Class     string         `json:"class"`
	Kind      string         `json:"kind,omitempty"`
	Status    string         `json:"status"`
	Custody   bool           `json:"custody"`
	Epoch     uint64         `json:"epoch"`
	Tainted   bool           `json:"tainted,omitempty"`
	Own       bool           `json:"own,omitempty"`
	Nodes     []OrgNode      `json:"nodes,omitempty"`
	Threshold uint64         `json:"threshold,omitempty"` // administrators who must sign
	Admins    int            `json:"administrators,omitempty"`
}

// OrgNode is a node of a member.
type OrgNode struct {
	ID     protocol.NodeID `json:"id"`
	Status string          `json:"status"`
	Signer bool            `json:"signer,omitempty"`
	Voter  bool            `json:"voter,omitempty"`
}

// Invitation asks for a ticket.
type Invitation struct {
	Hours int `json:"hours" minimum:"1" maximum:"720"`
}

// Ticket is the answer.
type Ticket struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
}

// Enrolment is a request that waits at the secretariat.
type Enrolment struct {
	ID          string    `json:"id"`
	What        string    `json:"what"` // organisation or node
	Name        string    `json:"name,omitempty"`
	Class       string    `json:"class,omitempty"`
	Kind        string    `json:"kind,omitempty"`
	Of          string    `json:"of,omitempty"` // a node's organisation
	Fingerprint string    `json:"fingerprint"`
	Received    time.Time `json:"received"`
	Done        bool      `json:"done"`
	Request     []byte    `json:"request"`
}

// OpDraft asks for an operation to be drafted on this node's register.
type OpDraft struct {
	// Kind: enrol, revoke, suspend, reinstate, set-kind, policy, group,
	// officers, admins, enrol-node, retire-node, voters, signers,
	// publish-key, taint-key, offer-custody, withdraw-custody, time.
	Kind         string   `json:"kind"`
	Organisation string   `json:"organisation,omitempty"` // name or ID; empty: the own one
	Node         string   `json:"node,omitempty"`         // ID, or enough of its beginning
	Nodes        []string `json:"nodes,omitempty"`
	Request      string   `json:"request,omitempty"` // of an enrolment: its ID, or enough of its beginning
	Code         string   `json:"code,omitempty"`    // a finer kind
	Members      []string `json:"members,omitempty"` // people as 'alliance key show' prints them, or a group's organisations
	Threshold    int      `json:"threshold,omitempty"`
	Suspension   int      `json:"suspension,omitempty"`
	Group        string   `json:"group,omitempty"`
	Title        string   `json:"title,omitempty"`
	FromStart    bool     `json:"from_start,omitempty"`
	Recipient    string   `json:"recipient,omitempty"` // of publish-key: age1pq1…
	Epoch        uint64   `json:"epoch,omitempty"`
	Agreement    string   `json:"agreement,omitempty"`
	SHA256       string   `json:"sha256,omitempty"`
	Rules        uint64   `json:"rules,omitempty"`
	Hours        int      `json:"hours,omitempty"` // until it expires; 0: 72
}

// Op is an operation with the signatures it has.
type Op struct {
	Op []byte `json:"op"` // encoded signed operation, base64 in JSON
}

// OpWords says what an operation does and what it still needs.
type OpWords struct {
	Words     []string   `json:"words"`
	Hash      string     `json:"hash"`
	Votes     []Vote     `json:"votes,omitempty"`
	Approvals []Approval `json:"approvals,omitempty"`
}

// Vote is what one signature is worth.
type Vote struct {
	Key    string   `json:"key"` // ID
	Counts bool     `json:"counts"`
	For    []string `json:"for,omitempty"` // whose approvals it adds to
	Why    string   `json:"why,omitempty"` // where it does not count
	Words  string   `json:"words"`         // all of it as a line
}

// Approval is one rule's need.
type Approval struct {
	Who  string `json:"who"`
	Have int    `json:"have"`
	Need int    `json:"need"`
}

// Submitted says at which size of the register an operation is in.
type Submitted struct {
	Size uint64 `json:"size"`
}

// Passphrase unlocks.
type Passphrase struct {
	Passphrase string `json:"passphrase"`
}

// Alert is a CAP 1.2 document and whom it goes to.
type Alert struct {
	CAP   string   `json:"cap"` // XML text
	To    []string `json:"to,omitempty"`
	Staff string   `json:"staff,omitempty"`
}

// Reason is a sentence.
type Reason struct {
	Reason string `json:"reason"`
	Staff  string `json:"staff,omitempty"`
}

// AlertAck acknowledges.
type AlertAck struct {
	What   []string `json:"what"`
	Reason string   `json:"reason,omitempty"`
	Staff  string   `json:"staff,omitempty"`
}
