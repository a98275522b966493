package node

import (
	"errors"

	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol"
)

// Identity says whose folder it is.
type Identity struct {
	Network protocol.NetworkID
	Org     protocol.OrgID
	Node    protocol.NodeID
	Trial   bool
}

// Identify reads a node's folder, and nothing of its keys.
func Identify(dir string) (Identity, error) {
	id, err := loadIdentity(dir)
	return Identity(id), err
}

// InUse reports whether an error means that another process has the folder.
func InUse(err error) bool { return errors.Is(err, store.ErrInUse) }

// ParseTicket checks a ticket's text, which white space may surround.
func ParseTicket(s string) (membership.Ticket, error) { return membership.ParseTicket(s) }
