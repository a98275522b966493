package register

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// epoch is when the tests' networks are founded: 2030-01-01, invented.
const epoch = 1893456000

const dayLong = 86400

// key is the signing key that a name always gives.
func key(name string) crypto.PrivateKey {
	seed := sha256.Sum256([]byte("invented key of " + name))
	k, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		panic(err)
	}
	return k
}

func person(name string) protocol.PersonID {
	return protocol.PersonID(sha256.Sum256([]byte("invented person " + name)))
}

var recipients sync.Map // of string, to spare making them again

// recipient is the encryption key that a name always gives.
func recipient(name string) string {
	if r, ok := recipients.Load(name); ok {
		return r.(string)
	}
	seed := sha256.Sum256([]byte("invented identity " + name))
	id, err := seal.ParseIdentity(strings.ToUpper(bech32("age-secret-key-pq-", seed[:])))
	if err != nil {
		panic(err)
	}
	r := id.Recipient().String()
	recipients.Store(name, r)
	return r
}

func member(name string) Member { return Member{Key: key(name).Public(), Person: person(name)} }

func set(threshold int, names ...string) Set {
	var ms []Member
	for _, n := range names {
		ms = append(ms, member(n))
	}
	return NewSet(threshold, ms...)
}

func nodeKeys(name string, secretariat bool) NodeKeys {
	n := NodeKeys{
		Author:    key(name + " author").Public(),
		Transport: key(name + " transport").Public(),
		Sealing:   recipient(name + " sealing"),
	}
	if secretariat {
		n.Checkpoint = key(name + " checkpoint").Public()
	}
	return n
}

func nodeSigners(name string, secretariat bool) []crypto.PrivateKey {
	k := []crypto.PrivateKey{key(name + " author"), key(name + " transport")}
	if secretariat {
		k = append(k, key(name+" checkpoint"))
	}
	return k
}

// world is a register that a test drives by names.
type world struct {
	t      testing.TB
	s      *State
	time   int64
	leaves [][]byte
	orgs   map[string]protocol.OrgID
	admins map[string][]string
	nodes  map[string]protocol.NodeID
	seen   *State // whose digest is
	digest crypto.Hash
}

// genesisLeaf founds a network with officers o1, o2, o3 (2 of 3, one may
// suspend), and the secretariat's administrators s1, s2 (2 of 2) and node S1.
func genesisLeaf(title string) []byte {
	req := Request{
		Version: 1, Name: "Example Secretariat", Class: protocol.ClassSecretariat, Code: "secretariat",
		Administrators: set(2, "s1", "s2"), Node: nodeKeys("S1", true), Recipient: recipient("secretariat 1"),
	}
	op := Genesis{
		Mode: Trial, Title: title, Policy: Policy{Rules: 1},
		Officers: OfficerSet{set(2, "o1", "o2", "o3"), 1}, Secretariat: req.Encode(),
	}.Draft().Encode()
	keys := append(nodeSigners("S1", true), key("o1"), key("o2"), key("o3"), key("s1"), key("s2"))
	return sign(op, NetworkOf(op), keys...).Leaf(epoch)
}

func sign(op []byte, n protocol.NetworkID, keys ...crypto.PrivateKey) SignedOp {
	so := SignedOp{Op: op}
	for _, k := range keys {
		sigs, err := SignOps(k, n, op)
		if err != nil {
			panic(err)
		}
		so = so.With(sigs...)
	}
	return so
}

func newWorld(t testing.TB) *world {
	leaf := genesisLeaf("Example Alliance")
	s, err := Found(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, s: s, time: epoch, leaves: [][]byte{leaf},
		orgs:   map[string]protocol.OrgID{"secretariat": s.Secretariat()},
		admins: map[string][]string{"secretariat": {"s1", "s2"}},
		nodes:  map[string]protocol.NodeID{"S1": nodeKeys("S1", true).ID(s.Network())},
	}
}

func keysOf(names ...string) (ks []crypto.PrivateKey) {
	for _, n := range names {
		ks = append(ks, key(n))
	}
	return ks
}

