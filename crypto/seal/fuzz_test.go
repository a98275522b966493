package seal

import (
	"bytes"
	"strings"
	"testing"

	"filippo.io/age"
)

// Fuzzing runs in several processes, which must all hold the same keys.
func fixedIdentity(f *testing.F, b byte) *Identity {
	f.Helper()
	id, err := ParseIdentity(strings.ToUpper(bech32Encode("age-secret-key-pq-", bytes.Repeat([]byte{b}, 32))))
	if err != nil {
		f.Fatal(err)
	}
	return id
}

// What we open, age opens to the same bytes.
func FuzzOpenKey(f *testing.F) {
	id, other := fixedIdentity(f, 1), fixedIdentity(f, 2)
	key := FeedKey{1}
	for _, to := range [][]*Recipient{{id.Recipient()}, {other.Recipient(), id.Recipient()}, {other.Recipient()}} {
		file, err := SealKey(key, to)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		f.Add(file[:len(file)-1])
	}
	f.Add([]byte(intro))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		n, err := KeyStanzas(file)
		if err == nil && (n < 1 || n > MaxReaders || len(file) != keyFileLen(n)) {
			t.Fatalf("%d stanzas in %d bytes", n, len(file))
		}
		if err == nil {
			if h, err := age.ExtractHeader(bytes.NewReader(file)); err != nil || !bytes.Equal(h, file[:len(file)-keyPayload]) {
				t.Fatalf("age reads another header: %v", err)
			}
		}
		got, openErr := OpenKey(file, id)
		if openErr == nil && err != nil {
			t.Fatalf("opened a file of the wrong form: %v", err)
		}
		if openErr != nil {
			return
		}
		if want, err := ageOpen(file, id.key); err != nil || !bytes.Equal(want, got[:]) {
			t.Fatalf("age does not open it: %v", err)
		}
	})
}

func FuzzOpenSection(f *testing.F) {
	key, at := FeedKey{1}, testPlace()
	for _, n := range []int{0, 20, 1024} {
		file, err := SealSection(key, at, make([]byte, n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		f.Add(file[:len(file)-1])
	}
	f.Add([]byte(sectionStart))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := OpenSection(key, at, file)
		if err != nil {
			return
		}
		if want, err := ageOpen(file, feedStanza{key, at}); err != nil || !bytes.Equal(want, got) {
			t.Fatalf("age does not open it: %v", err)
		}
	})
}

// With the file key known the header and payload are anyone's to write: our
// reader of age's format and age itself must agree on every one of them.
func FuzzPayloadAsAge(f *testing.F) {
	fileKey := []byte("an invented key!")
	header := appendMAC([]byte(sectionStart+b64.EncodeToString(make([]byte, wrappedSize))+"\n"), fileKey)
	for _, n := range []int{0, 1, 20} {
		f.Add(header, appendPayload(nil, fileKey, make([]byte, n)))
	}
	f.Add(header, appendPayload(nil, fileKey, make([]byte, chunkSize)))
	f.Add(header, appendPayload(nil, fileKey, make([]byte, chunkSize+1)))
	f.Fuzz(func(t *testing.T, head, payload []byte) {
		file := append(bytes.Clone(head), payload...)
		got, err := OpenSectionWithFileKey(fileKey, file)
		want, ageErr := ageOpen(file, age.NewInjectedFileKeyIdentity(fileKey))
		if err == nil && (ageErr != nil || !bytes.Equal(got, want)) {
			t.Fatalf("we open what age does not: %v", ageErr)
		}
		if bytes.Equal(head, header) && ageErr == nil && err != nil {
			t.Fatalf("age opens what we do not: %v", err)
		}
	})
}
