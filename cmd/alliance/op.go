package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
	"github.com/national-alliance/alliance/protocol/vocab"
)

func (p *program) op() *cobra.Command {
	c := &cobra.Command{
		Use:   "op",
		Short: "operations on the register: draft, read, sign, submit",
		Long: `An operation changes the register: who is a member, with which keys. Somebody drafts
it on a node into a file; people read and sign that file on machines of their own;
somebody submits it. No node is needed for signing.`,
	}
	c.AddCommand(p.opRequests(), p.opDraft(), p.opShow(), p.opSign(), p.opSubmit())
	return c
}

// opFile is an operation with the signatures of all files given that hold it.
type opFile struct {
	path   string // of the first file
	signed register.SignedOp
	op     *register.Op
}

// readOps reads operations; copies of one are put together with all their
// signatures.
func readOps(paths []string) (out []*opFile, err error) {
	for _, path := range paths {
		b, err := readFile(path, protocol.MaxLeaf)
		if err != nil {
			return nil, fmt.Errorf("read operation: %w", err)
		}
		so, op, err := register.DecodeSignedOp(b)
		if errors.Is(err, register.ErrUpgrade) {
			return nil, usage("read operation %s: %v", path, err)
		}
		if err != nil {
			return nil, hint(usage("read operation %s: %v", path, err), "the file is damaged, cut off, or no operation at all; nothing was signed; ask for it again")
		}
		i := slices.IndexFunc(out, func(f *opFile) bool { return bytes.Equal(f.signed.Op, so.Op) })
		if i < 0 {
			out = append(out, &opFile{path, so, op})
		} else {
			out[i].signed = out[i].signed.With(so.Signatures...)
		}
	}
	return out, nil
}

// readFile reads a file of at most max bytes.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = usage("%s is larger than the %d bytes that are allowed; nothing of it was taken", path, max)
	}
	return b, err
}

// network is the one that an operation is for.
func (f *opFile) network() protocol.NetworkID {
	if f.op.Kind() == register.KindGenesis {
		return register.NetworkOf(f.signed.Op)
	}
	return f.op.Network
}

// words says an operation from its bytes alone.
func (f *opFile) words() []string {
	w := f.op.Words(nil)
	if f.op.Kind() != register.KindGenesis {
		w[0] = "For the network with the fingerprint " + register.NetworkFingerprint(f.op.Network)
	}
	return w
}

func (p *program) opRequests() *cobra.Command {
	return &cobra.Command{
		Use: "requests", Short: "list who has asked to join, at the secretariat",
		Long:    "Lists the requests that came through tickets. Compare the fingerprint by phone, at a number you knew before.",
		Example: "  alliance op requests --dir sec",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := ask[[]api.Enrolment](c.Context(), p, "GET", "/enrolments", nil)
			if err != nil {
				return err
			}
			return p.show(list, func(w io.Writer) {
				for _, e := range list {
					state, what := "waits", fmt.Sprintf("%s\t%s\t%s", e.Name, e.Class, e.Kind)
					if e.Done {
						state = "member"
					}
					if e.What == "node" {
						what = fmt.Sprintf("a node of %s\t\t", e.Of)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.ID[:12], state, what, e.Fingerprint)
				}
			})
		},
	}
}

