package demo

import (
	"context"
	"slices"
	"strings"
)

// refer sends two referrals through their lives: one is completed, and
// accepted by police; the other declined and closed.
func (d *demo) refer(ctx context.Context) error {
	north, south, police := d.node("north"), d.node("south"), d.node("police")
	d.t.chapter("%s refers a child's case to %s and to %s", north.org, south.org, police.org)
	id, err := d.send(ctx, north, "referral.json")
	if err != nil {
		return err
	}
	c := d.newCase("referral 1", id, north, south, police)
	c.identity, c.evidence = []*node{police}, []*node{police}
	for _, n := range []*node{south, police} {
		if err := d.arrives(ctx, n, id, n.org, "sent"); err != nil {
			return err
		}
	}
	d.t.say("It has four parts, each sealed apart: all three read the summary and the case, identity and evidence go to police alone.")
	for _, n := range []*node{south, police, d.nodes[0]} {
		v, ok, err := d.show(ctx, n, id)
		if err != nil {
			return err
		}
		want := map[string]string{south.name: "summary case", police.name: "summary case identity evidence", d.nodes[0].name: ""}[n.name]
		got := strings.Join(v.Reads, " ")
		d.t.expect(ok == (want != "") && got == want, got, "%s reads: %s", n.org, either(want, "nothing of it"))
	}
	for _, step := range []struct {
		by, other *node
		word      string
		state     string
		args      []string
	}{
		{south, north, "ack", "acknowledged", []string{"--desk", south.desk, "--decide-by", "+24h"}},
		{south, north, "accept", "accepted", []string{"--file", d.inputFile("accept.json"), "--first-contact-by", "+48h"}},
		{south, north, "start", "in-progress", []string{"--file", d.inputFile("start.json"), "--contact-at", "+0s"}},
		{south, north, "complete", "completed", []string{"--file", d.inputFile("complete.json")}},
		{north, south, "confirm", "closed", []string{"--file", d.inputFile("confirm.json"), "--leg", south.org}},
	} {
		if err := d.move(ctx, step.by, step.other, id, south.org, step.word, step.state, step.args...); err != nil {
			return err
		}
	}
	if err := d.move(ctx, police, north, id, police.org, "accept", "accepted", "--file", d.inputFile("accept-police.json"), "--first-contact-by", "+24h"); err != nil {
		return err
	}
	v, _, err := d.show(ctx, police, id)
	if err != nil {
		return err
	}
	_, seen := v.leg(south.org)
	d.t.expect(len(seen) == 0, seen, "%s sees nothing of what %s answered: each leg is between its two sides", police.org, south.org)

	d.t.say("%s refers another child to %s, which declines.", south.org, north.org)
	id, err = d.send(ctx, south, "referral-declined.json")
	if err != nil {
		return err
	}
	d.newCase("referral 2", id, south, north)
	if err := d.arrives(ctx, north, id, north.org, "sent"); err != nil {
		return err
	}
	if err := d.move(ctx, north, south, id, north.org, "decline", "declined", "--file", d.inputFile("decline.json")); err != nil {
		return err
	}
	if err := d.move(ctx, south, north, id, north.org, "close", "closed", "--file", d.inputFile("close.json")); err != nil {
		return err
	}
	return d.allReceipts(ctx)
}

// allReceipts expects that every record written so far is receipted by every
// node of its readers and custodians.
func (d *demo) allReceipts(ctx context.Context) error {
	for _, n := range d.nodes {
		if n.proc == nil {
			continue
		}
		missing, err := d.receipts(ctx, n)
		if err != nil && ctx.Err() != nil {
			return err
		}
		s, err := n.status(ctx)
		if err != nil {
			return err
		}
		if feeds, records := wrote(s); feeds > 0 {
			d.t.expect(len(missing) == 0 && s.Outbox == 0, missing, "%s has receipts of every reader's and custodian's node for its %d records in %d feeds", n.name, records, feeds)
		}
	}
	return nil
}

func either(s, instead string) string {
	if s == "" {
		return instead
	}
	return strings.ReplaceAll(s, " ", ", ")
}

// referralCase is a referral whose life the demo follows.
type referralCase struct {
	title    string
	id       string // the record that sent it
	sender   *node
	legs     []*node
	watchers []*node
	identity []*node // who reads it beside the sender
	evidence []*node
}

func (d *demo) newCase(title, id string, sender *node, legs ...*node) *referralCase {
	c := &referralCase{title: title, id: id, sender: sender, legs: legs}
	d.cases = append(d.cases, c)
	return c
}

// readers are the organisations that read a part.
func (c *referralCase) readers(part string) []*node {
	out := []*node{c.sender}
	switch part {
	case "summary":
		out = append(append(out, c.legs...), c.watchers...)
	case "case":
		out = append(out, c.legs...)
	case "identity":
		out = append(out, c.identity...)
	case "evidence":
		out = append(out, c.evidence...)
	}
	return out
}

func (c *referralCase) audience() []*node {
	return slices.Concat([]*node{c.sender}, c.legs, c.watchers)
}
