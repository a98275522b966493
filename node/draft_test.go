package node

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Every kind of operation is drafted about what it should be, in words that
// people can read; what names nothing is refused with a hint.
func TestDrafts(t *testing.T) {
	t.Parallel()
	a, sec := opened(t)
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")
	until(t, "the secretariat has the newest register", func() bool { return sec.reg.State().Size() == alpha.reg.State().Size() })
	s := sec.reg.State()
	own, other := sec.Org(), alpha.Org()
	person := PersonText(member(a.admin))
	id, node := other.String(), alpha.ID().String()
	seen := map[string]bool{}
	for _, c := range []struct {
		d     api.OpDraft
		about register.Subject
		kind  register.Kind
	}{
		{api.OpDraft{Kind: "revoke", Organisation: "example ALPHA"}, register.OfOrg(other), register.KindRevokeOrg},
		{api.OpDraft{Kind: "revoke", Node: node}, register.OfNode(alpha.ID()), register.KindRevokeNode},
		{api.OpDraft{Kind: "revoke", Node: node[:8], Organisation: id}, register.AdministratorsOf(other), register.KindRevokeNode},
		{api.OpDraft{Kind: "suspend", Organisation: id[:6]}, register.OfOrg(other), register.KindSuspend},
		{api.OpDraft{Kind: "suspend", Node: node}, register.OfNode(alpha.ID()), register.KindSuspend},
		{api.OpDraft{Kind: "reinstate", Organisation: id}, register.OfOrg(other), register.KindReinstate},
		{api.OpDraft{Kind: "set-kind", Organisation: id, Code: "hotline"}, register.OfOrg(other), register.KindSetKind},
		{api.OpDraft{Kind: "policy", Agreement: "an invented agreement"}, register.OfPolicy(), register.KindPolicy},
		{api.OpDraft{Kind: "group", Group: "example", Title: "Example group", Members: []string{id, "Example Secretariat"}}, register.OfGroup("example"), register.KindGroup},
		{api.OpDraft{Kind: "officers", Members: []string{person}, Threshold: 1, Suspension: 1}, register.OfOfficers(), register.KindOfficers},
		{api.OpDraft{Kind: "admins", Members: []string{person}, Threshold: 1}, register.AdministratorsOf(own), register.KindAdmins},
		{api.OpDraft{Kind: "retire-node", Node: node}, register.AdministratorsOf(other), register.KindRetireNode},
		{api.OpDraft{Kind: "voters", Nodes: []string{sec.ID().String()}}, register.AdministratorsOf(own), register.KindVoters},
		{api.OpDraft{Kind: "signers", Nodes: []string{sec.ID().String()}}, register.AdministratorsOf(own), register.KindSigners},
		{api.OpDraft{Kind: "publish-key", Organisation: id, Recipient: "age1pq1example"}, register.AdministratorsOf(other), register.KindPublishKey},
		{api.OpDraft{Kind: "taint-key", Epoch: 1}, register.AdministratorsOf(own), register.KindTaintKey},
		{api.OpDraft{Kind: "offer-custody"}, register.AdministratorsOf(own), register.KindOfferCustody},
		{api.OpDraft{Kind: "withdraw-custody", Organisation: id}, register.AdministratorsOf(other), register.KindWithdrawCustody},
		{api.OpDraft{Kind: "time"}, register.OfTime(), register.KindTime},
	} {
		seen[c.d.Kind] = true
		about, body, err := drafts[c.d.Kind](drafting{c.d, sec.Node, s})
		if err != nil || about != c.about || body.Kind() != c.kind {
			t.Errorf("%+v: %v about %+v, %v", c.d, body, about, err)
		}
	}
	got, err := sec.draftOp(api.OpDraft{Kind: "suspend", Organisation: id, Hours: 24})
	if err != nil {
		t.Fatal(err)
	}
	if _, op, err := register.DecodeSignedOp(got.Op); err != nil || op.Kind() != register.KindSuspend || op.Subject != register.OfOrg(other) ||
		op.Next != s.Version(register.OfOrg(other))+1 || op.Expiry < s.Time()+24*3600 || op.Expiry > time.Now().Unix()+24*3600 {
		t.Errorf("%+v, %v", op, err)
	}
	if _, err := sec.draftOp(api.OpDraft{Kind: "reinstate", Organisation: id}); err == nil || !strings.Contains(err.Error(), "not suspended") {
		t.Errorf("what the register would refuse is drafted: %v", err)
	}
	for _, app := range []Application{{Name: "Example beta", Class: protocol.ClassNGO, Kind: "ngo", Admins: []Person{asPerson(signer(t))}, Threshold: 1, Passphrase: passphrase, Work: 10},
		{Of: own, Class: protocol.ClassSecretariat}} {
		ticket, err := sec.Invite(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		app.Ticket = ticket.Text()
		name := "new" + app.Name
		dir := filepath.Join(a.dir, name)
		if _, err := Apply(dir, app, time.Now()); err != nil {
			t.Fatal(err)
		}
		a.start(name, dir)
		var request membership.Enrolment
		until(t, "its request at the desk", func() bool {
			list, err := sec.Register().Enrolments()
			for _, e := range list {
				if !e.Done && (len(e.Node) > 0) == (app.Name == "") {
					request = e
				}
			}
			return err == nil && request.ID != ""
		})
		kind, wrong := "enrol", "enrol-node"
		want := register.KindEnrolOrg
		if app.Name == "" {
			kind, wrong, want = wrong, kind, register.KindEnrolNode
		}
		seen[kind] = true
		got, err := sec.draftOp(api.OpDraft{Kind: kind, Request: request.ID[:6]})
		if err != nil {
			t.Fatal(kind, err)
		}
		if _, op, err := register.DecodeSignedOp(got.Op); err != nil || op.Kind() != want || app.Name == "" && op.Subject != register.AdministratorsOf(own) {
			t.Errorf("%s: %v about %+v, %v", kind, op.Kind(), op.Subject, err)
		}
		if _, err := sec.draftOp(api.OpDraft{Kind: wrong, Request: request.ID}); err == nil || !strings.Contains(err.Error(), "with "+kind) {
			t.Errorf("%s of a request for %s: %v", wrong, kind, err)
		}
	}
	if want := slices.Sorted(maps.Keys(drafts)); !slices.Equal(want, slices.Sorted(maps.Keys(seen))) {
		t.Errorf("not all kinds are drafted here: %v", want)
	}

	for says, d := range map[string]api.OpDraft{
		"no kind of operation":         {Kind: "genesis"},
		"no member is called":          {Kind: "suspend", Organisation: "Example nobody"},
		"give at least 6 digits":       {Kind: "retire-node", Node: node[:5]},
		"'alliance op requests' lists": {Kind: "enrol", Request: "000000"},
		"64 hex digits":                {Kind: "policy", SHA256: "00"},
		"alliance key show":            {Kind: "admins", Members: []string{"Example Person"}},
		"expires within":               {Kind: "time", Hours: 24*90 + 1},
	} {
		if _, err := sec.draftOp(d); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v does not say %q", d, err, says)
		}
	}
}
