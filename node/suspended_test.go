package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// cut waits until no node of others is connected to one.
func cut(t *testing.T, from *running, others ...*running) {
	t.Helper()
	until(t, "its connections closed", func() bool {
		for _, o := range others {
			if o.tr.Connected(from.ID()) {
				return false
			}
		}
		return true
	})
}

// feedOf is how a node shows the feed that an author wrote.
func feedOf(t *testing.T, at *running, author string) api.Feed {
	t.Helper()
	for _, f := range at.status(t).Feeds {
		if f.Author == author {
			return f
		}
	}
	return api.Feed{}
}

// A suspended organisation is cut off by all at once; what it wrote and comes
// first afterwards, from a custodian, is kept sealed, not vouched for and not
// shown, until it is reinstated.
func TestSuspendedOrganisation(t *testing.T) {
	t.Parallel()
	a, sec := opened(t, func(_ string, o *Options) { o.Config.RepairEvery.Duration = time.Second })
	alpha, beta, gamma := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo"), a.enrol("gamma", protocol.ClassNGO, "ngo")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, to := range []string{"Example beta", "Example gamma"} {
		if _, err := alpha.refer(ctx, referTo(to)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "both referrals", func() bool { return beta.sees(t) == 1 && gamma.sees(t) == 1 && outstanding(t, alpha) == 0 })

	a.stop("beta")
	if _, err := alpha.refer(ctx, referTo("Example beta")); err != nil {
		t.Fatal(err)
	}
	until(t, "the custodian has it", func() bool { return outstanding(t, alpha) == 1 })
	until(t, "they are connected", func() bool { return alpha.tr.Connected(sec.ID()) && gamma.tr.Connected(alpha.ID()) })
	if err := a.op(ctx, sec, register.OfOrg(alpha.Org()), register.Suspend{}, a.officers[0]); err != nil {
		t.Fatal(err)
	}
	cut(t, alpha, sec, gamma)
	a.stop("alpha") // it would find beta before beta knows, and deliver itself

	beta = a.again("beta")
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "the late record kept", func() bool { return feedOf(t, beta, "Example alpha").Seq == 3 })
	if f := feedOf(t, beta, "Example alpha"); f.Held != 1 || f.Refused != 0 {
		t.Errorf("the late record: %+v", f)
	}
	until(t, "the first referral shown", func() bool { return beta.sees(t) == 1 })
	feed := feedIDOf(t, beta, "Example alpha")
	until(t, "the custodian has heard how far it vouches", func() bool {
		holders, err := sec.rep.Delivery(feed, 3)
		for _, h := range holders {
			if h.Node == beta.ID() && h.Seq == 3 {
				if h.Vouches {
					t.Fatal("it vouches for a record that it holds back")
				}
				return true
			}
		}
		return err != nil
	})
	rec, err := beta.store.Record(feed, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := beta.rep.Open(rec); err == nil {
		t.Error("it opens what it holds back")
	}
	if beta.sees(t) != 1 {
		t.Error("it shows what it holds back")
	}
	alpha = a.again("alpha")
	until(t, "it has knocked in vain", func() bool { return knocked(t, alpha) })
	if beta.tr.Connected(alpha.ID()) || sec.tr.Connected(alpha.ID()) {
		t.Error("a suspended organisation is connected")
	}
	if _, err := beta.refer(ctx, referTo("Example alpha")); err == nil || !strings.Contains(err.Error(), "suspended") {
		t.Errorf("a referral to a suspended organisation: %v", err)
	}

	if err := a.op(ctx, sec, register.OfOrg(alpha.Org()), register.Reinstate{}, a.officers[:2]...); err != nil {
		t.Fatal(err)
	}
	until(t, "the late referral shown", func() bool { return beta.sees(t) == 2 })
	until(t, "it is vouched for", func() bool { return feedOf(t, beta, "Example alpha").Held == 0 && outstanding(t, alpha) == 0 })
	until(t, "it is connected again", func() bool { return alpha.tr.Connected(sec.ID()) && alpha.reg.State().Size() == sec.reg.State().Size() })
}

// knocked reports whether a node tried all that it knows, and nobody let it in.
func knocked(t *testing.T, at *running) bool {
	peers := at.status(t).Peers
	for _, p := range peers {
		if p.Error == "" {
			return false
		}
	}
	return len(peers) > 0
}

func feedIDOf(t *testing.T, at *running, author string) protocol.FeedID {
	t.Helper()
	var id protocol.FeedID
	if err := id.UnmarshalText([]byte(feedOf(t, at, author).Feed)); err != nil {
		t.Fatal(err)
	}
	return id
}

// What a peer's hello tells of the register is taken before its records.
func TestRegisterBeforeRecords(t *testing.T) {
	t.Parallel()
	a, sec := opened(t)
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")
	size := alpha.reg.State().Size()
	alpha.meets.told(sec.ID(), size+1)
	at := make(chan uint64, 1)
	go func() {
		alpha.abreast(t.Context(), sec.ID())
		at <- alpha.reg.State().Size()
	}()
	if err := a.op(t.Context(), sec, register.OfGroup("example"), register.DefineGroup{Title: "Example group", Members: []protocol.OrgID{sec.Org()}}, a.officers...); err != nil {
		t.Fatal(err)
	}
	if got := <-at; got != size+1 {
		t.Errorf("it went on at size %d of %d", got, size+1)
	}
}

// A revoked node is cut off by all at once, and for good.
func TestRevokedNode(t *testing.T) {
	t.Parallel()
	a, sec := opened(t, func(_ string, o *Options) { o.Config.RepairEvery.Duration = time.Second })
	alpha, beta := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx := t.Context()
	if _, err := alpha.refer(ctx, referTo("Example beta")); err != nil {
		t.Fatal(err)
	}
	until(t, "the referral", func() bool { return beta.sees(t) == 1 && outstanding(t, alpha) == 0 })
	until(t, "they are connected", func() bool { return beta.tr.Connected(alpha.ID()) })
	if err := a.op(ctx, sec, register.OfNode(alpha.ID()), register.RevokeNode{Node: alpha.ID()}, a.officers...); err != nil {
		t.Fatal(err)
	}
	cut(t, alpha, sec, beta)
	if beta.sees(t) != 1 {
		t.Error("what it wrote before is gone")
	}
	a.stop("alpha")
	alpha = a.again("alpha")
	until(t, "it has knocked in vain", func() bool { return knocked(t, alpha) })
	if sec.tr.Connected(alpha.ID()) || beta.tr.Connected(alpha.ID()) {
		t.Error("a revoked node is connected")
	}
}
