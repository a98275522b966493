package referral

import "github.com/national-alliance/alliance/protocol"

// Case is what those asked to act read: the need and the concern in words,
// the grounds for sharing, and what is safe to do. Facts, not depiction.
type Case struct {
	Request      string    `cbor:"1,keyasint,omitempty" json:"request,omitempty" v:"req,text:2000"` // what is asked
	Done         []Done    `cbor:"2,keyasint,omitempty" json:"done,omitempty"`                      // already
	Others       []string  `cbor:"3,keyasint,omitempty" json:"others,omitempty"`                    // bodies involved
	Contact      string    `cbor:"4,keyasint,omitempty" json:"contact,omitempty"`                   // the person at the sender's desk
	CarerAlleged string    `cbor:"5,keyasint,omitempty" json:"carer_alleged,omitempty" v:"req,nyk,list:yes-no-unknown"`
	LivingWith   string    `cbor:"6,keyasint,omitempty" json:"living_with,omitempty"`
	Siblings     string    `cbor:"7,keyasint,omitempty" json:"siblings_at_risk,omitempty" v:"nyk,list:yes-no-unknown"`
	From         string    `cbor:"8,keyasint,omitempty" json:"from,omitempty"` // YYYY, YYYY-MM or YYYY-MM-DD
	To           string    `cbor:"9,keyasint,omitempty" json:"to,omitempty"`
	Precision    string    `cbor:"10,keyasint,omitempty" json:"precision,omitempty" v:"list:precision"` // required with a date
	Narrative    string    `cbor:"11,keyasint,omitempty" json:"narrative,omitempty" v:"req,nyk,text:20000"`
	Police       Police    `cbor:"12,keyasint,omitzero" json:"police,omitzero"`
	TiedBodies   []Tie     `cbor:"13,keyasint,omitempty" json:"tied_bodies,omitempty"` // bodies the alleged person belongs to; none of them may read
	Legal        Legal     `cbor:"14,keyasint,omitzero" json:"legal,omitzero" v:"split"`
	Safety       Safety    `cbor:"15,keyasint,omitzero" json:"safety,omitzero" v:"split"`
	Retention    Retention `cbor:"16,keyasint,omitzero" json:"retention,omitzero"`
}

// Done is a service already given.
type Done struct {
	Service string `cbor:"1,keyasint,omitempty" json:"service,omitempty" v:"req,list:service"`
	By      string `cbor:"2,keyasint,omitempty" json:"by,omitempty"`
	When    string `cbor:"3,keyasint,omitempty" json:"when,omitempty"`
	Result  string `cbor:"4,keyasint,omitempty" json:"result,omitempty" v:"text:500"`
}

// Police is what police recorded. Nothing counts as reported to police
// without a number.
type Police struct {
	Station    string `cbor:"1,keyasint,omitempty" json:"station,omitempty"`
	Number     string `cbor:"2,keyasint,omitempty" json:"number,omitempty" v:"nyk"` // required where police were told
	NumberKind string `cbor:"3,keyasint,omitempty" json:"number_kind,omitempty" v:"list:number-kind"`
	When       string `cbor:"4,keyasint,omitempty" json:"when,omitempty"`
}

// Reported reports whether a number shows that police recorded a report.
func (p Police) Reported() bool { return p.Number != "" && p.Number != NotYetKnown }

// Tie names a body that the alleged person belongs to, without the person.
// With a Unit only that unit is barred, where the recipient names another one:
// else nobody in a state could report one constable.
type Tie struct {
	Organisation protocol.OrgID `cbor:"1,keyasint,omitzero" json:"organisation,omitzero"` // where it is a member
	Body         string         `cbor:"2,keyasint,omitempty" json:"body,omitempty"`       // its name otherwise, or "unknown"
	Unit         string         `cbor:"3,keyasint,omitempty" json:"unit,omitempty"`
}

