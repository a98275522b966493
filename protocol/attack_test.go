package protocol

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// recraft takes a scrawled record apart, lets an attacker put other sections
// in, and signs it again.
func (p *pen) recraft(t *testing.T, signer string, env Envelope, change func(core *Core, sections [][]byte)) Envelope {
	t.Helper()
	core, err := Decode[Core](env.Core, MaxCore)
	if err != nil {
		t.Fatal(err)
	}
	sections := slices.Clone(env.Sections)
	change(&core, sections)
	commit(&core, sections)
	return p.w.sign(signer, &core, sections)
}

// opens tries section i of an envelope as a reader of the desk would.
func (d *desk) opens(t *testing.T, env Envelope, i int, key seal.FeedKey) (Content, error) {
	t.Helper()
	r, err := d.take(env)
	if err != nil || r.State() != Linked {
		t.Fatalf("the record itself is fine, but: %s", outcome(r, err))
	}
	return r.OpenSection(i, key, d.setOf(r, i))
}

// B cannot make C believe that A wrote to C, nor can a custodian or an author
// pass sections off as of another record, place or reader set.
func TestAttackSurreptitiousForwarding(t *testing.T) {
	w := newWorld(t, usual)
	d := newDesk(w.now())
	a := w.pen("A1", "B P")
	d.take(all(a.key("S", "P")))
	d.take(all(a.data(0, 1)))
	second := a.records[1]
	aKeys := a.keys[1]
	aPlain, err := seal.OpenSection(aKeys[0], place(second.Core(), a.feed(), 0), second.Section(0))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("reader reseals the plaintext to another", func(t *testing.T) {
		b := w.pen("B1", "N")
		d.take(all(b.key("S")))
		env := b.recraft(t, "B1", b.scrawl(t, "data", nil), func(core *Core, sections [][]byte) {
			if sections[0], err = seal.SealSection(b.keys[1][0], place(core, b.feed(), 0), aPlain); err != nil {
				t.Fatal(err)
			}
		})
		if c, err := d.opens(t, env, 0, b.keys[1][0]); !errors.Is(err, ErrUnreadable) {
			t.Errorf("shown as %+v, %v", c, err)
		}
	})
	t.Run("reader names the author in its own record", func(t *testing.T) {
		b := w.pen("B1", "N")
		if got := newDesk(w.now()).outcome(b.scrawl(t, "key", []string{"author=A"})); got != "drop" {
			t.Error(got)
		}
	})
	t.Run("custodian signs the sections as its own", func(t *testing.T) {
		s := w.pen("S1", "B P")
		d.take(all(s.key("", "P")))
		env := s.recraft(t, "S1", s.scrawl(t, "data", []string{"sets=0,1"}), func(core *Core, sections [][]byte) {
			copy(sections, all(second).Sections)
		})
		for i := range 2 {
			if c, err := d.opens(t, env, i, s.keys[1][i]); !errors.Is(err, ErrUnreadable) {
				t.Errorf("shown as %+v, %v", c, err)
			}
			// Not even to one that tries the true author's key.
			if c, err := d.links[s.feed()][1].OpenSection(i, aKeys[i], d.setOf(d.links[s.feed()][1], i)); !errors.Is(err, ErrUnreadable) {
				t.Errorf("shown as %+v, %v", c, err)
			}
			if i == 0 { // the second try is of the record that is linked already
				d.links[s.feed()] = d.links[s.feed()][:1]
				d.chains[s.feed()] = s.chain
			}
		}
	})
	t.Run("custodian takes over the key record too", func(t *testing.T) {
		x := w.pen("S1", "B P G")
		env := x.recraft(t, "S1", x.scrawl(t, "key", strings.Fields("parts=P,S custodians=")), func(core *Core, sections [][]byte) {
			copy(sections, all(a.records[0]).Sections)
			for i := range core.Key.Sets {
				core.Key.Sets[i].Commitment = a.records[0].Core().Key.Sets[i].Commitment
			}
		})
		r, err := d.take(env)
		if err != nil || r.State() != Linked {
			t.Fatal(outcome(r, err))
		}
		for i := range 2 {
			if _, err := r.OpenKey(i, w.identity("P")...); !errors.Is(err, ErrUnreadable) {
				t.Error("a feed key opened in another's feed:", err)
			}
		}
	})
	t.Run("author swaps sections of two records", func(t *testing.T) {
		env := a.recraft(t, "A1", a.scrawl(t, "data", []string{"sets=0,1"}), func(core *Core, sections [][]byte) {
			copy(sections, all(second).Sections)
		})
		if _, err := d.opens(t, env, 0, aKeys[0]); !errors.Is(err, ErrUnreadable) {
			t.Error(err)
		}
		a.chain = d.chains[a.feed()]
	})
	t.Run("author swaps two sections of one record", func(t *testing.T) {
		env := a.recraft(t, "A1", a.scrawl(t, "data", []string{"sets=0,1,1"}), func(core *Core, sections [][]byte) {
			sections[1], sections[2] = sections[2], sections[1]
		})
		if _, err := d.opens(t, env, 1, aKeys[1]); !errors.Is(err, ErrUnreadable) {
			t.Error(err)
		}
		a.chain = d.chains[a.feed()]
	})
	t.Run("author moves a section to another set", func(t *testing.T) {
		env := a.recraft(t, "A1", a.scrawl(t, "data", []string{"sets=0,0"}), func(core *Core, sections [][]byte) {
			core.Data.Sections[1].Set = 1
		})
		if _, err := d.opens(t, env, 1, aKeys[1]); !errors.Is(err, ErrUnreadable) {
			t.Error(err)
		}
		if _, err := d.links[a.feed()][d.chains[a.feed()].Seq-1].OpenSection(1, aKeys[0], a.chain.Key.Sets[0]); err != nil {
			t.Error("the section itself is sound:", err)
		}
		if _, err := d.links[a.feed()][d.chains[a.feed()].Seq-1].OpenSection(1, aKeys[0], a.chain.Key.Sets[1]); !errors.Is(err, ErrUnreadable) {
			t.Error("opened for other readers:", err)
		}
	})
}

