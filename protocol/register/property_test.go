package register

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/protocol"
)

// TestAnyHistory lets random people try random operations, right and wrong,
// and looks after each step that the register is sound, that nothing older
// moved, and that everybody who replays it sees the same.
func TestAnyHistory(t *testing.T) {
	start := standingWorld(t)
	rapid.Check(t, func(r *rapid.T) {
		w := *start
		w.leaves = slices.Clone(start.leaves)
		kept := map[*State]crypto.Hash{w.s: w.s.Digest()}
		applied, serial := 0, 0
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			serial++
			about, body := randomOp(r, &w, serial)
			var signers []string
			switch rapid.IntRange(0, 9).Draw(r, "who") {
			case 0:
				signers = []string{"stranger"}
			case 1:
				signers = nil
			case 2:
				signers = []string{"o1"}
			default:
				signers = []string{"n1", "n2", "n3", "o1", "o2", "o3", "o4", "s1", "s2", "x1", "Police a", "Ministry a"}
			}
			w.time += rapid.SampledFrom([]int64{0, 1, 3600, 20 * dayLong, 31 * dayLong, 95 * dayLong}).Draw(r, "wait")
			op := w.op(about, body)
			before := w.s
			leaf, next, err := w.s.Propose(w.time+1, sign(op.Encode(), w.s.Network(), keysOf(signers...)...))
			if err != nil {
				if leaf != nil || next != nil {
					r.Fatal("a refused operation got a leaf")
				}
				continue
			}
			applied++
			if next.Version(about) != before.Version(about)+1 || next.Size() != before.Size()+1 || next.Time() < before.Time() {
				r.Fatalf("version %d to %d, size %d to %d", before.Version(about), next.Version(about), before.Size(), next.Size())
			}
			w.s, w.time, w.leaves = next, next.Time(), append(w.leaves, leaf)
			w.checkInvariants()
			kept[w.s] = w.s.Digest()
			// The newest state can always be signed, by old signers and new.
			var can []string
			for _, n := range []string{"S1", "S2", "S3", "S9"} {
				if _, ok := w.s.Node(w.nodes[n]); ok {
					can = append(can, n)
				}
			}
			twice, err := Accept(before, [][]byte{leaf}, w.note(w.s.Size(), can...))
			if err != nil {
				r.Fatalf("after %s no checkpoint is possible: %v", body.Kind(), err)
			}
			if twice.Digest() != kept[w.s] {
				r.Fatal("Apply differs from itself")
			}
		}
		for s, d := range kept {
			if s.Digest() != d {
				r.Fatal("an old state moved")
			}
		}
		loaded, err := Load(w.leaves, w.s.Root())
		if err != nil || loaded.Digest() != w.s.Digest() {
			r.Fatalf("loaded: %v", err)
		}
		for s := range kept {
			for _, o := range w.s.Orgs() {
				was, ok := s.Org(o.ID)
				is, ok2 := w.s.OrgAt(o.ID, s.Size())
				if was != is || ok != ok2 {
					r.Fatalf("size %d: %+v is remembered as %+v", s.Size(), was, is)
				}
			}
			for _, id := range w.nodes {
				was, ok := s.Node(id)
				is, ok2 := w.s.NodeAt(id, s.Size())
				if was != is || ok != ok2 {
					r.Fatalf("size %d: %+v is remembered as %+v", s.Size(), was, is)
				}
			}
		}
	})
}

