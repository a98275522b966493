package alert

import (
	"fmt"
	"strings"
)

// TLP is a Traffic Light Protocol 2.0 label (FIRST, August 2022): how far a
// reader may pass the text on. A greater one is stricter. On the wire a label
// is CAP's restriction text; as text "TLP:AMBER+STRICT", among others.
type TLP uint8

// The labels.
const (
	TLPClear       TLP = 1 // anyone
	TLPGreen       TLP = 2 // the alliance's community, not the public
	TLPAmber       TLP = 3 // the own organisation and those it serves, who need to know
	TLPAmberStrict TLP = 4 // the own organisation, who need to know
	TLPRed         TLP = 5 // the persons addressed, nobody else
)

// DefaultTLP holds where an alert is not public and names no label.
const DefaultTLP = TLPAmberStrict

var tlpNames = [...]string{TLPClear: "CLEAR", TLPGreen: "GREEN", TLPAmber: "AMBER", TLPAmberStrict: "AMBER+STRICT", TLPRed: "RED"}

// String returns the label as the standard writes it, "TLP:AMBER+STRICT".
func (t TLP) String() string {
	if t == 0 || int(t) >= len(tlpNames) {
		return fmt.Sprintf("TLP %d", uint8(t))
	}
	return "TLP:" + tlpNames[t]
}

// MarshalText returns String's text.
func (t TLP) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is [ParseTLP].
func (t *TLP) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTLP(string(b))
	return err
}

// ParseTLP reads a label, with or without "TLP:", in capitals or not.
func ParseTLP(s string) (TLP, error) {
	name, _ := strings.CutPrefix(strings.ToUpper(s), "TLP:")
	for t, n := range tlpNames {
		if n != "" && n == name {
			return TLP(t), nil
		}
	}
	return 0, fmt.Errorf("%q is not a TLP 2.0 label (TLP:RED, TLP:AMBER+STRICT, TLP:AMBER, TLP:GREEN, TLP:CLEAR)", clip(s))
}

// TLP returns the label that the alert goes under: its restriction's; without
// one, clear where it is public and DefaultTLP elsewhere. A restriction that is
// no label, as an imported alert may have, counts as TLP:RED.
func (a *Alert) TLP() TLP {
	if a.Restriction == "" {
		if a.Scope == ScopePublic {
			return TLPClear
		}
		return DefaultTLP
	}
	t, err := ParseTLP(a.Restriction)
	if err != nil {
		return TLPRed
	}
	return t
}
