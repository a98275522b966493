package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/crypto/seal"
)

// matrix is the world of both matrices: A writes to B, police, G and Z.
// G's key was tainted before, so it is outside set 0; Z is suspended after.
// C is custodian under the first key, S under the second. Set 1 is for P.
func matrix(t *testing.T) (*world, *pen, *desk) {
	w := newWorld(t, usual+`
		org Z ngo
		taint G`)
	p := w.pen("A1", "B P G Z")
	d := newDesk(w.now())
	p.key("C", "P")
	p.data(0, 1)
	for _, r := range p.records {
		d.outcome(all(r))
	}
	d.outcome(p.scrawl(t, "data", []string{"day=-1"})) // refused
	p.chain = d.chains[p.feed()]
	d.outcome(all(p.key("S", "P")))
	d.outcome(all(p.data(0, 1)))
	w.leaves("suspend Z")
	d.m = w.now()
	if c := d.chains[p.feed()]; c.Seq != 5 || len(c.Refused) != 1 || c.Refused[0].From != 3 {
		t.Fatalf("%+v", c)
	}
	return w, p, d
}

func grid(rows [][]string) string {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString("\n")
		for _, cell := range row {
			fmt.Fprintf(&b, "%-6s", cell)
		}
	}
	return trimLines(b.String())
}

func trimLines(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// Who may have what: c the core, digits the sections, - nothing. The last
// column is up to where one may have the feed's cores.
func TestAttackEntitlementMatrix(t *testing.T) {
	w, p, d := matrix(t)
	chain := d.chains[p.feed()]
	links := d.links[p.feed()]
	cell := func(org string, r *Record, key *KeyLink) string {
		e := Entitles(w.now(), &chain, key, r.Core(), r.State(), orgID(org))
		s := "-"
		if e.Core {
			s = "c"
		}
		for i := range 32 {
			if e.Section(i) {
				s += fmt.Sprint(i)
			}
		}
		if e.Section(-1) || e.Section(32) || e.Section(64) {
			t.Error("a section that cannot be")
		}
		env := r.Envelope(e)
		for i, sealed := range env.Sections {
			if (sealed != nil) != (e.Section(i) && r.Section(i) != nil) {
				t.Errorf("%s: the envelope has section %d", org, i)
			}
		}
		return s
	}
	rows := [][]string{{"", "1key", "2data", "3bad", "4key", "5data", "to"}}
	for _, org := range []string{"A", "B", "P", "G", "Z", "C", "S", "N", "X"} {
		row := []string{org}
		for _, r := range links {
			seq := r.Core().Seq
			if r.Core().Data != nil {
				seq = r.Core().Data.Key
			}
			key, ok := KeyLinkOf(links[seq-1].Core())
			if !ok {
				t.Fatal("no key record at", seq)
			}
			row = append(row, cell(org, r, &key))
		}
		rows = append(rows, append(row, fmt.Sprint(EntitledFeed(w.now(), &chain, orgID(org)))))
	}
	const want = `
		     1key  2data  3bad  4key  5data  to
		A    c01   c01    c     c01   c01    5     # the author
		B    c0    c0     c     c0    c0     5     # addressee
		P    c01   c01    c     c01   c01    5     # and reader of the second part
		G    c     c      c     c     c      5     # of the audience, outside set 0
		Z    -     -      -     -     -      0     # suspended
		C    c01   c01    c     -     -      3     # custodian up to the second key
		S    c     c      c     c01   c01    5     # custodian since
		N    -     -      -     -     -      0     # a stranger
		X    -     -      -     -     -      0     # never enrolled`
	var plain strings.Builder
	for line := range strings.Lines(want) {
		line, _, _ = strings.Cut(line, "#")
		plain.WriteString(line + "\n")
	}
	if got := grid(rows); got != trimLines(plain.String()) {
		t.Errorf("got\n%s", got)
	}

	// With no key at hand: the author has all, others of the audience the core.
	for org, want := range map[string]string{"A": "c01", "B": "c", "C": "c", "S": "c", "N": "-"} {
		if got := cell(org, links[1], nil); got != want {
			t.Errorf("%s without the key record: %s", org, got)
		}
	}
	// A suspended author and a suspended custodian get nothing either.
	w.leaves("suspend C\nrevoke A")
	for _, org := range []string{"A", "C"} {
		key, _ := KeyLinkOf(links[0].Core())
		if got := cell(org, links[1], &key); got != "-" || EntitledFeed(w.now(), &chain, orgID(org)) != 0 {
			t.Errorf("%s: %s", org, got)
		}
	}
}

// Who can open what, whatever came into whose hands: every organisation tries
// every section of the second matrix row by row, with all bytes of all records.
func TestAttackDecryptMatrix(t *testing.T) {
	_, p, d := matrix(t)
	w, links := p.w, d.links[p.feed()]
	rows := [][]string{{"", "2data", "5data"}}
	for _, org := range []string{"A", "B", "P", "G", "Z", "C", "S", "N"} {
		row := []string{org}
		var keys []seal.FeedKey // all that the organisation can lay hands on
		for _, r := range links {
			if r.Core().Key == nil {
				continue
			}
			for set := range r.Core().Key.Sets {
				key, err := r.OpenKey(set, w.identity(org)...)
				if err == nil {
					keys = append(keys, key)
				} else if !errors.Is(err, ErrUnreadable) {
					t.Errorf("%s, set %d: %v", org, set, err)
				}
				if named := r.Core().Key.Sets[set].Has(orgID(org)); named != (err == nil) {
					t.Errorf("%s is named as reader of set %d: %v; opens it: %v", org, set, named, err)
				}
			}
		}
		for _, r := range links {
			if r.Core().Data == nil || r.State() == Refused {
				continue
			}
			cell := "-"
			for i := range r.Core().Sections() {
				for _, k := range keys {
					if c, err := r.OpenSection(i, k, d.setOf(r, i)); err == nil {
						cell += fmt.Sprint(i)
						if want := texts(0, 1)[i]; string(c.Body) != string(want.Body) || c.Kind != want.Kind || c.Staff != want.Staff || c.Set != want.Set {
							t.Errorf("section %d opens to %+v", i, c)
						}
					} else if !errors.Is(err, ErrUnreadable) {
						t.Errorf("%s, section %d: %v", org, i, err)
					}
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	const want = `
		     2data  5data
		A    -01    -01
		B    -0     -0
		P    -01    -01
		G    -      -
		Z    -0     -0
		C    -      -
		S    -      -
		N    -      -`
	if got := grid(rows); got != trimLines(want) {
		t.Errorf("got\n%s", got)
	}
}

// One organisation more in the register changes nobody's entitlement, and a
// range of sequence numbers never ends above the feed.
func TestEntitledFeedEnds(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	for _, custodians := range []string{"C", "S", "C S", "S", "C"} {
		p.key(custodians)
	}
	want := []Custody{{Org: orgID("C")}, {Org: orgID("S"), End: 5}}
	got := slices.Clone(p.chain.Custody)
	slices.SortFunc(got, func(a, b Custody) int { return int(a.End) - int(b.End) })
	if !slices.Equal(got, want) {
		t.Errorf("custody %+v", got)
	}
	for org, to := range map[string]uint64{"A": 5, "B": 5, "C": 5, "S": 4, "N": 0} {
		if got := EntitledFeed(w.now(), &p.chain, orgID(org)); got != to {
			t.Errorf("%s: up to %d, want %d", org, got, to)
		}
	}
}
