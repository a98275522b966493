package alert

import (
	"reflect"
	"slices"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// FuzzParseCAP: never panics; what is read is valid, and round-trips as XML
// and as a body.
func FuzzParseCAP(f *testing.F) {
	// Small seeds: large ones are minimised for minutes, and nothing is tried.
	head := `<alert xmlns="` + Namespace + `"><identifier>i</identifier><sender>s</sender><sent>2026-11-23T10:00:00+05:30</sent><status>Test</status>`
	info := `<info><category>Met</category><event>e</event><urgency>Past</urgency><severity>Minor</severity><certainty>Likely</certainty>`
	f.Add([]byte(head + `<msgType>Alert</msgType><scope>Public</scope></alert>`))
	f.Add([]byte(head + `<msgType>Update</msgType><scope>Private</scope><addresses>a "b c"</addresses><references>s,h,2026-11-23T10:00:00-00:00</references></alert>`))
	f.Add([]byte(head + `<msgType>Alert</msgType><scope>Public</scope>` + info + `<parameter><valueName>&lt;</valueName><value>&#9;</value></parameter></info></alert>`))
	f.Add([]byte(head + `<msgType>Alert</msgType><scope>Public</scope>` + info + `<area><areaDesc>a</areaDesc><polygon>1,1 1,2 2,2 1,1</polygon><circle>1,1 1</circle></area></info></alert>`))
	f.Add([]byte(head + `<msgType>Alert</msgType><scope>Public</scope>` + info + `<resource><resourceDesc/><mimeType>a/b</mimeType><size>1</size><derefUri>YWE=</derefUri></resource></info></alert>`))
	f.Add([]byte(head + `<msgType>Alert</msgType><scope>Public</scope><x:y xmlns:x="http://www.w3.org/2000/09/xmldsig#"><z/></x:y></alert>`))
	f.Add([]byte("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, _, err := ParseCAP(b)
		if err != nil {
			if len(Findings(err)) != 1 {
				t.Fatalf("no rule is named: %v", err)
			}
			return
		}
		doc, err := a.CAP()
		if err != nil {
			if len(b) > MaxCAP/4 {
				return // escapes and indents may make it too long
			}
			t.Fatalf("read and not written: %v", err)
		}
		dropEmbedded(a)
		back, _, err := ParseCAP(doc)
		if err != nil || !reflect.DeepEqual(a, back) {
			t.Fatalf("read again: %v\n%+v\n%+v", err, a, back)
		}
		for kind, msg := range msgTypeOf {
			if msg != a.MsgType {
				continue
			}
			enc, err := EncodeBody(kind, Body{Alert: a})
			if err != nil {
				t.Fatal(err)
			}
			if body, err := DecodeBody(kind, enc); err != nil || !reflect.DeepEqual(body.Alert, a) {
				t.Fatalf("decoded: %v", err)
			}
		}
		_, _ = a.Profile()
		a.Window()
	})
}

func dropEmbedded(a *Alert) {
	for i := range a.Infos {
		for r := range a.Infos[i].Resources {
			a.Infos[i].Resources[r].Embedded = false
		}
	}
}

var kinds = []string{KindIssue, KindUpdate, KindCancel, KindAck}

// FuzzDecodeBody: never panics; what is decoded fits its kind, and encodes to
// a body that decodes equal.
func FuzzDecodeBody(f *testing.F) {
	for n, kind := range kinds {
		body := Body{Ack: &Ack{What: []Action{ActionCannot}, Reason: "no desk"}}
		if kind != KindAck {
			a := &Alert{Identifier: "i", Sender: "s", Sent: "2026-11-23T10:00:00+05:30", Status: StatusTest, MsgType: msgTypeOf[kind], Scope: ScopePublic,
				Infos: []Info{{Categories: []DangerCategory{"Met"}, Urgency: "Past", Severity: "Minor", Certainty: "Likely"}}}
			a.References = []Reference{a.Ref()}
			body = Body{Alert: a}
		}
		b, err := EncodeBody(kind, body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(n), b)
	}
	f.Fuzz(func(t *testing.T, n byte, b []byte) {
		kind := kinds[int(n)%len(kinds)]
		body, err := DecodeBody(kind, b)
		if err != nil {
			return
		}
		if err := body.Fits(kind); err != nil {
			t.Fatal(err)
		}
		enc := protocol.Encode(body)
		again, err := DecodeBody(kind, enc)
		if err != nil {
			t.Fatal(err)
		}
		if got := protocol.Encode(again); string(got) != string(enc) {
			t.Fatalf("%x then %x", enc, got)
		}
	})
}

// FuzzFold: never panics on any graph, and the order makes no difference. Each
// four bytes are an event: author and kind, time, and two references.
func FuzzFold(f *testing.F) {
	f.Add([]byte{0, 1, 9, 9, 1, 2, 0, 9, 3, 3, 1, 0})
	f.Add([]byte{0, 1, 9, 9, 1, 2, 0, 2, 1, 3, 1, 9, 2, 4, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		kinds := append(slices.Clone(kinds), "alert/novelty")
		var events, reverse []Event
		for n := 0; n+4 <= len(b) && n < 4*250; n += 4 {
			e := Event{ID: protocol.RecordID{byte(n / 4)}, Author: protocol.OrgID{b[n] >> 6}, Kind: kinds[int(b[n]%8)%len(kinds)], Time: int64(b[n+1]),
				Refs: []protocol.RecordID{{b[n+2]}, {b[n+3]}}}
			switch {
			case b[n]&32 != 0: // hollow
			case e.Kind == KindAck:
				e.Body.Ack = &Ack{What: []Action{ActionNone}}
			default:
				e.Body.Alert = &Alert{Sent: "2026-01-26T10:00:00+05:30"}
			}
			events = append(events, e)
			reverse = append([]Event{e}, reverse...)
		}
		s, r := Fold(events), Fold(append(reverse, events...))
		if !reflect.DeepEqual(s.Threads, r.Threads) || !reflect.DeepEqual(s.Pending, r.Pending) || !reflect.DeepEqual(s.Stray, r.Stray) {
			t.Fatalf("forwards\n%s\nbackwards\n%s", tell(s), tell(r))
		}
		for _, th := range s.Threads {
			if len(th.Versions) == 0 || th.Versions[0].ID != th.Root || th.Alert() == nil {
				t.Fatalf("a thread without its issue: %s", tell(s))
			}
			th.StandingAt(0)
			th.Seen(th.Issuer)
		}
	})
}
