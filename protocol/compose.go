package protocol

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// Writer composes one node's own records. It is a value without state: the
// chain says what comes next, and the caller commits what it returns.
type Writer struct {
	Members Members
	Org     OrgID
	Node    NodeID
	Key     crypto.PrivateKey // the node's author key
	Random  io.Reader
	// Recipient returns a parsed age1pq1… text; a caller gives it a cache.
	Recipient func(text string) (*seal.Recipient, error)
}

// next fills the fields that every core has.
func (w Writer) next(c Chain, a Audience, day, expiry Day) (Core, error) {
	size := w.Members.Size()
	root, _ := w.Members.RootAt(size)
	cp, _ := w.Members.DayAt(size)
	k := Core{Version: Version, Network: w.Members.Network(), Author: w.Org, Node: w.Node, Audience: a,
		Seq: c.Seq + 1, Prev: c.Head, Size: size, Root: root, Day: max(day, cp, c.Day), Expiry: expiry}
	_, err := io.ReadFull(w.Random, k.Nonce[:])
	return k, err
}

// Day returns the day that a record made now carries: a slow clock is raised
// to the checkpoint's day and to the day of the record before.
func (w Writer) Day(c Chain, day Day) Day {
	cp, _ := w.Members.DayAt(w.Members.Size())
	return max(day, cp, c.Day)
}

// OpenFeed composes a key record for an audience: set 0 for the whole
// audience, then one set for each of parts (organisations of the audience; the
// own is added; those left out of set 0 are left out). It returns the record,
// the chain after it, and the feed keys by set.
func (w Writer) OpenFeed(c Chain, a Audience, parts [][]OrgID, custodians []OrgID, honours [][]byte, day, expiry Day) (*Record, Chain, []seal.FeedKey, error) {
	fail := func(err error) (*Record, Chain, []seal.FeedKey, error) {
		return nil, c, nil, fmt.Errorf("open feed: %w", err)
	}
	if a.Group != "" {
		return fail(fmt.Errorf("group audiences need a newer program"))
	}
	core, err := w.next(c, a, day, expiry)
	if err != nil {
		return fail(err)
	}
	body := &KeyBody{Custodians: sortOrgs(custodians), Honours: honours}
	core.Key = body
	struck, ok := strikes(w.Members, &core)
	if !ok {
		return fail(fmt.Errorf("a take-away operation is not valid"))
	}
	whole := WholeSet(w.Members, w.Org, a, core.Size, struck)
	if len(whole) == 0 {
		return fail(fmt.Errorf("the own organisation has no usable encryption key"))
	}
	feed := FeedIDOf(core.Network, w.Node, a)
	sets := [][]Reader{whole}
	for _, part := range parts {
		var set []Reader
		for _, r := range whole {
			if r.Org == w.Org || slices.Contains(part, r.Org) {
				set = append(set, r)
			}
		}
		sets = append(sets, set)
	}
	if len(sets) > MaxSets {
		return fail(fmt.Errorf("%d reader sets, at most %d", len(sets), MaxSets))
	}
	keys := make([]seal.FeedKey, len(sets))
	sections := make([][]byte, len(sets))
	for i, set := range sets {
		if keys[i], err = seal.NewFeedKey(w.Random); err != nil {
			return fail(err)
		}
		to := make([]*seal.Recipient, len(set))
		for j, r := range set {
			org, _ := w.Members.OrgAt(r.Org, core.Size)
			if to[j], err = w.Recipient(org.Recipient); err != nil {
				return fail(fmt.Errorf("encryption key of %s: %w", org.Name, err))
			}
		}
		if sections[i], err = seal.SealKey(keys[i], to); err != nil {
			return fail(err)
		}
		body.Sets = append(body.Sets, ReaderSet{Readers: set,
			Commitment: seal.Commit(keys[i], crypto.Hash(core.Network), crypto.Hash(feed), core.Seq, i)})
		body.Sections = append(body.Sections, SectionRef{Set: uint64(i), Length: uint64(len(sections[i])), SHA256: sha256.Sum256(sections[i])})
	}
	r, n, err := w.finish(c, core, feed, sections)
	return r, n, keys, err
}

// Write composes a data record under the chain's newest key. keys are that
// key's feed keys by set. Expiry is lowered to the key record's.
func (w Writer) Write(c Chain, keys []seal.FeedKey, contents []Content, day, expiry Day) (*Record, Chain, error) {
	core, err := w.next(c, c.Audience, day, min(expiry, c.Key.Expiry))
	if err != nil {
		return nil, c, fmt.Errorf("write record: %w", err)
	}
	core.Data = &DataBody{Key: c.Key.Seq}
	feed := FeedIDOf(core.Network, w.Node, c.Audience)
	sections := make([][]byte, len(contents))
	for i, content := range contents {
		if content.Set >= uint64(len(keys)) || content.Set >= uint64(len(c.Key.Sets)) {
			return nil, c, fmt.Errorf("write record: section %d names reader set %d of %d", i, content.Set, len(keys))
		}
		plain, err := plaintext(&core, feed, c.Key.Sets[content.Set], i, content)
		if err != nil {
			return nil, c, fmt.Errorf("write record: %w", err)
		}
		if sections[i], err = seal.SealSection(keys[content.Set], place(&core, feed, i), plain); err != nil {
			return nil, c, fmt.Errorf("write record: %w", err)
		}
		core.Data.Sections = append(core.Data.Sections, SectionRef{Set: content.Set, Length: uint64(len(sections[i])), SHA256: sha256.Sum256(sections[i])})
	}
	return w.finish(c, core, feed, sections)
}

// finish signs a core and puts it through the checks that every receiver does,
// but for the signature that was made this moment.
func (w Writer) finish(c Chain, core Core, feed FeedID, sections [][]byte) (*Record, Chain, error) {
	if err := core.shape(); err != nil {
		return nil, c, fmt.Errorf("write record: %w", err)
	}
	b := Encode(&core)
	if len(b) > MaxCore {
		return nil, c, fmt.Errorf("write record: core of %d bytes, at most %d", len(b), MaxCore)
	}
	node, ok := w.Members.NodeAt(w.Node, core.Size)
	if !ok || node.Author != w.Key.Public() {
		return nil, c, fmt.Errorf("write record: this node is not in the register with its author key")
	}
	s := &Signed{core: core, node: node, id: RecordIDOf(core.Network, b), feed: feed,
		env: Envelope{Core: b, Signature: SignCore(w.Key, core.Network, b)}}
	r, n, err := c.Link(w.Members, s)
	if err != nil {
		return nil, c, fmt.Errorf("write record: %w", err)
	}
	switch r.state {
	case Refused:
		return nil, c, fmt.Errorf("write record: others would refuse it: %s", r.code)
	case Held:
		return nil, c, fmt.Errorf("write record: this node is suspended or revoked")
	}
	r.sections = sections
	return r, n, nil
}

func sortOrgs(o []OrgID) []OrgID {
	o = slices.Clone(o)
	slices.SortFunc(o, OrgID.Compare)
	return slices.Compact(o)
}
