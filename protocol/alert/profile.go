package alert

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/national-alliance/alliance/protocol"
)

// MaxHeadline is the length of a headline in characters.
const MaxHeadline = 160

// Names of values in the alliance's alerts.
const (
	GeocodeState    = "LGD-STATE"       // code of the Local Government Directory
	GeocodeDistrict = "LGD-DISTRICT"    // likewise
	ParameterSHA256 = "ALLIANCE-SHA256" // value: 64 hex digits, a space and the resource's uri
)

const day = 86400

// Profile holds what the alliance asks of an alert beyond CAP:
//
//   - status is Actual, Exercise or Test; a draft stays at home
//   - msgType is Alert, Update or Cancel; a Cancel says why in its note
//   - an alert or update has text in English or Hindi at least, each info with
//     event, headline (at most 160 characters), description and expires
//   - expires lies after sent and within the category's days of it
//   - every info names the one category as eventCode ALLIANCE-CAT, and CAP
//     category is one of Security, Safety, Rescue, Infra, Other
//   - Restricted names a TLP 2.0 label other than CLEAR as its restriction;
//     Private may; Public goes under TLP:CLEAR and has no parameters (signals)
//     and no police-only category
//   - geocodes LGD-STATE and LGD-DISTRICT are numbers
//   - a resource is a PDF or plain text at a uri, with its SHA-256 as parameter
//     ALLIANCE-SHA256, and never inside the alert
//   - a missing child is named by the police or TrackChild reference in
//     incidents
//
// The error joins every [*Finding], so that all can be put right at once.
// The warnings are where an alert is allowed and could be better. What no
// program can check stays with the people who approve it: no child's data, no
// suspect beyond police.
func (a *Alert) Profile() (warnings []Finding, err error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	p := &profile{}
	p.alert(a)
	return p.warnings, errors.Join(p.errs...)
}

// CheckIssue holds all that speaks for or against a record of kind issue or
// update: [Alert.Profile], [MayIssue] for an author of that class and finer
// kind and an audience of those classes, and that sent is at most a day after
// the record's own time (Unix seconds), since expiry counts from it. An author
// asks it before it seals, a reader when a record arrives; a reader shows an
// alert that fails as breaking the rule named, and one with an unknown
// category (a newer vocabulary) as it is. [Findings] lists the error's parts.
func (a *Alert) CheckIssue(class protocol.Class, kind string, audience []protocol.Class, at int64) (warnings []Finding, err error) {
	warnings, err = a.Profile()
	if a.Sent.Unix() > at+day {
		err = errors.Join(err, &Finding{RuleDateTime, "alert/sent", "the alert was sent more than a day in the future; look at the clock"})
	}
	c := a.Category()
	if _, known := c.Lookup(); known {
		err = errors.Join(err, MayIssue(class, kind, c, a.Scope, audience))
	}
	return warnings, err
}

// Findings lists the findings in an error of this package, joined or not; an
// error that holds none gives none.
func Findings(err error) (list []Finding) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, Findings(e)...)
		}
		return list
	}
	var f *Finding
	if errors.As(err, &f) {
		list = append(list, *f)
	}
	return list
}

type profile struct {
	errs     []error
	warnings []Finding
}

func (p *profile) fail(rule Rule, where, text string) {
	p.errs = append(p.errs, &Finding{rule, where, text})
}

func (p *profile) warn(rule Rule, where, text string) {
	p.warnings = append(p.warnings, Finding{rule, where, text})
}

func (p *profile) alert(a *Alert) {
	switch a.Status {
	case StatusDraft:
		p.fail(RuleStatus, "alert/status", "a draft never leaves the organisation")
	case StatusSystem:
		p.fail(RuleStatus, "alert/status", "status System is not used here")
	}
	if !oneOf(profileMsgTypes, a.MsgType) {
		p.fail(RuleMsgType, "alert/msgType", "only Alert, Update and Cancel are issued; acknowledge with an acknowledgement")
	}
	p.reach(a)
	if a.MsgType == MsgCancel {
		if blank(a.Note) {
			p.fail(RuleNote, "alert/note", "a withdrawal says why in its note")
		}
		if len(a.Infos) == 0 {
			return
		}
	} else if len(a.Infos) == 0 {
		p.fail(RuleInfo, "alert", "an alert has text: at least one info")
		return
	}
	p.category(a)
	ours := false
	for n := range a.Infos {
		tag, _, _ := strings.Cut(strings.ToLower(a.Infos[n].Lang()), "-")
		ours = ours || tag == "en" || tag == "hi"
		p.info(fmt.Sprintf("alert/info[%d]", n+1), a, &a.Infos[n])
	}
	if !ours {
		p.fail(RuleText, "alert", "no info is in English or Hindi")
	}
}

// reach holds the rules of scope and TLP label.
func (p *profile) reach(a *Alert) {
	label, err := ParseTLP(a.Restriction)
	if a.Restriction != "" && err != nil {
		p.fail(RuleTLP, "alert/restriction", err.Error())
		return
	}
	switch {
	case a.Scope == ScopePublic && a.Restriction != "" && label != TLPClear:
		p.fail(RuleTLP, "alert/restriction", "a public alert goes under TLP:CLEAR")
	case a.Scope != ScopePublic && label == TLPClear:
		p.fail(RuleTLP, "alert/restriction", "TLP:CLEAR is for public alerts")
	case a.Scope == ScopePrivate && a.Restriction == "":
		p.warn(RuleTLP, "alert/restriction", "no TLP label is named; "+DefaultTLP.String()+" holds")
	}
}

