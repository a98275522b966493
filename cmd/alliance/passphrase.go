package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/protocol"
)

// passphrase takes a passphrase from a file's first line ("-": of stdin), or
// asks at the terminal without showing it, twice where it is a new one. what
// says what it is for. A new one has [node.MinPassphrase] characters or more.
func (p *program) passphrase(file, what string, isNew bool) (string, error) {
	if file != "" {
		phrase, err := p.passphraseFile(file)
		if err == nil && isNew {
			err = longEnough(phrase)
		}
		return phrase, err
	}
	f, ok := p.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", hint(usage("a passphrase is needed for %s, and there is no terminal to ask for it", what), "give it with --passphrase-file")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprintf(p.err, "%s: ", prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(p.err)
		return string(b), err
	}
	return typed(ask, what, isNew)
}

// typed asks for a passphrase at a prompt.
func typed(ask func(prompt string) (string, error), what string, isNew bool) (string, error) {
	prompt := "Passphrase for " + what
	if isNew {
		prompt = fmt.Sprintf("New passphrase for %s (at least %d characters; six words are good)", what, node.MinPassphrase)
	}
	first, err := ask(prompt)
	switch {
	case err != nil:
		return "", fmt.Errorf("read passphrase: %w", err)
	case first == "":
		return "", usage("no passphrase was typed; nothing was changed")
	case !isNew:
		return first, nil
	}
	if err := longEnough(first); err != nil {
		return "", err
	}
	again, err := ask("The same again")
	switch {
	case err != nil:
		return "", fmt.Errorf("read passphrase: %w", err)
	case again != first:
		return "", usage("the two passphrases differ; nothing was written")
	}
	return first, nil
}

// longEnough refuses a new passphrase that could be guessed.
func longEnough(phrase string) error {
	if err := node.CheckPassphrase(phrase); err != nil {
		return hint(usage("%v; nothing was written", err), "six words that have nothing to do with each other are easy to keep and hard to guess")
	}
	return nil
}

func (p *program) passphraseFile(file string) (string, error) {
	r := p.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read passphrase file: %w", err)
		}
		defer f.Close()
		if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			p.say("others can read %s: chmod 600 %s", file, file)
		}
		r = f
	}
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read passphrase file: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usage("read passphrase file %s: its first line is empty; nothing was changed", file)
	}
	return line, nil
}

// signingKey loads a person's key file, and asks for its passphrase where it
// has one. A key that an ssh-agent holds is asked for when it signs.
func (p *program) signingKey(path, passphraseFile string) (node.Person, error) {
	held, ok, err := keyfile.LoadHeld(path)
	if err != nil {
		return node.Person{}, err
	}
	if ok {
		return node.Person{ID: protocol.PersonID(held.Person), Key: p.heldBy(held.Key)}, nil
	}
	protected, err := keyfile.SigningProtected(path)
	if err != nil {
		return node.Person{}, err
	}
	pass := ""
	if protected {
		if pass, err = p.passphrase(passphraseFile, path, false); err != nil {
			return node.Person{}, err
		}
	}
	k, err := keyfile.LoadSigning(path, pass)
	if err != nil {
		return node.Person{}, err
	}
	return node.Person{ID: protocol.PersonID(k.Person), Key: k.Key}, nil
}

// atHand makes sure, before a person is asked anything, that a key file is one,
// and that the ssh-agent has the key where it is to sign.
func atHand(path string) error {
	held, ok, err := keyfile.LoadHeld(path)
	if err != nil {
		return err
	}
	if !ok {
		_, err := keyfile.SigningProtected(path)
		return err
	}
	a, err := theAgent()
	if err == nil {
		_, err = a.holding(held.Key)
	}
	return err
}

// confirm asks at a terminal before signing n operations.
func (p *program) confirm(yes bool, n int) error {
	f, ok := p.in.(*os.File)
	if yes || !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	fmt.Fprintf(p.err, "Sign %d? Type yes: ", n)
	line, err := bufio.NewReader(io.LimitReader(f, 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return usage("not signed, and nothing was changed")
	}
	return nil
}
