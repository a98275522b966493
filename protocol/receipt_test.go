package protocol

import (
	"errors"
	"testing"

	"github.com/national-alliance/alliance/crypto"
)

func TestReceipt(t *testing.T) {
	w := newWorld(t, usual+`
		node B2 B
		revoke B2
		retire N1
		suspend C`)
	good := Receipt{Version: Version, Network: w.network, Org: orgID("B"), Node: nodeID("B1"), Feed: FeedID{1}, Seq: 10, Head: RecordID{2},
		Refused: []Refusal{{2, 3, CodeDay}, {4, 4, CodeSet}}, Held: []Range{{7, 8}, {10, 10}}}
	got, err := SignReceipt(w.keys["B1"], good).Verify(w.now())
	if err != nil {
		t.Fatal(err)
	}
	for seq, want := range []bool{false, true, false, false, false, true, true, false, false, true, false, false} {
		if got.Vouches(uint64(seq)) != want {
			t.Errorf("vouches for %d: %v", seq, !want)
		}
	}
	for _, c := range []struct {
		name   string
		signer string
		m      Members
		change func(*Receipt)
		want   error
	}{
		{"its own", "B1", w.now(), func(r *Receipt) {}, nil},
		{"of a retired node", "N1", w.now(), func(r *Receipt) { r.Org, r.Node = orgID("N"), nodeID("N1") }, nil},
		{"of a suspended node", "C1", w.now(), func(r *Receipt) { r.Org, r.Node = orgID("C"), nodeID("C1") }, nil},
		{"of a revoked node", "B2", w.now(), func(r *Receipt) { r.Node = nodeID("B2") }, ErrDrop},
		{"of a node we have not heard of", "B2", w.at(5), func(r *Receipt) { r.Node = nodeID("B2") }, ErrWait},
		{"for another organisation", "B1", w.now(), func(r *Receipt) { r.Org = orgID("P") }, ErrDrop},
		{"for another node", "B1", w.now(), func(r *Receipt) { r.Org, r.Node = orgID("P"), nodeID("P1") }, ErrDrop},
		{"version 0", "B1", w.now(), func(r *Receipt) { r.Version = 0 }, ErrDrop},
		{"version 2", "B1", w.now(), func(r *Receipt) { r.Version = 2 }, ErrDrop},
		{"another network", "B1", w.now(), func(r *Receipt) { r.Network[0]++ }, ErrDrop},
		{"seq 0", "B1", w.now(), func(r *Receipt) { r.Seq, r.Held, r.Refused = 0, nil, nil }, ErrDrop},
		{"held above seq", "B1", w.now(), func(r *Receipt) { r.Seq = 9 }, ErrDrop},
		{"held from 0", "B1", w.now(), func(r *Receipt) { r.Held = []Range{{0, 1}} }, ErrDrop},
		{"held backwards", "B1", w.now(), func(r *Receipt) { r.Held = []Range{{3, 2}} }, ErrDrop},
		{"held unsorted", "B1", w.now(), func(r *Receipt) { r.Held = []Range{{7, 8}, {2, 3}} }, ErrDrop},
		{"held twice", "B1", w.now(), func(r *Receipt) { r.Held = []Range{{7, 8}, {8, 9}} }, ErrDrop},
		{"held without end", "B1", w.now(), func(r *Receipt) { r.Held = []Range{{7, ^uint64(0)}} }, ErrDrop},
		{"refused unsorted", "B1", w.now(), func(r *Receipt) { r.Refused = []Refusal{{7, 8, 1}, {2, 3, 1}} }, ErrDrop},
		{"refused for no reason", "B1", w.now(), func(r *Receipt) { r.Refused = []Refusal{{7, 8, 0}} }, ErrDrop},
		{"refused for a new reason", "B1", w.now(), func(r *Receipt) { r.Refused = []Refusal{{7, 8, 999}} }, nil},
		{"too many ranges", "B1", w.now(), func(r *Receipt) {
			r.Seq, r.Held = 1<<20, nil
			for i := range uint64(MaxRanges + 1) {
				r.Held = append(r.Held, Range{2*i + 1, 2*i + 1})
			}
		}, ErrDrop},
		{"as many ranges as may be", "B1", w.now(), func(r *Receipt) {
			r.Seq, r.Held, r.Refused = ^uint64(0), nil, nil
			for i := range uint64(MaxRanges) {
				n := ^uint64(0) - 4*MaxRanges + 4*i
				r.Held = append(r.Held, Range{n, n})
				r.Refused = append(r.Refused, Refusal{n + 1, n + 1, 65535})
			}
		}, nil},
	} {
		r := good
		c.change(&r)
		s := SignReceipt(w.keys[c.signer], r)
		if got, err := s.Verify(c.m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		} else if err != nil && got.Seq != 0 {
			t.Errorf("%s: a receipt came with the error", c.name)
		}
		if len(s.Body) > MaxReceipt {
			t.Errorf("%s: %d bytes", c.name, len(s.Body))
		}
	}
	large := SignedReceipt{Body: make([]byte, MaxReceipt+1)}
	if _, err := large.Verify(w.now()); !errors.Is(err, ErrDrop) {
		t.Error(err)
	}
}

func TestHead(t *testing.T) {
	w := newWorld(t, usual)
	good := Head{Version: Version, Network: w.network, Org: orgID("A"), Node: nodeID("A1"), Day: usualDay, Feed: FeedID{1}, Seq: 7, Head: RecordID{2}}
	if got, err := SignHead(w.keys["A1"], good).Verify(w.now()); err != nil || got != good {
		t.Error(got, err)
	}
	for name, change := range map[string]func(*Head){
		"version":      func(h *Head) { h.Version = 2 },
		"network":      func(h *Head) { h.Network[0]++ },
		"seq 0":        func(h *Head) { h.Seq = 0 },
		"organisation": func(h *Head) { h.Org = orgID("B") },
		"another node": func(h *Head) { h.Org, h.Node = orgID("B"), nodeID("B1") },
	} {
		h := good
		change(&h)
		if _, err := SignHead(w.keys["A1"], h).Verify(w.now()); !errors.Is(err, ErrDrop) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := SignHead(w.keys["A1"], good)
	s.Signature = crypto.Signature{}
	if _, err := s.Verify(w.now()); !errors.Is(err, ErrDrop) {
		t.Error(err)
	}
	stranger := good
	stranger.Node = NodeID{9}
	if _, err := SignHead(w.keys["A1"], stranger).Verify(w.now()); !errors.Is(err, ErrWait) {
		t.Error(err)
	}
}
