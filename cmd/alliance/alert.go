package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/protocol/alert"
)

// everyone stands for all active members in --to.
const everyone = "members"

func (p *program) alert() *cobra.Command {
	c := &cobra.Command{
		Use:   "alert",
		Short: "issue alerts from CAP 1.2 documents, and answer them",
		Long:  "An alert is named by its ID, or enough of its beginning, or by the identifier in its CAP document.",
	}
	c.AddCommand(p.alertExample(), p.alertIssue(), p.alertUpdate(), p.alertCancel(), p.alertList(), p.alertShow(), p.alertAck())
	return c
}

func (p *program) document(path string) (string, error) {
	b, err := p.input(path, alert.MaxCAP)
	if err != nil {
		return "", fmt.Errorf("read alert: %w; nothing was sent", err)
	}
	return string(b), nil
}

// alerted sends and prints what became of it.
func (p *program) alerted(ctx context.Context, path string, body any) error {
	r, err := ask[casebook.AlertResult](ctx, p, "POST", path, body)
	if err != nil {
		return err
	}
	return p.show(r, func(w io.Writer) {
		fmt.Fprintln(w, clean(r.Text))
		if !r.ID.IsZero() {
			fmt.Fprintf(w, "id\t%s\n", r.ID)
		}
		for _, l := range r.LeftOut {
			fmt.Fprintf(w, "not to\t%s: %s\n", l.Organisation.Name, l.Why)
		}
		for _, f := range r.Warnings {
			fmt.Fprintf(w, "look at this\t%s\n", clean(f.String()))
		}
	})
}

func (p *program) alertIssue() *cobra.Command {
	var to, about []string
	var staff string
	c := &cobra.Command{
		Use:   "issue FILE.xml --to members|NAME",
		Short: "issue an alert from a CAP document",
		Long: `Issues an alert from a CAP 1.2 XML document. What breaks a rule is named, and then
nothing is sent. --to members sends it to all active members, but those that it is
about.`,
		Example: "  alliance alert issue alert.xml --to members\n  alliance alert issue alert.xml --to \"Example Home\" --to \"Example Police\"",
		Args:    exactly("FILE.xml"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(to) == 0 {
				return hint(usage("--to is missing"), "name members, once for each, or say --to members for all")
			}
			xml, err := p.document(args[0])
			if err != nil {
				return err
			}
			for _, name := range to {
				if name == everyone {
					to = nil
					break
				}
			}
			return p.alerted(c.Context(), "/alerts", struct {
				CAP   string   `json:"cap"`
				To    []string `json:"to,omitempty"`
				About []string `json:"about,omitempty"`
				Staff string   `json:"staff,omitempty"`
			}{xml, to, about, staff})
		},
	}
	f := c.Flags()
	f.StringArrayVar(&to, "to", nil, "a member by name or ID, once for each; members for all")
	f.StringArrayVar(&about, "about", nil, "a member that it is about: it does not get it")
	staffFlag(c, &staff)
	return c
}

func (p *program) alertUpdate() *cobra.Command {
	var staff string
	c := &cobra.Command{
		Use: "update ID FILE.xml", Short: "replace an alert of this organisation", Args: exactly("ID", "FILE.xml"),
		Example: "  alliance alert update 3f9a01 newer.xml",
		RunE: func(c *cobra.Command, args []string) error {
			xml, err := p.document(args[1])
			if err != nil {
				return err
			}
			return p.alerted(c.Context(), "/alerts/"+url.PathEscape(args[0])+"/update", api.Alert{CAP: xml, Staff: staff})
		},
	}
	staffFlag(c, &staff)
	return c
}

func (p *program) alertCancel() *cobra.Command {
	var r api.Reason
	c := &cobra.Command{
		Use: "cancel ID --reason TEXT", Short: "withdraw an alert of this organisation", Args: exactly("ID"),
		Example: `  alliance alert cancel 3f9a01 --reason "issued in error"`,
		RunE: func(c *cobra.Command, args []string) error {
			return p.alerted(c.Context(), "/alerts/"+url.PathEscape(args[0])+"/cancel", r)
		},
	}
	c.Flags().StringVar(&r.Reason, "reason", "", "why it is withdrawn")
	staffFlag(c, &r.Staff)
	return c
}