func (w *world) op(about Subject, b Body) *Op {
	return &Op{
		Version: 1, Network: w.s.Network(), Subject: about, Next: w.s.Version(about) + 1,
		BaseSize: w.s.Size(), BaseRoot: w.s.Root(), Expiry: w.time + 7*dayLong, Body: b,
	}
}

// try signs an operation by names and applies it one second later.
func (w *world) try(about Subject, b Body, signers ...string) error {
	return w.apply(sign(w.op(about, b).Encode(), w.s.Network(), keysOf(signers...)...).Leaf(w.time + 1))
}

func (w *world) apply(leaf []byte) error {
	if w.seen != w.s {
		w.seen, w.digest = w.s, w.s.Digest()
	}
	next, err := Apply(w.s, leaf)
	if w.s.Digest() != w.digest {
		w.t.Fatal("Apply changed the state it was given")
	}
	if err != nil {
		return err
	}
	l, _ := DecodeLeaf(leaf)
	w.s, w.time = next, l.Time
	w.leaves = append(w.leaves, leaf)
	return nil
}

func (w *world) do(about Subject, b Body, signers ...string) {
	w.t.Helper()
	if err := w.try(about, b, signers...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) request(name string, class protocol.Class, threshold int, admins ...string) (Request, SignedRequest) {
	r := Request{
		Version: 1, Network: w.s.Network(), Name: name, Class: class, Code: "example",
		Administrators: set(threshold, admins...), Node: nodeKeys(name+" n1", false), Recipient: recipient(name + " 1"),
	}
	return r, NewSignedRequest(r, append(keysOf(admins...), nodeSigners(name+" n1", false)...)...)
}

// enrol admits an organisation with one administrator named after it.
func (w *world) enrol(name string, class protocol.Class, signers ...string) protocol.OrgID {
	w.t.Helper()
	id, err := w.tryEnrol(name, class, signers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) tryEnrol(name string, class protocol.Class, signers ...string) (protocol.OrgID, error) {
	r, sr := w.request(name, class, 1, name+" a")
	id := OrgIDOf(w.s.Network(), sr.Request)
	if err := w.try(OfOrg(id), EnrolOrg{sr.Encode()}, signers...); err != nil {
		return id, err
	}
	w.orgs[name], w.admins[name] = id, []string{name + " a"}
	w.nodes[name+" n1"] = r.Node.ID(w.s.Network())
	return id, nil
}

// addNode admits a further node.
func (w *world) addNode(org, name string) protocol.NodeID {
	w.t.Helper()
	secr := org == "secretariat"
	n := nodeKeys(name, secr)
	var cp crypto.PrivateKey
	if secr {
		cp = key(name + " checkpoint")
	}
	w.do(AdministratorsOf(w.orgs[org]), n.Enrol(w.s.Network(), w.orgs[org], key(name+" author"), key(name+" transport"), cp), w.admins[org]...)
	w.nodes[name] = n.ID(w.s.Network())
	return w.nodes[name]
}

// threeSigners brings the secretariat to its usual three nodes.
func (w *world) threeSigners() {
	w.t.Helper()
	w.addNode("secretariat", "S2")
	w.addNode("secretariat", "S3")
	three := []protocol.NodeID{w.nodes["S1"], w.nodes["S2"], w.nodes["S3"]}
	w.do(AdministratorsOf(w.s.Secretariat()), NewVoters(three...), "s1", "s2")
	w.do(AdministratorsOf(w.s.Secretariat()), NewSigners(three...), "s1", "s2")
}

// note is a checkpoint at size, signed by nodes.
func (w *world) note(size uint64, nodes ...string) []byte {
	w.t.Helper()
	var notes [][]byte
	for _, n := range nodes {
		msg, err := w.s.SignCheckpoint(size, w.nodes[n], key(n+" checkpoint"))
		if err != nil {
			w.t.Fatal(err)
		}
		notes = append(notes, msg)
	}
	msg, err := w.s.MergeNotes(notes...)
	if err != nil {
		w.t.Fatal(err)
	}
	return msg
}

func (w *world) String() string { return fmt.Sprintf("register of %d leaves", w.s.Size()) }
