package demo

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/national-alliance/alliance/node/api"
)

// alertCase is the alert whose life the demo follows.
type alertCase struct {
	id       string
	records  []string // that it was issued in
	audience []*node
	acks     map[*node][]string // records of the answers
}

type alertResult struct {
	ID         string `json:"id"`
	Identifier string `json:"identifier"`
	Records    []struct {
		Record string         `json:"record"`
		Reason string         `json:"reason"`
		To     []organisation `json:"to"`
	} `json:"records"`
}

type alertView struct {
	ID       string         `json:"id"`
	Banner   string         `json:"banner"`
	Answered int            `json:"answered"`
	Silent   []organisation `json:"silent"`
	Records  []string       `json:"records"`
	Answers  []answer       `json:"answers"`
}

type answer struct {
	Organisation organisation `json:"organisation"`
}

// issue issues an alert to all members, and has all acknowledge it.
func (d *demo) issue(ctx context.Context) error {
	at := d.nodes[0]
	d.t.chapter("The secretariat issues an alert to all members, from a CAP 1.2 document")
	file, err := d.datedAlert("alert.xml", time.Now())
	if err != nil {
		return err
	}
	r, err := ask[alertResult](ctx, d, "alert", "issue", file, "--to", "members", "--dir", at.dir)
	if err != nil {
		return err
	}
	d.alert = alertCase{id: r.ID, acks: map[*node][]string{}}
	if r.ID == "" {
		d.t.say("It is kept for now: %s.", r.Records[0].Reason)
		if err := d.until(ctx, "a queued alert to be written", func() (bool, error) {
			v, err := api.Ask[alertView](ctx, at.api, "GET", "/alerts/"+r.Identifier, nil)
			d.alert.id = v.ID
			return err == nil, err
		}); err != nil {
			return err
		}
	}
	members := []*node{d.node("north"), d.node("south"), d.node("police")}
	for _, x := range r.Records {
		for _, o := range x.To {
			for _, n := range members {
				if n.org == o.Name {
					d.alert.audience = append(d.alert.audience, n)
				}
			}
		}
	}
	d.t.expect(len(r.Records) == 1 && len(r.Records[0].To) == len(members) && len(d.alert.audience) == len(members), r.Records, "it is one record, to the list of all %d members", len(members))
	for i, n := range members {
		var v alertView
		if err := d.until(ctx, "the alert at "+n.org, func() (bool, error) {
			v, err = api.Ask[alertView](ctx, n.api, "GET", "/alerts/"+d.alert.id, nil)
			return err == nil, err
		}); err != nil {
			return err
		}
		if v.Banner == "" {
			return fmt.Errorf("%s does not show that the alert is an exercise", n.org)
		}
		did := []string{"--did", "checked-records"}
		if i > 0 {
			did = append(did, "--did", "warned-families")
		}
		a, err := ask[alertResult](ctx, d, append([]string{"alert", "ack", d.alert.id, "--dir", n.dir}, did...)...)
		if err != nil {
			return err
		}
		for _, x := range a.Records {
			d.alert.acks[n] = append(d.alert.acks[n], x.Record)
		}
		d.t.say("%s has it, shown as an exercise, and acknowledges it.", n.org)
	}
	var v alertView
	err = d.until(ctx, "all acknowledgements", func() (bool, error) {
		v, err = api.Ask[alertView](ctx, at.api, "GET", "/alerts/"+d.alert.id, nil)
		return err == nil && v.Answered == len(members), err
	})
	d.alert.records = v.Records
	d.t.expect(err == nil && len(v.Silent) == 0, fmt.Sprintf("%d answers, silent: %v", v.Answered, v.Silent), "all members acknowledged it")
	return d.allReceipts(ctx)
}

var times = regexp.MustCompile(`(<(?:sent|effective|onset|expires)>)([^<]+)(</)`)

// datedAlert writes a copy of a CAP document in which all times are moved so
// that it is sent now.
func (d *demo) datedAlert(name string, now time.Time) (string, error) {
	b, err := os.ReadFile(d.inputFile(name))
	if err != nil {
		return "", fmt.Errorf("read input: %w", err)
	}
	const form = "2006-01-02T15:04:05-07:00" // CAP's: an offset, never Z
	var first time.Time
	var bad error
	text := times.ReplaceAllStringFunc(string(b), func(s string) string {
		m := times.FindStringSubmatch(s)
		t, err := time.Parse(form, m[2])
		if err != nil {
			bad = fmt.Errorf("read input %s: %w", name, err)
			return s
		}
		if first.IsZero() {
			first = t
		}
		return m[1] + now.Add(t.Sub(first)).In(t.Location()).Format(form) + m[3]
	})
	if bad != nil {
		return "", bad
	}
	return d.write(text, "papers", name)
}
