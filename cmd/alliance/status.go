package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
)

func (p *program) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "how the node stands: peers, feeds, custody, receipts outstanding, checkpoint",
		Long: `Says how the node stands. It shows no content and no key, so it may go into a fault
report. Its exit code is 0 whatever the state is.`,
		Example: "  alliance status --dir /var/lib/alliance",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := ask[api.Status](c.Context(), p, "GET", "/status", nil)
			if err != nil {
				return err
			}
			return p.showStatus(s)
		},
	}
}

func (p *program) showStatus(s api.Status) error {
	if s.Notice != "" {
		p.trial()
	}
	return p.show(s, func(w io.Writer) {
		name := s.Name
		if name == "" {
			name = "organisation " + brief(s.Organisation)
		}
		fmt.Fprintf(w, "%s, node %s: %s\n", name, brief(s.Node), s.State)
		if s.Title != "" {
			fmt.Fprintf(w, "network\t%s (%s) %s\n", s.Title, s.Mode, brief(s.Network))
		}
		if s.Answer != "" {
			fmt.Fprintf(w, "the request to join\t%s\n", clean(s.Answer))
		}
		if s.Fingerprint != "" {
			fmt.Fprintf(w, "its fingerprint\t%s, to compare by phone with the secretariat\n", s.Fingerprint)
		}
		fmt.Fprintf(w, "reading identity\t%s\n", lockWord(s.Locked))
		if s.Register.Size > 0 {
			fmt.Fprintf(w, "checkpoint\t%s, root %s, newest of %s\n", plural(s.Register.Size, "leaf", "leaves"), brief(s.Register.Root), day(s.Register.Time))
		}
		if s.Raft != nil {
			role := "follows " + brief(s.Raft.Leader)
			if s.Raft.Leads {
				role = "leads"
			} else if s.Raft.Leader == "" {
				role = "has no leader"
			}
			fmt.Fprintf(w, "secretariat's group\t%s; this node %s\n", plural(uint64(len(s.Raft.Voters)), "voter", "voters"), role)
		}
		if len(s.Addresses) > 0 {
			fmt.Fprintf(w, "listens at\t%s\n", strings.Join(s.Addresses, " "))
		}
		fmt.Fprintf(w, "records\t%d, of which %d of %d feeds in custody for others; %d drafts wait\n", s.Store.Records, s.Custody.Records, s.Custody.Feeds, s.Outbox)
		if s.Store.Verified < s.Store.ToVerify {
			fmt.Fprintf(w, "read since the start\t%d of %d, each hash verified\n", s.Store.Verified, s.Store.ToVerify)
		}
		for _, x := range s.Warnings {
			fmt.Fprintf(w, "look at this\t%s\n", x)
		}
		if len(s.Peers) > 0 {
			fmt.Fprintf(w, "\npeer\tnode\tstate\tsynced\n")
		}
		for _, x := range s.Peers {
			state := "connected by " + x.By
			if !x.Connected {
				state = "away"
				if x.Error != "" {
					state += ": " + clean(node.Brief(x.Error))
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.Name, brief(x.Node), state, day(x.Synced))
		}
		if len(s.Feeds) > 0 {
			fmt.Fprintf(w, "\nfeed\tauthor\tto\trecords\tstate\n")
		}
		for _, f := range s.Feeds {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", brief(f.Feed), f.Author, strings.Join(f.Audience, ", "), f.Seq, feedState(f))
		}
	})
}

func feedState(f api.Feed) string {
	var s []string
	note := func(n int, format string) {
		if n > 0 {
			s = append(s, fmt.Sprintf(format, n))
		}
	}
	if f.Forked {
		s = append(s, "forked: its author signed two records at one place")
	}
	note(f.Lacking, "%d not whole yet")
	note(f.Refused, "%d refused")
	note(f.Held, "%d held")
	if len(f.Outstanding) > 0 {
		s = append(s, "no receipt yet from "+strings.Join(f.Outstanding, ", "))
	}
	if len(s) == 0 {
		return "well"
	}
	return strings.Join(s, "; ")
}

func lockWord(locked bool) string {
	if locked {
		return "locked"
	}
	return "open"
}

// brief is an ID's beginning, for people.
func brief(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04 MST")
}

func (p *program) unlock() *cobra.Command {
	var pass string
	c := &cobra.Command{
		Use: "unlock", Short: "open the reading identity of a running node",
		Long: `Gives the running node the passphrase of its organisation's reading identity, which
it keeps in memory until it ends, or until 'alliance lock'. A further node, to which the identity was handed
over, keeps it from now on under this passphrase.`,
		Example: "  alliance unlock --dir /var/lib/alliance",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			if _, err := api.Ask[api.Status](c.Context(), cl, "GET", "/status", nil); err != nil {
				return err // before anybody types a passphrase
			}
			phrase, err := p.passphrase(pass, "the reading identity", false)
			if err != nil {
				return err
			}
			s, err := api.Ask[api.Status](c.Context(), cl, "POST", "/unlock", api.Passphrase{Passphrase: phrase})
			if err != nil {
				return err
			}
			return p.show(s, func(w io.Writer) { fmt.Fprintf(w, "The reading identity is %s\n", lockWord(s.Locked)) })
		},
	}
	c.Flags().StringVar(&pass, "passphrase-file", "", "take it from this file's first line; - is stdin")
	return c
}

