package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/config"
	"github.com/national-alliance/alliance/node/consensus"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Identity says whose folder it is.
type Identity struct {
	Network protocol.NetworkID
	Org     protocol.OrgID
	Node    protocol.NodeID
	Trial   bool
}

// Identify reads a node's folder, and nothing of its keys. A folder that is
// none is an [api.NotFound].
func Identify(dir string) (Identity, error) {
	id, err := loadIdentity(dir)
	if _, serr := os.Stat(identityPath(dir)); err != nil && errors.Is(serr, fs.ErrNotExist) {
		err = api.Errorf(api.NotFound, "%v", err)
	}
	return Identity(id), err
}

// InUse reports whether an error means that another process has the folder.
func InUse(err error) bool { return errors.Is(err, store.ErrInUse) }

// DiskFault reports whether an error is a disk's that is full or failed: what
// was acknowledged is kept, and it may pass.
func DiskFault(err error) bool { return diskFault(err) }

// ParseTicket checks a ticket's text, which white space may surround.
func ParseTicket(s string) (membership.Ticket, error) { return membership.ParseTicket(s) }

// VerifyOptions say how to verify a folder.
type VerifyOptions struct {
	// Passphrase opens the reading identity, and so every section that this
	// organisation reads; without one nothing is opened.
	Passphrase string
	// Each, if set, is called for every record held, feed by feed in order;
	// its error ends the verification.
	Each     func(HeldRecord) error
	Progress func(done, total uint64)
	Log      *slog.Logger
}

// HeldRecord is one record as a folder holds it, in routing facts alone.
type HeldRecord struct {
	ID         protocol.RecordID `json:"id"`
	Feed       protocol.FeedID   `json:"feed"`
	Seq        uint64            `json:"seq"`
	Type       string            `json:"type"` // key or data
	Author     protocol.OrgID    `json:"author"`
	Audience   []protocol.OrgID  `json:"audience"`
	Group      protocol.GroupID  `json:"group"`
	Custodians []protocol.OrgID  `json:"custodians"` // of the key record that it is under
	Sections   []int             `json:"sections"`   // whose sealed bytes are here
}

// Verification is what [Verify] found. It holds no content.
type Verification struct {
	Network      protocol.NetworkID `json:"network"`
	Organisation protocol.OrgID     `json:"organisation"`
	Node         protocol.NodeID    `json:"node"`
	Leaves       uint64             `json:"leaves"`      // each applied again
	Checkpoints  int                `json:"checkpoints"` // each with enough signatures
	Raft         int                `json:"raft"`        // entries of the secretariat's log that open
	Feeds        int                `json:"feeds"`
	Records      uint64             `json:"records"`  // each hash, signature and place in its feed
	Sections     uint64             `json:"sections"` // each hash
	Opened       uint64             `json:"opened"`   // sections and feed keys that this organisation reads
	Unread       bool               `json:"unread"`   // without a passphrase nothing was opened
	Receipts     int                `json:"receipts"`
	Lacking      int                `json:"lacking"` // sections on their way here: asked for when the node runs
	Mended       uint64             `json:"mended"`  // index rows written again
	Faults       []string           `json:"faults"`
}

// Verify verifies a folder's register and store without a network: every leaf
// and checkpoint, every record's hash, signature and place in its feed, judged
// again by the register; which sections are here, and that none is which this
// organisation has no right to; and, with a passphrase, that what it reads
// opens and is bound to its place. No other process may have the folder open;
// [InUse] tells. Damage is in Faults; an error is why it could not look.
func Verify(ctx context.Context, dir string, o VerifyOptions) (Verification, error) {
	fail := func(err error) (Verification, error) { return Verification{}, fmt.Errorf("verify: %w", err) }
	cfg, err := config.Load(dir)
	if err != nil {
		return fail(err)
	}
	id, err := loadIdentity(dir)
	if err != nil {
		return fail(err)
	}
	keys, err := loadNodeKeys(dir, cfg.NodeKeyFile)
	if err != nil {
		return fail(err)
	}
	v := verifier{o: o, id: id, out: Verification{Network: id.Network, Organisation: id.Org, Node: id.Node, Unread: o.Passphrase == "", Faults: []string{}}}
	if o.Passphrase != "" {
		read, err := keyfile.LoadReading(readingKeyPath(dir), o.Passphrase)
		if err != nil {
			return fail(err)
		}
		for _, k := range read {
			v.ids = append(v.ids, k.Identity)
		}
	}
	if _, err := os.Stat(storePath(dir)); errors.Is(err, fs.ErrNotExist) {
		return v.out, nil // asked to join, and holds nothing yet
	}
	v.store, err = store.Open(store.Options{Dir: storePath(dir), Key: keys.StoreKey, Network: id.Network, Log: o.Log, MinFree: 1})
	if err != nil {
		return fail(err)
	}
	defer v.store.Close()
	if d := v.store.Damage(); d.Any() {
		v.fault("%s", d)
	}
	v.register()
	v.raft(raftPath(dir), keys.RaftKey)
	if err := v.records(ctx); err != nil {
		return fail(err)
	}
	return v.out, nil
}

