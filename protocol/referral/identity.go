package referral

import "github.com/national-alliance/alliance/protocol"

// Identity is who the child is and how to reach the child safely.
type Identity struct {
	Names       []string    `cbor:"1,keyasint,omitempty" json:"names,omitempty"`
	Birth       string      `cbor:"2,keyasint,omitempty" json:"birth,omitempty"` // YYYY, YYYY-MM or YYYY-MM-DD
	BirthIs     string      `cbor:"3,keyasint,omitempty" json:"birth_is,omitempty" v:"list:precision"`
	Address     string      `cbor:"4,keyasint,omitempty" json:"address,omitempty" v:"text:500"`
	School      string      `cbor:"5,keyasint,omitempty" json:"school,omitempty"`
	Phones      []string    `cbor:"6,keyasint,omitempty" json:"phones,omitempty"`
	SafeContact SafeContact `cbor:"7,keyasint,omitzero" json:"safe_contact,omitzero"`
	Carer       *Carer      `cbor:"8,keyasint,omitempty" json:"carer,omitempty"`
	IDs         []PaperID   `cbor:"9,keyasint,omitempty" json:"ids,omitempty"`
}

// SafeContact is how the child may be reached, or that it must not be.
type SafeContact struct {
	Who          string   `cbor:"1,keyasint,omitempty" json:"who,omitempty" v:"nyk"` // required unless DoNotContact
	Channel      string   `cbor:"2,keyasint,omitempty" json:"channel,omitempty" v:"nyk,list:channel"`
	Times        string   `cbor:"3,keyasint,omitempty" json:"times,omitempty"`
	AvoidWords   []string `cbor:"4,keyasint,omitempty" json:"avoid_words,omitempty"`
	DoNotContact bool     `cbor:"5,keyasint,omitempty" json:"do_not_contact,omitempty"`
	Phone        string   `cbor:"6,keyasint,omitempty" json:"phone,omitempty"`
}

// Carer is the person who cares for the child.
type Carer struct {
	Name     string `cbor:"1,keyasint,omitempty" json:"name,omitempty"`
	Relation string `cbor:"2,keyasint,omitempty" json:"relation,omitempty" v:"list:relation"`
	Told     string `cbor:"3,keyasint,omitempty" json:"told,omitempty" v:"nyk,list:yes-no-unknown"`
	WhyNot   string `cbor:"4,keyasint,omitempty" json:"why_not,omitempty" v:"list:carer-why-not"`
}

// PaperID is a document of the child, by its last digits only.
type PaperID struct {
	Kind  string `cbor:"1,keyasint,omitempty" json:"kind,omitempty" v:"req,list:id-kind"`
	Last4 string `cbor:"2,keyasint,omitempty" json:"last4,omitempty" v:"req"`
}

// Evidence is what police and hotlines read: unverified signals until someone
// says otherwise. Addresses are kept as they are and shown by [Defang]; they
// are never fetched. Hash sets have no place here.
type Evidence struct {
	Accounts  []Account   `cbor:"1,keyasint,omitempty" json:"accounts,omitempty"`
	URLs      []string    `cbor:"2,keyasint,omitempty" json:"urls,omitempty" v:"text:2000"`
	Technical []Technical `cbor:"3,keyasint,omitempty" json:"technical,omitempty"`
	Hashes    []FileHash  `cbor:"4,keyasint,omitempty" json:"hashes,omitempty"`
	TakeDown  []TakeDown  `cbor:"5,keyasint,omitempty" json:"take_down,omitempty"`
	Alleged   []Alleged   `cbor:"6,keyasint,omitempty" json:"alleged,omitempty"`
	Grade     Grade       `cbor:"7,keyasint,omitzero" json:"grade,omitzero"`
	Note      string      `cbor:"8,keyasint,omitempty" json:"note,omitempty" v:"text:5000"`
	Verified  []Verified  `cbor:"9,keyasint,omitempty" json:"verified,omitempty"` // who says that a signal is more than one
}

