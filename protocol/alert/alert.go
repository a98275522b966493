package alert

// Alert is one CAP 1.2 message. Field for field it is the element of the same
// name in the standard's §3.2; the numbers are on the wire and never change.
type Alert struct {
	Identifier  string      `cbor:"1,keyasint" json:"identifier"`
	Sender      string      `cbor:"2,keyasint" json:"sender"`
	Sent        DateTime    `cbor:"3,keyasint" json:"sent"`
	Status      Status      `cbor:"4,keyasint" json:"status"`
	MsgType     MsgType     `cbor:"5,keyasint" json:"msgType"`
	Source      string      `cbor:"6,keyasint,omitempty" json:"source,omitempty"`
	Scope       Scope       `cbor:"7,keyasint" json:"scope"`
	Restriction string      `cbor:"8,keyasint,omitempty" json:"restriction,omitempty"` // ours: a TLP label
	Addresses   []string    `cbor:"9,keyasint,omitempty" json:"addresses,omitempty"`
	Codes       []string    `cbor:"10,keyasint,omitempty" json:"code,omitempty"`
	Note        string      `cbor:"11,keyasint,omitempty" json:"note,omitempty"`
	References  []Reference `cbor:"12,keyasint,omitempty" json:"references,omitempty"`
	Incidents   []string    `cbor:"13,keyasint,omitempty" json:"incidents,omitempty"`
	Infos       []Info      `cbor:"14,keyasint,omitempty" json:"info,omitempty"`
}

// Reference names an earlier message: in XML "sender,identifier,sent".
type Reference struct {
	Sender     string   `cbor:"1,keyasint" json:"sender"`
	Identifier string   `cbor:"2,keyasint" json:"identifier"`
	Sent       DateTime `cbor:"3,keyasint" json:"sent"`
}

// Info is the alert in one language, or for one part of those addressed.
type Info struct {
	Language      string           `cbor:"1,keyasint,omitempty" json:"language,omitempty"` // empty means en-US
	Categories    []DangerCategory `cbor:"2,keyasint" json:"category"`                     // at least one
	Event         string           `cbor:"3,keyasint" json:"event"`
	ResponseTypes []ResponseType   `cbor:"4,keyasint,omitempty" json:"responseType,omitempty"`
	Urgency       Urgency          `cbor:"5,keyasint" json:"urgency"`
	Severity      Severity         `cbor:"6,keyasint" json:"severity"`
	Certainty     Certainty        `cbor:"7,keyasint" json:"certainty"`
	Audience      string           `cbor:"8,keyasint,omitempty" json:"audience,omitempty"`
	EventCodes    []Pair           `cbor:"9,keyasint,omitempty" json:"eventCode,omitempty"`
	Effective     DateTime         `cbor:"10,keyasint,omitempty" json:"effective,omitempty"` // empty means as sent
	Onset         DateTime         `cbor:"11,keyasint,omitempty" json:"onset,omitempty"`
	Expires       DateTime         `cbor:"12,keyasint,omitempty" json:"expires,omitempty"`
	SenderName    string           `cbor:"13,keyasint,omitempty" json:"senderName,omitempty"`
	Headline      string           `cbor:"14,keyasint,omitempty" json:"headline,omitempty"`
	Description   string           `cbor:"15,keyasint,omitempty" json:"description,omitempty"`
	Instruction   string           `cbor:"16,keyasint,omitempty" json:"instruction,omitempty"`
	Web           string           `cbor:"17,keyasint,omitempty" json:"web,omitempty"`
	Contact       string           `cbor:"18,keyasint,omitempty" json:"contact,omitempty"`
	Parameters    []Pair           `cbor:"19,keyasint,omitempty" json:"parameter,omitempty"` // ours: signals
	Resources     []Resource       `cbor:"20,keyasint,omitempty" json:"resource,omitempty"`
	Areas         []Area           `cbor:"21,keyasint,omitempty" json:"area,omitempty"`
}