func (p *program) opDraft() *cobra.Command {
	var d api.OpDraft
	var out string
	c := &cobra.Command{
		Use:   "draft KIND --out FILE …",
		Short: "write an operation for people to sign",
		Long: `Writes an operation, drafted on the node's register, into a file. Kinds:

  by officers
    enrol --request ID                         admit an organisation
    revoke, suspend, reinstate                 --organisation NAME, or --node ID
    set-kind --organisation NAME --code KIND   its finer kind
    policy --rules N [--agreement NAME --sha256 HEX]
    group --group NAME --title T --member ORG… [--from-start]
    officers --member KEY… --threshold M --suspension K

  by an organisation's administrators (--organisation; the own one if not given)
    enrol-node --request ID                    admit a further node
    retire-node --node ID
    revoke --organisation NAME --node ID
    admins --member KEY… --threshold M
    voters --at ID…  signers --at ID…          1, 3 or 5 nodes
    publish-key --recipient age1pq1…  taint-key --epoch N
    offer-custody, withdraw-custody

  by nobody
    time                                       move the register's time on`,
		Example: `  alliance op draft enrol --request 5e0a41 --out enrol.op --dir sec
  alliance op draft suspend --organisation "Example Home" --out suspend.op --dir sec`,
		Args: exactly("KIND"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := need(c, "out"); err != nil {
				return err
			}
			if _, err := os.Lstat(out); err == nil {
				return api.Errorf(api.Conflict, "%s is there already and was left as it is: choose another name", out)
			}
			d.Kind = args[0]
			if d.Kind == "set-kind" && !vocab.Known(vocab.OrganisationKind, d.Code) {
				return hint(usage("--code: %q is no code of the list %s; nothing was drafted", d.Code, vocab.OrganisationKind), "%s", codesOf(vocab.OrganisationKind))
			}
			o, err := ask[api.Op](c.Context(), p, "POST", "/ops/draft", d)
			if err != nil {
				return err
			}
			if err := keyfile.WriteFile(out, o.Op, 0o600); err != nil {
				return err
			}
			return p.describe(c.Context(), out, o)
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "the file to write")
	f.StringVar(&d.Organisation, "organisation", "", "name, ID, or enough of an ID's beginning")
	f.StringVar(&d.Node, "node", "", "a node's ID, or enough of its beginning")
	f.StringArrayVar(&d.Nodes, "at", nil, "a node that votes or signs; once for each")
	f.StringVar(&d.Request, "request", "", "a request's ID, or enough of its beginning")
	f.StringVar(&d.Code, "code", "", "a finer kind: a code that 'alliance codes organisation-kind' prints")
	f.StringArrayVar(&d.Members, "member", nil, "a person's public key, or a group's organisation; once for each")
	f.IntVar(&d.Threshold, "threshold", 0, "how many must sign")
	f.IntVar(&d.Suspension, "suspension", 0, "how many officers may suspend")
	f.StringVar(&d.Group, "group", "", "a group's name")
	f.StringVar(&d.Title, "title", "", "a group's title")
	f.BoolVar(&d.FromStart, "from-start", false, "who joins the group reads it from the start")
	f.StringVar(&d.Recipient, "recipient", "", "an encryption key, age1pq1…")
	f.Uint64Var(&d.Epoch, "epoch", 0, "of an encryption key")
	f.StringVar(&d.Agreement, "agreement", "", "name of the agreement that members signed")
	f.StringVar(&d.SHA256, "sha256", "", "hash of the agreement")
	f.Uint64Var(&d.Rules, "rules", 0, "version of the rules")
	f.IntVar(&d.Hours, "expires", 72, "in how many hours it can no longer be applied")
	return c
}

// described is an operation as show prints it.
type described struct {
	File       string         `json:"file"`
	Kind       string         `json:"kind"`
	Network    string         `json:"network"`
	Hash       string         `json:"hash"`
	Words      []string       `json:"words"`
	Signatures []string       `json:"signatures,omitempty"` // IDs of the keys
	Votes      []api.Vote     `json:"votes,omitempty"`      // what each is worth
	Approvals  []api.Approval `json:"approvals,omitempty"`
	Online     bool           `json:"online"` // the names are the node's
}

func (f *opFile) described() described {
	n := f.network()
	d := described{File: f.path, Kind: f.op.Kind().String(), Network: n.String(), Hash: register.OpHash(n, f.signed.Op).String(), Words: f.words()}
	for _, s := range f.signed.Signatures {
		d.Signatures = append(d.Signatures, s.Key.ID().String())
	}
	return d
}

// describe prints an operation in the node's words.
func (p *program) describe(ctx context.Context, path string, o api.Op) error {
	so, op, err := register.DecodeSignedOp(o.Op)
	if err != nil {
		return err
	}
	d := (&opFile{path, so, op}).described()
	p.online(ctx, &d, so)
	return p.show(d, func(w io.Writer) { d.print(w) })
}

// online takes the node's words, with its names, and what is still needed;
// where no node answers, the words from the bytes stay.
func (p *program) online(ctx context.Context, d *described, so register.SignedOp) error {
	if p.dir == "" && p.socket == "" || d.Kind == register.KindGenesis.String() {
		return nil
	}
	w, err := ask[api.OpWords](ctx, p, "POST", "/ops/describe", api.Op{Op: so.Encode()})
	if err != nil {
		return err
	}
	d.Words, d.Votes, d.Approvals, d.Online = w.Words, w.Votes, w.Approvals, true
	return nil
}

func (d described) print(w io.Writer) {
	for _, l := range d.Words {
		fmt.Fprintln(w, l)
	}
	if !d.Online && d.Kind != register.KindGenesis.String() {
		fmt.Fprintln(w, "No node was asked: names and what is still needed are not shown")
	}
	for _, v := range d.Votes {
		if !v.Counts {
			fmt.Fprintf(w, "Signature of %s\n", v.Words)
		}
	}
	for _, a := range d.Approvals {
		fmt.Fprintf(w, "Signed by %d of %d: %s\n", a.Have, a.Need, a.Who)
	}
	if len(d.Approvals) == 0 {
		fmt.Fprintf(w, "Signatures: %d\n", len(d.Signatures))
	}
}

func (p *program) opShow() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE…", Short: "say an operation in words, and who must still sign",
		Long: `Says in words what an operation does. With a node (--dir) members are named and
what is still needed is counted; without one IDs stand in their place.`,
		Example: "  alliance op show enrol.op --dir sec",
		Args:    exactly("FILE..."),
		RunE: func(c *cobra.Command, args []string) error {
			files, err := readOps(args)
			if err != nil {
				return err
			}
			var all []described
			for _, f := range files {
				d := f.described()
				if err := p.online(c.Context(), &d, f.signed); err != nil && kindOf(err) != api.Unavailable {
					p.say("the node says: %v", err)
				}
				all = append(all, d)
			}
			return p.show(all, func(w io.Writer) {
				for i, d := range all {
					if i > 0 {
						fmt.Fprintln(w)
					}
					d.print(w)
				}
			})
		},
	}
}

