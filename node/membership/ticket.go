package membership

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Ticket lets one newcomer talk to the enrolment listener. It names the
// network to pin, where the secretariat listens for newcomers and under which
// transport keys, and a token that counts once. It is a secret until used, but
// admits nobody: people compare fingerprints and officers sign.
type Ticket struct {
	Network protocol.NetworkID `cbor:"1,keyasint"`
	Trial   bool               `cbor:"2,keyasint,omitempty"`
	Doors   []Door             `cbor:"3,keyasint"`
	Token   [32]byte           `cbor:"4,keyasint"`
	Expires int64              `cbor:"5,keyasint"` // Unix seconds
}

// Door is one enrolment listener.
type Door struct {
	Transport crypto.PublicKey `cbor:"1,keyasint"`
	Addrs     []string         `cbor:"2,keyasint"`
}

const (
	ticketPrefix = "alliance-ticket-1-"
	maxTicket    = 8 << 10
	maxDoors     = 8
	ticketCheck  = 4 // bytes at the end of the text that show a slip
)

const labelTicket crypto.Label = "ticket-check"

// Text is the ticket as people pass it on: one word. Its last bytes are the
// beginning of a hash of the others, so that a slip is seen at once.
func (t Ticket) Text() string {
	b := protocol.Encode(t)
	return ticketPrefix + base64.RawURLEncoding.EncodeToString(append(b, checkOf(b)...))
}

func checkOf(b []byte) []byte {
	h := crypto.Sum(labelTicket, crypto.Hash{}, b)
	return h[:ticketCheck]
}

// ParseTicket reads a ticket's text; white space around it is allowed.
func ParseTicket(s string) (Ticket, error) {
	bad := errors.New("this is no ticket, or a part of it is mistyped or missing: copy the whole line that begins with " + ticketPrefix)
	body, ok := strings.CutPrefix(strings.TrimSpace(s), ticketPrefix)
	if !ok || len(body) > 2*maxTicket {
		return Ticket{}, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) < ticketCheck {
		return Ticket{}, bad
	}
	b, check := b[:len(b)-ticketCheck], b[len(b)-ticketCheck:]
	if !bytes.Equal(check, checkOf(b)) {
		return Ticket{}, bad
	}
	t, err := protocol.Decode[Ticket](b, maxTicket)
	if err != nil || len(t.Doors) == 0 || len(t.Doors) > maxDoors {
		return Ticket{}, bad
	}
	for _, d := range t.Doors {
		if err := d.Transport.Check(); err != nil || len(d.Addrs) == 0 {
			return Ticket{}, bad
		}
	}
	return t, nil
}

// NewToken draws a token.
func NewToken() (t [32]byte, err error) {
	if _, err = rand.Read(t[:]); err != nil {
		err = fmt.Errorf("draw token: %w", err)
	}
	return t, err
}
