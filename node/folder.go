package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/config"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// identity is node.json: which network, organisation and node a folder is.
type identity struct {
	Network protocol.NetworkID `json:"network"`
	Org     protocol.OrgID     `json:"organisation"`
	Node    protocol.NodeID    `json:"node"`
	Trial   bool               `json:"trial"`
}

// joining is join.json: a request that waits for its answer.
type joining struct {
	Ticket  string         `json:"ticket"`
	Org     []byte         `json:"organisation_request,omitempty"`
	Node    []byte         `json:"node_request,omitempty"`
	Of      protocol.OrgID `json:"of"`
	Started int64          `json:"started"`
}

// folderVersion is how a node's folder is laid out: which files and rows stand
// in it and what they mean. A program that reads an older one brings it up to
// date; a newer one it leaves alone.
const folderVersion = 1

// identityFile is node.json as it stands on the disk.
type identityFile struct {
	Version int `json:"version"`
	identity
}

func identityPath(dir string) string { return filepath.Join(dir, "node.json") }
func joiningPath(dir string) string  { return filepath.Join(dir, "join.json") }

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return keyfile.WriteFile(path, append(b, '\n'), 0o600)
}

func loadIdentity(dir string) (identity, error) {
	var f identityFile
	err := readJSON(identityPath(dir), &f)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = noFolder(dir)
	case err == nil && f.Version > folderVersion:
		err = fmt.Errorf("%s was made or brought up to date by a newer program (folder version %d, this one knows %d): it was left as it is; install the current version of alliance, then start again", dir, f.Version, folderVersion)
	case err == nil && f.Version < folderVersion:
		err = fmt.Errorf("%s is damaged: it names no version of the folder; it was left as it is", identityPath(dir))
	}
	return f.identity, err
}

// GenesisFile is the name of the founding operation in a folder that is not
// founded yet.
const GenesisFile = "genesis.op"

// noFolder says why a folder is no node's, by its whole path: people run
// commands elsewhere than they think.
func noFolder(dir string) error {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no folder %s: name the node's folder with --dir; a new one is made by 'alliance init' for a new alliance, or 'alliance join' with a ticket", dir)
	}
	if genesis := filepath.Join(dir, GenesisFile); exists(genesis) {
		return fmt.Errorf("%s holds an alliance that was prepared and is not founded yet: when all have signed %s, finish with 'alliance init --dir %s --genesis %s'", dir, genesis, dir, genesis)
	}
	return fmt.Errorf("%s is no node's folder yet: run 'alliance init' for a new alliance, or 'alliance join' with a ticket", dir)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// loadNodeKeys reads the node's keys from where the settings say.
func loadNodeKeys(dir, credential string) (*keyfile.NodeKeys, error) {
	load, path := keyfile.LoadNodeKeys, nodeKeyPath(dir)
	if credential != "" {
		load, path = keyfile.LoadNodeCredential, credential
	}
	k, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the node's keys are not at %s; nothing was changed: put the file back, or name the place to which it was moved as node_key_file in %s; if it is lost, this node is to be replaced: %w", path, config.FileName, fs.ErrNotExist)
	}
	return k, err
}

func saveIdentity(dir string, id identity) error {
	return writeJSON(identityPath(dir), identityFile{folderVersion, id})
}

func (j joining) request(from uint64) (membership.Ticket, membership.EnrolRequest, error) {
	t, err := membership.ParseTicket(j.Ticket)
	return t, membership.EnrolRequest{Token: t.Token, Org: j.Org, Node: j.Node, Of: j.Of, From: from}, err
}

// fingerprint is what people compare by phone while the request waits.
func (j joining) fingerprint(id identity) string {
	if j.Org == nil {
		return register.Fingerprint(id.Node)
	}
	c, err := register.DecodeSignedRequest(j.Org)
	if err != nil {
		return ""
	}
	return c.Fingerprint()
}

// newFolder makes a node's folder with its keys; an existing one is refused.
func newFolder(dir string) (*keyfile.NodeKeys, error) {
	if _, err := os.Stat(identityPath(dir)); err == nil {
		return nil, fmt.Errorf("%s is a node's folder already: nothing was changed; choose another folder", dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return nil, fmt.Errorf("make node folder: %w", err)
	}
	k, err := keyfile.GenerateNodeKeys()
	if err != nil {
		return nil, err
	}
	return k, keyfile.SaveNodeKeys(nodeKeyPath(dir), k)
}
