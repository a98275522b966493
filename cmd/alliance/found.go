package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
	"github.com/national-alliance/alliance/protocol/vocab"
)

const genesisFile = node.GenesisFile

func (p *program) init() *cobra.Command {
	var f node.Founding
	var officers, admins, genesis []string
	var pass string
	c := &cobra.Command{
		Use:   "init --dir DIR …",
		Short: "found a new alliance: first prepare it, then finish with everybody's signatures",
		Long: `Founds a new alliance in two steps. The first makes the folder of the
secretariat's first node and, in it, ` + genesisFile + `: the founding operation. Every founding
officer and every administrator of the secretariat signs that file with 'alliance op
sign', one after another or each on a copy. The second step takes the signed file,
or copies, and the node can run; the file in the folder is removed then, since the
register begins with what was in it.

Officers and administrators are given as 'alliance key show' prints them. Without
--live it is a trial network, for invented data only, and stays one for ever.`,
		Example: `  alliance init --dir sec --title "Example Alliance" --name "Example Secretariat" \
      --officer "$A" --officer "$B" --officer "$C" --threshold 2 --suspension 1 \
      --admin "$D" --admin-threshold 1
  alliance op sign sec/genesis.op --key a.key      # and the others
  alliance init --dir sec --genesis sec/genesis.op`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			dir, err := p.folder()
			if err != nil {
				return err
			}
			if len(genesis) > 0 {
				return p.found(dir, genesis)
			}
			if err := fresh(dir); err != nil {
				return err
			}
			if err := need(c, "title", "name", "officer", "threshold", "suspension", "admin", "admin-threshold"); err != nil {
				return err
			}
			if f.Officers, err = people(officers); err != nil {
				return err
			}
			if f.Admins, err = people(admins); err != nil {
				return err
			}
			for _, o := range f.Officers {
				if slices.ContainsFunc(f.Admins, func(a register.Member) bool { return a.Key == o.Key }) {
					return hint(usage("one key is given as an officer's and as an administrator's, and a key serves one purpose; nothing was made"),
						"whoever is both makes a second key with 'alliance key new'")
				}
			}
			cfg, err := loadConfig(dir)
			if err != nil {
				return err
			}
			f.Work = cfg.ScryptWork
			if f.Passphrase, err = p.passphrase(pass, "the secretariat's reading identity", true); err != nil {
				return err
			}
			return p.prepare(dir, f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.Title, "title", "", "name of the alliance")
	fl.StringVar(&f.Name, "name", "", "name of the secretariat")
	fl.BoolVar(&f.Live, "live", false, "a live network, for real data")
	fl.StringArrayVar(&officers, "officer", nil, "a founding officer's public key, as 'alliance key show' prints it; once for each")
	fl.IntVar(&f.Threshold, "threshold", 0, "how many officers must sign")
	fl.IntVar(&f.Suspend, "suspension", 0, "how many officers may suspend")
	fl.StringArrayVar(&admins, "admin", nil, "an administrator of the secretariat; once for each")
	fl.IntVar(&f.AdminsM, "admin-threshold", 0, "how many administrators must sign")
	fl.StringVar(&pass, "passphrase-file", "", "take the reading identity's passphrase from this file's first line; - is stdin")
	fl.StringArrayVar(&genesis, "genesis", nil, "finish with this signed "+genesisFile+"; several copies are put together")
	return c
}

func people(words []string) ([]register.Member, error) {
	var out []register.Member
	for _, w := range words {
		m, err := node.ParsePerson(w)
		if err != nil {
			return nil, usage("%v", err)
		}
		out = append(out, m)
	}
	return out, nil
}

// founded is what init prints.
type founded struct {
	Network     string   `json:"network"`
	Fingerprint string   `json:"fingerprint"`
	Genesis     string   `json:"genesis,omitempty"` // the file to sign
	Words       []string `json:"words,omitempty"`
	Done        bool     `json:"done"`
}

func (p *program) prepare(dir string, f node.Founding) error {
	undo := newKeys(dir)
	so, err := node.Prepare(dir, f)
	if err != nil {
		undo()
		return asInput(err)
	}
	if !f.Live {
		p.trial()
	}
	path := filepath.Join(dir, genesisFile)
	if err := keyfile.WriteFile(path, so.Encode(), 0o600); err != nil {
		return err
	}
	op, err := register.DecodeOp(so.Op)
	if err != nil {
		return err
	}
	network := register.NetworkOf(so.Op)
	v := founded{Network: network.String(), Fingerprint: register.NetworkFingerprint(network), Genesis: path, Words: op.Words(nil)}
	return p.show(v, func(w io.Writer) {
		for _, l := range v.Words {
			fmt.Fprintln(w, l)
		}
		fmt.Fprintf(w, "\nNow all officers and administrators sign it:  alliance op sign %s --key FILE\n", path)
		fmt.Fprintf(w, "and then:  alliance init --dir %s --genesis %s\n", dir, path)
	})
}

// fresh makes sure that a folder is no node's yet.
func fresh(dir string) error {
	if _, err := node.Identify(dir); kindOf(err) != api.NotFound {
		return taken(dir, err)
	}
	genesis := filepath.Join(dir, genesisFile)
	if _, err := os.Lstat(genesis); err == nil {
		return hint(api.Errorf(api.Conflict, "%s holds an alliance that was prepared and is not founded yet: nothing was changed", dir),
			"when all have signed %s, finish with 'alliance init --dir %s --genesis %s'; or choose another folder", genesis, dir, genesis)
	}
	if _, err := os.Lstat(filepath.Join(dir, "keys", "node.key")); err == nil {
		return hint(api.Errorf(api.Conflict, "%s holds a node's keys, and not whose they are: nothing was changed", dir), "choose another folder")
	}
	return nil
}

// taken is the error of a folder that is a node's, or may be: err is what
// reading whose it is gave.
func taken(dir string, err error) error {
	if err != nil {
		return err
	}
	return hint(api.Errorf(api.Conflict, "%s is a node's folder already: nothing was changed", dir),
		"'alliance daemon --dir %s' runs its node; for another node choose another folder", dir)
}

// newKeys returns what takes back the keys of a folder that is not to be a
// node's after all, so that the next try does not find them in its way. Keys
// that were there before stay.
func newKeys(dir string) (undo func()) {
	keys := filepath.Join(dir, "keys")
	if _, err := os.Lstat(keys); !errors.Is(err, fs.ErrNotExist) {
		return func() {}
	}
	return func() {
		os.RemoveAll(keys)
		os.Remove(dir) // where nothing else is in it
	}
}

func (p *program) found(dir string, files []string) error {
	// First, since the file of a folder that is founded is gone.
	if _, err := node.Identify(dir); kindOf(err) != api.NotFound {
		return taken(dir, err)
	}
	ops, err := readOps(files)
	if err != nil {
		return err
	}
	if len(ops) != 1 || ops[0].op.Kind() != register.KindGenesis {
		return usage("these are not the signed copies of one founding operation; nothing was changed")
	}
	network, err := node.Found(dir, ops[0].signed, time.Now())
	switch {
	case errors.Is(err, register.ErrApprovals):
		return hint(api.Errorf(api.Refused, "%v; nothing was founded yet", err), "'alliance op sign %s --key FILE' adds a signature", files[0])
	case errors.Is(err, fs.ErrNotExist):
		return hint(api.Errorf(api.NotFound, "%s was not prepared with 'alliance init', or not here: %v; nothing was founded", dir, err),
			"run this where %s was made: its node's keys are there", genesisFile)
	case err != nil:
		return asInput(fmt.Errorf("%w; nothing was founded", err))
	}
	// What lay here to be signed would only make people ask what it is for.
	gone := false
	path := filepath.Join(dir, genesisFile)
	if f, err := readOps([]string{path}); err == nil && bytes.Equal(f[0].signed.Op, ops[0].signed.Op) {
		gone = os.Remove(path) == nil
	}
	v := founded{Network: network.String(), Fingerprint: register.NetworkFingerprint(network), Done: true}
	return p.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "Founded. Network %s\n", v.Network)
		if gone {
			fmt.Fprintf(w, "%s is the register's first entry now, with all signatures, and was removed\n", path)
		}
		fmt.Fprintf(w, "Fingerprint, to compare by phone:  %s\n", v.Fingerprint)
		fmt.Fprintf(w, "Run its first node:  alliance daemon --dir %s\n", dir)
	})
}

