package keyfile

import (
	"encoding/hex"
	"fmt"

	"github.com/national-alliance/alliance/crypto"
)

// SigningKey is the key with which one person signs operations, and that
// person's random ID, so that two keys of one person count once.
type SigningKey struct {
	Person crypto.Hash
	Key    crypto.PrivateKey
}

const signingKind = "alliance signing key"

type signingFile struct {
	head
	Person string `json:"person"`
	Seed   string `json:"seed"`
	tail
}

// SaveSigning writes a new file of mode 0600, under a passphrase unless it is
// empty. work is scrypt's work factor, 0 for [DefaultWork].
func SaveSigning(path string, k SigningKey, passphrase string, work int) error {
	if k.Key.IsZero() || k.Person.IsZero() {
		return fmt.Errorf("save signing key: the key or the person's ID is unset; nothing was written")
	}
	data := encode(signingKind, &signingFile{Person: k.Person.String(), Seed: hex.EncodeToString(k.Key.Seed())})
	if passphrase != "" {
		var err error
		if data, err = protect(data, passphrase, work); err != nil {
			return err
		}
	}
	return WriteFile(path, data, 0o600)
}

// SigningProtected says whether a signing key file asks for a passphrase.
func SigningProtected(path string) (bool, error) {
	data, err := readPrivate(path, 0)
	return isProtected(data), err
}

// LoadSigning reads what [SaveSigning] wrote; the passphrase is not looked at
// where the file has none. Errors wrap [ErrPassphrase], [ErrDamaged], [ErrExposed]
// or fs.ErrNotExist.
func LoadSigning(path, passphrase string) (SigningKey, error) {
	data, err := readPrivate(path, 0)
	if err != nil {
		return SigningKey{}, err
	}
	if isProtected(data) {
		if data, err = unprotect(path, data, passphrase); err != nil {
			return SigningKey{}, err
		}
	}
	var f signingFile
	if err := decode(path, signingKind, data, &f); err != nil {
		return SigningKey{}, err
	}
	var k SigningKey
	if k.Person, err = seed(path, "person", f.Person); err != nil {
		return SigningKey{}, err
	}
	if k.Key, err = signingKey(path, "seed", f.Seed); err != nil {
		return SigningKey{}, err
	}
	return k, nil
}
