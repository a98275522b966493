package register

import (
	"errors"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

func TestFound(t *testing.T) {
	leaf := genesisLeaf("Example Alliance")
	s, err := Found(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if s.Mode() != Trial || s.Size() != 1 || s.Root() != LeafHash(leaf) || s.Title() != "Example Alliance" || s.Time() != epoch {
		t.Errorf("founded %v of size %d", s.Mode(), s.Size())
	}
	if got := s.Custodians(); !slices.Equal(got, []protocol.OrgID{s.Secretariat()}) {
		t.Errorf("custodians %v", got)
	}
	nodes, quorum := s.Signers(1)
	if len(nodes) != 1 || quorum != 1 || !nodes[0].Signer || !nodes[0].Voter {
		t.Errorf("signers %+v, quorum %d", nodes, quorum)
	}
	if _, err := Begin(s.Network(), leaf); err != nil {
		t.Error(err)
	}
	if _, err := Begin(protocol.NetworkID{1}, leaf); err == nil {
		t.Error("a node set up for another network began with this one")
	}
	if _, err := Apply(s, leaf); err == nil {
		t.Error("a second genesis was applied")
	}

	good := mustLeaf(t, leaf)
	if _, err := Found(Leaf{epoch + 1, good.Op, good.Signatures}.Encode()); err != nil {
		t.Errorf("the ID depends on the leaf's time: %v", err)
	}
	for i := range good.Signatures {
		l := good
		l.Signatures = slices.Delete(slices.Clone(good.Signatures), i, i+1)
		if _, err := Found(l.Encode()); !errors.Is(err, ErrApprovals) {
			t.Errorf("without signature %d: %v", i, err)
		}
		l.Signatures = slices.Clone(good.Signatures)
		l.Signatures[i].Signature[0] ^= 1
		if _, err := Found(l.Encode()); err == nil {
			t.Errorf("with signature %d changed: founded", i)
		}
	}
	n := NetworkOf(good.Op)
	if _, err := Found(SignedOp{good.Op, good.Signatures}.With(sign(good.Op, n, key("stranger")).Signatures...).Leaf(epoch)); err == nil {
		t.Error("a stranger signed along")
	}

	op, err := DecodeOp(good.Op)
	if err != nil {
		t.Fatal(err)
	}
	body := op.Body.(Genesis)
	req, err := decodeRequest(body.Secretariat, true)
	if err != nil {
		t.Fatal(err)
	}
	all := append(nodeSigners("S1", true), keysOf("o1", "o2", "o3", "s1", "s2")...)
	for name, change := range map[string]func(*Genesis, *Request){
		"no mode":                      func(g *Genesis, _ *Request) { g.Mode = 0 },
		"a mode to come":               func(g *Genesis, _ *Request) { g.Mode = 3 },
		"no title":                     func(g *Genesis, _ *Request) { g.Title = "" },
		"no rules":                     func(g *Genesis, _ *Request) { g.Policy.Rules = 0 },
		"an unhashed agreement":        func(g *Genesis, _ *Request) { g.Policy.Agreement = "Example" },
		"no officers":                  func(g *Genesis, _ *Request) { g.Officers.Set = Set{} },
		"four of three officers":       func(g *Genesis, _ *Request) { g.Officers.Set.Threshold = 4 },
		"no suspension quorum":         func(g *Genesis, _ *Request) { g.Officers.Suspension = 0 },
		"a larger suspension quorum":   func(g *Genesis, _ *Request) { g.Officers.Suspension = 3 },
		"an officer who administrates": func(g *Genesis, r *Request) { r.Administrators = set(1, "o1") },
		"an NGO as secretariat":        func(g *Genesis, r *Request) { r.Class = protocol.ClassNGO },
		"no checkpoint key":            func(g *Genesis, r *Request) { r.Node.Checkpoint = crypto.PublicKey{} },
		"the author's as checkpoint":   func(g *Genesis, r *Request) { r.Node.Checkpoint = r.Node.Author },
		"a network already":            func(g *Genesis, r *Request) { r.Network = n },
		"a bad encryption key":         func(g *Genesis, r *Request) { r.Recipient = r.Recipient[:100] },
		"one encryption key twice":     func(g *Genesis, r *Request) { r.Recipient = r.Node.Sealing },
		"proofs beside keys": func(g *Genesis, r *Request) {
			g.Officers.Set = g.Officers.Set.stripped()
			g.Officers.Set.Members[0].Proof[0] = 1
		},
	} {
		g, r := body, req
		change(&g, &r)
		g.Secretariat = r.Encode()
		raw := g.Draft().Encode()
		var keys []crypto.PrivateKey
		named := r.keys()
		for _, m := range g.Officers.Set.Members {
			named = append(named, m.Key)
		}
		for _, k := range all {
			if slices.Contains(named, k.Public()) {
				keys = append(keys, k)
			}
		}
		if _, err := Found(sign(raw, NetworkOf(raw), keys...).Leaf(epoch)); err == nil {
			t.Errorf("%s: founded", name)
		}
	}
	notGenesis := Op{Version: 1, Network: n, Subject: OfTime(), Next: 1, BaseSize: 1, BaseRoot: s.Root(), Expiry: epoch + 9, Body: Time{}}
	if _, err := Found(Leaf{epoch, notGenesis.Encode(), nil}.Encode()); err == nil {
		t.Error("founded by a time leaf")
	}
}

func TestFingerprint(t *testing.T) {
	w := newWorld(t)
	r, sr := w.request("Second NGO", protocol.ClassNGO, 1, "x1")
	c, err := DecodeSignedRequest(sr.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(); err != nil {
		t.Fatal(err)
	}
	f := c.Fingerprint()
	if len(f) != 8*5+7 {
		t.Errorf("fingerprint %q", f)
	}
	for name, change := range map[string]func(*Request){
		"name":          func(r *Request) { r.Name += "s" },
		"administrator": func(r *Request) { r.Administrators = set(1, "x2") },
		"node":          func(r *Request) { r.Node.Author = key("x3").Public() },
		"encryption":    func(r *Request) { r.Recipient = recipient("x4") },
		"network":       func(r *Request) { r.Network[0] ^= 1 },
		"threshold":     func(r *Request) { r.Administrators = set(2, "x1", "x2") },
	} {
		q := r
		change(&q)
		d, err := DecodeSignedRequest(NewSignedRequest(q).Encode())
		if err != nil {
			t.Fatal(err)
		}
		if d.Fingerprint() == f {
			t.Errorf("another %s has the same fingerprint", name)
		}
		if d.Verify() == nil {
			t.Errorf("an unsigned request with another %s stands", name)
		}
	}
	if d, err := DecodeSignedRequest(SignedRequest{sr.Request, nil}.Encode()); err != nil || d.Fingerprint() != f || d.ID() != c.ID() {
		t.Error("the ID or the fingerprint covers signatures")
	}
}

// A program that does not know an operation stops, and says why.
func TestUpgrade(t *testing.T) {
	w := standingWorld(t)
	o := w.op(OfTime(), Time{})
	for _, k := range []Kind{KindWitnessRule, KindBranch, KindAnchor, KindReplaceAdmins, KindObject, KindRelease, KindAdvanceKey, KindReplaceOfficers, 29, 4096} {
		raw := protocol.Encode(wireOp{o.Version, o.Network, k, o.Subject, o.Next, o.BaseSize, o.BaseRoot, o.Expiry, []byte("whatever it will be")})
		if _, err := Apply(w.s, Leaf{w.time + 1, raw, nil}.Encode()); !errors.Is(err, ErrUpgrade) {
			t.Errorf("%s: %v", k, err)
		}
	}
	// A newer operation may have fields of its own.
	raw := protocol.Encode(map[int]any{1: 2, 3: 9, 77: "new"})
	if _, err := Apply(w.s, Leaf{w.time + 1, raw, nil}.Encode()); !errors.Is(err, ErrUpgrade) {
		t.Errorf("rules version 2: %v", err)
	}
	raw = w.op(OfPolicy(), Policy{Rules: Rules + 1}).Encode()
	if _, err := Apply(w.s, sign(raw, w.s.Network(), keysOf("o1", "o2")...).Leaf(w.time+1)); !errors.Is(err, ErrUpgrade) {
		t.Errorf("a policy of newer rules: %v", err)
	}
	for _, raw := range [][]byte{protocol.Encode(map[int]any{1: 1, 3: 9, 77: "new"}), protocol.Encode(map[int]any{3: 21}), protocol.Encode(map[int]any{1: 1}), nil} {
		if _, err := DecodeOp(raw); err == nil || errors.Is(err, ErrUpgrade) {
			t.Errorf("%x: %v", raw, err)
		}
	}
}

func TestBatch(t *testing.T) {
	w := standingWorld(t)
	var raws [][]byte
	for i := range MaxBatch {
		_, sr := w.request("NGO number "+string(rune('A'+i%26))+string(rune('a'+i/26)), protocol.ClassNGO, 1, "batch "+string(rune(i)))
		raws = append(raws, w.op(OfOrg(OrgIDOf(w.s.Network(), sr.Request)), EnrolOrg{sr.Encode()}).Encode())
	}
	one, err := SignOps(key("o1"), w.s.Network(), raws...)
	if err != nil {
		t.Fatal(err)
	}
	two, err := SignOps(key("o3"), w.s.Network(), raws[:40]...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if i == 7 {
			continue // one is left out; the others stand
		}
		if err := w.apply(SignedOp{Op: raws[i]}.With(one[i], two[i]).Leaf(w.time + 1)); err != nil {
			t.Fatalf("operation %d: %v", i, err)
		}
	}
	if err := w.apply(SignedOp{Op: raws[45]}.With(one[45]).Leaf(w.time + 1)); !errors.Is(err, ErrApprovals) {
		t.Errorf("signed by one: %v", err)
	}
	if err := w.apply(SignedOp{Op: raws[45]}.With(one[45], two[0]).Leaf(w.time + 1)); err == nil {
		t.Error("a batch signature served an operation it does not list")
	}
	if _, err := SignOps(key("o1"), w.s.Network(), append(raws, []byte{1})...); err == nil {
		t.Error("51 operations were signed at once")
	}
	if _, err := SignOps(key("o1"), w.s.Network(), raws[0], raws[0]); err == nil {
		t.Error("an operation was listed twice")
	}
	if _, err := SignOps(key("o1"), w.s.Network()); err == nil {
		t.Error("nothing was signed")
	}
}
