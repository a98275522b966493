// Package membership keeps a node's copy of the alliance's register: it
// follows accepted checkpoints, hands operations to the secretariat, and on
// secretariat nodes it endorses, orders, validates and signs.
//
// # Following
//
// Every node keeps the whole register and applies every leaf itself. What the
// rest of the program sees ([Register.State]) is the register at the newest
// accepted checkpoint, never further. A node asks any active peer for its head
// when it connects, when a hello tells of a newer one, and now and then; it
// fetches the leaves in between, and, where the signers changed on the way, the
// notes of each change, and accepts what [register.Accept] accepts.
//
// # Ordering, at the secretariat
//
// A submitted operation becomes a leaf: a time is set, a majority of signers
// endorse (operation, time, previous root), and the entry goes through Raft.
// Each secretariat node applies it to its own tip, makes it durable, and signs
// a checkpoint over it when asked. Whoever has a majority of signatures merges
// them into a note and spreads it. Nothing depends on who asks first: an entry
// on another root is skipped by all alike, and the operation is tried again.
//
// A signer keeps, durably, the newest size and root that it signed, and signs
// nothing that contradicts it: not after a restore of its disk either.
//
// Whoever submits is answered when the checkpoint is accepted here and, as far
// as they are connected and within 3 seconds, by the secretariat's other nodes:
// the loss of this node then loses nothing that was acknowledged.
//
// # Damage
//
// A register whose leaves, or newest note, are not whole on disk is opened as
// far as it is good, and [Register.Fault] says so. Records are served with that.
// The rest is fetched from peers and must agree with what was accepted and
// signed before. A member's node then goes on; a secretariat node neither signs
// nor endorses until a person has restarted it. Its leaves beyond the accepted
// checkpoint come again from Raft's log.
//
// A note of another history that the signers signed is kept as proof; the
// register stays as it was, and nothing more is signed.
//
// # Wire
//
// /alliance/register/1 is one request and one answer, see [Request]. Enrolment
// has a protocol of its own on its own listener, see [EnrolRequest].
package membership
