package node

import (
	"context"

	"github.com/national-alliance/alliance/node/api"
)

type nothing struct{}

type orgQuery struct {
	Name string `path:"name" doc:"name, ID, or enough of an ID's beginning"`
}

type body[T any] struct {
	Body T
}

// routes gives the API what this node can do.
func (n *Node) routes(s *api.Server) {
	api.Route(s, "GET", "/status", "How this node stands", func(context.Context, *nothing) (api.Status, error) { return n.Status(), nil })
	api.Route(s, "POST", "/unlock", "Open the reading identity", func(_ context.Context, in *body[api.Passphrase]) (api.Status, error) {
		if in.Body.Passphrase == "" {
			return api.Status{}, api.Errorf(api.Invalid, "a passphrase is needed; nothing was changed")
		}
		if err := n.Unlock(in.Body.Passphrase); err != nil {
			return api.Status{}, unlockError(err)
		}
		return n.Status(), nil
	})
	api.Route(s, "POST", "/lock", "Put the reading identity away", func(context.Context, *nothing) (api.Status, error) {
		if err := n.Lock(); err != nil {
			return api.Status{}, api.Errorf(api.Conflict, "%v", err)
		}
		return n.Status(), nil
	})
	api.Route(s, "GET", "/orgs", "All members", func(context.Context, *nothing) ([]api.Org, error) { return n.orgs("") })
	api.Route(s, "GET", "/orgs/{name}", "One member", func(_ context.Context, in *orgQuery) (api.Org, error) {
		list, err := n.orgs(in.Name)
		if err != nil {
			return api.Org{}, err
		}
		return list[0], nil
	})
	api.Route(s, "POST", "/invitations", "Open a ticket for one newcomer", func(ctx context.Context, in *body[api.Invitation]) (api.Ticket, error) {
		t, err := n.invite(ctx, in.Body)
		return t, portError("enrol", "no ticket was opened", err)
	})
	api.Route(s, "GET", "/enrolments", "Requests to join", func(context.Context, *nothing) ([]api.Enrolment, error) { return n.enrolments() })
	api.Route(s, "POST", "/ops/draft", "Draft an operation for people to sign", func(_ context.Context, in *body[api.OpDraft]) (api.Op, error) {
		return n.draftOp(in.Body)
	})
	api.Route(s, "POST", "/ops/describe", "An operation in words", func(_ context.Context, in *body[api.Op]) (api.OpWords, error) {
		return n.describeOp(in.Body)
	})
	api.Route(s, "POST", "/ops/submit", "Put a signed operation into the register", func(ctx context.Context, in *body[api.Op]) (api.Submitted, error) {
		return n.submitOp(ctx, in.Body)
	})
	n.caseRoutes(s)
}
