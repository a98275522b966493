package referral

import "testing"

func TestSmoke(t *testing.T) {
	var a, b [32]byte
	a[0], b[0] = 1, 2
	p := Parts{Summary: Summary{Services: []string{"safety-shelter"}, Recipients: []To{{Organisation: b}}}, Case: &Case{}}
	p.Summary.Urgency.Priority = "emergency"
	p.Summary.Urgency.DangerNow = "yes"
	p.Summary.Child.AgeBand = "11-13"
	p.Summary.Child.District = District{"572", "2022-12"}
	p.Case.Request = "Please meet the child today (invented)."
	p.Case.Safety.DoNot = []string{"call-home"}
	p.Case.Legal.Basis = []string{"vital-interest"}
	p.Identity = &Identity{SafeContact: SafeContact{Who: "A teacher (invented)"}}
	p = p.Complete(Given{Sender: Sender{Organisation: a, Unit: "Desk", Role: "case worker", Phone: "+91 98765 43210"}, Now: 1795000000, Random: [32]byte{9, 8, 7}})
	if err := Validate(p); err != nil {
		t.Fatal(err)
	}
	q, err := DecodeParts(p.Sections())
	if err != nil || len(Diff(p, q)) > 0 {
		t.Fatal(err, Diff(p, q))
	}
	t.Logf("%x", p.Sections())
	for _, b := range []Body{&Accept{About: About{Leg: b}, Unit: "x", Desk: "y", FirstContactBy: 3}} {
		s := EncodeBody(b)
		t.Logf("%x", s)
	}
}
