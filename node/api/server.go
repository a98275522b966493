package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Prefix is where every route begins.
const Prefix = "/api/v1"

// MaxRequest is the most that a request's body may hold, in bytes.
const MaxRequest = 32 << 20

// bodyTime is how long a request's body may take: the socket is local, but the
// machine may be busy.
const bodyTime = time.Minute

// Server serves the API on a Unix socket.
type Server struct {
	path string
	log  *slog.Logger
	mux  *http.ServeMux
	api  huma.API
	ln   net.Listener
}

// NewServer makes a server for a socket's path. version is the program's.
func NewServer(socket, version string, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{path: socket, log: log, mux: http.NewServeMux()}
	c := huma.DefaultConfig("Alliance node", version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = Prefix+"/openapi", "", ""
	c.CreateHooks = nil // no links to schemas in answers
	c.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{ours}
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	s.api = humago.New(s.mux, c)
	s.mux.HandleFunc("GET "+alive, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return s
}

// schemaName is the type's name with its package's, since two packages may
// each have a Status.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if t.Name() == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	name := path.Base(t.PkgPath())
	if name != "" && name != "." {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	return strings.NewReplacer("[", "_", "]", "", "/", "_", ".", "_", "·", "_").Replace(name + t.Name())
}

// Out is what a route answers.
type Out[T any] struct {
	Body T
}

// Route adds a route. In is a struct whose fields carry path and query tags and
// a Body; its zero value where there is nothing to ask. An *[Error] keeps its
// kind; any other error is Internal.
func Route[In, T any](s *Server, method, path, summary string, do func(context.Context, *In) (T, error)) {
	id := strings.ToLower(method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path)
	op := huma.Operation{OperationID: id, Method: method, Path: Prefix + path, Summary: summary, MaxBodyBytes: MaxRequest, BodyReadTimeout: bodyTime,
		Responses: map[string]*huma.Response{"default": {Description: "a problem of RFC 9457", Content: map[string]*huma.MediaType{
			problemType: {Schema: s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")}}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *In) (*Out[T], error) {
		v, err := do(ctx, in)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				e = &Error{Kind: Internal, Text: err.Error()}
			}
			if e.Kind == Internal {
				s.log.Error("request failed", "route", id, "err", e.Text)
			}
			return nil, e
		}
		return &Out[T]{v}, nil
	})
}

// Listen makes the socket. A socket that another process serves is an error; a
// stale one is replaced.
func (s *Server) Listen() error {
	if c, err := net.Dial("unix", s.path); err == nil {
		c.Close()
		return fmt.Errorf("open socket %s: another process serves it: is this node running already?", s.path)
	}
	switch fi, err := os.Lstat(s.path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("open socket: %w", err)
	case fi.Mode().Type() != fs.ModeSocket && runtime.GOOS != "windows":
		return fmt.Errorf("open socket %s: something else bears that name and was left as it is: move it away, or name another socket in the configuration", s.path)
	default:
		if err := os.Remove(s.path); err != nil {
			return fmt.Errorf("open socket: %w", err)
		}
	}
	ln, err := listenPrivate(s.path)
	if err != nil {
		return fmt.Errorf("open socket %s: %w", s.path, err)
	}
	s.ln = ln
	return nil
}

// ServeHTTP answers a request. Where there is no such route, or the program
// fails, the answer is a problem too.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	defer func() {
		switch v := recover(); {
		case v == nil:
		case r.Context().Err() != nil: // nobody waits for the answer any more
			panic(http.ErrAbortHandler)
		default:
			// What it says may hold content: where it happened is enough.
			s.log.Error("the program has a fault", "route", pattern, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			write(w, Errorf(Internal, "the program has a fault: what was acknowledged before is kept; look at the node's log"))
		}
	}()
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	asked := answered{header: http.Header{}}
	h.ServeHTTP(&asked, r)
	e := &Error{Kind: NotFound, Text: "there is no such route: " + Prefix + "/openapi.json lists them", status: asked.status}
	if allow := asked.header.Get("Allow"); asked.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		e.Kind, e.Text = Invalid, "that route takes "+allow
	}
	write(w, e)
}

// answered takes down what a handler would answer.
type answered struct {
	header http.Header
	status int
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) Write(b []byte) (int, error) { return len(b), nil }
func (a *answered) WriteHeader(status int)      { a.status = status }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if s.ln == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if h.Shutdown(end) != nil {
			h.Close()
		}
	})
	defer stop()
	err := h.Serve(s.ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends a server that was not run.
func (s *Server) Close() error {
	if s.ln != nil {
		return s.ln.Close()
	}
	return nil
}

// OpenAPI is the description as JSON.
func (s *Server) OpenAPI() ([]byte, error) { return s.api.OpenAPI().MarshalJSON() }
