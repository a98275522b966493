package seal

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPaddedLen(t *testing.T) {
	for n, want := range map[int]int{
		-1: 512, 0: 512, 1: 512, 512: 512, 513: 2048, 2048: 2048, 2049: 8192, 8192: 8192, 8193: 32768, 32768: 32768,
		32769: 34816, 34816: 34816, 34817: 36864, 65535: 65536, 65536: 65536, 65537: 67584, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1<<15,
		16 << 20: 16 << 20, 16<<20 - 4096: 16 << 20,
	} {
		if got := PaddedLen(n); got != want {
			t.Errorf("PaddedLen(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestPaddedLenProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1<<30).Draw(t, "n")
		p := PaddedLen(n)
		if p < n {
			t.Fatalf("%d is cut to %d", n, p)
		}
		if q := PaddedLen(n + 1); q < p {
			t.Fatalf("not monotone: %d → %d, %d → %d", n, p, n+1, q)
		}
		if PaddedLen(p) != p {
			t.Fatalf("%d → %d → %d", n, p, PaddedLen(p))
		}
		if n > 32<<10 && (p-n)*16 > n {
			t.Fatalf("%d → %d costs more than a sixteenth", n, p)
		}
	})
}

// How much a length tells: the number of sizes that messages can have.
func TestPaddedLenSizes(t *testing.T) {
	sizes := 0
	for n := 1; n <= 16<<20; n = PaddedLen(n) + 1 {
		sizes++
	}
	if sizes != 276 {
		t.Errorf("%d sizes up to 16 MiB", sizes)
	}
}
