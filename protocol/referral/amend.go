package referral

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
)

// fixed are the fields that no amendment changes: who speaks to whom, about
// which child, and the priority, which has events of its own.
var fixed = []string{
	"summary.id", "summary.code", "summary.vocabulary", "summary.written", "summary.language", "summary.kind",
	"summary.sender.organisation", "summary.recipients", "summary.watchers", "summary.parent", "summary.root",
	"summary.delivery", "summary.urgency.priority", "summary.child.case_code", "summary.amends",
}

// seeFirst are the fields whose change a reader must see before any other act.
var seeFirst = []string{"case.safety.", "identity.safe_contact", "identity.phones", "identity.carer", "case.carer_alleged",
	"case.tied_bodies", "case.legal.withheld", "case.legal.consent", "summary.urgency.danger_now", "summary.urgency.risk"}

// SafetyFields returns those of the changed fields that must be seen before
// any other act: safety, contact, and from whom something is withheld.
func SafetyFields(changed []string) (out []string) {
	for _, c := range changed {
		if slices.ContainsFunc(seeFirst, func(p string) bool { return strings.HasPrefix(c, p) }) {
			out = append(out, c)
		}
	}
	return out
}

// Diff returns the fields in which two referrals differ, sorted, as
// "part.field", or "part.field.field" inside the fields tagged split. A nil
// part counts as an empty one.
func Diff(a, b Parts) (changed []string) {
	fa, fb := a.fields(), b.fields()
	for _, name := range slices.Sorted(maps.Keys(fa)) {
		if name != "summary.amends" && !same(fa[name], fb[name]) {
			changed = append(changed, name)
		}
	}
	return changed
}

func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true // nil or not
	}
	return bytes.Equal(protocol.Encode(a.Interface()), protocol.Encode(b.Interface()))
}

// fields returns the settable fields of the parts by name.
func (p *Parts) fields() map[string]reflect.Value {
	out := map[string]reflect.Value{}
	p.fill()
	for i, part := range []any{&p.Summary, p.Case, p.Identity, p.Evidence} {
		collect(PartNames[i], reflect.ValueOf(part).Elem(), out)
	}
	return out
}

func (p *Parts) fill() {
	if p.Case == nil {
		p.Case = new(Case)
	}
	if p.Identity == nil {
		p.Identity = new(Identity)
	}
	if p.Evidence == nil {
		p.Evidence = new(Evidence)
	}
}

func collect(prefix string, v reflect.Value, out map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := prefix + "." + jsonName(f)
		if parseTag(f).split {
			collect(name, v.Field(i), out)
			continue
		}
		out[name] = v.Field(i)
	}
}

// clone copies the parts one level deep, so that fields can be replaced.
func (p Parts) clone() Parts {
	c := p
	c.Case, c.Identity, c.Evidence = copyOf(p.Case), copyOf(p.Identity), copyOf(p.Evidence)
	return c
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// placeAmend says why an amend can never count. It looks at the sends and
// amends alone, so that every addressee decides alike.
func (r *Referral) placeAmend(e Event, b *AmendBody) string {
	a := b.Summary.Amends
	switch {
	case a == nil:
		return "it does not say what it amends"
	case e.Author != r.Sender:
		return "only the sender amends"
	case !slices.Equal(sorted(e.Audience), r.Audience):
		return "it did not go to the referral's own addressees"
	case len(a.Changed) == 0 || a.Reason == "":
		return "it does not say what changed and why"
	case slices.ContainsFunc(a.Changed, func(c string) bool { return slices.Contains(fixed, c) }):
		return "it changes a field that stays fixed"
	}
	return ""
}

// amend takes the next amend in order into the parts. Changes of fields that
// another amend did not touch are merged; of the same field, the later in
// order counts and both are marked.
func (r *Referral) amend(e Event) {
	b := e.Body.(*AmendBody)
	a := b.Summary.Amends
	v := Version{Record: e.ID, Time: e.Time, Staff: e.Staff, Refs: e.Refs, Changed: a.Changed, Reason: a.Reason, Parts: b.Parts}
	seen := r.ancestors(e.Refs)
	for _, earlier := range r.Versions[1:] {
		if seen[earlier.Record] {
			continue
		}
		for _, c := range a.Changed {
			if slices.Contains(earlier.Changed, c) && !slices.Contains(v.Contested, c) {
				v.Contested = append(v.Contested, c)
			}
		}
	}
	slices.Sort(v.Contested)
	hidden := map[string]bool{"case": b.Case == nil, "identity": b.Identity == nil, "evidence": b.Evidence == nil}
	had := map[string]bool{"case": r.Parts.Case != nil, "identity": r.Parts.Identity != nil, "evidence": r.Parts.Evidence != nil}
	source := b.Parts.clone()
	to, from := r.Parts.fields(), source.fields()
	for _, c := range a.Changed {
		part, _, _ := strings.Cut(c, ".")
		if f, ok := from[c]; ok && !hidden[part] { // a newer program's field is kept in the bytes alone
			to[c].Set(f)
			had[part] = true
		}
	}
	if !had["case"] {
		r.Parts.Case = nil
	}
	if !had["identity"] {
		r.Parts.Identity = nil
	}
	if !had["evidence"] {
		r.Parts.Evidence = nil
	}
	r.Versions = append(r.Versions, v)
}

// ancestors returns all amends that refs name, directly or not. Versions are
// in order, so one walk from the newest is enough.
func (r *Referral) ancestors(refs []protocol.RecordID) map[protocol.RecordID]bool {
	seen := map[protocol.RecordID]bool{}
	for _, id := range refs {
		seen[id] = true
	}
	for i := len(r.Versions) - 1; i >= 1; i-- {
		if seen[r.Versions[i].Record] {
			for _, id := range r.Versions[i].Refs {
				seen[id] = true
			}
		}
	}
	return seen
}
