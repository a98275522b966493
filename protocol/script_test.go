package protocol

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// A script is one feed drawn as text. An author that keeps no rule writes it,
// one verifier takes it, and each line ends in what must become of its record:
//
//	key custodians=S parts=P,B     → linked
//	data                           → linked
//	+ suspend P                    a leaf of the register
//	verifier 5                     the verifier has only 5 leaves from here on
//	data                           → refused 9
//
// Options change one field of an otherwise honest record: seq= prev= size=
// root= day= expiry= (days from the usual one) author= network= version=
// keyseq= sets= custodians= parts= readers=SET:NAMES honours=OP;OP signer=.
func play(t testing.TB, w *world, node, to, script string) *desk {
	t.Helper()
	return perform(t, w, node, to, script, nil)
}

// perform is play before somebody who writes it down.
func perform(t testing.TB, w *world, node, to, script string, watch func(line string, d *desk, p *pen, env Envelope, outcome string)) *desk {
	t.Helper()
	d := newDesk(w.now())
	p := w.pen(node, to)
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " # ")
		line = strings.TrimSpace(line)
		do, want, expects := strings.Cut(line, "→")
		want = strings.TrimSpace(want)
		switch f := strings.Fields(do); {
		case line == "":
		case f[0] == "+":
			w.leaf(f[1:])
			d.m = w.now()
		case f[0] == "verifier":
			size, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			d.m = w.at(size)
		case f[0] == "day":
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			p.day = Day(int(usualDay) + n)
		default:
			if !expects {
				t.Fatalf("line says not what is expected: %s", line)
			}
			env := p.scrawl(t, f[0], f[1:])
			before := Encode(d.chains[p.feed()])
			got := d.outcome(env)
			if got != want {
				t.Errorf("%s\n\tbecame %s", line, got)
			}
			if watch != nil {
				watch(strings.TrimSpace(do), d, p, env, got)
			}
			p.chain = d.chains[p.feed()]
			if w, _, _ := strings.Cut(want, " "); w != "linked" && w != "refused" && w != "held" && string(before) != string(Encode(p.chain)) {
				t.Errorf("%s\n\tchanged the chain", line)
			}
		}
	}
	return d
}

// outcome names what became of a record.
func outcome(r *Record, err error) string {
	var fork *Fork
	switch {
	case errors.As(err, &fork):
		return "fork"
	case errors.Is(err, ErrGap):
		return "gap"
	case errors.Is(err, ErrDiverged):
		return "diverged"
	case errors.Is(err, ErrWait):
		return "wait"
	case errors.Is(err, ErrDrop):
		return "drop"
	case errors.Is(err, ErrKnown):
		return "known"
	case errors.Is(err, ErrSection):
		return "section"
	case errors.Is(err, ErrUnreadable):
		return "unreadable"
	case err != nil:
		return "error " + err.Error()
	case r.State() == Refused:
		return fmt.Sprintf("refused %d", r.Code())
	case r.State() == Held:
		return "held"
	}
	return "linked"
}

func (p *pen) feed() FeedID { return FeedIDOf(p.w.network, nodeID(p.node), p.audience) }

