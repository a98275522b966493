package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/national-alliance/alliance/crypto"
)

// onlyWrap hides a recipient's labels, which is how age's own refusal of mixed
// recipients is evaded.
type onlyWrap struct{ r age.Recipient }

func (o onlyWrap) Wrap(fileKey []byte) ([]*age.Stanza, error) { return o.r.Wrap(fileKey) }

// oddStanza writes one stanza of any type besides.
type oddStanza struct{ s age.Stanza }

func (o oddStanza) Wrap([]byte) ([]*age.Stanza, error) { return []*age.Stanza{&o.s}, nil }

func TestAttackAgeRecipientsPolicy(t *testing.T) {
	id := newIdentityT(t)
	good := id.Recipient().String()
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"empty":       "",
		"classic":     classic.Recipient().String(),
		"upper case":  strings.ToUpper(good),
		"space":       " " + good,
		"newline":     good + "\n",
		"truncated":   good[:len(good)-1],
		"checksum":    good[:len(good)-1] + map[bool]string{true: "p", false: "q"}[good[len(good)-1] == 'q'],
		"secret key":  id.Secret(),
		"plugin":      "age1example1qqqq",
		"tag":         "age1tagpq1" + good[len("age1pq1"):len(good)-3],
		"ssh":         "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample",
		"prefix only": "age1pq1" + strings.Repeat("q", len(good)-len("age1pq1")),
	} {
		if _, err := ParseRecipient(s); err == nil {
			t.Errorf("%s: parsed", name)
		} else if len(err.Error()) > 200 {
			t.Errorf("%s: error of %d characters", name, len(err.Error()))
		}
	}
	r, err := ParseRecipient(good)
	if err != nil || r.String() != good {
		t.Fatalf("canonical form: %v", err)
	}

	key := newFeedKey(t)
	for name, to := range map[string][]*Recipient{
		"none":     {},
		"nil":      {nil},
		"zero":     {{}},
		"twice":    {r, id.Recipient()},
		"too many": make([]*Recipient, MaxReaders+1),
	} {
		if _, err := SealKey(key, to); err == nil {
			t.Errorf("sealed to %s", name)
		}
	}

	// Files that age itself opens, and this package refuses.
	hybrid := r.key
	many := make([]age.Recipient, MaxReaders+1)
	for i := range many {
		many[i] = hybrid
	}
	scrypt, err := age.NewScryptRecipient("an invented passphrase")
	if err != nil {
		t.Fatal(err)
	}
	scrypt.SetWorkFactor(10)
	x := classic.Recipient()
	grease := oddStanza{age.Stanza{Type: "example-grease", Args: []string{"a"}, Body: []byte("b")}}
	for name, file := range map[string][]byte{
		"classic":          ageSeal(t, key[:], x),
		"passphrase":       ageSeal(t, key[:], scrypt),
		"mixed":            ageSeal(t, key[:], onlyWrap{hybrid}, x),
		"mixed, other way": ageSeal(t, key[:], x, onlyWrap{hybrid}),
		"grease":           ageSeal(t, key[:], onlyWrap{hybrid}, grease),
		"our own type":     ageSeal(t, key[:], feedStanza{key, testPlace()}),
		"1001 readers":     ageSeal(t, key[:], many...),
		"31 bytes":         ageSeal(t, key[:31], hybrid),
		"33 bytes":         ageSeal(t, append(key[:], 0), hybrid),
		"no payload":       ageSeal(t, nil, hybrid),
	} {
		if n, err := KeyStanzas(file); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %d stanzas, %v", name, n, err)
		}
		if _, err := OpenKey(file, id); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The count is what a verifier compares with the readers named.
	for _, n := range []int{1, 3, MaxReaders} {
		if got, err := KeyStanzas(ageSeal(t, key[:], many[:n]...)); got != n || err != nil {
			t.Errorf("%d readers: %d, %v", n, got, err)
		}
	}
}

