package register

import (
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

func TestMainPath(t *testing.T) {
	w := newWorld(t)
	first := w.s
	w.threeSigners()
	ngo := w.enrol("Example NGO", protocol.ClassNGO, "o1", "o2")
	w.enrol("Example Police", protocol.ClassPolice, "o2", "o3")
	w.do(AdministratorsOf(ngo), PublishKey{2, recipient("Example NGO 2")}, "Example NGO a")
	w.do(AdministratorsOf(ngo), OfferCustody{}, "Example NGO a")
	o, ok := w.s.Org(ngo)
	if !ok || o.Epoch != 2 || !o.Custody || !o.Fit() {
		t.Fatalf("organisation is %+v", o)
	}
	s, err := Accept(first, w.leaves[1:], w.note(w.s.Size(), "S1", "S3"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Digest() != w.s.Digest() {
		t.Error("the follower has another state")
	}
}
