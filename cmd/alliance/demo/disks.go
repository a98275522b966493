package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/crypto/keyfile"
	ours "github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol/register"
)

// held is a line of 'alliance verify --list --json'.
type held struct {
	ID         string   `json:"id"`
	Feed       string   `json:"feed"`
	Seq        uint64   `json:"seq"`
	Type       string   `json:"type"`
	Author     string   `json:"author"`
	Audience   []string `json:"audience"`
	Group      string   `json:"group"`
	Custodians []string `json:"custodians"`
	Sections   []int    `json:"sections"`
}

// disks asks every node what it can open, stops them all, and reads what they
// hold from their disks.
func (d *demo) disks(ctx context.Context) error {
	d.t.chapter("Every node is asked what it can open; then all are stopped and their disks read")
	rows, err := d.rows(ctx)
	if err != nil {
		return err
	}
	err = d.stopAll()
	d.t.expect(err == nil, err, "all %d nodes ended when they were told to", len(d.nodes))
	disks := map[*node]map[string]held{}
	for _, n := range d.nodes {
		if disks[n], err = d.verify(ctx, n); err != nil {
			return err
		}
	}
	d.t.expect(true, nil, "offline, every leaf, checkpoint, record, signature and section of every node verifies")
	if err := d.once(); err != nil {
		return err
	}
	d.police(disks)
	if err := d.unreadable(); err != nil {
		return err
	}
	d.matrix(rows, disks)
	return nil
}

// verify runs the offline verifier on a stopped node; damage is an error.
func (d *demo) verify(ctx context.Context, n *node) (map[string]held, error) {
	b, err := d.command(ctx, "verify", "--dir", n.dir, "--passphrase-file", n.pass, "--list")
	if err != nil {
		return nil, err
	}
	out := map[string]held{}
	for line := range bytes.Lines(b) {
		var h held
		if err := json.Unmarshal(line, &h); err != nil {
			return nil, fmt.Errorf("'alliance verify --list' printed what is not understood: %w", err)
		}
		out[h.ID] = h
	}
	return out, nil
}

// once expects each of the operations during which the leader died exactly
// once in the register on every disk.
func (d *demo) once() error {
	var wrong []string
	for _, n := range d.nodes {
		id, err := ours.Identify(n.dir)
		if err != nil {
			return err
		}
		keys, err := keyfile.LoadNodeKeys(filepath.Join(n.dir, "keys", "node.key"))
		if err != nil {
			return err
		}
		st, err := store.Open(store.Options{Dir: filepath.Join(n.dir, "store"), Key: keys.StoreKey, Network: id.Network, MinFree: 1})
		if err != nil {
			return err
		}
		times := make([]int, len(d.flight))
		err = st.Leaves(0, st.LeafCount(), func(_ uint64, b []byte) error {
			leaf, err := register.DecodeLeaf(b)
			for i, f := range d.flight {
				if err == nil && bytes.Equal(leaf.Op, f.op) {
					times[i]++
				}
			}
			return err
		})
		if cerr := st.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(times, func(k int) bool { return k != 1 }) {
			wrong = append(wrong, fmt.Sprintf("%s: %v", n.name, times))
		}
	}
	d.t.expect(len(wrong) == 0, wrong, "the operation that was in flight when the leader died, and its two neighbours, are in every node's register exactly once")
	return nil
}

// police expects that police hold only what they wrote or what names them, and
// keep nothing for others.
func (d *demo) police(disks map[*node]map[string]held) {
	for _, n := range d.nodes {
		if n.class != "police" {
			continue
		}
		var wrong []string
		for _, h := range disks[n] {
			if h.Author != n.orgID && !slices.Contains(h.Audience, n.orgID) && h.Group == "" || slices.Contains(h.Custodians, n.orgID) {
				wrong = append(wrong, h.ID[:8])
			}
		}
		d.t.expect(len(wrong) == 0 && len(disks[n]) > 0, wrong, "each of the %d records that %s holds was written by it or names it", len(disks[n]), n.org)
	}
}

// holds prints how many records each node holds, and why.
func (d *demo) holds(disks map[*node]map[string]held) {
	var rows [][]string
	for _, n := range d.nodes {
		var own, to, kept int
		for _, h := range disks[n] {
			switch {
			case h.Author == n.orgID:
				own++
			case slices.Contains(h.Audience, n.orgID):
				to++
			default:
				kept++
			}
		}
		rows = append(rows, []string{n.name, n.class, fmt.Sprint(len(disks[n])), fmt.Sprint(own), fmt.Sprint(to), fmt.Sprint(kept)})
	}
	d.t.note("Records held, key records among them, from each node's disk:\n")
	d.t.table([]string{"node", "class", "records", "written by it", "addressed to it", "kept for others"}, rows)
}

// matrix prints who has and who can read what, and expects it to be as the
// sealing says.
func (d *demo) matrix(rows []*row, disks map[*node]map[string]held) {
	orgs := []*node{} // the first node of each organisation
	for _, n := range d.nodes {
		if !slices.ContainsFunc(orgs, func(o *node) bool { return o.org == n.org }) {
			orgs = append(orgs, n)
		}
	}
	heads := []string{"what"}
	for _, o := range orgs {
		heads = append(heads, o.org)
	}
	var lines [][]string
	var wrong []string
	cells := 0
	for _, r := range rows {
		line := []string{r.title}
		for _, o := range orgs {
			has := ""
			for _, n := range d.nodes {
				if n.org != o.org {
					continue
				}
				cells++
				h, want := r.has(n, disks[n]), d.should(r, n)
				if h != want {
					wrong = append(wrong, fmt.Sprintf("%s at %s: %s, not %s", r.title, n.name, h, want))
				}
				if has == "" {
					has = h
				} else if has != h {
					has = "differs"
				}
			}
			line = append(line, has)
		}
		lines = append(lines, line)
	}
	d.t.expect(len(wrong) == 0, strings.Join(wrong, "; "), "all %d cells (three for each of the secretariat's) are as the sealing says", cells)
	d.holds(disks)
	d.t.note("Who holds it, by the disks; who can read it, by what each running node could open:\n")
	d.t.table(heads, lines)
	d.t.note("reads: holds and opens it. sealed: keeps its bytes for others and cannot open them.\nheader: knows that it exists, without its bytes. -: holds nothing of it.")
}
