package casebook

import (
	"errors"
	"fmt"

	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

// Kind is what sort of error it is; the set is small and closed, so that an
// API can give each its own status.
type Kind string

// The kinds.
const (
	Invalid   Kind = "invalid"   // what was written breaks rules; Faults or Findings name them
	Refused   Kind = "refused"   // a rule forbids it to this organisation
	Conflict  Kind = "conflict"  // the leg's state, as it is now, does not allow it
	NotFound  Kind = "not-found" // no such referral, alert, leg or organisation
	Ambiguous Kind = "ambiguous" // what was named could be more than one
	Locked    Kind = "locked"    // the node is locked
	Failed    Kind = "failed"    // anything else: disk, network, the program
)

// Error is an error that a person can act on: what happened, what was kept,
// and what to do next. It repeats nothing that was written in a case.
type Error struct {
	Kind     Kind            `json:"kind"`
	Text     string          `json:"text"`
	Faults   referral.Faults `json:"faults,omitempty"`   // of a referral or a move
	Findings []alert.Finding `json:"findings,omitempty"` // of an alert
	err      error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.err }

// KindOf returns an error's kind; Failed for one that is none of this
// package's.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, ErrLocked):
		return Locked
	}
	return Failed
}

func fail(k Kind, format string, a ...any) error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, a...)}
}

// refused makes an Error of what referral.Check and its kin return.
func refused(what string, err error) error {
	var f referral.Faults
	var r *referral.Refusal
	var e *Error
	switch {
	case errors.As(err, &e):
		return &Error{Kind: e.Kind, Faults: e.Faults, err: err, Text: fmt.Sprintf("%s: not sent, and nothing was kept: %s", what, e.Text)}
	case errors.As(err, &f):
		return &Error{Kind: Invalid, Faults: f, err: err,
			Text: fmt.Sprintf("%s: not sent, and nothing was kept: %v. Put this right and send it again", what, err)}
	case errors.As(err, &r):
		k := Refused
		if r.OfState() {
			k = Conflict
		}
		return &Error{Kind: k, err: err,
			Text: fmt.Sprintf("%s: not sent, and nothing was kept: %s; 'alliance referral show' says what may be done now", what, r.Why)}
	}
	return &Error{Kind: Invalid, err: err, Text: fmt.Sprintf("%s: not sent, and nothing was kept: %v", what, err)}
}

// unsent wraps what [Records.Send] returned.
func unsent(what string, err error) error {
	if errors.Is(err, ErrLocked) {
		return err
	}
	return fmt.Errorf("%s: not sent, and nothing was kept: %w", what, err)
}
