package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/protocol/referral"
)

func (p *program) referral() *cobra.Command {
	c := &cobra.Command{
		Use:   "referral",
		Short: "send referrals, and move them",
		Long: `A referral is named by its code, as read over the phone, or by its ID, or enough of
the beginning of either. Moves are made in a leg: by the recipient in its own, by
the sender in the recipient's that --leg names, where there are several.

What a move must say is given by flags, or as a JSON object in a file (--file; - is
stdin), which keeps it out of the shell's history. Times are such as
2026-11-23T15:04:05+05:30, or +48h from now.`,
	}
	c.AddCommand(p.referralExample(), p.referralSend(), p.referralList(), p.referralShow(), p.referralAmend())
	for _, m := range moves {
		c.AddCommand(p.referralMove(m))
	}
	return c
}

func (p *program) referralSend() *cobra.Command {
	var staff string
	var preview bool
	c := &cobra.Command{
		Use:   "send FILE.json",
		Short: "send a referral from a file",
		Long: `Sends a referral. The file is JSON: recipients with the parts that each reads beside
the summary and the case, and the four parts: summary, case, identity, evidence.
What is missing or breaks a rule is named, and then nothing is sent. Images, video,
audio and archives never travel.`,
		Example: "  alliance referral send case.json --preview\n  alliance referral send case.json --staff desk-2",
		Args:    exactly("FILE.json"),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := p.input(args[0], referral.MaxDraft)
			if err != nil {
				return fmt.Errorf("send referral: %w; nothing was sent", err)
			}
			if !json.Valid(b) {
				return usage("send referral: %s is no JSON, or is cut off; nothing was sent", args[0])
			}
			r, err := ask[casebook.Result](c.Context(), p, "POST", "/referrals", struct {
				Draft   json.RawMessage `json:"draft"`
				Staff   string          `json:"staff,omitempty"`
				Preview bool            `json:"preview,omitempty"`
			}{b, staff, preview})
			if err != nil {
				return err
			}
			return p.moved(r)
		},
	}
	c.Flags().BoolVar(&preview, "preview", false, "check it, say who would read which part, and send nothing")
	staffFlag(c, &staff)
	return c
}

func staffFlag(c *cobra.Command, staff *string) {
	c.Flags().StringVar(staff, "staff", "", "your pseudonym in the organisation; never a name")
}

// input reads a file, or stdin for "-".
func (p *program) input(path string, max int64) ([]byte, error) {
	if path != "-" {
		return readFile(path, max)
	}
	b, err := io.ReadAll(io.LimitReader(p.in, max+1))
	if err == nil && int64(len(b)) > max {
		err = usage("stdin holds more than the %d bytes that are allowed; nothing of it was taken", max)
	}
	return b, err
}

// moved prints what became of a referral or a move.
func (p *program) moved(r casebook.Result) error {
	return p.show(r, func(w io.Writer) {
		fmt.Fprintln(w, clean(r.Text))
		if !r.Referral.IsZero() {
			fmt.Fprintf(w, "id\t%s\n", r.Referral)
		}
		if r.Leg != nil && r.State != "" {
			fmt.Fprintf(w, "%s\t%s\n", r.Leg.Name, r.State)
		}
		for _, part := range r.Parts {
			fmt.Fprintf(w, "%s\tread by %s\n", part.Part, dash(names(part.Readers)))
		}
		for _, n := range r.Notices {
			fmt.Fprintf(w, "look at this\t%s\n", clean(n))
		}
	})
}

func names(list []casebook.Organisation) string {
	var out []string
	for _, o := range list {
		n := o.Name
		if o.Status != "" {
			n += " (" + o.Status + ")"
		}
		out = append(out, n)
	}
	return strings.Join(out, ", ")
}

