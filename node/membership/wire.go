package membership

import (
	"errors"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// ProtoRegister is the protocol that [Register.Serve] answers. The one of the
// desk, of which the message is an [EnrolRequest], belongs to its listener.
const ProtoRegister = "/alliance/register/1"

// Ask is what a register request asks for. Numbers are on the wire.
type Ask uint8

const (
	AskHead    Ask = 1 // newest accepted size and its note
	AskRange   Ask = 2 // leaves From (included) to To (excluded), as many as fit
	AskNotes   Ask = 3 // the notes kept at sizes above From, up to To, oldest first
	AskCosign  Ask = 4 // the asked signer's own note at size To
	AskEndorse Ask = 5 // the asked signer's endorsement of Leaf on Root
	AskSubmit  Ask = 6 // put Op into the register
	// TellNews: there is an accepted checkpoint of size To. A secretariat node
	// answers another one when it has accepted it too, or cannot.
	TellNews Ask = 7
	AskPeers Ask = 8 // where nodes can be reached, as far as the asked one knows
)

// Request is one message of /alliance/register/1.
type Request struct {
	Ask  Ask         `cbor:"1,keyasint"`
	From uint64      `cbor:"2,keyasint,omitempty"`
	To   uint64      `cbor:"3,keyasint,omitempty"`
	Leaf []byte      `cbor:"4,keyasint,omitempty"`
	Root crypto.Hash `cbor:"5,keyasint"`
	Op   []byte      `cbor:"6,keyasint,omitempty"` // a signed operation
}

// Answer is the answer. Fault is a sentence for a person where the request
// could not be met.
type Answer struct {
	Size        uint64                `cbor:"1,keyasint,omitempty"`
	Notes       [][]byte              `cbor:"2,keyasint,omitempty"`
	Leaves      [][]byte              `cbor:"3,keyasint,omitempty"`
	Endorsement *register.Endorsement `cbor:"4,keyasint,omitempty"`
	Fault       string                `cbor:"5,keyasint,omitempty"`
	Peers       []PeerAddrs           `cbor:"6,keyasint,omitempty"`
}

// MaxMessage is the most bytes of a request or an answer.
const MaxMessage = 8 << 20

// ErrPeer marks a request that no honest peer makes; the peer pays for it.
var ErrPeer = errors.New("the peer's request is not one that an honest node makes")

// Limits of the messages, and of what is taken from one peer at a time.
const (
	rangeBytes  = 4 << 20
	rangeLeaves = 4000
	maxFault    = 1000
	maxPeers    = 4000
	peersBytes  = 2 << 20
	maxEnrol    = protocol.MaxOp + 1024
)

// MaxCatch is how many bytes of leaves are taken from one peer at a time: some
// fifty thousand enrolments. They are CatchPages of the largest pages that an
// honest peer gives.
const (
	MaxCatch   = 256 << 20
	CatchPages = MaxCatch / rangeBytes
)

// EnrolRequest is what a newcomer sends to the enrolment listener: the token
// of its ticket, and what it wants to become: an organisation (a signed
// request of protocol/register) or a further node of one (the encoded body of
// an enrol-node operation with its organisation). From is the number of leaves
// that it has already.
type EnrolRequest struct {
	Token [32]byte       `cbor:"1,keyasint"`
	Org   []byte         `cbor:"2,keyasint,omitempty"`
	Node  []byte         `cbor:"3,keyasint,omitempty"`
	Of    protocol.OrgID `cbor:"4,keyasint"`
	From  uint64         `cbor:"5,keyasint,omitempty"`
}

// EnrolAnswer says "pending", or hands out the register, or says in Fault why
// neither. Refused is set where asking again with this ticket and request does
// not help.
type EnrolAnswer struct {
	Pending bool     `cbor:"1,keyasint,omitempty"`
	Leaves  [][]byte `cbor:"2,keyasint,omitempty"`
	Notes   [][]byte `cbor:"3,keyasint,omitempty"` // of each change of signers, and the newest
	Size    uint64   `cbor:"4,keyasint,omitempty"` // of the newest note
	Fault   string   `cbor:"5,keyasint,omitempty"`
	// Peers tells where the secretariat's nodes listen for members.
	Peers   []PeerAddrs `cbor:"6,keyasint,omitempty"`
	Refused bool        `cbor:"7,keyasint,omitempty"`
}

// PeerAddrs is where a node can be reached.
type PeerAddrs struct {
	Node  protocol.NodeID `cbor:"1,keyasint" json:"node"`
	Addrs []string        `cbor:"2,keyasint" json:"addrs"`
}
