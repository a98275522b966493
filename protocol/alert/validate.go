package alert

import (
	"fmt"
	"strings"
)

// Validate holds the rules of CAP 1.2 that an Alert can break: those of the
// schema's types and of the standard's text. The error is a [*Finding], the
// first one in the order of the document.
func (a *Alert) Validate() error {
	v := &validator{}
	v.alert(a)
	return v.err
}

// validator keeps the first error.
type validator struct{ err error }

func (v *validator) fail(rule Rule, where, text string) {
	if v.err == nil {
		v.err = &Finding{rule, where, text}
	}
}

func (v *validator) check(rule Rule, where string, err error) {
	if err != nil {
		v.fail(rule, where, err.Error())
	}
}

func (v *validator) text(where string, texts ...string) {
	for _, s := range texts {
		v.check(RuleUTF8, where, checkText(s))
	}
}

func (v *validator) size(where string, lengths ...int) {
	for _, n := range lengths {
		if n > MaxList {
			v.fail(RuleSize, where, "a list has more than 4096 items")
		}
	}
}

func (v *validator) time(where string, d DateTime, required bool) {
	if required || d != "" {
		_, err := ParseDateTime(string(d))
		v.check(RuleDateTime, where, err)
	}
}

func code[T ~string](v *validator, where string, list []T, value T) {
	if !oneOf(list, value) {
		v.fail(RuleCode, where, fmt.Sprintf("%q is not one of %s", clip(string(value)), join(list)))
	}
}

func join[T ~string](list []T) string {
	words := make([]string, len(list))
	for n, w := range list {
		words[n] = string(w)
	}
	return strings.Join(words, ", ")
}

func (v *validator) alert(a *Alert) {
	const at = "alert/"
	v.text("alert", a.Identifier, a.Sender, a.Source, a.Restriction, a.Note)
	v.text("alert", a.Addresses...)
	v.text("alert", a.Codes...)
	v.text("alert", a.Incidents...)
	v.size("alert", len(a.Addresses), len(a.Codes), len(a.References), len(a.Incidents), len(a.Infos))
	v.check(RuleIdentifier, at+"identifier", checkIdentifier(a.Identifier))
	v.check(RuleIdentifier, at+"sender", checkIdentifier(a.Sender))
	v.time(at+"sent", a.Sent, true)
	code(v, at+"status", statuses, a.Status)
	code(v, at+"msgType", msgTypes, a.MsgType)
	code(v, at+"scope", scopes, a.Scope)
	if a.Scope == ScopeRestricted && blank(a.Restriction) {
		v.fail(RuleRestriction, at+"restriction", "scope Restricted requires a restriction")
	}
	if a.Scope == ScopePrivate && len(a.Addresses) == 0 {
		v.fail(RuleAddresses, at+"addresses", "scope Private requires addresses")
	}
	for _, s := range a.Addresses {
		v.check(RuleList, at+"addresses", checkItem(s))
	}
	for _, s := range a.Codes {
		if s == "" {
			v.fail(RuleEmpty, at+"code", "a code is empty")
		}
	}
	if a.MsgType != MsgAlert && len(a.References) == 0 {
		v.fail(RuleReferences, at+"references", fmt.Sprintf("msgType %s requires references to the messages it is about", clip(string(a.MsgType))))
	}
	for _, r := range a.References {
		v.text(at+"references", r.Sender, r.Identifier)
		v.check(RuleReferences, at+"references", checkIdentifier(r.Sender))
		v.check(RuleReferences, at+"references", checkIdentifier(r.Identifier))
		if !r.Sent.valid() {
			v.fail(RuleReferences, at+"references", fmt.Sprintf("%q is not a time of the form 2026-11-23T15:04:05+05:30", clip(string(r.Sent))))
		}
	}
	for _, s := range a.Incidents {
		v.check(RuleList, at+"incidents", checkItem(s))
	}
	for n := range a.Infos {
		v.info(fmt.Sprintf("alert/info[%d]", n+1), &a.Infos[n])
	}
}

