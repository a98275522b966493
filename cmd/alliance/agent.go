package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/node/api"
)

// How long an ssh-agent has to list its keys, and to sign: meanwhile a person
// may be asked, type a PIN or touch a token.
const (
	agentLists = 10 * time.Second
	agentSigns = 3 * time.Minute
)

// sshAgent is the agent behind a Unix socket; each question is a connection of
// its own, so that nothing is held open while a person thinks.
type sshAgent struct {
	socket       string
	lists, signs time.Duration
}

// agentKey is one that an agent lists.
type agentKey struct {
	*agent.Key
	public crypto.PublicKey // zero where it cannot sign here
	why    string           // it cannot
}

func (k agentKey) fingerprint() string { return ssh.FingerprintSHA256(k.Key) }

// label is what its owner called it, fit for a terminal: an agent may list anything.
func (k agentKey) label() string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, k.Comment)
}

func theAgent() (sshAgent, error) {
	a := sshAgent{os.Getenv("SSH_AUTH_SOCK"), agentLists, agentSigns}
	if a.socket == "" {
		return a, hint(api.Errorf(api.Unavailable, "no ssh-agent is at hand: SSH_AUTH_SOCK is not set; nothing was signed"),
			"start one with 'eval $(ssh-agent)' and add the key with 'ssh-add'; sudo and some desktops drop the variable")
	}
	return a, nil
}

// agentKeys lists what the ssh-agent holds.
func agentKeys() ([]agentKey, error) {
	a, err := theAgent()
	if err != nil {
		return nil, err
	}
	return a.keys()
}

// ask connects, for at most so long.
func (a sshAgent) ask(wait time.Duration, do func(agent.ExtendedAgent) error) error {
	deadline := time.Now().Add(wait)
	conn, err := net.DialTimeout("unix", a.socket, wait)
	if err == nil {
		defer conn.Close()
		conn.SetDeadline(deadline)
		err = do(agent.NewClient(conn))
	}
	switch {
	case err == nil:
		return nil
	case !time.Now().Before(deadline):
		return hint(api.Errorf(api.Unavailable, "the ssh-agent at %s did not answer within %s; nothing was signed", a.socket, wait), "does it wait for you, in a window or for a touch? Try again")
	}
	return hint(api.Errorf(api.Unavailable, "ask the ssh-agent at %s: %v; nothing was signed", a.socket, err), "'ssh-add -l' says whether it runs; SSH_AUTH_SOCK names its socket")
}

// keys lists what the agent holds; one that shows nothing may be locked.
func (a sshAgent) keys() (out []agentKey, err error) {
	err = a.ask(a.lists, func(c agent.ExtendedAgent) error {
		list, err := c.List()
		for _, k := range list {
			out = append(out, read(k))
		}
		return err
	})
	if err == nil && len(out) == 0 {
		err = hint(api.Errorf(api.Locked, "the ssh-agent shows no keys: it is locked, or none was added; nothing was signed"), "'ssh-add -X' unlocks it, 'ssh-add FILE' adds a key")
	}
	return out, err
}

// read says of a listed key whether it can sign here, and if not, why.
func read(k *agent.Key) agentKey {
	key := agentKey{Key: k}
	switch {
	case strings.Contains(k.Format, "-cert-"):
		key.why = "it is a certificate; the plain key beside it can be named"
	case strings.HasPrefix(k.Format, "sk-"):
		key.why = "a security key signs other bytes than those it is given, with a counter among them, and no member could check that"
	case k.Format != ssh.KeyAlgoED25519:
		key.why = "operations are signed with Ed25519"
	default:
		key.why = "it is no sound Ed25519 key"
		var wire struct {
			Format string
			Key    []byte
		}
		if ssh.Unmarshal(k.Blob, &wire) == nil {
			if public, err := crypto.ParsePublicKey(wire.Key); err == nil {
				key.public, key.why = public, ""
			}
		}
	}
	return key
}

