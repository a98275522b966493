package keyfile

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
)

// Secret is a symmetric key of 32 bytes. It prints as "[secret]".
type Secret [32]byte

// String, GoString and Format keep a secret out of logs and panics.
func (s Secret) String() string             { return "[secret]" }
func (s Secret) GoString() string           { return "[secret]" }
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// NodeKeys is what a node needs to run, but for reading what is sent to its
// organisation. A lost node is replaced by one with new keys, never restored,
// so there is no reason to keep a second copy of these.
type NodeKeys struct {
	Transport crypto.PrivateKey // of its libp2p peer ID
	Author    crypto.PrivateKey // signs records and receipts
	Sealing   *seal.Identity    // for what only this node may open
	StoreKey  Secret            // of the store's encryption
	RaftKey   Secret            // of the entries in the Raft log
}

const nodeKind = "alliance node keys"

type nodeFile struct {
	head
	Transport string `json:"transport"`
	Author    string `json:"author"`
	Sealing   string `json:"sealing"`
	Store     string `json:"store"`
	Raft      string `json:"raft"`
	tail
}

// GenerateNodeKeys draws all keys of a new node.
func GenerateNodeKeys() (*NodeKeys, error) {
	var k NodeKeys
	var err error
	if k.Transport, err = crypto.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("generate node keys: %w", err)
	}
	if k.Author, err = crypto.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("generate node keys: %w", err)
	}
	if k.Sealing, err = seal.GenerateIdentity(); err != nil {
		return nil, fmt.Errorf("generate node keys: %w", err)
	}
	rand.Read(k.StoreKey[:])
	rand.Read(k.RaftKey[:])
	return &k, nil
}

// SaveNodeKeys writes a new file of mode 0600; see [WriteFile].
func SaveNodeKeys(path string, k *NodeKeys) error {
	if k == nil || k.Transport.IsZero() || k.Author.IsZero() || k.Sealing == nil || k.StoreKey == (Secret{}) || k.RaftKey == (Secret{}) {
		return fmt.Errorf("save node keys: a key is unset; nothing was written")
	}
	return WriteFile(path, encode(nodeKind, &nodeFile{
		Transport: hex.EncodeToString(k.Transport.Seed()),
		Author:    hex.EncodeToString(k.Author.Seed()),
		Sealing:   k.Sealing.Secret(),
		Store:     hex.EncodeToString(k.StoreKey[:]),
		Raft:      hex.EncodeToString(k.RaftKey[:]),
	}), 0o600)
}

// LoadNodeKeys reads what [SaveNodeKeys] wrote. Errors wrap [fs.ErrNotExist],
// [ErrExposed] or [ErrDamaged], or are the system's own.
func LoadNodeKeys(path string) (*NodeKeys, error) { return loadNodeKeys(path, 0) }

// LoadNodeCredential is [LoadNodeKeys] for a file that a service supervisor
// hands over, in systemd's $CREDENTIALS_DIRECTORY or a mounted secret. There the group
// may have the right to read: systemd grants the service its access by an
// access list, whose mask shows in the group's bits.
func LoadNodeCredential(path string) (*NodeKeys, error) { return loadNodeKeys(path, 0o040) }

func loadNodeKeys(path string, allowed fs.FileMode) (*NodeKeys, error) {
	data, err := readPrivate(path, allowed)
	if err != nil {
		return nil, err
	}
	var f nodeFile
	if err := decode(path, nodeKind, data, &f); err != nil {
		return nil, err
	}
	var k NodeKeys
	if k.Transport, err = signingKey(path, "transport", f.Transport); err != nil {
		return nil, err
	}
	if k.Author, err = signingKey(path, "author", f.Author); err != nil {
		return nil, err
	}
	if k.Sealing, err = seal.ParseIdentity(f.Sealing); err != nil {
		return nil, damaged(path, "sealing is no identity")
	}
	if k.StoreKey, err = seed(path, "store", f.Store); err != nil {
		return nil, err
	}
	if k.RaftKey, err = seed(path, "raft", f.Raft); err != nil {
		return nil, err
	}
	return &k, nil
}

func signingKey(path, name, s string) (crypto.PrivateKey, error) {
	b, err := seed(path, name, s)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	return crypto.NewPrivateKey(b[:])
}