// A reader holds the file key, so it can put another payload under the header
// that the author made. The seal cannot tell; the hash that the author signs can.
func TestAttackPayloadForgedUnderSameHeader(t *testing.T) {
	key, at := newFeedKey(t), testPlace()
	file, err := SealSection(key, at, []byte("An invented message."))
	if err != nil {
		t.Fatal(err)
	}
	fileKey, err := SectionFileKey(key, at, file) // as any reader can
	if err != nil {
		t.Fatal(err)
	}
	forged := appendPayload(bytes.Clone(file[:sectionHeader]), fileKey, []byte("A forged message...."))
	got, err := OpenSection(key, at, forged)
	if err != nil || string(got) != "A forged message...." {
		t.Fatalf("the forgery does not open (%v): then this test shows nothing", err)
	}
	if len(forged) != len(file) {
		t.Error("the forgery has another length")
	}
	if sha256.Sum256(forged) == sha256.Sum256(file) {
		t.Error("the forgery has the same hash")
	}

	// The same with a key file, by one of two readers against the other.
	a, b := newIdentityT(t), newIdentityT(t)
	keyFile, err := SealKey(key, []*Recipient{a.Recipient(), b.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	if fileKey, err = age.DecryptHeader(keyFile, a.key); err != nil {
		t.Fatal(err)
	}
	other := newFeedKey(t)
	forged = appendPayload(bytes.Clone(keyFile[:len(keyFile)-keyPayload]), fileKey, other[:])
	opened, err := OpenKey(forged, b)
	if err != nil || opened != other {
		t.Fatalf("the forgery does not open (%v): then this test shows nothing", err)
	}
	if sha256.Sum256(forged) == sha256.Sum256(keyFile) {
		t.Error("the forgery has the same hash")
	}
	if n := at.Network; Commit(opened, n, at.Feed, 1, 0) == Commit(key, n, at.Feed, 1, 0) {
		t.Error("the forged key has the same commitment")
	}
}

// Of one section two readers are never shown two texts: the header commits to
// one file key.
func TestAttackTwoTruthsUnderOneHash(t *testing.T) {
	key, at := newFeedKey(t), testPlace()
	file, err := SealSection(key, at, []byte("An invented message."))
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		var guess [fileKeySize]byte
		rand.Read(guess[:])
		if _, err := OpenSectionWithFileKey(guess[:], file); !errors.Is(err, ErrSealed) {
			t.Fatalf("a second file key: %v", err)
		}
	}
	// A key file whose stanzas hold two file keys opens for one reader only.
	a, b := newIdentityT(t), newIdentityT(t)
	fa, fb := bytes.Repeat([]byte{1}, fileKeySize), bytes.Repeat([]byte{2}, fileKeySize)
	header := []byte(intro)
	for _, w := range []struct {
		r       *Recipient
		fileKey []byte
	}{{a.Recipient(), fa}, {b.Recipient(), fb}} {
		s, err := w.r.key.Wrap(w.fileKey)
		if err != nil {
			t.Fatal(err)
		}
		header = append(header, hybridStart+s[0].Args[0]+"\n"+b64.EncodeToString(s[0].Body)+"\n"...)
	}
	two := appendPayload(appendMAC(header, fa), fa, key[:])
	if got, err := OpenKey(two, a); err != nil || got != key {
		t.Errorf("first reader: %v", err)
	}
	if _, err := OpenKey(two, b); !errors.Is(err, ErrSealed) {
		t.Errorf("second reader: %v", err)
	}
}

// bech32Encode is BIP 173's, to make recipients that nobody would generate.
func bech32Encode(hrp string, data []byte) string {
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
	for _, c := range []byte(hrp) {
		all = append(all, c>>5)
	}
	all = append(all, 0)
	for _, c := range []byte(hrp) {
		all = append(all, c&31)
	}
	all = append(append(all, values...), 0, 0, 0, 0, 0, 0)
	chk := uint32(1)
	for _, v := range all {
		top := chk >> 25
		chk = (chk&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				chk ^= g
			}
		}
	}
	chk ^= 1
	for i := range 6 {
		values = append(values, byte(chk>>(5*(5-i)))&31)
	}
	for i, v := range values {
		values[i] = bech32Digits[v]
	}
	return hrp + "1" + string(values)
}

