// Package consensus gives the nodes of one organisation one order of entries:
// a Raft group (Ongaro and Ousterhout 2014, by hashicorp/raft) of 1, 3 or 5
// voters, and of further nodes that follow without a vote. A lone node is a
// group of one. Each entry carries a [Tag], register or workspace, and bytes
// that this package does not look into; a [Machine] applies them.
//
// Raft is not Byzantine. It gives order and availability inside one
// organisation; what other organisations believe rests on signatures.
//
// # On the wire
//
// Everything runs over connections that an [Overlay] opens between two nodes
// that the transport has authenticated. A connection is refused, with nothing
// written to it and nothing of it read, unless Authorize says that the peer is
// an active node of the same organisation; this is asked again before each
// write and after each read, so that a revoked node's open connection ends
// too. The first byte that the dialler sends says what the connection is for:
//
//	1  Raft's own messages, until either side closes
//	2  propose: body = tag (1 byte), data
//	3  barrier: no body
//	4  hand over the organisation's reading identity: no body
//	5  newest log index: no body
//
// Kinds 2 to 5 are one request and one answer. A request goes on with the
// length of its body (4 bytes, big-endian) and the body. An answer is a status
// byte, an index (8 bytes, big-endian), a length (4 bytes) and a body:
//
//	0  done; index is the entry's (2), the last applied one's (3), the log's (5)
//	1  not the leader; nothing was proposed
//	2  proposed, and its fate is unknown
//	3  refused
//
// # On disk
//
// One folder, owned by one process at a time (file "lock"), holds
//
//	state              segments of the log, current term and vote
//	mark               the log's last index, to tell damage from a torn write
//	*.wal              the log, by raft-wal; preallocated segments
//	snapshots/*.snap   the newest two snapshots
//
// Every value in them is sealed with XChaCha20-Poly1305 under keys that
// HKDF-SHA256 derives from the node's key, with the labels
// "alliance/v1/raft/state", "…/mark", "…/log" and "…/snapshot". A sealed value
// is a random 24-byte nonce and the ciphertext. Associated data of a log entry
// are its index, term and type (8, 8 and 1 bytes), so that none can be put in
// another's place; of the others nothing.
//
// A snapshot file is a random 32-byte salt and a sequence of chunks of 65,536
// bytes of plaintext, the last one shorter or equal and never empty except in
// an empty file, each sealed with ChaCha20-Poly1305 under HKDF-SHA256(key,
// salt) and a nonce of an 11-byte big-endian counter and a byte that is 1 for
// the last chunk: the STREAM construction (Hoang, Reyhanitabar, Rogaway and
// Vizár 2015). The plaintext is the length of the description (4 bytes), the
// description (JSON: index, term, members), and the machine's own bytes.
//
// raft-wal takes damage in its newest segment for a torn write and silently
// drops what follows. The mark, written after each append and not forced to
// disk, is never ahead of what was acknowledged; a log that ends before it has
// lost entries, and Open says so with [ErrDamaged] instead of voting on with a
// shorter memory. A damaged voter is replaced, not repaired. Damage that comes
// to light only after Open ends the process: Raft panics on an entry that it
// cannot read back, and the next Open says why.
package consensus
