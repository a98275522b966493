package alert

import "slices"

// The code lists of CAP 1.2 §3.2. The values are the standard's own words.
type (
	Status         string // how to take the message
	MsgType        string // what the message does
	Scope          string // how far it may go
	DangerCategory string // CAP's category; ours is [Category]
	ResponseType   string
	Urgency        string
	Severity       string
	Certainty      string
)

// The values that the program itself speaks of; the other lists stand below.
const (
	StatusActual   Status = "Actual"
	StatusExercise Status = "Exercise"
	StatusSystem   Status = "System"
	StatusTest     Status = "Test"
	StatusDraft    Status = "Draft"

	MsgAlert  MsgType = "Alert"
	MsgUpdate MsgType = "Update"
	MsgCancel MsgType = "Cancel"
	MsgAck    MsgType = "Ack"
	MsgError  MsgType = "Error"

	ScopePublic     Scope = "Public"     // ours: anyone
	ScopeRestricted Scope = "Restricted" // ours: members, under a TLP label
	ScopePrivate    Scope = "Private"    // ours: named organisations
)

var (
	statuses        = []Status{StatusActual, StatusExercise, StatusSystem, StatusTest, StatusDraft}
	msgTypes        = []MsgType{MsgAlert, MsgUpdate, MsgCancel, MsgAck, MsgError}
	scopes          = []Scope{ScopePublic, ScopeRestricted, ScopePrivate}
	dangers         = []DangerCategory{"Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other"}
	profileDangers  = []DangerCategory{"Security", "Safety", "Rescue", "Infra", "Other"}
	responseTypes   = []ResponseType{"Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"}
	urgencies       = []Urgency{"Immediate", "Expected", "Future", "Past", "Unknown"}
	severities      = []Severity{"Extreme", "Severe", "Moderate", "Minor", "Unknown"}
	certainties     = []Certainty{"Observed", "Likely", "Possible", "Unlikely", "Unknown"}
	profileMsgTypes = []MsgType{MsgAlert, MsgUpdate, MsgCancel}
)

func oneOf[T ~string](list []T, v T) bool { return slices.Contains(list, v) }
