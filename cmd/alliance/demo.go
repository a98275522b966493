package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/cmd/alliance/demo"
)

func (p *program) demo() *cobra.Command {
	o := demo.Options{Out: p.out}
	c := &cobra.Command{
		Use:   "demo",
		Short: "run a whole alliance of real processes here, with invented data",
		Long: `Runs an alliance on this machine's loopback, as real processes: three secretariat
nodes, two NGOs, a police unit, a ministry. They are admitted, refer cases, answer
an alert, lose their leader and find each other again; then their disks are read.
Each expectation is printed with its outcome. The end is a table of who holds and
who can read what; exit code 1 means that something did not hold.`,
		Example: "  alliance demo\n  DEMO_DIR=/tmp/demo KEEP=1 alliance demo",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return demo.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Input, "input", filepath.Join("deploy", "demo"), "folder of the input files")
	f.StringVar(&o.Dir, "at", os.Getenv("DEMO_DIR"), "where the nodes live, new or empty; $DEMO_DIR, else a temporary folder")
	f.BoolVar(&o.Keep, "keep", os.Getenv("KEEP") == "1", "leave the folder, with nodes.json; also with KEEP=1")
	return c
}
