package node

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
)

// opened is a network whose secretariat is ready and unlocked.
func opened(t *testing.T, with ...func(name string, o *Options)) (*alliance, *running) {
	t.Helper()
	a := found(t, with...)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	return a, sec
}

// again starts a stopped node on its folder, locked.
func (a *alliance) again(name string) *running {
	a.t.Helper()
	r := a.start(name, filepath.Join(a.dir, name))
	a.ready(r)
	return r
}

// client is the operator at a node's socket.
func (r *running) client() *api.Client { return api.NewClient(SocketPath(r.dir, r.cfg)) }

func (r *running) status(t *testing.T) api.Status {
	t.Helper()
	s, err := api.Ask[api.Status](t.Context(), r.client(), "GET", "/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// warned reports whether a node's status warns of something.
func (r *running) warned(t *testing.T, of string) bool {
	t.Helper()
	return slices.ContainsFunc(r.status(t).Warnings, func(w string) bool { return strings.Contains(w, of) })
}

// example is the draft of an invented record.
func example(to *running, custodians ...*running) replica.Draft {
	d := replica.Draft{Audience: protocol.ListAudience(to.Org()), Expiry: protocol.DayOf(time.Now().Unix()) + 100,
		Contents: []protocol.Content{{Kind: "test/example", Time: time.Now().Unix(), Body: []byte("an invented example body")}}}
	for _, c := range custodians {
		d.Custodians = append(d.Custodians, c.Org())
	}
	return d
}

// referTo is the JSON of an invented referral.
func referTo(org string, change ...func(map[string]any)) json.RawMessage {
	d := map[string]any{
		"recipients": []any{map[string]any{"organisation": org, "services": []any{"psychosocial"}, "parts": []any{"identity"}}},
		"summary": map[string]any{
			"services": []any{"psychosocial"},
			"urgency":  map[string]any{"priority": "normal", "danger_now": "no"},
			"child":    map[string]any{"age_band": "14-15", "district": map[string]any{"code": "162", "list": "2022-12"}},
			"concern":  map[string]any{"types": []any{"sexual-extortion"}, "ongoing": "unknown", "how_learned": "child-disclosed"},
		},
		"case": map[string]any{"request": "An invented request, for practice.", "carer_alleged": "no",
			"legal": map[string]any{"basis": []any{"legal-duty-to-report"}}, "safety": map[string]any{"do_not": []any{"call-home"}}},
		"identity": map[string]any{"safe_contact": map[string]any{"who": "An invented teacher", "channel": "phone"}},
		"evidence": map[string]any{},
	}
	for _, f := range change {
		f(d)
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return b
}

// refer sends a referral through the API.
func (r *running) refer(ctx context.Context, draft json.RawMessage) (casebook.Result, error) {
	return api.Ask[casebook.Result](ctx, r.client(), "POST", "/referrals", map[string]any{"draft": draft})
}

// sees reports how many referrals a node lists.
func (r *running) sees(t *testing.T) int {
	t.Helper()
	l, err := api.Ask[casebook.ReferralList](t.Context(), r.client(), "GET", "/referrals", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l.Total
}

// problem is an error's kind and sentence, Internal and "" for none.
func problem(err error) (api.Kind, string) {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Kind, e.Error()
	}
	return api.Internal, ""
}
