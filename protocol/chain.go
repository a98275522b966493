package protocol

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/crypto"
)

// What can become of a record that arrives. Every verifier comes to the same
// one: dropped, waiting, a fork, or a link of its feed (see [State]).
var (
	// ErrDrop: undecodable, of another network, of an author whose key is
	// unknown at its checkpoint, in another organisation's name, or wrongly
	// signed. It is forgotten, and costs the peer that sent it.
	ErrDrop = errors.New("record dropped")
	// ErrWait: it may be good later: of a newer version, under a checkpoint
	// above ours, or after a gap. It is asked for again.
	ErrWait = errors.New("record must wait")
	// ErrGap is the ErrWait of a record whose predecessor is missing.
	ErrGap = fmt.Errorf("%w: an earlier record of its feed is missing", ErrWait)
	// ErrDiverged is the ErrWait of a record that follows another predecessor
	// than the one held: its author signed two records at one place. The
	// predecessor it names is to be fetched, for the proof.
	ErrDiverged = fmt.Errorf("%w: it follows another record than the one held", ErrWait)
	// ErrKnown: the feed holds this very record already.
	ErrKnown = errors.New("record is already held")
	// ErrSection: section bytes do not match what the core commits to.
	ErrSection = errors.New("section does not match its hash")
)

// Fork is the proof that a node signed two records at one place of one feed.
// It is an error too, so that verifying returns it.
type Fork struct {
	A Envelope `cbor:"1,keyasint"`
	B Envelope `cbor:"2,keyasint"`
}

func (*Fork) Error() string { return "two records at one place of one feed: a fork" }

// State is what a link is.
type State uint8

// The states of a link. The numbers are on disk and never change.
const (
	Linked  State = 1 // verified; may be opened, shown and receipted
	Refused State = 2 // fails a check against the register: kept as a link, never opened
	Held    State = 3 // its author was suspended or revoked since: sealed, unshown, not vouched for
)

// Code says why a link is refused. Codes stand in receipts.
type Code uint16

// The codes. The numbers are on the wire and never change.
const (
	CodeRoot       Code = 1  // its checkpoint's root is not ours at that size
	CodeSizeBack   Code = 2  // its checkpoint is older than the one of the link before
	CodeDay        Code = 3  // day goes back, is before its checkpoint's, or too far after
	CodeExpiry     Code = 4  // expires before its day, too late, or after its key record
	CodeAuthor     Code = 5  // the author was not active at its own checkpoint
	CodeAudience   Code = 6  // the audience names someone never enrolled
	CodeCustodian  Code = 7  // a custodian is police, inactive or has not offered; or none but the author is named and one must be
	CodeReaders    Code = 8  // a reader set is not what the register and the audience make it
	CodeKeyOverdue Code = 9  // a new key was due
	CodeKey        Code = 10 // it does not name the feed's newest key
	CodeSet        Code = 11 // a section of no set, or section 0 not for the whole audience
	CodeHonours    Code = 12 // a take-away operation that is none
	CodeClosed     Code = 13 // the feed was refused in too many places: nothing more is linked in it
)

var codeText = map[Code]string{
	CodeRoot: "cites another register root", CodeSizeBack: "cites an older checkpoint than the record before it",
	CodeDay: "its day does not fit", CodeExpiry: "its expiry does not fit", CodeAuthor: "its author was not active",
	CodeAudience: "addressed to someone never enrolled", CodeCustodian: "a custodian that may not be one",
	CodeReaders: "readers are not the ones that the audience makes", CodeKeyOverdue: "sealed under an overdue key",
	CodeKey: "not sealed under the newest key", CodeSet: "a section for no reader set", CodeHonours: "an invalid take-away operation",
	CodeClosed: "its feed was refused too often",
}

