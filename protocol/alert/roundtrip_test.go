package alert

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/national-alliance/alliance/protocol"
)

// genText draws text with everything that XML must escape or could bend.
func genText(min int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("ab 7<>&\"'],;\t\n\r]कா़é\u200d😀\ufffd\u2028")), min, 12, -1)
}

func genWord() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("ab7>'\"]-_.:@é")), 1, 10, -1)
}

// genItem draws an item of a list: no quotation mark, not blank.
func genItem() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-c]?[a-c<&]( ?|\n|\r)[a-c]+`)
}

func genTime() *rapid.Generator[DateTime] {
	return rapid.Custom(func(t *rapid.T) DateTime {
		d, err := DateTimeOf(rapid.Int64Range(-60e9, 250e9).Draw(t, "unix"), rapid.IntRange(-840, 840).Draw(t, "offset"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func genPairs() *rapid.Generator[[]Pair] {
	return list(rapid.Custom(func(t *rapid.T) Pair { return Pair{genText(0).Draw(t, "name"), genText(0).Draw(t, "value")} }))
}

// list draws nothing as nil, which is what reading gives.
func list[T any](g *rapid.Generator[T]) *rapid.Generator[[]T] {
	return rapid.Map(rapid.SliceOfN(g, 0, 3), func(s []T) []T {
		if len(s) == 0 {
			return nil
		}
		return s
	})
}

func maybe[T any](t *rapid.T, label string, g *rapid.Generator[T]) (v T) {
	if rapid.Bool().Draw(t, "has "+label) {
		v = g.Draw(t, label)
	}
	return v
}

func genDecimal() *rapid.Generator[string] {
	return rapid.StringMatching(`[+-]?[0-9]{1,3}(\.[0-9]{0,2})?`)
}

func genArea() *rapid.Generator[Area] {
	coordinate := rapid.StringMatching(`-?[1-8]?[0-9](\.[0-9]{1,4})?,-?1?[0-7]?[0-9](\.[0-9]{1,4})?`)
	polygon := rapid.Map(rapid.SliceOfN(coordinate, 3, 5), func(s []string) string {
		out := ""
		for _, c := range s {
			out += c + " "
		}
		return out + s[0]
	})
	circle := rapid.Map(coordinate, func(s string) string { return s + " 1.5" })
	return rapid.Custom(func(t *rapid.T) Area {
		a := Area{Desc: genText(0).Draw(t, "desc"), Polygons: list(polygon).Draw(t, "polygons"), Circles: list(circle).Draw(t, "circles"),
			Geocodes: genPairs().Draw(t, "geocodes"), Altitude: maybe(t, "altitude", genDecimal())}
		if a.Altitude != "" {
			a.Ceiling = maybe(t, "ceiling", genDecimal())
		}
		return a
	})
}

func genResource() *rapid.Generator[Resource] {
	return rapid.Custom(func(t *rapid.T) Resource {
		r := Resource{Desc: genText(0).Draw(t, "desc"), MimeType: genText(0).Draw(t, "type"), URI: maybe(t, "uri", genWord()), Digest: maybe(t, "digest", genText(1))}
		if rapid.Bool().Draw(t, "has size") {
			n := rapid.Int64Range(0, 1<<40).Draw(t, "size")
			r.Size = &n
		}
		return r
	})
}

func genInfo() *rapid.Generator[Info] {
	return rapid.Custom(func(t *rapid.T) Info {
		return Info{
			Language:      maybe(t, "language", rapid.SampledFrom([]string{"en-IN", "hi", "ta", "sat-Olck", "x-y"})),
			Categories:    rapid.SliceOfN(rapid.SampledFrom(dangers), 1, 3).Draw(t, "categories"),
			Event:         genText(0).Draw(t, "event"),
			ResponseTypes: list(rapid.SampledFrom(responseTypes)).Draw(t, "responses"),
			Urgency:       rapid.SampledFrom(urgencies).Draw(t, "urgency"),
			Severity:      rapid.SampledFrom(severities).Draw(t, "severity"),
			Certainty:     rapid.SampledFrom(certainties).Draw(t, "certainty"),
			Audience:      maybe(t, "audience", genText(1)),
			EventCodes:    genPairs().Draw(t, "codes"),
			Effective:     maybe(t, "effective", genTime()),
			Onset:         maybe(t, "onset", genTime()),
			Expires:       maybe(t, "expires", genTime()),
			SenderName:    maybe(t, "name", genText(1)),
			Headline:      maybe(t, "headline", genText(1)),
			Description:   maybe(t, "description", genText(1)),
			Instruction:   maybe(t, "instruction", genText(1)),
			Web:           maybe(t, "web", genWord()),
			Contact:       maybe(t, "contact", genText(1)),
			Parameters:    genPairs().Draw(t, "parameters"),
			Resources:     list(genResource()).Draw(t, "resources"),
			Areas:         list(genArea()).Draw(t, "areas"),
		}
	})
}

func genAlert() *rapid.Generator[*Alert] {
	ref := rapid.Custom(func(t *rapid.T) Reference {
		return Reference{genWord().Draw(t, "sender"), genWord().Draw(t, "identifier"), genTime().Draw(t, "sent")}
	})
	return rapid.Custom(func(t *rapid.T) *Alert {
		a := &Alert{
			Identifier:  genWord().Draw(t, "identifier"),
			Sender:      genWord().Draw(t, "sender"),
			Sent:        genTime().Draw(t, "sent"),
			Status:      rapid.SampledFrom(statuses).Draw(t, "status"),
			MsgType:     rapid.SampledFrom(msgTypes).Draw(t, "msgType"),
			Source:      maybe(t, "source", genText(1)),
			Scope:       rapid.SampledFrom(scopes).Draw(t, "scope"),
			Restriction: maybe(t, "restriction", genText(1)),
			Addresses:   list(genItem()).Draw(t, "addresses"),
			Codes:       list(genText(1)).Draw(t, "codes"),
			Note:        maybe(t, "note", genText(1)),
			References:  list(ref).Draw(t, "references"),
			Incidents:   list(genItem()).Draw(t, "incidents"),
			Infos:       list(genInfo()).Draw(t, "infos"),
		}
		if a.Scope == ScopeRestricted && blank(a.Restriction) {
			a.Restriction = "TLP:AMBER"
		}
		if a.Scope == ScopePrivate && a.Addresses == nil {
			a.Addresses = []string{"a b"}
		}
		if a.MsgType != MsgAlert && a.References == nil {
			a.References = []Reference{a.Ref()}
		}
		return a
	})
}

// TestRoundTrip: what is written as XML or as a body reads back equal, for any
// valid alert.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := genAlert().Draw(t, "alert")
		doc, err := a.CAP()
		if err != nil {
			t.Fatalf("a drawn alert is not valid: %v", err)
		}
		back, _, err := ParseCAP(doc)
		if err != nil || !reflect.DeepEqual(a, back) {
			t.Fatalf("read %v\n got %+v\nwant %+v\n%s", err, back, a, doc)
		}
		for kind, msg := range msgTypeOf {
			b, err := EncodeBody(kind, Body{Alert: a})
			if (err == nil) != (msg == a.MsgType) {
				t.Fatalf("%s of msgType %s: %v", kind, a.MsgType, err)
			}
			if err != nil {
				continue
			}
			body, err := DecodeBody(kind, b)
			if err != nil || !reflect.DeepEqual(body.Alert, a) {
				t.Fatalf("decoded %v\n got %+v\nwant %+v", err, body.Alert, a)
			}
			if _, err := protocol.Decode[Body](b, MaxBody); err != nil {
				t.Fatalf("the body is not canonical: %v", err)
			}
		}
	})
}

func TestDateTimeOf(t *testing.T) {
	for _, c := range []struct {
		unix   int64
		offset int
		want   string
	}{
		{0, 0, "1970-01-01T00:00:00-00:00"},
		{1795428000, 330, "2026-11-23T15:30:00+05:30"},
		{1795428000, -570, "2026-11-23T00:30:00-09:30"},
		{-1, 60, "1970-01-01T00:59:59+01:00"},
	} {
		if d, err := DateTimeOf(c.unix, c.offset); err != nil || string(d) != c.want || d.Unix() != c.unix {
			t.Errorf("%d at %d: %q, back %d, %v; want %q", c.unix, c.offset, d, d.Unix(), err, c.want)
		}
	}
	for _, c := range []struct {
		unix   int64
		offset int
	}{{0, 900}, {1 << 50, 0}, {-1 << 40, 0}} {
		if d, err := DateTimeOf(c.unix, c.offset); err == nil {
			t.Errorf("%d at %d gave %q", c.unix, c.offset, d)
		}
	}
	if DateTime("").Unix() != 0 || DateTime("x").Unix() != 0 {
		t.Error("an empty or wrong time is not 0")
	}
}

func ExampleDateTimeOf() {
	d, _ := DateTimeOf(1795428000, 330)
	fmt.Println(d)
	// Output: 2026-11-23T15:30:00+05:30
}
