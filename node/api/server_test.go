package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// secret stands for what an error must never repeat.
const secret = "invented-words-of-a-person"

type askEcho struct {
	Name  string `path:"name"`
	Count int    `query:"count" minimum:"0"`
	Body  struct {
		Say   string          `json:"say"`
		Times int             `json:"times,omitempty" maximum:"3"`
		Kind  string          `json:"kind,omitempty" enum:"one,two"`
		More  json.RawMessage `json:"more,omitempty"`
	}
}

// serve runs a server with two routes and returns its socket and its log.
func serve(t *testing.T) (path string, log *lines) {
	t.Helper()
	path, log = filepath.Join(t.TempDir(), "a.sock"), &lines{}
	s := NewServer(path, "test", slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	Route(s, "POST", "/echo/{name}", "Say it again", func(_ context.Context, in *askEcho) (string, error) {
		switch in.Name {
		case "locked":
			return "", Errorf(Locked, "closed")
		case "plain":
			return "", errors.New("a plain error")
		case "panic":
			panic("it says " + in.Body.Say)
		}
		return in.Body.Say, nil
	})
	Route(s, "GET", "/nothing", "Nothing", func(context.Context, *struct{}) ([]string, error) { return []string{}, nil })
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is left behind")
		}
	})
	return path, log
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ask sends a raw request.
func ask(t *testing.T, socket, method, path, kind string, body io.Reader) (*http.Response, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequest(method, "http://node"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// Every wrong request is answered with a problem that names its kind, and none
// with what was sent.
func TestWrongRequests(t *testing.T) {
	socket, log := serve(t)
	const js = "application/json"
	say := func(s string) io.Reader { return strings.NewReader(s) }
	for _, c := range []struct {
		name, method, path, kind string
		body                     io.Reader
		status                   int
		want                     Kind
		fault                    string
	}{
		{"malformed JSON", "POST", Prefix + "/echo/x", js, say(`{"say": "` + secret + `"`), 400, Invalid, "body: this is not JSON"},
		{"two values", "POST", Prefix + "/echo/x", js, say(`{"say": "a"} {"say": "` + secret + `"}`), 400, Invalid, "body"},
		{"another type", "POST", Prefix + "/echo/x", js, say(`"` + secret + `"`), 422, Invalid, "body"},
		{"unknown field", "POST", Prefix + "/echo/x", js, say(`{"say": "` + secret + `", "sya": "` + secret + `"}`), 422, Invalid, "body.sya"},
		{"missing field", "POST", Prefix + "/echo/x", js, say(`{"kind": "one"}`), 422, Invalid, "body: expected required property say"},
		{"no body", "POST", Prefix + "/echo/x", "", nil, 400, Invalid, ""},
		{"value of another type", "POST", Prefix + "/echo/x", js, say(`{"say": ["` + secret + `"]}`), 422, Invalid, "body.say"},
		{"value out of bounds", "POST", Prefix + "/echo/x", js, say(`{"say": "", "times": 770077}`), 422, Invalid, "body.times"},
		{"value not in the list", "POST", Prefix + "/echo/x", js, say(`{"say": "", "kind": "` + secret + `"}`), 422, Invalid, "body.kind"},
		{"query of another type", "POST", Prefix + "/echo/x?count=" + secret, js, say(`{"say": ""}`), 422, Invalid, "query.count"},
		{"unknown query", "POST", Prefix + "/echo/x?cuont=" + secret, js, say(`{"say": ""}`), 422, Invalid, "query.cuont"},
		{"not JSON by its type", "POST", Prefix + "/echo/x", "text/xml", say("<a>" + secret + "</a>"), 415, Invalid, ""},
		{"oversized", "POST", Prefix + "/echo/x", js, io.MultiReader(say(`{"say": "`), io.LimitReader(spaces{}, MaxRequest), say(`"}`)), 413, Invalid, ""},
		{"unknown route", "GET", Prefix + "/" + secret, "", nil, 404, NotFound, ""},
		{"outside the prefix", "GET", "/", "", nil, 404, NotFound, ""},
		{"wrong method", "DELETE", Prefix + "/nothing", "", nil, 405, Invalid, ""},
		{"a kind of ours", "POST", Prefix + "/echo/locked", js, say(`{"say": "` + secret + `"}`), 423, Locked, ""},
		{"an error without a kind", "POST", Prefix + "/echo/plain", js, say(`{"say": "` + secret + `"}`), 500, Internal, ""},
		{"a fault of the program", "POST", Prefix + "/echo/panic", js, say(`{"say": "` + secret + `"}`), 500, Internal, ""},
	} {
		res, body := ask(t, socket, c.method, c.path, c.kind, c.body)
		if strings.Contains(body, secret) || strings.Contains(body, "770077") {
			t.Errorf("%s: the answer repeats the request: %s", c.name, body)
		}
		var p problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Errorf("%s: %v: %s", c.name, err, body)
			continue
		}
		if res.StatusCode != c.status || p.Status != c.status || p.Title != string(c.want) || p.Type != problemPrefix+string(c.want) ||
			res.Header.Get("Content-Type") != "application/problem+json" || p.Detail == "" {
			t.Errorf("%s: got %s %s %s", c.name, res.Status, res.Header.Get("Content-Type"), body)
		}
		if c.fault != "" && (len(p.Faults) == 0 || !strings.Contains(strings.Join(p.Faults, "\n"), c.fault)) {
			t.Errorf("%s: faults %q, want %q among them", c.name, p.Faults, c.fault)
		}
		if c.status == 405 && res.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", c.name)
		}
	}
	if l := log.String(); strings.Contains(l, secret) {
		t.Errorf("the log repeats a request:\n%s", l)
	} else if !strings.Contains(l, "the program has a fault") {
		t.Error("a fault of the program is not in the log")
	}
	if res, body := ask(t, socket, "POST", Prefix+"/echo/x?count=1", js, say(`{"say": "again", "more": {"any": [1]}}`)); res.StatusCode != 200 || strings.TrimSpace(body) != `"again"` {
		t.Errorf("a right request: %s %s", res.Status, body)
	}
}