func (c Code) String() string {
	if s, ok := codeText[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", uint16(c))
}

// Record is a record that passed verification; [Chain.Link] and, for the own
// disk, [Reload] are its only makers. It is not changed after that, except
// that [Record.Attach] adds sections.
type Record struct {
	core     Core
	env      Envelope
	id       RecordID
	feed     FeedID
	state    State
	code     Code
	sections [][]byte
}

func (r *Record) ID() RecordID                { return r.id }
func (r *Record) Feed() FeedID                { return r.feed }
func (r *Record) Core() *Core                 { return &r.core } // read only
func (r *Record) CoreBytes() []byte           { return r.env.Core }
func (r *Record) Signature() crypto.Signature { return r.env.Signature }
func (r *Record) State() State                { return r.state }

// Code says why a Refused record is refused; 0 for others.
func (r *Record) Code() Code { return r.code }

// Section returns a section's sealed bytes, nil where they are not here.
func (r *Record) Section(i int) []byte {
	if i < 0 || i >= len(r.sections) {
		return nil
	}
	return r.sections[i]
}

// Attach adds a section's sealed bytes after comparing length and SHA-256
// with the core; [ErrSection] otherwise. A refused record takes none.
func (r *Record) Attach(i int, sealed []byte) error {
	refs := r.core.Sections()
	if r.state == Refused || i < 0 || i >= len(refs) {
		return ErrSection
	}
	if uint64(len(sealed)) != refs[i].Length || sha256.Sum256(sealed) != refs[i].SHA256 {
		return ErrSection
	}
	if r.sections == nil {
		r.sections = make([][]byte, len(refs))
	}
	r.sections[i] = sealed
	return nil
}

// Envelope returns the record with those of its sections that the entitlement
// allows and that are here.
func (r *Record) Envelope(e Entitlement) Envelope {
	out := Envelope{Core: r.env.Core, Signature: r.env.Signature}
	for i := range r.sections {
		if r.sections[i] != nil && e.Section(i) {
			if out.Sections == nil {
				out.Sections = make([][]byte, len(r.sections))
			}
			out.Sections[i] = r.sections[i]
		}
	}
	return out
}

// Missing lists the sections that an organisation is entitled to and that are
// not here.
func (r *Record) Missing(e Entitlement) (out []int) {
	if r.state == Refused {
		return nil
	}
	for i := range r.core.Sections() {
		if e.Section(i) && r.Section(i) == nil {
			out = append(out, i)
		}
	}
	return out
}

// Reload makes a Record of what the own store wrote down after verifying:
// it decodes and compares the hash, and checks no signature again.
func Reload(network NetworkID, id RecordID, env Envelope, state State, code Code) (*Record, error) {
	if RecordIDOf(network, env.Core) != id {
		return nil, fmt.Errorf("reload record: %w", ErrSection)
	}
	core, err := Decode[Core](env.Core, MaxCore)
	if err != nil {
		return nil, fmt.Errorf("reload record: %w", err)
	}
	r := &Record{core: core, id: id, state: state, code: code, feed: FeedIDOf(network, core.Node, core.Audience),
		env: Envelope{Core: env.Core, Signature: env.Signature}}
	for i, s := range env.Sections {
		if s != nil {
			if err := r.Attach(i, s); err != nil {
				return nil, fmt.Errorf("reload record: %w", err)
			}
		}
	}
	return r, nil
}

// Signed is a record whose signature stands but whose place in its feed is
// not looked at yet. [Open] is its only maker.
type Signed struct {
	core Core
	env  Envelope
	id   RecordID
	feed FeedID
	node Node // at min(core.Size, members' size)
}

func (s *Signed) ID() RecordID { return s.id }
func (s *Signed) Feed() FeedID { return s.feed }
func (s *Signed) Core() *Core  { return &s.core } // read only

// Open does the checks that need no feed: size, strict decode, network, the
// author's key at the record's own checkpoint, signature. The error wraps
// [ErrDrop] or [ErrWait].
func Open(m Members, env Envelope) (*Signed, error) {
	if len(env.Core) > MaxCore || len(env.Sections) > MaxSections {
		return nil, fmt.Errorf("%w: larger than a record may be", ErrDrop)
	}
	core, err := Decode[Core](env.Core, MaxCore)
	if err != nil {
		if v, ok := versionOf(env.Core); ok && v > Version {
			return nil, fmt.Errorf("%w: version %d is newer than this program", ErrWait, v)
		}
		return nil, fmt.Errorf("%w: %v", ErrDrop, err)
	}
	if core.Version > Version {
		return nil, fmt.Errorf("%w: version %d is newer than this program", ErrWait, core.Version)
	}
	if err := core.shape(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDrop, err)
	}
	network := m.Network()
	if core.Network != network {
		return nil, fmt.Errorf("%w: of another network", ErrDrop)
	}
	node, ok := m.NodeAt(core.Node, min(core.Size, m.Size()))
	if !ok {
		if core.Size > m.Size() {
			return nil, fmt.Errorf("%w: its checkpoint is newer than ours", ErrWait)
		}
		return nil, fmt.Errorf("%w: its author is unknown at its checkpoint", ErrDrop)
	}
	if node.Org != core.Author {
		return nil, fmt.Errorf("%w: its author node is not of its author organisation", ErrDrop)
	}
	if err := crypto.Verify(node.Author, labelRecord, crypto.Hash(network), env.Core, env.Signature); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDrop, err)
	}
	if core.Size > m.Size() {
		return nil, fmt.Errorf("%w: its checkpoint is newer than ours", ErrWait)
	}
	return &Signed{core: core, id: RecordIDOf(network, env.Core), node: node,
		env:  Envelope{Core: env.Core, Signature: env.Signature},
		feed: FeedIDOf(network, core.Node, core.Audience)}, nil
}