func bech32Bytes(s string) (out []byte) {
	acc, bits := uint32(0), 0
	for _, c := range []byte(s[len(recipientPrefix) : len(s)-6]) {
		acc = acc<<5 | uint32(strings.IndexByte(bech32Digits, c))
		if bits += 5; bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return out
}

func TestAttackZeroX25519Half(t *testing.T) {
	id := newIdentityT(t)
	good := id.Recipient().String()
	raw := bech32Bytes(good)
	if bech32Encode("age1pq", raw) != good || len(raw) != 1216 {
		t.Fatal("the test's bech32 is not age's")
	}
	with := func(u []byte) string { return bech32Encode("age1pq", append(bytes.Clone(raw[:1184]), u...)) }
	le := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// The u-coordinates of small order on the curve and its twist, and their
	// other encodings below 2^256 (cr.yp.to/ecdh.html, "validate public keys").
	small := []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}
	for _, s := range small {
		for _, high := range []byte{0, 0x80} {
			u := le(s)
			u[31] |= high
			text := with(u)
			r, err := age.ParseHybridRecipient(text)
			if err != nil {
				t.Fatalf("%x: age refuses it: %v", u, err)
			}
			if _, err := age.Encrypt(&bytes.Buffer{}, id.key.Recipient(), r); err == nil {
				t.Errorf("%x: age seals to it", u)
			}
			if _, err := ParseRecipient(text); err == nil {
				t.Errorf("%x: parsed", u)
			}
		}
	}
	// Another encoding of a good point: age seals to it, and its holder could
	// not open.
	u := bytes.Clone(raw[1184:])
	u[31] |= 0x80
	file := ageSeal(t, make([]byte, 32), mustAge(t, with(u)))
	if _, err := OpenKey(file, id); !errors.Is(err, ErrNotForUs) {
		t.Errorf("holder: %v", err)
	}
	for _, s := range []string{
		hex.EncodeToString(u),
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 2^255-16, which is 3
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		if _, err := ParseRecipient(with(le(s))); err == nil {
			t.Errorf("%s: parsed", s)
		}
	}
	if _, err := ParseRecipient(with(le("0900000000000000000000000000000000000000000000000000000000000000"))); err != nil {
		t.Errorf("the base point: %v", err)
	}
	// An ML-KEM half with a coefficient that is not reduced (FIPS 203 §7.2).
	bad := bytes.Clone(raw)
	bad[0], bad[1] = 0xff, 0xff
	if _, err := ParseRecipient(bech32Encode("age1pq", bad)); err == nil {
		t.Error("unreduced ML-KEM key parsed")
	}
}

func mustAge(t *testing.T, s string) age.Recipient {
	t.Helper()
	r, err := age.ParseHybridRecipient(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Everything that says where a section stands changes its wrap key, so with a
// fresh nonce a record no two sections share one, whatever was restored.
func TestAttackWrapKeyNeverTwice(t *testing.T) {
	key, at := newFeedKey(t), testPlace()
	other := crypto.Sum("other", crypto.Hash{})
	places := map[string]Place{"itself": at}
	change := func(name string, f func(*Place)) {
		p := at
		f(&p)
		places[name] = p
	}
	change("nonce", func(p *Place) { p.Nonce[31] ^= 1 })
	change("seq", func(p *Place) { p.Seq++ })
	change("seq, high", func(p *Place) { p.Seq |= 1 << 63 })
	change("section", func(p *Place) { p.Section++ })
	change("section, high", func(p *Place) { p.Section |= 1 << 30 })
	change("seq and section exchanged", func(p *Place) { p.Seq, p.Section = uint64(p.Section), int(p.Seq) })
	change("feed", func(p *Place) { p.Feed = other })
	change("network", func(p *Place) { p.Network = other })
	change("network and feed exchanged", func(p *Place) { p.Network, p.Feed = p.Feed, p.Network })

	file, err := SealSection(key, at, []byte("An invented message."))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for name, p := range places {
		k := string(p.wrapKey(key))
		if was, ok := seen[k]; ok {
			t.Errorf("%s and %s share a wrap key", name, was)
		}
		seen[k] = name
		if _, err := OpenSection(key, p, file); (err == nil) != (name == "itself") {
			t.Errorf("opened at another %s: %v", name, err)
		}
	}
	if _, ok := seen[string(at.wrapKey(newFeedKey(t)))]; ok {
		t.Error("two feed keys share a wrap key")
	}
	// Sealed twice even at one place, the file keys differ, and the payloads.
	again, err := SealSection(key, at, []byte("An invented message."))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := SectionFileKey(key, at, file)
	b, _ := SectionFileKey(key, at, again)
	if bytes.Equal(a, b) || bytes.Equal(file[sectionHeader:], again[sectionHeader:]) {
		t.Error("two sections share a file key or a payload")
	}
}
