package protocol

import (
	"encoding/binary"
	"unicode/utf8"
)

// What a record, a receipt and the frames that carry them are made of is
// encoded and decoded by hand, since that is done several times for each
// record; everything else goes by reflection. Both are one format: a type's
// field tags say it, and a test holds the two ways against each other.

// Appender is a type with its own encoder, which appends exactly what its
// field tags say.
type Appender interface{ AppendCBOR(b []byte) []byte }

// Parsed is a type with its own decoder, which takes exactly what AppendCBOR
// makes and fails the parser on everything else.
type Parsed interface{ ParseCBOR(p *Parser) }

// appendHead appends the head of an item (RFC 8949 §3) in its shortest form.
func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

const null = majorSimple<<5 | 22

// AppendMap begins a map of n fields; each is a key by AppendUint and a value.
func AppendMap(b []byte, n int) []byte { return appendHead(b, majorMap, uint64(n)) }

// AppendArray begins an array of n items; null stands for a nil slice.
func AppendArray[T any](b []byte, s []T) []byte {
	if s == nil {
		return append(b, null)
	}
	return appendHead(b, majorArray, uint64(len(s)))
}

// AppendAll appends an array of items with their own encoder.
func AppendAll[T Appender](b []byte, list []T) []byte {
	b = AppendArray(b, list)
	for i := range list {
		b = list[i].AppendCBOR(b)
	}
	return b
}

// AppendUint appends a number.
func AppendUint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](b []byte, n T) []byte {
	return appendHead(b, majorUint, uint64(n))
}

// AppendBytes appends a byte string; null stands for nil.
func AppendBytes(b, s []byte) []byte {
	if s == nil {
		return append(b, null)
	}
	return append(appendHead(b, majorBytes, uint64(len(s))), s...)
}

// AppendBool appends true or false.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, majorSimple<<5|21)
	}
	return append(b, majorSimple<<5|20)
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, majorNegative, uint64(-(n + 1)))
	}
	return appendHead(b, majorUint, uint64(n))
}

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, majorText, uint64(len(s))), s...)
}

// AppendField appends a key and a byte string of fixed length.
func AppendField(b []byte, key uint64, value []byte) []byte {
	return append(appendHead(append(b, byte(key)), majorBytes, uint64(len(value))), value...)
}

// Count is how many of the conditions hold: how many of a map's optional
// fields stand.
func Count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// Parser reads deterministic CBOR item by item. After the first item that is
// not as asked for it only returns zeros, and Done reports it.
type Parser struct {
	b   []byte
	bad bool
}

// Fail marks the input as bad.
func (p *Parser) Fail() { p.bad, p.b = true, nil }

func (p *Parser) done() bool { return !p.bad && len(p.b) == 0 }

func (p *Parser) head(want byte) uint64 {
	major, n, rest, ok := cborHead(p.b)
	if !ok || major != want {
		p.Fail()
		return 0
	}
	p.b = rest
	return n
}

// isNull passes over a null and reports whether one stood there.
func (p *Parser) isNull() bool {
	if len(p.b) == 0 || p.b[0] != null {
		return false
	}
	p.b = p.b[1:]
	return true
}

// Uint reads a number up to max.
func (p *Parser) Uint(max uint64) uint64 {
	n := p.head(majorUint)
	if n > max {
		p.Fail()
		return 0
	}
	return n
}

func (p *Parser) int() int64 {
	major, n, rest, ok := cborHead(p.b)
	if !ok || n > 1<<63-1 || major > majorNegative {
		p.Fail()
		return 0
	}
	p.b = rest
	if major == majorNegative {
		return -1 - int64(n)
	}
	return int64(n)
}

// Bytes reads a byte string, nil where null stands. What it returns is a copy.
func (p *Parser) Bytes() []byte {
	if p.isNull() {
		return nil
	}
	n := p.head(majorBytes)
	if p.bad || n > uint64(len(p.b)) {
		p.Fail()
		return nil
	}
	out := make([]byte, n)
	copy(out, p.b)
	p.b = p.b[n:]
	return out
}

// Fixed reads a byte string of exactly the length of to.
func (p *Parser) Fixed(to []byte) {
	if n := p.head(majorBytes); p.bad || n != uint64(len(to)) || n > uint64(len(p.b)) {
		p.Fail()
		return
	}
	p.b = p.b[copy(to, p.b):]
}

func (p *Parser) text() string {
	n := p.head(majorText)
	if p.bad || n > uint64(len(p.b)) || !utf8.Valid(p.b[:n]) {
		p.Fail()
		return ""
	}
	s := string(p.b[:n])
	p.b = p.b[n:]
	return s
}

// Bool reads true or false.
func (p *Parser) Bool() bool {
	n := p.head(majorSimple)
	if n != 20 && n != 21 {
		p.Fail()
	}
	return n == 21
}

// ParseArray reads an array with one for each item, nil where null stands. It
// allocates for what is there, not for what the array's head claims.
func ParseArray[T any](p *Parser, one func(p *Parser, to *T)) []T {
	if p.isNull() {
		return nil
	}
	n := p.head(majorArray)
	if p.bad || n > MaxElements || n > uint64(len(p.b)) {
		p.Fail()
		return nil
	}
	out := make([]T, 0, min(n, 64))
	for range n {
		if p.bad {
			return nil
		}
		var v T
		one(p, &v)
		out = append(out, v)
	}
	return out
}

// ParseSome is [ParseArray] for a field that is left out where it is empty.
func ParseSome[T any](p *Parser, one func(p *Parser, to *T)) []T {
	out := ParseArray(p, one)
	if len(out) == 0 {
		p.Fail()
	}
	return out
}

// ParseOne is the function for [ParseArray] of items with their own decoder.
func ParseOne[T any, P interface {
	*T
	Parsed
}](p *Parser, to *T) {
	P(to).ParseCBOR(p)
}

func parseIDs[K any](p *Parser) []ID[K] {
	return ParseSome(p, func(p *Parser, to *ID[K]) { p.Fixed(to[:]) })
}

// Fields goes through a map with numbers as keys.
type Fields struct {
	p    *Parser
	left uint64
	seen uint64
	Key  uint64 // of the field whose value is to be read now, below 24
}

// Fields begins a map.
func (p *Parser) Fields() Fields {
	n := p.head(majorMap)
	if n > 24 {
		p.Fail()
	}
	return Fields{p: p, left: n}
}

// Next goes to the next field; false where there is none. Keys come in order,
// each once.
func (f *Fields) Next() bool {
	if f.left == 0 || f.p.bad {
		return false
	}
	f.left--
	k := f.p.Uint(23)
	if f.seen>>k != 0 { // this one, or a larger one, was there before
		f.p.Fail()
	}
	f.seen |= 1 << k
	f.Key = k
	return !f.p.bad
}

// Need fails the parser where a field from 1 to last, but the optional ones, is
// not there.
func (f *Fields) Need(last int, optional ...int) {
	want := uint64(1)<<(last+1) - 2
	for _, k := range optional {
		want &^= 1 << k
	}
	if f.seen&want != want {
		f.p.Fail()
	}
}
