package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"time"
)

// Client asks one node. It waits as long as the node is alive, in measure: a
// node that is silent is asked now and then whether it still answers anything.
type Client struct {
	socket string
	http   *http.Client
}

// How long a node is waited for. A route of the node ends by itself within a
// minute, and one that changes something soon after.
const (
	silence   = 10 * time.Second // before it is asked whether it is alive, and then for the answer to that
	readLimit = 90 * time.Second // for the whole of a GET, where the caller sets no deadline
	doLimit   = 3 * time.Minute  // and of anything else
)

// alive is the path of a route that answers as long as the process runs.
const alive = Prefix + "/alive"

var (
	errSilent = errors.New("the node is silent")
	errLimit  = errors.New("the node took too long")
)

// NewClient makes a client of a node's socket.
func NewClient(socket string) *Client {
	d := net.Dialer{Timeout: 5 * time.Second}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}}}
}

// Do asks a route: body is sent as JSON unless nil, and the answer decoded into
// out unless nil. An error of the node is an *[Error]; where no node answers,
// or it stops answering, it is Unavailable and says so. Without a deadline in
// ctx a node that lives and does not come to an end is given up in minutes.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("ask node: %w", err)
		}
		in = bytes.NewReader(b)
	}
	if _, set := ctx.Deadline(); !set {
		limit := doLimit
		if method == http.MethodGet {
			limit = readLimit
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errLimit)
		defer cancel()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go c.watch(ctx, cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+Prefix+path, in)
	if err != nil {
		return fmt.Errorf("ask node: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.failed(ctx, method, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<30))
	if err != nil {
		return c.failed(ctx, method, err)
	}
	if res.StatusCode >= 400 {
		var e Error
		if json.Unmarshal(b, &e) != nil || e.Text == "" {
			e = Error{Kind: statusKind(res.StatusCode), Text: fmt.Sprintf("the node answered %s", res.Status)}
		}
		return &e
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("ask node: read its answer: %w", err)
	}
	return nil
}

// watch ends a request to a node that answers nothing any more.
func (c *Client) watch(ctx context.Context, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(silence):
		}
		ask, cancel := context.WithTimeout(ctx, silence)
		req, err := http.NewRequestWithContext(ask, http.MethodGet, "http://node"+alive, nil)
		if err == nil {
			var res *http.Response
			if res, err = c.http.Do(req); err == nil {
				res.Body.Close()
			}
		}
		cancel()
		if err != nil {
			end(errSilent)
			return
		}
	}
}

// failed says what it means that there is no answer.
func (c *Client) failed(ctx context.Context, method string, err error) error {
	done := "nothing was asked of it but to tell"
	if method != http.MethodGet {
		done = "whether it did what was asked is not known: look, before it is asked again"
	}
	var dial *net.OpError
	switch cause := context.Cause(ctx); {
	case cause == errSilent:
		return Errorf(Unavailable, "the node at %s does not answer: its process is stopped or hangs; %s; look at its log, and start it again", c.socket, done)
	case cause == errLimit:
		return Errorf(Unavailable, "the node at %s is alive and did not come to an end in time; %s; look at its log", c.socket, done)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &dial) && dial.Op == "dial":
		if errors.Is(err, fs.ErrPermission) {
			return Errorf(Refused, "this user may not open %s: act as the user whose node it is", c.socket)
		}
		return Errorf(Unavailable, "no node answers at %s: start it with 'alliance daemon --dir …'", c.socket)
	}
	return Errorf(Unavailable, "the node at %s ended before it had answered; %s; look at its log, and start it again", c.socket, done)
}

// Ask is [Client.Do] with the answer as a value.
func Ask[T any](ctx context.Context, c *Client, method, path string, body any) (v T, err error) {
	err = c.Do(ctx, method, path, body, &v)
	return v, err
}
