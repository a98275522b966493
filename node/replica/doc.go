// Package replica moves records between nodes: it writes this node's own
// feeds, takes what others push, keeps receipts, and repairs what is missing.
//
// # The life of one record
//
//  1. [Replica.Send] checks that this node may write (see "the head check"),
//     opens the feed with a new key where one is due, seals, signs, and commits.
//     Nothing leaves before it is durable here: after a crash its number could
//     be used again.
//  2. The record is pushed to every connected node of the organisations that
//     [protocol.Entitles] names, each with the sections it may have.
//  3. The receiver verifies, checks that it is entitled itself, commits, and
//     answers with a cumulative receipt. The receipt is sent when, and only
//     when, everything up to it is durable with every section it is due.
//  4. The author keeps the receipt; [Replica.Delivery] tells who has what.
//  5. Who was away asks: two nodes compare frontiers when they connect, now
//     and then, and when one of them learns of something new for the other,
//     and each fetches what it lacks. A custodian serves the audience so.
//
// # Streams
//
//	/alliance/push/1      pusher → [Push], receiver → [PushAnswer], both many, on one stream
//	/alliance/frontier/1  reconcile messages, alternating, one session after another
//	/alliance/fetch/1     one request, one answer
//	/alliance/receipt/1   one request, one empty answer
//
// Unknown and not-yours look the same: an empty answer from the same code.
//
// What a peer brings is charged: a new record against its author by the byte,
// and so its sections once they are found to be its own; and everything against
// the peer that brings it, junk many times over. What cannot be verified yet is
// not kept.
//
// # A custodian named later
//
// Whoever is entitled to a record is entitled to its feed's cores from the
// first, and a feed is linked from the first on. So an organisation that a later
// key record names a custodian links cores before anything that it has linked
// says that it may: it does when, and only when, it was shown that key record,
// signed by the feed's author.
//
// # Held records
//
// The links of an author that was suspended since are held: stored sealed, not
// shown, not vouched for. When the suspension ends ([Replica.RegisterMoved])
// they are released, and a receipt of the same seq that vouches for more takes
// the place of the one before.
//
// # Damage
//
// What turns out to be lost on the disk is not vouched for, is left out of the
// frontier, and is asked of every peer that may have it, record by record. A
// lost record waits for its key record, which says what of it belongs here.
//
// # The head check
//
// A node restored from an old disk would use numbers again that it has used
// before, and so fork its own feeds. So after a start a feed is not written
// until one of its custodians' nodes has told which of this node's feeds it
// holds and how far (a feed without other custodians waits for a reader), and so
// has every reader that connects within HeadWait; nobody's silence holds it up
// for more than twice that. A node that has others of its organisation beside
// it and has compared with none of them since its own start answers that it is
// not sure, and is asked again.
//
// Equal or behind: it goes on. A record under this node's own valid signature
// that it lacks proves that its disk is old: it fetches what there is, and
// writes no more, which it remembers; such a node is replaced. Until the check
// is done, Send keeps a sealed entry in the outbox and says "queued".
//
// # Forks
//
// Two records of one author at one place are a proof. It is kept, and handed to
// every peer that may have the feed, then and when it connects later. Nothing
// at or after that place is taken any more; what is before it is.
package replica