// Every field of the inner header counts.
func TestInnerHeaderIsBoundToItsCore(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	p.key("S")
	r := p.data()
	set := p.chain.Key.Sets[0]
	content := texts()[0]
	good, err := plaintext(r.Core(), r.Feed(), set, 0, content)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := r.bound(0, good, set); err != nil || !bytes.Equal(c.Body, content.Body) {
		t.Fatal(err)
	}
	n := int(good[2])<<8 | int(good[3])
	in, err := Decode[Inner](good[4:4+n], MaxInner)
	if err != nil {
		t.Fatal(err)
	}
	layout := func(in []byte, rest ...byte) []byte {
		return append(append([]byte{0, 0, byte(len(in) >> 8), byte(len(in))}, in...), rest...)
	}
	spoil := func(change func(*Inner)) []byte {
		in := in
		in.Readers.Readers = slices.Clone(in.Readers.Readers)
		change(&in)
		return layout(Encode(in), content.Body...)
	}
	for name, plain := range map[string][]byte{
		"network":          spoil(func(i *Inner) { i.Network[0]++ }),
		"author":           spoil(func(i *Inner) { i.Author[0]++ }),
		"node":             spoil(func(i *Inner) { i.Node[0]++ }),
		"feed":             spoil(func(i *Inner) { i.Feed[0]++ }),
		"seq":              spoil(func(i *Inner) { i.Seq++ }),
		"prev":             spoil(func(i *Inner) { i.Prev[0]++ }),
		"nonce":            spoil(func(i *Inner) { i.Nonce[0]++ }),
		"section":          spoil(func(i *Inner) { i.Section++ }),
		"a reader more":    spoil(func(i *Inner) { i.Readers.Readers = append(i.Readers.Readers, Reader{OrgID{255}, 1}) }),
		"another reader":   spoil(func(i *Inner) { i.Readers.Readers[0].Org[0]++ }),
		"another epoch":    spoil(func(i *Inner) { i.Readers.Readers[0].Epoch++ }),
		"commitment":       spoil(func(i *Inner) { i.Readers.Commitment[0]++ }),
		"no kind":          spoil(func(i *Inner) { i.Kind = "" }),
		"kind too long":    spoil(func(i *Inner) { i.Kind = strings.Repeat("k", MaxKind+1) }),
		"staff too long":   spoil(func(i *Inner) { i.Staff = strings.Repeat("s", MaxKind+1) }),
		"too many refs":    spoil(func(i *Inner) { i.Refs = make([]RecordID, MaxRefs+1) }),
		"body longer":      spoil(func(i *Inner) { i.Length++ }),
		"body 2^64-1":      spoil(func(i *Inner) { i.Length = ^uint64(0) }),
		"body shorter":     spoil(func(i *Inner) { i.Length-- }),
		"body hash":        spoil(func(i *Inner) { i.Hash[0]++ }),
		"padding":          append(bytes.Clone(good[:len(good)-1]), 1),
		"nothing":          {},
		"three bytes":      good[:3],
		"header cut":       good[:4+n-1],
		"header 2^32-1":    append([]byte{255, 255, 255, 255}, good[4:]...),
		"header not CBOR":  layout([]byte{0xff}, content.Body...),
		"header twice":     layout(append(Encode(in), Encode(in)...), content.Body...),
		"header above max": append([]byte{0, 1, 0, 1}, make([]byte, MaxInner+1)...),
	} {
		if c, err := r.bound(0, plain, set); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	// A newer program's field is passed over, and padding may have any length.
	newer := entries(t, Encode(in))
	if _, err := r.bound(0, layout(assemble(append(newer, []byte{22, 0x61, 'x'})...), content.Body...), set); err != nil {
		t.Error("a field of a newer program:", err)
	}
}

// forgePayload is what any reader of a section can do: another payload under
// the same header, which opens with the same keys.
func forgePayload(t *testing.T, fileKey, file, plaintext []byte) []byte {
	t.Helper()
	header := file[:bytes.Index(file, []byte("\n--- "))+1]
	header = file[:len(header)+bytes.IndexByte(file[len(header):], '\n')+1]
	salt := bytes.Repeat([]byte{9}, 16)
	key, err := hkdf.Key(sha256.New, fileKey, salt, "payload", 32)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 12)
	nonce[11] = 1 // the only chunk is the last
	return append(append(bytes.Clone(header), salt...), aead.Seal(nil, nonce, plaintext, nil)...)
}

