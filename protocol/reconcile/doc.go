// Package reconcile finds out, between two nodes, what one holds of feeds and
// the other lacks. It is a pure state machine: messages in, messages and
// findings out. It speaks only of the entries handed to it, which are those of
// feeds that both ends are entitled to; what a peer names beyond them is
// answered like any feed that is not held.
//
// # The exchange
//
// A [Frontier] is a list of (feed, newest seq, its record ID), sorted by feed.
// Feeds whose ID begins with the same byte make a bucket; there are 256.
//
//  1. The asker sends its digest.
//  2. The answerer compares it with its own. Equal: it is done and sends
//     nothing, so an idle pair costs one message; the asker takes no answer as
//     equality. Otherwise, with at most [SmallFrontier] entries it begins to
//     lead pages over all buckets; with more it sends the digests of its
//     buckets that are not empty, and the asker leads pages over the buckets
//     that differ.
//  3. The leader sends a page: a range of feed IDs, both ends included, and all
//     its entries there. The follower answers with its own entries of the same
//     range, or of as much of its beginning as one page holds. Both compare as
//     far as the answer goes, and the leader goes on behind it, to the last ID.
//
// A page holds at most [MaxPage] entries. One that ends before it must is full,
// and ends at its last entry: so every exchange comes to its end. A session
// takes at most [MaxEntries] from the peer.
//
// # Encodings
//
// A message is deterministic CBOR, at most [MaxMessage] bytes, a map of one
// pair:
//
//	{1: digest} or
//	{2: [[bucket, digest], …]}            buckets ascending, never empty ones
//	{3: [buckets, from, to, [entry, …]]}  buckets: 32 bytes, bit 7 of byte 0 is bucket 0
//	entry: [feed ID, seq, record ID]      ascending by feed; seq from 1
//
// The digest of a bucket is the labelled hash "frontier-bucket" for the network
// over one part, which is feed ID ‖ seq (8 bytes, big-endian) ‖ record ID for
// each entry in its order; the digest of a frontier is the labelled hash "frontier" over the
// bucket's number (one byte) ‖ digest of each bucket that is not empty, each a
// part.
package reconcile
