package node

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Founding is what a new alliance begins with.
type Founding struct {
	Title     string // of the alliance
	Live      bool   // else a trial: invented data only
	Name      string // of the secretariat
	Officers  []register.Member
	Threshold int // officers who must sign
	Suspend   int // officers who may suspend
	Admins    []register.Member
	AdminsM   int // administrators who must sign
	// Passphrase protects the secretariat's reading identity; Work is
	// scrypt's work factor, 0 for the default.
	Passphrase string
	Work       int
}

// MinPassphrase is how many characters a new passphrase has at least.
const MinPassphrase = 12

// CheckPassphrase says what is wrong with a new passphrase. Those that protect
// a key already are not held to it.
func CheckPassphrase(p string) error {
	if n := utf8.RuneCountInString(p); n < MinPassphrase {
		return api.Errorf(api.Invalid, "the passphrase has %d characters: a new one has at least %d", n, MinPassphrase)
	}
	return nil
}

// Prepare makes the folder of a new alliance's first node, with its keys, and
// returns the genesis operation for its officers and administrators to sign;
// the node's own keys have signed it. Nothing is founded until [Found].
func Prepare(dir string, f Founding) (register.SignedOp, error) {
	fail := func(err error) (register.SignedOp, error) {
		return register.SignedOp{}, fmt.Errorf("prepare alliance: %w", err)
	}
	keys, err := newFolder(dir)
	if err != nil {
		return fail(err)
	}
	checkpoint, err := newCheckpointKey(dir)
	if err != nil {
		return fail(err)
	}
	reading, err := newReading(dir, f.Passphrase, f.Work)
	if err != nil {
		return fail(err)
	}
	req := register.Request{Version: 1, Name: f.Name, Class: protocol.ClassSecretariat, Code: "secretariat",
		Administrators: register.NewSet(f.AdminsM, f.Admins...), Node: registerKeys(keys, checkpoint), Recipient: reading}
	mode := register.Trial
	if f.Live {
		mode = register.Live
	}
	op := register.Genesis{Mode: mode, Title: f.Title, Policy: register.Policy{Rules: 1},
		Officers:    register.OfficerSet{Set: register.NewSet(f.Threshold, f.Officers...), Suspension: uint64(f.Suspend)},
		Secretariat: req.Encode()}.Draft()
	b := op.Encode()
	if _, err := register.DecodeOp(b); err != nil {
		return fail(err)
	}
	so := register.SignedOp{Op: b}
	network := register.NetworkOf(b)
	for _, k := range []crypto.PrivateKey{keys.Author, keys.Transport, checkpoint} {
		sigs, err := register.SignOps(k, network, b)
		if err != nil {
			return fail(err)
		}
		so = so.With(sigs...)
	}
	return so, nil
}

// Found takes the signed genesis and makes the folder that [Prepare] began the
// first node of the alliance.
func Found(dir string, so register.SignedOp, now time.Time) (protocol.NetworkID, error) {
	fail := func(err error) (protocol.NetworkID, error) {
		return protocol.NetworkID{}, fmt.Errorf("found alliance: %w", err)
	}
	keys, err := keyfile.LoadNodeKeys(nodeKeyPath(dir))
	if err != nil {
		return fail(err)
	}
	checkpoint, err := keyfile.LoadSigning(checkpointKeyPath(dir), "")
	if err != nil {
		return fail(err)
	}
	leaf := so.Leaf(now.Unix())
	s, err := register.Found(leaf)
	if err != nil {
		return fail(err)
	}
	id := identity{Network: s.Network(), Org: s.Secretariat(), Trial: s.Mode() == register.Trial,
		Node: registerKeys(keys, checkpoint.Key).ID(s.Network())}
	if _, ok := s.Node(id.Node); !ok {
		return fail(errors.New("the genesis names another node than the one in this folder"))
	}
	st, err := store.Open(store.Options{Dir: storePath(dir), Key: keys.StoreKey, Network: id.Network})
	if err != nil {
		return fail(err)
	}
	defer st.Close()
	reg, err := membership.New(membership.Options{Pinned: id.Network, Org: id.Org, Node: id.Node, Author: keys.Author,
		Checkpoint: checkpoint.Key, Disk: registerDisk{st}, Now: func() time.Time { return now }})
	if err != nil {
		return fail(err)
	}
	if err := reg.Begin(leaf); err != nil {
		return fail(err)
	}
	if err := saveIdentity(dir, id); err != nil {
		return fail(err)
	}
	return id.Network, nil
}

