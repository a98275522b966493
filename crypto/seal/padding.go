package seal

import "math/bits"

// PaddedLen returns the length to which n bytes are padded before they are
// sealed: 512, 2,048, 8,192 or 32,768, and above that Padmé, which keeps only the top
// bits of the length and adds at most one sixteenth (Nikitin, Barman, Lueks, Underwood,
// Hubaux and Ford, "Reducing Metadata Leakage from Encrypted Files and
// Communication with PURBs", PoPETs 2019(4), §4). So four sizes hide what most
// messages are, and a long one tells O(log log n) bits. n is at most 2^31-1.
func PaddedLen(n int) int {
	for _, step := range [...]int{512, 2 << 10, 8 << 10, 32 << 10} {
		if n <= step {
			return step
		}
	}
	e := bits.Len(uint(n)) - 1 // floor(log2 n)
	s := bits.Len(uint(e))     // floor(log2 e) + 1
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}
