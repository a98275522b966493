package node

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

// A record that vanished from the middle of a feed is missed by no start, which
// looks at heads; the check behind the start finds it, and peers give it back
// without another start and without anybody's reading it.
func TestDamageFoundBehindTheStart(t *testing.T) {
	t.Parallel()
	a, _ := opened(t, func(_ string, o *Options) { o.Config.RepairEvery.Duration = time.Second })
	alpha, beta := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	for range 3 {
		if _, err := alpha.refer(t.Context(), referTo("Example beta")); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the referrals", func() bool { return beta.sees(t) == 3 && outstanding(t, alpha) == 0 })
	feed := feedIDOf(t, beta, "Example alpha")
	a.stop("beta")
	for _, seq := range []uint64{1, 2} { // a key record and a referral
		loseRow(t, beta.dir, append(binary.BigEndian.AppendUint64(append([]byte{'r'}, feed[:]...), seq), 0))
	}
	beta = a.again("beta")
	until(t, "both records back", func() bool {
		for _, seq := range []uint64{1, 2} {
			rec, err := beta.store.Record(feed, seq)
			if err != nil || rec.Section(0) == nil {
				return false
			}
		}
		return len(beta.store.Wants(feed)) == 0
	})
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "all shown", func() bool { return beta.sees(t) == 3 })
	a.stop("beta")
	if v, held := verify(t, beta.dir); len(v.Faults) > 0 || len(held) < 4 {
		t.Errorf("after it was fetched again: %d records, %q", len(held), v.Faults)
	}
}
