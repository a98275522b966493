package main_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
)

// The house: which rooms there are, who may import what, and what is not done
// in which room. It is read from the source and not from the go command, so
// that files for other systems than this one are held to it too.

const module = "github.com/national-alliance/alliance/"

// floors are the rooms from the ground up. A room imports rooms of lower
// floors only; rooms of one floor do not know each other. A new room is a
// decision: it gets a line here and one in README.md's map.
var floors = [][]string{
	{"crypto"},
	{"crypto/seal", "crypto/keyfile"},
	{"protocol"},
	{"protocol/register", "protocol/reconcile", "protocol/vocab", "protocol/referral", "protocol/alert"},
	{"node/config", "node/store", "node/transport", "node/consensus", "node/membership", "node/replica", "node/casebook", "node/api"},
	{"node"},
	{"cmd/alliance", "deploy"},
}

// neighbours are the only imports within a floor.
var neighbours = []string{
	"crypto/keyfile -> crypto/seal",
	"protocol/referral -> protocol/vocab",
}

// owners says which rooms may use a dependency; a dependency without a line is
// refused. The name of a module covers its packages and, after a hyphen or a
// slash, its relatives. Patterns are path.Match's; a test may use what its
// room may not, so that it can look from outside.
var owners = []struct{ module, rooms string }{
	{"filippo.io/age", "crypto/*"},
	{"filippo.io/edwards25519", "crypto"},
	{"golang.org/x/crypto/ssh", "cmd/alliance"},
	{"golang.org/x/crypto", "crypto crypto/* node/consensus"},
	{"golang.org/x/text", "crypto/keyfile protocol protocol/* node/*"},
	{"github.com/fxamacker/cbor", "protocol"},
	{"github.com/benbjohnson/immutable", "protocol/register"},
	{"golang.org/x/mod/sumdb", "protocol/register node/membership"},
	{"github.com/dgraph-io/badger", "node/store"},
	{"github.com/hashicorp/raft", "node/consensus"},
	{"github.com/hashicorp/go-hclog", "node/consensus"},
	{"github.com/libp2p/go-libp2p", "node/transport"},
	{"github.com/multiformats/go-multiaddr", "node/transport"},
	{"github.com/multiformats/go-multistream", "node/transport"},
	{"github.com/quic-go/quic-go", "node/transport"},
	{"github.com/BurntSushi/toml", "node/config"},
	{"github.com/danielgtaylor/huma", "node/api"},
	{"github.com/spf13/cobra", "cmd/alliance"},
	{"github.com/spf13/pflag", "cmd/alliance"},
	{"golang.org/x/net", "node/transport node/api"},
	{"golang.org/x/sync", "node node/* cmd/alliance"},
	{"golang.org/x/sys", "crypto/keyfile node node/* cmd/alliance"},
	{"golang.org/x/term", "cmd/alliance"},
	{"golang.org/x/time", "node/*"},
	{"net/http", "node/api"},
	{"C", ""},
	// For tests alone.
	{"pgregory.net/rapid", ""},
	{"github.com/rogpeppe/go-internal", ""},
	{"github.com/marcopolo/simnet", ""},
}

// pure are the rooms that know no clock, network, disk, log or goroutine: what
// they need comes in as a value. A line says what is forbidden where.
var pure = []struct{ rooms, not string }{
	{"crypto crypto/* protocol protocol/*", "net log os/exec os/signal"},
	{"crypto crypto/seal protocol protocol/*", "os syscall golang.org/x/sys"},
	{"crypto crypto/seal", "time"},
	{"protocol protocol/*", "crypto/rand math/rand"},
}

// addresses are packages below net that only parse.
var addresses = []string{"net/netip", "net/url", "net/mail"}

