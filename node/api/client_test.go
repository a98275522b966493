package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections stay in memory, so that time is
// virtual. While it is stuck it takes connections and answers nothing.
type pipes struct {
	conns chan net.Conn
	stuck atomic.Bool
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) client() *Client {
	return &Client{socket: "pipe.sock", http: &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		if !p.stuck.Load() {
			p.conns <- there
		}
		return here, nil
	}}}}
}

// A node that is stopped is given up soon, one that works is waited for, and
// one that hangs in one route is given up late.
func TestClientWaitsInMeasure(t *testing.T) {
	for name, c := range map[string]struct {
		method   string
		takes    time.Duration // of the route; 0: it never ends
		stuck    bool          // from the start
		deadline time.Duration // the caller's own
		says     string
		within   time.Duration
	}{
		"quick":                 {"GET", time.Millisecond, false, 0, "", time.Second},
		"slow and alive":        {"POST", time.Minute, false, 0, "", time.Minute + time.Second},
		"stopped":               {"GET", time.Second, true, 0, "its process is stopped or hangs; nothing was asked of it but to tell", 2*silence + time.Second},
		"stopped, and a change": {"POST", time.Second, true, 0, "whether it did what was asked is not known", 2*silence + time.Second},
		"hangs in the route":    {"GET", 0, false, 0, "is alive and did not come to an end in time", readLimit + time.Second},
		"hangs in a change":     {"POST", 0, false, 0, "is alive and did not come to an end in time", doLimit + time.Second},
		"as long as is asked":   {"POST", time.Hour, false, 2 * time.Hour, "", time.Hour + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pipes{conns: make(chan net.Conn)}
				p.stuck.Store(c.stuck)
				s := NewServer("pipe.sock", "test", nil)
				s.mux.HandleFunc(Prefix+"/slow", func(w http.ResponseWriter, r *http.Request) {
					var end <-chan time.Time
					if c.takes > 0 {
						end = time.After(c.takes)
					}
					select {
					case <-end:
						w.Write([]byte(`"done"`))
					case <-r.Context().Done():
					}
				})
				h := &http.Server{Handler: s}
				go h.Serve(p)
				defer close(p.conns)
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				began, cl := time.Now(), p.client()
				defer cl.http.CloseIdleConnections()
				got, err := Ask[string](ctx, cl, c.method, "/slow", nil)
				if c.says == "" && (err != nil || got != "done") {
					t.Errorf("%q, %v", got, err)
				}
				if c.says != "" && (KindOf(err) != Unavailable || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "pipe.sock")) {
					t.Errorf("it says %v, want %s", err, c.says)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("after %s, want %s", took, c.within)
				}
			})
		})
	}
}

// A node that is killed in the middle is not one that was never started.
func TestClientOfANodeThatEnds(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/a.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			c.Close()
		}
	}()
	err = NewClient(ln.Addr().String()).Do(t.Context(), "POST", "/x", nil, nil)
	if KindOf(err) != Unavailable || !strings.Contains(err.Error(), "ended before it had answered; whether it did what was asked is not known") {
		t.Errorf("it says %v", err)
	}
}
