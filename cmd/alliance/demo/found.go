package demo

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/national-alliance/alliance/node/api"
)

// The first three nodes are the secretariat's.
func (d *demo) secretariat() []*node { return d.nodes[:3] }

// found founds the alliance and gives its secretariat three nodes.
func (d *demo) found(ctx context.Context) error {
	p := d.plan
	d.t.chapter("Three officers found an alliance, of whom %d must agree", p.Threshold)
	if err := d.folders(); err != nil {
		return err
	}
	first, err := d.folder("secretariat-1", member{Name: p.Secretariat, Class: secretariatClass})
	if err != nil {
		return err
	}
	d.t.say("It is a trial network: for invented data only, for ever. Passphrases have a low work factor (%d), for speed.", quick)
	args := []string{"init", "--dir", first.dir, "--title", p.Title, "--name", p.Secretariat, "--threshold", strconv.Itoa(p.Threshold),
		"--suspension", "1", "--admin-threshold", "1", "--passphrase-file", first.pass}
	var keys []string
	for _, name := range p.Officers {
		file, word, err := d.newKey(ctx, "officer-"+name)
		if err != nil {
			return err
		}
		keys, args = append(keys, file), append(args, "--officer", word)
	}
	var word string
	if d.admin, word, err = d.newKey(ctx, "administrator-secretariat"); err != nil {
		return err
	}
	first.key = d.admin
	type founded struct {
		Fingerprint string `json:"fingerprint"`
		Genesis     string `json:"genesis"`
		Done        bool   `json:"done"`
	}
	f, err := ask[founded](ctx, d, append(args, "--admin", word)...)
	if err != nil {
		return err
	}
	for i, key := range append(keys, d.admin) {
		if i == len(keys) {
			_, err := d.command(ctx, "init", "--dir", first.dir, "--genesis", f.Genesis)
			d.t.expect(err != nil, "it was founded", "without the administrator's signature nothing is founded")
		}
		if err := d.sign(ctx, key, f.Genesis); err != nil {
			return err
		}
	}
	f, err = ask[founded](ctx, d, "init", "--dir", first.dir, "--genesis", f.Genesis)
	if err != nil {
		return err
	}
	d.t.say("All of them signed the founding operation. The network's fingerprint: %s", f.Fingerprint)
	if err := d.launch(first); err != nil {
		return err
	}
	if err := d.leads(ctx, first); err != nil {
		return err
	}
	return d.grow(ctx, first)
}

// leads waits until a node serves and leads its group.
func (d *demo) leads(ctx context.Context, n *node) error {
	if _, err := d.serving(ctx, n); err != nil {
		return err
	}
	return d.until(ctx, n.name+" to lead", func() (bool, error) {
		s, err := n.status(ctx)
		return err == nil && s.Raft != nil && s.Raft.Leads, err
	})
}

// grow adds two nodes to the secretariat and makes all three voters, then
// signers.
func (d *demo) grow(ctx context.Context, first *node) error {
	for _, name := range []string{"secretariat-2", "secretariat-3"} {
		n, err := d.folder(name, member{Name: d.plan.Secretariat, Class: secretariatClass})
		if err != nil {
			return err
		}
		request, err := d.join(ctx, first, n, "--node-of", first.orgID, "--class", secretariatClass)
		if err != nil {
			return err
		}
		if err := d.byAdmin(ctx, first, "enrol-node", "--request", request.ID); err != nil {
			return err
		}
		if _, err := d.serving(ctx, n); err != nil {
			return err
		}
		d.t.say("%s joined with a ticket; the secretariat's administrator admitted it.", name)
	}
	ids := []string{}
	for _, n := range d.secretariat() {
		ids = append(ids, "--at", n.id)
	}
	for _, kind := range []string{"voters", "signers"} {
		if err := d.byAdmin(ctx, first, kind, ids...); err != nil {
			return err
		}
	}
	if err := d.until(ctx, "three voters", func() (bool, error) {
		for _, n := range d.secretariat() {
			s, err := n.status(ctx)
			if err != nil || s.Raft == nil || len(s.Raft.Voters) != 3 || s.Raft.Leader == "" && !s.Raft.Leads || s.Locked {
				return false, err
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	d.t.say("All three vote and sign checkpoints now. The reading identity was handed over, sealed to each node.")
	return nil
}

// join opens a ticket at a node of the secretariat, has a newcomer join with
// it, starts its daemon, and waits for the request at the desk. The
// fingerprints that both ends show are compared.
func (d *demo) join(ctx context.Context, desk, n *node, args ...string) (api.Enrolment, error) {
	ticket := d.path("papers", "ticket-"+n.name)
	if _, err := d.command(ctx, "invite", "--dir", desk.dir, "--hours", "1", "--out", ticket); err != nil {
		return api.Enrolment{}, err
	}
	type joined struct {
		Fingerprint  string `json:"fingerprint"`
		Organisation string `json:"organisation"`
	}
	j, err := ask[joined](ctx, d, append([]string{"join", "--dir", n.dir, "--ticket", ticket, "--passphrase-file", n.pass}, args...)...)
	if err != nil {
		return api.Enrolment{}, err
	}
	n.orgID = j.Organisation
	if err := d.launch(n); err != nil {
		return api.Enrolment{}, err
	}
	var found []api.Enrolment
	err = d.until(ctx, filepath.Base(n.dir)+"'s request", func() (bool, error) {
		list, err := ask[[]api.Enrolment](ctx, d, "op", "requests", "--dir", desk.dir)
		found = slices.DeleteFunc(list, func(e api.Enrolment) bool { return e.Done })
		return err == nil && len(found) > 0, err
	})
	if err != nil {
		return api.Enrolment{}, err
	}
	if len(found) != 1 {
		return api.Enrolment{}, errors.New("more than one request waits at the desk")
	}
	d.t.expect(found[0].Fingerprint == j.Fingerprint, found[0].Fingerprint, "%s and the desk read the same fingerprint: %s", n.name, j.Fingerprint)
	return found[0], nil
}
