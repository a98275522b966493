package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// referralView is of [casebook.ReferralView] what a person is shown as text.
type referralView struct {
	ID        string                `json:"id"`
	Code      string                `json:"code"`
	Direction string                `json:"direction"`
	Sender    casebook.Organisation `json:"sender"`
	Sent      string                `json:"sent"`
	Parts     json.RawMessage       `json:"parts"`
	Watchers  []casebook.Addressee  `json:"watchers"`
	Versions  []struct {
		Time    string   `json:"time"`
		Staff   string   `json:"staff"`
		Changed []string `json:"changed"`
		Reason  string   `json:"reason"`
	} `json:"versions"`
	Reads []string `json:"reads"`
	Legs  []struct {
		Organisation casebook.Organisation `json:"organisation"`
		Unit         string                `json:"unit"`
		Services     []string              `json:"services"`
		Hidden       bool                  `json:"hidden"`
		State        string                `json:"state"`
		Since        string                `json:"since"`
		Responsible  casebook.Organisation `json:"responsible"`
		Late         []struct {
			Name string `json:"name"`
			Due  string `json:"due"`
		} `json:"late"`
		SeeFirst []string           `json:"see_first"`
		Moves    []string           `json:"moves"`
		Number   string             `json:"number"`
		Delivery *casebook.Delivery `json:"delivery"`
		History  []struct {
			Author  casebook.Organisation `json:"author"`
			Move    string                `json:"move"`
			Time    string                `json:"time"`
			Staff   string                `json:"staff"`
			Verdict string                `json:"verdict"`
			Why     string                `json:"why"`
			Body    json.RawMessage       `json:"body"`
		} `json:"history"`
	} `json:"legs"`
	Access  casebook.Access `json:"access"`
	Notices []string        `json:"notices"`
}

func (p *program) referralShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "show a referral as this organisation may see it",
		Long:    "Shows a referral: who reads and who keeps it, each recipient's leg with what may be done now, and the parts that\nthis organisation reads. Web addresses are written so that they cannot be followed.",
		Example: "  alliance referral show 7K4M", Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := ask[json.RawMessage](c.Context(), p, "GET", "/referrals/"+url.PathEscape(args[0]), nil)
			if err != nil || p.json {
				return p.raw(raw, err)
			}
			var v referralView
			if err := json.Unmarshal(raw, &v); err != nil {
				return fmt.Errorf("show referral: read the node's answer: %w", err)
			}
			return p.show(v, func(w io.Writer) { v.print(w) })
		},
	}
}

