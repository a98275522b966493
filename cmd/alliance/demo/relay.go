package demo

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// relay passes a Unix socket's traffic on and notes the requests and answers
// that pass, so that a node can be killed between the two.
type relay struct {
	path, to string
	l        net.Listener
	second   chan time.Duration // once a second request was passed on: how long the first took

	mu       sync.Mutex
	first    time.Time
	took     time.Duration
	requests int
	answered int
	waiting  bool // for an answer
	conns    []net.Conn
	done     sync.WaitGroup
}

func newRelay(path, to string) (*relay, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	r := &relay{path: path, to: to, l: l, second: make(chan time.Duration, 1)}
	r.done.Go(r.run)
	return r, nil
}

func (r *relay) run() {
	for {
		in, err := r.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("unix", r.to)
		if err != nil {
			in.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, in, out)
		r.mu.Unlock()
		r.done.Go(func() { r.pass(out, in, r.request) })
		r.done.Go(func() { r.pass(in, out, r.answer) })
	}
}

// pass copies one way, and tells of each piece after it was passed on.
func (r *relay) pass(to, from net.Conn, tell func([]byte)) {
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
			tell(b[:n])
		}
		if err != nil {
			return
		}
	}
}

func (r *relay) request([]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting {
		return // more of the same
	}
	r.waiting = true
	switch r.requests++; r.requests {
	case 1:
		r.first = time.Now()
	case 2:
		r.second <- r.took
	}
}

func (r *relay) answer(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.waiting {
		return
	}
	r.waiting = false
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 2")) {
		return // an error acknowledges nothing
	}
	if r.answered++; r.answered == 1 {
		r.took = time.Since(r.first)
	}
}

// answers says how many requests were answered well.
func (r *relay) answers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answered
}

func (r *relay) close() {
	r.l.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.done.Wait()
}