// clock is what the pure rooms, which may print a time, do not use of time.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// top is all that stands at the top level, beside dot files and what
// .gitignore leaves out.
var top = []string{"crypto", "protocol", "node", "cmd", "deploy", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CONTRIBUTING.md"}

const maxLines = 800 // of a Go file that is no test

// words are not to be found in any text of the project.
var words = []struct {
	files *regexp.Regexp
	bad   *regexp.Regexp
	why   string
}{
	{regexp.MustCompile(`.`), regexp.MustCompile(`(^|[^\w./-])/(home|root|Users|work)/\w`), "a path of somebody's own machine"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`(?i)\b(this|the next|later|first) issue\b|\bissue #\d|\b(DESIGN|DOMAIN|FACTS|ATTACKS|STYLE) §`), "says who asked for it; say why instead"},
	{regexp.MustCompile(`\.go$|^Makefile$|^\.ci/`), regexp.MustCompile(`\b(TODO|FIXME|XXX)\b|not (yet )?implemented`), "a part left out; leave it out whole"},
	{regexp.MustCompile(`_test\.go$`), regexp.MustCompile(`\bt\.Skip(f|Now)?\(`), "a test that is passed over looks like one that passed"},
	{regexp.MustCompile(`^(README|CONTRIBUTING)\.md$|^deploy/|^cmd/.*[^t]\.go$`), regexp.MustCompile(`(?i)porn|child prostitut|sex tour|customer`), "a word that people here do not use of children"},
}

// document is how texts name the project's documents, which must exist.
var document = regexp.MustCompile(`\b[A-Z]{4,}\.md\b`)

func TestHouse(t *testing.T) {
	for _, breach := range inspect(os.DirFS("../..")) {
		t.Error(breach)
	}
}

// inspect returns every breach of the house's rules in a tree, in order.
func inspect(tree fs.FS) []string {
	h := house{tree: tree}
	ignored := h.ignored()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".git" || slices.Contains(ignored, name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !strings.Contains(name, "/") && !strings.HasPrefix(name, ".") && !slices.Contains(top, name):
			h.add(name, "does not belong at the top level")
		}
		if !d.Type().IsRegular() {
			return nil
		}
		h.names = append(h.names, name)
		return nil
	})
	if err != nil {
		h.add(".", "%v", err)
	}
	packages := 0
	for _, name := range h.names {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			h.add(name, "%v", err)
			continue
		}
		h.text(name, text)
		if strings.HasSuffix(name, ".go") && !strings.Contains(name, "testdata/") {
			packages++
			h.source(name, text)
		}
	}
	if packages == 0 {
		h.add(".", "holds no Go file: this looked at the wrong folder")
	}
	slices.Sort(h.breaches)
	return slices.Compact(h.breaches)
}

type house struct {
	tree     fs.FS
	names    []string
	breaches []string
}

func (h *house) add(where, format string, args ...any) {
	h.breaches = append(h.breaches, where+" "+fmt.Sprintf(format, args...))
}

// ignored returns the names that .gitignore keeps out of the top level.
func (h *house) ignored() (names []string) {
	text, _ := fs.ReadFile(h.tree, ".gitignore")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "/"); ok {
			names = append(names, strings.TrimSuffix(name, "/"))
		}
	}
	return names
}

// text checks what any file says.
func (h *house) text(name string, text []byte) {
	if !utf8.Valid(text) || name == "go.sum" || name == "cmd/alliance/house_test.go" {
		return
	}
	for _, w := range words {
		if w.files.MatchString(name) {
			if m := w.bad.Find(text); m != nil {
				h.add(name, "says %q: %s", m, w.why)
			}
		}
	}
	for _, m := range document.FindAllString(string(text), -1) {
		if !slices.ContainsFunc(h.names, func(n string) bool { return path.Base(n) == m }) {
			h.add(name, "names %s, which is not here", m)
		}
	}
	if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			h.add(name, "has %d lines, more than %d: part it", n, maxLines)
		}
	}
}

