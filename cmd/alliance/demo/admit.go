package demo

import (
	"context"
	"errors"
	"strings"
)

// admit enrols two NGOs and a police unit.
func (d *demo) admit(ctx context.Context) error {
	d.t.chapter("Two NGOs and a police unit join: a ticket, a request, and a ceremony of %d officers", d.plan.Threshold)
	m := d.plan.Members
	for i, x := range []struct {
		folder string
		member
	}{{"north", m.North}, {"south", m.South}, {"police", m.Police}} {
		if _, err := d.enrol(ctx, d.nodes[0], x.folder, x.member, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// enrol has a newcomer join and the officers admit it. With alone it is shown
// that one officer is not enough.
func (d *demo) enrol(ctx context.Context, desk *node, folder string, m member, alone bool) (*node, error) {
	n, err := d.folder(folder, m)
	if err != nil {
		return nil, err
	}
	if n.key, _, err = d.newKey(ctx, "administrator-"+folder); err != nil {
		return nil, err
	}
	request, err := d.join(ctx, desk, n, "--name", m.Name, "--class", m.Class, "--kind", m.Kind, "--admin-key", n.key, "--threshold", "1")
	if err != nil {
		return nil, err
	}
	file, err := d.draft(ctx, desk, "enrol", "--request", request.ID)
	if err != nil {
		return nil, err
	}
	copies, err := d.ceremony(ctx, file)
	if err != nil {
		return nil, err
	}
	if alone {
		err := d.submit(ctx, desk, copies[0])
		d.t.expect(err != nil, "it was taken", "one officer's signature alone admits nobody")
	}
	if err := d.submit(ctx, desk, copies...); err != nil {
		return nil, err
	}
	if _, err := d.serving(ctx, n); err != nil {
		return nil, err
	}
	if err := d.unlock(ctx, n); err != nil {
		return nil, err
	}
	d.t.say("%s is a member: officers %s signed, and it holds and verified the whole register itself.", m.Name, strings.Join(d.plan.Officers[:d.plan.Threshold], " and "))
	return n, nil
}

// unlock has a person open a node's reading identity.
func (d *demo) unlock(ctx context.Context, n *node) error {
	if _, err := d.command(ctx, "unlock", "--dir", n.dir, "--passphrase-file", n.pass); err != nil {
		return err
	}
	s, err := n.status(ctx)
	if err == nil && s.Locked {
		err = errors.New(n.name + " is still locked")
	}
	return err
}