// pick returns the one key that a person means: by fingerprint, comment,
// public key as ssh prints it, or the beginning of the ID it has here.
func pick(keys []agentKey, which string) (agentKey, error) {
	if which == "" {
		return agentKey{}, hint(usage("--agent names no key; nothing was written"), "'alliance key agent' lists them")
	}
	wanted := []byte{0} // no key's
	if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(which)); err == nil {
		wanted = k.Marshal()
	}
	var good, bad []agentKey
	for _, k := range keys {
		id := k.public.ID().String()
		switch {
		case !bytes.Equal(k.Blob, wanted) && which != k.fingerprint() && which != k.Comment && (k.why != "" || len(which) < 8 || !strings.HasPrefix(id, which)):
		case k.why != "":
			bad = append(bad, k)
		default:
			good = append(good, k)
		}
	}
	switch {
	case len(good) == 1:
		return good[0], nil
	case len(good) > 1:
		var names []string
		for _, k := range good {
			names = append(names, k.fingerprint())
		}
		return agentKey{}, hint(usage("%d keys in the ssh-agent are %q; nothing was written", len(good), which), "name one by its fingerprint: %s", strings.Join(names, ", "))
	case len(bad) > 0:
		return agentKey{}, hint(api.Errorf(api.Refused, "the ssh-agent's key %q is of the type %s and cannot sign here: %s; nothing was written", bad[0].label(), bad[0].Format, bad[0].why),
			"'ssh-keygen -t ed25519' makes one that can; so do tokens that hold plain Ed25519 keys")
	}
	return agentKey{}, hint(api.Errorf(api.NotFound, "no key in the ssh-agent is %q; nothing was written", which), "'alliance key agent' lists them")
}

// holding finds a public key in the agent.
func (a sshAgent) holding(public crypto.PublicKey) (agentKey, error) {
	keys, err := a.keys()
	if err != nil {
		return agentKey{}, err
	}
	for _, k := range keys {
		if k.public == public {
			return k, nil
		}
	}
	return agentKey{}, hint(api.Errorf(api.NotFound, "the ssh-agent does not hold key %s; nothing was signed", brief(public.ID().String())), "add it with 'ssh-add', or put the token in; 'alliance key agent' lists what is there")
}

// signature asks the agent for a signature over a message.
func (a sshAgent) signature(public crypto.PublicKey, message []byte) ([]byte, error) {
	k, err := a.holding(public)
	if err != nil {
		return nil, err
	}
	var sig *ssh.Signature
	asked := time.Now()
	failed := a.ask(a.signs, func(c agent.ExtendedAgent) (err error) {
		sig, err = c.Sign(k, message)
		return err
	})
	if failed == nil {
		if err := k.Verify(message, sig); err != nil {
			return nil, hint(api.Errorf(api.Refused, "the ssh-agent answered with what is no signature of key %s over these bytes; nothing was signed", brief(public.ID().String())),
				"do not use this agent: it is broken, or lies")
		}
		return sig.Blob, nil
	}
	// An agent says only that it failed. What it lists now tells one that was
	// locked or lost its token from one that was told not to.
	if _, err := a.holding(public); err != nil {
		return nil, err
	}
	if time.Since(asked) >= a.signs {
		return nil, failed
	}
	return nil, hint(api.Errorf(api.Refused, "the ssh-agent refused to sign with key %s; nothing was signed", brief(public.ID().String())),
		"where it asks for a confirmation (ssh-add -c), a PIN or a touch, try again and give it; it may have been told No, or nobody could be asked")
}

// heldBy is the signer of a key in the agent, which is asked when it signs.
func (p *program) heldBy(public crypto.PublicKey) crypto.Signer {
	return crypto.Held(public, func(message []byte) ([]byte, error) {
		a, err := theAgent()
		if err != nil {
			return nil, err
		}
		p.say("the ssh-agent is asked to sign with key %s; it may want you to confirm", brief(public.ID().String()))
		return a.signature(public, message)
	})
}

// listedKey is a key as key agent prints it.
type listedKey struct {
	Key         string `json:"key_id"`
	Fingerprint string `json:"fingerprint"`
	Comment     string `json:"comment"`
}

func (p *program) keyAgent() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "list the Ed25519 keys that the ssh-agent holds",
		Long: `Lists the Ed25519 keys in the ssh-agent at SSH_AUTH_SOCK: of each the beginning of
the ID that it has here, its fingerprint as ssh prints it, and its comment. With
any of these 'alliance key new --agent' takes it for a person. Keys of other types,
and security keys (sk-…), cannot sign here and are only counted.

Exit codes: 6 where it shows none, since a locked agent shows none; 7 where there
is no agent.`,
		Example: "  alliance key agent",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			keys, err := agentKeys()
			if err != nil {
				return err
			}
			list := []listedKey{}
			for _, k := range keys {
				if k.why == "" {
					list = append(list, listedKey{k.public.ID().String(), k.fingerprint(), k.label()})
				}
			}
			if n := uint64(len(keys) - len(list)); n > 0 {
				p.say("%s in the ssh-agent cannot sign here", plural(n, "other key", "other keys"))
			}
			return p.show(list, func(w io.Writer) {
				for _, k := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\n", brief(k.Key), k.Fingerprint, k.Comment)
				}
			})
		},
	}
}
