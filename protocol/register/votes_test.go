package register

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// Of each signature people are told whether it counts and why not, and of each
// rule how many more must sign.
func TestVotes(t *testing.T) {
	w := standingWorld(t)
	n := w.s.Network()
	backup := member("o1 backup")
	backup.Person = person("o1")
	backup.Proof = Prove(key("o1 backup"), n, ForOfficer, protocol.OrgID{}, backup.Person)
	w.do(OfOfficers(), OfficersChange{OfficerSet{NewSet(2, member("o1"), member("o2"), backup), 1}}, "o1", "o2") // o3 leaves
	w.do(AdministratorsOf(w.orgs["NGO"]), AdminsChange{set(2, "n1", "n2")}, "n1", "n2")                          // n3 leaves
	w.enrol("Second Police", protocol.ClassPolice, "o1", "o2", "Police a")
	w.do(OfOrg(w.orgs["Ministry"]), Suspend{}, "o1")
	ngo := w.orgs["NGO"]
	_, another := w.request("Third Police", protocol.ClassPolice, 1, "Third Police a")
	third := OrgIDOf(n, another.Request)
	newcomer := w.proven("o4", ForOfficer, protocol.OrgID{})
	over := w.op(OfOrg(ngo), SetKind{"example-2"}).Encode() // what somebody signed instead

	short := func(name string) string { return key(name).Public().ID().String()[:8] }
	twins := []string{"o1", "o1 backup"} // in the order of their keys
	slices.SortFunc(twins, func(a, b string) int {
		x, y := key(a).Public(), key(b).Public()
		return bytes.Compare(x[:], y[:])
	})
	for _, c := range []struct {
		name  string
		about Subject
		body  Body
		sign  string            // names, by commas
		votes map[string]string // by name: how its line goes on
		needs string
	}{
		{"nobody signed", OfOrg(ngo), RevokeOrg{}, "", nil, "0 of 2 officers signed: 2 more must"},
		{"enough", OfOrg(ngo), RevokeOrg{}, "o1,o2", map[string]string{"o1": "counts: officers", "o2": "counts: officers"}, "2 of 2 officers signed"},
		{"one person twice", OfOrg(ngo), RevokeOrg{}, "o1,o1 backup", map[string]string{
			twins[0]: "counts: officers",
			twins[1]: "does not count: the same person signed with key " + short(twins[0]) + ", and counts once",
		}, "1 of 2 officers signed: 1 more must"},
		{"all that does not count", OfOrg(ngo), RevokeOrg{}, "o2,o3,n1,n3,a stranger,NGO n1 author,Ministry a", map[string]string{
			"o2":            "counts: officers",
			"o3":            "does not count: it was an officer's, and is no officer's any more",
			"n1":            `does not count: it is an administrator's of "NGO", and officers must sign`,
			"n3":            `does not count: it was an administrator's of "NGO", and is none's any more`,
			"a stranger":    "does not count: this register does not know it",
			"NGO n1 author": "does not count: it is a node's author key, and people must sign",
			"Ministry a":    `does not count: it is an administrator's of "Ministry", which is suspended, and officers must sign`,
		}, "1 of 2 officers signed: 1 more must"},
		{"another organisation's administrator", AdministratorsOf(ngo), TaintKey{1}, "n1,Police a,o1", map[string]string{
			"n1":       "counts: administrators of NGO",
			"Police a": `does not count: it is an administrator's of "Police", and administrators of NGO must sign`,
			"o1":       "does not count: it is an officer's, and administrators of NGO must sign",
		}, "1 of 2 administrators of NGO signed: 1 more must"},
		{"signed for another operation", OfOrg(ngo), RevokeOrg{}, "o1,o2 elsewhere,o1 backup damaged", map[string]string{
			"o1":                "counts: officers",
			"o2 elsewhere":      "does not count: it is no signature of this operation: ",
			"o1 backup damaged": "does not count: it is no signature of this operation: ",
		}, "1 of 2 officers signed: 1 more must"},
		{"one of two bodies", OfOrg(third), EnrolOrg{another.Encode()}, "o1,Second Police a", map[string]string{
			"o1":              "counts: officers",
			"Second Police a": `counts: administrators of an active police body ("Second Police")`,
		}, "1 of 2 officers signed: 1 more must; 1 of 1 administrators of an active police body signed"},
		{"neither of two bodies", OfOrg(third), EnrolOrg{another.Encode()}, "o1,o2,n1", map[string]string{
			"o1": "counts: officers", "o2": "counts: officers",
			"n1": `does not count: it is an administrator's of "NGO", and officers and administrators of an active police body must sign`,
		}, "2 of 2 officers signed; 0 of 1 administrators of an active police body signed: 1 more must"},
		{"of the old set and the new", OfOfficers(), OfficersChange{OfficerSet{NewSet(2, member("o1"), newcomer), 1}}, "o1,o4", map[string]string{
			"o1": "counts: officers, officers of the new set", "o4": "counts: officers of the new set",
		}, "1 of 2 officers signed: 1 more must; 2 of 2 officers of the new set signed"},
		{"nobody needs to", OfTime(), Time{}, "o1", map[string]string{"o1": "does not count: it is an officer's, and nobody needs to sign"}, ""},
	} {
		raw := w.op(c.about, c.body).Encode()
		so := SignedOp{Op: raw}
		names := strings.FieldsFunc(c.sign, func(r rune) bool { return r == ',' })
		for _, name := range names {
			who, elsewhere := strings.CutSuffix(name, " elsewhere")
			who, damaged := strings.CutSuffix(who, " damaged")
			op := raw
			if elsewhere {
				op = over
			}
			sigs, err := SignOps(key(who), n, op)
			if err != nil {
				t.Fatal(err)
			}
			if damaged {
				sigs[0].Signature[7] ^= 1
			}
			so = so.With(sigs...)
		}
		votes, err := w.s.Votes(so)
		if err != nil || len(votes) != len(names) {
			t.Errorf("%s: %d votes of %d: %v", c.name, len(votes), len(names), err)
			continue
		}
		var told []string
		for _, v := range votes {
			told = append(told, v.String())
		}
		for name, want := range c.votes {
			who := strings.TrimSuffix(strings.TrimSuffix(name, " elsewhere"), " damaged")
			line := "key " + short(who) + " " + want
			if !slices.ContainsFunc(told, func(s string) bool {
				return s == line || strings.HasSuffix(want, ": ") && strings.HasPrefix(s, line)
			}) {
				t.Errorf("%s: %q is not told:\n%s", c.name, line, strings.Join(told, "\n"))
			}
		}
		needs, err := w.s.Approvals(so)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var parts []string
		for _, a := range needs {
			parts = append(parts, a.String())
			have := 0
			for _, v := range votes {
				if slices.ContainsFunc(v.For, func(f string) bool { return f == a.Who || strings.HasPrefix(f, a.Who+" (") }) {
					have++
				}
			}
			if have != a.Have {
				t.Errorf("%s: %d votes count for %q, and %d approvals", c.name, have, a.Who, a.Have)
			}
		}
		if got := strings.Join(parts, "; "); got != c.needs {
			t.Errorf("%s: needs %q, want %q", c.name, got, c.needs)
		}
	}
	if _, err := w.s.Votes(SignedOp{Op: []byte("invented")}); err == nil {
		t.Error("what is no operation has votes")
	}
}
