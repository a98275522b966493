package alert

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxWarnings is how many warnings of a document are kept.
const MaxWarnings = 200

// ParseCAP reads one CAP 1.2 document (see the package comment). Errors are
// [*Finding] and name the rule that is broken, first one first. The warnings
// say what was passed over and where the document is valid but unwise; the
// alliance's own rules are [Alert.Profile]'s.
func ParseCAP(b []byte) (*Alert, []Finding, error) {
	root, warnings, err := document(b)
	if err != nil {
		return nil, nil, err
	}
	if root.name != "alert" {
		return nil, nil, &Finding{RuleElement, root.path, "the document is not a CAP alert"}
	}
	p := parser{warnings: warnings}
	a := p.alert(root)
	if p.err != nil {
		return nil, nil, p.err
	}
	if err := a.Validate(); err != nil {
		return nil, nil, err
	}
	for _, w := range a.advice() {
		p.warn(w.Rule, w.Where, w.Text)
	}
	return a, p.warnings, nil
}

// parser turns the tree into an Alert and keeps the first error.
type parser struct {
	warnings []Finding
	err      error
}

func (p *parser) fail(rule Rule, where, text string) {
	if p.err == nil {
		p.err = &Finding{rule, where, text}
	}
}

func (p *parser) warn(rule Rule, where, text string) {
	if len(p.warnings) < MaxWarnings {
		p.warnings = append(p.warnings, Finding{rule, where, text})
	}
}

// cursor walks the children of an element in the order of the schema.
type cursor struct {
	p    *parser
	at   *node
	left []*node
	done map[string]bool
}

func (p *parser) inside(n *node) *cursor {
	if !blank(n.text.String()) {
		p.fail(RuleContent, n.path, "text stands between elements")
	}
	for _, k := range n.kids { // n.path has its number by now
		k.path = n.path + "/" + clip(k.name)
	}
	return &cursor{p: p, at: n, left: n.kids, done: map[string]bool{}}
}

func (c *cursor) next(name string) *node {
	c.done[name] = true
	if len(c.left) == 0 || c.left[0].name != name {
		return nil
	}
	n := c.left[0]
	c.left = c.left[1:]
	return n
}

// all takes the elements of that name which stand here, at most MaxList.
func (c *cursor) all(name string) (list []*node) {
	for n := c.next(name); n != nil; n = c.next(name) {
		list = append(list, n)
		n.path += fmt.Sprintf("[%d]", len(list))
	}
	if len(list) > MaxList {
		c.p.fail(RuleSize, c.at.path, name+" occurs more than 4096 times")
		return nil
	}
	return list
}

// text takes a required element's text as it is.
func (c *cursor) text(name string) string {
	n := c.next(name)
	if n == nil {
		c.p.fail(RuleElement, c.at.path, "element "+name+" is missing, or stands in the wrong place")
		return ""
	}
	return c.p.leaf(n)
}

// token is text without the white space around it, for types that are no
// strings.
func (c *cursor) token(name string) string { return strings.Trim(c.text(name), blanks) }

// maybe takes an optional element's text; an empty one counts as absent.
func (c *cursor) maybe(name string) string {
	n := c.next(name)
	if n == nil {
		return ""
	}
	s := c.p.leaf(n)
	if s == "" {
		c.p.warn(RuleEmpty, n.path, "the element is empty and was passed over")
	}
	return s
}

func (c *cursor) maybeToken(name string) string { return strings.Trim(c.maybe(name), blanks) }

// decimal takes an optional number, which may not be empty.
func (c *cursor) decimal(name string) string {
	n := c.next(name)
	if n == nil {
		return ""
	}
	s := strings.Trim(c.p.leaf(n), blanks)
	if _, ok := decimal(s); !ok {
		c.p.fail(RuleNumber, n.path, "the "+name+" is not a decimal number of feet")
	}
	return s
}

// texts takes repeated elements' texts; empty ones count as absent.
func (c *cursor) texts(name string) (list []string) {
	for _, n := range c.all(name) {
		if s := c.p.leaf(n); s != "" {
			list = append(list, s)
		} else {
			c.p.warn(RuleEmpty, n.path, "the element is empty and was passed over")
		}
	}
	return list
}

func (c *cursor) list(name string) []string {
	s := c.maybe(name)
	items, err := splitList(s)
	if err != nil {
		c.p.fail(RuleList, c.at.path+"/"+name, err.Error())
	}
	return items
}

func (c *cursor) pairs(name string) (list []Pair) {
	for _, n := range c.all(name) {
		in := c.p.inside(n)
		list = append(list, Pair{Name: in.text("valueName"), Value: in.text("value")})
		in.end()
	}
	return list
}

// end reports what the schema has no place for.
func (c *cursor) end() {
	if len(c.left) == 0 {
		return
	}
	n := c.left[0]
	if c.done[n.name] {
		c.p.fail(RuleElement, n.path, "the element occurs too often, or stands in the wrong place")
		return
	}
	c.p.fail(RuleElement, n.path, "CAP 1.2 has no such element here")
}

func (p *parser) leaf(n *node) string {
	if len(n.kids) > 0 {
		p.fail(RuleContent, n.path, "the element holds elements, and should hold text")
	}
	return n.text.String()
}

func each[T ~string](list []string) (out []T) {
	for _, s := range list {
		out = append(out, T(s))
	}
	return out
}

