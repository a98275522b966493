package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// TestWire pins the bytes, which other implementations and old records hold.
func TestWire(t *testing.T) {
	size := int64(12)
	full := &Alert{
		Identifier: "i", Sender: "s", Sent: "2026-01-26T10:00:00+05:30", Status: StatusTest, MsgType: MsgAlert, Source: "o",
		Scope: ScopePrivate, Restriction: "r", Addresses: []string{"a"}, Codes: []string{"c"}, Note: "n",
		References: []Reference{{"rs", "ri", "2026-01-25T10:00:00+05:30"}}, Incidents: []string{"x"},
		Infos: []Info{{
			Language: "en", Categories: []DangerCategory{"Other"}, Event: "e", ResponseTypes: []ResponseType{"None"},
			Urgency: "Past", Severity: "Minor", Certainty: "Likely", Audience: "au", EventCodes: []Pair{{"n", "v"}},
			Effective: "2026-01-26T10:00:00+05:30", Onset: "2026-01-26T10:00:00+05:30", Expires: "2026-01-26T10:00:00+05:30",
			SenderName: "sn", Headline: "h", Description: "d", Instruction: "in", Web: "w:x", Contact: "ct", Parameters: []Pair{{"p", "q"}},
			Resources: []Resource{{Desc: "rd", MimeType: "m", Size: &size, URI: "u:v", Digest: "dg", Embedded: true}},
			Areas:     []Area{{Desc: "ad", Polygons: []string{"1,1 1,2 2,2 1,1"}, Circles: []string{"1,1 1"}, Geocodes: []Pair{{"g", "h"}}, Altitude: "1", Ceiling: "2"}},
		}},
	}
	b, err := EncodeBody(KindIssue, Body{Alert: full})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if got, want := hex.EncodeToString(sum[:]), "d332c668517c87df38179640e78e872f1faff9475699ee87430b9dcce54d32af"; got != want {
		t.Errorf("a body with every field hashes to %s, want %s: the wire format changed\n%x", got, want, b)
	}
	ack, err := EncodeBody(KindAck, Body{Ack: &Ack{What: []Action{ActionCannot}, Reason: "no desk"}})
	if got, want := hex.EncodeToString(ack), "a102a201816a63616e6e6f742d61637402676e6f206465736b"; err != nil || got != want {
		t.Errorf("acknowledgement %s, want %s: %v", got, want, err)
	}
}

func TestDecodeBody(t *testing.T) {
	a, _ := example(t)
	body, err := EncodeBody(KindIssue, Body{Alert: a})
	if err != nil {
		t.Fatal(err)
	}
	// A newer program's fields, at each level, are passed over.
	newer := protocol.Encode(map[int]any{1: map[int]any{1: "i", 2: "s", 3: "2026-01-26T10:00:00+05:30", 4: "Test", 5: "Alert", 7: "Public", 90: "new"}, 91: []int{1}})
	if got, err := DecodeBody(KindIssue, newer); err != nil || got.Alert.Identifier != "i" {
		t.Errorf("newer fields: %v", err)
	}
	unknown := protocol.Encode(map[int]any{2: map[int]any{1: []string{"novelty"}}})
	if got, err := DecodeBody(KindAck, unknown); err != nil || got.Ack.What[0] != "novelty" {
		t.Errorf("an unknown action is not kept: %v", err)
	}
	cases := []struct {
		name string
		kind string
		b    []byte
		want string // in the error
		enc  bool   // ErrEncoding
	}{
		{"empty", KindIssue, nil, "CBOR", true},
		{"truncated", KindIssue, body[:len(body)-1], "CBOR", true},
		{"trailing", KindIssue, append(append([]byte{}, body...), 0), "CBOR", true},
		{"too long", KindIssue, make([]byte, MaxBody+1), "at most", true},
		{"not minimal", KindAck, []byte{0xa1, 0x18, 0x02, 0xa1, 0x01, 0x81, 0x64, 'n', 'o', 'n', 'e'}, "canonical", true},
		{"another type", KindIssue, protocol.Encode(map[int]any{1: "alert"}), "CBOR", true},
		{"empty map", KindIssue, protocol.Encode(map[int]any{}), "does not hold", false},
		{"update as issue", KindUpdate, body, "msgType", false},
		{"alert as ack", KindAck, body, "does not hold", false},
		{"both", KindIssue, protocol.Encode(Body{Alert: a, Ack: &Ack{What: []Action{ActionNone}}}), "does not hold", false},
		{"unknown kind", "alert/other", body, "no kind", false},
		{"breaks a rule of CAP", KindIssue, protocol.Encode(map[int]any{1: map[int]any{1: "i d", 5: "Alert"}}), "rule identifier", false},
		{"control character", KindIssue, protocol.Encode(Body{Alert: &Alert{Identifier: "i", Sender: "s", MsgType: MsgAlert, Note: "\x02"}}), "rule utf-8", false},
		{"cannot-act without reason", KindAck, protocol.Encode(Body{Ack: &Ack{What: []Action{ActionCannot}}}), "reason", false},
		{"no action", KindAck, protocol.Encode(Body{Ack: &Ack{What: []Action{}}}), "what was done", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := DecodeBody(c.kind, c.b)
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, protocol.ErrEncoding) != c.enc {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if !reflect.DeepEqual(got, Body{}) {
				t.Error("a refused body was returned")
			}
		})
	}
}

func TestAck(t *testing.T) {
	good := []Ack{
		{What: []Action{ActionReported, ActionBlocked}},
		{What: []Action{ActionNone}},
		{What: []Action{ActionCannot}, Reason: "no desk tonight"},
		{What: []Action{ActionChecked}, Reason: "nothing found"},
	}
	for _, k := range good {
		if _, err := EncodeBody(KindAck, Body{Ack: &k}); err != nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
	bad := []Ack{
		{},
		{What: []Action{""}},
		{What: []Action{"novelty"}},
		{What: []Action{ActionReported, ActionReported}},
		{What: []Action{ActionReported, ActionNone}},
		{What: []Action{ActionCannot, ActionReported}, Reason: "x"},
		{What: []Action{ActionCannot}, Reason: " "},
		{What: []Action{ActionReported}, Reason: strings.Repeat("a", MaxReason+1)},
		{What: []Action{ActionReported}, Reason: "\x00"},
	}
	for _, k := range bad {
		if _, err := EncodeBody(KindAck, Body{Ack: &k}); err == nil {
			t.Errorf("%+v was encoded", k)
		}
	}
	if k, err := ParseAck([]string{"reported", "checked-records"}, ""); err != nil || len(k.What) != 2 {
		t.Error(err)
	}
	for _, what := range [][]string{nil, {"novelty"}, {"none", "reported"}, {"cannot-act"}} {
		if _, err := ParseAck(what, ""); err == nil {
			t.Errorf("%v was read", what)
		}
	}
}

func TestLongAlert(t *testing.T) {
	a, _ := example(t)
	a.Note = strings.Repeat("a", MaxBody)
	if _, err := a.CAP(); err == nil {
		t.Error("a document too long to read was written")
	}
	if _, err := EncodeBody(KindIssue, Body{Alert: a}); err == nil {
		t.Error("a body too long to read was encoded")
	}
}