// source checks one Go file: its room, its imports, and in the pure rooms what
// it calls.
func (h *house) source(name string, text []byte) {
	room := roomOf(path.Dir(name))
	if floorOf(room) < 0 {
		h.add(room, "is a room without a line in the house's table")
		return
	}
	test := strings.HasSuffix(name, "_test.go")
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		h.add(name, "%v", err)
		return
	}
	timeName := ""
	for _, spec := range file.Imports {
		imp, _ := strconv.Unquote(spec.Path.Value)
		if imp == "time" {
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
		}
		if why := refused(room, imp, test); why != "" {
			h.add(room, "imports %s: %s", imp, why)
		}
	}
	if test || !matches("crypto crypto/* protocol protocol/*", room) {
		return
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			h.add(name, "starts a goroutine in a pure room")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && timeName != "" && x.Name == timeName && slices.Contains(clock, n.Sel.Name) {
				h.add(name, "uses time.%s in a pure room: take the time as a value", n.Sel.Name)
			}
		}
		return true
	})
	if timeName == "." {
		h.add(name, "imports time by a dot, which hides its clock")
	}
}

// refused says why a room may not import a package, or nothing.
func refused(room, imp string, test bool) string {
	if inside, ok := strings.CutPrefix(imp, module); ok {
		other := roomOf(inside)
		from, to := floorOf(room), floorOf(other)
		switch {
		case other == room || to >= 0 && to < from || slices.Contains(neighbours, room+" -> "+other):
			return ""
		case to == from:
			return "rooms of one floor do not know each other; declare what is needed as an interface, and node gives it"
		default:
			return "imports go down only"
		}
	}
	if test {
		for _, o := range owners {
			if covers(o.module, imp) {
				return ""
			}
		}
		return unknown(imp)
	}
	for _, p := range pure {
		for _, not := range strings.Fields(p.not) {
			if matches(p.rooms, room) && covers(not, imp) && !slices.Contains(addresses, imp) {
				return "a pure room takes it as a value"
			}
		}
	}
	for _, o := range owners {
		if covers(o.module, imp) {
			if matches(o.rooms, room) {
				return ""
			}
			if o.rooms == "" {
				return "is for tests alone"
			}
			return "belongs to " + strings.ReplaceAll(o.rooms, " ", ", ")
		}
	}
	return unknown(imp)
}

// unknown refuses what is neither of the standard library nor in the table.
func unknown(imp string) string {
	if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") {
		return "a dependency without an owner in the house's table"
	}
	return ""
}

// covers reports whether a package is a module's, or a relative's.
func covers(mod, imp string) bool {
	rest, ok := strings.CutPrefix(imp, mod)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '-' && strings.Contains(mod, "."))
}

func matches(patterns, room string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(p string) bool {
		ok, _ := path.Match(p, room)
		return ok
	})
}

