// Package seal seals and opens: the feed keys of reader sets, the sections of
// records under a feed key, and the padding of what goes inside. It is pure,
// but for the randomness it takes from the operating system.
//
// Every sealed thing is an age file (age-encryption.org/v1, C2SP age.md),
// binary, never armored, and any age implementation can open it with the same
// keys. Two kinds exist, and nothing else is ever opened.
//
// # Key files
//
// A key file holds the 32 bytes of a [FeedKey] for the organisations of one
// reader set:
//
//	age-encryption.org/v1
//	-> mlkem768x25519 ENC        1 to 1000 times, ENC is 1120 bytes
//	WRAPPED                      32 bytes
//	--- MAC
//	payload                      16 + 32 + 16 bytes
//
// with ENC, WRAPPED and MAC in unpadded standard base64. The stanzas are age's
// own post-quantum hybrid (ML-KEM-768 with X25519), in the order of the
// recipients given. No other stanza may stand beside them: a classic one would
// hand the key to whoever records today and computes later, and a passphrase
// one would make the reader set a secret of its author.
//
// # Sections
//
// A section is sealed under a feed key, at one [Place]:
//
//	age-encryption.org/v1
//	-> alliance/v1/feed-key
//	WRAPPED                      32 bytes, unpadded standard base64
//	--- MAC
//	payload
//
// WRAPPED is the random 16-byte file key under ChaCha20-Poly1305 (RFC 8439)
// with a nonce of 12 zero bytes, no associated data, and the key
//
//	HKDF-SHA256(secret: feed key, salt: Nonce,
//	    info: "alliance/v1/section-key" ‖ Network ‖ Feed ‖ u64(Seq) ‖ u32(Section), 32 bytes)
//
// with numbers big-endian. A wrap key is used once: the record's nonce must be
// fresh for every attempt to write a record, also one that was abandoned, and
// a section number is used once in a record.
//
// # What a seal does not say
//
// Who sealed. age does not authenticate, and every reader of a file can mint
// another payload under the same header. So the hash of the whole file stands
// outside, under a signature, and what is inside repeats where it belongs.
// The header's MAC does commit to the file key, so two readers of one section
// cannot be shown different texts; and a section's file key
// ([SectionFileKey]) can be given away as evidence, alone, without the feed.
//
// Nothing is compressed before it is sealed, ever: length would tell content.
package seal
