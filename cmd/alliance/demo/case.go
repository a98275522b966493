package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/national-alliance/alliance/node/api"
)

// What the commands print, as far as the demo looks at it.

type organisation struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type result struct {
	Referral string `json:"referral"`
	Code     string `json:"code"`
	Record   string `json:"record"`
	Feed     string `json:"feed"`
	Seq      uint64 `json:"seq"`
	Queued   uint64 `json:"queued"`
	Reason   string `json:"reason"`
	State    string `json:"state"`
}

type view struct {
	ID    string   `json:"id"`
	Code  string   `json:"code"`
	Reads []string `json:"reads"`
	Legs  []struct {
		Organisation organisation `json:"organisation"`
		State        string       `json:"state"`
		Hidden       bool         `json:"hidden"`
		Delivery     *struct {
			Stage string `json:"stage"`
		} `json:"delivery"`
		History []struct {
			Record string `json:"record"`
			Move   string `json:"move"`
		} `json:"history"`
	} `json:"legs"`
	Access struct {
		Record string `json:"record"`
	} `json:"access"`
}

// leg returns a recipient's leg: its state, and the records in it that are
// shown.
func (v view) leg(org string) (state string, records []string) {
	for _, l := range v.Legs {
		if l.Organisation.Name != org {
			continue
		}
		for _, h := range l.History {
			records = append(records, h.Record)
		}
		return l.State, records
	}
	return "", nil
}

// node finds a node by its folder's name.
func (d *demo) node(name string) *node {
	return d.nodes[slices.IndexFunc(d.nodes, func(n *node) bool { return n.name == name })]
}

func (d *demo) inputFile(name string) string {
	path, err := filepath.Abs(filepath.Join(d.input, name))
	if err != nil {
		return filepath.Join(d.input, name)
	}
	return path
}

// send sends a referral from an input file. Shortly after a start a node keeps
// it in its outbox until its peers have answered; then it is waited for.
func (d *demo) send(ctx context.Context, n *node, file string) (id string, err error) {
	r, err := ask[result](ctx, d, "referral", "send", d.inputFile(file), "--dir", n.dir)
	if err != nil || r.Referral != "" {
		return r.Referral, err
	}
	d.t.say("%s keeps it for now: %s.", n.org, r.Reason)
	type list struct {
		Items []struct {
			ID   string `json:"id"`
			Code string `json:"code"`
		} `json:"items"`
	}
	err = d.until(ctx, "a queued referral to be written", func() (bool, error) {
		l, err := ask[list](ctx, d, "referral", "list", "--dir", n.dir)
		for _, x := range l.Items {
			if x.Code == r.Code {
				id = x.ID
			}
		}
		return id != "", err
	})
	return id, err
}

// show shows a referral as a node's organisation may see it; ok is false where
// there is nothing that it may see.
func (d *demo) show(ctx context.Context, n *node, id string) (v view, ok bool, err error) {
	v, err = ask[view](ctx, d, "referral", "show", id, "--dir", n.dir)
	var e *commandError
	if errors.As(err, &e) && e.code == api.NotFound.Exit() {
		return v, false, nil
	}
	return v, err == nil, err
}

// arrives waits until a referral is shown at a node, and the leg of a
// recipient in a state, where one is given.
func (d *demo) arrives(ctx context.Context, n *node, id, leg, state string) error {
	what := fmt.Sprintf("the referral at %s", n.org)
	if state != "" {
		what = fmt.Sprintf("%s to see %s's leg as %s", n.org, leg, state)
	}
	return d.until(ctx, what, func() (bool, error) {
		v, err := api.Ask[view](ctx, n.api, "GET", "/referrals/"+id, nil)
		if err != nil {
			return false, err
		}
		now, _ := v.leg(leg)
		return state == "" || now == state, nil
	})
}

// move makes a move in a leg, and waits until the other side sees it.
func (d *demo) move(ctx context.Context, by, other *node, id, leg, word, state string, args ...string) error {
	r, err := ask[result](ctx, d, append([]string{"referral", word, id, "--dir", by.dir}, args...)...)
	if err != nil {
		return err
	}
	if r.State != state {
		return fmt.Errorf("after %s the leg of %s is %s, not %s", word, leg, r.State, state)
	}
	if err := d.arrives(ctx, other, id, leg, state); err != nil {
		return err
	}
	d.t.say("%s: %s. The leg is %s, and %s sees it.", by.org, word, state, other.org)
	return nil
}

// receipts waits until nothing that a node wrote lacks a receipt, but of those
// in except; it returns what is outstanding then.
func (d *demo) receipts(ctx context.Context, n *node, except ...*node) (missing []string, err error) {
	var s api.Status
	err = d.until(ctx, "receipts at "+n.name, func() (bool, error) {
		missing = nil
		if s, err = n.status(ctx); err != nil {
			return false, err
		}
		for _, f := range s.Feeds {
			for _, o := range f.Outstanding {
				if f.Own && !slices.ContainsFunc(except, func(x *node) bool { return o == x.org+" "+x.id[:8] }) {
					missing = append(missing, o)
				}
			}
		}
		return s.Outbox == 0 && len(missing) == 0, nil
	})
	return missing, err
}

// wrote counts what a node wrote.
func wrote(s api.Status) (feeds int, records uint64) {
	for _, f := range s.Feeds {
		if f.Own {
			feeds, records = feeds+1, records+f.Seq
		}
	}
	return feeds, records
}
