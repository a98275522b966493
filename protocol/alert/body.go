package alert

import (
	"errors"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// The kinds of record that speak of alerts.
const (
	KindIssue  = "alert/issue"
	KindUpdate = "alert/update"
	KindCancel = "alert/cancel"
	KindAck    = "alert/ack"
)

// MaxBody is the size in bytes of an encoded body.
const MaxBody = 2 * MaxCAP

// Body is the sealed body of an alert record: an Alert for issue, update and
// cancel, an Ack for ack.
type Body struct {
	Alert *Alert `cbor:"1,keyasint,omitempty" json:"alert,omitempty"`
	Ack   *Ack   `cbor:"2,keyasint,omitempty" json:"ack,omitempty"`
}

// Action is what a recipient did about an alert.
type Action string

// The actions. ActionNone (nothing was needed) and ActionCannot (with a
// reason) stand alone; an action that this version does not know is shown as
// it is.
const (
	ActionReported  Action = "reported"
	ActionBlocked   Action = "blocked"
	ActionWarned    Action = "warned-families"
	ActionChecked   Action = "checked-records"
	ActionPreserved Action = "preserved-evidence"
	ActionNone      Action = "none"
	ActionCannot    Action = "cannot-act"
)

var actions = []Action{ActionReported, ActionBlocked, ActionWarned, ActionChecked, ActionPreserved, ActionNone, ActionCannot}

// Actions returns all of them, in the order in which lists show them.
func Actions() []Action { return slices.Clone(actions) }

// MaxReason is the length in bytes of an acknowledgement's reason.
const MaxReason = 2000

// Ack is a recipient organisation's acknowledgement. A later one of the same
// organisation takes the place of an earlier one.
type Ack struct {
	What   []Action `cbor:"1,keyasint" json:"what"`                       // at least one, none twice
	Reason string   `cbor:"2,keyasint,omitempty" json:"reason,omitempty"` // required with cannot-act; no names
}

// Check holds the rules of an acknowledgement. Unknown actions pass where
// they are read; [EncodeBody] refuses to write them.
func (k *Ack) Check() error {
	if len(k.What) == 0 || len(k.What) > len(actions)+9 {
		return errors.New("acknowledge alert: say what was done; one of " + join(actions))
	}
	for n, what := range k.What {
		if what == "" || len(what) > protocol.MaxKind || slices.Contains(k.What[:n], what) {
			return errors.New("acknowledge alert: an action is empty, too long or named twice")
		}
		if (what == ActionNone || what == ActionCannot) && len(k.What) > 1 {
			return fmt.Errorf("acknowledge alert: %s stands alone", what)
		}
	}
	if slices.Contains(k.What, ActionCannot) && blank(k.Reason) {
		return errors.New("acknowledge alert: cannot-act needs a reason")
	}
	if len(k.Reason) > MaxReason {
		return fmt.Errorf("acknowledge alert: the reason is longer than %d bytes", MaxReason)
	}
	if err := checkText(k.Reason); err != nil {
		return fmt.Errorf("acknowledge alert: the reason %w", err)
	}
	return nil
}

// ParseAck makes an Ack from the names of its actions; unknown ones are
// refused.
func ParseAck(what []string, reason string) (*Ack, error) {
	k := &Ack{What: each[Action](what), Reason: reason}
	for _, w := range k.What {
		if !slices.Contains(actions, w) {
			return nil, fmt.Errorf("acknowledge alert: %q is not one of %s", clip(string(w)), join(actions))
		}
	}
	return k, k.Check()
}

var msgTypeOf = map[string]MsgType{KindIssue: MsgAlert, KindUpdate: MsgUpdate, KindCancel: MsgCancel}

// Fits says whether the body is one for records of that kind, and whole: an
// alert of the kind's msgType that [Alert.Validate] passes, or an Ack that
// Check passes.
func (b Body) Fits(kind string) error {
	msg, notice := msgTypeOf[kind]
	switch {
	case notice && b.Alert != nil && b.Ack == nil:
		if b.Alert.MsgType != msg {
			return fmt.Errorf("%s holds an alert of msgType %q, and should hold %s", kind, clip(string(b.Alert.MsgType)), msg)
		}
		return b.Alert.Validate()
	case kind == KindAck && b.Ack != nil && b.Alert == nil:
		return b.Ack.Check()
	case !notice && kind != KindAck:
		return fmt.Errorf("%q is no kind of alert record", clip(kind))
	}
	return fmt.Errorf("%s does not hold what its kind says", kind)
}

// EncodeBody returns the body's CBOR after [Body.Fits]. It does not hold the
// alliance's profile: [Alert.Profile] and [MayIssue] do, before an alert is
// issued and again where one arrives.
func EncodeBody(kind string, b Body) ([]byte, error) {
	if err := b.Fits(kind); err != nil {
		return nil, fmt.Errorf("encode alert: %w", err)
	}
	if b.Ack != nil {
		for _, w := range b.Ack.What {
			if !slices.Contains(actions, w) {
				return nil, fmt.Errorf("encode alert: action %q is not known", clip(string(w)))
			}
		}
	}
	out := protocol.Encode(b)
	if len(out) > MaxBody {
		return nil, fmt.Errorf("encode alert: %d bytes, at most %d are allowed", len(out), MaxBody)
	}
	return out, nil
}

// DecodeBody reads a body of that kind. Fields of a newer version are passed
// over; the caller keeps the bytes. Errors that say the bytes are malformed
// wrap [protocol.ErrEncoding].
func DecodeBody(kind string, b []byte) (Body, error) {
	body, err := protocol.DecodeOpen[Body](b, MaxBody)
	if err == nil {
		err = body.Fits(kind)
	}
	if err != nil {
		return Body{}, fmt.Errorf("decode alert: %w", err)
	}
	return body, nil
}
