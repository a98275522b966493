package register

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Fingerprint returns what two people compare over the phone to know that
// they look at the same thing: 8 groups of 5 digits, each group 16 bits of a
// labelled hash (00000 to 65535), 128 bits in all, so that a second request
// with the same fingerprint cannot be made.
func Fingerprint(id [32]byte) string {
	h := crypto.Sum(labelFingerprint, crypto.Hash{}, id[:])
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint16(h[2*i:]))
	}
	return strings.Join(groups, " ")
}

// Fingerprint is that of the organisation's ID, and so of every key in the
// request.
func (c CheckedRequest) Fingerprint() string { return Fingerprint(c.ID()) }

// NetworkFingerprint is that of a network, and so of its genesis.
func NetworkFingerprint(n protocol.NetworkID) string { return Fingerprint(n) }
