package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/cmd/alliance/bench"
)

// exitCode is that of a command that has printed all there is to say.
type exitCode int

func (exitCode) Error() string { return "" }

func (p *program) bench() *cobra.Command {
	return &cobra.Command{
		Use:                "bench",
		Short:              "measure delivery, catch-up, memory and start on this machine",
		Example:            "  alliance bench --quick",
		DisableFlagParsing: true, // it has flags of its own, and workers
		RunE: func(c *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			tune() // as the daemon, the baseline alike
			code := bench.Main(c.Context(), bench.Program{Self: []string{self, "bench"}, Stdin: p.in, Stdout: p.out, Stderr: p.err}, args)
			if code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}
