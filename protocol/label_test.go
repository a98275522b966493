package protocol

import (
	"errors"
	"testing"

	"github.com/national-alliance/alliance/crypto"
)

// Every label that anything in the alliance hashes or signs under, and one
// that nobody uses. A label added to the program belongs here too.
var allLabels = []crypto.Label{labelFeed, labelRecord, labelReceipt, labelHead, labelBody, "feed-key-commitment", "key-id", "key-file",
	"network", "organisation", "node", "operation", "approve", "join", "possession", "endorse", "fingerprint", "register-state",
	"ticket-token", "ticket-check", "enrol-request", "frontier", "frontier-bucket", "", "unused"}

// Under no label but its own does a signature stand, nor two hashes agree, for
// every pair of labels; nor for another network, or another node.
func TestAttackLabelSwaps(t *testing.T) {
	w := newWorld(t, usual)
	p := w.pen("A1", "B")
	key := p.key("S")
	receipt := Receipt{Version: 1, Network: w.network, Org: orgID("A"), Node: nodeID("A1"), Feed: key.Feed(), Seq: 1, Head: key.ID()}
	statement := Head{Version: 1, Network: w.network, Org: orgID("A"), Node: nodeID("A1"), Day: usualDay, Feed: key.Feed(), Seq: 1, Head: key.ID()}
	other := w.network
	other[31]++
	bodies := []struct {
		label crypto.Label
		body  []byte
		check func([]byte, crypto.Signature) error
	}{
		{labelRecord, key.CoreBytes(), func(b []byte, s crypto.Signature) error {
			_, err := Open(w.now(), Envelope{Core: b, Signature: s})
			return err
		}},
		{labelReceipt, Encode(receipt), func(b []byte, s crypto.Signature) error {
			_, err := SignedReceipt{Body: b, Signature: s}.Verify(w.now())
			return err
		}},
		{labelHead, Encode(statement), func(b []byte, s crypto.Signature) error {
			_, err := SignedHead{Body: b, Signature: s}.Verify(w.now())
			return err
		}},
	}
	signer := w.keys["A1"]
	for i, c := range bodies {
		for _, label := range allLabels {
			err := c.check(c.body, signer.Sign(label, crypto.Hash(w.network), c.body))
			if label == c.label && err != nil || label != c.label && !errors.Is(err, ErrDrop) {
				t.Errorf("body of %s, signed as %q: %v", c.label, label, err)
			}
		}
		if err := c.check(c.body, signer.Sign(c.label, crypto.Hash(other), c.body)); !errors.Is(err, ErrDrop) {
			t.Errorf("%s signed for another network: %v", c.label, err)
		}
		if err := c.check(c.body, w.keys["B1"].Sign(c.label, crypto.Hash(w.network), c.body)); !errors.Is(err, ErrDrop) {
			t.Errorf("%s signed by another node: %v", c.label, err)
		}
		if err := c.check(c.body, crypto.Signature{}); !errors.Is(err, ErrDrop) {
			t.Errorf("%s with no signature: %v", c.label, err)
		}
		for j, d := range bodies { // one thing offered as another, honestly signed as the other
			if i == j {
				continue
			}
			if err := d.check(c.body, signer.Sign(d.label, crypto.Hash(w.network), c.body)); !errors.Is(err, ErrDrop) {
				t.Errorf("a body of %s taken for %s: %v", c.label, d.label, err)
			}
			if err := d.check(c.body, signer.Sign(c.label, crypto.Hash(w.network), c.body)); !errors.Is(err, ErrDrop) {
				t.Errorf("a signed %s taken for %s: %v", c.label, d.label, err)
			}
		}
	}
	for i, a := range allLabels {
		for _, b := range allLabels[i+1:] {
			for _, parts := range [][][]byte{nil, {nil}, {{}, {1}}, {key.CoreBytes()}} {
				if crypto.Sum(a, crypto.Hash(w.network), parts...) == crypto.Sum(b, crypto.Hash(w.network), parts...) {
					t.Errorf("%q and %q make one hash", a, b)
				}
			}
		}
		if crypto.Sum(a, crypto.Hash(w.network)) == crypto.Sum(a, crypto.Hash(other)) {
			t.Errorf("%q makes one hash for two networks", a)
		}
	}
	if crypto.Sum(labelFeed, crypto.Hash(w.network), []byte("ab"), []byte("c")) == crypto.Sum(labelFeed, crypto.Hash(w.network), []byte("a"), []byte("bc")) {
		t.Error("parts run into each other")
	}
	// IDs are of one network, one node and one audience.
	ids := map[FeedID]string{}
	for name, id := range map[string]FeedID{
		"feed":           FeedIDOf(w.network, nodeID("A1"), ListAudience(orgIDs("B")...)),
		"of another net": FeedIDOf(other, nodeID("A1"), ListAudience(orgIDs("B")...)),
		"of another":     FeedIDOf(w.network, nodeID("B1"), ListAudience(orgIDs("B")...)),
		"to another":     FeedIDOf(w.network, nodeID("A1"), ListAudience(orgIDs("P")...)),
		"to both":        FeedIDOf(w.network, nodeID("A1"), ListAudience(orgIDs("P B")...)),
		"to a group":     FeedIDOf(w.network, nodeID("A1"), Audience{Group: "members"}),
		"to less of it":  FeedIDOf(w.network, nodeID("A1"), Audience{Group: "members", Except: orgIDs("B")}),
	} {
		if ids[id] != "" {
			t.Errorf("%s has the ID of %s", name, ids[id])
		}
		ids[id] = name
	}
	if FeedIDOf(w.network, nodeID("A1"), ListAudience(orgIDs("P B P")...)) != FeedIDOf(w.network, nodeID("A1"), ListAudience(orgIDs("B P")...)) {
		t.Error("the order of an audience's making changes its feed")
	}
}
