package node

import (
	"errors"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/api"
)

// caseRoutes are those of referrals and alerts.
func (n *Node) caseRoutes(*api.Server) {}

func unlockError(err error) error {
	switch {
	case errors.Is(err, keyfile.ErrPassphrase):
		return api.Errorf(api.Refused, "the passphrase does not open the reading identity; nothing was changed; records are kept and passed on meanwhile: try again")
	case errors.Is(err, keyfile.ErrExposed), errors.Is(err, keyfile.ErrDamaged):
		return api.Errorf(api.Conflict, "%v", err)
	}
	return api.Errorf(api.Unavailable, "%v", err)
}