// versionOf reads the version of a core and nothing behind it: the first entry
// of a map, whose key is 1.
func versionOf(core []byte) (uint64, bool) {
	switch {
	case len(core) > 0 && core[0] > 0xa0 && core[0] < 0xb8: // up to 23 entries
		core = core[1:]
	case len(core) > 1 && core[0] == 0xb8 && core[1] >= 24: // up to 255
		core = core[2:]
	default:
		return 0, false
	}
	switch {
	case len(core) > 1 && core[0] == 1 && core[1] < 24:
		return uint64(core[1]), true
	case len(core) > 2 && core[0] == 1 && core[1] == 0x18 && core[2] >= 24:
		return uint64(core[2]), true
	}
	return 0, false
}

// KeyLink is a feed's key record, as far as the records under it need it.
type KeyLink struct {
	Seq        uint64      `cbor:"1,keyasint"`
	Size       uint64      `cbor:"2,keyasint"`
	Day        Day         `cbor:"3,keyasint"`
	Expiry     Day         `cbor:"4,keyasint"`
	Custodians []OrgID     `cbor:"5,keyasint,omitempty"`
	Sets       []ReaderSet `cbor:"6,keyasint"`
	Struck     []Struck    `cbor:"7,keyasint,omitempty"` // whom its take-away operations strike
}

// KeyLinkOf returns what [Entitles] needs of a key record; false for others.
func KeyLinkOf(k *Core) (KeyLink, bool) {
	if k.Key == nil {
		return KeyLink{}, false
	}
	return KeyLink{Seq: k.Seq, Size: k.Size, Day: k.Day, Expiry: k.Expiry, Custodians: k.Key.Custodians, Sets: k.Key.Sets}, true
}

// Custody is how long an organisation was custodian of a feed.
type Custody struct {
	Org OrgID  `cbor:"1,keyasint"`
	End uint64 `cbor:"2,keyasint"` // seq of the key record that ended its last custody; 0 while it lasts
}

// Range is a run of sequence numbers, both ends included, from 1.
type Range struct {
	From uint64 `cbor:"1,keyasint"`
	To   uint64 `cbor:"2,keyasint"`
}

// Refusal is a run of refused links of one code.
type Refusal struct {
	From uint64 `cbor:"1,keyasint"`
	To   uint64 `cbor:"2,keyasint"`
	Code Code   `cbor:"3,keyasint"`
}

