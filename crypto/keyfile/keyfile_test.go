package keyfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

const (
	testWork = 10
	testPass = "an invented passphrase"
)

func identity(t *testing.T) *seal.Identity {
	t.Helper()
	id, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func nodeKeys(t *testing.T) *NodeKeys {
	t.Helper()
	k, err := GenerateNodeKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testSigning(t *testing.T) SigningKey {
	t.Helper()
	key, err := crypto.NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return SigningKey{crypto.Sum("test", crypto.Hash{}), key}
}

// everyFile saves one file of each kind and says how to load it.
func everyFile(t *testing.T) map[string]func(path string) error {
	t.Helper()
	dir := t.TempDir()
	files := map[string]func(string) error{}
	add := func(name string, save func(path string) error, load func(path string) error) {
		path := filepath.Join(dir, name)
		if err := save(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := load(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files[path] = load
	}
	add("node", func(p string) error { return SaveNodeKeys(p, nodeKeys(t)) },
		func(p string) error { _, err := LoadNodeKeys(p); return err })
	add("reading", func(p string) error {
		return SaveReading(p, []ReadingKey{{1, identity(t)}, {2, identity(t)}}, testPass, 1)
	}, func(p string) error { _, err := LoadReading(p, testPass); return err })
	add("signing", func(p string) error { return SaveSigning(p, testSigning(t), "", 0) },
		func(p string) error { _, err := LoadSigning(p, ""); return err })
	add("signing-protected", func(p string) error { return SaveSigning(p, testSigning(t), testPass, 1) },
		func(p string) error { _, err := LoadSigning(p, testPass); return err })
	return files
}

func TestNodeKeysRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.keys")
	want := nodeKeys(t)
	if err := SaveNodeKeys(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadNodeKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Transport.Public() != want.Transport.Public() || got.Author.Public() != want.Author.Public() ||
		got.Sealing.Secret() != want.Sealing.Secret() || got.StoreKey != want.StoreKey || got.RaftKey != want.RaftKey {
		t.Error("another key came back")
	}
	if got.Transport.Public() == got.Author.Public() || got.StoreKey == got.RaftKey {
		t.Error("two keys are one")
	}
	if err := SaveNodeKeys(path, nodeKeys(t)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second save: %v", err)
	}
	half := *want
	half.RaftKey = Secret{}
	if err := SaveNodeKeys(path+"2", &half); err == nil {
		t.Error("saved without a Raft key")
	}
}

func TestReadingRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reading.keys")
	a, b := identity(t), identity(t)
	if err := SaveReading(path, []ReadingKey{{1, a}}, testPass, testWork); err != nil {
		t.Fatal(err)
	}
	if err := AddReading(path, ReadingKey{3, b}, testPass, testWork); err != nil {
		t.Fatal(err)
	}
	if err := AddReading(path, ReadingKey{2, identity(t)}, testPass, testWork); err == nil {
		t.Error("added an epoch below the newest")
	}
	if err := AddReading(path, ReadingKey{4, identity(t)}, "another", testWork); !errors.Is(err, ErrPassphrase) {
		t.Errorf("added with a wrong passphrase: %v", err)
	}
	if err := ChangePassphrase(path, testPass, "next", testWork); err != nil {
		t.Fatal(err)
	}
	if err := ChangePassphrase(path, "next", "", testWork); !errors.Is(err, ErrPassphrase) {
		t.Errorf("changed to an empty passphrase: %v", err)
	}
	if _, err := LoadReading(path, testPass); !errors.Is(err, ErrPassphrase) {
		t.Errorf("old passphrase: %v", err)
	}
	got, err := LoadReading(path, "next")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Epoch != 1 || got[1].Epoch != 3 ||
		got[0].Identity.Secret() != a.Secret() || got[1].Identity.Secret() != b.Secret() {
		t.Errorf("got %v", got)
	}
	for _, bad := range [][]ReadingKey{nil, {{1, nil}}, {{1, a}, {1, b}}, {{2, a}, {1, b}}} {
		if _, err := SealReading(bad, testPass, testWork); err == nil {
			t.Errorf("sealed %v", bad)
		}
	}
	for _, work := range []int{-1, MaxWork + 1} {
		if _, err := SealReading(got, testPass, work); err == nil {
			t.Errorf("sealed with work factor %d", work)
		}
	}
}

func TestSigningRoundTrip(t *testing.T) {
	want := testSigning(t)
	for _, pass := range []string{"", testPass} {
		path := filepath.Join(t.TempDir(), "officer.key")
		if err := SaveSigning(path, want, pass, testWork); err != nil {
			t.Fatal(err)
		}
		protected, err := SigningProtected(path)
		if err != nil || protected != (pass != "") {
			t.Errorf("protected %v, %v", protected, err)
		}
		got, err := LoadSigning(path, pass)
		if err != nil {
			t.Fatal(err)
		}
		if got.Person != want.Person || got.Key.Public() != want.Key.Public() {
			t.Error("another key came back")
		}
		if protected {
			for _, wrong := range []string{"", "another"} {
				if _, err := LoadSigning(path, wrong); !errors.Is(err, ErrPassphrase) {
					t.Errorf("passphrase %q: %v", wrong, err)
				}
			}
		}
	}
	if err := SaveSigning(filepath.Join(t.TempDir(), "k"), SigningKey{Key: want.Key}, "", 0); err == nil {
		t.Error("saved without a person")
	}
}

// The plain form is the documented one, byte for byte.
func TestSigningFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "officer.key")
	if err := SaveSigning(path, testSigning(t), "", 0); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf("{\n  \"file\": \"alliance signing key\",\n  \"version\": 1,\n  \"person\": %q,\n  \"seed\": %q,\n  \"check\": %%q\n}\n",
		crypto.Sum("test", crypto.Hash{}).String(), strings.Repeat("07", 32))
	check := crypto.Sum("key-file", crypto.Hash{}, fmt.Appendf(nil, body, ""))
	if want := fmt.Sprintf(body, check.String()); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Two keyboards may compose a letter differently; the passphrase is the same.
func TestPassphraseNormalForm(t *testing.T) {
	data, err := SealReading([]ReadingKey{{1, identity(t)}}, "caf\u00e9 \u0958", testWork)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReading("x", data, "cafe\u0301 \u0915\u093c"); err != nil {
		t.Error(err)
	}
}

func TestLoadMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for path, load := range everyFile(t) {
		if err := load(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}

func TestLoadTruncatedAtEveryLength(t *testing.T) {
	for path, load := range everyFile(t) {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cut := path + "-cut"
		if err := os.WriteFile(cut, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		for n := len(whole) - 1; n >= 0; n-- {
			if err := os.Truncate(cut, int64(n)); err != nil {
				t.Fatal(err)
			}
			if err := load(cut); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s cut to %d of %d bytes: %v", filepath.Base(path), n, len(whole), err)
			}
		}
		if err := os.WriteFile(cut, append(whole, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := load(cut); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s with a byte more: %v", filepath.Base(path), err)
		}
	}
}

// A flipped bit is never another key. In a protected file's stanza it cannot
// be told from a wrong passphrase.
func TestLoadFlippedBits(t *testing.T) {
	for path, load := range everyFile(t) {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i, b := range whole {
			if _, err := f.WriteAt([]byte{b ^ 1<<(i%8)}, int64(i)); err != nil {
				t.Fatal(err)
			}
			err := load(path)
			if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrPassphrase) && !strings.Contains(fmt.Sprint(err), "newer program") {
				t.Fatalf("%s with byte %d flipped: %v", filepath.Base(path), i, err)
			}
		}
	}
}

func TestLoadOtherKinds(t *testing.T) {
	for path := range everyFile(t) {
		for other, load := range everyFile(t) {
			from, to := filepath.Base(path), filepath.Base(other)
			want := ErrDamaged
			switch {
			case from == to, from == "signing" && to == "signing-protected":
				want = nil // a key that needs no passphrase opens with any
			case to == "signing" && from != "node": // loaded without a passphrase
				want = ErrPassphrase
			}
			if err := load(path); !errors.Is(err, want) {
				t.Errorf("%s loaded as %s: %v", from, to, err)
			}
		}
	}
}

func TestLoadNewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.keys")
	if err := os.WriteFile(path, []byte(`{"file": "alliance node keys", "version": 2, "more": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadNodeKeys(path); err == nil || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("error %v", err)
	}
}

// A file that anybody's key opens is not a protected one.
func TestLoadRefusesOtherAgeFiles(t *testing.T) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReading("x", b.Bytes(), testPass); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v", err)
	}
}

func TestKeysNeverPrint(t *testing.T) {
	k := nodeKeys(t)
	s := testSigning(t)
	r := []ReadingKey{{1, identity(t)}}
	secrets := [][]byte{k.Transport.Seed(), k.Author.Seed(), k.StoreKey[:], k.RaftKey[:], s.Key.Seed()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		out := fmt.Sprintf(verb+verb+verb+verb, *k, k.StoreKey, s, r[0])
		for _, secret := range secrets {
			h := hex.EncodeToString(secret)
			if strings.Contains(strings.ToLower(out), h) || strings.Contains(out, string(secret)) ||
				strings.Contains(out, fmt.Sprint(secret)) || strings.Contains(out, fmt.Sprintf("%#v", secret)[7:30]) {
				t.Errorf("%s prints a key", verb)
			}
		}
		for _, id := range []*seal.Identity{k.Sealing, r[0].Identity} {
			if strings.Contains(out, id.Secret()) || strings.Contains(out, "AGE-SECRET") {
				t.Errorf("%s prints an identity", verb)
			}
		}
	}
}

// A held key's file has no secret: others may read it, and may not change it.
func TestHeldKey(t *testing.T) {
	k := testSigning(t)
	want := HeldKey{k.Person, k.Key.Public()}
	path := filepath.Join(t.TempDir(), "officer.key")
	if err := SaveHeld(path, want); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := LoadHeld(path); err != nil || !ok || got != want {
		t.Errorf("another key came back: %v, %v, %v", got, ok, err)
	}
	if err := SaveHeld(path, want); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second save: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf("{\n  \"file\": \"alliance held key\",\n  \"version\": 1,\n  \"person\": %q,\n  \"key\": %q,\n  \"check\": %%q\n}\n", want.Person, want.Key)
	check := crypto.Sum("key-file", crypto.Hash{}, fmt.Appendf(nil, body, ""))
	if form := fmt.Sprintf(body, check); string(text) != form {
		t.Errorf("got\n%s\nwant\n%s", text, form)
	}
	if bytes.Contains(text, []byte(strings.Repeat("07", 32))) {
		t.Error("the seed is in it")
	}
	if _, err := LoadSigning(path, ""); err == nil {
		t.Error("read as a signing key")
	}
	for _, bad := range []HeldKey{{Key: want.Key}, {Person: want.Person}, {want.Person, crypto.PublicKey{1}}} {
		if err := SaveHeld(path+"2", bad); err == nil {
			t.Errorf("saved %v", bad)
		}
	}

	signing := filepath.Join(t.TempDir(), "signing.key")
	if err := SaveSigning(signing, k, "", 0); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := LoadHeld(signing); ok || err != nil {
		t.Errorf("a signing key is taken for a held one: %v, %v", ok, err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(want.Key.String()), []byte(strings.Repeat("0", 64)), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadHeld(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("changed: %v", err)
	}
	small := encode(heldKind, &heldFile{Person: want.Person.String(), Key: "01" + strings.Repeat("0", 62)})
	if err := os.WriteFile(path, small, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadHeld(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("a point of small order: %v", err)
	}
	if _, _, err := LoadHeld(path + "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
