package keyfile

import (
	"errors"
	"fmt"

	"github.com/national-alliance/alliance/crypto/seal"
)

// ReadingKey is the organisation's sealing identity of one epoch. Old epochs
// are kept, since old records are sealed to them.
type ReadingKey struct {
	Epoch    uint64
	Identity *seal.Identity
}

const readingKind = "alliance reading identities"

type readingFile struct {
	head
	Identities []readingEntry `json:"identities"`
	tail
}

type readingEntry struct {
	Epoch  uint64 `json:"epoch"`
	Secret string `json:"secret"`
}

// SealReading returns the file form of at least one reading identity, epochs
// ascending, under a passphrase: for a node folder or a recovery kit. work is
// scrypt's work factor, 0 for [DefaultWork].
func SealReading(keys []ReadingKey, passphrase string, work int) ([]byte, error) {
	if err := checkReading(keys); err != nil {
		return nil, fmt.Errorf("seal reading identities: %w; nothing was written", err)
	}
	var f readingFile
	for _, k := range keys {
		f.Identities = append(f.Identities, readingEntry{k.Epoch, k.Identity.Secret()})
	}
	return protect(encode(readingKind, &f), passphrase, work)
}

func checkReading(keys []ReadingKey) error {
	if len(keys) == 0 {
		return errors.New("there is none")
	}
	for i, k := range keys {
		if k.Identity == nil {
			return fmt.Errorf("epoch %d has no identity", k.Epoch)
		}
		if i > 0 && k.Epoch <= keys[i-1].Epoch {
			return fmt.Errorf("epoch %d does not come after %d", k.Epoch, keys[i-1].Epoch)
		}
	}
	return nil
}

// OpenReading opens what [SealReading] made. Errors wrap [ErrPassphrase] or
// [ErrDamaged] and name the path given.
func OpenReading(path string, data []byte, passphrase string) ([]ReadingKey, error) {
	plain, err := unprotect(path, data, passphrase)
	if err != nil {
		return nil, err
	}
	var f readingFile
	if err := decode(path, readingKind, plain, &f); err != nil {
		return nil, err
	}
	keys := make([]ReadingKey, len(f.Identities))
	for i, e := range f.Identities {
		id, err := seal.ParseIdentity(e.Secret)
		if err != nil {
			return nil, damaged(path, fmt.Sprintf("epoch %d is no identity", e.Epoch))
		}
		keys[i] = ReadingKey{e.Epoch, id}
	}
	if err := checkReading(keys); err != nil {
		return nil, damaged(path, err.Error())
	}
	return keys, nil
}

// SaveReading writes a new file of reading identities, of mode 0600; see
// [SealReading] and [WriteFile].
func SaveReading(path string, keys []ReadingKey, passphrase string, work int) error {
	data, err := SealReading(keys, passphrase, work)
	if err != nil {
		return err
	}
	return WriteFile(path, data, 0o600)
}

// LoadReading reads what [SaveReading] wrote, epochs ascending. Errors wrap
// [ErrPassphrase], [ErrDamaged], [ErrExposed] or fs.ErrNotExist.
func LoadReading(path, passphrase string) ([]ReadingKey, error) {
	data, err := readPrivate(path, 0)
	if err != nil {
		return nil, err
	}
	return OpenReading(path, data, passphrase)
}

// AddReading adds the identity of a new, highest epoch to a file. The old file
// stays until the new one is whole.
func AddReading(path string, key ReadingKey, passphrase string, work int) error {
	keys, err := LoadReading(path, passphrase)
	if err != nil {
		return err
	}
	return replaceReading(path, append(keys, key), passphrase, work)
}

// ChangePassphrase seals a file of reading identities anew. Copies of the old
// file still open with the old passphrase.
func ChangePassphrase(path, passphrase, next string, work int) error {
	keys, err := LoadReading(path, passphrase)
	if err != nil {
		return err
	}
	return replaceReading(path, keys, next, work)
}

func replaceReading(path string, keys []ReadingKey, passphrase string, work int) error {
	data, err := SealReading(keys, passphrase, work)
	if err != nil {
		return err
	}
	return ReplaceFile(path, data, 0o600)
}
