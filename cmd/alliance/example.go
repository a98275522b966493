package main

import (
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

//go:embed examples/alert.xml
var exampleAlert string

//go:embed examples/referral.json
var exampleReferral string

// exampleDays is how long an example of an alert is in force.
const exampleDays = 7

func (p *program) alertExample() *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "print an invented alert of now, to practise with or to change",
		Long: `Prints an invented CAP 1.2 alert, an exercise, that is in force from now on for a
week: to practise with, or to write one's own from. It needs no node. The codes of
its category stand in 'alliance codes alert-category'.`,
		Example: "  alliance alert example > alert.xml\n  alliance alert issue alert.xml --to members",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			cap, err := freshAlert(time.Now())
			if err != nil {
				return err
			}
			return p.show(map[string]string{"cap": cap}, func(w io.Writer) { io.WriteString(w, cap) })
		},
	}
}

// freshAlert is the example as of now, in Indian time, under an identifier of
// its own.
func freshAlert(now time.Time) (string, error) {
	const india = 330 // minutes
	sent, err := alert.DateTimeOf(now.Unix(), india)
	if err != nil {
		return "", err
	}
	expires, err := alert.DateTimeOf(now.Unix()+exampleDays*24*3600, india)
	if err != nil {
		return "", err
	}
	id := "EXERCISE-" + now.UTC().Format("20060102") + "-" + rand.Text()[:6]
	return strings.NewReplacer("IDENTIFIER", id, "SENT", fmt.Sprint(sent), "EXPIRES", fmt.Sprint(expires)).Replace(exampleAlert), nil
}

func (p *program) referralExample() *cobra.Command {
	var to []string
	c := &cobra.Command{
		Use:   "example",
		Short: "print an invented referral, to practise with or to change",
		Long: `Prints the file of an invented referral, as 'alliance referral send' takes it: to
practise with, or to write one's own from. It needs no node. The codes in it stand
in the lists that 'alliance codes' names. The parts, beside the summary and the
case, are read by the recipients that name them.`,
		Example: "  alliance referral example --to \"Example Home\" > case.json\n  alliance referral send case.json --preview",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			draft, err := exampleTo(to)
			if err != nil {
				return err
			}
			return p.show(json.RawMessage(draft), func(w io.Writer) { io.WriteString(w, draft) })
		},
	}
	c.Flags().StringArrayVar(&to, "to", []string{"Example Home"}, "a recipient, by name or ID; once for each")
	return c
}

func exampleTo(names []string) (string, error) {
	var to []string
	for _, n := range names {
		b, err := json.Marshal(referral.DraftTo{Organisation: n, Services: []string{"psychosocial"}, Parts: []string{"identity"}})
		if err != nil {
			return "", err
		}
		to = append(to, "    "+string(b))
	}
	return strings.Replace(exampleReferral, "RECIPIENTS", "[\n"+strings.Join(to, ",\n")+"\n  ]", 1), nil
}
