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
// # The head check
//
// A node restored from an old disk would use numbers again that it has used
// before, and so fork its own feeds. So after a start it writes nothing until
// a custodian of another organisation has told which of this node's feeds it
// holds and how far, and so has every node of an audience that connects within
// HeadWait. Equal or behind: it goes on. A record under this node's own valid
// signature that it lacks proves that its disk is old: it fetches what there
// is, and writes no more; such a node is replaced. Until the check is done,
// Send keeps a sealed entry in the outbox and says "queued".
package replica