// scrawl writes the next record as told, without any check.
func (p *pen) scrawl(t testing.TB, kind string, options []string) Envelope {
	t.Helper()
	m := p.w.now()
	opt := map[string]string{}
	for _, o := range options {
		k, v, ok := strings.Cut(o, "=")
		if !ok {
			t.Fatalf("option %q", o)
		}
		opt[k] = strings.ReplaceAll(v, ",", " ")
	}
	number := func(name string, otherwise uint64) uint64 {
		v, ok := opt[name]
		if !ok {
			return otherwise
		}
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	days := func(name string, otherwise Day) Day {
		v, ok := opt[name]
		if !ok {
			return otherwise
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		return Day(int(usualDay) + n)
	}
	c := p.chain
	core := Core{Version: number("version", Version), Network: p.w.network, Node: nodeID(p.node), Audience: p.audience,
		Seq: number("seq", c.Seq+1), Prev: c.Head, Size: number("size", m.size), Day: days("day", p.day)}
	core.Author = m.w.states[m.size].nodes[core.Node].Org
	core.Root, _ = m.RootAt(core.Size)
	core.Expiry = days("expiry", core.Day+100)
	p.w.rand.Read(core.Nonce[:])
	if v, ok := opt["author"]; ok {
		core.Author = orgID(v)
	}
	if _, ok := opt["network"]; ok {
		core.Network[0]++
	}
	if v, ok := opt["root"]; ok {
		core.Root = crypto.Sum("test-root", crypto.Hash{}, []byte(v))
	}
	if v, ok := opt["prev"]; ok {
		core.Prev = RecordID(crypto.Sum("test-prev", crypto.Hash{}, []byte(v)))
	}
	feed := FeedIDOf(core.Network, core.Node, core.Audience)
	var sections [][]byte
	switch kind {
	case "key":
		body := &KeyBody{Custodians: sortOrgs(orgIDs("S"))}
		if v, ok := opt["custodians"]; ok {
			body.Custodians = sortOrgs(orgIDs(v))
		}
		for op := range strings.SplitSeq(opt["honours"], ";") {
			if op != "" {
				body.Honours = append(body.Honours, takeAway(op))
			}
		}
		core.Key = body
		struck, _ := strikes(m, &core)
		sets := [][]Reader{WholeSet(m, core.Author, core.Audience, min(core.Size, m.size), struck)}
		if v, ok := opt["parts"]; ok {
			for part := range strings.SplitSeq(v, "/") {
				sets = append(sets, p.readers(m, part))
			}
		}
		if v, ok := opt["readers"]; ok {
			n, names, _ := strings.Cut(v, ":")
			i, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			sets[i] = p.readers(m, names)
		}
		keys := make([]seal.FeedKey, len(sets))
		for i, set := range sets {
			p.w.rand.Read(keys[i][:])
			var to []*seal.Recipient
			for _, r := range set {
				to = append(to, p.w.recipient(r))
			}
			sealed := []byte("Example: sealed to nobody")
			if len(to) > 0 && !p.hollow {
				var err error
				if sealed, err = seal.SealKey(keys[i], to); err != nil {
					t.Fatal(err)
				}
			}
			sections = append(sections, sealed)
			body.Sets = append(body.Sets, ReaderSet{Readers: set, Commitment: seal.Commit(keys[i], crypto.Hash(core.Network), crypto.Hash(feed), core.Seq, i)})
		}
		p.keys[core.Seq] = keys
	case "data":
		if _, ok := opt["expiry"]; !ok && c.Key.Seq > 0 {
			core.Expiry = min(core.Expiry, c.Key.Expiry)
		}
		core.Data = &DataBody{Key: number("keyseq", c.Key.Seq)}
		for i, text := range texts(numbers(t, opt["sets"])...) {
			var set ReaderSet
			var key seal.FeedKey
			if text.Set < uint64(len(c.Key.Sets)) {
				set, key = c.Key.Sets[text.Set], p.keys[c.Key.Seq][text.Set]
			}
			plain, err := plaintext(&core, feed, set, i, text)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := seal.SealSection(key, place(&core, feed, i), plain)
			if err != nil {
				t.Fatal(err)
			}
			sections = append(sections, sealed)
			core.Data.Sections = append(core.Data.Sections, SectionRef{Set: text.Set})
		}
	default:
		t.Fatalf("no such record: %s", kind)
	}
	commit(&core, sections)
	signer := p.node
	if v, ok := opt["signer"]; ok {
		signer = v
	}
	return p.w.sign(signer, &core, sections)
}

// commit writes the sections' lengths and hashes into the core.
func commit(core *Core, sections [][]byte) {
	for i, s := range sections {
		ref := SectionRef{Set: uint64(i), Length: uint64(len(s)), SHA256: sha256.Sum256(s)}
		if core.Key != nil {
			core.Key.Sections = append(core.Key.Sections[:i], ref)
			continue
		}
		ref.Set = core.Data.Sections[i].Set
		core.Data.Sections[i] = ref
	}
}

func (w *world) sign(node string, core *Core, sections [][]byte) Envelope {
	b := Encode(core)
	return Envelope{Core: b, Signature: SignCore(w.keys[node], core.Network, b), Sections: sections}
}

// readers are the named organisations with their newest epochs, sorted.
func (p *pen) readers(m members, names string) (out []Reader) {
	for _, o := range sortOrgs(orgIDs(names)) {
		org, ok := m.OrgAt(o, m.size)
		if !ok {
			p.w.t.Fatalf("no reader among %s", names)
		}
		out = append(out, Reader{Org: o, Epoch: org.Epoch})
	}
	return out
}

// recipient is the key of one reader at one epoch.
func (w *world) recipient(r Reader) *seal.Recipient {
	o, _ := w.now().OrgAt(r.Org, w.size())
	return w.ids[o.Name][r.Epoch-1].Recipient()
}

func numbers(t testing.TB, list string) (out []int) {
	for f := range strings.FieldsSeq(list) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}
