package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
)

func (p *program) verify() *cobra.Command {
	var pass string
	var list, sealed bool
	c := &cobra.Command{
		Use:   "verify --dir DIR",
		Short: "verify a stopped node's store and register, without a network",
		Long: `Applies every leaf of the register again, verifies every checkpoint, and every
record's hash, signature and place in its feed; looks which sections are here and
which may be; and opens those that this organisation reads. The node must be
stopped. Nothing of what the records say is printed.

--list prints a line for each record held: ID, feed, number, type (key or data),
author, audience, group, custodians, and the sections whose sealed bytes are here.
Organisations are IDs. With --json each is a JSON object.

Exit code 1 means damage: the lines on stderr say what, and that the rest was
kept; what is damaged is fetched again from its other holders once the node runs.`,
		Example: `  alliance verify --dir /var/lib/alliance
  alliance verify --dir n --passphrase-file pw --list --json`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := p.folder()
			if err != nil {
				return err
			}
			if _, err := node.Identify(dir); err != nil {
				return err
			}
			if _, err := loadConfig(dir); err != nil {
				return err
			}
			p.notice()
			o := node.VerifyOptions{Log: slog.New(slog.DiscardHandler)}
			if o.Passphrase, err = p.verifyPassphrase(pass, sealed); err != nil {
				return err
			}
			if list {
				o.Each = p.held
			}
			v, err := node.Verify(c.Context(), dir, o)
			if node.InUse(err) {
				return hint(err, "stop the node first; nothing was read or changed")
			}
			if err != nil {
				return err
			}
			return p.verified(v, list)
		},
	}
	f := c.Flags()
	f.StringVar(&pass, "passphrase-file", "", "take the reading identity's passphrase from this file's first line; - is stdin")
	f.BoolVar(&sealed, "sealed", false, "open nothing, and ask for no passphrase")
	f.BoolVar(&list, "list", false, "print a line for each record held")
	return c
}

// verifyPassphrase asks only where somebody can answer.
func (p *program) verifyPassphrase(file string, sealed bool) (string, error) {
	f, ok := p.in.(*os.File)
	if sealed || file == "" && (!ok || !term.IsTerminal(int(f.Fd()))) {
		return "", nil
	}
	return p.passphrase(file, "the reading identity", false)
}

func (p *program) held(h node.HeldRecord) error {
	if p.json {
		return json.NewEncoder(p.out).Encode(h)
	}
	orgs := func(ids []protocol.OrgID) string {
		s := []string{}
		for _, id := range ids {
			s = append(s, id.String())
		}
		return dash(strings.Join(s, ","))
	}
	sections := dash(strings.ReplaceAll(strings.Trim(fmt.Sprint(h.Sections), "[]"), " ", ","))
	_, err := fmt.Fprintln(p.out, h.ID, h.Feed, h.Seq, h.Type, h.Author, orgs(h.Audience), dash(string(h.Group)), orgs(h.Custodians), sections)
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// verified prints the result; after a list, to stderr.
func (p *program) verified(v node.Verification, list bool) error {
	switch {
	case list:
		for _, f := range v.Faults {
			p.say("fault: %s", f)
		}
		if !p.json {
			printVerification(p.err, v)
		}
	default:
		if err := p.show(v, func(w io.Writer) {
			printVerification(w, v)
			for _, f := range v.Faults {
				fmt.Fprintf(w, "fault: %s\n", f)
			}
		}); err != nil {
			return err
		}
	}
	if n := len(v.Faults); n > 0 {
		return hint(api.Errorf(api.Internal, "verify: %d faults in %s; everything else was kept and verifies", n, p.dir),
			"records are fetched again from their other holders when the node runs; if it happens twice, replace the disk and the node")
	}
	return nil
}

func printVerification(w io.Writer, v node.Verification) {
	fmt.Fprintf(w, "register: %d leaves, %d checkpoints\n", v.Leaves, v.Checkpoints)
	if v.Raft > 0 {
		fmt.Fprintf(w, "secretariat's log: %d entries\n", v.Raft)
	}
	fmt.Fprintf(w, "store: %d feeds, %d records, %d sections, %d receipts; %d sections on their way\n", v.Feeds, v.Records, v.Sections, v.Receipts, v.Lacking)
	if v.Unread {
		fmt.Fprintln(w, "no section was opened, for which a passphrase is needed: hashes and signatures were checked")
	} else {
		fmt.Fprintf(w, "opened: %d sections and feed keys that this organisation reads\n", v.Opened)
	}
	if len(v.Faults) == 0 {
		fmt.Fprintln(w, "no damage found")
	}
}
