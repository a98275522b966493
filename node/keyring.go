package node

import (
	"errors"
	"path/filepath"
	"sync"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
)

// keyring holds the organisation's reading identities once they are unlocked,
// newest first.
type keyring struct {
	path string

	mu  sync.RWMutex
	ids []*seal.Identity
}

// Identities returns them, or false while the node is locked.
func (k *keyring) Identities() ([]*seal.Identity, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.ids, len(k.ids) > 0
}

// unlock opens the key file with a passphrase. scrypt takes about a second.
func (k *keyring) unlock(passphrase string) error {
	keys, err := keyfile.LoadReading(k.path, passphrase)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return errors.New("unlock: the file of reading identities is empty")
	}
	k.set(keys)
	return nil
}

func (k *keyring) set(keys []keyfile.ReadingKey) {
	ids := make([]*seal.Identity, 0, len(keys))
	for i := len(keys) - 1; i >= 0; i-- {
		ids = append(ids, keys[i].Identity)
	}
	k.mu.Lock()
	k.ids = ids
	k.mu.Unlock()
}

// Paths of the keys in a node's folder.
func nodeKeyPath(dir string) string       { return filepath.Join(dir, "keys", "node.key") }
func readingKeyPath(dir string) string    { return filepath.Join(dir, "keys", "reading.age") }
func checkpointKeyPath(dir string) string { return filepath.Join(dir, "keys", "checkpoint.key") }