func (v *validator) info(at string, i *Info) {
	v.text(at, i.Event, i.Audience, i.SenderName, i.Headline, i.Description, i.Instruction, i.Web, i.Contact)
	v.size(at, len(i.Categories), len(i.ResponseTypes), len(i.EventCodes), len(i.Parameters), len(i.Resources), len(i.Areas))
	if i.Language != "" {
		v.check(RuleLanguage, at+"/language", checkLanguage(i.Language))
	}
	if len(i.Categories) == 0 {
		v.fail(RuleElement, at, "element category is missing, or stands in the wrong place")
	}
	for _, c := range i.Categories {
		code(v, at+"/category", dangers, c)
	}
	for _, c := range i.ResponseTypes {
		code(v, at+"/responseType", responseTypes, c)
	}
	code(v, at+"/urgency", urgencies, i.Urgency)
	code(v, at+"/severity", severities, i.Severity)
	code(v, at+"/certainty", certainties, i.Certainty)
	v.pairs(at+"/eventCode", i.EventCodes)
	v.time(at+"/effective", i.Effective, false)
	v.time(at+"/onset", i.Onset, false)
	v.time(at+"/expires", i.Expires, false)
	v.uri(at+"/web", i.Web)
	v.pairs(at+"/parameter", i.Parameters)
	for n := range i.Resources {
		v.resource(fmt.Sprintf("%s/resource[%d]", at, n+1), &i.Resources[n])
	}
	for n := range i.Areas {
		v.area(fmt.Sprintf("%s/area[%d]", at, n+1), &i.Areas[n])
	}
}

func (v *validator) pairs(at string, list []Pair) {
	for _, p := range list {
		v.text(at, p.Name, p.Value)
	}
}

// uri holds the white space of xs:anyURI; that it is absolute is advice.
func (v *validator) uri(at, s string) {
	if strings.Trim(s, blanks) != s {
		v.fail(RuleURI, at, "white space stands around the URI")
	}
}

func (v *validator) resource(at string, r *Resource) {
	v.text(at, r.Desc, r.MimeType, r.URI, r.Digest)
	if r.Size != nil && *r.Size < 0 {
		v.fail(RuleNumber, at+"/size", "the size is not a whole number of bytes")
	}
	v.uri(at+"/uri", r.URI)
}

func (v *validator) area(at string, a *Area) {
	v.text(at, a.Desc)
	v.size(at, len(a.Polygons), len(a.Circles), len(a.Geocodes))
	for n, s := range a.Polygons {
		v.check(RulePolygon, fmt.Sprintf("%s/polygon[%d]", at, n+1), checkPolygon(s))
	}
	for n, s := range a.Circles {
		v.check(RuleCircle, fmt.Sprintf("%s/circle[%d]", at, n+1), checkCircle(s))
	}
	v.pairs(at+"/geocode", a.Geocodes)
	if _, ok := decimal(a.Altitude); a.Altitude != "" && !ok {
		v.fail(RuleNumber, at+"/altitude", "the altitude is not a decimal number of feet")
	}
	if _, ok := decimal(a.Ceiling); a.Ceiling != "" && !ok {
		v.fail(RuleNumber, at+"/ceiling", "the ceiling is not a decimal number of feet")
	}
	if a.Ceiling != "" && a.Altitude == "" {
		v.fail(RuleCeiling, at+"/ceiling", "a ceiling is given without an altitude")
	}
}

// advice returns what the standard recommends, or what its text leaves open,
// in a valid alert.
func (a *Alert) advice() (list []Finding) {
	add := func(rule Rule, where, text string) { list = append(list, Finding{rule, where, text}) }
	if a.Scope != ScopeRestricted && a.Restriction != "" {
		add(RuleRestriction, "alert/restriction", "a restriction belongs to scope Restricted")
	}
	if a.Note == "" && a.Status == StatusExercise {
		add(RuleNote, "alert/note", "an exercise should be named in the note")
	}
	if a.Note == "" && a.MsgType == MsgError {
		add(RuleNote, "alert/note", "an error should be explained in the note")
	}
	utc := func(where string, d DateTime) {
		if strings.HasSuffix(string(d), "+00:00") {
			add(RuleDateTime, where, "UTC is written -00:00 in CAP")
		}
	}
	utc("alert/sent", a.Sent)
	for n := range a.Infos {
		at, i := fmt.Sprintf("alert/info[%d]", n+1), &a.Infos[n]
		utc(at+"/effective", i.Effective)
		utc(at+"/onset", i.Onset)
		utc(at+"/expires", i.Expires)
		if i.Expires != "" && i.Expires.Unix() < a.Sent.Unix() {
			add(RuleExpires, at+"/expires", "the alert expired before it was sent")
		}
		if i.Web != "" && !absolute(i.Web) {
			add(RuleURI, at+"/web", "the address is not an absolute URI")
		}
		for m := range i.Resources {
			at, r := fmt.Sprintf("%s/resource[%d]", at, m+1), &i.Resources[m]
			if r.URI != "" && !r.Embedded && !absolute(r.URI) {
				add(RuleURI, at+"/uri", "the address is not an absolute URI")
			}
			if r.Digest != "" && (len(r.Digest) != 40 || strings.Trim(strings.ToLower(r.Digest), "0123456789abcdef") != "") {
				add(RuleDigest, at+"/digest", "the digest is not SHA-1 in hexadecimal")
			}
		}
	}
	return list
}
