package referral

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/national-alliance/alliance/protocol"
)

// Draft is a referral as a person's JSON file holds it. Organisations are
// named, by name or ID; [Draft.Resolve] looks them up.
//
//	{
//	  "recipients": [
//	    {"organisation": "Example Police", "services": ["police-report"], "parts": ["identity", "evidence"]}
//	  ],
//	  "watchers": ["Example Commission"],
//	  "summary":  {"services": […], "urgency": {"priority": "emergency", "danger_now": "yes"}, …},
//	  "case":     {"request": "…", "legal": {"basis": ["vital-interest"]}, …},
//	  "identity": {"safe_contact": {…}},
//	  "evidence": {}
//	}
//
// Times are RFC 3339 ("2026-11-23T15:04:05+05:30").
type Draft struct {
	Recipients []DraftTo    `json:"recipients"`
	Watchers   []string     `json:"watchers,omitempty"`
	Tied       []DraftTie   `json:"tied_bodies,omitempty"` // bodies the alleged person belongs to
	Consent    []DraftScope `json:"consent_scope,omitempty"`
	Withheld   []DraftScope `json:"withheld,omitempty"`
	Summary    Summary      `json:"summary"`
	Case       Case         `json:"case"`
	Identity   Identity     `json:"identity"`
	Evidence   Evidence     `json:"evidence"`
}

// DraftTo is a recipient by name. It reads the summary and the case part;
// Parts names what it reads beside them: identity, evidence.
type DraftTo struct {
	Organisation string   `json:"organisation"`
	Unit         string   `json:"unit,omitempty"`
	Services     []string `json:"services,omitempty"` // none: all of summary.services
	Parts        []string `json:"parts,omitempty"`
}

// DraftTie is a [Tie] by name.
type DraftTie struct {
	Organisation string `json:"organisation"`
	Unit         string `json:"unit,omitempty"`
	Outside      bool   `json:"outside,omitempty"` // it is no member
}

// DraftScope is a part and a body by name, for [Scope] and [Withheld].
type DraftScope struct {
	Part         string `json:"part"`
	Organisation string `json:"organisation"`
	Why          string `json:"why,omitempty"`     // of what is withheld
	Outside      bool   `json:"outside,omitempty"` // withheld from someone who is no member
}

// MaxDraft bounds a JSON file, in bytes.
const MaxDraft = 1 << 20

// ParseDraft reads a JSON file. A field that does not exist is an error which
// names it; so is anything after the end.
func ParseDraft(b []byte) (d Draft, err error) {
	if len(b) > MaxDraft {
		return d, fmt.Errorf("read referral: the file has %d bytes, at most %d are allowed", len(b), MaxDraft)
	}
	if err := decodeJSON(b, &d); err != nil {
		return Draft{}, fmt.Errorf("read referral: %w", err)
	}
	return d, nil
}

func decodeJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		// A type error would repeat the value; the field is enough.
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			return fmt.Errorf("field %q holds another kind of value than it should", t.Field)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows after the end")
	}
	return nil
}

// Readers says which organisations read each part beside the sender; the
// summary goes to the whole audience. Sorted.
type Readers struct {
	Case     []protocol.OrgID `json:"case"`
	Identity []protocol.OrgID `json:"identity"`
	Evidence []protocol.OrgID `json:"evidence"`
}

// Sets returns the readers of the four sections in their order.
func (r Readers) Sets(audience []protocol.OrgID) [SectionCount][]protocol.OrgID {
	return [SectionCount][]protocol.OrgID{sorted(audience), sorted(r.Case), sorted(r.Identity), sorted(r.Evidence)}
}

// Resolve looks up the organisations and returns the parts, not yet completed
// or checked, and who reads them. find gives the ID of a member by its name or
// ID, or an error.
func (d Draft) Resolve(find func(string) (protocol.OrgID, error)) (Parts, Readers, error) {
	p := Parts{Summary: d.Summary, Case: &d.Case, Identity: &d.Identity, Evidence: &d.Evidence}
	p = p.clone()
	var r Readers
	fail := func(err error) (Parts, Readers, error) {
		return Parts{}, Readers{}, fmt.Errorf("read referral: %w", err)
	}
	for i, to := range d.Recipients {
		org, err := find(to.Organisation)
		if err != nil {
			return fail(fmt.Errorf("recipients[%d]: %w", i, err))
		}
		p.Summary.Recipients = append(p.Summary.Recipients, To{org, to.Unit, to.Services})
		r.Case = append(r.Case, org)
		for _, part := range to.Parts {
			switch part {
			case "summary", "case": // read by every recipient
			case "identity":
				r.Identity = append(r.Identity, org)
			case "evidence":
				r.Evidence = append(r.Evidence, org)
			default:
				return fail(fmt.Errorf("recipients[%d].parts: want identity or evidence", i))
			}
		}
	}
	for i, name := range d.Watchers {
		org, err := find(name)
		if err != nil {
			return fail(fmt.Errorf("watchers[%d]: %w", i, err))
		}
		p.Summary.Watchers = append(p.Summary.Watchers, org)
	}
	for i, t := range d.Tied {
		tie := Tie{Body: t.Organisation, Unit: t.Unit}
		// A misspelt member would lift the protection that its name gives.
		if !t.Outside {
			org, err := find(t.Organisation)
			if err != nil {
				return fail(fmt.Errorf("tied_bodies[%d]: %w; a body that is no member is marked with \"outside\": true", i, err))
			}
			tie.Organisation = org
		}
		p.Case.TiedBodies = append(p.Case.TiedBodies, tie)
	}
	for i, s := range d.Consent {
		org, err := find(s.Organisation)
		if err != nil {
			return fail(fmt.Errorf("consent_scope[%d]: %w", i, err))
		}
		if p.Case.Legal.Consent == nil {
			p.Case.Legal.Consent = new(Consent)
		}
		p.Case.Legal.Consent.Scope = append(p.Case.Legal.Consent.Scope, Scope{s.Part, org})
	}
	for i, s := range d.Withheld {
		w := Withheld{Part: s.Part, From: s.Organisation, Why: s.Why}
		if !s.Outside {
			org, err := find(s.Organisation)
			if err != nil {
				return fail(fmt.Errorf("withheld[%d]: %w; someone who is no member is marked with \"outside\": true", i, err))
			}
			w.Organisation = org
		}
		p.Case.Legal.Withheld = append(p.Case.Legal.Withheld, w)
	}
	slices.SortFunc(p.Summary.Watchers, protocol.OrgID.Compare)
	r.Case, r.Identity, r.Evidence = sorted(r.Case), sorted(r.Identity), sorted(r.Evidence)
	return p, r, nil
}