// Chain is the state of one feed after its first Seq links: a plain value,
// kept beside the records. The zero Chain is a feed before its first record.
type Chain struct {
	Author   OrgID     `cbor:"1,keyasint"`
	Node     NodeID    `cbor:"2,keyasint"`
	Audience Audience  `cbor:"3,keyasint"`
	Seq      uint64    `cbor:"4,keyasint"`
	Head     RecordID  `cbor:"5,keyasint"`
	Size     uint64    `cbor:"6,keyasint"` // of the newest link not refused
	Day      Day       `cbor:"7,keyasint"`
	Key      KeyLink   `cbor:"8,keyasint"` // newest not refused; Seq 0: none yet
	Custody  []Custody `cbor:"9,keyasint,omitempty"`
	Refused  []Refusal `cbor:"10,keyasint,omitempty"`
	Held     []Range   `cbor:"11,keyasint,omitempty"`

	// dueAt remembers the size at which the key was last found not due, so
	// that a run of records under one checkpoint asks the register once.
	dueAt uint64
}

// Link places a signed record at the end of the feed and says what it is. It
// returns the new chain and leaves c as it was. Errors: [ErrGap],
// [ErrDiverged], [ErrKnown], [ErrWait] for a group audience, which this version
// cannot judge, and [ErrDrop] for a record of another feed than c's.
//
// For a seq at or below the chain's, Link returns ErrKnown for any record; the
// caller, who holds the link at that seq, compares and builds the fork proof
// with [NewFork].
func (c Chain) Link(m Members, s *Signed) (*Record, Chain, error) {
	k := &s.core
	switch {
	case c.Seq > 0 && (k.Node != c.Node || !k.Audience.equal(c.Audience)):
		return nil, c, fmt.Errorf("%w: of another feed", ErrDrop)
	case k.Seq <= c.Seq:
		return nil, c, ErrKnown
	case k.Seq > c.Seq+1:
		return nil, c, ErrGap
	case c.Seq > 0 && k.Prev != c.Head:
		return nil, c, ErrDiverged
	}
	if k.Audience.Group != "" {
		return nil, c, fmt.Errorf("%w: group audiences need a newer program", ErrWait)
	}
	r := &Record{core: s.core, env: s.env, id: s.id, feed: s.feed, state: Linked}
	n := c
	n.Author, n.Node, n.Audience = k.Author, k.Node, k.Audience
	n.Seq, n.Head = k.Seq, s.id

	code := c.judge(m, s, &n)
	if code != 0 {
		r.state, r.code = Refused, code
		n.Refused = appendRefusal(c.Refused, k.Seq, code)
		return r, n, nil
	}
	n.Size, n.Day = k.Size, k.Day
	if k.Key != nil {
		n.Custody = custody(c.Custody, k.Key.Custodians, k.Seq)
		n.dueAt = k.Size
	}
	if now, ok := m.NodeAt(k.Node, m.Size()); !ok || now.Status == Suspended || now.Status == Revoked {
		r.state = Held
		n.Held = appendRange(c.Held, k.Seq)
	}
	return r, n, nil
}

