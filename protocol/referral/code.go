package referral

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// UID is 16 random bytes; as text, 32 lower-case hex digits.
type UID [16]byte

func (u UID) String() string { return hex.EncodeToString(u[:]) }

// MarshalText returns 32 lower-case hex digits.
func (u UID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads exactly 32 lower-case hex digits.
func (u *UID) UnmarshalText(b []byte) error {
	n, err := hex.Decode(u[:], b[:min(len(b), 2*len(u))])
	if err != nil || n != len(u) || u.String() != string(b) {
		*u = UID{}
		return fmt.Errorf("parse id: want 32 lower-case hex digits")
	}
	return nil
}

// Code is a number to read over the phone: eight symbols of Crockford's base
// 32 (40 bits, most significant first) and a check symbol, grouped as
// "K7QM-2X9P-4".
//
// The check symbol is taken over the field of 32 elements, GF(2)[x] modulo
// x⁵+x²+1, where a symbol's value stands for the polynomial of its bits: with
// s = 0, for each symbol v in order s = s·x + v, and the check symbol is s·x.
// Each place has another power of x as its weight, so that every single wrong
// symbol and every swap of two symbols, next to each other or not, is found;
// other mistakes are found 31 times in 32.
type Code string

// Crockford's alphabet leaves out I, L, O and U.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewCode makes a code from the first 40 bits of b, which holds at least five
// random bytes.
func NewCode(b []byte) Code {
	n := uint64(b[0])<<32 | uint64(binary.BigEndian.Uint32(b[1:5]))
	var v [9]byte
	for i := range 8 {
		v[i] = byte(n >> (35 - 5*i) & 31)
	}
	v[8] = check(v[:8])
	return format(v)
}

// ParseCode reads a code as people say and type it: hyphens and spaces do not
// count, nor case; O is 0, I and L are 1. A code whose check symbol does not
// fit is an error.
func ParseCode(s string) (Code, error) {
	var v [9]byte
	n := 0
	for _, c := range strings.ToUpper(s) {
		switch c {
		case '-', ' ':
			continue
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		i := strings.IndexRune(alphabet, c)
		if i < 0 || n == len(v) {
			return "", fmt.Errorf("parse code: want eight letters or digits and a check one, as in K7QM-2X9P-4")
		}
		v[n] = byte(i)
		n++
	}
	if n != len(v) {
		return "", fmt.Errorf("parse code: want nine letters or digits, got %d", n)
	}
	if check(v[:8]) != v[8] {
		return "", fmt.Errorf("parse code: the check letter does not fit; please have it read again")
	}
	return format(v), nil
}

func check(v []byte) (s byte) {
	for _, x := range v {
		s = timesX(s) ^ x
	}
	return timesX(s)
}

func timesX(s byte) byte {
	s <<= 1
	if s&32 != 0 {
		s ^= 0b100101 // x⁵+x²+1
	}
	return s
}

func format(v [9]byte) Code {
	b := make([]byte, 0, 11)
	for i, x := range v {
		if i == 4 || i == 8 {
			b = append(b, '-')
		}
		b = append(b, alphabet[x])
	}
	return Code(b)
}

// Time is a Unix time in seconds. As text it is RFC 3339; written in Indian
// Standard Time (+05:30), read with any offset.
type Time int64

var ist = time.FixedZone("IST", 5*3600+1800)

// Hours and Days are spans of [Time].
const (
	Hours Time = 3600
	Days       = 24 * Hours
)

func (t Time) String() string { return time.Unix(int64(t), 0).In(ist).Format(time.RFC3339) }

// MarshalText writes RFC 3339 with offset +05:30. A time outside the years 1970
// to 9999, as a faulty program may send, is written as the nearest one.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(min(max(t, 0), maxTime).String()), nil
}

const maxTime Time = 253402214400 // 9999-12-31 in UTC

// UnmarshalText reads RFC 3339, whole seconds.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := time.Parse(time.RFC3339, string(b))
	if err != nil || v.Unix() < 0 || v.Nanosecond() != 0 || Time(v.Unix()) > maxTime {
		return fmt.Errorf("parse time: want a date and time such as 2026-11-23T15:04:05+05:30")
	}
	*t = Time(v.Unix())
	return nil
}
