package register

import (
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Apply returns the register with one more leaf, or an error that leaves s as
// it was. It is pure: the same state and the same bytes give the same result
// on every machine, whatever its clock. It checks, cheapest first: form, time,
// network, subject's version, base checkpoint, expiry, every signature and
// whether they suffice, the operation's own rules, and that the alliance can
// still sign a checkpoint afterwards.
func Apply(s *State, leaf []byte) (*State, error) { return s.apply(leaf, false) }

func (s *State) apply(b []byte, trusted bool) (*State, error) {
	leaf, err := DecodeLeaf(b)
	if err != nil {
		return nil, err
	}
	op, err := DecodeOp(leaf.Op)
	if err != nil {
		return nil, err
	}
	if leaf.Time < s.Time() {
		return nil, fmt.Errorf("apply %s: its time is %d seconds before the leaf before it", op.Kind(), s.Time()-leaf.Time)
	}
	if gap := leaf.Time - s.Time(); gap > MaxGap {
		return nil, fmt.Errorf("apply %s: its time is %d days after the leaf before it, at most %d are allowed: a clock is wrong", op.Kind(), gap/86400, MaxGap/86400)
	}
	v := view{s: s, size: s.Size(), now: leaf.Time, trusted: trusted}
	c, err := v.judge(leaf.Op, op, leaf.Signatures)
	if err != nil {
		return nil, fmt.Errorf("apply %s: %w", op.Kind(), err)
	}
	c.next.grow(b, leaf.Time)
	return c.next, nil
}

// change is a state in the making. next has no leaf for it yet.
type change struct {
	view         // before
	next  *State // after
	after uint64 // size after
}

// judge runs every rule of an operation against a view and returns what it
// would change. At an older view the change is for nobody's use: it shows that
// the operation was valid there.
func (v view) judge(raw []byte, op *Op, sigs []Signature) (*change, error) {
	if op.Kind() == KindGenesis {
		return nil, fmt.Errorf("a register has one genesis")
	}
	if op.Network != v.s.network {
		return nil, fmt.Errorf("it is for another network, %s", op.Network.Short())
	}
	if have := v.version(op.Subject); op.Next != have+1 {
		return nil, fmt.Errorf("it makes version %d, the subject is at %d: %w", op.Next, have, ErrSubject)
	}
	if !v.ancestor(op.BaseSize, op.BaseRoot) {
		return nil, fmt.Errorf("the checkpoint of %d leaves that it was drafted on is not part of this register", op.BaseSize)
	}
	if v.now > op.Expiry {
		return nil, ErrExpired
	}
	needs, err := op.Body.needs(v, op)
	if err != nil {
		return nil, err
	}
	if err := v.approved(raw, needs, sigs); err != nil {
		return nil, err
	}
	next := *v.s
	c := &change{view: v, next: &next, after: v.size + 1}
	if err := op.Body.apply(c, op); err != nil {
		return nil, err
	}
	c.advance(op.Subject)
	if err := c.viable(); err != nil {
		return nil, err
	}
	return c, nil
}

// quorum is a set of keys of which enough people must sign.
type quorum struct {
	who     string
	members []Member
	need    int
}

// requirement is met when one of its quorums is.
type requirement []quorum

func (q quorum) have(sigs []Signature) int {
	seen := make(map[protocol.PersonID]bool)
	for _, s := range sigs {
		if m, ok := (Set{Members: q.members}).find(s.Key); ok {
			seen[m.Person] = true
		}
	}
	return len(seen)
}

func hasSay(needs []requirement, key crypto.PublicKey) bool {
	return slices.ContainsFunc(needs, func(r requirement) bool {
		return slices.ContainsFunc(r, func(q quorum) bool { _, ok := (Set{Members: q.members}).find(key); return ok })
	})
}

// approved checks that every signature stands, is by somebody whose approval
// counts here, and that together they suffice. Signatures that count for
// nothing are refused, so that nobody can vary a leaf with them.
func (v view) approved(raw []byte, needs []requirement, sigs []Signature) error {
	for _, s := range sigs {
		if !hasSay(needs, s.Key) {
			return fmt.Errorf("key %s has no say in this operation", s.Key.ID().String()[:8])
		}
	}
	for _, r := range needs {
		met := slices.ContainsFunc(r, func(q quorum) bool { return q.have(sigs) >= q.need })
		if !met && len(r) > 0 {
			q := r[0]
			return fmt.Errorf("%d of %d %s signed: %w", q.have(sigs), q.need, q.who, ErrApprovals)
		}
	}
	if v.trusted {
		return nil
	}
	hash := OpHash(v.s.network, raw)
	for _, s := range sigs {
		if err := s.verify(v.s.network, hash); err != nil {
			return err
		}
	}
	return nil
}

// advance counts the operation on its subject.
func (c *change) advance(s Subject) {
	switch s.Kind {
	case SubjectOfficers:
		c.next.officerOps = c.next.officerOps.with(c.after)
	case SubjectPolicy:
		c.next.policyOps = c.next.policyOps.with(c.after)
	case SubjectTime:
		c.next.timeOps = c.next.timeOps.with(c.after)
	case SubjectOrg:
		o := c.editOrg(s.org())
		o.officerOps = o.officerOps.with(c.after)
		c.putOrg(o)
	case SubjectAdmins:
		o := c.editOrg(s.org())
		o.adminOps = o.adminOps.with(c.after)
		c.putOrg(o)
	case SubjectNode:
		n := c.editNode(s.node())
		n.officerOps = n.officerOps.with(c.after)
		c.putNode(n)
	case SubjectGroup: // its versions are counted
	}
}

// viable refuses a change after which no valid checkpoint could be signed, or
// nothing could be agreed any more.
func (c *change) viable() error {
	v := view{s: c.next, size: c.after, now: c.now}
	secr, _ := v.org(c.next.secr)
	for _, g := range []struct {
		what  string
		nodes []protocol.NodeID
	}{{"signers", c.next.signers.at(c.after)}, {"voters", secr.voters.at(c.after)}} {
		if have, need := len(v.active(g.nodes)), majority(len(g.nodes)); have < need {
			return fmt.Errorf("it would leave %d active %s of the secretariat where %d are needed, and the register could never move again", have, g.what, need)
		}
	}
	return nil
}

// editOrg returns a copy of an organisation, to change and put back.
func (c *change) editOrg(id protocol.OrgID) *org {
	o, _ := c.next.org(id)
	n := *o
	return &n
}

func (c *change) putOrg(o *org) { c.next.orgs = c.next.orgs.Set(string(o.id[:]), o) }

func (c *change) editNode(id protocol.NodeID) *node {
	o, _ := c.next.node(id)
	n := *o
	return &n
}

func (c *change) putNode(n *node) { c.next.nodes = c.next.nodes.Set(string(n.id[:]), n) }

// claimKey records a signing key's one purpose, and refuses a second.
func (c *change) claimKey(key crypto.PublicKey, use keyUse) error {
	if was, ok := c.next.keys.Get(string(key[:])); ok {
		if was == use && (use.purpose == ForOfficer || use.purpose == ForAdministrator) {
			return nil
		}
		return fmt.Errorf("key %s is in the register already, as %s key: make a new one", key.ID().String()[:8], was.purpose)
	}
	c.next.keys = c.next.keys.Set(string(key[:]), use)
	return nil
}

// claimRecipient records an encryption key, and refuses one that occurred.
func (c *change) claimRecipient(text string, org protocol.OrgID) error {
	if !c.trusted {
		if err := checkRecipient(text); err != nil {
			return err
		}
	}
	if _, ok := c.next.recipients.Get(text); ok {
		return fmt.Errorf("this encryption key is in the register already: make a new one")
	}
	c.next.recipients = c.next.recipients.Set(text, org)
	return nil
}

// enrolNode adds a node's record and claims its keys.
func (c *change) enrolNode(org protocol.OrgID, keys NodeKeys) (protocol.NodeID, error) {
	id := keys.ID(c.next.network)
	for _, k := range keys.signing() {
		if err := c.claimKey(k.key, keyUse{k.use, org, id}); err != nil {
			return id, err
		}
	}
	if err := c.claimRecipient(keys.Sealing, org); err != nil {
		return id, err
	}
	n := &node{id: id, org: org, keys: keys, from: c.after}
	n.standing = n.standing.set(c.after, standing{status: protocol.Active})
	c.putNode(n)
	return id, nil
}

// enrolOrg adds an organisation with its first node and key.
func (c *change) enrolOrg(id protocol.OrgID, r Request) error {
	if _, ok := c.next.org(id); ok {
		return fmt.Errorf("the organisation is enrolled already")
	}
	folded := foldName(r.Name)
	if folded == "" {
		return fmt.Errorf("check name: nothing of it can be read")
	}
	if _, ok := c.next.names.Get(folded); ok {
		return fmt.Errorf("the name %q is or was another's, and names are never used again", r.Name)
	}
	for _, m := range r.Administrators.Members {
		if err := c.claimKey(m.Key, keyUse{ForAdministrator, id, m.Person}); err != nil {
			return err
		}
	}
	if err := c.claimRecipient(r.Recipient, id); err != nil {
		return err
	}
	first, err := c.enrolNode(id, r.Node)
	if err != nil {
		return err
	}
	admins := r.Administrators.stripped()
	o := &org{id: id, name: r.Name, class: r.Class, from: c.after}
	o.code = o.code.set(c.after, r.Code)
	o.standing = o.standing.set(c.after, standing{status: protocol.Active})
	o.admins = o.admins.set(c.after, &admins)
	o.custody = o.custody.set(c.after, r.Class == protocol.ClassSecretariat)
	o.voters = o.voters.set(c.after, []protocol.NodeID{first})
	o.keys = o.keys.with(&encKey{from: c.after, recipient: r.Recipient})
	o.nodes = o.nodes.with(first)
	c.putOrg(o)
	c.next.order = c.next.order.with(id)
	c.next.names = c.next.names.Set(folded, id)
	return nil
}
