package crypto

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"filippo.io/edwards25519"
)

// One signature under the identity point verifies for every message, with the
// standard library. No such point gets in.
func TestAttackSmallOrderKeys(t *testing.T) {
	identity := make([]byte, 32)
	identity[0] = 1
	// R = the identity point, S = 0: then SB = R + kA for any k.
	universal := append(bytes.Clone(identity), make([]byte, 32)...)
	for _, msg := range []string{"one invented message", "another"} {
		if !ed25519.Verify(identity, []byte(msg), universal) {
			t.Fatal("the standard library refuses the identity point: then this test shows nothing")
		}
	}

	// The eight points of small order, and every other encoding of them that
	// decoders take: y not below p, and the negative zero.
	small := map[string]string{
		"order 1":               "0100000000000000000000000000000000000000000000000000000000000000",
		"order 2":               "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4":               "0000000000000000000000000000000000000000000000000000000000000000",
		"order 4, negative":     "0000000000000000000000000000000000000000000000000000000000000080",
		"order 8, a":            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"order 8, a negative":   "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"order 8, b":            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"order 8, b negative":   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"order 1, y = p+1":      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 1, y = p+1, neg": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"order 1, neg":          "0100000000000000000000000000000000000000000000000000000000000080",
		"order 2, neg":          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"order 4, y = p":        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4, y = p, neg":   "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	}
	eight := map[string]bool{} // canonical encodings of points that vanish times 8
	for name, s := range small {
		b := fromHex(t, s)
		if _, err := ParsePublicKey(b); !errors.Is(err, ErrPoint) {
			t.Errorf("%s: %v", name, err)
		}
		if err := PublicKey(b).Check(); !errors.Is(err, ErrPoint) {
			t.Errorf("%s, checked: %v", name, err)
		}
		p, err := new(edwards25519.Point).SetBytes(b)
		if err != nil {
			t.Fatalf("%s is no point: %v", name, err)
		}
		if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) != 1 {
			t.Fatalf("%s is not of small order", name)
		}
		eight[hex.EncodeToString(p.Bytes())] = true
	}
	if len(eight) != 8 {
		t.Errorf("the table covers %d of the 8 points", len(eight))
	}

	// The y from p to 2^255-1 that are points: some are of large order, yet
	// another form of a key that has a canonical one.
	found := 0
	for y := byte(0xed); y != 0; y++ { // p is ed ff … ff 7f
		b := bytes.Repeat([]byte{0xff}, 32)
		b[0], b[31] = y, 0x7f
		p, err := new(edwards25519.Point).SetBytes(b)
		if err != nil {
			continue
		}
		if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 0 {
			found++
		}
		if _, err := ParsePublicKey(b); !errors.Is(err, ErrPoint) {
			t.Errorf("y = p+%d: %v", y-0xed, err)
		}
	}
	if found == 0 {
		t.Error("no non-canonical point of large order was tried")
	}
	// Not a point at all: y = 2 has no x.
	two := make([]byte, 32)
	two[0] = 2
	if _, err := ParsePublicKey(two); !errors.Is(err, ErrPoint) {
		t.Errorf("y = 2: %v", err)
	}
}

// A signature or hash made for one purpose, or for one network, is nothing
// under any other, even if its bytes are moved across the border between
// label, network and message.
func TestAttackLabelSwaps(t *testing.T) {
	labels := labelsInUse(t)
	k := testKey(t, 1)
	pub, msg := k.Public(), []byte("an invented message")
	nets := []Hash{{}, Sum("net", Hash{}, []byte("trial"))}
	checkLabelSwaps(t, k, pub, labels, nets, msg)

	// Labels that begin alike: the rest of the longer moves into the message.
	a := k.Sign("record", nets[1], msg)
	shifted := append([]byte{0}, nets[1][:]...)
	shifted = append(shifted, msg...)
	for i := range shifted {
		if Verify(pub, Label("record\x00"+string(shifted[:i])), nets[1], shifted[i:], a) == nil {
			t.Errorf("label absorbed %d bytes", i)
		}
	}
	for _, l := range labels {
		for _, c := range []byte(l) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '/') {
				t.Errorf("label %q holds %q", l, c)
			}
		}
	}
}

