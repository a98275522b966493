package node

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Person is somebody who signs: the random ID, and the key, wherever it is held.
type Person struct {
	ID  protocol.PersonID
	Key crypto.Signer
}

const personPrefix = "alliance-person-1-"

// PersonText is the public half of a signing key, with the person's random ID
// and, where it has one, the proof of possession: one word that its holder
// hands to whoever drafts.
func PersonText(m register.Member) string {
	return personPrefix + base64.RawURLEncoding.EncodeToString(protocol.Encode(m))
}

// ParsePerson reads what PersonText wrote.
func ParsePerson(s string) (register.Member, error) {
	bad := errors.New("this is no person's public key: copy the whole word that 'alliance key show' prints, beginning with " + personPrefix)
	body, ok := strings.CutPrefix(strings.TrimSpace(s), personPrefix)
	if !ok {
		return register.Member{}, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return register.Member{}, bad
	}
	m, err := protocol.Decode[register.Member](b, 1024)
	if err != nil || m.Key.Check() != nil || m.Person.IsZero() {
		return register.Member{}, bad
	}
	return m, nil
}

func parsePeople(texts []string) ([]register.Member, error) {
	var out []register.Member
	for _, t := range texts {
		m, err := ParsePerson(t)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
