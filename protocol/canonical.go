package protocol

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// The major types of CBOR (RFC 8949 §3.1).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

// cborHead reads one item's head in its shortest form.
func cborHead(b []byte) (major byte, arg uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, false
	}
	major, arg = b[0]>>5, uint64(b[0]&31)
	b = b[1:]
	if arg < 24 {
		return major, arg, b, true
	}
	size := 1 << (arg - 24)
	if arg > 27 || len(b) < size {
		return 0, 0, nil, false
	}
	var wide [8]byte
	copy(wide[8-size:], b[:size])
	n := binary.BigEndian.Uint64(wide[:])
	// A shorter form would have done where the upper half is empty.
	if size == 1 && n < 24 || size > 1 && n>>(4*size) == 0 {
		return 0, 0, nil, false
	}
	return major, n, b[size:], true
}

// cborItem passes over one item in deterministic form, without floats, tags or
// undefined, and with integers and texts as keys. It allocates nothing,
// whatever the bytes claim. depth is how many levels may still open.
func cborItem(b []byte, depth int) (rest []byte, ok bool) {
	major, n, b, ok := cborHead(b)
	if !ok {
		return nil, false
	}
	switch major {
	case majorUint, majorNegative:
		return b, true
	case majorBytes, majorText:
		if n > uint64(len(b)) || major == majorText && !utf8.Valid(b[:n]) {
			return nil, false
		}
		return b[n:], true
	case majorSimple:
		return b, 20 <= n && n <= 22 // false, true, null
	case majorTag:
		return nil, false
	}
	if n > MaxElements || depth == 0 {
		return nil, false
	}
	var last []byte
	for range n {
		if major == majorMap {
			key := b
			if b, ok = cborItem(b, 0); !ok || key[0]>>5 == majorBytes || key[0]>>5 == majorSimple {
				return nil, false
			}
			if key = key[:len(key)-len(b)]; bytes.Compare(last, key) >= 0 {
				return nil, false
			}
			last = key
		}
		if b, ok = cborItem(b, depth-1); !ok {
			return nil, false
		}
	}
	return b, true
}

// canonical reports whether b is one item as [cborItem] wants it, and no more.
func canonical(b []byte) bool {
	rest, ok := cborItem(b, MaxNesting)
	return ok && len(rest) == 0
}

// covers reports whether everything that a program understood stands so in
// what it was given; both begin with an item in deterministic form. For
// decoding cuts a byte string that is too long for its field, fills one that
// is too short, and takes null for anything. Fields of maps that stand in one
// of the two alone are passed over: unknown ones, and absent ones, which are
// zero.
func covers(given, understood []byte) bool {
	g, u := first(given), first(understood)
	if bytes.Equal(g, u) {
		return true
	}
	gMajor, gn, g, _ := cborHead(g)
	uMajor, un, u, _ := cborHead(u)
	switch {
	case gMajor != uMajor:
		return false
	case gMajor == majorArray:
		for ; gn == un && gn > 0; gn, un = gn-1, un-1 {
			if !covers(g, u) {
				return false
			}
			g, u = g[len(first(g)):], u[len(first(u)):]
		}
		return gn == un
	case gMajor == majorMap:
		for gn > 0 && un > 0 {
			gKey, uKey := first(g), first(u)
			gVal, uVal := g[len(gKey):], u[len(uKey):]
			order := bytes.Compare(gKey, uKey)
			if order == 0 && !covers(gVal, uVal) {
				return false
			}
			if order <= 0 {
				g, gn = gVal[len(first(gVal)):], gn-1
			}
			if order >= 0 {
				u, un = uVal[len(first(uVal)):], un-1
			}
		}
		return true
	}
	return false
}

// first is the first item of bytes that begin with one.
func first(b []byte) []byte {
	rest, _ := cborItem(b, MaxNesting+1)
	return b[:len(b)-len(rest)]
}
