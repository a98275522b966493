package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Client asks one node.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client of a node's socket.
func NewClient(socket string) *Client {
	d := net.Dialer{Timeout: 5 * time.Second}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}}}
}

// Do asks a route: body is sent as JSON unless nil, and the answer decoded into
// out unless nil. An error of the node is an *[Error]; where no node answers,
// it is Unavailable and says so.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("ask node: %w", err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+Prefix+path, in)
	if err != nil {
		return fmt.Errorf("ask node: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return Errorf(Unavailable, "no node answers at %s: start it with 'alliance daemon --dir …'", c.socket)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<30))
	if err != nil {
		return fmt.Errorf("ask node: %w", err)
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

// Ask is [Client.Do] with the answer as a value.
func Ask[T any](ctx context.Context, c *Client, method, path string, body any) (v T, err error) {
	err = c.Do(ctx, method, path, body, &v)
	return v, err
}
