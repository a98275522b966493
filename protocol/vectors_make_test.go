package protocol

import (
	"bytes"
	"encoding/hex"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// How the vectors are made: go test -run Vectors -update

var update = flag.Bool("update", false, "write the test vectors anew")

// TestVectorsUpdate writes the files anew when it is told to: the same ones,
// as long as the Go release draws the same numbers from the same seed.
func TestVectorsUpdate(t *testing.T) {
	if !*update {
		for _, name := range []string{"register", "feeds", "sections", "keyfiles", "signed", "encoding", "crypto"} {
			if _, err := os.Stat(filepath.Join(vectorDir, name+".json")); err != nil {
				t.Error(err)
			}
		}
		return
	}
	cryptotest.SetGlobalRandom(t, 1)
	if err := os.MkdirAll(vectorDir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, usual)
	save(t, "feeds.json", feedVectors(t, w))
	sections, keyFiles := sealedVectors(t, w)
	save(t, "sections.json", sections)
	save(t, "keyfiles.json", keyFiles)
	save(t, "signed.json", signedVectors(w))
	save(t, "encoding.json", encodingVectors(t, w))
	save(t, "crypto.json", cryptoVectors(t, w))
	save(t, "register.json", registerVectors(w))
}

func feedVectors(t *testing.T, w *world) []vecFeed {
	var out []vecFeed
	add := func(name, node, to, script string) {
		f := vecFeed{Name: name}
		perform(t, w, node, to, script, func(line string, d *desk, p *pen, env Envelope, outcome string) {
			s := vecStep{What: line, VerifierSize: d.m.Size(), Core: env.Core, Signature: env.Signature[:], Outcome: outcome,
				ID: RecordIDOf(w.network, env.Core)}
			if core, err := Decode[Core](env.Core, MaxCore); err == nil {
				s.Feed = FeedIDOf(core.Network, core.Node, core.Audience)
			}
			f.Steps = append(f.Steps, s)
		})
		out = append(out, f)
	}
	add("one audience, two reader sets", "A1", "B P", `
		key parts=A,P                  → linked
		data                           → linked
		data sets=0,1                  → linked
		key                            → linked
		data keyseq=1                  → refused 10
		data sets=1                    → refused 11
		data                           → linked`)
	add("outcomes that leave no link", "A1", "B", `
		data keyseq=1 prev=x           → drop
		key author=B                   → drop
		key network=other              → drop
		key signer=B1                  → drop
		key version=0                  → drop
		key size=0                     → drop
		key version=2                  → wait
		key size=99                    → wait
		key seq=2 prev=x               → gap
		key                            → linked
		data seq=4                     → gap
		data prev=x                    → diverged
		data sets=8                    → drop
		data                           → linked
		key seq=2 prev=x               → fork
		data root=other                → refused 1
		data day=-1                    → refused 3
		data day=31                    → refused 3
		data expiry=-1                 → refused 4
		data expiry=101                → refused 4
		data expiry=100                → linked`)
	out[1].Steps = append(out[1].Steps, out[1].Steps[len(out[1].Steps)-1])
	out[1].Steps[len(out[1].Steps)-1].What, out[1].Steps[len(out[1].Steps)-1].Outcome = "the same again", "known"
	add("own organisation", "A1", "A", `
		key                            → linked
		data                           → linked`)
	add("key records", "A1", "B P G", `
		key custodians=                → refused 7
		key custodians=P               → refused 7
		key custodians=N               → refused 7
		key custodians=C               → linked
		key readers=0:A,B              → refused 8
		key parts=A,N                  → refused 8
		key parts=B                    → refused 8
		key expiry=1101                → refused 4
		key honours=revoke             → refused 12
		key honours=taint,B,1          → linked
		data                           → linked
		key parts=A,B/A/A,B,G,P        → linked`)
	add("someone never enrolled", "A1", "B X", `
		key                            → refused 6`)
	add("no custodian with the secretariat", "A1", "S", `
		key custodians=                → linked`)
	add("a key is due by the register", "B1", "C G N", `
		key custodians=C               → linked
		+ suspend G
		data                           → refused 9
		data size=9                    → linked
		key custodians=C               → linked
		data size=9                    → refused 2
		data                           → linked
		+ withdraw C
		data                           → refused 9
		key custodians=S               → linked
		+ key N
		data                           → refused 9
		key                            → linked
		+ reinstate G
		data                           → refused 9
		key                            → linked`)
	add("a key is due by its age", "B1", "N", `
		key expiry=500                 → linked
		+ day 20030
		day 30
		data                           → linked
		day 31
		data                           → refused 9
		key                            → linked
		data                           → linked
		data day=30                    → refused 3`)
	size := w.size()
	add("its author is suspended", "C1", "B", `
		day 31
		key                            → linked
		+ suspend C
		data                           → refused 5
		data size=`+itoa(size)+`       → held
		+ reinstate C
		data                           → linked`)
	return out
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

func sealedVectors(t *testing.T, w *world) (sections []vecSection, keyFiles []vecKeyFile) {
	p := w.pen("A1", "B P")
	p.day = 20040
	key := p.key("S", "P")
	contents := texts(0, 1)
	contents[1].Refs = []RecordID{key.ID()}
	data, c, err := w.writer("A1", w.now()).Write(p.chain, p.keys[1], contents, p.day, p.day)
	if err != nil {
		t.Fatal(err)
	}
	p.wrote(data, c)
	section := func(name string, r *Record, i int, sealed []byte, k seal.FeedKey, outcome string) *vecSection {
		sections = append(sections, vecSection{Name: name, KeyCore: key.CoreBytes(), Core: r.CoreBytes(), Section: i, Sealed: sealed,
			FeedKey: k[:], Outcome: outcome})
		return &sections[len(sections)-1]
	}
	for i := range 2 {
		k := p.keys[1][i]
		v := section([]string{"for all", "for a part"}[i], data, i, data.Section(i), k, "opened")
		if v.Plaintext, err = seal.OpenSection(k, place(data.Core(), data.Feed(), i), data.Section(i)); err != nil {
			t.Fatal(err)
		}
		v.Kind, v.Staff, v.Time, v.Refs, v.Body = contents[i].Kind, contents[i].Staff, contents[i].Time, contents[i].Refs, contents[i].Body
	}
	flipped := bytes.Clone(data.Section(0))
	flipped[len(flipped)-1] ^= 1
	section("a bit is flipped", data, 0, flipped, p.keys[1][0], "section")
	section("cut short", data, 0, data.Section(0)[:len(flipped)-1], p.keys[1][0], "section")
	section("another section", data, 0, data.Section(1), p.keys[1][0], "section")
	section("the other set's key", data, 0, data.Section(0), p.keys[1][1], "unreadable")

	k := p.keys[1][0]
	crafted := func(name string, make func(core *Core) []byte) {
		var sealed []byte
		p.chain = c
		env := p.recraft(t, "A1", p.scrawl(t, "data", nil), func(core *Core, s [][]byte) {
			s[0] = make(core)
			sealed = s[0]
		})
		r, err := Reload(w.network, RecordIDOf(w.network, env.Core), env, Linked, 0)
		if err != nil {
			t.Fatal(err)
		}
		section(name, r, 0, sealed, k, "unreadable")
	}
	resealed := func(core *Core, plain []byte) []byte {
		sealed, err := seal.SealSection(k, place(core, p.feed(), 0), plain)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	inner := func(core *Core, change func(*Inner)) []byte {
		in := Inner{Network: core.Network, Author: core.Author, Node: core.Node, Feed: p.feed(), Seq: core.Seq, Prev: core.Prev, Nonce: core.Nonce,
			Readers: c.Key.Sets[0], Kind: "test/text", Time: 1728000000}
		body := []byte("Example, invented.")
		in.Length, in.Hash = uint64(len(body)), bodyHash(core.Network, body)
		change(&in)
		b := Encode(in)
		out := append([]byte{0, 0, byte(len(b) >> 8), byte(len(b))}, b...)
		out = append(out, body...)
		return append(out, make([]byte, seal.PaddedLen(len(out))-len(out))...)
	}
	crafted("not an age file", func(*Core) []byte { return []byte("Example, invented.") })
	crafted("sealed as another section", func(core *Core) []byte {
		at := place(core, p.feed(), 1)
		sealed, err := seal.SealSection(k, at, inner(core, func(*Inner) {}))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	})
	crafted("of another record", func(*Core) []byte { return data.Section(0) })
	crafted("a stanza more", func(core *Core) []byte {
		s := resealed(core, inner(core, func(*Inner) {}))
		i := bytes.Index(s, []byte("\n-> ")) + 1
		j := bytes.Index(s, []byte("\n--- ")) + 1
		return append(append(bytes.Clone(s[:j]), s[i:j]...), s[j:]...)
	})
	crafted("inner header of another record", func(core *Core) []byte { return resealed(core, sections[0].Plaintext) })
	spoils := map[string]func(*Inner){
		"inner: network":  func(i *Inner) { i.Network[0]++ },
		"inner: author":   func(i *Inner) { i.Author = orgID("B") },
		"inner: node":     func(i *Inner) { i.Node = nodeID("B1") },
		"inner: feed":     func(i *Inner) { i.Feed[0]++ },
		"inner: seq":      func(i *Inner) { i.Seq++ },
		"inner: prev":     func(i *Inner) { i.Prev[0]++ },
		"inner: nonce":    func(i *Inner) { i.Nonce[0]++ },
		"inner: section":  func(i *Inner) { i.Section++ },
		"inner: readers":  func(i *Inner) { i.Readers = c.Key.Sets[1] },
		"inner: no kind":  func(i *Inner) { i.Kind = "" },
		"inner: length":   func(i *Inner) { i.Length = 1 << 40 },
		"inner: hash":     func(i *Inner) { i.Hash[0]++ },
		"inner: kind len": func(i *Inner) { i.Kind = strings.Repeat("k", MaxKind+1) },
	}
	for _, name := range slices.Sorted(maps.Keys(spoils)) {
		crafted(name, func(core *Core) []byte { return resealed(core, inner(core, spoils[name])) })
	}
	crafted("padding is not zero", func(core *Core) []byte {
		plain := inner(core, func(*Inner) {})
		plain[len(plain)-1] = 1
		return resealed(core, plain)
	})
	crafted("no inner header", func(core *Core) []byte { return resealed(core, make([]byte, 512)) })

	for set := range 2 {
		for _, org := range []string{"A", "B", "P", "S"} {
			want := "unreadable"
			if key.Core().Key.Sets[set].Has(orgID(org)) {
				want = "opened"
			}
			fk := p.keys[1][set]
			keyFiles = append(keyFiles, vecKeyFile{Name: org + " opens set " + itoa(uint64(set)), Core: key.CoreBytes(), Set: set,
				Sealed: key.Section(set), FeedKey: fk[:], Organisation: org, Outcome: want})
		}
	}
	bad := func(name, org, want string, change func(core *Core, s []byte) []byte) {
		q := w.pen("A1", "B")
		q.day = 20040
		var sealed []byte
		env := q.recraft(t, "A1", q.scrawl(t, "key", nil), func(core *Core, s [][]byte) {
			s[0] = change(core, s[0])
			sealed = s[0]
		})
		fk := q.keys[1][0]
		keyFiles = append(keyFiles, vecKeyFile{Name: name, Core: env.Core, Sealed: sealed, FeedKey: fk[:], Organisation: org, Outcome: want})
	}
	to := func(names ...string) (out []*seal.Recipient) {
		for _, n := range names {
			out = append(out, w.identity(n)[0].Recipient())
		}
		return out
	}
	sealTo := func(k seal.FeedKey, names ...string) []byte {
		b, err := seal.SealKey(k, to(names...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	bad("a named reader has no stanza", "B", "unreadable", func(*Core, []byte) []byte { return sealTo(seal.FeedKey{1}, "A") })
	bad("another in its place", "B", "unreadable", func(*Core, []byte) []byte { return sealTo(seal.FeedKey{1}, "A", "N") })
	bad("another key than committed", "B", "unreadable", func(*Core, []byte) []byte { return sealTo(seal.FeedKey{1}, "A", "B") })
	bad("one more than named", "B", "unreadable", func(*Core, []byte) []byte { return sealTo(seal.FeedKey{1}, "A", "B", "N") })
	bad("not an age file", "B", "unreadable", func(*Core, []byte) []byte { return []byte("Example, invented.") })
	bad("header altered", "B", "unreadable", func(_ *Core, s []byte) []byte {
		i := bytes.Index(s, []byte("\n--- ")) + 5
		s = bytes.Clone(s)
		if s[i] == 'A' {
			s[i] = 'B'
		} else {
			s[i] = 'A'
		}
		return s
	})
	bad("payload longer", "B", "unreadable", func(_ *Core, s []byte) []byte { return append(bytes.Clone(s), 0) })
	flippedKey := bytes.Clone(key.Section(0))
	flippedKey[0] ^= 1
	fk := p.keys[1][0]
	keyFiles = append(keyFiles, vecKeyFile{Name: "a bit is flipped", Core: key.CoreBytes(), Sealed: flippedKey, FeedKey: fk[:], Organisation: "B", Outcome: "section"})
	return sections, keyFiles
}

func signedVectors(w *world) (out []vecSigned) {
	r := Receipt{Version: 1, Network: w.network, Org: orgID("B"), Node: nodeID("B1"), Feed: FeedID{1}, Seq: 300, Head: RecordID{2},
		Refused: []Refusal{{2, 3, CodeDay}}, Held: []Range{{4, 5}}}
	h := Head{Version: 1, Network: w.network, Org: orgID("A"), Node: nodeID("A1"), Day: usualDay, Feed: FeedID{1}, Seq: 7, Head: RecordID{2}}
	receipt := func(name, signer, outcome string, change func(*Receipt)) {
		r := r
		change(&r)
		s := SignReceipt(w.keys[signer], r)
		out = append(out, vecSigned{Name: name, Type: "receipt", Body: s.Body, Signature: s.Signature[:], Outcome: outcome})
	}
	receipt("with a refused and a held range", "B1", "good", func(*Receipt) {})
	receipt("plain", "B1", "good", func(r *Receipt) { r.Refused, r.Held = nil, nil })
	receipt("another signer", "A1", "drop", func(*Receipt) {})
	receipt("another organisation", "B1", "drop", func(r *Receipt) { r.Org = orgID("A") })
	receipt("another network", "B1", "drop", func(r *Receipt) { r.Network[0]++ })
	receipt("another version", "B1", "drop", func(r *Receipt) { r.Version = 2 })
	receipt("seq 0", "B1", "drop", func(r *Receipt) { r.Seq, r.Refused, r.Held = 0, nil, nil })
	receipt("ranges unsorted", "B1", "drop", func(r *Receipt) { r.Held = []Range{{6, 7}, {4, 5}} })
	receipt("a range above seq", "B1", "drop", func(r *Receipt) { r.Held = []Range{{300, 301}} })
	receipt("refused for no reason", "B1", "drop", func(r *Receipt) { r.Refused = []Refusal{{2, 3, 0}} })
	receipt("of an unknown node", "B1", "wait", func(r *Receipt) { r.Node = nodeID("X1") })
	head := func(name, signer, outcome string, change func(*Head)) {
		h := h
		change(&h)
		s := SignHead(w.keys[signer], h)
		out = append(out, vecSigned{Name: name, Type: "head", Body: s.Body, Signature: s.Signature[:], Outcome: outcome})
	}
	head("plain", "A1", "good", func(*Head) {})
	head("another signer", "B1", "drop", func(*Head) {})
	head("seq 0", "A1", "drop", func(h *Head) { h.Seq = 0 })
	head("of an unknown node", "A1", "wait", func(h *Head) { h.Node = nodeID("X1") })
	swapped := SignReceipt(w.keys["B1"], r)
	out = append(out, vecSigned{Name: "a receipt offered as head", Type: "head", Body: swapped.Body, Signature: swapped.Signature[:], Outcome: "drop"})
	body := Encode(r)
	sig := w.keys["B1"].Sign(labelHead, crypto.Hash(w.network), body)
	return append(out, vecSigned{Name: "signed under the label of heads", Type: "receipt", Body: body, Signature: sig[:], Outcome: "drop"})
}

// encodingVectors takes of the spoilt forms that differ in a place only one in 31, and all whose name
// tells a kind of its own.
func encodingVectors(t *testing.T, w *world) (out []vecEncoding) {
	p := w.pen("A1", "B P")
	p.day = 20040
	for typ, good := range map[string][]byte{"core": p.key("S", "P").CoreBytes(), "inner": Encode(exampleInner(w)),
		"receipt": Encode(Receipt{Version: 1, Network: w.network, Org: orgID("B"), Node: nodeID("B1"), Feed: FeedID{1}, Seq: 300, Head: RecordID{2}, Held: []Range{{4, 5}}})} {
		out = append(out, vecEncoding{"good", typ, good, true})
		bad := spoilt(t, good)
		for i, name := range slices.Sorted(maps.Keys(bad)) {
			b := bad[name]
			if at := strings.Contains(name, " at "); len(b) > 4096 || at && i%31 != 0 || decodeAs(typ, b) == nil {
				continue // too large to print, or one of many, or a negative time
			}
			out = append(out, vecEncoding{name, typ, b, false})
		}
		more := unknown(t, good)
		for _, name := range slices.Sorted(maps.Keys(more)) {
			out = append(out, vecEncoding{"unknown field, " + name, typ, more[name].b, typ == "inner" && more[name].open})
		}
	}
	slices.SortStableFunc(out, func(a, b vecEncoding) int { return strings.Compare(a.Type, b.Type) })
	return out
}

func cryptoVectors(t *testing.T, w *world) (v vecCrypto) {
	network := crypto.Hash(w.network)
	for _, c := range []struct {
		label crypto.Label
		parts []hexed
	}{{labelRecord, []hexed{[]byte("core")}}, {labelBody, []hexed{{}}}, {labelFeed, []hexed{[]byte("ab"), []byte("c")}},
		{labelFeed, []hexed{[]byte("a"), []byte("bc")}}, {"example", nil}} {
		var parts [][]byte
		for _, p := range c.parts {
			parts = append(parts, p)
		}
		h := crypto.Sum(c.label, network, parts...)
		v.Hashes = append(v.Hashes, vecHash{Label: string(c.label), Network: network[:], Hash: h[:], Parts: c.parts})
	}
	k := w.keys["A1"]
	pub := k.Public()
	for _, label := range []crypto.Label{labelRecord, labelReceipt, labelHead} {
		sig := k.Sign(label, network, []byte("message"))
		v.Signatures = append(v.Signatures, vecSignature{string(label), k.Seed(), pub[:], network[:], []byte("message"), sig[:]})
	}
	for _, p := range []struct {
		name, hex string
		ok        bool
	}{
		{"a key", pub.String(), true},
		{"the identity", "0100000000000000000000000000000000000000000000000000000000000000", false},
		{"the identity, its sign bit set", "0100000000000000000000000000000000000000000000000000000000000080", false},
		{"order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false},
		{"order 4", "0000000000000000000000000000000000000000000000000000000000000000", false},
		{"order 4, negative", "0000000000000000000000000000000000000000000000000000000000000080", false},
		{"order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", false},
		{"order 8 too", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", false},
		{"y = p, not canonical", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false},
		{"y = p+1, not canonical", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false},
		{"not on the curve", "0200000000000000000000000000000000000000000000000000000000000000", false},
		{"31 bytes", pub.String()[:62], false},
	} {
		b, err := hex.DecodeString(p.hex)
		if err != nil {
			t.Fatal(err)
		}
		v.Points = append(v.Points, vecPoint{p.name, b, p.ok})
	}
	for _, n := range []int{0, 1, 511, 512, 513, 2048, 2049, 8192, 8193, 32768, 32769, 34816, 34817, 65536, 65537, 100000, 1 << 20, 1<<20 + 1, 15 << 20} {
		v.Padding = append(v.Padding, [2]int{n, seal.PaddedLen(n)})
	}
	for _, a := range []Audience{ListAudience(orgIDs("B")...), ListAudience(orgIDs("B P")...), {Group: "members"}, {Group: "police", Except: sortOrgs(orgIDs("B P"))}} {
		v.Feeds = append(v.Feeds, vecFeedID{w.network, nodeID("A1"), Encode(a), FeedIDOf(w.network, nodeID("A1"), a)})
	}
	return v
}

func registerVectors(w *world) vecRegister {
	r := vecRegister{Network: w.network}
	last := w.states[w.size()]
	for _, name := range slices.Sorted(maps.Keys(w.ids)) {
		o := vecOrg{Name: name, ID: orgID(name)}
		for i, id := range w.ids[name] {
			o.Keys = append(o.Keys, vecKey{uint64(i + 1), id.Recipient().String(), id.Secret()})
		}
		r.Organisations = append(r.Organisations, o)
	}
	for _, name := range slices.Sorted(maps.Keys(w.keys)) {
		k := w.keys[name]
		pub := k.Public()
		r.Nodes = append(r.Nodes, vecNode{name, nodeID(name), last.nodes[nodeID(name)].Org, k.Seed(), pub[:]})
	}
	r.TakeAway = []vecTakeAway{{takeAway("taint B 1"), orgID("B"), 1}}
	for size, s := range w.states {
		v := vecSize{Size: uint64(size), Root: s.root[:], Day: s.day}
		if size > 0 {
			v.Leaf = w.lines[size-1]
		}
		for _, id := range slices.SortedFunc(maps.Keys(s.orgs), OrgID.Compare) {
			o := s.orgs[id]
			v.Organisations = append(v.Organisations, vecOrgState{id, o.Class, o.Status, o.Custody, o.Epoch, o.Tainted})
		}
		for _, id := range slices.SortedFunc(maps.Keys(s.nodes), NodeID.Compare) {
			v.Nodes = append(v.Nodes, vecNodeState{id, s.nodes[id].Status})
		}
		r.Sizes = append(r.Sizes, v)
	}
	return r
}