// Account is an account on a platform.
type Account struct {
	Platform string `cbor:"1,keyasint,omitempty" json:"platform,omitempty" v:"req"`
	Handle   string `cbor:"2,keyasint,omitempty" json:"handle,omitempty"`
	URL      string `cbor:"3,keyasint,omitempty" json:"url,omitempty" v:"text:2000"`
	Role     string `cbor:"4,keyasint,omitempty" json:"role,omitempty" v:"req,list:account-role"`
}

// Technical is one connection that a platform or device showed.
type Technical struct {
	IP    string `cbor:"1,keyasint,omitempty" json:"ip,omitempty" v:"req"`
	Time  Time   `cbor:"2,keyasint,omitempty" json:"time,omitempty"`
	Port  uint16 `cbor:"3,keyasint,omitempty" json:"port,omitempty"`
	Event string `cbor:"4,keyasint,omitempty" json:"event,omitempty"`
}

// FileHash is the hash of one file.
type FileHash struct {
	Algorithm string `cbor:"1,keyasint,omitempty" json:"algorithm,omitempty" v:"req,list:hash-algorithm"`
	Value     string `cbor:"2,keyasint,omitempty" json:"value,omitempty" v:"req"` // lower-case hex
	Class     string `cbor:"3,keyasint,omitempty" json:"class,omitempty" v:"req,list:hash-class"`
	Seen      string `cbor:"4,keyasint,omitempty" json:"seen_by_person,omitempty" v:"list:yes-no-unknown"`
	Held      string `cbor:"5,keyasint,omitempty" json:"held,omitempty"` // where the file is
}

// TakeDown is a removal that was asked for elsewhere.
type TakeDown struct {
	To     string `cbor:"1,keyasint,omitempty" json:"to,omitempty" v:"req"`
	When   string `cbor:"2,keyasint,omitempty" json:"when,omitempty"`
	Result string `cbor:"3,keyasint,omitempty" json:"result,omitempty"`
}

// Alleged is a person alleged to have done it, until proven.
type Alleged struct {
	Known    string `cbor:"1,keyasint,omitempty" json:"known,omitempty" v:"nyk,list:yes-no-unknown"`
	Relation string `cbor:"2,keyasint,omitempty" json:"relation,omitempty" v:"nyk,list:relation"`
	Adult    string `cbor:"3,keyasint,omitempty" json:"adult,omitempty" v:"nyk,list:yes-no-unknown"`
	Access   string `cbor:"4,keyasint,omitempty" json:"access_now,omitempty" v:"nyk,list:yes-no-unknown"`
	Trust    string `cbor:"5,keyasint,omitempty" json:"position_of_trust,omitempty" v:"nyk,list:yes-no-unknown"`
	Tie      *Tie   `cbor:"6,keyasint,omitempty" json:"tie,omitempty"` // repeated, without the person, in the case part
	Person   string `cbor:"7,keyasint,omitempty" json:"person,omitempty" v:"text:500"`
}

// Grade is the Admiralty grading of the source.
type Grade struct {
	Source      string `cbor:"1,keyasint,omitempty" json:"source,omitempty" v:"list:grade-source"`
	Credibility string `cbor:"2,keyasint,omitempty" json:"credibility,omitempty" v:"list:grade-credibility"`
}

// Verified is a word on one signal by a body that looked.
type Verified struct {
	What   string         `cbor:"1,keyasint,omitempty" json:"what,omitempty" v:"req"`
	By     string         `cbor:"2,keyasint,omitempty" json:"by,omitempty" v:"req"`
	Org    protocol.OrgID `cbor:"3,keyasint,omitzero" json:"organisation,omitzero"`
	When   string         `cbor:"4,keyasint,omitempty" json:"when,omitempty" v:"req"`
	Result string         `cbor:"5,keyasint,omitempty" json:"result,omitempty"`
}