func (p *program) invite() *cobra.Command {
	var hours int
	var out string
	c := &cobra.Command{
		Use:   "invite --dir DIR",
		Short: "open a ticket for one newcomer, at the secretariat",
		Long: `Opens a ticket and prints it: one word, for one newcomer, for some hours. It lets
the newcomer send a request and admits nobody: officers sign for that.`,
		Example: "  alliance invite --dir sec --hours 72 --out ticket.txt",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := ask[api.Ticket](c.Context(), p, "POST", "/invitations", api.Invitation{Hours: hours})
			if err != nil {
				return err
			}
			if out != "" {
				if err := keyfile.WriteFile(out, []byte(t.Ticket+"\n"), 0o600); err != nil {
					return err
				}
			}
			return p.show(t, func(w io.Writer) {
				if out == "" {
					fmt.Fprintln(w, t.Ticket)
				}
				p.say("it works once, until %s; keep it private", t.Expires.Local().Format("2006-01-02 15:04"))
			})
		},
	}
	c.Flags().IntVar(&hours, "hours", 72, "how long it works")
	c.Flags().StringVar(&out, "out", "", "write it to this file instead")
	return c
}

func (p *program) join() *cobra.Command {
	var a node.Application
	var ticket, class, of, pass, keyPass string
	var keys []string
	c := &cobra.Command{
		Use:   "join --dir DIR --ticket FILE|WORD …",
		Short: "make a newcomer's folder, and the request that its daemon will send",
		Long: `Makes a node's folder and the request to join, signed by the newcomer's own
administrators, and prints the fingerprint to compare by phone with the
secretariat. 'alliance daemon' then sends the request and waits for the officers.
Every administrator signs here, so all bring their key files, and for a key that an
ssh-agent holds the agent is at SSH_AUTH_SOCK. One who cannot be there is added afterwards, with 'alliance op draft admins'.

With --node-of it asks for a further node of an organisation that is a member
already; that organisation's administrators admit it. A secretariat's node is
handed the reading identity by the others; another member's is given a copy of
its file reading.age, as long as several nodes of one member are not finished.`,
		Example: `  alliance join --dir n --ticket ticket.txt --name "Example Home" --class ngo \
      --admin-key a.key --admin-key b.key --threshold 2
  alliance join --dir n2 --ticket ticket.txt --node-of 4f1c…`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			dir, err := p.folder()
			if err != nil {
				return err
			}
			if err := need(c, "ticket"); err != nil {
				return err
			}
			if err := fresh(dir); err != nil {
				return err
			}
			if a.Ticket, err = word(ticket); err != nil {
				return err
			}
			if _, err := node.ParseTicket(a.Ticket); err != nil {
				return usage("%v; nothing was made", err)
			}
			if of != "" {
				return p.joinNode(dir, a, of, class)
			}
			if err := need(c, "name", "class", "admin-key", "threshold"); err != nil {
				return err
			}
			if a.Class, err = protocol.ParseClass(class); err != nil {
				return usage("--class: %v", err)
			}
			if a.Kind, err = orgKind(class, a.Kind); err != nil {
				return err
			}
			for _, path := range keys {
				if err := atHand(path); err != nil {
					return err
				}
				k, err := p.signingKey(path, keyPass)
				if err != nil {
					return err
				}
				a.Admins = append(a.Admins, k)
			}
			cfg, err := loadConfig(dir)
			if err != nil {
				return err
			}
			a.Work = cfg.ScryptWork
			if a.Passphrase, err = p.passphrase(pass, "the organisation's reading identity", true); err != nil {
				return err
			}
			return p.apply(dir, a)
		},
	}
	f := c.Flags()
	f.StringVar(&ticket, "ticket", "", "the ticket: the word itself, or a file that holds it")
	f.StringVar(&a.Name, "name", "", "name of the organisation; it is never used again")
	f.StringVar(&class, "class", "", "ngo, police or government; secretariat with --node-of")
	f.StringVar(&a.Kind, "kind", "", "finer kind, such as helpline, sjpu, cwc: a code that 'alliance codes organisation-kind' prints; ngo or police-unit where not given")
	f.StringArrayVar(&keys, "admin-key", nil, "an administrator's key file, which signs the request; once for each, and all of them")
	f.StringVar(&keyPass, "key-passphrase-file", "", "take the passphrase of the key files from this file's first line")
	f.IntVar(&a.Threshold, "threshold", 0, "how many administrators must sign")
	f.StringVar(&pass, "passphrase-file", "", "take the reading identity's passphrase from this file's first line; - is stdin")
	f.StringVar(&of, "node-of", "", "ask for a further node of the organisation with this ID, 64 hex digits")
	return c
}