func (p *parser) alert(n *node) *Alert {
	c := p.inside(n)
	a := &Alert{
		Identifier:  c.text("identifier"),
		Sender:      c.text("sender"),
		Sent:        DateTime(c.token("sent")),
		Status:      Status(c.text("status")),
		MsgType:     MsgType(c.text("msgType")),
		Source:      c.maybe("source"),
		Scope:       Scope(c.text("scope")),
		Restriction: c.maybe("restriction"),
		Addresses:   c.list("addresses"),
		Codes:       c.texts("code"),
		Note:        c.maybe("note"),
		References:  p.references(c),
		Incidents:   c.list("incidents"),
	}
	for _, in := range c.all("info") {
		a.Infos = append(a.Infos, p.info(in))
	}
	for _, s := range c.all(signatureName) {
		p.warn(RuleSignature, s.path, "the signature was passed over; the record's own signature is the one that counts")
	}
	c.end()
	return a
}

func (p *parser) references(c *cursor) (list []Reference) {
	where := c.at.path + "/references"
	items := strings.FieldsFunc(c.maybe("references"), func(r rune) bool { return strings.ContainsRune(blanks, r) })
	if len(items) > MaxList {
		p.fail(RuleSize, where, "the list has more than 4096 items")
		return nil
	}
	for _, item := range items {
		part := strings.Split(item, ",")
		if len(part) != 3 {
			p.fail(RuleReferences, where, "\""+clip(item)+"\" is not of the form sender,identifier,sent")
			return nil
		}
		list = append(list, Reference{Sender: part[0], Identifier: part[1], Sent: DateTime(part[2])})
	}
	return list
}

func (p *parser) info(n *node) Info {
	c := p.inside(n)
	i := Info{
		Language:      c.maybeToken("language"),
		Categories:    each[DangerCategory](p.leaves(c.all("category"))),
		Event:         c.text("event"),
		ResponseTypes: each[ResponseType](p.leaves(c.all("responseType"))),
		Urgency:       Urgency(c.text("urgency")),
		Severity:      Severity(c.text("severity")),
		Certainty:     Certainty(c.text("certainty")),
		Audience:      c.maybe("audience"),
		EventCodes:    c.pairs("eventCode"),
		Effective:     p.time(c, "effective"),
		Onset:         p.time(c, "onset"),
		Expires:       p.time(c, "expires"),
		SenderName:    c.maybe("senderName"),
		Headline:      c.maybe("headline"),
		Description:   c.maybe("description"),
		Instruction:   c.maybe("instruction"),
		Web:           c.maybeToken("web"),
		Contact:       c.maybe("contact"),
		Parameters:    c.pairs("parameter"),
	}
	for _, r := range c.all("resource") {
		i.Resources = append(i.Resources, p.resource(r))
	}
	for _, r := range c.all("area") {
		i.Areas = append(i.Areas, p.area(r))
	}
	c.end()
	return i
}

// leaves returns the texts of a list in which an empty value is a wrong one.
func (p *parser) leaves(nodes []*node) (list []string) {
	for _, n := range nodes {
		list = append(list, p.leaf(n))
	}
	return list
}

// time takes an optional time; unlike an optional text it may not be empty,
// since the schema has no empty time.
func (p *parser) time(c *cursor, name string) DateTime {
	n := c.next(name)
	if n == nil {
		return ""
	}
	d, err := ParseDateTime(strings.Trim(p.leaf(n), blanks))
	if err != nil {
		p.fail(RuleDateTime, n.path, err.Error())
	}
	return d
}

func (p *parser) resource(n *node) Resource {
	c := p.inside(n)
	r := Resource{Desc: c.text("resourceDesc"), MimeType: c.text("mimeType")}
	if s := c.next("size"); s != nil {
		size, err := strconv.ParseInt(strings.TrimPrefix(strings.Trim(p.leaf(s), blanks), "+"), 10, 64)
		if err != nil {
			p.fail(RuleNumber, s.path, "the size is not a whole number of bytes")
		}
		r.Size = &size
	}
	r.URI = c.maybeToken("uri")
	if d := c.maybe("derefUri"); d != "" {
		if err := checkBase64(d); err != nil {
			p.fail(RuleDerefURI, n.path+"/derefUri", err.Error())
		}
		r.Embedded = true
		p.warn(RuleDerefURI, n.path+"/derefUri", "the file inside the document was dropped: files never travel in an alert")
	}
	r.Digest = c.maybe("digest")
	c.end()
	return r
}

func (p *parser) area(n *node) Area {
	c := p.inside(n)
	a := Area{
		Desc:     c.text("areaDesc"),
		Polygons: p.tidy(c.texts("polygon")),
		Circles:  p.tidy(c.texts("circle")),
		Geocodes: c.pairs("geocode"),
		Altitude: c.decimal("altitude"),
		Ceiling:  c.decimal("ceiling"),
	}
	c.end()
	return a
}

// tidy gives coordinates one form: single spaces between pairs.
func (p *parser) tidy(list []string) (out []string) {
	for _, s := range list {
		out = append(out, strings.Join(strings.Fields(s), " "))
	}
	return out
}

var errBase64 = errors.New("the content is not base64")

func checkBase64(s string) error {
	s = strings.NewReplacer(" ", "", "\t", "").Replace(s)
	if _, err := base64.StdEncoding.DecodeString(s); err != nil {
		return errBase64
	}
	return nil
}
