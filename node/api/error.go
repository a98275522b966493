package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
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

	status int // of a problem that the router found; 0: the kind's
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
func (e *Error) GetStatus() int {
	if e.status != 0 {
		return e.status
	}
	return kinds[e.Kind].status
}

// ContentType is that of RFC 9457.
func (e *Error) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

type problem struct {
	Type   string   `json:"type" doc:"urn:alliance:error: and the kind"`
	Title  string   `json:"title" doc:"the kind" enum:"invalid,not-found,refused,conflict,locked,unavailable,internal"`
	Status int      `json:"status"`
	Detail string   `json:"detail" doc:"what happened, what was kept, what to do next"`
	Faults []string `json:"faults,omitempty" doc:"each names a field and a rule"`
}

const problemPrefix = "urn:alliance:error:"

// MarshalJSON writes the problem.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(problem{problemPrefix + string(e.Kind), string(e.Kind), e.GetStatus(), e.Text, e.Faults})
}

// UnmarshalJSON reads one.
func (e *Error) UnmarshalJSON(b []byte) error {
	var p problem
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	e.Kind, e.Text, e.Faults = Kind(p.Title), p.Detail, p.Faults
	if _, ok := kinds[e.Kind]; !ok {
		e.Kind = statusKind(p.Status)
	}
	return nil
}

// write answers with a problem.
func write(w http.ResponseWriter, e *Error) {
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(e.GetStatus())
	json.NewEncoder(w).Encode(e)
}

// ours makes one of this package's problems of the router's own. Those repeat
// the value at fault, and so perhaps a passphrase or a person's words: here the
// field's name and the rule are all.
func ours(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	e := &Error{Kind: statusKind(m.Status), Text: "the request is not understood; nothing was done", status: m.Status}
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		e.Text = fmt.Sprintf("the request has more than %d MB; nothing was done", MaxRequest>>20)
	case http.StatusRequestTimeout:
		e.Text = "the request did not come in time; nothing was done"
	case http.StatusUnsupportedMediaType:
		e.Text = "the request is of a type that this node does not read: send application/json; nothing was done"
	}
	for _, d := range m.Errors {
		if _, raw := d.Value.(string); raw && d.Location == "body" {
			e.Faults = append(e.Faults, "body: this is not JSON, or not of the form that the route takes")
			continue
		}
		e.Faults = append(e.Faults, fmt.Sprintf("%.100s: %s", d.Location, d.Message))
	}
	return e, nil
}

// statusKind is the kind of a status that the router itself gives.
func statusKind(status int) Kind {
	switch {
	case status == http.StatusNotFound:
		return NotFound
	case status >= 400 && status < 500:
		return Invalid
	}
	return Internal
}
