package membership

import (
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// A register comes in pages of any size; what is none ends with its page, and
// what is one with its bytes.
func TestHandout(t *testing.T) {
	inAlliance(t, func(t *testing.T, a *alliance) {
		a.enrol("N1")
		s1 := a.node("S1")
		given, err := s1.handOut(s1.State(), 0)
		if err != nil {
			t.Fatal(err)
		}
		all, size := given.Leaves, 0
		for _, l := range all {
			size += len(l)
		}
		if len(all) < 2 {
			t.Fatalf("%d leaves are no two pages", len(all))
		}
		for first := 1; first < len(all); first++ {
			h := NewHandout(a.network, size)
			if err := h.Add(all[:first], false); err != nil {
				t.Fatal(err)
			}
			if err := h.Add(all[first:], true); err != nil || !slices.EqualFunc(h.Leaves(), all, slices.Equal) {
				t.Fatalf("in pages of %d and %d: %v", first, len(all)-first, err)
			}
			o := a.options("N2", newMemory())
			o.Now = s1.o.Now
			r, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Enter(h.Leaves(), given.Notes); err != nil || r.State().Root() != s1.State().Root() {
				t.Errorf("in pages of %d and %d: %v", first, len(all)-first, err)
			}
		}
		for name, c := range map[string]struct {
			pinned protocol.NetworkID
			most   int
			pages  [][][]byte
			last   bool // of the last page
			says   string
		}{
			"nothing":          {a.network, size, [][][]byte{nil}, false, "neither leaves nor a checkpoint"},
			"nothing more":     {a.network, size, [][][]byte{all[:1], nil}, false, "neither leaves nor a checkpoint"},
			"a byte too many":  {a.network, size - 1, [][][]byte{all[:1], all[1:]}, true, "more than the"},
			"another network":  {protocol.NetworkID{1}, size, [][][]byte{all}, false, "founds network"},
			"no genesis":       {a.network, size, [][][]byte{all[1:]}, false, "is a enrol-org and not a genesis"},
			"one leaf twice":   {a.network, 2 * size, [][][]byte{all[:2], all[1:2]}, false, "version"},
			"no leaf":          {a.network, size, [][][]byte{all[:1], {[]byte("invented")}}, false, "decode leaf"},
			"empty leaves":     {a.network, size, [][][]byte{all[:1], {nil, nil}}, false, "decode leaf"},
			"empty from start": {a.network, size, [][][]byte{{nil}}, false, "decode leaf"},
		} {
			h := NewHandout(c.pinned, c.most)
			var err error
			for i, p := range c.pages {
				if err != nil {
					t.Fatalf("%s: page %d: %v", name, i-1, err)
				}
				err = h.Add(p, c.last && i == len(c.pages)-1)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", name, err, c.says)
			}
		}
	})
}
