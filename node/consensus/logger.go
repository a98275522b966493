package consensus

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const repeatAfter = time.Minute

// quietSink passes Raft's log lines on: one level lower than Raft thinks them,
// the same line once a minute, and only attributes known to hold no data.
type quietSink struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
}

var passedOn = map[string]bool{"id": true, "peer": true, "leader-id": true, "server-id": true, "index": true, "term": true, "error": true, "err": true,
	"from": true, "to": true, "last-index": true, "next": true, "got": true, "command": true}

func newHclog(log *slog.Logger, now func() time.Time) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: io.Discard})
	l.RegisterSink(&quietSink{log: log, now: now, last: map[string]time.Time{}})
	return l
}

// Accept implements hclog.SinkAdapter.
func (q *quietSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case level >= hclog.Error:
		to = slog.LevelWarn
	case level < hclog.Info:
		return
	}
	if !q.log.Enabled(context.Background(), to) {
		return
	}
	line := msg
	attrs := []any{"module", "raft"}
	for i := 0; i+1 < len(args); i += 2 {
		k, _ := args[i].(string)
		if !passedOn[k] {
			continue
		}
		v := fmt.Sprint(args[i+1])
		if len(v) > 200 {
			v = v[:200]
		}
		if k == "peer" || k == "id" || k == "server-id" {
			line += v
		}
		attrs = append(attrs, k, v)
	}
	q.mu.Lock()
	now := q.now()
	again := now.Sub(q.last[line]) < repeatAfter
	if !again {
		if len(q.last) > 256 {
			clear(q.last)
		}
		q.last[line] = now
	}
	q.mu.Unlock()
	if !again {
		q.log.Log(context.Background(), to, msg, attrs...)
	}
}