func checkLabelSwaps(t *testing.T, k PrivateKey, pub PublicKey, labels []Label, nets []Hash, msg []byte) {
	t.Helper()
	type use struct {
		l Label
		n Hash
	}
	hashes := map[Hash]use{}
	for _, made := range labels {
		for _, net := range nets {
			h := Sum(made, net, msg)
			if was, ok := hashes[h]; ok {
				t.Errorf("hash of %v and %v", was, use{made, net})
			}
			hashes[h] = use{made, net}
			sig := k.Sign(made, net, msg)
			for _, read := range labels {
				for _, other := range nets {
					err := Verify(pub, read, other, msg, sig)
					if (err == nil) != (made == read && net == other) {
						t.Errorf("made for %s on %x, read as %s on %x: %v", made, net[:2], read, other[:2], err)
					}
				}
			}
		}
	}
}

// labelsInUse reads them from the project's source, so that a new one is
// tested without anybody's thinking of it: constants of type Label,
// conversions to it, and literals where a label is passed. One label has one
// purpose, hence one package and one constant.
func labelsInUse(t *testing.T) (all []Label) {
	t.Helper()
	home := map[Label]string{} // folder and, for a constant, its name
	files := 0
	add := func(dir, name string, e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		s, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		l, here := Label(s), dir+"."+name
		switch was, ok := home[l]; {
		case !ok:
			home[l] = here
			all = append(all, l)
		case was != here:
			t.Errorf("label %q has two purposes: %s and %s", l, was, here)
		}
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); path != ".." && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		dir := filepath.ToSlash(filepath.Dir(path))
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if lastName(n.Type) == "Label" {
					for i, v := range n.Values {
						add(dir, n.Names[i].Name, v)
					}
				}
			case *ast.CallExpr:
				if i, ok := map[string]int{"Label": 0, "Sum": 0, "NewHash": 0, "Sign": 0, "Verify": 1}[lastName(n.Fun)]; ok && i < len(n.Args) {
					add(dir, "", n.Args[i])
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []Label{"key-id", "key-file", "feed-key-commitment", "record", "receipt", "operation"} {
		if home[l] == "" {
			t.Errorf("label %q not found in %d files: the search is broken", l, files)
		}
	}
	return all
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// Whoever holds a key elsewhere may answer with anything: what is no signature
// of that key over those bytes goes no further.
func TestAttackHolderLies(t *testing.T) {
	key, err := NewPrivateKey(bytes.Repeat([]byte{1}, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewPrivateKey(bytes.Repeat([]byte{2}, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	network, msg := Sum("test", Hash{}), []byte("an invented message")
	gone := errors.New("the token is not there")
	good := func(m []byte) ([]byte, error) { return ed25519.Sign(key.k, m), nil }
	for name, c := range map[string]struct {
		raw  func([]byte) ([]byte, error)
		want error
	}{
		"honest":                  {good, nil},
		"its error":               {func([]byte) ([]byte, error) { return nil, gone }, gone},
		"nothing":                 {func([]byte) ([]byte, error) { return nil, nil }, ErrSignature},
		"too short":               {func(m []byte) ([]byte, error) { b, _ := good(m); return b[:63], nil }, ErrSignature},
		"too long":                {func(m []byte) ([]byte, error) { b, _ := good(m); return append(b, 0), nil }, ErrSignature},
		"another key's":           {func(m []byte) ([]byte, error) { return ed25519.Sign(other.k, m), nil }, ErrSignature},
		"over other bytes":        {func(m []byte) ([]byte, error) { return good(append(m, 0)) }, ErrSignature},
		"over bytes that it bent": {func(m []byte) ([]byte, error) { m[0] ^= 1; return good(m) }, ErrSignature},
		"without the label":       {func([]byte) ([]byte, error) { return good(msg) }, ErrSignature},
	} {
		sig, err := SignWith(Held(key.Public(), c.raw), "test", network, msg)
		if !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if want := key.Sign("test", network, msg); err == nil && sig != want || err != nil && sig != (Signature{}) {
			t.Errorf("%s: returned %x", name, sig)
		}
	}
	if sig, err := SignWith(key, "test", network, msg); err != nil || sig != key.Sign("test", network, msg) {
		t.Errorf("a key at hand signs otherwise with SignWith: %v", err)
	}
}
