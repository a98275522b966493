package register

import (
	"fmt"

	"github.com/national-alliance/alliance/crypto/seal"
)

// checkRecipient refuses an encryption key that nobody could seal to, or that
// is written in another than its one form: not hybrid, not canonical, or with
// a low-order X25519 half.
func checkRecipient(text string) error {
	if _, err := seal.ParseRecipient(text); err != nil {
		return fmt.Errorf("check encryption key: %w", err)
	}
	return nil
}
