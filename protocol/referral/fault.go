package referral

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/national-alliance/alliance/protocol/vocab"
)

// Fault is one rule that was broken. It names the field and the rule, and
// never repeats what was written in the field.
type Fault struct {
	Field   string `json:"field"` // "summary.child.age_band", "case.done[0].service"
	Rule    Rule   `json:"rule"`
	Message string `json:"message"` // for people: what to do
}

// Faults are all faults that were found, as one error.
type Faults []Fault

func (f Faults) Error() string {
	var b strings.Builder
	for i, x := range f {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s (%s)", x.Field, x.Message, x.Rule)
	}
	return b.String()
}

func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Has reports whether a rule was broken at a field.
func (f Faults) Has(field string, rule Rule) bool {
	for _, x := range f {
		if x.Field == field && x.Rule == rule {
			return true
		}
	}
	return false
}

// Rule names a rule of [Validate], [ValidateAddressing] or [Check].
type Rule string

// MaxList bounds every list of a part or body.
const MaxList = 64

// tag is a v tag, read.
type tag struct {
	req, nyk, own, split bool
	list                 vocab.List
	text                 int
}

func parseTag(f reflect.StructField) tag {
	t := tag{text: 200}
	for w := range strings.SplitSeq(f.Tag.Get("v"), ",") {
		switch name, arg, _ := strings.Cut(w, ":"); name {
		case "":
		case "req":
			t.req = true
		case "nyk":
			t.nyk = true
		case "own":
			t.own = true
		case "split":
			t.split = true
		case "list":
			t.list = vocab.List(arg)
		case "text":
			n, err := strconv.Atoi(arg)
			if err != nil {
				panic("referral: bad tag on " + f.Name)
			}
			t.text = n
		default:
			panic("referral: bad tag on " + f.Name)
		}
	}
	return t
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// checker walks a part or a body by its tags and collects faults and texts.
type checker struct {
	faults   Faults
	texts    []text
	given    bool // look only whether what is required is there
	anyCodes bool // written with a newer vocabulary: unknown codes are kept
}

type text struct{ path, s string }

func (c *checker) fault(field string, rule Rule, message string) {
	c.faults = append(c.faults, Fault{field, rule, message})
}

func (c *checker) walk(path string, v reflect.Value, t tag) {
	missing := func() {
		if t.req {
			c.fault(path, RuleRequired, "must be given")
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			missing()
			return
		}
		c.walk(path, v.Elem(), t)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Anonymous {
				continue // About: checked by whoever knows the leg
			}
			c.walk(path+"."+jsonName(f), v.Field(i), parseTag(f))
		}
	case reflect.Slice:
		if v.Len() == 0 {
			missing()
		}
		if c.given {
			return
		}
		if v.Len() > MaxList {
			c.fault(path, RuleListLength, fmt.Sprintf("at most %d are allowed", MaxList))
			return
		}
		for i := range v.Len() {
			c.walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i), tag{req: true, nyk: t.nyk, list: t.list, text: t.text})
		}
	case reflect.Array:
		if v.IsZero() {
			missing()
		}
	case reflect.String:
		if v.Len() == 0 {
			missing()
		} else if !c.given {
			c.str(path, v.String(), t)
		}
	case reflect.Int64:
		if v.Int() == 0 {
			missing()
		} else if n := Time(v.Int()); !c.given && (n < 0 || n > maxTime) {
			c.fault(path, RuleTime, "is not a time between 1970 and 9999")
		}
	}
}

func (c *checker) str(path, s string, t tag) {
	if s == NotYetKnown && (t.nyk || !t.req && t.list == "") {
		return
	}
	switch {
	case s == NotYetKnown:
		c.fault(path, RuleKnownAnswer, "not-yet-known is no answer here: only what the child or police alone can answer may stay open")
	case utf8.RuneCountInString(s) > t.text:
		c.fault(path, RuleTextLength, fmt.Sprintf("at most %d characters are allowed", t.text))
	case strings.TrimSpace(s) == "" && t.req:
		c.fault(path, RuleRequired, "must be given")
	case t.list != "" && !vocab.Known(t.list, s):
		if !c.anyCodes {
			c.fault(path, RuleKnownCode, "is no code of the list "+string(t.list))
		}
	case strings.ContainsFunc(s, unprintable):
		c.fault(path, RulePrintable, "holds control characters or marks that reverse text")
	}
	if t.list == "" {
		c.texts = append(c.texts, text{path, s})
	}
}

// unprintable finds control characters but for line breaks and tabs, and the
// marks that turn the order of text around. Joiners stay: Indian scripts use
// them.
func unprintable(r rune) bool {
	switch {
	case r == '\n', r == '\t', r == '\r':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}