func TestAttackPayloadForgedUnderSameHeader(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	p.key("S", "P")
	r := p.data(0, 1)
	for i := range 2 { // the whole audience, and a part of it
		at := place(r.Core(), r.Feed(), i)
		fileKey, err := seal.SectionFileKey(p.keys[1][i], at, r.Section(i))
		if err != nil {
			t.Fatal(err)
		}
		content := texts(0, 1)[i]
		content.Body = []byte("Example: what A never wrote.")
		lie, err := plaintext(r.Core(), r.Feed(), p.chain.Key.Sets[i], i, content)
		if err != nil {
			t.Fatal(err)
		}
		forged := forgePayload(t, fileKey, r.Section(i), lie)
		if got, err := seal.OpenSection(p.keys[1][i], at, forged); err != nil || !bytes.Equal(got, lie) {
			t.Fatal("the forgery is not even good for age:", err)
		}
		if len(forged) != len(r.Section(i)) {
			t.Fatal("the forgery has another length")
		}

		d := newDesk(w.now())
		d.take(all(p.records[0]))
		env := all(r)
		env.Sections[i] = forged
		if got := d.outcome(env); got != "section" {
			t.Errorf("section %d: %s", i, got)
		}
		if got := d.outcome(all(r)); got != "linked" {
			t.Error("the true one after it:", got)
		}
		link := d.links[p.feed()][1]
		if err := link.Attach(i, forged); !errors.Is(err, ErrSection) {
			t.Error(err)
		}

		// An author in league with the forger commits to the forged bytes in
		// its next record: the seal binds them to the place of the first.
		p.chain = d.chains[p.feed()]
		next := p.recraft(t, "A1", p.scrawl(t, "data", []string{"sets=0,1"}), func(core *Core, sections [][]byte) { sections[i] = forged })
		if _, err := d.opens(t, next, i, p.keys[1][i]); !errors.Is(err, ErrUnreadable) {
			t.Error(err)
		}
		// And where the forger reseals it there, the header inside tells.
		p.chain = d.chains[p.feed()]
		next = p.recraft(t, "A1", p.scrawl(t, "data", []string{"sets=0,1"}), func(core *Core, sections [][]byte) {
			if sections[i], err = seal.SealSection(p.keys[1][i], place(core, p.feed(), i), lie); err != nil {
				t.Fatal(err)
			}
		})
		if _, err := d.opens(t, next, i, p.keys[1][i]); !errors.Is(err, ErrUnreadable) {
			t.Error(err)
		}
		p.chain, _ = rechain(w.now(), p.records) // for the other section
	}
}

