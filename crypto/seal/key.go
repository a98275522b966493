package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/national-alliance/alliance/crypto"
)

// KeySize is the size in bytes of a feed key.
const KeySize = 32

// MaxReaders is how many recipients a key file may have. age itself parses up
// to 1,024 stanzas, and encrypts to more that nobody can ever open.
const MaxReaders = 1000

// FeedKey opens the sections of one feed, from one key record to the next. It
// prints as "[feed key]" and refuses to be JSON or text.
type FeedKey [KeySize]byte

// NewFeedKey draws a feed key.
func NewFeedKey(random io.Reader) (k FeedKey, err error) {
	if _, err := io.ReadFull(random, k[:]); err != nil {
		return FeedKey{}, fmt.Errorf("generate feed key: %w", err)
	}
	return k, nil
}

// String, GoString and Format keep a feed key out of logs and panics.
func (k FeedKey) String() string             { return "[feed key]" }
func (k FeedKey) GoString() string           { return "[feed key]" }
func (k FeedKey) Format(f fmt.State, _ rune) { io.WriteString(f, "[feed key]") }

// MarshalText refuses: a feed key has no text form, in JSON neither.
func (k FeedKey) MarshalText() ([]byte, error) { return nil, errors.New("a feed key has no text form") }

// Commit returns the commitment to a feed key that its key record shows: the
// labelled hash "feed-key-commitment" over the key, the feed, and the key
// record's number and the number of the reader set, eight bytes each.
func Commit(key FeedKey, network, feed crypto.Hash, seq uint64, set int) crypto.Hash {
	h := crypto.NewHash("feed-key-commitment", network)
	h.Part(key[:])
	h.Part(feed[:])
	h.Uint(seq)
	h.Uint(uint64(set))
	return h.Sum()
}

// SealKey seals a feed key to 1 to [MaxReaders] different recipients, and
// returns a key file. Its size is 134 + 1557 bytes a recipient.
func SealKey(key FeedKey, to []*Recipient) ([]byte, error) {
	if len(to) < 1 || len(to) > MaxReaders {
		return nil, fmt.Errorf("seal key: want 1 to %d recipients, got %d", MaxReaders, len(to))
	}
	seen := make(map[string]bool, len(to))
	rs := make([]age.Recipient, len(to))
	for i, r := range to {
		switch {
		case r == nil || r.key == nil:
			return nil, fmt.Errorf("seal key: recipient %d: %w", i, errRecipient)
		case seen[r.text]:
			return nil, fmt.Errorf("seal key: recipient %d occurs twice", i)
		}
		seen[r.text] = true
		rs[i] = r.key
	}
	var out bytes.Buffer
	out.Grow(keyFileLen(len(to)))
	w, err := age.Encrypt(&out, rs...)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	if _, err := w.Write(key[:]); err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	return out.Bytes(), nil
}

const (
	hybridType  = "mlkem768x25519"
	hybridStart = "-> " + hybridType + " "
	encSize     = 1120 // ML-KEM-768 ciphertext and X25519 share
	keyPayload  = payloadSalt + KeySize + overhead
)

var (
	encLen = b64.EncodedLen(encSize)
	// A stanza is two lines, always of the same length.
	stanzaLen = len(hybridStart) + encLen + 1 + wrappedLen + 1
)

func keyFileLen(n int) int { return len(intro) + n*stanzaLen + macLine + keyPayload }

// splitKeyFile checks the whole outer form of a key file and returns its
// header and stanzas.
func splitKeyFile(file []byte) (header []byte, stanzas []*age.Stanza, err error) {
	n := (len(file) - keyFileLen(0)) / stanzaLen
	if n < 1 || n > MaxReaders || len(file) != keyFileLen(n) {
		return nil, nil, fmt.Errorf("%w: not a key file for 1 to %d readers and nothing more", ErrSealed, MaxReaders)
	}
	header = file[:len(file)-keyPayload]
	if !bytes.HasPrefix(header, []byte(intro)) || !checkMACLine(header) {
		return nil, nil, fmt.Errorf("%w: not an age header", ErrSealed)
	}
	stanzas = make([]*age.Stanza, n)
	rest := header[len(intro):]
	for i := range stanzas {
		s := rest[:stanzaLen]
		rest = rest[stanzaLen:]
		if !bytes.HasPrefix(s, []byte(hybridStart)) {
			return nil, nil, fmt.Errorf("%w: stanza %d is not %s", ErrSealed, i, hybridType)
		}
		s = s[len(hybridStart):]
		_, encOK := unbase64(s[:encLen], encSize)
		body, bodyOK := unbase64(s[encLen+1:len(s)-1], wrappedSize)
		if !encOK || !bodyOK || s[encLen] != '\n' || s[len(s)-1] != '\n' {
			return nil, nil, fmt.Errorf("%w: stanza %d is malformed", ErrSealed, i)
		}
		stanzas[i] = &age.Stanza{Type: hybridType, Args: []string{string(s[:encLen])}, Body: body}
	}
	return header, stanzas, nil
}

// KeyStanzas checks the outer form of a key file without opening it and
// returns how many recipients it has, for comparison with the readers its
// record names. Errors wrap [ErrSealed].
func KeyStanzas(file []byte) (int, error) {
	_, stanzas, err := splitKeyFile(file)
	return len(stanzas), err
}

// OpenKey opens a key file with the first identity that fits; give the newest
// first. Every foreign stanza before ours costs about 0.1 ms an identity. The
// error is [ErrNotForUs] if no identity fits, and wraps [ErrSealed] if the file is
// not of the allowed form or was altered. The caller compares the key with its
// commitment ([Commit]).
func OpenKey(file []byte, ids ...*Identity) (FeedKey, error) {
	header, stanzas, err := splitKeyFile(file)
	if err != nil {
		return FeedKey{}, fmt.Errorf("open key: %w", err)
	}
	fileKey := unwrapHybrid(stanzas, ids)
	if fileKey == nil {
		return FeedKey{}, fmt.Errorf("open key: %w", ErrNotForUs)
	}
	if !verifyMAC(fileKey, header) {
		return FeedKey{}, fmt.Errorf("open key: %w: header was altered", ErrSealed)
	}
	plain, ok := openPayload(fileKey, file[len(header):])
	if !ok || len(plain) != KeySize {
		return FeedKey{}, fmt.Errorf("open key: %w: payload was altered", ErrSealed)
	}
	return FeedKey(plain), nil
}

// unwrapHybrid shows age one stanza at a time: handed all of them, it would
// stop at a stanza that was malformed for somebody else.
func unwrapHybrid(stanzas []*age.Stanza, ids []*Identity) []byte {
	for _, id := range ids {
		if id == nil {
			continue
		}
		for _, s := range stanzas {
			if k, err := id.key.Unwrap([]*age.Stanza{s}); err == nil && len(k) == fileKeySize {
				return k
			}
		}
	}
	return nil
}
