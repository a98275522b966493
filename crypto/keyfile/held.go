package keyfile

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/national-alliance/alliance/crypto"
)

// HeldKey is the public half of a key with which one person signs operations
// and which something else holds, and that person's random ID.
type HeldKey struct {
	Person crypto.Hash
	Key    crypto.PublicKey
}

const heldKind = "alliance held key"

type heldFile struct {
	head
	Person string `json:"person"`
	Key    string `json:"key"`
	tail
}

// SaveHeld writes a new file that everyone may read.
func SaveHeld(path string, k HeldKey) error {
	if k.Key.Check() != nil || k.Person.IsZero() {
		return fmt.Errorf("save held key: the key is none, or the person's ID is unset; nothing was written")
	}
	return WriteFile(path, encode(heldKind, &heldFile{Person: k.Person.String(), Key: k.Key.String()}), 0o644)
}

// LoadHeld reads what [SaveHeld] wrote. It reports false, and reads nothing of
// it, where the file is of another kind: a signing key, say, of which whoever
// loads it must know that nobody else could read it. One that others could have
// changed is [ErrExposed]: it says who the person is.
func LoadHeld(path string) (k HeldKey, ok bool, err error) {
	data, err := readPrivate(path, 0o077)
	if err != nil {
		return k, false, err
	}
	var h head
	if json.Unmarshal(data, &h) != nil || h.File != heldKind {
		return k, false, nil
	}
	if data, err = readPrivate(path, 0o055); errors.Is(err, ErrExposed) {
		return k, false, fmt.Errorf("read key file %s: %w, and change it: it is no secret, but says who signs; nothing was read; if it is as it was made run: chmod 644 %s", path, ErrExposed, path)
	} else if err != nil {
		return k, false, err
	}
	var f heldFile
	if err := decode(path, heldKind, data, &f); err != nil {
		return k, false, err
	}
	if k.Person, err = seed(path, "person", f.Person); err != nil {
		return HeldKey{}, false, err
	}
	if k.Key, err = seed(path, "key", f.Key); err != nil {
		return HeldKey{}, false, err
	}
	if k.Key.Check() != nil || k.Person.IsZero() {
		return HeldKey{}, false, damaged(path, "its key is none")
	}
	return k, true, nil
}
