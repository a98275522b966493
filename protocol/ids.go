package protocol

import (
	"fmt"
	"time"

	"github.com/national-alliance/alliance/crypto"
)

// ID is a 32-byte identifier of one kind of thing. The kinds never
// interchange: an [OrgID] is not a [NodeID]. On the wire an ID is a CBOR byte
// string of 32 bytes; as text, 64 lower-case hex digits.
type ID[kind any] crypto.Hash

type (
	networkKind struct{}
	orgKind     struct{}
	nodeKind    struct{}
	feedKind    struct{}
	recordKind  struct{}
	personKind  struct{}

	// NetworkID is the labelled hash of an alliance's unsigned genesis.
	NetworkID = ID[networkKind]
	// OrgID is the labelled hash of the organisation's enrolment request, so
	// it commits to the administrators' keys the organisation began with.
	OrgID = ID[orgKind]
	// NodeID is the labelled hash of a node's author, transport and sealing
	// keys.
	NodeID = ID[nodeKind]
	// FeedID is the labelled hash of network, author node and audience.
	FeedID = ID[feedKind]
	// RecordID is the labelled hash of a record's core bytes. It never covers
	// signature bytes.
	RecordID = ID[recordKind]
	// PersonID is a random number that stands for one person who holds
	// signing keys, so that two keys of one person count once.
	PersonID = ID[personKind]
)

// String returns 64 lower-case hex digits.
func (id ID[kind]) String() string { return crypto.Hash(id).String() }

// Short returns the first 8 hex digits, for people and logs; it is not unique.
func (id ID[kind]) Short() string { return crypto.Hash(id).String()[:8] }

// IsZero reports whether the ID is unset.
func (id ID[kind]) IsZero() bool { return crypto.Hash(id).IsZero() }

// Compare orders IDs by their bytes, as every sorted list of them is.
func (id ID[kind]) Compare(other ID[kind]) int {
	for i := range id {
		if id[i] != other[i] {
			if id[i] < other[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// MarshalText returns 64 lower-case hex digits.
func (id ID[kind]) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads exactly 64 lower-case hex digits.
func (id *ID[kind]) UnmarshalText(b []byte) error {
	h, err := crypto.ParseHash(string(b))
	if err != nil {
		return fmt.Errorf("parse id: %w", err)
	}
	*id = ID[kind](h)
	return nil
}

// Day counts days since 1970-01-01 in UTC. It is all the time that a record
// shows outside its seal.
type Day uint32

// DayOf returns the UTC day of a Unix time in seconds.
func DayOf(unix int64) Day {
	if unix < 0 {
		return 0
	}
	return Day(unix / 86400)
}

// String returns the date as 2006-01-02.
func (d Day) String() string { return time.Unix(int64(d)*86400, 0).UTC().Format("2006-01-02") }

// Class is the coarse kind of an organisation, fixed at enrolment. Rules look
// at the class alone.
type Class uint8

// The classes. The numbers are on the wire and never change.
const (
	ClassSecretariat Class = 1 // exactly one, from genesis
	ClassNGO         Class = 2
	ClassPolice      Class = 3 // never a custodian
	ClassGovernment  Class = 4
)

var classNames = map[Class]string{ClassSecretariat: "secretariat", ClassNGO: "ngo", ClassPolice: "police", ClassGovernment: "government"}

func (c Class) String() string {
	if s, ok := classNames[c]; ok {
		return s
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Valid reports whether c is one of the four classes.
func (c Class) Valid() bool { return classNames[c] != "" }

// ParseClass reads the name of a class.
func ParseClass(s string) (Class, error) {
	for c, n := range classNames {
		if n == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("class %q is not one of secretariat, ngo, police, government", s)
}

// Status is what the register says of an organisation or a node.
type Status uint8

// The states. The numbers are on the wire and never change.
const (
	Active    Status = 1
	Suspended Status = 2
	Revoked   Status = 3
	Retired   Status = 4 // nodes only: taken out of service by its own organisation
)

func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Suspended:
		return "suspended"
	case Revoked:
		return "revoked"
	case Retired:
		return "retired"
	}
	return fmt.Sprintf("status %d", uint8(s))
}
