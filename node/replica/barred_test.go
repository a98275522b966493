package replica

import (
	"slices"
	"testing"
)

// Whoever was barred from one record is not named for a later one of the same
// feed, of which it would then get the cores from the first; a feed's own
// custodian that is barred now goes.
func TestAttackBarredCustodianStaysOut(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, s, _ := w.run("A1"), w.run("S1"), w.run("C1")
		w.link("A1", "S1", "C1")
		a.ready("B", "C")
		d := draftTo("B", "C")
		d.Barred = orgIDs("S")
		sent := a.sendDraft(d)
		d = draftTo("B", "S")
		d.Keep = true
		if again := a.sendDraft(d); again.Seq != sent.Seq+1 {
			t.Errorf("seq %d after %d: a new key", again.Seq, sent.Seq)
		}
		w.settle()
		if len(s.allFeeds()) != 0 {
			t.Error("the barred one has the feed")
		}
		d.Barred = orgIDs("C")
		a.sendDraft(d)
		if c := a.feed(sent.Feed).chain(); !slices.Equal(c.Key.Custodians, orgIDs("S")) {
			t.Errorf("custodians after barring C: %v", c.Key.Custodians)
		}
	})
}
