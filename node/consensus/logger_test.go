package consensus

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestQuietLog(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1_800_000_000, 0)
	log := newHclog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), func() time.Time { return now })
	log.Error("failed to heartbeat to", "peer", "abc", "error", errors.New("gone"), "data", "invented body")
	log.Error("failed to heartbeat to", "peer", "abc", "error", errors.New("gone"))
	log.Error("failed to heartbeat to", "peer", "def")
	log.Info("entering follower state", "follower", "x")
	log.Debug("accepted connection")
	now = now.Add(2 * time.Minute)
	log.Error("failed to heartbeat to", "peer", "abc", "error", strings.Repeat("x", 500))
	got := out.String()
	if n := strings.Count(got, "failed to heartbeat to"); n != 3 {
		t.Errorf("logged %d times, want 3:\n%s", n, got)
	}
	for _, bad := range []string{"invented body", "follower=x", "accepted", strings.Repeat("x", 201)} {
		if strings.Contains(got, bad) {
			t.Errorf("the log holds %q:\n%s", bad, got)
		}
	}
	if !strings.Contains(got, "level=DEBUG msg=\"entering follower state\"") || !strings.Contains(got, "level=WARN") {
		t.Errorf("levels:\n%s", got)
	}
}

// What goes through a whole group leaves no word of it in the log.
func TestNothingReadableInTheLog(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		var out syncBuffer
		w.tweak = func(o *Options) {
			o.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		rs := w.three()
		fill(t, rs[1], 5)
		w.stop(rs[0])
		leaderOf(t, rs[1], rs[2])
		fill(t, rs[1], 5)
		if got := out.String(); strings.Contains(got, "canary") || len(got) == 0 {
			t.Errorf("%d bytes of log, or the canary in it", len(got))
		}
	})
}
