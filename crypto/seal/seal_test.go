package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/hkdf"

	"github.com/national-alliance/alliance/crypto"
)

func newIdentityT(t testing.TB) *Identity {
	t.Helper()
	id, err := GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newFeedKey(t testing.TB) FeedKey {
	t.Helper()
	k, err := NewFeedKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testPlace() Place {
	return Place{
		Network: crypto.Sum("test-network", crypto.Hash{}),
		Feed:    crypto.Sum("test-feed", crypto.Hash{}),
		Seq:     7, Section: 2,
		Nonce: sha256.Sum256([]byte("an invented nonce")),
	}
}

// age's own view of a file, for comparison with ours.
func ageOpen(file []byte, id age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(file), id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func ageSeal(t testing.TB, plain []byte, to ...age.Recipient) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// feedStanza is the section stanza written from its description alone, as a
// recipient and identity of age's.
type feedStanza struct {
	key FeedKey
	at  Place
}

func (f feedStanza) aead() (a interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}) {
	info := []byte("alliance/v1/section-key")
	info = append(info, f.at.Network[:]...)
	info = append(info, f.at.Feed[:]...)
	for i := 56; i >= 0; i -= 8 {
		info = append(info, byte(f.at.Seq>>i))
	}
	for i := 24; i >= 0; i -= 8 {
		info = append(info, byte(f.at.Section>>i))
	}
	key := make([]byte, 32)
	if _, err := io.ReadFull(hkdf.New(sha256.New, f.key[:], f.at.Nonce[:], info), key); err != nil {
		panic(err)
	}
	a, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err)
	}
	return a
}

func (f feedStanza) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: "alliance/v1/feed-key", Body: f.aead().Seal(nil, make([]byte, 12), fileKey, nil)}}, nil
}

func (f feedStanza) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != "alliance/v1/feed-key" || len(stanzas[0].Args) != 0 {
		return nil, age.ErrIncorrectIdentity
	}
	return f.aead().Open(nil, make([]byte, 12), stanzas[0].Body, nil)
}

// Lengths around every edge of age's 64 KiB chunks.
var lengths = []int{0, 1, 15, 16, 17, 512, 1024, 65519, 65520, 65535, 65536, 65537, 131071, 131072, 131073, 200000}

func TestSectionInteroperatesWithAge(t *testing.T) {
	key, at := newFeedKey(t), testPlace()
	for _, n := range lengths {
		plain := make([]byte, n)
		rand.Read(plain)
		file, err := SealSection(key, at, plain)
		if err != nil {
			t.Fatal(err)
		}
		if len(file) != SectionLen(n) {
			t.Errorf("%d bytes: sealed length %d, SectionLen %d", n, len(file), SectionLen(n))
		}
		if got, err := OpenSection(key, at, file); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: our own: %v", n, err)
		}
		if got, err := ageOpen(file, feedStanza{key, at}); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: age opens ours: %v", n, err)
		}
		theirs := ageSeal(t, plain, feedStanza{key, at})
		if got, err := OpenSection(key, at, theirs); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: we open age's: %v", n, err)
		}
		fileKey, err := SectionFileKey(key, at, file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenSectionWithFileKey(fileKey, file); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: with file key: %v", n, err)
		}
		if got, err := ageOpen(file, age.NewInjectedFileKeyIdentity(fileKey)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: age with file key: %v", n, err)
		}
		if _, err := OpenSectionWithFileKey(fileKey, theirs); !errors.Is(err, ErrSealed) {
			t.Errorf("one section's file key opens another: %v", err)
		}
	}
}

