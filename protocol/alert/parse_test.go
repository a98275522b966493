package alert

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// base is a small valid document; every case below changes one thing in it.
const base = `<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>EX-1</identifier>
  <sender>desk@member.example</sender>
  <sent>2026-11-23T10:00:00+05:30</sent>
  <status>Exercise</status>
  <msgType>Alert</msgType>
  <scope>Public</scope>
  <note>invented</note>
  <info>
    <language>en-IN</language>
    <category>Safety</category>
    <event>Example</event>
    <urgency>Future</urgency>
    <severity>Minor</severity>
    <certainty>Observed</certainty>
    <expires>2026-11-24T10:00:00+05:30</expires>
    <headline>An invented headline</headline>
    <resource><resourceDesc>A page</resourceDesc><mimeType>text/plain</mimeType></resource>
    <area><areaDesc>An invented place</areaDesc></area>
  </info>
</alert>
`

func replace(t *testing.T, old, new string) string {
	t.Helper()
	if !strings.Contains(base, old) {
		t.Fatalf("the base document has no %q", old)
	}
	return strings.Replace(base, old, new, 1)
}

const area, resource, signed = "<areaDesc>An invented place</areaDesc>", "<mimeType>text/plain</mimeType>", "  </info>\n</alert>"

func TestEveryRuleIsNamed(t *testing.T) {
	if _, w, err := ParseCAP([]byte(base)); err != nil || len(w) > 0 {
		t.Fatalf("the base document: %v, %v", err, w)
	}
	cases := []struct {
		name, old, new string
		rule           Rule
	}{
		// form
		{"document type", "<alert ", "<!DOCTYPE alert>\n<alert ", RuleDTD},
		{"internal entity", "<alert ", "<!DOCTYPE alert [<!ENTITY x \"y\">]>\n<alert ", RuleDTD},
		{"external entity", "<alert ", "<!DOCTYPE alert [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>\n<alert ", RuleDTD},
		{"declaration inside", "<note>", "<!ELEMENT note ANY><note>", RuleDTD},
		{"unknown entity", "invented<", "&nbsp;invented<", RuleEntity},
		{"bare ampersand", "invented<", "this & that<", RuleEntity},
		{"entity in attribute", "<alert ", "<alert xmlns:x=\"&x;\" ", RuleEntity},
		{"wrong encoding declared", "UTF-8", "ISO-8859-1", RuleUTF8},
		{"not UTF-8", "invented<", "\xff<", RuleUTF8},
		{"control character", "invented<", "a\x01b<", RuleUTF8},
		{"character number of a control character", "invented<", "&#1;<", RuleWellFormed},
		{"XML 1.1", "version=\"1.0\"", "version=\"1.1\"", RuleWellFormed},
		{"declaration not at start", "<alert ", "<?xml version=\"1.0\"?><alert ", RuleWellFormed},
		{"not closed", "</alert>", "", RuleWellFormed},
		{"crossed", "</note>", "</notes>", RuleWellFormed},
		{"text outside", "</alert>\n", "</alert>\nmore", RuleWellFormed},
		{"second root", "</alert>\n", "</alert>\n<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"/>", RuleWellFormed},
		{"attribute twice", "<alert ", "<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\" ", RuleWellFormed},
		{"CAP 1.1", "cap:1.2", "cap:1.1", RuleNamespace},
		{"no namespace", " xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"", "", RuleNamespace},
		{"other namespace inside", "<note>", "<x:y xmlns:x=\"urn:example\"/><note>", RuleNamespace},
		{"undeclared prefix", "<note>invented</note>", "<cap:note>invented</cap:note>", RuleNamespace},
		{"namespace switched off", "<note>", "<note xmlns=\"\">", RuleNamespace},
		{"signature inside info", "<area>", "<Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"/><area>", RuleNamespace},
		{"attribute", "<note>", "<note id=\"1\">", RuleAttribute},
		{"xml:lang", "<note>", "<note xml:lang=\"en\">", RuleAttribute},
		{"xsi:nil", "<note>", "<note xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\">", RuleAttribute},
		{"text between elements", "<area>", "stray<area>", RuleContent},
		{"element in text", "<note>", "<note><source>x</source>", RuleContent},
		// elements
		{"unknown element", "<note>", "<colour>red</colour><note>", RuleElement},
		{"out of order", "<note>invented</note>", "<note>invented</note><source>x</source>", RuleElement},
		{"twice", "<note>", "<note>again</note><note>", RuleElement},
		{"info element at the top", "<info>", "<headline>x</headline><info>", RuleElement},
		{"identifier missing", "<identifier>EX-1</identifier>", "", RuleElement},
		{"scope missing", "<scope>Public</scope>", "", RuleElement},
		{"category missing", "<category>Safety</category>", "", RuleElement},
		{"urgency missing", "<urgency>Future</urgency>", "", RuleElement},
		{"resourceDesc missing", "<resourceDesc>A page</resourceDesc>", "", RuleElement},
		{"areaDesc missing", area, "", RuleElement},
		{"pair without value", "<expires>", "<eventCode><valueName>X</valueName></eventCode><expires>", RuleElement},
		{"after the signature", signed, "</info><Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"/><info/></alert>", RuleElement},
		// values
		{"identifier empty", "EX-1", "", RuleIdentifier},
		{"identifier with space", "EX-1", "EX 1", RuleIdentifier},
		{"identifier with comma", "EX-1", "EX,1", RuleIdentifier},
		{"identifier with less-than", "EX-1", "EX&lt;1", RuleIdentifier},
		{"identifier with ampersand", "EX-1", "EX&amp;1", RuleIdentifier},
		{"sender with space", "desk@member.example", "desk at member", RuleIdentifier},
		{"Z", "10:00:00+05:30</sent>", "10:00:00Z</sent>", RuleDateTime},
		{"fraction", "10:00:00+05:30</sent>", "10:00:00.5+05:30</sent>", RuleDateTime},
		{"no offset", "10:00:00+05:30</sent>", "10:00:00</sent>", RuleDateTime},
		{"offset too far", "+05:30</sent>", "+15:00</sent>", RuleDateTime},
		{"offset of sixty minutes", "+05:30</sent>", "+05:60</sent>", RuleDateTime},
		{"hour 24", "10:00:00+05:30</sent>", "24:00:00+05:30</sent>", RuleDateTime},
		{"year nought", "2026-11-23T10", "0000-11-23T10", RuleDateTime},
		{"no such day", "2026-11-23", "2026-02-30", RuleDateTime},
		{"expires with Z", "10:00:00+05:30</expires>", "10:00:00Z</expires>", RuleDateTime},
		{"expires empty", "2026-11-24T10:00:00+05:30", "", RuleDateTime},
		{"status", "Exercise", "exercise", RuleCode},
		{"status with spaces", "Exercise", " Exercise ", RuleCode},
		{"msgType", ">Alert<", ">Alarm<", RuleCode},
		{"scope", "Public", "World", RuleCode},
		{"category", "Safety", "Danger", RuleCode},
		{"responseType", "<urgency>", "<responseType>Run</responseType><urgency>", RuleCode},
		{"urgency", "Future", "Soon", RuleCode},
		{"severity", "Minor", "Small", RuleCode},
		{"certainty", "Observed", "Sure", RuleCode},
		{"Restricted without restriction", "Public", "Restricted", RuleRestriction},
		{"Private without addresses", "Public", "Private", RuleAddresses},
		{"Update without references", ">Alert<", ">Update<", RuleReferences},
		{"Cancel without references", ">Alert<", ">Cancel<", RuleReferences},
		{"Ack without references", ">Alert<", ">Ack<", RuleReferences},
		{"Error without references", ">Alert<", ">Error<", RuleReferences},
		{"reference of two", "</note>", "</note><references>a,b</references>", RuleReferences},
		{"reference without sender", "</note>", "</note><references>,b,2026-11-23T10:00:00+05:30</references>", RuleReferences},
		{"reference with Z", "</note>", "</note><references>a,b,2026-11-23T10:00:00Z</references>", RuleReferences},
		{"references parted by a comma", "</note>", "</note><references>a,b,2026-11-23T10:00:00+05:30,c,d,2026-11-23T10:00:00+05:30</references>", RuleReferences},
		{"open quotation", "<note>", "<addresses>\"a b</addresses><note>", RuleList},
		{"quotation inside", "<note>", "<addresses>a\"b</addresses><note>", RuleList},
		{"quotation without space after", "</note>", "</note><incidents>\"a b\"c</incidents>", RuleList},
		{"empty quotation", "</note>", "</note><incidents>\"\"</incidents>", RuleList},
		{"language", "en-IN", "english!", RuleLanguage},
		{"language subtag too long", "en-IN", "en-123456789", RuleLanguage},
		{"three pairs", area, area + "<polygon>1,1 2,2 1,1</polygon>", RulePolygon},
		{"not closed polygon", area, area + "<polygon>1,1 1,2 2,2 2,1</polygon>", RulePolygon},
		{"latitude", area, area + "<polygon>91,1 1,2 2,2 91,1</polygon>", RulePolygon},
		{"longitude", area, area + "<polygon>1,181 1,2 2,2 1,181</polygon>", RulePolygon},
		{"pair without comma", area, area + "<polygon>1 1 1,2 2,2 1 1</polygon>", RulePolygon},
		{"exponent", area, area + "<polygon>1e1,1 1,2 2,2 1e1,1</polygon>", RulePolygon},
		{"not a number", area, area + "<polygon>NaN,1 1,2 2,2 NaN,1</polygon>", RulePolygon},
		{"circle without radius", area, area + "<circle>1,1</circle>", RuleCircle},
		{"circle with negative radius", area, area + "<circle>1,1 -2</circle>", RuleCircle},
		{"circle with two radii", area, area + "<circle>1,1 2 3</circle>", RuleCircle},
		{"circle out of range", area, area + "<circle>-90.1,1 2</circle>", RuleCircle},
		{"ceiling alone", area, area + "<ceiling>100</ceiling>", RuleCeiling},
		{"altitude", area, area + "<altitude>high</altitude>", RuleNumber},
		{"altitude empty", area, area + "<altitude></altitude>", RuleNumber},
		{"ceiling", area, area + "<altitude>1</altitude><ceiling>1..2</ceiling>", RuleNumber},
		{"size", resource, resource + "<size>1.5</size>", RuleNumber},
		{"size negative", resource, resource + "<size>-1</size>", RuleNumber},
		{"derefUri", resource, resource + "<derefUri>not base64!</derefUri>", RuleDerefURI},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, _, err := ParseCAP([]byte(replace(t, c.old, c.new)))
			var f *Finding
			if !errors.As(err, &f) || a != nil {
				t.Fatalf("read without a finding: %v", err)
			}
			if f.Rule != c.rule || !strings.Contains(err.Error(), string(c.rule)) {
				t.Errorf("rule %s is named, want %s: %v", f.Rule, c.rule, err)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	const dsig = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="s"><ds:SignedInfo><x:y xmlns:x="urn:example">t</x:y></ds:SignedInfo></ds:Signature>`
	cases := []struct {
		name, old, new string
		rule           Rule
	}{
		{"signature", signed, "  </info>\n" + dsig + "</alert>", RuleSignature},
		{"style sheet", "<alert ", "<?xml-stylesheet href='x.xsl'?>\n<alert ", RuleProcInst},
		{"empty optional", "<note>", "<addresses></addresses><note>", RuleEmpty},
		{"empty code", "<note>", "<code/><note>", RuleEmpty},
		{"file inside", resource, resource + "<derefUri>aW52\n ZW50ZWQ=</derefUri>", RuleDerefURI},
		{"UTC as +00:00", "+05:30</sent>", "+00:00</sent>", RuleDateTime},
		{"restriction elsewhere", "<note>", "<restriction>TLP:CLEAR</restriction><note>", RuleRestriction},
		{"exercise without note", "<note>invented</note>", "", RuleNote},
		{"expired", "2026-11-24T10", "2026-11-22T10", RuleExpires},
		{"relative web", "</headline>", "</headline><web>page</web>", RuleURI},
		{"relative uri", resource, resource + "<uri>page.txt</uri>", RuleURI},
		{"digest", resource, resource + "<digest>abc</digest>", RuleDigest},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, warnings, err := ParseCAP([]byte(replace(t, c.old, c.new)))
			if err != nil || a == nil {
				t.Fatalf("refused: %v", err)
			}
			if len(warnings) != 1 || warnings[0].Rule != c.rule {
				t.Errorf("warnings %v, want one for rule %s", warnings, c.rule)
			}
		})
	}
}

// TestAccepted holds forms that are valid, and that a hasty reader refuses.
func TestAccepted(t *testing.T) {
	first := replace(t, "x", "x")
	want, _, err := ParseCAP([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	same := map[string]string{
		"prefix":             strings.NewReplacer("xmlns=", "xmlns:cap=", "</", "</cap:", "<?", "<?", "<", "<cap:").Replace(strings.TrimPrefix(base, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")),
		"no declaration":     strings.TrimPrefix(base, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"),
		"byte order mark":    "\ufeff" + base,
		"CDATA":              replace(t, ">invented<", "><![CDATA[invented]]><"),
		"comment":            replace(t, ">invented<", ">inv<!-- & no entity &x; -->ented<"),
		"character number":   replace(t, ">invented<", ">in&#x76;ented<"),
		"white space":        replace(t, "2026-11-23T10:00:00+05:30", "\n 2026-11-23T10:00:00+05:30\t"),
		"schema location":    replace(t, "<alert ", `<alert xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:oasis:names:tc:emergency:cap:1.2 cap.xsd" `),
		"carriage returns":   strings.ReplaceAll(base, "\n", "\r\n"),
		"lower-case charset": replace(t, "UTF-8", "utf-8"),
	}
	for name, doc := range same {
		t.Run(name, func(t *testing.T) {
			got, warnings, err := ParseCAP([]byte(doc))
			if err != nil || len(warnings) > 0 || !reflect.DeepEqual(got, want) {
				t.Errorf("%v, %v\n got %+v\nwant %+v", err, warnings, got, want)
			}
		})
	}
	a, _, err := ParseCAP([]byte(replace(t, "<note>", "<addresses> a \"b c\"\n d </addresses><note>")))
	if want := []string{"a", "b c", "d"}; err != nil || !reflect.DeepEqual(a.Addresses, want) {
		t.Errorf("addresses %q, want %q: %v", a.Addresses, want, err)
	}
	a, _, err = ParseCAP([]byte(replace(t, "</note>", "</note><references>a,b,2026-11-23T10:00:00-00:00\n  c,d,2026-11-23T10:00:00+05:30</references>")))
	if want := []Reference{{"a", "b", "2026-11-23T10:00:00-00:00"}, {"c", "d", "2026-11-23T10:00:00+05:30"}}; err != nil || !reflect.DeepEqual(a.References, want) {
		t.Errorf("references %v, want %v: %v", a.References, want, err)
	}
	a, _, err = ParseCAP([]byte(replace(t, area, area+"<polygon>\n -1.50,179 1,2\n2,2 -1.5,179.0 </polygon><circle>-.5,+3. 0</circle><altitude>-3.5</altitude><ceiling>+4</ceiling>")))
	if err != nil || a.Infos[0].Areas[0].Polygons[0] != "-1.50,179 1,2 2,2 -1.5,179.0" {
		t.Errorf("coordinates: %v", err)
	}
	a, _, err = ParseCAP([]byte(replace(t, "<language>en-IN</language>", "<language/>")))
	if err != nil || a.Infos[0].Lang() != "en-US" {
		t.Errorf("an empty language: %v", err)
	}
}

func TestHugeDocuments(t *testing.T) {
	deep := func(n int) string {
		return replace(t, signed, "</info><s:Signature xmlns:s=\"http://www.w3.org/2000/09/xmldsig#\">"+strings.Repeat("<a>", n)+strings.Repeat("</a>", n)+"</s:Signature></alert>")
	}
	if _, _, err := ParseCAP([]byte(deep(MaxDepth - 2))); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	cases := []struct {
		name, doc string
		rule      Rule
	}{
		{"too long", replace(t, "invented<", strings.Repeat("a", MaxCAP)+"<"), RuleSize},
		{"nested", deep(MaxDepth - 1), RuleDepth},
		{"nested without end", strings.Repeat("<a>", MaxCAP/3), RuleNamespace},
		{"nested CAP", replace(t, "<note>", strings.Repeat("<note>", MaxDepth)), RuleDepth},
		{"many elements", replace(t, signed, "</info>"+strings.Repeat("<info/>", MaxParts)+"</alert>"), RuleSize},
		{"long list", replace(t, "<note>", strings.Repeat("<code>a</code>", MaxList+1)+"<note>"), RuleSize},
		{"many addresses", replace(t, "<note>", "<addresses>"+strings.Repeat("a ", MaxList+1)+"</addresses><note>"), RuleList},
		{"many references", replace(t, "</note>", "</note><references>"+strings.Repeat("a,b,2026-11-23T10:00:00+05:30 ", MaxList+1)+"</references>"), RuleSize},
		{"entities of entities", "<!DOCTYPE a [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>" + replace(t, "invented<", "&c;<")[39:], RuleDTD},
		{"empty", "", RuleWellFormed},
		{"blank", " \n", RuleWellFormed},
		{"another root", "<info xmlns=\"" + Namespace + "\"/>", RuleElement},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ParseCAP([]byte(c.doc))
			var f *Finding
			if !errors.As(err, &f) || f.Rule != c.rule {
				t.Errorf("got %v, want rule %s", err, c.rule)
			}
			if len(err.Error()) > 400 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
	many := replace(t, "<note>", strings.Repeat("<code/>", 3000)+"<note>")
	if _, warnings, err := ParseCAP([]byte(many)); err != nil || len(warnings) != MaxWarnings {
		t.Errorf("%d warnings, want %d: %v", len(warnings), MaxWarnings, err)
	}
}

// TestDocuments reads the documents in testdata that follow the shapes of the
// standard's appendix: each is valid and round-trips.
func TestDocuments(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d documents in testdata, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			a, _, err := ParseCAP(b)
			if err != nil {
				t.Fatal(err)
			}
			again, err := a.CAP()
			if err != nil {
				t.Fatal(err)
			}
			back, warnings, err := ParseCAP(again)
			if err != nil || !reflect.DeepEqual(a, back) {
				t.Errorf("written and read again: %v, %v\n%s", err, warnings, again)
			}
		})
	}
}

// TestValidate: what an Alert made by a program, and not read, can break too.
func TestValidate(t *testing.T) {
	long, size := make([]Pair, MaxList+1), int64(-1)
	cases := []struct {
		name   string
		change func(*Alert, *Info)
		rule   Rule
	}{
		{"nothing", func(*Alert, *Info) {}, ""},
		{"list of an alert", func(a *Alert, _ *Info) { a.Infos = append(a.Infos, make([]Info, MaxList)...) }, RuleSize},
		{"list of an info", func(_ *Alert, i *Info) { i.Parameters = long }, RuleSize},
		{"list of an area", func(_ *Alert, i *Info) { i.Areas[0].Geocodes = long }, RuleSize},
		{"character", func(_ *Alert, i *Info) { i.Areas[0].Geocodes[0].Value = "\x1f" }, RuleUTF8},
		{"not UTF-8", func(_ *Alert, i *Info) { i.Headline = "\xc3" }, RuleUTF8},
		{"code", func(a *Alert, _ *Info) { a.Codes = []string{""} }, RuleEmpty},
		{"address", func(a *Alert, _ *Info) { a.Addresses = []string{" "} }, RuleList},
		{"incident", func(a *Alert, _ *Info) { a.Incidents = []string{`a"`} }, RuleList},
		{"reference", func(a *Alert, _ *Info) { a.References = []Reference{{"a b", "c", a.Sent}} }, RuleReferences},
		{"reference without time", func(a *Alert, _ *Info) { a.References = []Reference{{"a", "c", ""}} }, RuleReferences},
		{"sent", func(a *Alert, _ *Info) { a.Sent = "" }, RuleDateTime},
		{"no category", func(_ *Alert, i *Info) { i.Categories = nil }, RuleElement},
		{"web", func(_ *Alert, i *Info) { i.Web = " https://a.example" }, RuleURI},
		{"uri", func(_ *Alert, i *Info) { i.Resources = []Resource{{URI: "x\n"}} }, RuleURI},
		{"size", func(_ *Alert, i *Info) { i.Resources = []Resource{{Size: &size}} }, RuleNumber},
		{"altitude", func(_ *Alert, i *Info) { i.Areas[0].Altitude = "-" }, RuleNumber},
		{"ceiling", func(_ *Alert, i *Info) { i.Areas[0].Altitude, i.Areas[0].Ceiling = "1", "+-1" }, RuleNumber},
		{"polygon on two lines", func(_ *Alert, i *Info) { i.Areas[0].Polygons = []string{"1,1 1,2\n2,2 1,1"} }, RulePolygon},
		{"circle without place", func(_ *Alert, i *Info) { i.Areas[0].Circles = []string{"1 1"} }, RuleCircle},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, _ := example(t)
			c.change(a, &a.Infos[0])
			err := a.Validate()
			var f *Finding
			if c.rule == "" && err != nil || c.rule != "" && (!errors.As(err, &f) || f.Rule != c.rule) {
				t.Errorf("got %v, want rule %q", err, c.rule)
			}
			if doc, cap := a.CAP(); (cap == nil) != (err == nil) || err != nil && doc != nil {
				t.Errorf("written: %v", cap)
			}
		})
	}
}
