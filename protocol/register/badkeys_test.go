package register

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/crypto"
)

// smallOrder lists encodings of Ed25519 points that must never be keys: the
// eight of small order, their other forms, and forms that are not canonical.
func smallOrder(t testing.TB) []crypto.PublicKey {
	t.Helper()
	var out []crypto.PublicKey
	for _, s := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000", // identity
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"0100000000000000000000000000000000000000000000000000000000000080", // identity, negative zero
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // identity, y = p+1
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // y = p
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"0200000000000000000000000000000000000000000000000000000000000000", // not on the curve
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, crypto.PublicKey(b))
	}
	return out
}

const bech32Digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l" // BIP 173

// bech32 writes bytes as BIP 173 says, to make keys that nobody would generate.
func bech32(hrp string, data []byte) string {
	var values []byte
	acc, bits := uint32(0), 0
	for _, b := range data {
		acc = acc<<8 | uint32(b)
		for bits += 8; bits >= 5; {
			bits -= 5
			values = append(values, byte(acc>>bits)&31)
		}
	}
	if bits > 0 {
		values = append(values, byte(acc<<(5-bits))&31)
	}
	var all []byte
	for i := range len(hrp) {
		all = append(all, hrp[i]>>5)
	}
	all = append(all, 0)
	for i := range len(hrp) {
		all = append(all, hrp[i]&31)
	}
	all = append(append(all, values...), 0, 0, 0, 0, 0, 0)
	sum := uint32(1)
	for _, v := range all {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	sum ^= 1
	for i := range 6 {
		values = append(values, byte(sum>>(5*(5-i)))&31)
	}
	for i, v := range values {
		values[i] = bech32Digits[v]
	}
	return hrp + "1" + string(values)
}

func unbech32(hrp, s string) (out []byte) {
	acc, bits := uint32(0), 0
	for _, c := range []byte(s[len(hrp)+1 : len(s)-6]) {
		acc = acc<<5 | uint32(strings.IndexByte(bech32Digits, c))
		if bits += 5; bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return out
}

// badRecipients are encryption keys that look right and are not.
func badRecipients(t testing.TB) map[string]string {
	t.Helper()
	good := recipient("a good key")
	raw := unbech32("age1pq", good)
	if len(raw) != 1216 || bech32("age1pq", raw) != good {
		t.Fatal("this test's bech32 is not age's")
	}
	half := func(first byte, rest byte) string {
		b := append([]byte{}, raw...)
		for i := range 32 {
			b[1184+i] = rest
		}
		b[1184] = first
		return bech32("age1pq", b)
	}
	return map[string]string{
		"zero X25519 half": half(0, 0),
		"X25519 half one":  half(1, 0),
		"upper case":       strings.ToUpper(good),
		"classic":          "age1" + strings.Repeat("q", 58),
		"one digit off":    good[:100] + swap(good[100:101]) + good[101:],
		"cut":              good[:len(good)-1],
		"empty":            "",
		"a space":          good + " ",
	}
}

func swap(s string) string {
	if s == "q" {
		return "p"
	}
	return "q"
}
