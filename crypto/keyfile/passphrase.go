package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"

	"filippo.io/age"
	"golang.org/x/text/unicode/norm"
)

// Work factors of scrypt, as powers of two (RFC 7914 with r = 8, p = 1). 18 is
// age's own default: about a second and 256 MiB. 20 takes a gigabyte.
const (
	DefaultWork = 18
	MaxWork     = 20
)

const ageIntro = "age-encryption.org/v1\n"

func isProtected(data []byte) bool { return bytes.HasPrefix(data, []byte(ageIntro)) }

// release gives back what scrypt took, 2^work KiB, which would else stay
// resident for long. It collects all garbage, so a little is let be.
func release(work int) {
	if work > 13 {
		debug.FreeOSMemory()
	}
}

// protect seals a document under a passphrase. work is a power of two, 0 for
// [DefaultWork].
func protect(data []byte, passphrase string, work int) ([]byte, error) {
	if work == 0 {
		work = DefaultWork
	}
	if work < 1 || work > MaxWork {
		return nil, fmt.Errorf("protect key file: scrypt work factor %d is not within 1 to %d", work, MaxWork)
	}
	r, err := age.NewScryptRecipient(norm.NFC.String(passphrase))
	if err != nil {
		return nil, fmt.Errorf("protect key file: %w: it is empty; nothing was written; choose one", ErrPassphrase)
	}
	r.SetWorkFactor(work)
	defer release(work)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		return nil, fmt.Errorf("protect key file: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("protect key file: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("protect key file: %w", err)
	}
	return out.Bytes(), nil
}

// unprotect opens what protect sealed; path is for the error alone.
func unprotect(path string, data []byte, passphrase string) ([]byte, error) {
	header, err := age.ExtractHeader(bytes.NewReader(data))
	if err != nil {
		return nil, damaged(path, "not an age file")
	}
	// age calls a file without a passphrase stanza a wrong passphrase.
	lines := strings.Split(string(header), "\n")
	stanza := strings.Split(lines[1], " ") // "->", type, salt, work factor
	if len(stanza) != 4 || stanza[1] != "scrypt" {
		return nil, damaged(path, "it is not protected by a passphrase")
	}
	id, err := age.NewScryptIdentity(norm.NFC.String(passphrase))
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w: it is empty; nothing was changed; give the file's passphrase", path, ErrPassphrase)
	}
	id.SetMaxWorkFactor(MaxWork)
	work, err := strconv.Atoi(stanza[3])
	if err != nil {
		return nil, damaged(path, "its work factor is no number")
	}
	defer release(work)
	r, err := age.Decrypt(bytes.NewReader(data), id)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, fmt.Errorf("read key file %s: %w; nothing was changed; try again, and if you are sure of the passphrase, restore the file from a backup", path, ErrPassphrase)
	}
	if err != nil {
		return nil, damaged(path, "its age header was altered")
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, damaged(path, "its end is missing or was altered")
	}
	return plain, nil
}
