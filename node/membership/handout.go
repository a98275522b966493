package membership

import (
	"errors"
	"fmt"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// Handout is a register on its way to a newcomer, as one door hands it out,
// page by page until notes come. Nobody vouches for a leaf before the notes do:
// so all of them are bounded, and a page is tried before the next is asked for,
// lest a door fill this node's memory with leaves that are none, or go on for
// ever with leaves that are.
type Handout struct {
	pinned protocol.NetworkID
	most   int
	bytes  int
	leaves [][]byte
	tried  *register.State
}

// NewHandout takes at most so many bytes of leaves: see [MaxCatch].
func NewHandout(pinned protocol.NetworkID, most int) *Handout {
	return &Handout{pinned: pinned, most: most}
}

// Add takes a page. The last one, with which notes came, is tried by
// [Register.Enter].
func (h *Handout) Add(page [][]byte, last bool) error {
	if len(page) == 0 && !last {
		return errors.New("it sent neither leaves nor a checkpoint")
	}
	for _, l := range page {
		h.bytes += len(l)
	}
	if h.bytes > h.most {
		return fmt.Errorf("it sent more than the %d bytes of leaves that are taken from one node", h.most)
	}
	h.leaves = append(h.leaves, page...)
	if last {
		return nil
	}
	var err error
	if h.tried == nil {
		if h.tried, err = register.Begin(h.pinned, page[0]); err != nil {
			return err
		}
		page = page[1:]
	}
	h.tried, err = register.Replay(h.tried, page)
	return err
}

// Leaves are those that were taken, the genesis first.
func (h *Handout) Leaves() [][]byte { return h.leaves }