func (p *program) referralList() *cobra.Command {
	var state, after string
	var open bool
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "list referrals, the newest change first", Example: "  alliance referral list --open", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			set(q, "state", state)
			set(q, "after", after)
			if open {
				q.Set("open", "true")
			}
			if limit != 0 {
				q.Set("limit", strconv.Itoa(limit))
			}
			l, err := ask[casebook.ReferralList](c.Context(), p, "GET", "/referrals?"+q.Encode(), nil)
			if err != nil {
				return err
			}
			return p.show(l, func(w io.Writer) {
				for _, r := range l.Items {
					var legs []string
					for _, x := range r.Legs {
						s := x.Organisation.Name + ": " + string(x.State)
						if x.Overdue {
							s += " (late)"
						}
						legs = append(legs, s)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\tfrom %s\t%s\n", r.Code, r.ID.Short(), r.Direction, clean(r.Priority), r.Sender.Name, strings.Join(legs, "; "))
				}
				more(w, l.Total, len(l.Items), l.Next)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&state, "state", "", "some leg is in this state, such as sent, accepted, completed")
	f.BoolVar(&open, "open", false, "some leg is not closed")
	pageFlags(f, &limit, &after)
	return c
}

func pageFlags(f *pflag.FlagSet, limit *int, after *string) {
	f.IntVar(limit, "limit", 0, "how many at most")
	f.StringVar(after, "after", "", "go on where a list ended, with what it said")
}

func more(w io.Writer, total, shown int, next string) {
	if next != "" {
		fmt.Fprintf(w, "%d of %d; go on with --after %s\n", shown, total, next)
	}
}

func set(q url.Values, key, value string) {
	if value != "" {
		q.Set(key, value)
	}
}

func (p *program) referralAmend() *cobra.Command {
	var reason, staff string
	c := &cobra.Command{
		Use:   "amend ID FILE.json --reason TEXT",
		Short: "change a referral that this organisation sent",
		Long: `Changes a referral at all its addressees. The file is a JSON merge patch (RFC 7396) of
the four parts: {"case": {"safety": {"do_not": ["call-home"]}}}. Lists are replaced
whole; null empties a field. Recipients, the child and the priority do not change.`,
		Example: `  alliance referral amend 7K4M change.json --reason "new safe number"`,
		Args:    exactly("ID", "FILE.json"),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := p.input(args[1], referral.MaxDraft)
			if err != nil {
				return fmt.Errorf("amend referral: %w; nothing was sent", err)
			}
			if !json.Valid(b) {
				return usage("amend referral: %s is no JSON, or is cut off; nothing was sent", args[1])
			}
			r, err := ask[casebook.Result](c.Context(), p, "POST", "/referrals/"+url.PathEscape(args[0])+"/amend", struct {
				Changes json.RawMessage `json:"changes"`
				Reason  string          `json:"reason"`
				Staff   string          `json:"staff,omitempty"`
			}{b, reason, staff})
			if err != nil {
				return err
			}
			return p.moved(r)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why it changes")
	staffFlag(c, &staff)
	return c
}

// raw prints the node's own JSON on one line.
func (p *program) raw(b []byte, err error) error {
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, b); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	_, err = fmt.Fprintln(p.out, line.String())
	return err
}

// clean makes a text that somebody else wrote harmless for a terminal: no
// control, no change of writing direction.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == 0x200c, r == 0x200d: // the joiners that Indic scripts need
			return r
		case !strconv.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// when reads a time: RFC 3339, or a duration from now.
func when(s string, now time.Time) (string, error) {
	if ago, ok := strings.CutPrefix(s, "+"); ok {
		d, err := time.ParseDuration(ago)
		if err != nil {
			return "", usage("%q is no time: write +48h, or 2026-11-23T15:04:05+05:30", s)
		}
		return now.Add(d).Truncate(time.Second).Format(time.RFC3339), nil
	}
	var t referral.Time
	if err := t.UnmarshalText([]byte(s)); err != nil {
		return "", usage("%q is no time: write +48h, or 2026-11-23T15:04:05+05:30", s)
	}
	return s, nil
}
