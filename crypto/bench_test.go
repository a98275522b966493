package crypto

import "testing"

func BenchmarkSign1KiB(b *testing.B) {
	k, msg := testKey(b, 1), make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		k.Sign("record", Hash{}, msg)
	}
}

func BenchmarkVerify1KiB(b *testing.B) {
	k, msg := testKey(b, 1), make([]byte, 1024)
	pub, sig := k.Public(), k.Sign("record", Hash{}, msg)
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(pub, "record", Hash{}, msg, sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSum1KiB(b *testing.B) {
	msg := make([]byte, 1024)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		Sum("record", Hash{}, msg)
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	pub := testKey(b, 1).Public()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePublicKey(pub[:]); err != nil {
			b.Fatal(err)
		}
	}
}
