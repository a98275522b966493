// Package store keeps what a node must not lose: the records of every feed it
// holds, the feeds' heads, receipts, fork proofs, the register's leaves and
// notes, the outbox, and small named values. It is the one owner of badger.
//
// # Why it trusts nothing
//
// Badger's encryption is AES-CTR with a CRC: a flipped byte makes keys vanish
// with a nil error, and one in the write-ahead log drops all that was written
// after it. So "not found" proves nothing here. What proves is counted:
//
//   - every row carries a 16-byte tag over its key and value, by a key of its
//     own (HMAC-SHA-256, cut); a row whose tag is wrong counts as vanished;
//   - a feed's chain says how many records there are and what the last one is,
//     and stands in two places of the key space;
//   - every record's ID stands in two, its own row and a row by feed and seq;
//     besides, the next record names it;
//   - rows that nothing counts (receipts, forks, outbox, owed sections, named
//     values, notes) are counted and summed (exclusive or of their tags) in the
//     totals row, which every commit rewrites, and their keys are in memory;
//   - every commit has a number, in the totals row and, once it is synced, in a
//     small file beside the database. A database behind that file has lost its
//     newest commits: [Damage].
//
// What is missing is never reported as absent: [ErrLost], not [ErrAbsent]; it
// stands in [Store.Wants] until a peer's copy is put back with
// [Batch.Restore] or [Batch.Section].
//
// # Files
//
//	db/      badger's own
//	journal  the newest transactions, which db/ may lack (journal.go); removed
//	         when the store is closed, since db/ is whole then
//	count    the newest commit's number (counter.go)
//
// The journal begins anew only after everything in it was given to badger and
// badger's logs were synced.
//
// # Rows
//
// Keys begin with one letter; numbers are big-endian. Every value is followed
// by its tag.
//
//	z                         totals: network, commit number, leaves, accepted
//	                          size, counts and sums (CBOR)
//	c feed, d feed            the feed's protocol.Chain (CBOR), twice
//	r feed seq u8(0)          a record: state u8, code u16, sections stored u32,
//	                          sections dropped u32, sections in this row u32, ID,
//	                          signature, length u32 and core, and of each section
//	                          in this row length u32 and bytes: those of at most
//	                          4 KiB that came with the record
//	r feed seq u8(i+1) u16    any other section i, in pieces of at most 256 KiB
//	i feed seq                record ID
//	w feed seq                sections owed to us, u32, bit i for section i
//	p feed node               protocol.SignedReceipt (CBOR)
//	f feed                    protocol.Fork (CBOR)
//	o u64                     a register leaf
//	n u64                     the note at that register size
//	x name                    an outbox entry: length u64, SHA-256
//	y name u8(0) u16          its bytes, sealed by the caller, in pieces
//	m name                    a named value
//
// # Writing
//
// Whoever waits for a batch gathers all that are in line into one transaction
// and one sync, one goroutine at a time; the store's own does what nobody waits
// for. A transaction is a frame of the journal, a file beside the database; the
// database is given the rows a moment later, and until then they are read from
// memory. After a crash the journal's frames are applied again. Nothing is
// readable or acknowledged before it is durable. Before each group it asks how
// much room the disk has, since badger writes through memory maps and a full
// disk would be a signal, not an error: below MinFree it refuses with [ErrFull],
// reading goes on, and writing resumes by itself.
package store
