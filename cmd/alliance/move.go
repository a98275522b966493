package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/protocol/referral"
)

// field is one flag of a move and the name in JSON that it fills.
type field struct {
	flag, json string
	kind       byte // 's' text, 't' time, 'l' list
	usage      string
}

// moveSpec is a move as a command.
type moveSpec struct {
	word, move, short, example string
	fields                     []field
}

var moves = []moveSpec{
	{"ack", "acknowledge", "say that a person saw it", "--desk +91-80-0000-0000 --decide-by +24h", []field{
		{"desk", "desk", 's', "whom to call"},
		{"decide-by", "decide_by", 't', "when it will be decided"},
	}},
	{"accept", "accept", "take it on, or a part of it", "--unit desk-2 --desk +91-80-0000-0000 --first-contact-by +24h", []field{
		{"unit", "unit", 's', "who will act"},
		{"desk", "desk", 's', "whom to call"},
		{"first-contact-by", "first_contact_by", 't', "when the first contact will be made"},
		{"service", "services", 'l', "a service that is accepted, once for each; all that was asked where none is given"},
		{"rest-reason", "rest_reason", 's', "why not the others"},
		{"number", "number", 's', "entry or FIR number, where police have one already"},
		{"number-kind", "number_kind", 's', "kind of that number: 'alliance codes number-kind' prints them"},
	}},
	{"decline", "decline", "do not take it on", "--reason no-capacity --instead none-known", []field{
		{"reason", "reason", 's', "a code that 'alliance codes decline-reason' prints"},
		{"text", "text", 's', "the reason in words; needed with the reason other"},
		{"instead", "instead", 's', "another body that could help, or none-known"},
		{"instead-organisation", "instead_organisation", 's', "that body's ID, where it is a member"},
		{"passed-to", "passed_to", 's', "the station that a zero FIR was passed to"},
		{"number", "number", 's', "the zero FIR's number"},
	}},
	{"start", "start", "say that work began", "--contact-at 2026-11-23T15:04:05+05:30", []field{
		{"contact-at", "contact_at", 't', "when the first contact was made"},
		{"note", "note", 's', "a note"},
	}},
	{"complete", "complete", "say that this organisation has done its part", "--outcome successful --service psychosocial", []field{
		{"outcome", "outcome", 's', "successful, partly or not"},
		{"service", "services", 'l', "a service that was given, once for each"},
		{"why-not", "why_not", 's', "a code that 'alliance codes why-not' prints, unless all was successful"},
		{"text", "text", 's', "more in words"},
		{"number", "number", 's', "entry or FIR number; needed for a police report"},
		{"number-kind", "number_kind", 's', "kind of that number"},
		{"order", "order", 's', "reference of a court's or committee's order"},
		{"child-view", "child_view", 's', "what the child says"},
	}},
	{"confirm", "confirm", "agree, as the sender, that it is done; the leg is closed", `--leg "Example Home"`, []field{
		{"note", "note", 's', "a note"},
	}},
	{"dispute", "dispute", "say, as the sender, what is missing; the recipient goes on", `--missing "the report's number"`, []field{
		{"missing", "missing", 's', "what is missing"},
	}},
	{"close", "close", "end, as the sender, a leg that was not served", `--next-step "another home is asked"`, []field{
		{"next-step", "next_step", 's', "what happens next for the child"},
	}},
	{"message", "message", "send a word to the leg's other side", "--file message.json", []field{
		{"text", "text", 's', "what to say"},
	}},
}

// flagged says beside each fault of a field which flag fills it.
func (m moveSpec) flagged(err error) error {
	var e *api.Error
	if !errors.As(err, &e) {
		return err
	}
	for i, fault := range e.Faults {
		name, _, _ := strings.Cut(fault, " ")
		for _, f := range m.fields {
			if name == m.move+"."+f.json {
				e.Faults[i] += " [--" + f.flag + "]"
			}
		}
	}
	return err
}

func (p *program) referralMove(m moveSpec) *cobra.Command {
	var leg, staff, file string
	texts, lists := map[string]*string{}, map[string]*[]string{}
	c := &cobra.Command{
		Use: m.word + " ID", Short: m.short, Example: "  alliance referral " + m.word + " 7K4M " + m.example, Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			say := map[string]any{}
			if file != "" {
				b, err := p.input(file, referral.MaxBody)
				if err != nil {
					return fmt.Errorf("%s referral: %w; nothing was sent", m.move, err)
				}
				if json.Unmarshal(b, &say) != nil {
					return usage("%s referral: %s holds no JSON object, or is cut off; nothing was sent", m.move, file)
				}
			}
			for _, f := range m.fields {
				if !c.Flags().Changed(f.flag) {
					continue
				}
				switch f.kind {
				case 'l':
					say[f.json] = *lists[f.flag]
				case 't':
					t, err := when(*texts[f.flag], time.Now())
					if err != nil {
						return err
					}
					say[f.json] = t
				default:
					say[f.json] = *texts[f.flag]
				}
			}
			r, err := ask[casebook.Result](c.Context(), p, "POST", "/referrals/"+url.PathEscape(args[0])+"/moves/"+m.move, struct {
				Leg   string         `json:"leg,omitempty"`
				Staff string         `json:"staff,omitempty"`
				Say   map[string]any `json:"say"`
			}{leg, staff, say})
			if err != nil {
				return m.flagged(err)
			}
			return p.moved(r)
		},
	}
	if m.word != m.move {
		c.Aliases = []string{m.move}
	}
	f := c.Flags()
	for _, x := range m.fields {
		if x.kind == 'l' {
			lists[x.flag] = f.StringArray(x.flag, nil, x.usage)
		} else {
			texts[x.flag] = f.String(x.flag, "", x.usage)
		}
	}
	f.StringVar(&leg, "leg", "", "the recipient whose leg it is, where there are several")
	f.StringVar(&file, "file", "", "take what the move says from this JSON file; - is stdin; flags count over it")
	staffFlag(c, &staff)
	return c
}
