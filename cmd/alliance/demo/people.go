package demo

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/api"
)

// person is a signing key's public half, as 'alliance key new' prints it.
type person struct {
	Word string `json:"person"`
}

// newKey makes a person's signing key in a file of its own.
func (d *demo) newKey(ctx context.Context, name string) (file, word string, err error) {
	file = d.path("people", name+".key")
	p, err := ask[person](ctx, d, "key", "new", "--out", file, "--no-passphrase")
	return file, p.Word, err
}

func (d *demo) officer(i int) string { return d.path("people", "officer-"+d.plan.Officers[i]+".key") }

// draft has a node draft an operation into a file of the papers.
func (d *demo) draft(ctx context.Context, at *node, kind string, args ...string) (string, error) {
	d.papers++
	file := d.path("papers", fmt.Sprintf("%02d-%s.op", d.papers, kind))
	_, err := d.command(ctx, append([]string{"op", "draft", kind, "--out", file, "--dir", at.dir}, args...)...)
	return file, err
}

// sign signs operations with a key: the files get the signature.
func (d *demo) sign(ctx context.Context, key string, files ...string) error {
	_, err := d.command(ctx, append(append([]string{"op", "sign"}, files...), "--key", key, "--yes")...)
	return err
}

// submit hands signed operations to a node; copies of one count as one. A node
// that finds no leader says so, and is asked again.
func (d *demo) submit(ctx context.Context, at *node, files ...string) error {
	return d.until(ctx, "an operation to be taken", func() (bool, error) {
		_, err := d.command(ctx, append(append([]string{"op", "submit"}, files...), "--dir", at.dir)...)
		var e *commandError
		if errors.As(err, &e) && e.code == api.Unavailable.Exit() {
			return false, err
		}
		return true, err
	})
}

// byAdmin drafts, signs and submits what the secretariat's administrator may
// do alone.
func (d *demo) byAdmin(ctx context.Context, at *node, kind string, args ...string) error {
	file, err := d.draft(ctx, at, kind, args...)
	if err != nil {
		return err
	}
	if err := d.sign(ctx, d.admin, file); err != nil {
		return err
	}
	return d.submit(ctx, at, file)
}

// ceremony has as many officers as must agree sign a drafted operation, each
// on a copy of their own, as if each sat elsewhere.
func (d *demo) ceremony(ctx context.Context, file string) (copies []string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for i := range d.plan.Threshold {
		own := file[:len(file)-len(".op")] + "-" + d.plan.Officers[i] + ".op"
		if err := keyfile.WriteFile(own, b, 0o600); err != nil {
			return nil, err
		}
		if err := d.sign(ctx, d.officer(i), own); err != nil {
			return nil, err
		}
		copies = append(copies, own)
	}
	return copies, nil
}