type verifier struct {
	o     VerifyOptions
	id    identity
	ids   []*seal.Identity
	store *store.Store
	reg   *register.State // nil where it does not verify
	feed  *feedCheck
	out   Verification
}

// fault notes damage; the first thousand are told one by one.
func (v *verifier) fault(format string, a ...any) {
	const most = 1000
	switch n := len(v.out.Faults); {
	case n < most:
		v.out.Faults = append(v.out.Faults, fmt.Sprintf(format, a...))
	case n == most:
		v.out.Faults = append(v.out.Faults, "and more")
	}
}

// register applies every leaf again and verifies every note that is kept.
func (v *verifier) register() {
	var s *register.State
	err := v.store.Leaves(0, v.store.LeafCount(), func(i uint64, leaf []byte) (err error) {
		if i == 0 {
			s, err = register.Begin(v.id.Network, leaf)
		} else {
			s, err = register.Apply(s, leaf)
		}
		if err != nil {
			return fmt.Errorf("register leaf %d: %w", i, err)
		}
		v.out.Leaves++
		return nil
	})
	if err != nil {
		v.fault("%v", err)
		return
	}
	if s == nil {
		return
	}
	accepted := v.store.Accepted()
	found := false
	for _, size := range v.store.Notes(0, s.Size()) {
		note, err := v.store.Note(size)
		if err == nil {
			var c register.Checkpoint
			c, err = register.VerifyCheckpoint(s, note)
			if err == nil && c.Size != size {
				err = fmt.Errorf("it is of %d leaves", c.Size)
			}
		}
		if err != nil {
			v.fault("checkpoint of %d leaves: %v", size, err)
			continue
		}
		found = found || size == accepted
		v.out.Checkpoints++
	}
	if !found {
		v.fault("the accepted checkpoint, of %d leaves, is not here or does not verify", accepted)
		return
	}
	v.reg = s
}

// raft opens every entry of the secretariat's own log.
func (v *verifier) raft(dir string, key [32]byte) {
	if _, err := os.Stat(dir); err != nil {
		return
	}
	for _, err := range consensus.Entries(dir, key) {
		if err != nil {
			v.fault("%v", err)
			continue
		}
		v.out.Raft++
	}
}

func (v *verifier) records(ctx context.Context) error {
	var stop error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	report, err := v.store.VerifyAll(ctx, v.o.Progress, func(rec *protocol.Record) error {
		if stop != nil {
			return nil
		}
		h := v.record(rec)
		if v.o.Each != nil {
			if stop = v.o.Each(h); stop != nil {
				cancel()
			}
		}
		return nil
	})
	if stop != nil {
		return stop
	}
	if err != nil {
		return err
	}
	v.endFeed()
	v.out.Feeds, v.out.Records, v.out.Sections, v.out.Mended = len(v.store.Feeds()), report.Records, report.Sections, report.Mended
	if report.Tables != nil {
		v.fault("database files: %v", report.Tables)
	}
	if report.LostRecords > 0 || report.LostSections > 0 {
		v.fault("%d records and %d sections are damaged or gone; they are fetched again when the node runs", report.LostRecords, report.LostSections)
	}
	for _, i := range report.LostLeaves {
		v.fault("register leaf %d is damaged or gone", i)
	}
	for _, f := range v.store.Feeds() {
		v.receipts(f)
	}
	return nil
}

func (v *verifier) receipts(f store.FeedChain) {
	list, err := v.store.Receipts(f.Feed)
	if err != nil {
		v.fault("%v", err)
	}
	if v.reg == nil {
		return
	}
	for _, s := range list {
		r, err := s.Verify(v.reg)
		switch {
		case errors.Is(err, protocol.ErrWait):
		case err != nil:
			if claim, derr := protocol.Decode[protocol.Receipt](s.Body, protocol.MaxReceipt); derr == nil {
				if n, ok := v.reg.Node(claim.Node); ok && n.Status == protocol.Revoked {
					continue // it spoke for its organisation when it was written
				}
			}
			v.fault("a receipt for feed %s: %v", f.Feed.Short(), err)
		default:
			if id, ok := v.store.ID(f.Feed, r.Seq); ok && id != r.Head {
				v.fault("a receipt of node %s for feed %s vouches for another record %d than the one here", r.Node.Short(), f.Feed.Short(), r.Seq)
			}
			v.out.Receipts++
		}
	}
}

// active reports whether the newest register has this organisation active: only
// then do its rights say what it should hold.
func (v *verifier) active() bool {
	o, ok := v.reg.Org(v.id.Org)
	return ok && o.Status == protocol.Active
}