// Pair is a valueName and its value, as in eventCode, parameter and geocode.
type Pair struct {
	Name  string `cbor:"1,keyasint" json:"valueName"`
	Value string `cbor:"2,keyasint" json:"value"`
}

// Resource describes a file that goes with the alert. The file itself is
// never inside (CAP's derefUri): Embedded says that the document read had one,
// which was dropped. It is neither encoded nor written.
type Resource struct {
	Desc     string `cbor:"1,keyasint" json:"resourceDesc"`
	MimeType string `cbor:"2,keyasint" json:"mimeType"`
	Size     *int64 `cbor:"3,keyasint,omitempty" json:"size,omitempty"` // bytes, about
	URI      string `cbor:"4,keyasint,omitempty" json:"uri,omitempty"`
	Digest   string `cbor:"5,keyasint,omitempty" json:"digest,omitempty"` // SHA-1, as CAP has it
	Embedded bool   `cbor:"-" json:"-"`
}

// Area is a place. Polygons are "lat,lon lat,lon …", circles "lat,lon km", in
// decimal degrees of WGS 84; altitude and ceiling are decimal feet.
type Area struct {
	Desc     string   `cbor:"1,keyasint" json:"areaDesc"`
	Polygons []string `cbor:"2,keyasint,omitempty" json:"polygon,omitempty"`
	Circles  []string `cbor:"3,keyasint,omitempty" json:"circle,omitempty"`
	Geocodes []Pair   `cbor:"4,keyasint,omitempty" json:"geocode,omitempty"`
	Altitude string   `cbor:"5,keyasint,omitempty" json:"altitude,omitempty"`
	Ceiling  string   `cbor:"6,keyasint,omitempty" json:"ceiling,omitempty"`
}

// DefaultLanguage is what an info without language is in.
const DefaultLanguage = "en-US"

// Lang returns the info's language, DefaultLanguage where none is given.
func (i *Info) Lang() string {
	if i.Language == "" {
		return DefaultLanguage
	}
	return i.Language
}

// Ref returns the reference by which a later message names this one.
func (a *Alert) Ref() Reference {
	return Reference{Sender: a.Sender, Identifier: a.Identifier, Sent: a.Sent}
}

// Withdrawal returns the CAP Cancel message that withdraws a: same sender,
// status and reach, a reference to a, and the reason as its note.
func (a *Alert) Withdrawal(identifier string, sent DateTime, reason string) *Alert {
	return &Alert{
		Identifier: identifier, Sender: a.Sender, Sent: sent, Status: a.Status, MsgType: MsgCancel,
		Scope: a.Scope, Restriction: a.Restriction, Addresses: append([]string(nil), a.Addresses...),
		Codes: append([]string(nil), a.Codes...), Note: reason, References: []Reference{a.Ref()},
	}
}

// Banner returns the word to show above an alert that nobody should take for
// a real one (EXERCISE, TEST, SYSTEM, DRAFT), or nothing for an actual one. A
// status that this version does not know is shown as it is.
func (a *Alert) Banner() string {
	switch a.Status {
	case StatusActual:
		return ""
	case StatusExercise:
		return "EXERCISE"
	case StatusTest:
		return "TEST"
	case StatusSystem:
		return "SYSTEM"
	case StatusDraft:
		return "DRAFT"
	}
	return "STATUS " + string(a.Status)
}

// Window returns the Unix seconds from which and until which the alert speaks:
// the earliest effective time of its infos (sent, where none is given) and the
// latest expiry. until is 0 where an info, or an alert without infos, does not
// expire.
func (a *Alert) Window() (from, until int64) {
	from = a.Sent.Unix()
	for n := range a.Infos {
		start, end := a.Sent.Unix(), a.Infos[n].Expires.Unix()
		if e := a.Infos[n].Effective; e != "" {
			start = e.Unix()
		}
		if n == 0 || start < from {
			from = start
		}
		switch {
		case a.Infos[n].Expires == "":
			return from, 0
		case end > until:
			until = end
		}
	}
	return from, until
}