func randomOp(r *rapid.T, w *world, serial int) (Subject, Body) {
	orgName := rapid.SampledFrom([]string{"NGO", "Police", "Ministry", "secretariat"}).Draw(r, "org")
	org := w.orgs[orgName]
	nodeName := rapid.SampledFrom([]string{"N2", "NGO n1", "Police n1", "S1", "S2", "S3"}).Draw(r, "node")
	node := w.nodes[nodeName]
	epoch := uint64(len(w.s.KeysAt(org, w.s.Size())))
	recipientOf := func() string {
		return recipient(rapid.SampledFrom([]string{"r1", "r2", "r3", "r4", "r5", "r6"}).Draw(r, "key"))
	}
	n := w.s.Network()
	switch rapid.IntRange(0, 19).Draw(r, "op") {
	case 0:
		return OfOfficers(), OfficersChange{OfficerSet{NewSet(rapid.IntRange(1, 3).Draw(r, "m"), member("o1"), member("o2"), w.proven("o4", ForOfficer, protocol.OrgID{})), 1}}
	case 1:
		name := rapid.SampledFrom([]string{"Fifth", "Sixth", "Seventh"}).Draw(r, "name")
		class := rapid.SampledFrom([]protocol.Class{protocol.ClassNGO, protocol.ClassPolice, protocol.ClassGovernment}).Draw(r, "class")
		req, sr := w.request(name, class, 1, name+" a")
		id := OrgIDOf(n, sr.Request)
		w.nodes = cloneWith(w.nodes, name+" n1", req.Node.ID(n))
		return OfOrg(id), EnrolOrg{sr.Encode()}
	case 2:
		return OfOrg(org), RevokeOrg{}
	case 3:
		return OfNode(node), RevokeNode{node}
	case 4:
		return AdministratorsOf(org), RevokeNode{node}
	case 5:
		return OfPolicy(), Policy{Rules: 1}
	case 6:
		return OfGroup("g"), DefineGroup{"Example", rapid.Bool().Draw(r, "from start"), sortedOrgs(org)}
	case 7:
		return OfOrg(org), SetKind{"hotline"}
	case 8:
		return OfTime(), Time{}
	case 9:
		return OfOrg(org), Suspend{}
	case 10:
		return OfNode(node), Suspend{}
	case 11:
		return OfOrg(org), Reinstate{}
	case 12:
		return OfNode(node), Reinstate{}
	case 13:
		return AdministratorsOf(w.orgs["NGO"]), AdminsChange{NewSet(1, member("n1"), w.proven("x1", ForAdministrator, w.orgs["NGO"]))}
	case 14:
		k := nodeKeys("S9", true)
		w.nodes = cloneWith(w.nodes, "S9", k.ID(n))
		return AdministratorsOf(w.s.Secretariat()), k.Enrol(n, w.s.Secretariat(), key("S9 author"), key("S9 transport"), key("S9 checkpoint"))
	case 15:
		return AdministratorsOf(org), RetireNode{node}
	case 16:
		return AdministratorsOf(org), SetVoters{[]protocol.NodeID{node}}
	case 17:
		return AdministratorsOf(w.s.Secretariat()), rapid.SampledFrom([]SetSigners{
			NewSigners(w.nodes["S1"]), NewSigners(w.nodes["S1"], w.nodes["S2"], w.nodes["S3"]), NewSigners(node),
		}).Draw(r, "signers")
	case 18:
		return AdministratorsOf(org), PublishKey{epoch + 1, recipientOf()}
	}
	return AdministratorsOf(org), TaintKey{max(epoch, 1)}
}

func cloneWith(m map[string]protocol.NodeID, name string, id protocol.NodeID) map[string]protocol.NodeID {
	out := map[string]protocol.NodeID{name: id}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// vec is a list whose branches never see one another.
func TestVecBranches(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type pair struct {
			v    vec[int]
			want []int
		}
		all := []pair{{}}
		for i := range rapid.IntRange(1, 60).Draw(r, "steps") {
			p := all[rapid.IntRange(0, len(all)-1).Draw(r, "from")]
			all = append(all, pair{p.v.with(i), append(slices.Clone(p.want), i)})
			if n := p.v.len(); n > 0 && rapid.Bool().Draw(r, "replace") {
				at := rapid.IntRange(0, n-1).Draw(r, "at")
				want := slices.Clone(p.want)
				want[at] = -i
				all = append(all, pair{p.v.replace(at, -i), want})
			}
		}
		for _, p := range all {
			if !slices.Equal(p.v.all(), p.want) {
				r.Fatalf("%v, want %v", p.v.all(), p.want)
			}
		}
	})
}