// roomOf returns the room that a folder belongs to: its first two names.
func roomOf(dir string) string {
	parts := strings.Split(dir, "/")
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func floorOf(room string) int {
	return slices.IndexFunc(floors, func(rooms []string) bool { return slices.Contains(rooms, room) })
}

// TestHouseSees holds the checker itself: each tree, a txtar archive, breaks
// the one rule that is named, or none.
func TestHouseSees(t *testing.T) {
	const good = "-- crypto/doc.go --\npackage crypto\n"
	for _, c := range []struct{ tree, want string }{
		{good, ""},
		{"-- README.md --\n", ". holds no Go file: this looked at the wrong folder"},
		{good + "-- src/x.txt --\n", "src does not belong at the top level"},
		{good + "-- bin/alliance --\n-- .gitignore --\n/bin/\n", ""},
		{good + "-- .git/config --\n/home/somebody\n-- .ci/run --\n", ""},
		{good + "-- node/printer/x.go --\npackage printer\n", "node/printer is a room without a line in the house's table"},
		{good + "-- crypto/bad.go --\npackage\n", "crypto/bad.go crypto/bad.go:1:9: expected 'IDENT', found 'EOF'"},

		// Arrows.
		{"-- cmd/alliance/main.go --\npackage main\nimport _ \"" + module + "node/store\"", ""},
		{"-- node/node.go --\npackage node\nimport _ \"" + module + "node/store\"", ""},
		{"-- node/store/x/x.go --\npackage x\nimport _ \"" + module + "node/store\"", ""},
		{"-- protocol/referral/x.go --\npackage referral\nimport _ \"" + module + "protocol/vocab\"", ""},
		{"-- node/store/x.go --\npackage store\nimport _ \"" + module + "node/transport\"",
			"node/store imports " + module + "node/transport: rooms of one floor do not know each other; declare what is needed as an interface, and node gives it"},
		{"-- protocol/vocab/x.go --\npackage vocab\nimport _ \"" + module + "protocol/referral\"",
			"protocol/vocab imports " + module + "protocol/referral: rooms of one floor do not know each other; declare what is needed as an interface, and node gives it"},
		{"-- protocol/x.go --\npackage protocol\nimport _ \"" + module + "protocol/register\"",
			"protocol imports " + module + "protocol/register: imports go down only"},
		{"-- crypto/x_test.go --\npackage crypto\nimport _ \"" + module + "protocol\"",
			"crypto imports " + module + "protocol: imports go down only"},
		{"-- node/store/x_windows.go --\npackage store\nimport _ \"" + module + "node\"",
			"node/store imports " + module + "node: imports go down only"},

		// Owners.
		{"-- node/store/x.go --\npackage store\nimport _ \"github.com/dgraph-io/badger/v4\"", ""},
		{"-- cmd/alliance/x_test.go --\npackage main\nimport _ \"github.com/dgraph-io/badger/v4\"", ""},
		{"-- node/replica/x.go --\npackage replica\nimport _ \"github.com/dgraph-io/badger/v4\"",
			"node/replica imports github.com/dgraph-io/badger/v4: belongs to node/store"},
		{"-- node/store/x.go --\npackage store\nimport _ \"github.com/hashicorp/raft-wal\"",
			"node/store imports github.com/hashicorp/raft-wal: belongs to node/consensus"},
		{"-- protocol/x.go --\npackage protocol\nimport _ \"filippo.io/age\"",
			"protocol imports filippo.io/age: belongs to crypto/*"},
		{"-- node/membership/x.go --\npackage membership\nimport _ \"net/http/httptest\"",
			"node/membership imports net/http/httptest: belongs to node/api"},
		{"-- node/x.go --\npackage node\nimport _ \"pgregory.net/rapid\"",
			"node imports pgregory.net/rapid: is for tests alone"},
		{"-- node/x.go --\npackage node\nimport \"C\"", "node imports C: is for tests alone"},
		{"-- node/x.go --\npackage node\nimport _ \"example.org/new\"",
			"node imports example.org/new: a dependency without an owner in the house's table"},
		{"-- node/x_test.go --\npackage node\nimport _ \"example.org/new\"",
			"node imports example.org/new: a dependency without an owner in the house's table"},

		// Pure rooms.
		{"-- protocol/x.go --\npackage protocol\nimport _ \"net/netip\"", ""},
		{"-- protocol/x.go --\npackage protocol\nimport _ \"net\"", "protocol imports net: a pure room takes it as a value"},
		{"-- protocol/alert/x.go --\npackage alert\nimport _ \"log/slog\"", "protocol/alert imports log/slog: a pure room takes it as a value"},
		{"-- crypto/keyfile/x.go --\npackage keyfile\nimport _ \"os\"", ""},
		{"-- crypto/keyfile/x.go --\npackage keyfile\nimport _ \"os/exec\"", "crypto/keyfile imports os/exec: a pure room takes it as a value"},
		{"-- crypto/seal/x.go --\npackage seal\nimport _ \"os\"", "crypto/seal imports os: a pure room takes it as a value"},
		{"-- crypto/x.go --\npackage crypto\nimport _ \"time\"", "crypto imports time: a pure room takes it as a value"},
		{"-- protocol/register/x.go --\npackage register\nimport _ \"math/rand/v2\"", "protocol/register imports math/rand/v2: a pure room takes it as a value"},
		{"-- protocol/x_test.go --\npackage protocol\nimport _ \"os\"\nfunc f() { go f() }", ""},
		{"-- protocol/x.go --\npackage protocol\nimport \"time\"\nvar _ = time.Unix(0, 0)", ""},
		{"-- protocol/x.go --\npackage protocol\nimport clock \"time\"\nvar now = clock.Now", "protocol/x.go uses time.Now in a pure room: take the time as a value"},
		{"-- protocol/x.go --\npackage protocol\nimport . \"time\"\nvar _ = Now()", "protocol/x.go imports time by a dot, which hides its clock"},
		{"-- protocol/vocab/x.go --\npackage vocab\nfunc f() { go f() }", "protocol/vocab/x.go starts a goroutine in a pure room"},
		{"-- node/x.go --\npackage node\nfunc f() { go f() }", ""},

		// Texts.
		{good + "-- crypto/long.go --\npackage crypto\n" + strings.Repeat("\n", maxLines), "crypto/long.go has 801 lines, more than 800: part it"},
		{good + "-- crypto/long_test.go --\npackage crypto\n" + strings.Repeat("\n", maxLines), ""},
		{good + "-- deploy/x.md --\nsee /home/somebody/notes\n", `deploy/x.md says " /home/s": a path of somebody's own machine`},
		{good + "-- deploy/x.md --\nhttps://example.org/home/page and /homes/x\n", ""},
		{good + "-- crypto/x.go --\n// A later issue adds rows.\npackage crypto\n", `crypto/x.go says "later issue": says who asked for it; say why instead`},
		{good + "-- crypto/x.go --\n// TODO\npackage crypto\n", `crypto/x.go says "TODO": a part left out; leave it out whole`},
		{good + "-- crypto/x_test.go --\npackage crypto\nfunc f() { t.Skip() }\n", `crypto/x_test.go says "t.Skip(": a test that is passed over looks like one that passed`},
		{good + "-- crypto/x.go --\n// See NOWHERE.md.\npackage crypto\n", "crypto/x.go names NOWHERE.md, which is not here"},
		{good + "-- protocol/SPEC.md --\n-- crypto/x.go --\n// See SPEC.md.\npackage crypto\n", ""},
	} {
		tree := fstest.MapFS{}
		for _, f := range txtar.Parse([]byte(c.tree)).Files {
			tree[f.Name] = &fstest.MapFile{Data: f.Data}
		}
		if got := strings.Join(inspect(tree), "\n"); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.tree[:min(200, len(c.tree))], got, c.want)
		}
	}
}

