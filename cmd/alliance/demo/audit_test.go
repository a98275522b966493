package demo

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
	ours "github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/consensus"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol"
)

const inputDir = "../../../deploy/demo"

// disk is one stopped node of a kept demo, with everything that opens on it.
type disk struct {
	kept
	t       *testing.T
	id      ours.Identity
	keys    *keyfile.NodeKeys
	own     []*seal.Identity // all that this node has
	listed  map[string]held  // what 'alliance verify --list' says
	records []*protocol.Record
}

// TestScriptAudit runs the demo as real processes, keeps its folder, and looks
// at it from outside: below the store's encryption, and with every key that
// each node has.
func TestScriptAudit(t *testing.T) {
	// A socket's path has room for a hundred bytes, which t.TempDir may take.
	tmp, err := os.MkdirTemp("", "al")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	program := filepath.Join(tmp, "alliance")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	c := exec.CommandContext(t.Context(), program, "demo", "--input", inputDir, "--at", filepath.Join(tmp, "demo"), "--keep")
	c.Env = environment()
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // it ends its nodes
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(tmp, "demo", "nodes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var nodes []kept
	if err := json.Unmarshal(b, &nodes); err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 7 {
		t.Fatalf("nodes.json has %d nodes", len(nodes))
	}
	var disks []*disk
	for _, n := range nodes {
		disks = append(disks, openDisk(t, program, n))
	}
	words, err := canaries(inputDir)
	if err != nil || len(words) < 5 {
		t.Fatalf("%d canaries, %v", len(words), err)
	}
	t.Run("NoTextUnderTheEncryption", func(t *testing.T) { noText(t, disks, words) })
	t.Run("PlantedTextIsFound", func(t *testing.T) { planted(t, disks[0], words[0]) })
	t.Run("CountsAgree", func(t *testing.T) { counts(t, disks) })
	t.Run("PoliceHoldTheirOwn", func(t *testing.T) { policeHold(t, disks) })
	t.Run("CustodiansCannotOpen", func(t *testing.T) { custody(t, disks) })
}

func openDisk(t *testing.T, program string, n kept) *disk {
	d := &disk{kept: n, t: t, listed: map[string]held{}}
	var err error
	if d.id, err = ours.Identify(n.Dir); err != nil {
		t.Fatal(err)
	}
	if d.keys, err = keyfile.LoadNodeKeys(filepath.Join(n.Dir, "keys", "node.key")); err != nil {
		t.Fatal(err)
	}
	pass, err := os.ReadFile(n.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	reading, err := keyfile.LoadReading(filepath.Join(n.Dir, "keys", "reading.age"), strings.TrimSpace(string(pass)))
	if err != nil {
		t.Fatal(err)
	}
	d.own = []*seal.Identity{d.keys.Sealing}
	for _, k := range reading {
		d.own = append(d.own, k.Identity)
	}
	c := exec.CommandContext(t.Context(), program, "verify", "--dir", n.Dir, "--passphrase-file", n.Passphrase, "--list", "--json")
	c.Env = environment()
	out, err := c.Output()
	if err != nil {
		t.Fatalf("verify %s: %v", n.Name, err)
	}
	for line := range bytes.Lines(out) {
		var h held
		if err := json.Unmarshal(line, &h); err != nil {
			t.Fatal(err)
		}
		d.listed[h.ID] = h
	}
	st, err := store.Open(store.Options{Dir: d.storeDir(), Key: d.keys.StoreKey, Network: d.id.Network, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, f := range st.Feeds() {
		if err := st.Range(f.Feed, 1, f.Chain.Seq, func(r *protocol.Record) error {
			d.records = append(d.records, r)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *disk) storeDir() string { return filepath.Join(d.Dir, "store") }
func (d *disk) raftDir() string  { return filepath.Join(d.Dir, "raft") }

// guises are the bytes by which a text may lie in a decrypted value: as it is,
// in UTF-16, in hex, and in base64 however it is aligned there.
func guises(s string) map[string][]byte {
	out := map[string][]byte{"hex": []byte(hex.EncodeToString([]byte(s))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(s))))}
	for i, form := range forms(s) {
		out[[]string{"text", "UTF-16LE", "UTF-16BE"}[i]] = form
	}
	for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			text := e.EncodeToString(append(make([]byte, shift), s...))
			// The first and last characters may hold bits of the neighbours.
			out[fmt.Sprint(name, shift)] = []byte(text[(shift*8+5)/6 : (shift+len(s))*8/6])
		}
	}
	return out
}

// lookout calls found for each word that is in a value, in whatever guise.
type lookout struct {
	words map[string]map[string][]byte
	found func(word, guise string)
}

func newLookout(words []string, found func(word, guise string)) lookout {
	l := lookout{map[string]map[string][]byte{}, found}
	for _, w := range words {
		l.words[w] = guises(w)
	}
	return l
}

func (l lookout) look(b []byte) {
	for w, g := range l.words {
		for name, form := range g {
			if bytes.Contains(b, form) {
				l.found(w, name)
			}
		}
	}
}

// store looks at every decrypted key and value of a store.
func (l lookout) store(dir string, key [32]byte) (rows int, err error) {
	err = store.Inspect(dir, key, func(k, v []byte) error {
		rows++
		l.look(k)
		l.look(v)
		return nil
	})
	return rows, err
}

// raft looks at every opened entry of a Raft folder.
func (l lookout) raft(dir string, key [32]byte) (entries int, err error) {
	for e, err := range consensus.Entries(dir, key) {
		if err != nil {
			return entries, err
		}
		entries++
		l.look([]byte(e.Name))
		l.look(e.Data)
	}
	return entries, nil
}

func noText(t *testing.T, disks []*disk, words []string) {
	for _, d := range disks {
		l := newLookout(words, func(word, guise string) { t.Errorf("%s: %q lies below the encryption as %s", d.Name, word, guise) })
		rows, err := l.store(d.storeDir(), d.keys.StoreKey)
		if err != nil || rows < len(d.records) {
			t.Fatalf("%s: %d rows, %v", d.Name, rows, err)
		}
		if d.Class != secretariatClass {
			continue
		}
		if entries, err := l.raft(d.raftDir(), d.keys.RaftKey); err != nil || entries == 0 {
			t.Fatalf("%s: %d Raft entries, %v", d.Name, entries, err)
		}
	}
}

// planted puts a text into a copy of a store and into a Raft log, unsealed and
// in every guise: the search that found nothing must find each of them.
func planted(t *testing.T, d *disk, word string) {
	for guise, form := range guises(word) {
		var found []string
		l := newLookout([]string{word}, func(_, g string) { found = append(found, g) })
		l.look(append([]byte("before "), form...))
		if !slices.Contains(found, guise) {
			t.Errorf("as %s it is not found", guise)
		}
	}
	copied := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(copied, os.DirFS(d.storeDir())); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(store.Options{Dir: copied, Key: d.keys.StoreKey, Network: d.id.Network, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	var batch store.Batch
	batch.Meta("planted/value", []byte("…"+word+"…"))
	batch.Meta("planted/base64", []byte(base64.StdEncoding.EncodeToString([]byte("12"+word))))
	if err := st.Commit(t.Context(), &batch); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	l := newLookout([]string{word}, func(_, g string) { found[g] = true })
	if _, err := l.store(copied, d.keys.StoreKey); err != nil {
		t.Fatal(err)
	}
	if !found["text"] || !found["base642"] {
		t.Errorf("in a store it is found as %v", slices.Collect(maps.Keys(found)))
	}
	clear(found)
	var key [32]byte
	dir := plantRaft(t, key, []byte("…"+word+"…"))
	if _, err := l.raft(dir, key); err != nil {
		t.Fatal(err)
	}
	if !found["text"] {
		t.Error("in a Raft log it is not found")
	}
}

// counts compares the rows of records below the encryption with what the
// offline verifier lists, and each record with its line.
func counts(t *testing.T, disks []*disk) {
	for _, d := range disks {
		rows := map[string]bool{}
		err := store.Inspect(d.storeDir(), d.keys.StoreKey, func(k, _ []byte) error {
			if len(k) == 1+32+8+1 && k[0] == 'r' && k[41] == 0 { // r feed seq 0: a record
				if binary.BigEndian.Uint64(k[33:]) == 0 {
					t.Errorf("%s: a record numbered 0", d.Name)
				}
				rows[string(k)] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 || len(rows) != len(d.listed) || len(rows) != len(d.records) {
			t.Errorf("%s: %d rows of records, %d lines, %d records", d.Name, len(rows), len(d.listed), len(d.records))
		}
		for _, r := range d.records {
			core, h := r.Core(), d.listed[r.ID().String()]
			var audience []string
			for _, o := range core.Audience.Orgs {
				audience = append(audience, o.String())
			}
			if h.Author != core.Author.String() || h.Seq != core.Seq || h.Feed != r.Feed().String() || !slices.Equal(h.Audience, audience) {
				t.Errorf("%s: record %s is listed as %+v", d.Name, r.ID().Short(), h)
			}
		}
	}
}

func policeHold(t *testing.T, disks []*disk) {
	seen := 0
	for _, d := range disks {
		if d.Class != "police" {
			continue
		}
		for _, r := range d.records {
			seen++
			core := r.Core()
			if core.Author != d.id.Org && !slices.Contains(core.Audience.Orgs, d.id.Org) {
				t.Errorf("%s holds record %s of others, not addressed to it", d.Name, r.ID().Short())
			}
			if slices.Contains(d.listed[r.ID().String()].Custodians, d.Org) {
				t.Errorf("%s is named custodian of record %s", d.Name, r.ID().Short())
			}
		}
	}
	if seen == 0 {
		t.Error("police hold nothing: nothing was looked at")
	}
}

// custody tries everything that a node has on every section that it keeps for
// others, and then a recipient's identity on the very same bytes.
func custody(t *testing.T, disks []*disk) {
	tried, opened := 0, 0
	for _, d := range disks {
		links := map[protocol.FeedID]map[uint64]protocol.KeyLink{}
		byFeed := map[protocol.FeedID]map[uint64]*protocol.Record{}
		var keys []seal.FeedKey // all that this node's identities open, of whatever feed
		for _, r := range d.records {
			if byFeed[r.Feed()] == nil {
				byFeed[r.Feed()], links[r.Feed()] = map[uint64]*protocol.Record{}, map[uint64]protocol.KeyLink{}
			}
			byFeed[r.Feed()][r.Core().Seq] = r
			link, ok := protocol.KeyLinkOf(r.Core())
			if !ok {
				continue
			}
			links[r.Feed()][r.Core().Seq] = link
			for i := range r.Core().Sections() {
				if k, err := seal.OpenKey(r.Section(i), d.own...); r.Section(i) != nil && err == nil {
					keys = append(keys, k)
				}
			}
		}
		if len(keys) == 0 && d.Class != "government" {
			t.Errorf("%s opens no feed key at all", d.Name)
		}
		for _, r := range d.records {
			core := r.Core()
			at := core.Seq
			if core.Data != nil {
				at = core.Data.Key
			}
			link := links[r.Feed()][at]
			for i, ref := range core.Sections() {
				set := link.Sets[ref.Set]
				if r.Section(i) == nil || set.Has(d.id.Org) {
					continue
				}
				if !slices.Contains(link.Custodians, d.id.Org) {
					t.Errorf("%s holds section %d of record %s, and is neither reader nor custodian", d.Name, i, r.ID().Short())
				}
				tried++
				if d.opens(r, i, keys) {
					t.Errorf("%s opens section %d of record %s, which it keeps for others", d.Name, i, r.ID().Short())
				}
				for _, reader := range set.Readers {
					x := diskOf(t, disks, reader.Org)
					key, err := byFeed[r.Feed()][at].OpenKey(int(ref.Set), x.own...)
					if err != nil {
						t.Errorf("set %d of the key record at %s does not open for its reader %s: %v", ref.Set, d.Name, x.Name, err)
						continue
					}
					if core.Data != nil {
						if _, err := r.OpenSection(i, key, set); err != nil {
							t.Errorf("section %d of record %s, as %s keeps it, does not open for %s: %v", i, r.ID().Short(), d.Name, x.Name, err)
						}
						if !d.opens(r, i, []seal.FeedKey{key}) { // else trying proves nothing
							t.Errorf("section %d of record %s does not open with its own key here", i, r.ID().Short())
						}
					}
					opened++
				}
			}
		}
	}
	if tried == 0 || opened < 2*tried {
		t.Errorf("%d sections in custody, opened %d times by their readers: too few were looked at", tried, opened)
	}
	t.Logf("%d sections in custody open with nothing that their custodian has, and %d times with a reader's identity", tried, opened)
}

// opens tries all identities and feed keys on a section.
func (d *disk) opens(r *protocol.Record, i int, keys []seal.FeedKey) bool {
	core := r.Core()
	if core.Data == nil {
		_, err := seal.OpenKey(r.Section(i), d.own...)
		return err == nil
	}
	place := seal.Place{Network: crypto.Hash(core.Network), Feed: crypto.Hash(r.Feed()), Seq: core.Seq, Section: i, Nonce: core.Nonce}
	for _, k := range keys {
		if _, err := seal.OpenSection(k, place, r.Section(i)); err == nil {
			return true
		}
	}
	_, err := seal.OpenKey(r.Section(i), d.own...)
	return err == nil
}

func diskOf(t *testing.T, disks []*disk, org protocol.OrgID) *disk {
	i := slices.IndexFunc(disks, func(d *disk) bool { return d.id.Org == org })
	if i < 0 {
		t.Fatalf("no node of %s", org.Short())
	}
	return disks[i]
}