// spaces never ends.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// What the server writes as a problem, the client reads as the same error.
func TestClientReadsProblems(t *testing.T) {
	socket, _ := serve(t)
	c := NewClient(socket)
	ctx := context.Background()
	for path, want := range map[string]Kind{"/echo/locked": Locked, "/echo/plain": Internal, "/none": NotFound} {
		_, err := Ask[string](ctx, c, "POST", path, map[string]string{"say": ""})
		if KindOf(err) != want || err == nil || err.Error() == "" {
			t.Errorf("%s: %v, kind %s", path, err, KindOf(err))
		}
	}
	_, err := Ask[string](ctx, c, "POST", "/echo/x", map[string]string{"sya": ""})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Invalid || len(e.Faults) == 0 {
		t.Errorf("unknown field: %v", err)
	}
	if _, err := Ask[string](ctx, NewClient(socket+"x"), "GET", "/nothing", nil); KindOf(err) != Unavailable || !strings.Contains(err.Error(), socket+"x") {
		t.Errorf("where no node is: %v", err)
	}
	for kind := range kinds {
		b, err := json.Marshal(&Error{Kind: kind, Text: "text", Faults: []string{"a", "b"}})
		if err != nil {
			t.Fatal(err)
		}
		var got Error
		if err := json.Unmarshal(b, &got); err != nil || got.Kind != kind || got.Text != "text" || len(got.Faults) != 2 {
			t.Errorf("%s came back as %+v, %v", kind, got, err)
		}
	}
}

// Only the node's own user may open the socket, and what bears its name is not
// taken away lightly.
func TestSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("NOT TESTED: Windows has no file modes")
		return
	}
	socket, _ := serve(t)
	fi, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 || fi.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket has mode %v", fi.Mode())
	}
	if list, _ := os.ReadDir(filepath.Dir(socket)); len(list) != 1 {
		t.Errorf("beside the socket there is more: %v", list)
	}
	listen := func(path string) error {
		s := NewServer(path, "test", nil)
		err := s.Listen()
		s.Close()
		return err
	}
	if err := listen(socket); err == nil || !strings.Contains(err.Error(), "another process serves it") || !strings.Contains(err.Error(), socket) {
		t.Errorf("a socket in use: %v", err)
	}
	if _, err := os.Stat(socket); err != nil {
		t.Error("the socket in use was removed")
	}

	dir := t.TempDir()
	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := listen(file); err == nil || !strings.Contains(err.Error(), "left as it is") {
		t.Errorf("a file instead of a socket: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "keep me" {
		t.Error("the file was replaced")
	}
	if err := listen(filepath.Join(dir, "none", "a.sock")); err == nil {
		t.Error("listened in a folder that does not exist")
	}
	if err := listen(filepath.Join(dir, strings.Repeat("x", 100))); err == nil || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("a path too long: %v", err)
	}

	stale := filepath.Join(dir, "stale.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if err := listen(stale); err != nil {
		t.Errorf("a stale socket is in the way: %v", err)
	}

	// A server that is closed a second time leaves its successor's socket.
	path := filepath.Join(dir, "next.sock")
	old, next := NewServer(path, "test", nil), NewServer(path, "test", nil)
	if err := old.Listen(); err != nil {
		t.Fatal(err)
	}
	old.Close()
	if err := next.Listen(); err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	old.Close()
	if _, err := os.Stat(path); err != nil {
		t.Error("a closed server removed another's socket")
	}
}
