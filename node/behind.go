package node

import (
	"context"
	"time"
)

// verifyBehind reads the whole store once after a start, which looked at the
// heads alone, and verifies every hash; what is lost is asked of peers again.
// It takes no more than about half of one processor: the node serves meanwhile.
func (n *Node) verifyBehind(ctx context.Context) error {
	pace, last := time.NewTimer(0), time.Now()
	defer pace.Stop()
	<-pace.C
	tell := func(done, total uint64) {
		n.mu.Lock()
		n.verified, n.toVerify = done, total
		n.mu.Unlock()
	}
	all := uint64(0)
	report, err := n.store.VerifyAll(ctx, func(done, total uint64) {
		if all = total; done == total {
			return // once what was found is passed on
		}
		tell(done, total)
		pace.Reset(time.Since(last))
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
		last = time.Now()
	}, nil)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		n.log.Error("the store cannot be read to its end", "err", err)
		return nil // what can be read is served
	}
	if lost := report.LostRecords + report.LostSections; lost > 0 || len(report.LostLeaves) > 0 {
		n.log.Error("damage in the store; peers are asked for what is lost", "records", report.LostRecords, "sections", report.LostSections, "leaves", len(report.LostLeaves))
	}
	// Also where nothing was lost: what was found by other readers counts too.
	n.rep.Refresh()
	tell(all, all)
	return nil
}
