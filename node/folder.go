package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/protocol"
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
		err = fmt.Errorf("%s is no node's folder yet: run 'alliance init' for a new alliance, or 'alliance join' with a ticket", dir)
	case err == nil && f.Version > folderVersion:
		err = fmt.Errorf("%s was made or brought up to date by a newer program (folder version %d, this one knows %d): it was left as it is; install the current version of alliance, then start again", dir, f.Version, folderVersion)
	case err == nil && f.Version < folderVersion:
		err = fmt.Errorf("%s is damaged: it names no version of the folder; it was left as it is", identityPath(dir))
	}
	return f.identity, err
}

func saveIdentity(dir string, id identity) error {
	return writeJSON(identityPath(dir), identityFile{folderVersion, id})
}

func (j joining) request(from uint64) (membership.Ticket, membership.EnrolRequest, error) {
	t, err := membership.ParseTicket(j.Ticket)
	return t, membership.EnrolRequest{Token: t.Token, Org: j.Org, Node: j.Node, Of: j.Of, From: from}, err
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
