package node

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

// document is JSON that its own package reads strictly.
type document = json.RawMessage

type newReferral struct {
	Body struct {
		Draft   document `json:"draft" doc:"a referral as protocol/referral reads it"`
		Staff   string   `json:"staff,omitempty"`
		Preview bool     `json:"preview,omitempty" doc:"say who would read which part, and send nothing"`
	}
}

type named struct {
	ID string `path:"id" doc:"code or ID, or enough of its beginning"`
}

type referralQuery struct {
	Direction    string `query:"direction" enum:"sent,received,watched" doc:"as seen from here"`
	State        string `query:"state" doc:"some leg is in it"`
	Priority     string `query:"priority"`
	Organisation string `query:"organisation" doc:"sender or recipient"`
	Open         bool   `query:"open"`
	Overdue      bool   `query:"overdue"`
	Mine         bool   `query:"mine" doc:"it is for this organisation to move"`
	Notice       bool   `query:"notice" doc:"something is to be looked at"`
	Limit        int    `query:"limit" minimum:"0" maximum:"200"`
	After        string `query:"after" doc:"the list before said it as next"`
}

func (q *referralQuery) filter() casebook.Filter {
	return casebook.Filter{Direction: casebook.Direction(q.Direction), State: referral.State(q.State), Priority: q.Priority, Organisation: q.Organisation,
		Open: q.Open, Overdue: q.Overdue, Mine: q.Mine, Notice: q.Notice, Limit: q.Limit, After: q.After}
}

type alertQuery struct {
	Standing string `query:"standing" doc:"in-force, upcoming, expired, withdrawn"`
	Category string `query:"category"`
	Issuer   string `query:"issuer"`
	Waiting  bool   `query:"waiting" doc:"not answered yet"`
	Language string `query:"language"`
	Limit    int    `query:"limit" minimum:"0" maximum:"200"`
	After    string `query:"after"`
}

func (q *alertQuery) filter() casebook.AlertFilter {
	return casebook.AlertFilter{Standing: alert.Standing(q.Standing), Category: alert.Category(q.Category), Issuer: q.Issuer,
		Waiting: q.Waiting, Language: q.Language, Limit: q.Limit, After: q.After}
}

type move struct {
	ID   string `path:"id"`
	Move string `path:"move" doc:"acknowledge, accept, decline, start, complete, confirm, dispute, close, message"`
	Body struct {
		Leg   string   `json:"leg,omitempty" doc:"the recipient; a recipient moves its own"`
		Staff string   `json:"staff,omitempty"`
		Say   document `json:"say,omitempty" doc:"what the move must give"`
	}
}

type amend struct {
	ID   string `path:"id"`
	Body struct {
		Changes document `json:"changes" doc:"JSON merge patch (RFC 7396) of the four parts"`
		Reason  string   `json:"reason"`
		Staff   string   `json:"staff,omitempty"`
	}
}

type newAlert struct {
	Body struct {
		CAP   string   `json:"cap" doc:"a CAP 1.2 XML document"`
		To    []string `json:"to,omitempty" doc:"members; all where it is empty"`
		About []string `json:"about,omitempty" doc:"members that it is about: they do not get it"`
		Staff string   `json:"staff,omitempty"`
	}
}

type updateAlert struct {
	ID   string `path:"id"`
	Body struct {
		CAP   string `json:"cap"`
		Staff string `json:"staff,omitempty"`
	}
}

type cancelAlert struct {
	ID   string `path:"id"`
	Body api.Reason
}

type ackAlert struct {
	ID   string `path:"id"`
	Body api.AlertAck
}

// member is nil once the node is composed.
func (n *Node) member() error {
	select {
	case <-n.ready:
		return nil
	default:
		return notReady()
	}
}

