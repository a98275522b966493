package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/node/api"
)

// away writes to an NGO that is not there, from one that then goes too.
func (d *demo) away(ctx context.Context) error {
	north, south, ministry := d.node("north"), d.node("south"), d.node("ministry")
	d.t.chapter("%s is away; %s writes to it, and goes away too", south.org, north.org)
	if err := south.stop(); err != nil {
		return err
	}
	id, err := d.send(ctx, north, "referral-away.json")
	if err != nil {
		return err
	}
	c := d.newCase("referral 3", id, north, south)
	c.watchers, c.identity = []*node{ministry}, []*node{south}
	if missing, err := d.receipts(ctx, north, south); err != nil {
		return fmt.Errorf("%w: %v", err, missing)
	}
	v, _, err := d.show(ctx, north, id)
	if err != nil {
		return err
	}
	d.t.expect(len(v.Legs) == 1 && v.Legs[0].Delivery != nil && v.Legs[0].Delivery.Stage == "with-custodian", v.Legs, "%s sees that the secretariat keeps it for %s", north.org, south.org)
	if err := north.stop(); err != nil {
		return err
	}
	d.t.say("%s is stopped; %s starts, locked.", north.org, south.org)
	if err := d.launch(south); err != nil {
		return err
	}
	if _, err := d.serving(ctx, south); err != nil {
		return err
	}
	var s api.Status
	err = d.until(ctx, "the record at "+south.org, func() (bool, error) {
		if s, err = south.status(ctx); err != nil {
			return false, err
		}
		for _, f := range s.Feeds {
			if f.Node == north.id && len(f.Audience) == 2 && f.Seq >= 2 && f.Lacking == 0 && !slices.Contains(f.Audience, d.node("police").org) {
				return true, nil
			}
		}
		return false, nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.t.expect(err == nil && s.Locked && north.proc == nil, err, "%s got the record from the custodian while its author is away, and while it is locked itself", south.org)
	_, err = d.command(ctx, "referral", "show", id, "--dir", south.dir)
	var e *commandError
	d.t.expect(errors.As(err, &e) && e.code == api.Locked.Exit(), err, "locked, it shows nothing")
	if err := d.unlock(ctx, south); err != nil {
		return err
	}
	if err := d.arrives(ctx, south, id, south.org, "sent"); err != nil {
		return err
	}
	d.t.say("Unlocked by a person, %s reads it.", south.org)
	if err := d.launch(north); err != nil {
		return err
	}
	if _, err := d.serving(ctx, north); err != nil {
		return err
	}
	if err := d.unlock(ctx, north); err != nil {
		return err
	}
	d.t.say("%s comes back.", north.org)
	return d.allReceipts(ctx)
}
