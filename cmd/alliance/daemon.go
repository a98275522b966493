package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/config"
)

func (p *program) daemon() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "daemon --dir DIR",
		Short: "run the node of a folder until it is told to end",
		Long: `Runs the node of a folder until it gets SIGTERM or SIGINT, and logs to stderr.
A folder that is waiting to be admitted asks the secretariat until it is. A node
whose reading identity is closed keeps and passes on records and opens none:
see 'alliance unlock'.`,
		Example: "  alliance daemon --dir /var/lib/alliance",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := p.folder()
			if err != nil {
				return err
			}
			if _, err := node.Identify(dir); err != nil {
				return err
			}
			cfg, err := loadConfig(dir)
			if err != nil {
				return err
			}
			if format != "text" && format != "json" {
				return usage("--log is text or json, not %q", format)
			}
			p.notice()
			return serve(c.Context(), dir, cfg, p.logger(cfg, format))
		},
	}
	c.Flags().StringVar(&format, "log", "text", "form of the log: text or json")
	return c
}

func (p *program) logger(cfg config.Config, format string) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.LogLevel)) != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(p.err, o))
	}
	return slog.New(slog.NewTextHandler(p.err, o))
}

func serve(ctx context.Context, dir string, cfg config.Config, log *slog.Logger) error {
	tune()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	n, err := node.New(dir, node.Options{Config: &cfg, Log: log})
	if err != nil {
		return err
	}
	err = n.Run(ctx)
	if cerr := closeWithin(closeTime, n.Close); err == nil {
		err = cerr
	}
	if err == nil {
		log.Info("ended")
	}
	return err
}

// closeTime is how long a node may take to put its files in order. Whatever it
// acknowledged is durable before, so that a disk which takes no more writes
// need not be waited for.
const closeTime = 20 * time.Second

func closeWithin(limit time.Duration, close func() error) error {
	done := make(chan error, 1)
	go func() { done <- close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return hint(api.Errorf(api.Unavailable, "the store's files did not close within %s; everything that was acknowledged is kept", limit),
			"look at the disk's room and health before the next start")
	}
}

// tune sets what the environment does not. The heap may grow to three times
// what is alive, until the process nears 320 MiB; from there on the collector
// works harder instead. The limit leaves room for the database's merges, which
// hold up to 200 MiB for a moment: under 220 MiB the collector took a fifth of
// the time of a catch-up. It is soft: what is alive is never refused.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(320 << 20)
	}
}
