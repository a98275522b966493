package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// KindUnreadable is the kind of the record by which a reader tells an author
// that a section of a record does not open.
const KindUnreadable = "sync/unreadable"

// Unreadable is that record's body.
type Unreadable struct {
	Feed    protocol.FeedID   `cbor:"1,keyasint"`
	Seq     uint64            `cbor:"2,keyasint"`
	Record  protocol.RecordID `cbor:"3,keyasint"`
	Section uint64            `cbor:"4,keyasint"`
}

// Report tells a record's author, sealed, that a section does not open here:
// once for each record, with the first section that did not, also after a
// restart; an author that seals badly on purpose gets no more than one record
// out of this node for each of its own. An author's own records are not
// reported. custodians are as in [Draft].
func (r *Replica) Report(ctx context.Context, rec *protocol.Record, section int, custodians []protocol.OrgID) error {
	if rec.Core().Author == r.o.Org {
		return nil
	}
	name := fmt.Sprintf("unreadable/%s", rec.ID())
	r.mu.Lock()
	busy := r.telling[name]
	r.telling[name] = true
	r.mu.Unlock()
	if busy {
		return nil
	}
	defer func() {
		r.mu.Lock()
		delete(r.telling, name)
		r.mu.Unlock()
	}()
	if told, err := r.o.Disk.Flag(name); err != nil || told != nil {
		return err
	}
	body := protocol.Encode(Unreadable{Feed: rec.Feed(), Seq: rec.Core().Seq, Record: rec.ID(), Section: uint64(section)})
	_, err := r.send(ctx, Draft{Audience: protocol.ListAudience(rec.Core().Author), Custodians: custodians, Expiry: r.today() + reportDays,
		Contents: []protocol.Content{{Kind: KindUnreadable, Time: r.o.Now().Unix(), Body: body, Refs: []protocol.RecordID{rec.ID()}}}},
		map[string][]byte{name: {1}})
	return err
}

const reportDays = 90

// Complaint is what a reader reported of a record of this organisation.
type Complaint struct {
	By protocol.OrgID
	At time.Time
	Unreadable
}

// ReadReport reads the body of a record of [KindUnreadable].
func ReadReport(by protocol.OrgID, at int64, body []byte) (Complaint, error) {
	u, err := protocol.DecodeOpen[Unreadable](body, 4096)
	return Complaint{By: by, At: time.Unix(at, 0).UTC(), Unreadable: u}, err
}
