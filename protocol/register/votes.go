package register

import (
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// Vote is what one signature on an operation is worth at the register's
// present.
type Vote struct {
	Key crypto.PublicKey
	For []string // whose approvals it adds to, such as "officers"; none where it does not count
	Why string   // where it does not count
}

// Counts reports whether it adds to any approval.
func (v Vote) Counts() bool { return len(v.For) > 0 }

func (v Vote) String() string {
	key := v.Key.ID().String()[:8]
	if v.Counts() {
		return fmt.Sprintf("key %s counts: %s", key, strings.Join(v.For, ", "))
	}
	return fmt.Sprintf("key %s does not count: %s", key, v.Why)
}

func (a Approval) String() string {
	s := fmt.Sprintf("%d of %d %s signed", a.Have, a.Need, a.Who)
	if !a.Met() {
		s += fmt.Sprintf(": %d more must", a.Need-a.Have)
	}
	return s
}

// Votes says of each signature of an operation, in the order of their keys,
// whether it counts, and why not. [State.Approvals] says what that comes to.
func (s *State) Votes(so SignedOp) ([]Vote, error) {
	op, err := DecodeOp(so.Op)
	if err != nil {
		return nil, err
	}
	v := s.now()
	needs, err := op.Body.needs(v, op)
	if err != nil {
		return nil, err
	}
	hash := OpHash(s.network, so.Op)
	type place struct {
		rule, quorum int
		person       protocol.PersonID
	}
	signed := make(map[place]crypto.PublicKey)
	var out []Vote
	for _, sig := range (SignedOp{}).With(so.Signatures...).Signatures {
		vote := Vote{Key: sig.Key}
		if sig.verify(s.network, hash) != nil {
			vote.Why = "it is no signature of this operation: it was made over another one or for another network, or was damaged on the way"
			out = append(out, vote)
			continue
		}
		var twin crypto.PublicKey
		for i, r := range needs {
			for j, q := range r {
				m, ok := (Set{Members: q.members}).find(sig.Key)
				if !ok {
					continue
				}
				at := place{i, j, m.Person}
				if before, twice := signed[at]; twice {
					twin = before
					continue
				}
				signed[at] = sig.Key
				who := q.who
				if len(r) > 1 { // of several bodies one is enough: of which is this?
					who += " (" + v.orgName(sig.Key) + ")"
				}
				vote.For = append(vote.For, who)
			}
		}
		switch {
		case vote.Counts():
		case !twin.IsZero():
			vote.Why = fmt.Sprintf("the same person signed with key %s, and counts once", twin.ID().String()[:8])
		default:
			vote.Why = v.noSay(sig.Key, needs)
		}
		out = append(out, vote)
	}
	return out, nil
}

// noSay says whose key it is that has no say.
func (v view) noSay(key crypto.PublicKey, needs []requirement) string {
	u, ok := v.s.keys.Get(string(key[:]))
	if !ok {
		return "this register does not know it"
	}
	var who []string
	for _, r := range needs {
		if len(r) > 0 && !slices.Contains(who, r[0].who) {
			who = append(who, r[0].who)
		}
	}
	asked := "nobody needs to sign"
	if len(who) > 0 {
		asked = strings.Join(who, " and ") + " must sign"
	}
	switch u.purpose {
	case ForOfficer:
		if _, is := v.officers().Set.find(key); !is {
			return "it was an officer's, and is no officer's any more"
		}
		return "it is an officer's, and " + asked
	case ForAdministrator:
		if o, ok := v.org(u.org); ok {
			if _, is := o.admins.at(v.size).find(key); !is {
				return fmt.Sprintf("it was an administrator's of %s, and is none's any more", quote(o.name))
			}
			if st := v.orgStatus(o); st != protocol.Active {
				return fmt.Sprintf("it is an administrator's of %s, which is %s, and %s", quote(o.name), st, asked)
			}
		}
		return fmt.Sprintf("it is an administrator's of %s, and %s", v.orgName(key), asked)
	}
	return "it is a node's " + u.purpose.String() + " key, and people must sign"
}

// orgName is the name of the organisation that a key is for.
func (v view) orgName(key crypto.PublicKey) string {
	u, _ := v.s.keys.Get(string(key[:]))
	if o, ok := v.org(u.org); ok {
		return quote(o.name)
	}
	return "no organisation"
}
