package alert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
)

// Category is what an alliance alert is about. In CAP it is the value of the
// eventCode named [EventCode], and a code. A category that this version does
// not know is kept and shown as it is.
type Category string

// EventCode is the valueName under which an alert carries its Category.
const EventCode = "ALLIANCE-CAT"

// The categories that the program itself speaks of; all are in the table.
const (
	CategoryTravellingOffender Category = "travelling-offender-notice"
	CategoryMissingChild       Category = "missing-child"
	CategoryCircular           Category = "legal-or-policy-circular"
	CategoryGoodPractice       Category = "good-practice"
)

// CategoryInfo is a row of the table of categories.
type CategoryInfo struct {
	Category   Category
	Label      string // English, for people
	MaxDays    int    // from sent to expires, at most
	Members    bool   // any NGO, helpline or hotline may issue it
	PoliceOnly bool   // goes to police alone, and commissions do not issue it
}

const (
	defaultDays  = 30
	missingDays  = 7
	circularDays = 365
	practiceDays = 3*365 + 1 // three years hold one leap day
)

var categories = []CategoryInfo{
	{Category: "sexual-extortion-trend", Label: "Sexual extortion of children: a trend", Members: true},
	{Category: "grooming-platform", Label: "A platform used for online grooming", Members: true},
	{Category: "live-abuse-trend", Label: "Live online child sexual abuse: a trend", Members: true},
	{Category: "cseam-distribution-pattern", Label: "How CSEAM is being passed on: a pattern", Members: true},
	{Category: "ai-generated-cseam-trend", Label: "AI-generated CSEAM: a trend", Members: true},
	{Category: "self-generated-content-risk", Label: "Self-generated material: a risk", Members: true},
	{Category: "url-list-notice", Label: "A list of URLs exists, and whom to ask"},
	{Category: "hash-set-notice", Label: "A set of hashes exists, and whom to ask"},
	{Category: "trafficking-pattern", Label: "Trafficking of children: a pattern", Members: true},
	{Category: CategoryTravellingOffender, Label: "Travelling offender (police only)", PoliceOnly: true},
	{Category: CategoryMissingChild, Label: "Missing child, by police or TrackChild reference", MaxDays: missingDays},
	{Category: "found-child-notice", Label: "A child was found"},
	{Category: "institution-risk", Label: "Risk at an institution"},
	{Category: "impersonation-of-members", Label: "Someone poses as a member"},
	{Category: "fake-helpline", Label: "A false helpline"},
	{Category: "new-modus-operandi", Label: "A new way of approaching children", Members: true},
	{Category: "harmful-challenge", Label: "A harmful challenge among children", Members: true},
	{Category: "platform-policy-change", Label: "A platform changed its rules"},
	{Category: CategoryCircular, Label: "Circular on law or policy", MaxDays: circularDays},
	{Category: "court-direction", Label: "Direction of a court"},
	{Category: "service-outage", Label: "A service is out of reach"},
	{Category: "capacity-notice", Label: "Capacity of a service", Members: true},
	{Category: "training-exercise", Label: "Training or exercise"},
	{Category: "security-advisory", Label: "Security of members' systems"},
	{Category: CategoryGoodPractice, Label: "Good practice", Members: true, MaxDays: practiceDays},
}

// Categories returns the table, in the order in which lists show it.
func Categories() []CategoryInfo {
	list := slices.Clone(categories)
	for n := range list {
		if list[n].MaxDays == 0 {
			list[n].MaxDays = defaultDays
		}
	}
	return list
}

// Lookup returns a category's row; one that is not known gets its own name as
// label, the default expiry and no further permission.
func (c Category) Lookup() (info CategoryInfo, known bool) {
	info = CategoryInfo{Category: c, Label: string(c)}
	if n := slices.IndexFunc(categories, func(row CategoryInfo) bool { return row.Category == c }); n >= 0 {
		info, known = categories[n], true
	}
	if info.MaxDays == 0 {
		info.MaxDays = defaultDays
	}
	return info, known
}

// Category returns what the alert is about: the value of its infos' eventCode
// ALLIANCE-CAT, empty where there is none or where they differ.
func (a *Alert) Category() Category {
	var found Category
	for _, i := range a.Infos {
		for _, p := range i.EventCodes {
			if p.Name != EventCode {
				continue
			}
			if found != "" && found != Category(p.Value) {
				return ""
			}
			found = Category(p.Value)
		}
	}
	return found
}

// MayIssue says whether an organisation of that class and finer kind may warn
// of a category, in that scope, those who are of the classes in audience. The
// secretariat and police issue all categories, commissions all but police-only
// ones, every other body those marked Members. Only the secretariat warns the
// public. A police-only category goes to no class but police. The error is a
// [*Finding].
func MayIssue(class protocol.Class, kind string, c Category, scope Scope, audience []protocol.Class) error {
	row, known := c.Lookup()
	who := class.String()
	if kind != "" {
		who += " (" + clip(kind) + ")"
	}
	commission := class == protocol.ClassGovernment && (kind == "commission" || strings.HasSuffix(kind, "-commission"))
	switch {
	case !class.Valid():
		return &Finding{RuleIssuer, "", fmt.Sprintf("%s issues no alerts", class)}
	case !known:
		return &Finding{RuleCategory, "", fmt.Sprintf("category %q is not known to this version", clip(string(c)))}
	case scope == ScopePublic && class != protocol.ClassSecretariat:
		return &Finding{RuleIssuer, "", "only the secretariat issues alerts to the public; ask it, or choose scope Restricted"}
	case class == protocol.ClassSecretariat || class == protocol.ClassPolice:
	case commission && !row.PoliceOnly:
	case row.Members:
	default:
		return &Finding{RuleIssuer, "", fmt.Sprintf("an organisation of class %s does not issue category %s", who, c)}
	}
	if !row.PoliceOnly {
		return nil
	}
	if scope == ScopePublic {
		return &Finding{RuleAudience, "", fmt.Sprintf("category %s never goes to the public", c)}
	}
	for _, reader := range audience {
		if reader != protocol.ClassPolice {
			return &Finding{RuleAudience, "", fmt.Sprintf("category %s goes to police alone, and the audience holds class %s", c, reader)}
		}
	}
	return nil
}