func (p *profile) category(a *Alert) {
	c := a.Category()
	row, known := c.Lookup()
	switch {
	case c == "": // none at all: said for each info
		p.sameCategory(a)
		return
	case !known:
		p.fail(RuleCategory, "alert/info[1]/eventCode", fmt.Sprintf("category %q is not known to this version", clip(string(c))))
		return
	}
	if !oneOf(each[Category](a.Codes), c) {
		p.warn(RuleCategory, "alert/code", fmt.Sprintf("the category %s is not among the codes", c))
	}
	if row.PoliceOnly && a.Scope == ScopePublic {
		p.fail(RuleAudience, "alert/scope", fmt.Sprintf("category %s never goes to the public", c))
	}
	if c == CategoryMissingChild && len(a.Incidents) == 0 {
		p.fail(RuleMissingChild, "alert/incidents", "a missing child is named by the police or TrackChild reference alone, in incidents")
	}
}

func (p *profile) sameCategory(a *Alert) {
	for _, i := range a.Infos {
		for _, c := range i.EventCodes {
			if c.Name == EventCode {
				p.fail(RuleCategory, "alert", "the infos name different categories as eventCode "+EventCode)
				return
			}
		}
	}
}

func (p *profile) info(at string, a *Alert, i *Info) {
	named := false
	for _, c := range i.EventCodes {
		named = named || c.Name == EventCode
	}
	if !named {
		p.fail(RuleCategory, at+"/eventCode", "the info has no eventCode "+EventCode)
	}
	for _, c := range i.Categories {
		if !oneOf(profileDangers, c) {
			p.fail(RuleDanger, at+"/category", fmt.Sprintf("category %s is not one of %s", c, join(profileDangers)))
		}
	}
	if blank(i.Event) || blank(i.Headline) || blank(i.Description) {
		p.fail(RuleText, at, "the info needs an event, a headline and a description")
	}
	if n := utf8.RuneCountInString(i.Headline); n > MaxHeadline {
		p.fail(RuleHeadline, at+"/headline", fmt.Sprintf("the headline has %d characters, at most %d are allowed", n, MaxHeadline))
	}
	if blank(i.Instruction) {
		p.warn(RuleText, at+"/instruction", "the alert does not say what to do")
	}
	p.expires(at, a, i)
	sums := map[string]bool{}
	for _, q := range i.Parameters {
		if sum, uri, ok := strings.Cut(q.Value, " "); q.Name == ParameterSHA256 {
			if !ok || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
				p.fail(RuleResource, at+"/parameter", ParameterSHA256+" is not 64 lower-case hex digits, a space and a uri")
			}
			sums[uri] = true
		} else if a.Scope == ScopePublic {
			p.fail(RuleSignals, at+"/parameter", fmt.Sprintf("parameter %q: signals never go to the public", clip(q.Name)))
		}
	}
	for n := range i.Resources {
		p.resource(fmt.Sprintf("%s/resource[%d]", at, n+1), &i.Resources[n], sums)
	}
	if len(i.Areas) == 0 {
		p.warn(RuleArea, at, "no area is named, so that the alert speaks of the whole country")
	}
	for n := range i.Areas {
		p.area(fmt.Sprintf("%s/area[%d]", at, n+1), &i.Areas[n])
	}
}

func (p *profile) expires(at string, a *Alert, i *Info) {
	row, _ := a.Category().Lookup()
	sent, end := a.Sent.Unix(), i.Expires.Unix()
	switch {
	case i.Expires == "":
		p.fail(RuleExpires, at+"/expires", "an expiry is required")
	case end <= sent || end <= i.Effective.Unix() && i.Effective != "":
		p.fail(RuleExpires, at+"/expires", "the alert expires before it begins")
	case end > sent+int64(row.MaxDays)*day:
		p.fail(RuleExpires, at+"/expires", fmt.Sprintf("the alert expires more than %d days after it was sent", row.MaxDays))
	}
}

func (p *profile) resource(at string, r *Resource, sums map[string]bool) {
	if r.Embedded {
		p.fail(RuleDerefURI, at+"/derefUri", "a file never travels inside an alert; name its uri")
	}
	if r.MimeType != "application/pdf" && r.MimeType != "text/plain" {
		p.fail(RuleResource, at+"/mimeType", "a file is application/pdf or text/plain; images, video, audio and archives never travel")
	}
	if r.URI == "" || !sums[r.URI] {
		p.fail(RuleResource, at, "a file needs a uri, and its SHA-256 as parameter "+ParameterSHA256)
	}
}

func (p *profile) area(at string, a *Area) {
	lgd := false
	for _, g := range a.Geocodes {
		if g.Name != GeocodeState && g.Name != GeocodeDistrict {
			p.warn(RuleArea, at+"/geocode", fmt.Sprintf("geocode %q is not of the Local Government Directory", clip(g.Name)))
			continue
		}
		lgd = true
		if g.Value == "" || len(g.Value) > 4 || strings.Trim(g.Value, "0123456789") != "" || g.Value[0] == '0' {
			p.fail(RuleArea, at+"/geocode", fmt.Sprintf("%s %q is not a code of the Local Government Directory", g.Name, clip(g.Value)))
		}
	}
	if !lgd {
		p.warn(RuleArea, at, "the area has no geocode "+GeocodeState+" or "+GeocodeDistrict+", so that nobody is found by it")
	}
}
