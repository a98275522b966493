// Package keyfile keeps secret keys on disk: written whole or not at all, and
// refused when others could have read them.
//
// # Files
//
// A node folder has two, so that a node can start unattended after a power
// cut without being able to read anything sent to its organisation:
//
//   - node keys ([NodeKeys]): transport and author signing keys, the node's own
//     sealing identity, the keys of its store and of its Raft log. Not
//     encrypted: a file for the service's user alone, or a systemd credential.
//   - reading identities ([ReadingKey]): the organisation's sealing identities,
//     one an epoch, under a passphrase that a person gives.
//
// Officers and administrators have a third kind, which never goes near a
// server: one signing key with the person's random ID ([SigningKey]), under a
// passphrase or, where the disk is guarded otherwise, without. Where an
// ssh-agent, or a token behind one, holds the key, the file has its public half
// instead ([HeldKey]): no secret is in it, and others may read it.
//
// # Format
//
// Node keys, signing keys and held keys are JSON (RFC 8259), written in exactly one way:
// two spaces of indentation, fields in the order below, a newline at the end.
// 32-byte values are 64 lower-case hex digits; Ed25519 keys are RFC 8032 seeds.
//
//	file     "alliance node keys" | "alliance signing key" | "alliance held key" | "alliance reading identities"
//	version  1
//	  node keys:           transport, author (hex), sealing (AGE-SECRET-KEY-PQ-1…), store, raft (hex)
//	  signing key:         person, seed (hex)
//	  held key:            person, key (hex)
//	  reading identities:  identities: [{epoch (a number), secret (AGE-SECRET-KEY-PQ-1…)}], epochs ascending
//	check    labelled hash "key-file", of no network, over the same JSON with check ""
//
// The check is against damage, not against people. Where there is a
// passphrase, that JSON is the plaintext of an age file (binary, one scrypt
// stanza), which the age command opens too. The passphrase is taken in Unicode
// normal form C (as in RFC 8265 §4.2), so that two keyboards that compose
// letters differently agree.
//
// A field is never added to version 1: a program that does not know a version
// leaves the file alone and says so.
package keyfile
