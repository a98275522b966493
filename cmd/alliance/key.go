package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

func (p *program) key() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "signing keys of people, and the organisation's next encryption key"}
	c.AddCommand(p.keyNew(), p.keyAgent(), p.keyShow(), p.keyNext())
	return c
}

// personView is a person's public key as it is handed to whoever drafts.
type personView struct {
	Person string `json:"person"` // the word
	ID     string `json:"person_id"`
	Key    string `json:"key_id"`
}

func (p *program) showPerson(m register.Member) error {
	v := personView{node.PersonText(m), m.Person.String(), m.Key.ID().String()}
	if !p.json { // beside the word, which is often taken into a variable
		p.say("key %s", brief(v.Key))
	}
	return p.show(v, func(w io.Writer) { fmt.Fprintln(w, v.Person) })
}

func (p *program) keyNew() *cobra.Command {
	var out, pass, which string
	var work int
	var bare bool
	c := &cobra.Command{
		Use:   "new --out FILE",
		Short: "make a signing key and print its public half",
		Long: `Makes a signing key for one person, with a random ID that stands for that person
in the register instead of a name, and prints the public half: one word, to hand
to whoever drafts. Make it on the person's own machine, never on the node.

With --agent no key is made: the ssh-agent at SSH_AUTH_SOCK holds it, or a token
behind it, and the file has only its public half and the person's ID, no secret.
Such a file is given wherever a key file is, and the agent signs. Name the key by
fingerprint, comment, its line in a .pub file, or the ID that 'alliance key agent'
prints. Take a key that serves nothing else, and do not forward that agent: whoever
reaches it can sign. Exit codes then: 2 two keys match; 3 none does; 4 it is of a
type that cannot sign here; 6 the agent is locked or empty; 7 there is none.`,
		Example: `  alliance key new --out asha.key
  alliance key new --agent asha@token --out asha.key`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := need(c, "out"); err != nil {
				return err
			}
			if c.Flags().Changed("agent") {
				for _, f := range []string{"passphrase-file", "no-passphrase", "scrypt-work"} {
					if c.Flags().Changed(f) {
						return usage("--%s is for a key in a file, and --agent names one that the ssh-agent holds; nothing was written", f)
					}
				}
				return p.keyHeld(out, which)
			}
			phrase := ""
			if !bare {
				var err error
				if phrase, err = p.passphrase(pass, "the new key "+out, true); err != nil {
					return err
				}
			}
			key, err := crypto.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			k := keyfile.SigningKey{Key: key}
			if _, err := rand.Read(k.Person[:]); err != nil {
				return err
			}
			if err := keyfile.SaveSigning(out, k, phrase, work); err != nil {
				return asInput(err)
			}
			return p.showPerson(register.Member{Key: key.Public(), Person: protocol.PersonID(k.Person)})
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "the file to write")
	f.StringVar(&which, "agent", "", "make no key, but take this one of the ssh-agent's")
	f.StringVar(&pass, "passphrase-file", "", "take the passphrase from this file's first line; - is stdin")
	f.BoolVar(&bare, "no-passphrase", false, "protect the file by its mode alone: for a disk that is guarded otherwise, and for trials")
	f.IntVar(&work, "scrypt-work", 0, "work factor of the passphrase, a power of two; 0 is 18, about a second")
	return c
}

// keyHeld writes the file of a key that the ssh-agent holds.
func (p *program) keyHeld(out, which string) error {
	keys, err := agentKeys()
	if err != nil {
		return err
	}
	key, err := pick(keys, which)
	if err != nil {
		return err
	}
	k := keyfile.HeldKey{Key: key.public}
	if _, err := rand.Read(k.Person[:]); err != nil {
		return err
	}
	if err := keyfile.SaveHeld(out, k); err != nil {
		return asInput(err)
	}
	return p.showPerson(register.Member{Key: k.Key, Person: protocol.PersonID(k.Person)})
}

