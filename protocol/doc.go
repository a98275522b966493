// Package protocol is the document that members of an alliance exchange: the
// record, its chain, the receipts for it, and the rules by which everybody who
// verifies comes to the same result. SPEC.md beside this file is normative and
// enough to write another implementation; testdata/vectors holds that one to
// it. The package is pure: bytes and a register in, values out. It reads no
// clock, disk or network and starts nothing.
//
// # One record
//
// A record travels as an [Envelope]: a clear, signed [Core] that routes,
// orders and binds it, and sealed sections, of which a holder may have some or
// none. The core names its author's organisation and node, the audience, its
// place in the feed, the register checkpoint that its author knew, and for
// every section the length and SHA-256 of the sealed bytes. What a section
// says is inside the seal, behind an [Inner] header that repeats where it
// belongs.
//
// A feed is the chain of one node's records for one audience. It opens with a
// key record, which hands a fresh feed key to each reader set; data records
// follow, sealed under the newest of these keys, until a new key is due.
//
// # The life of a record
//
//  1. [Writer.OpenFeed] or [Writer.Write] composes, seals and signs it from
//     the feed's [Chain], and runs every check that a receiver will.
//  2. The author makes it durable; only then is it sent.
//  3. A receiver's [Open] does what needs no feed: form, network, author's
//     key, signature. It returns a [Signed], or an error that wraps [ErrDrop]
//     or [ErrWait].
//  4. [Chain.Link] puts it at the end of its feed and says what it is: a
//     [Record] that is [Linked], [Refused] with a [Code], or [Held]. The new
//     chain is a new value; the old one stands.
//  5. [Record.Attach] takes the sections that [Entitles] allows, after
//     comparing their hashes. [Record.Missing] says which are still out.
//  6. When all are durable a [Receipt] vouches for the feed up to here.
//  7. [Record.OpenKey] and [Record.OpenSection] open it, much later perhaps, on
//     a node that has the organisation's reading identity.
//
// [Open] is the only maker of a Signed. [Chain.Link] is the only maker of a
// Record from the network, and [Reload] from the own disk, where it was
// verified before. So a function that takes a *Record takes nothing unverified.
//
// # Outcomes
//
// What arrives is dropped, or waits, or proves a [Fork], or becomes a link.
// The first three change nothing. A bad record of a sound author does not
// stop its feed: it becomes a refused link with a numbered code, which is
// never opened, and the next record follows it. All verifiers refuse the same
// links for the same reasons, since they judge by the checkpoint that the
// record itself names, and by the register's own time. Only whether a link is
// held depends on when it came: its author was suspended or revoked since.
//
// A section whose bytes do not match the core is [ErrSection]: the peer that
// sent it is at fault, and the section is fetched elsewhere. One whose bytes
// match and do not open, or are bound to another place, is [ErrUnreadable]:
// its author is at fault, and is told; the other sections are as good as ever.
//
// # The register
//
// Whatever is asked of the register is in [Members]. A value of it is fixed:
// the same question has the same answer at the same size, for ever. Use one
// value through one decision, and a newer one for the next.
//
// # Encoding
//
// Everything is deterministic CBOR. [Decode] accepts exactly one form of a
// value; [DecodeOpen], for what is inside a seal, passes over fields that this
// program does not know and nothing else. What is hashed or signed is always
// the bytes as received. Every limit is in limits.go.
//
// # Use at the same time
//
// Functions and values are safe to use from several goroutines as long as
// nobody changes them. [Record.Attach] changes its record. A Writer's Random
// and Recipient are called by whoever calls the Writer.
package protocol
