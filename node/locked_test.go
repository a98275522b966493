package node

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
)

// A node that came back from a power cut without a passphrase keeps, passes on
// and vouches for records, opens none and says so; unlocked, it shows all that
// came meanwhile and lets out what waited.
func TestLockedNode(t *testing.T) {
	t.Parallel()
	a, _ := opened(t)
	alpha, beta := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx := t.Context()
	send := func() casebook.Result {
		t.Helper()
		r, err := alpha.refer(ctx, referTo("Example beta"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := send()
	until(t, "the first referral shown", func() bool { return beta.sees(t) == 1 })

	// What is sent before anybody answered waits, sealed, through a locked start.
	a.stop("sec")
	a.stop("alpha")
	a.stop("beta")
	beta = a.again("beta")
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "the casebook read", func() bool { return beta.sees(t) == 1 })
	if r, err := api.Ask[casebook.Result](ctx, beta.client(), "POST", "/referrals/"+string(first.Code)+"/moves/acknowledge",
		map[string]any{"say": map[string]any{"desk": "Example desk", "decide_by": time.Now().Add(time.Hour).Format(time.RFC3339)}}); err != nil || r.Queued == 0 {
		t.Fatalf("a move with nobody there: %+v, %v", r, err)
	}
	a.stop("beta")

	sec := a.again("sec")
	alpha, beta = a.again("alpha"), a.again("beta")
	a.nodes["sec"] = sec
	if err := alpha.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	before := send()
	var seq uint64
	until(t, "the record kept and vouched for by the locked node", func() bool {
		for _, f := range alpha.status(t).Feeds {
			if f.Own && f.Seq >= 3 && f.Outstanding == nil {
				seq = f.Seq
				return true
			}
		}
		return false
	})
	if !beta.Locked() || !sec.Locked() {
		t.Fatal("it is not locked")
	}
	s := beta.status(t)
	if !s.Locked || !beta.warned(t, "locked") || s.Outbox != 1 {
		t.Errorf("status of a locked node: locked %v, outbox %d, %q", s.Locked, s.Outbox, s.Warnings)
	}
	for route, body := range map[string]any{
		"GET /referrals":                                   nil,
		"GET /referrals/" + string(first.Code):             nil,
		"POST /referrals":                                  map[string]any{"draft": referTo("Example alpha")},
		"POST /referrals/" + string(first.Code) + "/amend": map[string]any{"changes": map[string]any{}, "reason": "invented"},
		"GET /alerts":                                      nil,
	} {
		method, path, _ := strings.Cut(route, " ")
		err := beta.client().Do(ctx, method, path, body, nil)
		if kind, text := problem(err); kind != api.Locked || !strings.Contains(text, "unlock") {
			t.Errorf("%s at a locked node: %s %v", route, kind, err)
		}
	}

	key, err := os.ReadFile(readingKeyPath(beta.dir))
	if err != nil {
		t.Fatal(err)
	}
	unlock := func(p string) error {
		return beta.client().Do(ctx, "POST", "/unlock", api.Passphrase{Passphrase: p}, nil)
	}
	for wrong, want := range map[string]api.Kind{"another passphrase": api.Refused, "": api.Invalid} {
		kind, text := problem(unlock(wrong))
		if kind != want || !strings.Contains(text, "nothing was changed") || strings.Contains(text, "another") {
			t.Errorf("unlock with %q: %s %q", wrong, kind, text)
		}
	}
	if now, err := os.ReadFile(readingKeyPath(beta.dir)); err != nil || string(now) != string(key) || !beta.Locked() {
		t.Errorf("a wrong passphrase changed something: %v", err)
	}
	if err := unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "all shown", func() bool { return beta.sees(t) == 2 })
	until(t, "the outbox left", func() bool { return beta.status(t).Outbox == 0 })
	if beta.status(t).Locked || beta.warned(t, "locked") {
		t.Error("an unlocked node says that it is locked")
	}
	until(t, "the move that waited has arrived", func() bool {
		v, err := api.Ask[struct{ Legs []struct{ State string } }](ctx, alpha.client(), "GET", "/referrals/"+string(first.Code), nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(v.Legs) == 1 && v.Legs[0].State == "acknowledged"
	})
	if before.Code == first.Code || seq == 0 {
		t.Error("the two referrals are one")
	}
	if err := unlock("another passphrase"); err == nil {
		t.Error("an unlocked node takes any passphrase")
	}
	if beta.Locked() {
		t.Error("a wrong passphrase locked it")
	}
}

// A node that is locked again has put everything away: the identity, the feed
// keys that it opened, the lists; it keeps and vouches for what comes, and
// unlocked it shows all.
func TestLockAgain(t *testing.T) {
	t.Parallel()
	a, sec := opened(t)
	alpha, beta := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx := t.Context()
	refer := func() {
		t.Helper()
		if _, err := alpha.refer(ctx, referTo("Example beta")); err != nil {
			t.Fatal(err)
		}
	}
	refer()
	until(t, "the referral shown", func() bool { return beta.sees(t) == 1 && outstanding(t, alpha) == 0 })
	feed := feedIDOf(t, beta, "Example alpha")
	for _, n := range []*running{alpha, beta} {
		rec, err := n.store.Record(feed, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := n.rep.Open(rec); err != nil || len(got) == 0 {
			t.Fatalf("%d sections open: %v", len(got), err)
		}
		for range 2 { // what is locked stays so
			if s, err := api.Ask[api.Status](ctx, n.client(), "POST", "/lock", nil); err != nil || !s.Locked {
				t.Fatalf("locked %v: %v", s.Locked, err)
			}
		}
		if got, err := n.rep.Open(rec); !errors.Is(err, replica.ErrLocked) || got != nil {
			t.Errorf("locked, it opens %d sections: %v", len(got), err)
		}
		if kind, text := problem(n.client().Do(ctx, "GET", "/referrals", nil, nil)); kind != api.Locked || !strings.Contains(text, "'alliance unlock' and the passphrase") {
			t.Errorf("locked, it lists: %s %q", kind, text)
		}
		if s := n.status(t); !s.Locked {
			t.Error("it does not say that it is locked")
		}
	}
	// The feed keys that it had opened are gone too: with an identity that does
	// not open them, nothing opens.
	stranger, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*running{alpha, beta} {
		rec, err := n.store.Record(feed, 2)
		if err != nil {
			t.Fatal(err)
		}
		n.ring.set([]keyfile.ReadingKey{{Identity: stranger}})
		if got, err := n.rep.Open(rec); err == nil && slices.ContainsFunc(got, func(o replica.Opened) bool { return o.Err == nil }) {
			t.Error("it opens a record by what it should have forgotten")
		}
		if err := n.Lock(); err != nil {
			t.Fatal(err)
		}
	}
	if sent, err := alpha.rep.Send(ctx, example(beta, sec)); !errors.Is(err, replica.ErrLocked) {
		t.Errorf("locked, it seals: %+v %v", sent, err)
	}
	if err := alpha.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	refer()
	until(t, "the locked node vouches", func() bool { return outstanding(t, alpha) == 0 })
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "both shown", func() bool { return alpha.sees(t) == 2 && beta.sees(t) == 2 })
}
