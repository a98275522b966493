package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/config"
)

// program is one run of the command.
type program struct {
	in       io.Reader
	out, err io.Writer

	json    bool
	dir     string
	socket  string
	noticed bool
}

// run runs one command line and returns its exit code.
func run(args []string, in io.Reader, out, errw io.Writer) int {
	p := &program{in: in, out: out, err: errw}
	return guard(p, func() int {
		root := p.root()
		root.SetArgs(args)
		root.SetIn(in)
		root.SetOut(out)
		root.SetErr(errw)
		return p.end(root.ExecuteContext(context.Background()))
	})
}

// guard turns a panic into a sentence.
func guard(p *program, do func() int) (code int) {
	defer func() {
		if v := recover(); v != nil {
			p.say("alliance: the program has a fault: %v", v)
			p.say("alliance: hint: what was acknowledged is kept; report this line, the version and the command")
			code = 1
		}
	}()
	return do()
}

// root is the whole tree of commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "alliance",
		Short: "a member's node of a National Alliance network, and what people do with it",
		Long: `alliance runs a member's node and talks to it. Referrals and alerts are sealed
to exactly the organisations they are addressed to, and each says when it is
durable there.

Exit codes: 0 done; 1 a fault, or damage found; 2 wrong command or input;
3 not found; 4 refused by a rule, or a wrong passphrase; 5 does not fit what
is there now; 6 locked; 7 not now (no node answers, no leader, disk full, in use).`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	f := root.PersistentFlags()
	f.BoolVar(&p.json, "json", false, "print the result as JSON, and an error as problem JSON")
	f.StringVar(&p.dir, "dir", os.Getenv("ALLIANCE_DIR"), "the node's folder; $ALLIANCE_DIR where not given")
	f.StringVar(&p.socket, "socket", "", "the node's socket, where it is not the folder's")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return hint(usage("%v", err), "run '%s --help'", c.CommandPath())
	})
	root.AddCommand(p.daemon(), p.version(), p.key(), p.init(), p.invite(), p.join(), p.op(), p.org(), p.status(), p.unlock(), p.lock(), p.referral(), p.alert(), p.codes(), p.verify(), p.bench(), p.demo())
	root.InitDefaultCompletionCmd()
	root.SetHelpCommand(help(root))
	branches(root)
	return root
}

// help is cobra's, but that it fails where there is nothing to help with.
func help(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "say what a command does, and with which flags", Example: "  alliance help op sign",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return hint(usage("%q is no command", strings.Join(args, " ")), "'alliance help' lists them")
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// branches makes every command that only holds others say so when it is run
// by itself or with a word that is none of them.
func branches(c *cobra.Command) {
	for _, sub := range c.Commands() {
		branches(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	if c.HasParent() {
		c.Use += " COMMAND"
	}
	c.DisableFlagsInUseLine = true
	c.SuggestionsMinimumDistance = 2
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		err := usage("%q is no command of %s", args[0], c.CommandPath())
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return hint(err, "did you mean '%s %s'?", c.CommandPath(), near[0])
		}
		return hint(err, "run '%s --help'", c.CommandPath())
	}
}

// hinted is an error with what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func hint(err error, format string, a ...any) error {
	return hinted{err, fmt.Sprintf(format, a...)}
}

func usage(format string, a ...any) error { return api.Errorf(api.Invalid, format, a...) }

// asInput calls an error the command's own where neither the machine nor
// anything else is at fault.
func asInput(err error) error {
	var path *fs.PathError
	if err == nil || kindOf(err) != api.Internal || errors.As(err, &path) {
		return err
	}
	return &api.Error{Kind: api.Invalid, Text: err.Error()}
}

// kindOf is the kind of any error that a command ends with.
func kindOf(err error) api.Kind {
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, keyfile.ErrPassphrase):
		return api.Refused
	case errors.Is(err, keyfile.ErrExposed), errors.Is(err, keyfile.ErrDamaged), errors.Is(err, fs.ErrExist):
		return api.Conflict
	case errors.Is(err, fs.ErrNotExist):
		return api.NotFound
	case node.InUse(err), node.DiskFault(err), errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.ENOSPC):
		return api.Unavailable
	}
	return api.Internal
}