func (p *program) lock() *cobra.Command {
	return &cobra.Command{
		Use: "lock", Short: "put the reading identity of a running node away",
		Long: `Has the running node forget its organisation's reading identity and all that it
opened: it shows no case and sends none until 'alliance unlock', or until it is
started again with a passphrase_file. It goes on keeping records, passing them on
and signing for them. A node that is locked already stays so.

Exit codes: 0 locked; 5 the identity was handed over by another node and is not
saved here yet, so that nothing was changed; 7 no node answers.`,
		Example: "  alliance lock --dir /var/lib/alliance",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := ask[api.Status](c.Context(), p, "POST", "/lock", nil)
			if err != nil {
				return err
			}
			return p.show(s, func(w io.Writer) {
				fmt.Fprintf(w, "The reading identity is %s: records are kept and passed on, and 'alliance unlock' opens them again\n", lockWord(s.Locked))
			})
		},
	}
}

func (p *program) org() *cobra.Command {
	c := &cobra.Command{Use: "org", Short: "the alliance's members"}
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "list all members", Example: "  alliance org list --dir n", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := ask[[]api.Org](c.Context(), p, "GET", "/orgs", nil)
			if err != nil {
				return err
			}
			return p.show(list, func(w io.Writer) {
				fmt.Fprintln(w, "id\tname\tclass\tkind\tstatus\tnodes\tkeeps for others")
				for _, o := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", o.ID.Short(), o.Name, o.Class, o.Kind, o.Status, len(o.Nodes), yesNo(o.Custody))
				}
			})
		},
	}, &cobra.Command{
		Use: "show NAME", Short: "show one member, by name or the beginning of its ID", Example: `  alliance org show "Example Home" --dir n`, Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := ask[api.Org](c.Context(), p, "GET", "/orgs/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return p.show(o, func(w io.Writer) { printOrg(w, o) })
		},
	})
	return c
}

func printOrg(w io.Writer, o api.Org) {
	fmt.Fprintf(w, "name\t%s\n", o.Name)
	fmt.Fprintf(w, "id\t%s\n", o.ID)
	fmt.Fprintf(w, "class\t%s, %s\n", o.Class, o.Kind)
	fmt.Fprintf(w, "status\t%s\n", o.Status)
	key := fmt.Sprintf("of epoch %d", o.Epoch)
	if o.Tainted {
		key += ", not to be used any more"
	}
	fmt.Fprintf(w, "encryption key\t%s\n", key)
	fmt.Fprintf(w, "keeps for others\t%s\n", yesNo(o.Custody))
	fmt.Fprintf(w, "administrators\t%d, of whom %d must sign\n", o.Admins, o.Threshold)
	for _, n := range o.Nodes {
		role := ""
		if n.Signer {
			role += ", signs checkpoints"
		}
		if n.Voter {
			role += ", votes"
		}
		fmt.Fprintf(w, "node\t%s %s%s\n", n.ID, n.Status, role)
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