// TestHouseTable: a table that names nothing real, or that has lines which
// never count, would hold nothing.
func TestHouseTable(t *testing.T) {
	seen := map[string]bool{}
	for _, rooms := range floors {
		for _, r := range rooms {
			if seen[r] || roomOf(r) != r {
				t.Errorf("room %s is listed twice, or is no room", r)
			}
			seen[r] = true
		}
	}
	for _, n := range neighbours {
		a, b, ok := strings.Cut(n, " -> ")
		if !ok || floorOf(a) < 0 || floorOf(a) != floorOf(b) {
			t.Errorf("neighbours %q are not of one floor", n)
		}
	}
	for i, o := range owners {
		for _, p := range owners[:i] {
			if covers(p.module, o.module) {
				t.Errorf("the line of %s hides that of %s", p.module, o.module)
			}
		}
		for _, pattern := range strings.Fields(o.rooms) {
			if !slices.ContainsFunc(slices.Concat(floors...), func(r string) bool { return matches(pattern, r) }) {
				t.Errorf("%s is owned by %s, which is no room", o.module, pattern)
			}
		}
	}
}

// TestReadmeNamesEveryRoom: the map in README.md and the table here agree.
func TestReadmeNamesEveryRoom(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range slices.Concat(floors...) {
		if !bytes.Contains(readme, []byte("\n    "+room+"/ ")) {
			t.Errorf("README.md has no line for %s/", room)
		}
	}
}