// end prints what a command ended with and returns the exit code.
func (p *program) end(err error) int {
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	kind := kindOf(err)
	if p.json {
		e := &api.Error{Kind: kind, Text: err.Error()}
		var was *api.Error
		if errors.As(err, &was) {
			e.Faults = was.Faults
			e.Text = before(err, was) + was.Text
		}
		if b, err := json.Marshal(e); err == nil {
			p.say("%s", b)
		}
		return kind.Exit()
	}
	p.say("alliance: %s", sentence(err))
	var h hinted
	if errors.As(err, &h) {
		p.say("alliance: hint: %s", h.hint)
	}
	return kind.Exit()
}

// before is what a command says before the node's sentence, such as which file.
func before(err error, e *api.Error) string {
	s, ok := strings.CutSuffix(err.Error(), e.Error())
	if !ok {
		return ""
	}
	return s
}

// sentence is an error for a person. Where the node names several faults, each
// gets a line, and is not told in the sentence before as well.
func sentence(err error) string {
	var e *api.Error
	if !errors.As(err, &e) || len(e.Faults) == 0 {
		return err.Error()
	}
	text := before(err, e) + e.Text
	field, _, _ := strings.Cut(e.Faults[0], " ")
	if i := strings.Index(text, ": "+strings.TrimSuffix(field, ":")); i > 0 {
		text = text[:i]
	}
	return text + ":\n  " + strings.Join(e.Faults, "\n  ")
}

// say writes a line to stderr.
func (p *program) say(format string, a ...any) { fmt.Fprintf(p.err, format+"\n", a...) }

// show prints a result: as JSON, or as text writes it.
func (p *program) show(v any, text func(w io.Writer)) error {
	if p.json {
		return json.NewEncoder(p.out).Encode(v)
	}
	p.notice()
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// notice says once that a trial network is one.
func (p *program) notice() {
	if p.noticed || p.json || p.dir == "" {
		return
	}
	if id, err := node.Identify(p.dir); err == nil && id.Trial {
		p.trial()
	}
}

func (p *program) trial() {
	if !p.noticed && !p.json {
		p.say("%s", node.TrialNotice)
	}
	p.noticed = true
}

// folder is the node's folder.
func (p *program) folder() (string, error) {
	if p.dir == "" {
		return "", hint(usage("no node's folder is given"), "give --dir, or set ALLIANCE_DIR")
	}
	return p.dir, nil
}

// client asks the node that runs in the folder.
func (p *program) client() (*api.Client, error) {
	if p.socket != "" {
		return api.NewClient(p.socket), nil
	}
	dir, err := p.folder()
	if err != nil {
		return nil, err
	}
	if _, err := node.Identify(dir); err != nil {
		return nil, err
	}
	cfg, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	p.notice()
	return api.NewClient(node.SocketPath(dir, cfg)), nil
}

func loadConfig(dir string) (config.Config, error) {
	cfg, err := config.Load(dir)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		err = &api.Error{Kind: api.Invalid, Text: err.Error()}
	}
	return cfg, err
}

// ask asks the node one thing.
func ask[T any](ctx context.Context, p *program, method, path string, body any) (v T, err error) {
	c, err := p.client()
	if err != nil {
		return v, err
	}
	return api.Ask[T](ctx, c, method, path, body)
}

// exactly asks for arguments by name; a last one that ends in "..." may stand
// many times.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
		if len(args) < len(names) {
			return hint(usage("%s is missing", strings.TrimSuffix(names[len(args)], "...")), "run '%s --help'", c.CommandPath())
		}
		if len(args) > len(names) && !many {
			return hint(usage("%q is one word too many", args[len(names)]), "run '%s --help'; a name with spaces needs quotation marks", c.CommandPath())
		}
		return nil
	}
}

// need says which flag is missing.
func need(c *cobra.Command, flags ...string) error {
	for _, f := range flags {
		if !c.Flags().Changed(f) {
			return hint(usage("--%s is missing", f), "run '%s --help'", c.CommandPath())
		}
	}
	return nil
}

func (p *program) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the program's version", Example: "  alliance version", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			return p.show(map[string]string{"version": node.Version}, func(w io.Writer) { fmt.Fprintln(w, node.Version) })
		},
	}
}