// with answers a route of a member's book.
func with[In, T any](n *Node, do func(context.Context, *In) (T, error)) func(context.Context, *In) (T, error) {
	return func(ctx context.Context, in *In) (T, error) {
		var zero T
		if err := n.member(); err != nil {
			return zero, err
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return answer(do(ctx, in))
	}
}

// caseRoutes are those of referrals and alerts.
func (n *Node) caseRoutes(s *api.Server) {
	api.Route(s, "POST", "/referrals", "Send a referral", with(n, func(ctx context.Context, in *newReferral) (casebook.Result, error) {
		d, err := referral.ParseDraft(in.Body.Draft)
		if err != nil {
			return casebook.Result{}, &casebook.Error{Kind: casebook.Invalid, Text: "send referral: not sent, and nothing was kept: " + err.Error()}
		}
		if in.Body.Preview {
			return n.book.Preview(d, in.Body.Staff)
		}
		return n.book.Send(ctx, d, in.Body.Staff)
	}))
	api.Route(s, "GET", "/referrals", "Referrals that this organisation sent or received", with(n, func(ctx context.Context, in *referralQuery) (casebook.ReferralList, error) {
		return n.book.List(ctx, in.filter())
	}))
	api.Route(s, "GET", "/referrals/{id}", "One referral as this organisation may see it", with(n, func(ctx context.Context, in *named) (casebook.ReferralView, error) {
		return n.book.Show(ctx, in.ID)
	}))
	api.Route(s, "POST", "/referrals/{id}/moves/{move}", "Make a move in a leg", with(n, func(ctx context.Context, in *move) (casebook.Result, error) {
		body, err := casebook.ReadBody(in.Move, in.Body.Say)
		if err != nil {
			return casebook.Result{}, err
		}
		return n.book.Move(ctx, casebook.Move{Referral: in.ID, Leg: in.Body.Leg, Body: body, Staff: in.Body.Staff})
	}))
	api.Route(s, "POST", "/referrals/{id}/amend", "Amend a referral", with(n, func(ctx context.Context, in *amend) (casebook.Result, error) {
		return n.book.Amend(ctx, casebook.Amendment{Referral: in.ID, Changes: in.Body.Changes, Reason: in.Body.Reason, Staff: in.Body.Staff})
	}))

	api.Route(s, "POST", "/alerts", "Issue an alert from a CAP document", with(n, func(ctx context.Context, in *newAlert) (casebook.AlertResult, error) {
		a, err := parseCAP("issue alert", in.Body.CAP)
		if err != nil {
			return casebook.AlertResult{}, err
		}
		return n.book.Issue(ctx, casebook.Issue{Alert: a, To: in.Body.To, About: in.Body.About, Staff: in.Body.Staff})
	}))
	api.Route(s, "GET", "/alerts", "Alerts", with(n, func(_ context.Context, in *alertQuery) (casebook.AlertList, error) {
		return n.book.Alerts(in.filter())
	}))
	api.Route(s, "GET", "/alerts/{id}", "One alert", with(n, func(ctx context.Context, in *named) (casebook.AlertView, error) {
		return n.book.ShowAlert(ctx, in.ID, "")
	}))
	api.Route(s, "POST", "/alerts/{id}/update", "Replace an alert", with(n, func(ctx context.Context, in *updateAlert) (casebook.AlertResult, error) {
		a, err := parseCAP("update alert", in.Body.CAP)
		if err != nil {
			return casebook.AlertResult{}, err
		}
		return n.book.Update(ctx, in.ID, a, in.Body.Staff)
	}))
	api.Route(s, "POST", "/alerts/{id}/cancel", "Withdraw an alert", with(n, func(ctx context.Context, in *cancelAlert) (casebook.AlertResult, error) {
		return n.book.CancelAlert(ctx, in.ID, in.Body.Reason, in.Body.Staff)
	}))
	api.Route(s, "POST", "/alerts/{id}/ack", "Acknowledge an alert", with(n, func(ctx context.Context, in *ackAlert) (casebook.AlertResult, error) {
		return n.book.Acknowledge(ctx, in.ID, in.Body.What, in.Body.Reason, in.Body.Staff)
	}))
}

func parseCAP(what, xml string) (*alert.Alert, error) {
	a, _, err := alert.ParseCAP([]byte(xml))
	if err != nil {
		return nil, &casebook.Error{Kind: casebook.Invalid, Text: what + ": not sent, and nothing was kept: the CAP document breaks rules", Findings: alert.Findings(err)}
	}
	return a, nil
}

// diskFault reports whether an error is the disk's, which may pass.
func diskFault(err error) bool {
	return errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrDisk) || errors.Is(err, store.ErrUncertain)
}

func unlockError(err error) error {
	_, ours := errors.AsType[*api.Error](err)
	switch {
	case ours:
		return err
	case errors.Is(err, keyfile.ErrPassphrase):
		return api.Errorf(api.Refused, "the passphrase does not open the reading identity; nothing was changed; records are kept and passed on meanwhile: try again")
	case errors.Is(err, keyfile.ErrExposed), errors.Is(err, keyfile.ErrDamaged):
		return api.Errorf(api.Conflict, "%v", err)
	}
	return api.Errorf(api.Unavailable, "%v", err)
}
