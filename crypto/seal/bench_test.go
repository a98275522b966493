package seal

import "testing"

func BenchmarkSealSection1KiB(b *testing.B) {
	key, at, plain := newFeedKey(b), testPlace(), make([]byte, 1024)
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		at.Seq++
		if _, err := SealSection(key, at, plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSection1KiB(b *testing.B) {
	key, at := newFeedKey(b), testPlace()
	file, err := SealSection(key, at, make([]byte, 1024))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenSection(key, at, file); err != nil {
			b.Fatal(err)
		}
	}
}

// What the same costs through age's own reader.
func BenchmarkOpenSection1KiBByAge(b *testing.B) {
	key, at := newFeedKey(b), testPlace()
	file, err := SealSection(key, at, make([]byte, 1024))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ageOpen(file, feedStanza{key, at}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSealKey2(b *testing.B) {
	key, to := newFeedKey(b), []*Recipient{newIdentityT(b).Recipient(), newIdentityT(b).Recipient()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SealKey(key, to); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenKey2(b *testing.B) {
	ids := []*Identity{newIdentityT(b), newIdentityT(b)}
	file, err := SealKey(newFeedKey(b), []*Recipient{ids[0].Recipient(), ids[1].Recipient()})
	if err != nil {
		b.Fatal(err)
	}
	for i, name := range []string{"first", "second"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := OpenKey(file, ids[i]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKeyStanzas2(b *testing.B) {
	file, err := SealKey(newFeedKey(b), []*Recipient{newIdentityT(b).Recipient(), newIdentityT(b).Recipient()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := KeyStanzas(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRecipient(b *testing.B) {
	s := newIdentityT(b).Recipient().String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRecipient(s); err != nil {
			b.Fatal(err)
		}
	}
}
