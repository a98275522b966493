package membership

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// A snapshot is: the applied index, the number of leaves, the number of marks
// (8 bytes each, big-endian); then each leaf, and each mark's name and value,
// as a 4-byte length and the bytes.

// Snapshot captures the state machine now; the returned function writes it.
func (r *Register) Snapshot() (func(io.Writer) error, error) {
	r.mu.Lock()
	applied, size := r.applied, r.tip.Size()
	r.mu.Unlock()
	marks, err := r.o.Disk.Marks(markDesk)
	if err != nil {
		return nil, err
	}
	return func(out io.Writer) error {
		w := bufio.NewWriter(out)
		for _, n := range []uint64{applied, size, uint64(len(marks))} {
			binary.Write(w, binary.BigEndian, n)
		}
		put := func(b []byte) {
			binary.Write(w, binary.BigEndian, uint32(len(b)))
			w.Write(b)
		}
		for at := uint64(0); at < size; {
			leaves, err := r.o.Disk.Leaves(at, min(size, at+rangeLeaves))
			if err != nil {
				return err
			}
			for _, l := range leaves {
				put(l)
			}
			at += uint64(len(leaves))
		}
		for name, v := range marks {
			put([]byte(name))
			put(v)
		}
		return w.Flush()
	}, nil
}

// Restore takes a snapshot of another node: leaves beyond ours are applied,
// those that we have must be the same.
func (r *Register) Restore(in io.Reader) error {
	br := bufio.NewReader(in)
	var head [3]uint64
	if err := binary.Read(br, binary.BigEndian, &head); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	get := func(max uint32) ([]byte, error) {
		var n uint32
		if err := binary.Read(br, binary.BigEndian, &n); err != nil {
			return nil, err
		}
		if n > max {
			return nil, errors.New("an item is too long")
		}
		b := make([]byte, n)
		_, err := io.ReadFull(br, b)
		return b, err
	}
	r.mu.Lock()
	tip, damaged := r.tip, r.damaged
	r.mu.Unlock()
	switch {
	case damaged != nil:
		return damaged
	case tip == nil:
		return errors.New("restore snapshot: this node has no register yet")
	}
	var change Change
	change.First = tip.Size()
	next := tip
	var ours [][]byte // a run of our own leaves, to compare
	for i := range head[1] {
		leaf, err := get(protocol.MaxLeaf)
		if err != nil {
			return fmt.Errorf("read snapshot: leaf %d: %w", i, err)
		}
		if i < tip.Size() {
			if len(ours) == 0 {
				if ours, err = r.o.Disk.Leaves(i, min(tip.Size(), i+rangeLeaves)); err != nil {
					return fmt.Errorf("read snapshot: %w", err)
				}
			}
			if len(ours) == 0 || !bytes.Equal(leaf, ours[0]) {
				return fmt.Errorf("read snapshot: leaf %d is not the one of this node's register", i)
			}
			ours = ours[1:]
			continue
		}
		if next, err = register.Apply(next, leaf); err != nil {
			return fmt.Errorf("read snapshot: leaf %d does not follow this node's register: %w", i, err)
		}
		change.Leaves = append(change.Leaves, leaf)
	}
	change.Marks = map[string][]byte{markApplied: protocol.Encode(head[0])}
	for range head[2] {
		name, err := get(1024)
		if err == nil && !strings.HasPrefix(string(name), markDesk) {
			err = errors.New("it has a mark that is none of the desk's")
		}
		if err != nil {
			return fmt.Errorf("read snapshot: %w", err)
		}
		if change.Marks[string(name)], err = get(protocol.MaxFrame); err != nil {
			return fmt.Errorf("read snapshot: %w", err)
		}
	}
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("read snapshot: it does not end where it should")
	}
	if err := <-r.o.Disk.Enqueue(change); err != nil {
		return err
	}
	r.mu.Lock()
	r.applied = max(r.applied, head[0])
	r.advance(next)
	r.mu.Unlock()
	return nil
}