// Legal is on what ground the parts are shared, and what was agreed.
type Legal struct {
	Basis        []string   `cbor:"1,keyasint,omitempty" json:"basis,omitempty" v:"req,list:basis"` // never preset
	Consent      *Consent   `cbor:"2,keyasint,omitempty" json:"consent,omitempty"`
	Withheld     []Withheld `cbor:"3,keyasint,omitempty" json:"withheld,omitempty"` // kept by the sealing
	ChildTold    string     `cbor:"4,keyasint,omitempty" json:"child_told,omitempty" v:"req,nyk,list:yes-no-unknown"`
	ChildView    string     `cbor:"5,keyasint,omitempty" json:"child_view,omitempty" v:"req,nyk,text:2000"`
	CarerTold    string     `cbor:"6,keyasint,omitempty" json:"carer_told,omitempty" v:"req,nyk,list:yes-no-unknown"`
	CarerWhyNot  string     `cbor:"7,keyasint,omitempty" json:"carer_why_not,omitempty" v:"nyk,list:carer-why-not"` // required where not told
	Override     *Override  `cbor:"8,keyasint,omitempty" json:"override,omitempty"`
	WithdrawnAt  Time       `cbor:"9,keyasint,omitempty" json:"withdrawn_at,omitempty"`
	Statistics   bool       `cbor:"10,keyasint,omitempty" json:"statistics,omitempty"`
	ApprovedBy   string     `cbor:"11,keyasint,omitempty" json:"approved_by,omitempty"`  // supervisor's pseudonym; required for a transfer
	Safeguarding string     `cbor:"12,keyasint,omitempty" json:"safeguarding,omitempty"` // pseudonym of the one person beside the author who sees it, where the sender itself is a tied body
}

// Consent is required where consent or assent is a basis.
type Consent struct {
	From  string  `cbor:"1,keyasint,omitempty" json:"from,omitempty" v:"req"`
	When  string  `cbor:"2,keyasint,omitempty" json:"when,omitempty" v:"req"`
	How   string  `cbor:"3,keyasint,omitempty" json:"how,omitempty" v:"req,list:consent-how"`
	Scope []Scope `cbor:"4,keyasint,omitempty" json:"scope,omitempty" v:"req"`
}

// Scope is one part that may go to one organisation.
type Scope struct {
	Part         string         `cbor:"1,keyasint,omitempty" json:"part,omitempty" v:"req,list:part"`
	Organisation protocol.OrgID `cbor:"2,keyasint,omitzero" json:"organisation,omitzero" v:"req"`
}

// Withheld is a part that one body must not get.
type Withheld struct {
	Part         string         `cbor:"1,keyasint,omitempty" json:"part,omitempty" v:"req,list:part"`
	Organisation protocol.OrgID `cbor:"2,keyasint,omitzero" json:"organisation,omitzero"` // where it is a member
	From         string         `cbor:"3,keyasint,omitempty" json:"from,omitempty"`       // in words otherwise
	Why          string         `cbor:"4,keyasint,omitempty" json:"why,omitempty" v:"req,list:withheld-why"`
}

// Override is sharing against a wish, by two people.
type Override struct {
	By       string `cbor:"1,keyasint,omitempty" json:"by,omitempty" v:"req"`
	Approver string `cbor:"2,keyasint,omitempty" json:"approver,omitempty" v:"req"`
	Reason   string `cbor:"3,keyasint,omitempty" json:"reason,omitempty" v:"req,text:500"`
}

// Safety is what must not be done, and what to watch.
type Safety struct {
	DoNot         []string `cbor:"1,keyasint,omitempty" json:"do_not,omitempty" v:"req,nyk,list:do-not"`
	Note          string   `cbor:"2,keyasint,omitempty" json:"note,omitempty" v:"text:500"`
	DeviceWatched string   `cbor:"3,keyasint,omitempty" json:"device_watched,omitempty" v:"nyk,list:yes-no-unknown"`
	SelfHarm      string   `cbor:"4,keyasint,omitempty" json:"self_harm,omitempty" v:"nyk,list:yes-no-unknown"`
	StaffRisk     string   `cbor:"5,keyasint,omitempty" json:"staff_risk,omitempty" v:"text:500"`
	ReviewBy      Time     `cbor:"6,keyasint,omitempty" json:"review_by,omitempty"`
}

// Retention is how long it is kept.
type Retention struct {
	Rule  string `cbor:"1,keyasint,omitempty" json:"rule,omitempty" v:"req,own,list:retention"`
	Until Time   `cbor:"2,keyasint,omitempty" json:"until,omitempty" v:"req,own"`
}
