package alert

import (
	"strconv"
	"strings"
)

// CAP returns the alert as a CAP 1.2 document, UTF-8, with a declaration and
// one element a line. It reads back as an equal alert (Embedded apart). An
// alert that breaks a rule of CAP is not written: the error is
// [Alert.Validate]'s, or says that the document would be longer than MaxCAP.
func (a *Alert) CAP() ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	w := &writer{}
	w.b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<alert xmlns=\"" + Namespace + "\">\n")
	w.depth++
	w.text("identifier", a.Identifier)
	w.text("sender", a.Sender)
	w.text("sent", string(a.Sent))
	w.text("status", string(a.Status))
	w.text("msgType", string(a.MsgType))
	w.maybe("source", a.Source)
	w.text("scope", string(a.Scope))
	w.maybe("restriction", a.Restriction)
	w.maybe("addresses", joinList(a.Addresses))
	texts(w, "code", a.Codes)
	w.maybe("note", a.Note)
	refs := make([]string, len(a.References))
	for n, r := range a.References {
		refs[n] = r.String()
	}
	w.maybe("references", strings.Join(refs, " "))
	w.maybe("incidents", joinList(a.Incidents))
	for n := range a.Infos {
		w.inside("info", func() { w.info(&a.Infos[n]) })
	}
	w.b.WriteString("</alert>\n")
	if w.b.Len() > MaxCAP {
		return nil, &Finding{RuleSize, "alert", "the document would be longer than 1 MiB"}
	}
	return []byte(w.b.String()), nil
}

// String returns "sender,identifier,sent".
func (r Reference) String() string {
	return r.Sender + "," + r.Identifier + "," + string(r.Sent)
}

type writer struct {
	b     strings.Builder
	depth int
}

// escaper keeps line breaks readable; a carriage return must be a character
// number, or a reader takes it for a line break.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")

func (w *writer) indent() { w.b.WriteString(strings.Repeat("  ", w.depth)) }

func (w *writer) text(name, s string) {
	w.indent()
	w.b.WriteString("<" + name + ">" + escaper.Replace(s) + "</" + name + ">\n")
}

func (w *writer) maybe(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func texts[T ~string](w *writer, name string, list []T) {
	for _, s := range list {
		w.text(name, string(s))
	}
}

func (w *writer) inside(name string, body func()) {
	w.indent()
	w.b.WriteString("<" + name + ">\n")
	w.depth++
	body()
	w.depth--
	w.indent()
	w.b.WriteString("</" + name + ">\n")
}

func (w *writer) pairs(name string, list []Pair) {
	for _, p := range list {
		w.inside(name, func() { w.text("valueName", p.Name); w.text("value", p.Value) })
	}
}

func (w *writer) info(i *Info) {
	w.maybe("language", i.Language)
	texts(w, "category", i.Categories)
	w.text("event", i.Event)
	texts(w, "responseType", i.ResponseTypes)
	w.text("urgency", string(i.Urgency))
	w.text("severity", string(i.Severity))
	w.text("certainty", string(i.Certainty))
	w.maybe("audience", i.Audience)
	w.pairs("eventCode", i.EventCodes)
	w.maybe("effective", string(i.Effective))
	w.maybe("onset", string(i.Onset))
	w.maybe("expires", string(i.Expires))
	w.maybe("senderName", i.SenderName)
	w.maybe("headline", i.Headline)
	w.maybe("description", i.Description)
	w.maybe("instruction", i.Instruction)
	w.maybe("web", i.Web)
	w.maybe("contact", i.Contact)
	w.pairs("parameter", i.Parameters)
	for n := range i.Resources {
		r := &i.Resources[n]
		w.inside("resource", func() {
			w.text("resourceDesc", r.Desc)
			w.text("mimeType", r.MimeType)
			if r.Size != nil {
				w.text("size", strconv.FormatInt(*r.Size, 10))
			}
			w.maybe("uri", r.URI)
			w.maybe("digest", r.Digest)
		})
	}
	for n := range i.Areas {
		a := &i.Areas[n]
		w.inside("area", func() {
			w.text("areaDesc", a.Desc)
			texts(w, "polygon", a.Polygons)
			texts(w, "circle", a.Circles)
			w.pairs("geocode", a.Geocodes)
			w.maybe("altitude", a.Altitude)
			w.maybe("ceiling", a.Ceiling)
		})
	}
}