func (p *program) alertAck() *cobra.Command {
	var a api.AlertAck
	c := &cobra.Command{
		Use: "ack ID --did ACTION", Short: "say what was done about an alert", Aliases: []string{"acknowledge"}, Args: exactly("ID"),
		Long: `Says what was done: reported, blocked, warned-families, checked-records,
preserved-evidence; or none, where nothing was needed, or cannot-act with --reason.
A later answer takes the place of the one before.`,
		Example: "  alliance alert ack 3f9a01 --did checked-records --did blocked",
		RunE: func(c *cobra.Command, args []string) error {
			if err := need(c, "did"); err != nil {
				return err
			}
			return p.alerted(c.Context(), "/alerts/"+url.PathEscape(args[0])+"/ack", a)
		},
	}
	c.Flags().StringArrayVar(&a.What, "did", nil, "what was done, once for each")
	c.Flags().StringVar(&a.Reason, "reason", "", "why nothing can be done")
	staffFlag(c, &a.Staff)
	return c
}

func (p *program) alertList() *cobra.Command {
	var standing, after string
	var waiting bool
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "list alerts, the newest change first", Example: "  alliance alert list --waiting", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			set(q, "standing", standing)
			set(q, "after", after)
			if waiting {
				q.Set("waiting", "true")
			}
			if limit != 0 {
				q.Set("limit", strconv.Itoa(limit))
			}
			l, err := ask[casebook.AlertList](c.Context(), p, "GET", "/alerts?"+q.Encode(), nil)
			if err != nil {
				return err
			}
			return p.show(l, func(w io.Writer) {
				for _, a := range l.Items {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.ID.Short(), a.Standing, a.Label, a.TLP, a.Issuer.Name, clean(banner(a)+a.Headline))
				}
				more(w, l.Total, len(l.Items), l.Next)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&standing, "standing", "", "in-force, upcoming, expired or withdrawn")
	f.BoolVar(&waiting, "waiting", false, "not answered yet")
	pageFlags(f, &limit, &after)
	return c
}

func banner(a casebook.AlertItem) string {
	if a.Banner == "" {
		return ""
	}
	return "[" + a.Banner + "] "
}

func (p *program) alertShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "show an alert and its answers", Example: "  alliance alert show 3f9a01", Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := ask[json.RawMessage](c.Context(), p, "GET", "/alerts/"+url.PathEscape(args[0]), nil)
			if err != nil || p.json {
				return p.raw(raw, err)
			}
			var v casebook.AlertView
			if err := json.Unmarshal(raw, &v); err != nil {
				return fmt.Errorf("show alert: read the node's answer: %w", err)
			}
			return p.show(v, func(w io.Writer) { printAlert(w, v) })
		},
	}
}

func printAlert(w io.Writer, v casebook.AlertView) {
	fmt.Fprintf(w, "%s\t%s\n", v.Standing, clean(banner(v.AlertItem)+v.Headline))
	fmt.Fprintf(w, "id\t%s\n", v.ID)
	fmt.Fprintf(w, "identifier\t%s\n", clean(v.Identifier))
	fmt.Fprintf(w, "issuer\t%s, %s\n", v.Issuer.Name, v.Issued)
	fmt.Fprintf(w, "about\t%s; %s %s; %s\n", v.Label, v.Severity, v.Urgency, v.TLP)
	if v.Expires != 0 {
		fmt.Fprintf(w, "expires\t%s\n", v.Expires)
	}
	if v.Withdraw != nil {
		fmt.Fprintf(w, "withdrawn\t%s: %s\n", v.Withdraw.Time, clean(dash(v.Withdraw.Note)))
	}
	for _, f := range v.Findings {
		fmt.Fprintf(w, "look at this\t%s\n", clean(f.String()))
	}
	for _, a := range v.Answers {
		var did []string
		for _, what := range a.What {
			did = append(did, string(what))
		}
		said := strings.Join(did, ", ")
		if a.Reason != "" {
			said += ": " + a.Reason
		}
		fmt.Fprintf(w, "answer\t%s: %s\n", a.Organisation.Name, clean(said))
	}
	for _, a := range v.Audience {
		if a.Delivery != nil {
			fmt.Fprintf(w, "delivery\t%s: %s\n", a.Organisation.Name, a.Delivery.Stage)
		}
	}
	if len(v.Silent) > 0 {
		fmt.Fprintf(w, "no answer from\t%s\n", names(v.Silent))
	}
	if v.Alert != nil {
		for _, i := range v.Alert.Infos {
			fmt.Fprintf(w, "\n%s\n%s\n", clean(i.Description), clean(i.Instruction))
			var areas []string
			for _, a := range i.Areas {
				areas = append(areas, a.Desc)
			}
			for _, line := range [][2]string{{"certainty", string(i.Certainty)}, {"area", strings.Join(areas, "; ")}, {"contact", i.Contact}} {
				if line[1] != "" {
					fmt.Fprintf(w, "%s\t%s\n", line[0], clean(line[1]))
				}
			}
		}
	}
}
