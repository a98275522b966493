package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// counter is the small file beside the database with the number of the newest
// synced commit. It has two slots of 32 bytes, in a sector of the disk each and
// written in turn, so that a torn write leaves the other one:
//
//	"alliance" ‖ u64 number ‖ zeros ‖ CRC-32C of the 28 bytes before
//
// It is not synced: it may be behind the journal, never ahead of it. The journal
// keeps its base in the same form.
type counter struct{ f *os.File }

const (
	counterMagic = "alliance"
	counterSlot  = 32
	counterApart = 512
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func openCounter(path string) (*counter, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open commit counter: %w", err)
	}
	return &counter{f}, nil
}

// read returns the newest number, how many slots hold one, and whether a slot
// is neither empty nor whole.
func (c *counter) read() (n uint64, whole int, torn bool) {
	var b [counterApart + counterSlot]byte
	if _, err := c.f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, true
	}
	for _, s := range [][]byte{b[:counterSlot], b[counterApart:]} {
		switch {
		case string(s[:8]) == counterMagic && binary.BigEndian.Uint32(s[28:]) == crc32.Checksum(s[:28], castagnoli):
			whole++
			n = max(n, binary.BigEndian.Uint64(s[8:]))
		case [counterSlot]byte(s) != [counterSlot]byte{}:
			torn = true
		}
	}
	return n, whole, torn
}

// rewrite fills both slots, and syncs.
func (c *counter) rewrite(n uint64) error {
	return errors.Join(c.writeSlot(0, n), c.writeSlot(1, n), c.f.Sync())
}

func (c *counter) write(n uint64) error { return c.writeSlot(int64(n&1), n) }

func (c *counter) writeSlot(slot int64, n uint64) error {
	var s [counterSlot]byte
	copy(s[:], counterMagic)
	binary.BigEndian.PutUint64(s[8:], n)
	binary.BigEndian.PutUint32(s[28:], crc32.Checksum(s[:28], castagnoli))
	_, err := c.f.WriteAt(s[:], slot*counterApart)
	return err
}

func (c *counter) close() error { return errors.Join(c.f.Sync(), c.f.Close()) }
