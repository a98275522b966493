package store

import (
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// releaseSize is what one released row counts while batches are cut: as much
// as its core may have, which is only known when it is read.
const releaseSize = 256 << 10

// Release makes the held records of a feed from seq from to seq to, both
// included, linked ones, in their rows and in the feed's chain: their author's
// suspension has ended. Records that are not held stay as they are; one that is
// lost is linked when it is put back.
func (b *Batch) Release(feed protocol.FeedID, from, to uint64) {
	for seq := from; seq <= to; seq++ {
		b.add(releaseSize, func(d *draft) error { return d.release(feed, seq) })
	}
}

func (d *draft) release(feed protocol.FeedID, seq uint64) error {
	c, ok := d.chain(feed)
	if !ok || seq > c.Seq {
		return nil
	}
	if r, _, err := d.stored(feed, seq); err == nil && r.state == protocol.Held {
		r.state = protocol.Linked
		d.put(keyRecord(feed, seq), r.bytes())
	}
	i := slices.IndexFunc(c.Held, func(x protocol.Range) bool { return x.From <= seq && seq <= x.To })
	if i < 0 {
		return nil
	}
	x := c.Held[i]
	var parts []protocol.Range
	if x.From < seq {
		parts = append(parts, protocol.Range{From: x.From, To: seq - 1})
	}
	if seq < x.To {
		parts = append(parts, protocol.Range{From: seq + 1, To: x.To})
	}
	c.Held = slices.Replace(slices.Clone(c.Held), i, i+1, parts...)
	if len(c.Held) == 0 {
		c.Held = nil
	}
	d.setChain(feed, c)
	return nil
}
