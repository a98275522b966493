package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Kind is what went wrong, for programs; the closed set that crosses HTTP.
type Kind string

// The kinds, with their HTTP status and the CLI's exit code.
const (
	Invalid     Kind = "invalid"     // 400, exit 2: the request itself is wrong
	NotFound    Kind = "not-found"   // 404, exit 3
	Refused     Kind = "refused"     // 403, exit 4: a rule does not allow it
	Conflict    Kind = "conflict"    // 409, exit 5: it does not fit what is there now
	Locked      Kind = "locked"      // 423, exit 6: the reading identity is closed
	Unavailable Kind = "unavailable" // 503, exit 7: not now: no peer, no leader, disk full
	Internal    Kind = "internal"    // 500, exit 1: a fault of the program or the machine
)

var kinds = map[Kind]struct{ status, exit int }{
	Invalid: {http.StatusBadRequest, 2}, NotFound: {http.StatusNotFound, 3}, Refused: {http.StatusForbidden, 4},
	Conflict: {http.StatusConflict, 5}, Locked: {http.StatusLocked, 6}, Unavailable: {http.StatusServiceUnavailable, 7},
	Internal: {http.StatusInternalServerError, 1},
}

// Exit is the CLI's exit code for a kind of error.
func (k Kind) Exit() int {
	if v, ok := kinds[k]; ok {
		return v.exit
	}
	return 1
}

// Error is a problem as it travels.
type Error struct {
	Kind   Kind
	Text   string   // a sentence for a person
	Faults []string // several faults of one input, each naming its field and rule
}

func (e *Error) Error() string {
	s := e.Text
	for _, f := range e.Faults {
		s += "\n  " + f
	}
	return s
}

// Errorf makes an Error.
func Errorf(k Kind, format string, a ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, a...)}
}

// KindOf returns an error's kind, Internal where it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// GetStatus and the marshalling make an Error what the router writes.
func (e *Error) GetStatus() int { return kinds[e.Kind].status }

// ContentType is that of RFC 9457.
func (e *Error) ContentType(string) string { return "application/problem+json" }

type problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Faults []string `json:"faults,omitempty"`
}

const problemPrefix = "urn:alliance:error:"

// MarshalJSON writes the problem.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(problem{problemPrefix + string(e.Kind), string(e.Kind), e.GetStatus(), e.Text, e.Faults})
}

// UnmarshalJSON reads one; the router's own problems, which bear no kind of
// ours, get that of their status.
func (e *Error) UnmarshalJSON(b []byte) error {
	var p struct {
		problem
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	e.Kind, e.Text, e.Faults = Kind(p.Title), p.Detail, p.Faults
	if _, ok := kinds[e.Kind]; !ok {
		e.Kind = statusKind(p.Status)
	}
	for _, f := range p.Errors {
		e.Faults = append(e.Faults, f.Location+": "+f.Message)
	}
	return nil
}

// statusKind is the kind of a status that the router itself gives.
func statusKind(status int) Kind {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusMethodNotAllowed:
		return Invalid
	case http.StatusNotFound:
		return NotFound
	}
	return Internal
}
