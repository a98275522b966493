package casebook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// minPrefix is how many characters of an ID or code find one.
const minPrefix = 4

// find returns the case that a person named: by the ID of its send or the
// beginning of it, or by its code or the beginning of it, as read over the
// phone. A code that two referrals carry finds neither.
func (x *index) find(name string) (*kase, error) {
	name = strings.TrimSpace(name)
	var id protocol.RecordID
	if id.UnmarshalText([]byte(name)) == nil {
		if k := x.cases[id]; k != nil {
			return k, nil
		}
		return nil, fail(NotFound, "no such referral is here: it may still be on its way")
	}
	hex, code := strings.ToLower(name), spoken(name)
	if len(code) < minPrefix {
		return nil, fail(Invalid, "name a referral by at least %d characters of its code or ID", minPrefix)
	}
	var found []*kase
	for _, k := range x.cases {
		if k.row.known && (strings.HasPrefix(spoken(string(k.row.codeText())), code) || hexPrefix(k.id, hex)) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		// Nine hex digits may as well begin an ID.
		if _, err := referral.ParseCode(name); err != nil && len(code) == 9 && strings.Trim(hex, "0123456789abcdef") != "" {
			return nil, fail(Invalid, "this code is mistyped: its last letter or digit, the check, does not fit the others. Compare it, or have it read again")
		}
		return nil, fail(NotFound, "no referral with this code or ID is here: it may still be on its way")
	case 1:
		return found[0], nil
	}
	slices.SortFunc(found, func(a, b *kase) int { return a.id.Compare(b.id) })
	var list []string
	for _, k := range found[:min(len(found), 5)] {
		list = append(list, fmt.Sprintf("%s (%s)", k.row.codeText(), k.id.Short()))
	}
	return nil, fail(Ambiguous, "this names %d referrals: %s; give more of the ID", len(found), strings.Join(list, ", "))
}

// spoken writes a code or part of one as it is compared: without hyphens and
// spaces, in capitals, O as 0, I and L as 1.
func spoken(s string) string {
	return strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(s))
}

func hexPrefix(id protocol.RecordID, prefix string) bool {
	const digits = "0123456789abcdef"
	if len(prefix) > 2*len(id) {
		return false
	}
	for i := range len(prefix) {
		d := id[i/2] >> 4
		if i%2 == 1 {
			d = id[i/2] & 15
		}
		if digits[d] != prefix[i] {
			return false
		}
	}
	return true
}

// Member finds an organisation by its name, as people would type it, or by its
// whole ID. The error is an [*Error].
func Member(reg Register, name string) (protocol.Org, error) {
	var id protocol.OrgID
	if id.UnmarshalText([]byte(strings.TrimSpace(name))) == nil {
		if o, ok := reg.OrgAt(id, reg.Size()); ok {
			return o, nil
		}
		return protocol.Org{}, fail(NotFound, "no member has this ID")
	}
	if o, ok := reg.OrgNamed(name); ok {
		return o, nil
	}
	return protocol.Org{}, fail(NotFound, "no member is called %q; the list of organisations has the names", clip(name))
}

func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// unfit says in words why nothing can be sealed to an organisation; "" if it
// can.
func unfit(o protocol.Org) string {
	switch {
	case o.Status != protocol.Active:
		return "is " + o.Status.String()
	case o.Epoch == 0:
		return "has published no encryption key yet"
	case o.Tainted:
		return "has withdrawn its encryption key and published no new one yet"
	}
	return ""
}

// union is sorted and names nobody twice.
func union(a []protocol.OrgID, b ...protocol.OrgID) []protocol.OrgID {
	out := append(slices.Clone(a), b...)
	slices.SortFunc(out, protocol.OrgID.Compare)
	return slices.Compact(out)
}
