package alert

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// Namespace is that of every CAP 1.2 element.
const Namespace = "urn:oasis:names:tc:emergency:cap:1.2"

const (
	signatureNamespace = "http://www.w3.org/2000/09/xmldsig#"
	schemaInstance     = "http://www.w3.org/2001/XMLSchema-instance"
)

// Limits of a document. CAP itself is five levels deep; a signature is deeper.
const (
	MaxCAP   = 1 << 20 // bytes
	MaxDepth = 24      // levels of elements
	MaxParts = 20000   // elements
	MaxList  = 4096    // elements of one name in one parent, or items of one list
)

// node is an element of CAP's namespace with its text or its children.
type node struct {
	name string
	path string
	text strings.Builder
	kids []*node
}

// document reads b into a tree, keeping elements of CAP alone. It is strict
// about everything that a parser could be led astray by.
func document(b []byte) (*node, []Finding, error) {
	if len(b) > MaxCAP {
		return nil, nil, &Finding{RuleSize, "", "the document is longer than 1 MiB"}
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if err := checkText(string(b)); err != nil {
		return nil, nil, &Finding{RuleUTF8, "", "the document " + err.Error()}
	}
	r := reader{dec: xml.NewDecoder(bytes.NewReader(b))}
	for {
		at := r.dec.InputOffset()
		t, err := r.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, r.malformed(err)
		}
		if err := r.token(t, at); err != nil {
			return nil, nil, err
		}
	}
	if r.root == nil {
		return nil, nil, &Finding{RuleWellFormed, "", "the document has no element"}
	}
	return r.root, r.warnings, nil
}

type reader struct {
	dec      *xml.Decoder
	root     *node
	open     []*node // of CAP
	foreign  int     // levels inside a signature
	parts    int
	warnings []Finding
}

func (r *reader) where() string {
	if len(r.open) == 0 {
		return ""
	}
	return r.open[len(r.open)-1].path
}

func (r *reader) warn(rule Rule, text string) {
	if len(r.warnings) < MaxWarnings {
		r.warnings = append(r.warnings, Finding{rule, r.where(), text})
	}
}

func (r *reader) malformed(err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) && strings.Contains(syntax.Msg, "entity") {
		return &Finding{RuleEntity, r.where(), "an entity other than &lt; &gt; &amp; &quot; &apos; or a character number is used"}
	}
	if !errors.As(err, &syntax) && strings.Contains(err.Error(), "encoding") {
		return &Finding{RuleUTF8, r.where(), "the document declares an encoding other than UTF-8"}
	}
	return &Finding{RuleWellFormed, r.where(), clip(err.Error())}
}

func (r *reader) token(t xml.Token, at int64) error {
	switch t := t.(type) {
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		if r.foreign > 0 {
			r.foreign--
		} else {
			r.open = r.open[:len(r.open)-1]
		}
	case xml.CharData:
		if r.foreign > 0 {
			return nil
		}
		if len(r.open) > 0 {
			r.open[len(r.open)-1].text.Write(t)
		} else if !blank(string(t)) {
			return &Finding{RuleWellFormed, "", "text stands outside the alert element"}
		}
	case xml.Directive:
		return &Finding{RuleDTD, r.where(), "the document has a document type or another declaration (<!…>), which is never read"}
	case xml.ProcInst:
		if t.Target == "xml" {
			if at != 0 {
				return &Finding{RuleWellFormed, r.where(), "an XML declaration stands elsewhere than at the start"}
			}
			return nil
		}
		r.warn(RuleProcInst, "a processing instruction was passed over")
	}
	return nil
}

func (r *reader) start(t xml.StartElement) error {
	r.parts++
	if r.parts > MaxParts {
		return &Finding{RuleSize, r.where(), "the document has more than 20000 elements"}
	}
	if len(r.open)+r.foreign >= MaxDepth {
		return &Finding{RuleDepth, r.where(), "the elements are nested more than 24 deep"}
	}
	seen := make(map[xml.Name]bool, len(t.Attr))
	for _, a := range t.Attr {
		if seen[a.Name] {
			return &Finding{RuleWellFormed, r.where(), "an attribute occurs twice"}
		}
		seen[a.Name] = true
	}
	switch {
	case r.foreign > 0:
		r.foreign++
		return nil
	case t.Name.Space == signatureNamespace && len(r.open) == 1:
		r.foreign = 1
		r.open[0].kids = append(r.open[0].kids, &node{name: signatureName, path: r.where() + "/Signature"})
		return nil
	case t.Name.Space != Namespace:
		return &Finding{RuleNamespace, r.where(), "element " + clip(t.Name.Local) + " is in namespace \"" + clip(t.Name.Space) + "\", not in that of CAP 1.2"}
	}
	for _, a := range t.Attr {
		hint := a.Name.Space == schemaInstance && (a.Name.Local == "schemaLocation" || a.Name.Local == "noNamespaceSchemaLocation")
		if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") && !hint {
			return &Finding{RuleAttribute, r.where(), "element " + clip(t.Name.Local) + " has the attribute " + clip(a.Name.Local) + "; CAP has none"}
		}
	}
	n := &node{name: t.Name.Local, path: t.Name.Local}
	if len(r.open) == 0 {
		if r.root != nil {
			return &Finding{RuleWellFormed, "", "a second element stands beside the alert"}
		}
		r.root = n
	} else {
		up := r.open[len(r.open)-1]
		up.kids = append(up.kids, n)
		n.path = up.path + "/" + clip(n.name)
	}
	r.open = append(r.open, n)
	return nil
}

// signatureName stands for an element of the signature namespace. It is no
// XML name, so that no CAP element is taken for it.
const signatureName = "ds:Signature"

const blanks = " \t\r\n" // what XML calls white space

func blank(s string) bool { return strings.Trim(s, blanks) == "" }

// checkText says whether s is UTF-8 of characters that XML 1.0 §2.2 allows.
func checkText(s string) error {
	for i, c := range s {
		switch {
		case c == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return errors.New("is not UTF-8")
			}
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r', c == 0xfffe, c == 0xffff:
			return errors.New("has a character that XML does not allow")
		}
	}
	return nil
}