// One section, pinned: a program that reads it today reads it for ever.
func TestSectionVector(t *testing.T) {
	key := FeedKey(sha256.Sum256([]byte("an invented feed key")))
	at := testPlace()
	if got, want := hex.EncodeToString(at.wrapKey(key)), vectorWrapKey; got != want {
		t.Errorf("wrap key %s, want %s", got, want)
	}
	if got := Commit(key, at.Network, at.Feed, at.Seq, 1).String(); got != vectorCommitment {
		t.Errorf("commitment %s, want %s", got, vectorCommitment)
	}
	file, err := b64.DecodeString(strings.ReplaceAll(vectorSection, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenSection(key, at, file)
	if err != nil || string(got) != "An invented message." {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSectionRefusesEveryChange(t *testing.T) {
	key, at := newFeedKey(t), testPlace()
	file, err := SealSection(key, at, []byte("An invented message."))
	if err != nil {
		t.Fatal(err)
	}
	fileKey, err := SectionFileKey(key, at, file)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, bad []byte) {
		t.Helper()
		if _, err := OpenSection(key, at, bad); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := OpenSectionWithFileKey(fileKey, bad); !errors.Is(err, ErrSealed) {
			t.Errorf("%s, with file key: %v", what, err)
		}
	}
	for i := range file {
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			// The wrapped key does not matter to who has the file key, but
			// the header's MAC covers it.
			refused(fmt.Sprintf("byte %d bit %d", i, bit), bad)
		}
		refused(fmt.Sprintf("cut to %d", i), file[:i])
	}
	refused("a byte more", append(bytes.Clone(file), 0))
	refused("CRLF", bytes.Replace(file, []byte("\n"), []byte("\r\n"), 1))
	plain := []byte("An invented message.")
	s := feedStanza{key, at}
	refused("two stanzas", ageSeal(t, plain, s, s))
	refused("hybrid stanza", ageSeal(t, plain, newIdentityT(t).Recipient().key))
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	refused("ours and classic", ageSeal(t, plain, s, x.Recipient()))
	if _, err := OpenSection(newFeedKey(t), at, file); !errors.Is(err, ErrSealed) {
		t.Errorf("another key: %v", err)
	}
	for _, n := range []int{0, 15, 17, 32} {
		if _, err := OpenSectionWithFileKey(make([]byte, n), file); !errors.Is(err, ErrSealed) {
			t.Errorf("file key of %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{-1, math.MinInt} {
		at.Section = n
		if _, err := SealSection(key, at, nil); err == nil {
			t.Errorf("sealed section %d", n)
		}
		if _, err := OpenSection(key, at, file); !errors.Is(err, ErrSealed) {
			t.Errorf("section %d: %v", n, err)
		}
	}
}

// Chunks cannot be dropped, doubled or exchanged.
func TestSectionChunks(t *testing.T) {
	key, at := newFeedKey(t), testPlace()
	file, err := SealSection(key, at, make([]byte, 3*chunkSize))
	if err != nil {
		t.Fatal(err)
	}
	start, c := sectionHeader+payloadSalt, chunkSize+overhead
	chunk := func(i int) []byte { return file[start+i*c : start+(i+1)*c] }
	for name, order := range map[string][]int{"last dropped": {0, 1}, "first dropped": {1, 2}, "exchanged": {1, 0, 2}, "doubled": {0, 1, 2, 2}, "none": {}} {
		bad := bytes.Clone(file[:start])
		for _, i := range order {
			bad = append(bad, chunk(i)...)
		}
		if _, err := OpenSection(key, at, bad); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An empty last chunk behind a full one is another form of the same text.
	fileKey, _ := SectionFileKey(key, at, file)
	aead := newAEAD(derive(fileKey, file[sectionHeader:start], "payload"))
	bad := bytes.Clone(file[:start])
	n0, n1 := chunkNonce(0, false), chunkNonce(1, true)
	bad = aead.Seal(bad, n0[:], make([]byte, chunkSize), nil)
	bad = aead.Seal(bad, n1[:], nil, nil)
	if _, err := OpenSection(key, at, bad); !errors.Is(err, ErrSealed) {
		t.Errorf("empty last chunk: %v", err)
	}
}

func TestKeyRoundTrip(t *testing.T) {
	a, b, c := newIdentityT(t), newIdentityT(t), newIdentityT(t)
	key := newFeedKey(t)
	file, err := SealKey(key, []*Recipient{a.Recipient(), b.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	if len(file) != 134+2*1557 {
		t.Errorf("length %d", len(file))
	}
	if n, err := KeyStanzas(file); n != 2 || err != nil {
		t.Errorf("stanzas %d, %v", n, err)
	}
	for _, ids := range [][]*Identity{{a}, {b}, {c, nil, b}} {
		if got, err := OpenKey(file, ids...); err != nil || got != key {
			t.Errorf("%v", err)
		}
	}
	for _, ids := range [][]*Identity{nil, {c}} {
		if _, err := OpenKey(file, ids...); !errors.Is(err, ErrNotForUs) {
			t.Errorf("%v", err)
		}
	}
	if got, err := ageOpen(file, b.key); err != nil || !bytes.Equal(got, key[:]) {
		t.Errorf("age opens ours: %v", err)
	}
	if got, err := OpenKey(ageSeal(t, key[:], a.Recipient().key), a); err != nil || got != key {
		t.Errorf("we open age's: %v", err)
	}
	// A stanza that is malformed for one reader leaves the others theirs: the
	// first stanza's X25519 share becomes a point of small order, and the
	// header is authenticated anew, as its author could.
	hdr, err := age.DecryptHeader(file, b.key)
	if err != nil {
		t.Fatal(err)
	}
	s := bytes.Clone(file)
	enc := s[len(intro)+len(hybridStart):][:encLen]
	raw, _ := b64.DecodeString(string(enc))
	clear(raw[len(raw)-32:])
	b64.Encode(enc, raw)
	end := len(file) - keyPayload
	forged := appendMAC(bytes.Clone(s[:end-macLine]), hdr)
	forged = append(forged, s[end:]...)
	if got, err := OpenKey(forged, b); err != nil || got != key {
		t.Errorf("behind a malformed stanza: %v", err)
	}
	if _, err := OpenKey(forged, a); !errors.Is(err, ErrNotForUs) {
		t.Errorf("the malformed stanza's reader: %v", err)
	}
}

func TestKeyRefusesEveryChange(t *testing.T) {
	a := newIdentityT(t)
	file, err := SealKey(newFeedKey(t), []*Recipient{a.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		if _, err := OpenKey(bad, a); !errors.Is(err, ErrSealed) && !errors.Is(err, ErrNotForUs) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, err := KeyStanzas(file[:i]); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
	if _, err := KeyStanzas(append(file, 0)); !errors.Is(err, ErrSealed) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestCommitCoversEverything(t *testing.T) {
	at := testPlace()
	key := newFeedKey(t)
	other := crypto.Sum("other", crypto.Hash{})
	seen := map[crypto.Hash]string{}
	for name, h := range map[string]crypto.Hash{
		"itself":  Commit(key, at.Network, at.Feed, 1, 0),
		"key":     Commit(newFeedKey(t), at.Network, at.Feed, 1, 0),
		"network": Commit(key, other, at.Feed, 1, 0),
		"feed":    Commit(key, at.Network, other, 1, 0),
		"seq":     Commit(key, at.Network, at.Feed, 2, 0),
		"set":     Commit(key, at.Network, at.Feed, 1, 1),
		"swapped": Commit(key, at.Network, at.Feed, 0, 1),
	} {
		if was, ok := seen[h]; ok {
			t.Errorf("%s and %s commit alike", name, was)
		}
		seen[h] = name
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	key, id := newFeedKey(t), newIdentityT(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, v := range []any{key, &key, struct{ K FeedKey }{key}, []FeedKey{key}, id, *id, struct{ I *Identity }{id}} {
			out := strings.ToLower(fmt.Sprintf(verb, v))
			if strings.Contains(out, hex.EncodeToString(key[:4])) || strings.Contains(out, fmt.Sprintf("%d %d %d", key[0], key[1], key[2])) ||
				strings.Contains(out, "age-secret") {
				t.Errorf("%s of %T prints a secret", verb, v)
			}
		}
	}
	if b, err := json.Marshal(key); err == nil {
		t.Errorf("JSON of a feed key: %d bytes", len(b))
	}
	if b, err := json.Marshal([]any{id}); err == nil && bytes.Contains(b, []byte("SECRET")) {
		t.Error("JSON of an identity holds it")
	}
	_, err := ParseIdentity(strings.ToLower(id.Secret()))
	if err == nil || strings.Contains(strings.ToUpper(err.Error()), id.Secret()[20:30]) {
		t.Errorf("error %v", err)
	}
	if got, err := ParseIdentity(id.Secret()); err != nil || got.Recipient().String() != id.Recipient().String() {
		t.Errorf("parse of its own form: %v", err)
	}
}

func TestNewFeedKeyShortRandomness(t *testing.T) {
	if _, err := NewFeedKey(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("made a key of 31 bytes")
	}
}

func TestRecipientsRemembers(t *testing.T) {
	var c Recipients
	texts := []string{newIdentityT(t).Recipient().String(), newIdentityT(t).Recipient().String()}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, s := range texts {
				if r, err := c.Parse(s); err != nil || r.String() != s {
					t.Errorf("parse: %v", err)
				}
			}
		})
	}
	wg.Wait()
	first, _ := c.Parse(texts[0])
	if again, _ := c.Parse(texts[0]); again != first {
		t.Error("parsed twice")
	}
	if _, err := c.Parse("age1pq1"); err == nil || len(c.parsed) != 2 {
		t.Error("remembered a refusal")
	}
	for i := len(c.parsed); i < maxRemembered; i++ {
		c.parsed[fmt.Sprint(i)] = first
	}
	if _, err := c.Parse(newIdentityT(t).Recipient().String()); err != nil || len(c.parsed) != 1 {
		t.Errorf("a full memory holds %d, %v", len(c.parsed), err)
	}
}
