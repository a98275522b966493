package replica

import (
	"bytes"
	"sync/atomic"

	"github.com/national-alliance/alliance/protocol"
)

// settler waits for the records taken on one push stream, in order, and
// answers them. A commit makes a run of them durable at once, and each run is
// answered with one receipt a feed.
type settler struct {
	r    *Replica
	from protocol.NodeID
	s    Stream

	under   atomic.Int32 // taken and not settled; who raises it from 0 has what is below until it is 0 again
	pending chan taken
	done    chan struct{}

	due   map[*feed]bool // feeds that a receipt is due for
	run   int            // records since the last receipts
	alone bool           // those were for one record
	early <-chan protocol.SignedReceipt
}

func (r *Replica) settler(from protocol.NodeID, s Stream) *settler {
	st := &settler{r: r, from: from, s: s, pending: make(chan taken, maxInFlight), done: make(chan struct{}),
		due: map[*feed]bool{}, alone: true}
	go func() {
		defer close(st.done)
		for t := range st.pending {
			st.settle(t)
		}
	}()
	return st
}

// end returns when everything is settled.
func (st *settler) end() {
	close(st.pending)
	<-st.done
}

// add takes the next record. Where they come one by one it settles it at once,
// since handing it to another goroutine takes as long as signing; else the
// stream is read on meanwhile.
func (st *settler) add(t taken) {
	if st.under.Add(1) == 1 && st.alone && !st.s.More() {
		st.settle(t)
		return
	}
	st.pending <- t
}

func (st *settler) settle(t taken) {
	var err error
	if t.wait != nil {
		// A commit makes many durable before it tells of the first.
		if c, _, e := st.r.o.Disk.Chain(t.feed.id); e != nil || c.Seq < t.seq || t.chain.Seq == 0 {
			st.answer()
		}
		if st.run++; st.alone && st.last() { // where many come it would be in vain
			st.signEarly(t)
		}
		err = t.wait()
	}
	if st.r.settle(t, err) {
		st.due[t.feed] = true
	}
	if err == nil && t.verdict == Want { // its record is durable, so the answer finds it
		st.write(t.answer(t.feed.id, t.seq))
	}
	if st.last() {
		st.answer()
	}
	st.under.Add(-1)
}

// last reports whether nothing else was taken meanwhile.
func (st *settler) last() bool { return st.under.Load() == 1 }

// answer sends the receipts that are due.
func (st *settler) answer() {
	if st.run > 0 {
		st.alone, st.run = st.run == 1, 0
	}
	for f := range st.due {
		delete(st.due, f)
		if body, ok := st.r.vouch(f); ok {
			rc := st.sign(body)
			st.write(PushAnswer{Receipts: []protocol.SignedReceipt{rc}})
			st.r.passOn(f, rc, st.from)
		}
	}
}

func (st *settler) write(a PushAnswer) {
	if st.s.Write(protocol.Encode(a)) != nil {
		st.s.Close() // ends the reader too
	}
}

// signEarly signs, while the disk works, what will be said once a record is
// durable, if nothing else comes. It is given away only when that is true.
func (st *settler) signEarly(t taken) {
	if t.chain.Seq == 0 || t.verdict != Have {
		return
	}
	done := make(chan protocol.SignedReceipt, 1)
	go func() {
		done <- protocol.SignReceipt(st.r.o.Key, st.r.vouchTo(t.feed.id, &t.chain, t.chain.Seq, t.chain.Head))
	}()
	st.early = done
}

// sign returns the signed receipt, the one signed early where it says the same.
func (st *settler) sign(body protocol.Receipt) protocol.SignedReceipt {
	if st.early != nil {
		rc := <-st.early
		if st.early = nil; bytes.Equal(rc.Body, protocol.Encode(body)) {
			return rc
		}
	}
	return protocol.SignReceipt(st.r.o.Key, body)
}
