package referral

import (
	"reflect"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol/vocab"
)

// mustGive returns what an event of a leg has to give and does not. It looks
// neither at codes nor at texts, so that nodes of different age decide alike;
// [Check] looks at those before anything is sent.
func mustGive(b Body, asked To) Faults {
	c := &checker{given: true}
	c.body(b, asked)
	return c.faults
}

func (c *checker) body(b Body, asked To) {
	name := strings.TrimPrefix(string(b.Kind()), "referral/")
	c.walk(name, reflect.ValueOf(b), tag{})
	if m, ok := moveOf(b.Kind()); ok && m.give != nil {
		m.give(c, b, asked, func(f string) string { return name + "." + f })
	}
}

func (c *checker) accept(b *Accept, asked To, field func(string) string) {
	for _, s := range b.Services {
		if !slices.Contains(asked.Services, s) {
			c.fault(field("services"), RulePart, "accepts a service that was not asked for")
			break
		}
	}
	if len(b.Services) > 0 && b.RestReason == "" && !covers(b.Services, asked.Services) {
		c.fault(field("rest_reason"), RulePart, "says why the other services are not accepted")
	}
}

func (c *checker) complete(b *Complete, asked To, field func(string) string) {
	if b.Outcome != "successful" && b.WhyNot == "" {
		c.fault(field("why_not"), RuleWhyNot, "says why not all was successful")
	}
	if b.Outcome != "not" && len(b.Services) == 0 {
		c.fault(field("services"), RuleRequired, "names the services that were given")
	}
	reported := slices.Contains(b.Services, "police-report") || b.Outcome == "successful" && slices.Contains(asked.Services, "police-report")
	if reported && b.Number == "" {
		c.fault(field("number"), RuleReported, "a police report is given with its entry or FIR number: without one nothing counts as reported")
	}
}

func (c *checker) decline(b *Decline, asked To, field func(string) string) {
	police := slices.Contains(asked.Services, "police-report")
	if police && vocab.Attr(vocab.DeclineReason, b.Reason) != "police" {
		c.fault(field("reason"), RulePoliceDecline, "police asked for a police report decline only as duplicate, or as recorded as zero FIR and passed on (BNSS s.173, POCSO Act ss.19 and 21)")
	}
	if b.Reason == "zero-fir-passed-on" {
		if b.Number == "" {
			c.fault(field("number"), RuleReported, "gives the zero FIR's number")
		}
		if b.PassedTo == "" {
			c.fault(field("passed_to"), RuleRequired, "names the station it was passed to")
		}
	}
	if vocab.Attr(vocab.DeclineReason, b.Reason) == "suggest" && b.Instead == "" && b.InsteadOrg.IsZero() {
		c.fault(field("instead"), RuleInstead, "names another body that could help, or none-known")
	}
	if b.Reason == "other" && b.Text == "" {
		c.fault(field("text"), RuleOther, "says the reason")
	}
}

func covers(some, all []string) bool {
	for _, s := range all {
		if !slices.Contains(some, s) {
			return false
		}
	}
	return true
}

// validateBody adds what is checked before an event of a leg is sent.
func validateBody(b Body, asked To) Faults {
	c := &checker{}
	c.body(b, asked)
	for _, t := range c.texts {
		if FileIn(t.s) != "" {
			c.fault(t.path, RuleNoFile, noFile)
		}
		if web.MatchString(t.s) {
			c.fault(t.path, RuleURL, "web addresses belong in the evidence part of a referral, which police and hotlines read")
		}
	}
	return c.faults
}
