package alert

import "strings"

// Rule names one rule of CAP or of the alliance's profile. People see it in
// errors and look it up; the names never change.
type Rule string

// The rules of the document's form.
const (
	RuleSize       Rule = "size"        // at most MaxCAP bytes, MaxParts elements, lists of MaxList
	RuleDepth      Rule = "depth"       // at most MaxDepth levels
	RuleUTF8       Rule = "utf-8"       // UTF-8, and characters that XML allows
	RuleWellFormed Rule = "well-formed" // XML 1.0
	RuleDTD        Rule = "no-dtd"      // no document type, no declarations
	RuleEntity     Rule = "no-entity"   // no entity but the five of XML and character numbers
	RuleNamespace  Rule = "namespace"   // urn:oasis:names:tc:emergency:cap:1.2
	RuleElement    Rule = "element"     // names, order and number as in the schema
	RuleAttribute  Rule = "attribute"   // CAP has none
	RuleContent    Rule = "content"     // text where text belongs, elements where they do
)

// The rules of CAP's values, in the schema or in the standard's text.
const (
	RuleIdentifier  Rule = "identifier"  // identifier, sender: no space, comma, '<', '&'; not empty
	RuleDateTime    Rule = "date-time"   // numeric offset, never Z, no fraction
	RuleCode        Rule = "code-list"   // a value of the standard's list
	RuleRestriction Rule = "restriction" // Restricted requires it
	RuleAddresses   Rule = "addresses"   // Private requires them
	RuleReferences  Rule = "references"  // sender,identifier,sent; required for all but Alert
	RuleList        Rule = "list"        // items parted by whitespace, those with spaces quoted
	RuleLanguage    Rule = "language"    // RFC 3066
	RulePolygon     Rule = "polygon"     // four pairs or more, the first equals the last
	RuleCircle      Rule = "circle"      // a pair and a radius
	RuleCeiling     Rule = "ceiling"     // only with altitude
	RuleNumber      Rule = "number"      // altitude and ceiling decimal, size a whole number
	RuleDerefURI    Rule = "deref-uri"   // base64; ours: never
	RuleURI         Rule = "uri"         // absolute
	RuleNote        Rule = "note"        // explains an exercise, an error; ours: a withdrawal
	RuleDigest      Rule = "digest"      // SHA-1
	RuleSignature   Rule = "signature"   // passed over
	RuleProcInst    Rule = "instruction" // passed over
	RuleEmpty       Rule = "empty"       // passed over
)

// The rules of the alliance's own profile.
const (
	RuleStatus       Rule = "alliance-status"
	RuleMsgType      Rule = "alliance-msgtype"
	RuleInfo         Rule = "alliance-info"
	RuleText         Rule = "alliance-text"
	RuleHeadline     Rule = "alliance-headline"
	RuleExpires      Rule = "alliance-expires"
	RuleCategory     Rule = "alliance-category"
	RuleDanger       Rule = "alliance-danger"
	RuleTLP          Rule = "alliance-tlp"
	RuleSignals      Rule = "alliance-signals"
	RuleArea         Rule = "alliance-area"
	RuleResource     Rule = "alliance-resource"
	RuleMissingChild Rule = "alliance-missing-child"
	RuleIssuer       Rule = "alliance-issuer"
	RuleAudience     Rule = "alliance-audience"
)

// Finding is one rule that a document breaks, or a warning about it. As an
// error it is always a *Finding. For who wrote the document it repeats, clipped,
// a code, number or time that is none, and never a text; it does not belong in
// a log.
type Finding struct {
	Rule  Rule   `json:"rule"`
	Where string `json:"where"` // as "alert/info[2]/area[1]/polygon", counted from 1; may be empty
	Text  string `json:"text"`
}

// Error returns "where: text (rule name)".
func (f *Finding) Error() string {
	s := f.Text + " (rule " + string(f.Rule) + ")"
	if f.Where != "" {
		s = f.Where + ": " + s
	}
	return s
}

// String is Error's text.
func (f Finding) String() string { return f.Error() }

// clip keeps what an error repeats from a document short and on one line.
func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