func (p *program) keyShow() *cobra.Command {
	var pass, network, purpose, org string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "print a signing key's public half",
		Long: `Prints a signing key's public half as one word, be the key in the file or held by
an ssh-agent. For an alliance that stands
already the word carries a proof that its holder has the key: then say for which
network and as what; an administrator also of which organisation. The IDs stand
in 'alliance status --json' and 'alliance org list --json'. A founding officer or
administrator, and those of a newcomer, sign as a whole and give no proof.`,
		Example: `  alliance key show asha.key
  alliance key show asha.key --network 4f1c… --purpose officer`,
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := p.signingKey(args[0], pass)
			if err != nil {
				return err
			}
			m := register.Member{Key: k.Key.Public(), Person: k.ID}
			if network != "" || purpose != "" || org != "" {
				if m.Proof, err = prove(k, network, purpose, org); err != nil {
					return err
				}
			}
			return p.showPerson(m)
		},
	}
	f := c.Flags()
	f.StringVar(&pass, "passphrase-file", "", "take the key's passphrase from this file's first line; - is stdin")
	f.StringVar(&network, "network", "", "prove possession in the network with this ID, 64 hex digits")
	f.StringVar(&purpose, "purpose", "", "as officer or administrator")
	f.StringVar(&org, "organisation", "", "of the organisation with this ID, 64 hex digits; administrators only")
	return c
}

// nextKey is what key next prints.
type nextKey struct {
	Epoch     uint64 `json:"epoch"`
	Recipient string `json:"recipient"`
	File      string `json:"file"`
}

func (p *program) keyNext() *cobra.Command {
	var pass string
	c := &cobra.Command{
		Use:   "next --dir DIR",
		Short: "make the organisation's next reading identity, and print its encryption key",
		Long: `Adds the reading identity of the next epoch to the node's keys/reading.age, under
the same passphrase, and prints the encryption key to publish. Nothing is sealed to
it before the organisation's administrators have published it; what was sealed to
the earlier ones stays readable. Run twice before that, it prints the same again.

Afterwards: 'alliance op draft publish-key --recipient KEY', sign, submit; then
'alliance unlock', so that the running node takes it up, and a new copy of
keys/reading.age into the safe, and onto the organisation's other nodes.`,
		Example: "  alliance key next --dir /var/lib/alliance",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := p.folder()
			if err != nil {
				return err
			}
			id, err := node.Identify(dir)
			if err != nil {
				return err
			}
			cfg, err := loadConfig(dir)
			if err != nil {
				return err
			}
			own, err := ask[api.Org](c.Context(), p, "GET", "/orgs/"+id.Org.String(), nil)
			if err != nil {
				return err
			}
			phrase, err := p.passphrase(pass, "the reading identity", false)
			if err != nil {
				return err
			}
			v, err := addNext(filepath.Join(dir, "keys", "reading.age"), phrase, own.Epoch, cfg.ScryptWork)
			if err != nil {
				return err
			}
			return p.show(v, func(w io.Writer) { fmt.Fprintln(w, v.Recipient) })
		},
	}
	c.Flags().StringVar(&pass, "passphrase-file", "", "take the passphrase from this file's first line; - is stdin")
	return c
}

// addNext adds the identity after the published epoch, unless it is there.
func addNext(path, passphrase string, published uint64, work int) (nextKey, error) {
	keys, err := keyfile.LoadReading(path, passphrase)
	if err != nil {
		return nextKey{}, err
	}
	v := nextKey{Epoch: published + 1, File: path}
	switch last := keys[len(keys)-1]; {
	case last.Epoch == v.Epoch:
		v.Recipient = last.Identity.Recipient().String()
		return v, nil
	case last.Epoch != published:
		return v, api.Errorf(api.Conflict, "%s ends with epoch %d and the register has epoch %d published: nothing was changed; put the newest copy of that file in its place first", path, last.Epoch, published)
	}
	id, err := seal.GenerateIdentity()
	if err != nil {
		return v, err
	}
	v.Recipient = id.Recipient().String()
	return v, keyfile.AddReading(path, keyfile.ReadingKey{Epoch: v.Epoch, Identity: id}, passphrase, work)
}

func prove(k node.Person, network, purpose, org string) (crypto.Signature, error) {
	var n protocol.NetworkID
	if err := n.UnmarshalText([]byte(network)); err != nil {
		return crypto.Signature{}, usage("--network is the ID of the network, 64 hex digits: 'alliance status --json' has it")
	}
	var o protocol.OrgID
	switch purpose {
	case "officer":
		if org != "" {
			return crypto.Signature{}, usage("an officer is of no organisation: leave out --organisation")
		}
		return register.ProveWith(k.Key, n, register.ForOfficer, o, k.ID)
	case "administrator":
		if err := o.UnmarshalText([]byte(org)); err != nil {
			return crypto.Signature{}, usage("--organisation is the organisation's ID, 64 hex digits: 'alliance org list --json' has it")
		}
		return register.ProveWith(k.Key, n, register.ForAdministrator, o, k.ID)
	}
	return crypto.Signature{}, usage("--purpose is officer or administrator, not %q", purpose)
}
