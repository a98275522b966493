package replica

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/national-alliance/alliance/protocol"
)

// quotas are token buckets by node. A full bucket is as good as none, so those
// are forgotten when there are many.
type quotas struct {
	per   rate.Limit
	burst int

	mu *sync.Mutex
	by map[protocol.NodeID]*rate.Limiter
}

func newQuotas(perSecond, burst int) quotas {
	return quotas{per: rate.Limit(perSecond), burst: burst, mu: new(sync.Mutex), by: map[protocol.NodeID]*rate.Limiter{}}
}

func (q quotas) of(id protocol.NodeID) *rate.Limiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.by[id]
	if l == nil {
		if len(q.by) >= maxQuotas {
			now := time.Now()
			for id, l := range q.by {
				if l.TokensAt(now) >= float64(q.burst) {
					delete(q.by, id)
				}
			}
		}
		l = rate.NewLimiter(q.per, q.burst)
		q.by[id] = l
	}
	return l
}

// allow takes tokens if they are there.
func (q quotas) allow(id protocol.NodeID, n int) bool { return q.of(id).AllowN(time.Now(), n) }

// owe takes tokens that need not be there yet; what comes next waits for them.
func (q quotas) owe(id protocol.NodeID, n int) { q.of(id).ReserveN(time.Now(), n) }

// cost is what a record counts against its author: its core, with what the
// store keeps beside it. It is owed once the record is taken, and its sections
// once they are found to be its own: whoever brings again what is not, or what
// is here already, must not use up what the author may send.
func cost(core []byte) int { return len(core) + 512 }