// judge is every check of a core against the register, cheapest first. Into n
// it puts only the new key of a record without fault, and dueAt.
func (c Chain) judge(m Members, s *Signed, n *Chain) Code {
	k := &s.core
	if len(c.Refused) >= MaxRanges-1 {
		return CodeClosed
	}
	if root, ok := m.RootAt(k.Size); !ok || root != k.Root {
		return CodeRoot
	}
	if k.Size < c.Size {
		return CodeSizeBack
	}
	cp, _ := m.DayAt(k.Size)
	if k.Day < cp || k.Day > cp+MaxAheadDays || k.Day < c.Day {
		return CodeDay
	}
	if k.Expiry < k.Day || k.Expiry > k.Day+MaxKeepDays {
		return CodeExpiry
	}
	if s.node.Status != Active {
		return CodeAuthor
	}
	if o, ok := m.OrgAt(k.Author, k.Size); !ok || o.Status != Active {
		return CodeAuthor
	}
	if c.Seq == 0 || k.Key != nil {
		for _, o := range k.Audience.Orgs {
			if _, ok := m.OrgAt(o, k.Size); !ok {
				return CodeAudience
			}
		}
	}
	if k.Key != nil {
		struck, code := judgeKey(m, k)
		if code == 0 {
			n.Key, _ = KeyLinkOf(k)
			n.Key.Struck = struck
		}
		return code
	}
	d := k.Data
	if c.Key.Seq == 0 || d.Key != c.Key.Seq {
		return CodeKey
	}
	if k.Expiry > c.Key.Expiry {
		return CodeExpiry
	}
	if c.Key.dueByAge(k.Day, k.Seq) {
		return CodeKeyOverdue
	}
	if c.dueAt != k.Size {
		if due := c.Key.dueByRegister(m, k.Author, k.Audience, k.Size); due != "" {
			return CodeKeyOverdue
		}
		n.dueAt = k.Size
	}
	for i, ref := range d.Sections {
		if ref.Set >= uint64(len(c.Key.Sets)) || i == 0 && ref.Set != 0 {
			return CodeSet
		}
	}
	return 0
}

func judgeKey(m Members, k *Core) ([]Struck, Code) {
	struck, ok := strikes(m, k)
	if !ok {
		return nil, CodeHonours
	}
	if code := judgeCustodians(m, k); code != 0 {
		return nil, code
	}
	want := WholeSet(m, k.Author, k.Audience, k.Size, struck)
	if len(want) == 0 || !slices.Equal(want, k.Key.Sets[0].Readers) {
		return nil, CodeReaders
	}
	for _, set := range k.Key.Sets[1:] {
		if !set.Has(k.Author) {
			return nil, CodeReaders
		}
		for _, r := range set.Readers {
			if !slices.Contains(want, r) {
				return nil, CodeReaders
			}
		}
	}
	return struck, 0
}

func judgeCustodians(m Members, k *Core) Code {
	must := true
	for _, o := range append(slices.Clone(k.Audience.Orgs), k.Author) {
		if org, ok := m.OrgAt(o, k.Size); ok && org.Class == ClassSecretariat {
			must = false
		}
	}
	for _, o := range k.Key.Custodians {
		org, ok := m.OrgAt(o, k.Size)
		if !ok || !MayKeep(org) {
			return CodeCustodian
		}
		must = must && o == k.Author // one's own copies survive nothing
	}
	if must {
		return CodeCustodian
	}
	return 0
}

// MayKeep reports whether an organisation may be named as a custodian: active,
// and the secretariat or one that offered, but never police.
func MayKeep(o Org) bool {
	return o.Status == Active && o.Class != ClassPolice && (o.Class == ClassSecretariat || o.Custody)
}

// WholeSet returns set 0 for an audience at a size: the author's organisation
// and every organisation of the audience that is fit and not struck, each with
// its newest epoch, sorted. It is empty where the author itself has no key.
func WholeSet(m Members, author OrgID, a Audience, size uint64, struck []Struck) []Reader {
	var out []Reader
	orgs := append([]OrgID{author}, a.Orgs...)
	slices.SortFunc(orgs, OrgID.Compare)
	self := false
	for _, o := range slices.Compact(orgs) {
		org, ok := m.OrgAt(o, size)
		if !ok || !org.Fit() || strikesOrg(struck, o, org.Epoch) {
			continue
		}
		self = self || o == author
		out = append(out, Reader{Org: o, Epoch: org.Epoch})
	}
	if !self {
		return nil
	}
	return out
}

