package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// plan is network.json: who takes part.
type plan struct {
	Invented    bool     `json:"invented"` // must be true
	Title       string   `json:"title"`
	Secretariat string   `json:"secretariat"`
	Officers    []string `json:"officers"`
	Threshold   int      `json:"threshold"`
	Members     struct {
		North    member `json:"north"`
		South    member `json:"south"`
		Police   member `json:"police"`
		Ministry member `json:"ministry"`
	} `json:"members"`
}

// member is an organisation that joins.
type member struct {
	Name  string `json:"name"`
	Class string `json:"class"`
	Kind  string `json:"kind"`
	Later string `json:"later,omitempty"` // the kind that it becomes
	Desk  desk   `json:"desk"`
}

// desk is whom others call.
type desk struct {
	Unit  string `json:"unit"`
	Role  string `json:"role"`
	Phone string `json:"phone"`
}

func readPlan(path string) (p plan, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return p, fmt.Errorf("read input: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, fmt.Errorf("read input %s: %w", path, err)
	}
	if !p.Invented {
		err = errors.New("read input: it does not say that it is invented, and this is for nothing else")
	}
	return p, err
}