func rechain(m Members, records []*Record) (c Chain, err error) {
	for _, r := range records {
		var s *Signed
		if s, err = Open(m, all(r)); err != nil {
			return c, err
		}
		if _, c, err = c.Link(m, s); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Row 9: overdue key, bad custodian, bad section: the feed goes on.
func TestAttackOverdueKey(t *testing.T) {
	play(t, newWorld(t, usual), "A1", "B P", `
		key                          → linked
		+ suspend P
		data                         → refused 9
		data                         → refused 9
		key custodians=P,S           → refused 7
		data                         → refused 9
		key                          → linked
		data                         → linked
		+ day 20005
		day 30
		data                         → linked
		day 31                                    # days after the key's
		data                         → refused 9
		key                          → linked
		data                         → linked`)

	w := newWorld(t, usual)
	d := newDesk(w.now())
	p := w.pen("A1", "B")
	d.take(all(p.key("S")))
	env := p.recraft(t, "A1", p.scrawl(t, "data", []string{"sets=0,0"}), func(_ *Core, sections [][]byte) {
		sections[0] = []byte("Example: not an age file")
	})
	if _, err := d.opens(t, env, 0, p.keys[1][0]); !errors.Is(err, ErrUnreadable) {
		t.Error(err)
	}
	link := d.links[p.feed()][1]
	if _, err := link.OpenSection(1, p.keys[1][0], p.chain.Key.Sets[0]); err != nil {
		t.Error("the other section is as good as ever:", err)
	}
	p.chain = d.chains[p.feed()]
	if got := d.outcome(p.scrawl(t, "data", nil)); got != "linked" {
		t.Error("after an unreadable section:", got)
	}
}

// Row 10: monotonicity stops an author that cites an ever-older checkpoint,
// from before something that it would rather not know of.
func TestAttackEverOlderCheckpoint(t *testing.T) {
	play(t, newWorld(t, usual), "A1", "B P", `
		key                          → linked
		+ suspend P
		data size=9                  → linked     # had not heard
		data size=8                  → refused 2
		data size=7                  → refused 2
		key                          → linked
		data size=9                  → refused 2  # has heard
		key size=9                   → refused 2
		data                         → linked`)
}

// Row 11: a custodian hands on the record without the section for police.
func TestAttackCustodianStripsSection(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	p.key("S", "P")
	r := p.data(0, 1)
	d := newDesk(w.now())
	d.take(all(p.records[0]))
	stripped := all(r)
	stripped.Sections[1] = nil
	if got := d.outcome(stripped); got != "linked" {
		t.Fatal(got)
	}
	link, chain := d.links[p.feed()][1], d.chains[p.feed()]
	missing := func(org string) []int {
		return link.Missing(Entitles(w.now(), &chain, &chain.Key, link.Core(), link.State(), orgID(org)))
	}
	for org, want := range map[string][]int{"B": nil, "P": {1}, "S": {1}, "A": {1}, "N": nil} {
		if got := missing(org); !slices.Equal(got, want) {
			t.Errorf("%s misses %v", org, got)
		}
	}
	// A receipt says "with every section that we are entitled to", so police
	// give one up to the record before. That one vouches for nothing after.
	receipt := Receipt{Version: 1, Network: w.network, Org: orgID("P"), Node: nodeID("P1"), Feed: p.feed(), Seq: 1, Head: p.records[0].ID()}
	got, err := SignReceipt(w.keys["P1"], receipt).Verify(w.now())
	if err != nil || !got.Vouches(1) || got.Vouches(2) || got.Vouches(0) {
		t.Error(got, err)
	}
	if err := link.Attach(1, r.Section(0)); !errors.Is(err, ErrSection) {
		t.Error("another section in its place:", err)
	}
	if err := link.Attach(1, r.Section(1)); err != nil || len(missing("P")) != 0 {
		t.Error(err, missing("P"))
	}
}

// Row 12: police are named as readers, but not sealed to.
func TestAttackNoStanzaForPolice(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B P")
	to := func(orgs ...string) (out []*seal.Recipient) {
		for _, o := range orgs {
			out = append(out, w.ids[o][0].Recipient())
		}
		return out
	}
	second, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		to      []*seal.Recipient
		b, p    bool // whether B, and whether police can open it
		another bool // sealed to another feed key than the committed one
	}{
		{name: "honest", to: to("A", "B", "P"), b: true, p: true},
		{name: "left out", to: to("A", "B")},
		{name: "somebody in their place", to: append(to("A", "B"), second.Recipient()), b: true},
		{name: "one more than named", to: append(to("A", "B", "P"), second.Recipient())},
		{name: "another key than committed", to: to("A", "B", "P"), another: true},
	} {
		d := newDesk(w.now())
		env := p.recraft(t, "A1", p.scrawl(t, "key", nil), func(core *Core, sections [][]byte) {
			key := p.keys[1][0]
			if c.another {
				key[0]++
			}
			if sections[0], err = seal.SealKey(key, c.to); err != nil {
				t.Fatal(err)
			}
		})
		r, err := d.take(env)
		if err != nil || r.State() != Linked {
			t.Fatal(c.name, outcome(r, err))
		}
		for org, want := range map[string]bool{"B": c.b, "P": c.p} {
			if _, err := r.OpenKey(0, w.identity(org)...); want && err != nil || !want && !errors.Is(err, ErrUnreadable) {
				t.Errorf("%s, %s: %v", c.name, org, err)
			}
		}
		for _, set := range []int{-1, 1} {
			if _, err := r.OpenKey(set, w.identity("P")...); !errors.Is(err, ErrSection) {
				t.Errorf("set %d: %v", set, err)
			}
		}
		p.chain = d.chains[p.feed()]
		if got := d.outcome(p.scrawl(t, "data", nil)); got != "linked" {
			t.Error("the feed goes on, but:", got)
		}
		p.chain = Chain{}
	}
}

// Row 20: two readers are told two truths, each in a summary of its own.
func TestAttackTwoTruths(t *testing.T) {
	play(t, newWorld(t, usual), "A1", "B P", `
		key parts=A,B/A,P            → linked
		data sets=1                  → refused 11
		data sets=2,1                → refused 11
		data sets=1,0                → refused 11
		key readers=0:A,B            → refused 8     # the whole audience without police
		key readers=0:A,B,P,N        → refused 8     # and with a stranger
		key readers=0:B,P            → refused 8
		key parts=B                  → refused 8     # without the author
		key parts=A,B,N              → refused 8     # a part is of the whole
		data sets=0,1,2              → linked`)
}

// Property 7: police never keep what others wrote to others.
func TestAttackPoliceAsCustodian(t *testing.T) {
	w := newWorld(t, usual+`
		offer P`)
	play(t, w, "A1", "B P", `
		key custodians=P             → refused 7
		key custodians=S,P           → refused 7
		data keyseq=1                → refused 10
		key custodians=S             → linked`)
	if o, _ := w.now().OrgAt(orgID("P"), w.size()); !o.Custody || MayKeep(o) {
		t.Error("police may keep")
	}
	if _, _, _, err := w.writer("A1", w.now()).OpenFeed(Chain{}, ListAudience(orgID("B")), nil, orgIDs("P"), nil, usualDay, usualDay); err == nil {
		t.Error("an honest node names police as custodian")
	}
}

// Property 8: one of the audience is revoked, or suspended, or has no sound key.
func TestAttackRevokedInAudience(t *testing.T) {
	for _, leaf := range []string{"revoke B", "suspend B", "taint B"} {
		w := newWorld(t, usual)
		play(t, w, "A1", "B P", `
			key                          → linked
			+ `+leaf+`
			data                         → refused 9
			key readers=0:A,B,P          → refused 8
			key parts=A,B                → refused 8
			key                          → linked
			data                         → linked`)
		p := w.pen("A1", "B P")
		r := p.key("S", "B")
		for i, set := range r.Core().Key.Sets {
			if set.Has(orgID("B")) {
				t.Errorf("%s: an honest node seals set %d to it", leaf, i)
			}
			if _, err := r.OpenKey(i, w.identity("B")...); !errors.Is(err, ErrUnreadable) {
				t.Errorf("%s: it opens set %d: %v", leaf, i, err)
			}
		}
		e := Entitles(w.now(), &p.chain, &p.chain.Key, r.Core(), r.State(), orgID("B"))
		if e.Any() || e.Core != (leaf == "taint B") {
			t.Errorf("%s: entitled to %+v", leaf, e)
		}
	}
}

// Property 6: a checkpoint that we have not got.
func TestAttackFutureCheckpoint(t *testing.T) {
	play(t, newWorld(t, usual), "A1", "B", `
		key                          → linked
		data                         → linked
		+ org X ngo
		verifier 9
		data                         → wait
		data size=9                  → linked
		verifier 10
		data                         → linked
		data size=11                 → wait
		data size=18446744073709551615 → wait`)

	// Whose node we have not heard of waits too; above and below it drops.
	w := newWorld(t, usual+`
		org X ngo`)
	env := w.pen("X1", "B").scrawl(t, "key", nil)
	if got := newDesk(w.at(9)).outcome(env); got != "wait" {
		t.Error(got)
	}
	if got := newDesk(w.now()).outcome(env); got != "linked" {
		t.Error(got)
	}
	if got := newDesk(w.now()).outcome(w.pen("X1", "B").scrawl(t, "key", []string{"size=9", "author=X"})); got != "drop" {
		t.Error(got)
	}
	// Junk under a future checkpoint, in the name of a node we know, is dropped.
	future := w.pen("A1", "B").scrawl(t, "key", strings.Fields("size=99 signer=B1"))
	if got := newDesk(w.now()).outcome(future); got != "drop" {
		t.Error(got)
	}
}

// Property 5: the own clock is a year off.
func TestAttackClockSkew(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	write := func(day Day) (*Record, error) {
		r, c, err := w.writer("A1", w.now()).Write(p.chain, p.keys[1], texts(), day, day+100)
		if err == nil {
			p.wrote(r, c)
		}
		return r, err
	}
	p.day = usualDay - 365
	if r := p.key("S"); r.Core().Day != usualDay {
		t.Error("a slow clock was raised to", r.Core().Day)
	}
	if _, err := write(usualDay + 5); err != nil {
		t.Fatal(err)
	}
	if r, err := write(usualDay - 365); err == nil || r != nil {
		t.Error("an expiry before its day was written")
	}
	r, c, err := w.writer("A1", w.now()).Write(p.chain, p.keys[1], texts(), usualDay-365, usualDay+100)
	if err != nil || r.Core().Day != usualDay+5 {
		t.Fatal("a slow clock is raised to the record before:", err)
	}
	p.wrote(r, c)
	if got := w.writer("A1", w.now()).Day(p.chain, usualDay-365); got != usualDay+5 {
		t.Error("the day that a record would carry:", got)
	}
	before := Encode(p.chain)
	for _, fast := range []Day{usualDay + MaxAheadDays + 1, usualDay + 365, ^Day(0) - MaxKeepDays, ^Day(0)} {
		if _, err := write(fast); err == nil {
			t.Error("a fast clock was believed:", fast)
		}
	}
	if !bytes.Equal(before, Encode(p.chain)) {
		t.Error("a failed write moved the chain")
	}
	if got := newDeskOf(t, w, p).outcome(p.scrawl(t, "data", []string{"day=365"})); got != "refused 3" {
		t.Error(got)
	}
}

func newDeskOf(t *testing.T, w *world, p *pen) *desk {
	t.Helper()
	d := newDesk(w.now())
	for _, r := range p.records {
		if got := d.outcome(all(r)); got != "linked" {
			t.Fatal(got)
		}
	}
	return d
}

// Row 23: the same place in a feed is written twice, after an attempt that was
// given up or from a restored disk; no wrap key is used twice.
func TestAttackWrapKeyNeverTwice(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	p.key("S")
	wr := w.writer("A1", w.now())
	seen := map[[32]byte]bool{}
	var first *Record
	for range 20 {
		r, _, err := wr.Write(p.chain, p.keys[1], texts(), p.day, p.day)
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.Core().Nonce] {
			t.Fatal("a nonce came twice")
		}
		seen[r.Core().Nonce] = true
		if first == nil {
			first = r
			continue
		}
		if _, err := seal.OpenSection(p.keys[1][0], place(first.Core(), p.feed(), 0), r.Section(0)); err == nil {
			t.Fatal("two attempts were sealed under one wrap key")
		}
	}
	for _, broken := range []io.Reader{strings.NewReader(""), strings.NewReader("too little")} {
		wr.Random = broken
		if _, _, err := wr.Write(p.chain, p.keys[1], texts(), p.day, p.day); err == nil {
			t.Error("wrote without randomness")
		}
		if _, _, _, err := wr.OpenFeed(p.chain, p.audience, nil, orgIDs("S"), nil, p.day, p.day); err == nil {
			t.Error("made a key without randomness")
		}
	}
}

// Ed25519 points of small order, and non-canonical ones, verify things that
// nobody signed. No key enters by a record, receipt or head statement: they
// name nodes, whose keys come from the register. A verifier without a key, or
// with the zero key, accepts nothing.
func TestAttackSmallOrderKeys(t *testing.T) {
	w := newWorld(t, usual)
	env := all(w.pen("A1", "B").key("S"))
	s := &w.states[w.size()]
	n := s.nodes[nodeID("A1")]
	n.Author = crypto.PublicKey{}
	s.nodes[nodeID("A1")] = n
	if _, err := Open(w.now(), env); !errors.Is(err, ErrDrop) {
		t.Error(err)
	}
	for _, sig := range []crypto.Signature{{}, {1}} {
		if _, err := Open(w.now(), Envelope{Core: env.Core, Signature: sig}); !errors.Is(err, ErrDrop) {
			t.Error(err)
		}
	}
	if pub := w.keys["A1"].Public(); bytes.Contains(env.Core, pub[:]) {
		t.Error("a core carries a signing key")
	}
}