// Application is what a newcomer asks for.
type Application struct {
	Ticket string
	// Of, where set, asks for a further node of that organisation; the rest
	// is then left out.
	Of         protocol.OrgID
	Name       string
	Class      protocol.Class
	Kind       string
	Admins     []Person // their keys sign the request here
	Threshold  int
	Passphrase string
	Work       int
}

// Apply makes a newcomer's folder and its request, and returns what people
// compare by phone. The node sends the request when it runs.
func Apply(dir string, a Application, now time.Time) (fingerprint string, err error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("join: %w", err) }
	t, err := membership.ParseTicket(a.Ticket)
	if err != nil {
		return fail(err)
	}
	keys, err := newFolder(dir)
	if err != nil {
		return fail(err)
	}
	j := joining{Ticket: a.Ticket, Started: now.Unix()}
	id := identity{Network: t.Network, Trial: t.Trial}
	if !a.Of.IsZero() {
		// A further node: whether it needs a checkpoint key the operation's
		// class decides; one is made for all and named only where it may be.
		return applyNode(dir, a, t, keys, id, j)
	}
	reading, err := newReading(dir, a.Passphrase, a.Work)
	if err != nil {
		return fail(err)
	}
	var members []register.Member
	var sign []crypto.Signer
	for _, p := range a.Admins {
		members = append(members, register.Member{Key: p.Key.Public(), Person: p.ID})
		sign = append(sign, p.Key)
	}
	nk := registerKeys(keys, crypto.PrivateKey{})
	req := register.Request{Version: 1, Network: t.Network, Name: a.Name, Class: a.Class, Code: a.Kind,
		Administrators: register.NewSet(a.Threshold, members...), Node: nk, Recipient: reading}
	signed, err := register.NewSignedRequest(req, keys.Author, keys.Transport).SignWith(t.Network, sign...)
	if err != nil {
		return fail(err)
	}
	j.Org = signed.Encode()
	c, err := register.DecodeSignedRequest(j.Org)
	if err != nil {
		return fail(err)
	}
	if err := c.Verify(); err != nil {
		return fail(fmt.Errorf("the request lacks a signature; nothing was sent: bring the key files of all administrators: %w", err))
	}
	id.Org, id.Node = c.ID(), nk.ID(t.Network)
	if err := writeJSON(joiningPath(dir), j); err != nil {
		return fail(err)
	}
	if err := saveIdentity(dir, id); err != nil {
		return fail(err)
	}
	return c.Fingerprint(), nil
}

func applyNode(dir string, a Application, t membership.Ticket, keys *keyfile.NodeKeys, id identity, j joining) (string, error) {
	var checkpoint crypto.PrivateKey
	if a.Class == protocol.ClassSecretariat {
		k, err := newCheckpointKey(dir)
		if err != nil {
			return "", err
		}
		checkpoint = k
	}
	nk := registerKeys(keys, checkpoint)
	body := nk.Enrol(t.Network, a.Of, keys.Author, keys.Transport, checkpoint)
	j.Node, j.Of = protocol.Encode(body), a.Of
	id.Org, id.Node = a.Of, nk.ID(t.Network)
	if err := writeJSON(joiningPath(dir), j); err != nil {
		return "", err
	}
	if err := saveIdentity(dir, id); err != nil {
		return "", err
	}
	return register.Fingerprint(id.Node), nil
}

func registerKeys(k *keyfile.NodeKeys, checkpoint crypto.PrivateKey) register.NodeKeys {
	return register.NodeKeys{Author: k.Author.Public(), Transport: k.Transport.Public(), Sealing: k.Sealing.Recipient().String(), Checkpoint: checkpoint.Public()}
}

func newReading(dir, passphrase string, work int) (recipient string, err error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return "", err
	}
	id, err := seal.GenerateIdentity()
	if err != nil {
		return "", err
	}
	return id.Recipient().String(), keyfile.SaveReading(readingKeyPath(dir), []keyfile.ReadingKey{{Epoch: 1, Identity: id}}, passphrase, work)
}

func newCheckpointKey(dir string) (crypto.PrivateKey, error) {
	k, err := crypto.GenerateKey(random)
	if err != nil {
		return k, err
	}
	// The file format names a person; a node's key is its own.
	return k, keyfile.SaveSigning(checkpointKeyPath(dir), keyfile.SigningKey{Person: crypto.Hash(k.Public().ID()), Key: k}, "", 0)
}
