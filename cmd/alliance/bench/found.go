package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/config"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Passphrase opens the reading identities of an invented network.
const Passphrase = "an invented passphrase"

// Place is one organisation's node of an invented network: its folder holds
// everything to run it, a configuration with a port of its own included.
type Place struct {
	Name string
	Dir  string
	Org  protocol.OrgID
	Node protocol.NodeID
}

// Newcomer is an organisation to be enrolled.
type Newcomer struct {
	Name  string
	Class protocol.Class
	Kind  string
	// Work is the scrypt work factor of its passphrase; 0 is the default,
	// 10 the least.
	Work int
}

// Found makes an invented trial network below dir: a secretariat with one node
// and the newcomers, enrolled through tickets and the officers' signatures, by
// nodes that run in this process and are stopped again before it returns. The
// keys of officers and administrators exist in memory only, so nothing can be
// changed in the register afterwards.
func Found(ctx context.Context, dir string, work int, newcomers ...Newcomer) (secretariat Place, members []Place, err error) {
	f := founding{dir: dir}
	defer func() {
		if e := f.stop(); err == nil {
			err = e
		}
		if err != nil {
			err = fmt.Errorf("found invented network: %w", err)
		}
	}()
	sec, err := f.secretariat(ctx, work)
	if err != nil {
		return secretariat, nil, err
	}
	var tickets []string
	for range newcomers {
		t, err := sec.Invite(ctx, time.Hour)
		if err != nil {
			return secretariat, nil, err
		}
		tickets = append(tickets, t.Text())
	}
	var nodes []*node.Node
	for i, c := range newcomers {
		at := filepath.Join(dir, c.Name)
		admin, err := signer()
		if err != nil {
			return secretariat, nil, err
		}
		if _, err := node.Apply(at, node.Application{Ticket: tickets[i], Name: "Example " + c.Name, Class: c.Class, Kind: c.Kind,
			Admins: []node.Person{{ID: protocol.PersonID(admin.Person), Key: admin.Key}}, Threshold: 1, Passphrase: Passphrase, Work: c.Work}, time.Now()); err != nil {
			return secretariat, nil, err
		}
		n, err := f.run(ctx, at)
		if err != nil {
			return secretariat, nil, err
		}
		nodes = append(nodes, n)
		if err := f.admit(ctx, sec); err != nil {
			return secretariat, nil, err
		}
	}
	for i, n := range nodes {
		if err := f.ready(ctx, n); err != nil {
			return secretariat, nil, err
		}
		members = append(members, Place{Name: newcomers[i].Name, Dir: filepath.Join(dir, newcomers[i].Name), Org: n.Org(), Node: n.ID()})
	}
	return Place{Name: "secretariat", Dir: filepath.Join(dir, "secretariat"), Org: sec.Org(), Node: sec.ID()}, members, nil
}

// founding is a network while it is made.
type founding struct {
	dir      string
	officers []keyfile.SigningKey
	running  []*running
}

type running struct {
	n      *node.Node
	cancel context.CancelFunc
	done   chan error
}

func (f *founding) secretariat(ctx context.Context, work int) (*node.Node, error) {
	var officers []register.Member
	for range 3 {
		k, err := signer()
		if err != nil {
			return nil, err
		}
		f.officers = append(f.officers, k)
		officers = append(officers, member(k))
	}
	admin, err := signer()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.dir, "secretariat")
	so, err := node.Prepare(dir, node.Founding{Title: "Example alliance (invented)", Name: "Example secretariat", Officers: officers,
		Threshold: 2, Suspend: 1, Admins: []register.Member{member(admin)}, AdminsM: 1, Passphrase: Passphrase, Work: work})
	if err != nil {
		return nil, err
	}
	for _, k := range append([]keyfile.SigningKey{admin}, f.officers...) {
		sigs, err := register.SignOps(k.Key, register.NetworkOf(so.Op), so.Op)
		if err != nil {
			return nil, err
		}
		so = so.With(sigs...)
	}
	if _, err := node.Found(dir, so, time.Now()); err != nil {
		return nil, err
	}
	n, err := f.run(ctx, dir)
	if err != nil {
		return nil, err
	}
	return n, f.ready(ctx, n)
}

// run starts a node in this process, on ports that its folder keeps.
func (f *founding) run(ctx context.Context, dir string) (*node.Node, error) {
	at, err := freeAddr()
	door, e := freeAddr()
	if err = errors.Join(err, e); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("listen = [%q]\nenrol = [%q]\nmin_free_mb = 16\n", at, door)
	if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte(text), 0o600); err != nil {
		return nil, err
	}
	n, err := node.New(dir, node.Options{Log: logger(dir)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{n: n, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- n.Run(ctx) }()
	f.running = append(f.running, r)
	return n, nil
}

func (f *founding) ready(ctx context.Context, n *node.Node) error {
	for _, r := range f.running {
		if r.n == n {
			select {
			case <-n.Ready():
				return nil
			case err := <-r.done:
				r.done <- nil
				return errors.Join(errors.New("a node ended before it was ready"), err)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return errors.New("a node that does not run")
}

// admit waits for one request at the secretariat's desk and has the officers
// sign it.
func (f *founding) admit(ctx context.Context, sec *node.Node) error {
	var request []byte
	for request == nil {
		list, err := sec.Register().Enrolments()
		if err != nil {
			return err
		}
		for _, e := range list {
			if !e.Done {
				request = e.Org
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	c, err := register.DecodeSignedRequest(request)
	if err != nil {
		return err
	}
	s := sec.Register().Tip()
	op, err := s.Draft(register.OfOrg(c.ID()), register.EnrolOrg{Request: request}, time.Now().Unix()+3600)
	if err != nil {
		return err
	}
	so := register.SignedOp{Op: op.Encode()}
	for _, k := range f.officers {
		sigs, err := register.SignOps(k.Key, s.Network(), so.Op)
		if err != nil {
			return err
		}
		so = so.With(sigs...)
	}
	_, err = sec.Register().Submit(ctx, so.Encode())
	return err
}

// stop ends all nodes, the secretariat's last.
func (f *founding) stop() (err error) {
	for i := len(f.running) - 1; i >= 0; i-- {
		r := f.running[i]
		r.cancel()
		err = errors.Join(err, <-r.done, r.n.Close())
	}
	f.running = nil
	return err
}

func signer() (keyfile.SigningKey, error) {
	k, err := crypto.GenerateKey(rand.Reader)
	var person [32]byte
	rand.Read(person[:])
	return keyfile.SigningKey{Person: crypto.Hash(person), Key: k}, err
}

func member(k keyfile.SigningKey) register.Member {
	return register.Member{Key: k.Key.Public(), Person: protocol.PersonID(k.Person)}
}

// freeAddr finds a loopback port that is free for TCP now; a node takes it for
// UDP too.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
