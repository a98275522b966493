package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/national-alliance/alliance/crypto"
)

// Place is where a section stands. All of it goes into the section's wrap key,
// so a section moved elsewhere does not open.
type Place struct {
	Network crypto.Hash
	Feed    crypto.Hash
	Seq     uint64 // of the record in its feed
	Section int    // number of the section in its record, from 0
	// Nonce is the record's: 32 random bytes, drawn anew for every attempt to
	// write a record. A place is sealed at once and never again, since two
	// file keys under one wrap key would betray each other.
	Nonce [32]byte
}

const (
	sectionType = "alliance/v1/feed-key"
	// sectionStart is all of a section's header before its wrapped key.
	sectionStart = intro + "-> " + sectionType + "\n"
	sectionInfo  = "alliance/v1/section-key"
)

var sectionHeader = len(sectionStart) + wrappedLen + 1 + macLine

// SectionLen returns the length of a sealed section over n bytes.
func SectionLen(n int) int { return sectionHeader + payloadLen(n) }

var zeroNonce [chacha20poly1305.NonceSize]byte

// wrapKey is the key of one place, good for one file key.
func (at Place) wrapKey(key FeedKey) []byte {
	info := make([]byte, 0, len(sectionInfo)+2*crypto.HashSize+12)
	info = append(info, sectionInfo...)
	info = append(info, at.Network[:]...)
	info = append(info, at.Feed[:]...)
	info = binary.BigEndian.AppendUint64(info, at.Seq)
	info = binary.BigEndian.AppendUint32(info, uint32(at.Section))
	return derive(key[:], at.Nonce[:], string(info))
}

func (at Place) check() error {
	if at.Section < 0 || int64(at.Section) > 0xffffffff {
		return fmt.Errorf("section number %d is not a 32-bit number", at.Section)
	}
	return nil
}

// SealSection seals plaintext, already padded (see [PaddedLen]), under a feed
// key at a place that was never sealed before.
func SealSection(key FeedKey, at Place, plaintext []byte) ([]byte, error) {
	if err := at.check(); err != nil {
		return nil, fmt.Errorf("seal section: %w", err)
	}
	var fileKey [fileKeySize]byte
	rand.Read(fileKey[:])
	wrapped := newAEAD(at.wrapKey(key)).Seal(nil, zeroNonce[:], fileKey[:], nil)

	out := make([]byte, 0, SectionLen(len(plaintext)))
	out = append(out, sectionStart...)
	out = b64.AppendEncode(out, wrapped)
	out = append(out, '\n')
	out = appendMAC(out, fileKey[:])
	return appendPayload(out, fileKey[:], plaintext), nil
}

// splitSection checks the outer form: exactly one stanza, of our type.
func splitSection(file []byte) (header, wrapped []byte, err error) {
	if len(file) < SectionLen(0) {
		return nil, nil, fmt.Errorf("%w: too short for a section", ErrSealed)
	}
	header = file[:sectionHeader]
	body := header[len(sectionStart) : len(sectionStart)+wrappedLen]
	wrapped, ok := unbase64(body, wrappedSize)
	if !ok || !bytes.HasPrefix(header, []byte(sectionStart)) ||
		header[len(sectionStart)+wrappedLen] != '\n' || !checkMACLine(header) {
		return nil, nil, fmt.Errorf("%w: not an age file with exactly one %s stanza", ErrSealed, sectionType)
	}
	return header, wrapped, nil
}

// OpenSection opens a section that was sealed under this key at this place.
// Errors wrap [ErrSealed].
func OpenSection(key FeedKey, at Place, file []byte) ([]byte, error) {
	fileKey, err := SectionFileKey(key, at, file)
	if err != nil {
		return nil, fmt.Errorf("open section: %w", err)
	}
	plain, ok := openPayload(fileKey, file[sectionHeader:])
	if !ok {
		return nil, fmt.Errorf("open section: %w: payload was altered", ErrSealed)
	}
	return plain, nil
}

// SectionFileKey returns a section's own 16-byte key. It opens this section
// ([OpenSectionWithFileKey], or any age implementation that takes a file key) and nothing
// else, so it can be shown as evidence. Errors wrap [ErrSealed].
func SectionFileKey(key FeedKey, at Place, file []byte) ([]byte, error) {
	if err := at.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	header, wrapped, err := splitSection(file)
	if err != nil {
		return nil, err
	}
	fileKey, err := newAEAD(at.wrapKey(key)).Open(nil, zeroNonce[:], wrapped, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: another key, or another place", ErrSealed)
	}
	if !verifyMAC(fileKey, header) {
		return nil, fmt.Errorf("%w: header was altered", ErrSealed)
	}
	return fileKey, nil
}

// OpenSectionWithFileKey opens a section with the key that [SectionFileKey] gave.
// The header's MAC commits to that key, so no other key opens the same file.
// Errors wrap [ErrSealed].
func OpenSectionWithFileKey(fileKey, file []byte) ([]byte, error) {
	header, _, err := splitSection(file)
	if err != nil {
		return nil, fmt.Errorf("open section: %w", err)
	}
	if len(fileKey) != fileKeySize || !verifyMAC(fileKey, header) {
		return nil, fmt.Errorf("open section: %w: not this section's file key", ErrSealed)
	}
	plain, ok := openPayload(fileKey, file[sectionHeader:])
	if !ok {
		return nil, fmt.Errorf("open section: %w: payload was altered", ErrSealed)
	}
	return plain, nil
}
