package keyfile

import "errors"

var (
	// ErrPassphrase: the passphrase does not open the file, or is missing.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrDamaged: the file is not what was once written.
	ErrDamaged = errors.New("key file is damaged")
	// ErrExposed: others could have read the file.
	ErrExposed = errors.New("others can read the key file")
)
