package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/config"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

const passphrase = "invented passphrase"

// alliance is a network of real nodes on loopback, in one process.
type alliance struct {
	t        *testing.T
	dir      string
	officers []keyfile.SigningKey
	admin    keyfile.SigningKey // of the secretariat
	nodes    map[string]*running
	ports    map[string]string             // of stopped nodes: as in life, they come back where they were
	with     func(name string, o *Options) // what a test changes at every start
}

type running struct {
	*Node
	dir    string
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
}

func signer(t *testing.T) keyfile.SigningKey {
	t.Helper()
	k, err := crypto.GenerateKey(random)
	if err != nil {
		t.Fatal(err)
	}
	var p [32]byte
	random.Read(p[:])
	return keyfile.SigningKey{Person: crypto.Hash(p), Key: k}
}

func asPerson(k keyfile.SigningKey) Person { return Person{protocol.PersonID(k.Person), k.Key} }

func member(k keyfile.SigningKey) register.Member {
	return register.Member{Key: k.Key.Public(), Person: protocol.PersonID(k.Person)}
}

func found(t *testing.T, with ...func(name string, o *Options)) *alliance {
	t.Helper()
	a := &alliance{t: t, dir: t.TempDir(), nodes: map[string]*running{}, ports: map[string]string{}, with: func(string, *Options) {}}
	if len(with) > 0 {
		a.with = with[0]
	}
	var officers []register.Member
	for range 3 {
		k := signer(t)
		a.officers = append(a.officers, k)
		officers = append(officers, member(k))
	}
	a.admin = signer(t)
	admin := a.admin
	dir := filepath.Join(a.dir, "sec")
	so, err := Prepare(dir, Founding{Title: "Example alliance (invented)", Name: "Example Secretariat", Officers: officers, Threshold: 2, Suspend: 1,
		Admins: []register.Member{member(admin)}, AdminsM: 1, Passphrase: passphrase, Work: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range append(a.officers, admin) {
		sigs, err := register.SignOps(k.Key, register.NetworkOf(so.Op), so.Op)
		if err != nil {
			t.Fatal(err)
		}
		so = so.With(sigs...)
	}
	if _, err := Found(dir, so, time.Now()); err != nil {
		t.Fatal(err)
	}
	a.start("sec", dir)
	return a
}

func (a *alliance) start(name, dir string) *running {
	a.t.Helper()
	cfg := config.Default()
	cfg.Listen, cfg.Enrol = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	cfg.HeadWait.Duration, cfg.MinFree = time.Second, 1
	cfg.Desk = config.Desk{Unit: "Example unit", Role: "duty worker", Phone: "1800 000 000", Language: "en"}
	var log *slog.Logger
	if os.Getenv("ALLIANCE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
	}
	if p := a.ports[dir]; p != "" {
		cfg.Listen = []string{"127.0.0.1:" + p}
	}
	o := Options{Config: &cfg, Log: log}
	a.with(name, &o)
	n, err := New(dir, o)
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, dir: dir, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- n.Run(ctx) }()
	a.nodes[name] = r
	a.t.Cleanup(func() { a.stop(name) })
	return r
}

// port is where it listens, "" where it does not yet.
func (r *running) port() string {
	for _, addr := range r.Addrs() {
		if parts := strings.Split(addr, "/"); len(parts) > 4 && parts[3] == "tcp" {
			return parts[4]
		}
	}
	return ""
}

func (a *alliance) stop(name string) {
	r := a.nodes[name]
	if r == nil {
		return
	}
	delete(a.nodes, name)
	a.ports[r.dir] = r.port()
	r.once.Do(func() {
		r.cancel()
		if err := <-r.done; err != nil {
			a.t.Errorf("%s: %v", name, err)
		}
		r.Close()
	})
}

func (a *alliance) ready(r *running) {
	a.t.Helper()
	select {
	case <-r.Ready():
	case err := <-r.done:
		a.t.Fatal(err)
	case <-time.After(30 * time.Second):
		a.t.Fatal("node is not ready")
	}
}

// enrol joins an organisation through a ticket and the officers' signatures.
func (a *alliance) enrol(name string, class protocol.Class, kind string) *running {
	a.t.Helper()
	t := a.t
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	sec := a.nodes["sec"]
	ticket, err := sec.Invite(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(a.dir, name)
	admin := signer(t)
	if _, err := Apply(dir, Application{Ticket: ticket.Text(), Name: "Example " + name, Class: class, Kind: kind,
		Admins: []Person{asPerson(admin)}, Threshold: 1, Passphrase: passphrase, Work: 10}, time.Now()); err != nil {
		t.Fatal(err)
	}
	r := a.start(name, dir)
	var request []byte
	until(t, "request at the desk", func() bool {
		list, err := sec.Register().Enrolments()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if !e.Done {
				request = e.Org
			}
		}
		return request != nil
	})
	c, err := register.DecodeSignedRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.op(ctx, sec, register.OfOrg(c.ID()), register.EnrolOrg{Request: request}, a.officers...); err != nil {
		t.Fatal(err)
	}
	a.ready(r)
	if err := r.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	return r
}

// op drafts, signs and submits an operation at a node.
func (a *alliance) op(ctx context.Context, at *running, about register.Subject, body register.Body, keys ...keyfile.SigningKey) error {
	s := at.Register().Tip()
	op, err := s.Draft(about, body, time.Now().Unix()+3600)
	if err != nil {
		return err
	}
	so := register.SignedOp{Op: op.Encode()}
	for _, k := range keys {
		sigs, err := register.SignOps(k.Key, s.Network(), so.Op)
		if err != nil {
			return err
		}
		so = so.With(sigs...)
	}
	_, err = at.Register().Submit(ctx, so.Encode())
	return err
}

// further joins a further node of the secretariat.
func (a *alliance) further(ctx context.Context, name string) *running {
	a.t.Helper()
	t, sec := a.t, a.nodes["sec"]
	ticket, err := sec.Invite(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(a.dir, name)
	if _, err := Apply(dir, Application{Ticket: ticket.Text(), Of: sec.Org(), Class: protocol.ClassSecretariat}, time.Now()); err != nil {
		t.Fatal(err)
	}
	r := a.start(name, dir)
	var body register.EnrolNode
	until(t, "node request at the desk", func() bool {
		list, err := sec.Register().Enrolments()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if !e.Done && len(e.Node) > 0 {
				if body, err = membership.DecodeNodeRequest(e.Node); err != nil {
					t.Fatal(err)
				}
				return true
			}
		}
		return false
	})
	if err := a.op(ctx, sec, register.AdministratorsOf(sec.Org()), body, a.admin); err != nil {
		t.Fatal(err)
	}
	a.ready(r)
	return r
}

func TestThreeSecretariatNodesSurviveTheLeader(t *testing.T) {
	a := found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	two, three := a.further(ctx, "sec2"), a.further(ctx, "sec3")
	ids := []protocol.NodeID{sec.ID(), two.ID(), three.ID()}
	about := register.AdministratorsOf(sec.Org())
	if err := a.op(ctx, sec, about, register.NewVoters(ids...), a.admin); err != nil {
		t.Fatal(err)
	}
	until(t, "three voters", func() bool {
		return len(sec.group.Status().Voters) == 3
	})
	if err := a.op(ctx, sec, about, register.NewSigners(ids...), a.admin); err != nil {
		t.Fatal(err)
	}
	until(t, "the reading identity is handed over", func() bool { return !two.Locked() && !three.Locked() })
	until(t, "all three have the checkpoint that names them signers", func() bool {
		return two.Register().State().Size() >= 5 && three.Register().State().Size() >= 5
	})
	byID := map[protocol.NodeID]string{sec.ID(): "sec", two.ID(): "sec2", three.ID(): "sec3"}
	leader, _ := sec.group.Leader()
	name := byID[leader]
	a.stop(name)
	for _, other := range []string{"sec", "sec2", "sec3"} {
		if other != name {
			a.nodes["sec"] = a.nodes[other]
		}
	}
	a.enrol("alpha", protocol.ClassNGO, "ngo")
	r := a.start("again", filepath.Join(a.dir, name))
	a.ready(r)
	want := a.nodes["sec"].Register().State()
	until(t, "the stopped node has the others' register", func() bool {
		s := r.Register().State()
		return s.Size() >= want.Size() && s.Root() == a.nodes["sec"].Register().State().Root()
	})
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	within(t, 30*time.Second, what, f)
}

func within(t *testing.T, most time.Duration, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(most)
	for !f() {
		if time.Now().After(end) {
			t.Fatal("never came: " + what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestARecordTravels(t *testing.T) {
	a := found(t)
	sec := a.nodes["sec"]
	a.ready(sec)
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	x := a.enrol("alpha", protocol.ClassNGO, "ngo")
	y := a.enrol("beta", protocol.ClassNGO, "ngo")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	send := func() replica.Sent {
		for {
			sent, err := x.Replica().Send(ctx, replica.Draft{Audience: protocol.ListAudience(y.Org()), Custodians: []protocol.OrgID{sec.Org()},
				Contents: []protocol.Content{{Kind: "test/example", Time: time.Now().Unix(), Body: []byte("an invented example body")}},
				Expiry:   protocol.DayOf(time.Now().Unix()) + 100})
			if err != nil {
				t.Fatal(err)
			}
			if sent.Queued == 0 {
				return sent
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	sent := send()
	for _, n := range []*running{y, sec} {
		if err := x.Replica().Await(ctx, sent.Feed, sent.Seq, n.ID()); err != nil {
			t.Fatal(fmt.Errorf("no receipt: %w", err))
		}
	}
	rec, err := y.store.Record(sent.Feed, sent.Seq)
	if err != nil {
		t.Fatal(err)
	}
	got, err := y.Replica().Open(rec)
	if err != nil || len(got) != 1 || string(got[0].Body) != "an invented example body" {
		t.Fatalf("opened %v, %v", got, err)
	}
	if _, err := sec.Replica().Open(rec); err == nil {
		t.Error("the custodian opened it")
	}
}
