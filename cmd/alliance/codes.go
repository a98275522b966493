package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// codeList is a list of codes as it is printed; the list of lists has no codes.
type codeList struct {
	List   string     `json:"list"`
	Since  string     `json:"since"`
	Source string     `json:"source"`
	Count  int        `json:"count"`
	Codes  []codeLine `json:"codes,omitempty"`
}

type codeLine struct {
	Code  string `json:"code"`
	Label string `json:"label"`
	Note  string `json:"note,omitempty"` // what it means stands in the list's source
}

func (p *program) codes() *cobra.Command {
	return &cobra.Command{
		Use:   "codes [LIST]",
		Short: "print the codes that referrals and alerts are written with",
		Long: `Prints the codes of one list with their meaning, or, without one, the names of the
lists. A fault of a referral names the list that its field takes a code of. It needs
no node.`,
		Example: "  alliance codes\n  alliance codes service\n  alliance codes decline-reason --json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 2 {
				return nil
			}
			return exactly("LIST")(c, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return p.lists()
			}
			l, err := listNamed(args[0])
			if err != nil {
				return err
			}
			v := listed(l)
			for _, c := range vocab.Codes(l) {
				v.Codes = append(v.Codes, codeLine{c.Code, c.Label, c.Attr})
			}
			return p.show(v, func(w io.Writer) {
				for _, c := range v.Codes {
					fmt.Fprintf(w, "%s\t%s\t%s\n", c.Code, c.Label, c.Note)
				}
				p.say("list %s of %s: %s", v.List, v.Since, v.Source)
			})
		},
	}
}

func (p *program) lists() error {
	var all []codeList
	for _, l := range vocab.Lists() {
		all = append(all, listed(l))
	}
	return p.show(all, func(w io.Writer) {
		for _, v := range all {
			fmt.Fprintf(w, "%s\t%d codes\t%s\n", v.List, v.Count, v.Source)
		}
		p.say("'alliance codes LIST' prints one")
	})
}

func listed(l vocab.List) codeList {
	s := vocab.SourceOf(l)
	return codeList{List: string(l), Since: s.Since, Source: s.Source, Count: len(vocab.Codes(l))}
}

// listNamed finds a list by its name, or by the name of the field that takes
// its codes: services, why_not.
func listNamed(name string) (vocab.List, error) {
	want := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	var near []string
	for _, l := range vocab.Lists() {
		if s := string(l); s == want || s+"s" == want {
			return l, nil
		} else if strings.Contains(s, strings.TrimSuffix(want, "s")) {
			near = append(near, s)
		}
	}
	err := api.Errorf(api.NotFound, "there is no list of codes called %q", name)
	if len(near) > 0 {
		return "", hint(err, "did you mean %s?", strings.Join(near, " or "))
	}
	return "", hint(err, "'alliance codes' prints their names")
}

// codesOf says where a list's codes are to be read.
func codesOf(l vocab.List) string { return fmt.Sprintf("'alliance codes %s' prints them", l) }