func strikes(m Members, k *Core) (out []Struck, ok bool) {
	for _, op := range k.Key.Honours {
		s, ok := m.TakenAway(op, k.Size)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// strikesOrg: a revoked node leaves its organisation a reader; a taint strikes
// the epoch it names and those before.
func strikesOrg(struck []Struck, o OrgID, epoch uint64) bool {
	return slices.ContainsFunc(struck, func(s Struck) bool {
		return s.Org == o && s.Node.IsZero() && (s.Epoch == 0 || epoch <= s.Epoch)
	})
}

// KeyDue reports why a feed needs a new key before a record at this seq, day
// and checkpoint size; "" where it does not. Every verifier judges by the
// record's own checkpoint, so that all judge alike. Another reader set or
// other custodians than the key's are the author's own reasons and not judged
// here.
func (c Chain) KeyDue(m Members, seq uint64, day Day, size uint64) string {
	switch {
	case c.Key.Seq == 0:
		return "the feed has no key yet"
	case c.Key.dueByAge(day, seq):
		return "the key is old"
	case day > c.Key.Expiry:
		return "the key record expires" // and no record under it may outlive it
	}
	return c.Key.dueByRegister(m, c.Author, c.Audience, size)
}

func (k KeyLink) dueByAge(day Day, seq uint64) bool {
	return day > k.Day+MaxKeyDays || seq-k.Seq > MaxKeyRecords
}

func (k KeyLink) dueByRegister(m Members, author OrgID, a Audience, size uint64) string {
	if size == k.Size {
		return ""
	}
	want := WholeSet(m, author, a, size, k.Struck)
	if !slices.Equal(want, k.Sets[0].Readers) {
		return "a reader's key or standing changed"
	}
	for _, o := range k.Custodians {
		if org, ok := m.OrgAt(o, size); !ok || !MayKeep(org) {
			return "a custodian was lost"
		}
	}
	return ""
}

// NewFork builds the proof from two records at one place of one feed, and
// reports whether they are one: same feed and seq, different IDs.
func NewFork(a, b *Signed) (*Fork, bool) {
	if a.feed != b.feed || a.core.Seq != b.core.Seq || a.id == b.id {
		return nil, false
	}
	if a.id.Compare(b.id) > 0 {
		a, b = b, a
	}
	return &Fork{A: a.env, B: b.env}, true
}

// Verify checks a fork proof that somebody else brought, and returns the feed
// and seq. Its errors are those of [Open], or ErrDrop where it proves nothing.
func (f *Fork) Verify(m Members) (FeedID, uint64, NodeID, error) {
	a, err := Open(m, f.A)
	if err != nil {
		return FeedID{}, 0, NodeID{}, err
	}
	b, err := Open(m, f.B)
	if err != nil {
		return FeedID{}, 0, NodeID{}, err
	}
	if _, ok := NewFork(a, b); !ok {
		return FeedID{}, 0, NodeID{}, fmt.Errorf("%w: the two records prove no fork", ErrDrop)
	}
	return a.feed, a.core.Seq, a.core.Node, nil
}

// SignedRecord returns a verified record as the [Signed] that a fork proof
// takes.
func (r *Record) SignedRecord() *Signed {
	return &Signed{core: r.core, env: r.env, id: r.id, feed: r.feed}
}

func appendRefusal(list []Refusal, seq uint64, code Code) []Refusal {
	out := slices.Clone(list)
	if n := len(out); n > 0 && out[n-1].To+1 == seq && out[n-1].Code == code {
		out[n-1].To = seq
		return out
	}
	return append(out, Refusal{seq, seq, code})
}

// appendRange widens the last range where there may be no more of them: to
// vouch for less than one holds does no harm.
func appendRange(list []Range, seq uint64) []Range {
	out := slices.Clone(list)
	if n := len(out); n > 0 && (out[n-1].To+1 == seq || n == MaxRanges) {
		out[n-1].To = seq
		return out
	}
	return append(out, Range{seq, seq})
}

func custody(old []Custody, now []OrgID, seq uint64) []Custody {
	out := slices.Clone(old)
	for i := range out {
		if out[i].End == 0 && !slices.Contains(now, out[i].Org) {
			out[i].End = seq
		}
	}
	for _, o := range now {
		i := slices.IndexFunc(out, func(c Custody) bool { return c.Org == o })
		if i < 0 {
			out = append(out, Custody{Org: o})
		} else {
			out[i].End = 0
		}
	}
	return out
}

// Envelope returns the core and its signature, without sections.
func (s *Signed) Envelope() Envelope { return s.env }