// orgKind is the finer kind of a newcomer: a code of its class.
func orgKind(class, kind string) (string, error) {
	switch {
	case kind == "" && class == "ngo":
		return "ngo", nil
	case kind == "" && class == "police":
		return "police-unit", nil
	case kind == "":
		return "", hint(usage("--kind is missing"), "%s", codesOf(vocab.OrganisationKind))
	case !vocab.Known(vocab.OrganisationKind, kind):
		return "", hint(usage("--kind: %q is no code of the list %s; nothing was made", kind, vocab.OrganisationKind), "%s", codesOf(vocab.OrganisationKind))
	case vocab.KindClass(kind) != class:
		return "", hint(usage("--kind: %q is a kind of the class %s, not %s; nothing was made", kind, vocab.KindClass(kind), class), "%s", codesOf(vocab.OrganisationKind))
	}
	return kind, nil
}

// word takes a word as it is, or from the file that it names.
func word(s string) (string, error) {
	if strings.HasPrefix(s, "alliance-") {
		return s, nil
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return "", hint(fmt.Errorf("read ticket: %w; nothing was made", err), "a ticket is one word that begins with alliance-ticket-1-, or the name of a file that holds it")
	}
	return strings.TrimSpace(string(b)), nil
}

func (p *program) joinNode(dir string, a node.Application, of, class string) error {
	if err := a.Of.UnmarshalText([]byte(of)); err != nil {
		return usage("--node-of is the organisation's ID, 64 hex digits: 'alliance org list --json' has it")
	}
	if class != "" {
		var err error
		if a.Class, err = protocol.ParseClass(class); err != nil {
			return usage("--class: %v", err)
		}
	}
	return p.apply(dir, a)
}

// joined is what join prints.
type joined struct {
	Fingerprint  string `json:"fingerprint"`
	Network      string `json:"network"`
	Organisation string `json:"organisation"`
	Node         string `json:"node"`
}

func (p *program) apply(dir string, a node.Application) error {
	undo := newKeys(dir)
	mark, err := node.Apply(dir, a, time.Now())
	if err != nil {
		undo()
		return asInput(err)
	}
	id, err := node.Identify(dir)
	if err != nil {
		return err
	}
	v := joined{mark, id.Network.String(), id.Org.String(), id.Node.String()}
	return p.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "Fingerprint, to compare by phone:  %s\n", v.Fingerprint)
		fmt.Fprintf(w, "Send the request:  alliance daemon --dir %s\n", dir)
	})
}