func (v referralView) print(w io.Writer) {
	fmt.Fprintf(w, "%s\t%s, from %s, sent %s\n", v.Code, v.Direction, v.Sender.Name, v.Sent)
	fmt.Fprintf(w, "id\t%s\n", v.ID)
	for _, n := range v.Notices {
		fmt.Fprintf(w, "look at this\t%s\n", clean(n))
	}
	for _, part := range v.Access.Parts {
		fmt.Fprintf(w, "%s\tread by %s\n", part.Part, dash(names(part.Readers)))
	}
	fmt.Fprintf(w, "kept sealed by\t%s\n", dash(names(v.Access.Custodians)))
	for _, a := range v.Watchers {
		fmt.Fprintf(w, "told of it\t%s\n", a.Organisation.Name)
	}
	v.printClocks(w)
	for _, y := range v.Versions {
		if len(y.Changed) > 0 {
			fmt.Fprintf(w, "amended %s\t%s%s: %s\n", y.Time, strings.Join(y.Changed, ", "), by(y.Staff), clean(dash(y.Reason)))
		}
	}
	for _, l := range v.Legs {
		fmt.Fprintf(w, "\nto %s\t%s", l.Organisation.Name, l.State)
		if l.Hidden {
			fmt.Fprint(w, ", as it was sent: its replies go to the sender alone")
		}
		if l.Delivery != nil {
			fmt.Fprintf(w, "; delivery: %s", l.Delivery.Stage)
		}
		fmt.Fprintln(w)
		if l.Unit != "" {
			fmt.Fprintf(w, "  unit\t%s\n", clean(l.Unit))
		}
		fmt.Fprintf(w, "  asked for\t%s\n", clean(dash(strings.Join(l.Services, ", "))))
		if l.Since != "" {
			fmt.Fprintf(w, "  since\t%s\n", l.Since)
		}
		fmt.Fprintf(w, "  responsible\t%s\n", l.Responsible.Name)
		if l.Number != "" {
			fmt.Fprintf(w, "  number\t%s\n", clean(l.Number))
		}
		for _, c := range l.Late {
			fmt.Fprintf(w, "  late\t%s, due %s\n", c.Name, c.Due)
		}
		if len(l.SeeFirst) > 0 {
			fmt.Fprintf(w, "  see first\t%s\n", strings.Join(l.SeeFirst, ", "))
		}
		for _, h := range l.History {
			fmt.Fprintf(w, "  %s\t%s by %s%s", h.Time, clean(h.Move), h.Author.Name, by(h.Staff))
			if h.Why != "" {
				fmt.Fprintf(w, " (%s: %s)", h.Verdict, clean(h.Why))
			}
			fmt.Fprintln(w)
			printSaid(w, h.Body)
		}
		if len(l.Moves) > 0 {
			fmt.Fprintf(w, "  you may\t%s\n", strings.Join(l.Moves, ", "))
		}
	}
	var parts bytes.Buffer
	if json.Indent(&parts, v.Parts, "", "  ") == nil {
		fmt.Fprintf(w, "\nread here: %s\n%s\n", strings.Join(v.Reads, ", "), clean(parts.String()))
	}
}

// by is the pseudonym of who wrote it, where there is one.
func by(staff string) string {
	if staff == "" {
		return ""
	}
	return " (" + clean(staff) + ")"
}

// printClocks prints by when the recipients are asked to act.
func (v referralView) printClocks(w io.Writer) {
	var p struct {
		Summary struct {
			Urgency map[string]any `json:"urgency"`
		} `json:"summary"`
	}
	if json.Unmarshal(v.Parts, &p) != nil {
		return
	}
	for _, c := range [][2]string{{"acknowledge_by", "acknowledge by"}, {"decide_by", "decide by"}, {"act_by", "first contact by"}, {"report_by", "report by"},
		{"legal_due", "due by law"}, {"expiry", "expires"}} {
		if due, ok := p.Summary.Urgency[c[0]].(string); ok && due != "" {
			fmt.Fprintf(w, "%s\t%s\n", c[1], due)
		}
	}
}

// fieldCodes are the fields of moves that hold codes.
var fieldCodes = map[string]vocab.List{"reason": vocab.DeclineReason, "services": vocab.Service, "outcome": vocab.Outcome, "why_not": vocab.WhyNot, "number_kind": vocab.NumberKind}

// printSaid prints what a move says: a line for each field, in the order of
// its body. What the leg itself shows is left out.
func printSaid(w io.Writer, body json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return
	}
	for d.More() {
		name, err := d.Token()
		var v any
		if err != nil || d.Decode(&v) != nil {
			return
		}
		field, _ := name.(string)
		if field == "referral" || field == "leg" {
			continue
		}
		text := clean(inWords(field, v))
		fmt.Fprintf(w, "    %s\t%s\n", clean(strings.ReplaceAll(field, "_", " ")), strings.ReplaceAll(text, "\n", "\n    \t"))
	}
}

// inWords writes a field's value: a code with its meaning, a list with commas.
func inWords(field string, v any) string {
	switch v := v.(type) {
	case []any:
		var all []string
		for _, x := range v {
			all = append(all, inWords(field, x))
		}
		return strings.Join(all, ", ")
	case string:
		if l, ok := fieldCodes[field]; ok && vocab.Known(l, v) {
			return v + " (" + vocab.Label(l, v, "en") + ")"
		}
		return v
	}
	b, _ := json.Marshal(v)
	return string(b)
}
