package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func testKey(t testing.TB, b byte) PrivateKey {
	t.Helper()
	k, err := NewPrivateKey(bytes.Repeat([]byte{b}, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes under every labelled hash, written out.
func TestSumFraming(t *testing.T) {
	net := Hash(bytes.Repeat([]byte{0xab}, 32))
	for _, c := range []struct {
		label Label
		net   Hash
		parts [][]byte
		bytes string
	}{
		{"record", Hash{}, nil, "12" + hex.EncodeToString([]byte("alliance/v1/record")) + strings.Repeat("00", 32)},
		{"record", net, [][]byte{{}}, "12" + hex.EncodeToString([]byte("alliance/v1/record")) + strings.Repeat("ab", 32) + "00000000"},
		{"key-id", net, [][]byte{{1, 2}, {3}}, "12" + hex.EncodeToString([]byte("alliance/v1/key-id")) + strings.Repeat("ab", 32) + "000000020102" + "0000000103"},
	} {
		if got, want := Sum(c.label, c.net, c.parts...), sha256.Sum256(fromHex(t, c.bytes)); got != want {
			t.Errorf("Sum(%q, %x) = %s, want %x", c.label, c.parts, got, want)
		}
	}
	// The same as a constant, computed by another program.
	const want = "d36b415b07077f3ce607ccc3dc85fd141ccd6cfaf36d46c7b6ef763450f5375f"
	if got := Sum("record", net, []byte("an invented core")).String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	h := NewHash("record", net)
	h.Part([]byte("a"))
	h.Uint(258)
	if got := h.Sum(); got != Sum("record", net, []byte("a"), []byte{0, 0, 0, 0, 0, 0, 1, 2}) {
		t.Errorf("Hasher and Sum differ: %s", got)
	}
}

// Two lists of parts hash alike only if they are the same list.
func TestSumSeparatesParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 4), 0, 4)
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		same := len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			same = bytes.Equal(a[i], b[i])
		}
		if (Sum("x", Hash{}, a...) == Sum("x", Hash{}, b...)) != same {
			t.Fatalf("%x and %x", a, b)
		}
	})
}

func TestParseHash(t *testing.T) {
	h := Sum("x", Hash{})
	if got, err := ParseHash(h.String()); err != nil || got != h {
		t.Errorf("round trip: %v", err)
	}
	s := h.String()
	for _, bad := range []string{"", s[1:], s + "0", strings.ToUpper(s[:63]) + "A", s[:63] + "g", " " + s[1:], s[:62] + "é"} {
		if _, err := ParseHash(bad); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
	if !(Hash{}).IsZero() || h.IsZero() {
		t.Error("IsZero")
	}
}

// The signature is plain RFC 8032 over the framing that the package comment
// gives, so any Ed25519 can check it.
func TestSignFraming(t *testing.T) {
	k, net := testKey(t, 1), Hash(bytes.Repeat([]byte{0xab}, 32))
	msg := append([]byte("alliance/v1/receipt\x00"), net[:]...)
	msg = append(msg, "an invented receipt"...)
	sig := k.Sign("receipt", net, []byte("an invented receipt"))
	pub := k.Public()
	if !ed25519.Verify(pub[:], msg, sig[:]) {
		t.Error("not over the documented bytes")
	}
	if sig != k.Sign("receipt", net, []byte("an invented receipt")) {
		t.Error("not deterministic")
	}
	if err := Verify(pub, "receipt", net, []byte("an invented receipt"), sig); err != nil {
		t.Error(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	k, net, msg := testKey(t, 1), Sum("net", Hash{}), []byte("an invented receipt")
	sig, pub := k.Sign("receipt", net, msg), k.Public()
	for i := range sig {
		bad := sig
		bad[i] ^= 1
		if err := Verify(pub, "receipt", net, msg, bad); !errors.Is(err, ErrSignature) {
			t.Errorf("signature byte %d flipped: %v", i, err)
		}
	}
	if err := Verify(testKey(t, 2).Public(), "receipt", net, msg, sig); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	if err := Verify(PublicKey{}, "receipt", net, msg, sig); !errors.Is(err, ErrSignature) {
		t.Errorf("zero key: %v", err)
	}
	if err := Verify(pub, "receipt", net, msg[1:], sig); !errors.Is(err, ErrSignature) {
		t.Errorf("another message: %v", err)
	}
	// S + L verifies under implementations without RFC 8032 §5.1.7's check.
	l := fromHex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	bad, carry := sig, 0
	for i := range 32 {
		carry += int(sig[32+i]) + int(l[i])
		bad[32+i] = byte(carry)
		carry >>= 8
	}
	if err := Verify(pub, "receipt", net, msg, bad); !errors.Is(err, ErrSignature) {
		t.Errorf("malleated: %v", err)
	}
}

func TestKeysFromShortInput(t *testing.T) {
	if _, err := GenerateKey(bytes.NewReader(make([]byte, SeedSize-1))); err == nil {
		t.Error("generated from 31 bytes")
	}
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := NewPrivateKey(make([]byte, n)); err == nil {
			t.Errorf("seed of %d bytes", n)
		}
		if _, err := ParsePublicKey(make([]byte, n)); !errors.Is(err, ErrPoint) {
			t.Errorf("public key of %d bytes: %v", n, err)
		}
	}
	if k := (PrivateKey{}); !k.IsZero() || !k.Public().IsZero() {
		t.Error("the zero key is not zero")
	}
	defer func() {
		if recover() == nil {
			t.Error("signed with no key")
		}
	}()
	PrivateKey{}.Sign("x", Hash{}, nil)
}

func TestKeyRoundTrip(t *testing.T) {
	k, err := GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewPrivateKey(k.Seed())
	if err != nil || again.Public() != k.Public() {
		t.Errorf("from its seed: %v", err)
	}
	pub := k.Public()
	if got, err := ParsePublicKey(pub[:]); err != nil || got != pub {
		t.Errorf("public key: %v", err)
	}
	if pub.ID() == testKey(t, 1).Public().ID() || pub.ID() != KeyID(Sum("key-id", Hash{}, pub[:])) {
		t.Error("key ID")
	}
	k.Seed()[0] ^= 1
	if k.Public() != pub || !bytes.Equal(k.Seed(), again.Seed()) {
		t.Error("Seed gives away its own memory")
	}
}

func TestPrivateKeyNeverPrints(t *testing.T) {
	k := testKey(t, 0x5a)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, v := range []any{k, &k, struct{ K PrivateKey }{k}, []PrivateKey{k}, map[string]PrivateKey{"k": k}} {
			out := strings.ToLower(fmt.Sprintf(verb, v))
			if strings.Contains(out, "5a5a") || strings.Contains(out, "90 90") || strings.Contains(out, "zzz") || strings.Contains(out, "0x5a, 0x5a") {
				t.Errorf("%s of %T prints the key: %s", verb, v, out)
			}
		}
	}
	if b, err := json.Marshal([]any{k}); err == nil && string(b) != "[{}]" {
		t.Errorf("JSON %s", b)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	pub := testKey(f, 1).Public()
	f.Add(pub[:])
	f.Add(make([]byte, 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParsePublicKey(b)
		if err != nil {
			return
		}
		if !bytes.Equal(k[:], b) || k.Check() != nil || k.IsZero() {
			t.Fatalf("%x came back as %s", b, k)
		}
	})
}