func (p *program) opSign() *cobra.Command {
	var key, pass string
	var yes bool
	c := &cobra.Command{
		Use:   "sign FILE… --key FILE",
		Short: "sign operations, after showing them in words",
		Long: `Shows each operation in words, from the very bytes that are signed, and adds a
signature to its file. Several files, up to 50, get one signature that covers them
all; each is applied by itself. No node is needed. With --dir the names that the
node has for the IDs are told beside.

At a terminal it asks before it signs. Where the key file says that an ssh-agent
holds the key ('alliance key new --agent'), the agent at SSH_AUTH_SOCK signs, and
what it answers is checked. Exit codes then: 3 the key is not in it; 4 it refused,
or answered with no true signature; 6 it is locked or empty; 7 there is none, or
it does not answer. Nothing is signed with any of these.`,
		Example: "  alliance op sign enrol.op --key asha.key",
		Args:    exactly("FILE..."),
		RunE: func(c *cobra.Command, args []string) error {
			if err := need(c, "key"); err != nil {
				return err
			}
			files, err := readOps(args)
			if err != nil {
				return err
			}
			network := files[0].network()
			var ops [][]byte
			for _, f := range files {
				if f.network() != network {
					return usage("%s is for another network than %s; nothing was signed", f.path, files[0].path)
				}
				ops = append(ops, f.signed.Op)
			}
			if err := atHand(key); err != nil {
				return err
			}
			p.tell(c.Context(), files)
			if err := p.confirm(yes, len(files)); err != nil {
				return err
			}
			k, err := p.signingKey(key, pass)
			if err != nil {
				return err
			}
			sigs, err := register.SignOps(k.Key, network, ops...)
			switch {
			case err != nil && kindOf(err) != api.Internal: // whatever holds the key says it
				return err
			case err != nil:
				return usage("%v; nothing was signed", err)
			}
			var done []described
			for i, f := range files {
				f.signed = f.signed.With(sigs[i])
				if err := keyfile.ReplaceFile(f.path, f.signed.Encode(), 0o600); err != nil {
					return err
				}
				done = append(done, f.described())
			}
			return p.show(done, func(w io.Writer) {
				for _, d := range done {
					fmt.Fprintf(w, "Signed %s: it has %s now\n", d.File, plural(uint64(len(d.Signatures)), "signature", "signatures"))
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "your key's file, as 'alliance key new' wrote it")
	f.StringVar(&pass, "passphrase-file", "", "take the key's passphrase from this file's first line; - is stdin")
	f.BoolVar(&yes, "yes", false, "do not ask at the terminal")
	return c
}

// tell shows on stderr what is about to be signed.
func (p *program) tell(ctx context.Context, files []*opFile) {
	for _, f := range files {
		p.say("%s", strings.Join(f.words(), "\n"))
	}
	if p.dir == "" && p.socket == "" {
		return
	}
	orgs, err := ask[[]api.Org](ctx, p, "GET", "/orgs", nil)
	if err != nil {
		return
	}
	said := map[string]bool{}
	for _, f := range files {
		for _, l := range f.words() {
			for _, o := range orgs {
				if id := o.ID.String(); strings.Contains(l, id) && !said[id] {
					said[id] = true
					p.say("The node calls %s %q (%s)", id, o.Name, o.Class)
				}
			}
		}
	}
}

func (p *program) opSubmit() *cobra.Command {
	return &cobra.Command{
		Use: "submit FILE…", Short: "put signed operations into the register",
		Long: `Hands signed operations to the secretariat through the node. Copies of one
operation, signed by different people, are put together. It returns when the
operation is in the register and signed by its signers. Where signatures are
missing it says of each that is there whether it counts, and how many more must
sign.`,
		Example: "  alliance op submit enrol.op --dir sec",
		Args:    exactly("FILE..."),
		RunE: func(c *cobra.Command, args []string) error {
			files, err := readOps(args)
			if err != nil {
				return err
			}
			type result struct {
				File string `json:"file"`
				api.Submitted
			}
			var done []result
			for _, f := range files {
				r, err := ask[api.Submitted](c.Context(), p, "POST", "/ops/submit", api.Op{Op: f.signed.Encode()})
				if err != nil {
					return hint(fmt.Errorf("submit %s: %w", f.path, err), "%d of %d were put into the register; the file is as it was: 'alliance op show' says what it still needs", len(done), len(files))
				}
				done = append(done, result{f.path, r})
			}
			return p.show(done, func(w io.Writer) {
				for _, r := range done {
					fmt.Fprintf(w, "%s is in the register, which has %s now\n", r.File, plural(r.Size, "leaf", "leaves"))
				}
			})
		},
	}
}
