// Package register is the alliance's one ordered log of membership and key
// operations, as a pure value: operations that people sign, leaves, the rules
// that turn one [State] into the next, and the checkpoints that make a state
// count. It reads no clock, no disk and no network; time is data.
//
// The secretariat's nodes order the leaves; every member holds all of them,
// applies the same rules to each and computes the same root. Nobody is asked
// to believe the secretariat: [Apply] is run by everyone.
//
// # Operation
//
// An operation is deterministic CBOR (package protocol), a map of exactly
//
//	1 rules version   2 network   3 kind   4 subject   5 version made
//	6 base size       7 base root 8 expiry 9 body, a byte string
//
// where the body is the deterministic CBOR of the kind's own fields ([Body]
// and the types beside it). The subject is a map {1 kind, 2 ID of 32 bytes or
// absent, 3 group name or absent}. The version made is the subject's counter
// plus one; each subject has a counter of its own, and administrators count on
// another than officers do, so that neither can block the other:
//
//	officer set, policy, time         one counter each
//	organisation, node, group         one for the officers' operations on it
//	administrators of organisation X  one for what they decide
//
// Base is a size and root of the register that the drafter saw; it must be an
// ancestor. Expiry is in Unix seconds of leaf time. Unknown kinds, and rules
// versions above [Rules], are [ErrUpgrade]: version and kind are read first,
// and nothing else is looked at. Kinds 21 to 28 are reserved.
//
// The operation's hash is the labelled hash "operation" (package crypto) of
// its bytes, for its network. An approval is {1 key, 2 signature, 3 list or
// absent}: an Ed25519 signature labelled "approve" over the operation's hash,
// or over the concatenation of a sorted list of 2 to 50 such hashes that holds
// it. Each listed operation is a leaf of its own; they are not atomic.
//
// # Who must sign
//
//	genesis                               every key that it names
//	officers-change                       M of the old officers and M of the new
//	enrol-org                             M officers; for police and government also the quorum of an
//	                                      active body of the class, once one was ever enrolled, or, while
//	                                      none is active, all officers
//	revoke-org, change-policy,            M officers
//	define-group, set-kind
//	revoke-node                           M officers (subject: the node), or the quorum of its
//	                                      organisation's administrators (subject: they)
//	suspend, reinstate                    the suspension quorum; to suspend again within 90 days of the
//	                                      end of the last one, M. A node and its organisation count as one
//	time                                  nobody
//	admins-change                         the old quorum of the organisation and the new
//	enrol-node, retire-node, set-voters,  the quorum of the organisation's administrators, and never
//	set-signers, publish-key, taint-key,  the officers
//	offer-custody, withdraw-custody
//
// M, quorums and thresholds count people: keys of one person ID count once. A
// signature that does not verify, or is by somebody who has no say in the
// operation, makes the leaf invalid.
//
// A suspended organisation can only take away (taint, revoke or retire a node,
// withdraw custody); a revoked one nothing. A suspension lapses 30 days after
// its leaf's time, from the first leaf whose time reached that on, without a
// leaf that says so.
//
// # Keys
//
// Every Ed25519 key is a canonical point of large order, and stands for one
// purpose ([Purpose]), organisation and person or node for ever. A new key
// proves possession: in a genesis or a request by signing the whole; else by a
// signature labelled "possession" over
//
//	purpose, 1 byte ‖ organisation, 32 (zero for officers) ‖ person or node, 32
//
// An encryption key is a canonical age1pq1 recipient that can be sealed to,
// and occurs once in the register, for an organisation or a node.
//
// # Identifiers
//
//	network       labelled hash "network" of the genesis operation's bytes; of no network
//	organisation  labelled hash "organisation" of the enrolment request's bytes
//	node          labelled hash "node" of its author key, transport key and sealing recipient
//
// They never cover signatures. An enrolment request ([Request]) is signed by
// every signing key in it: label "join", over the organisation's ID. The
// secretariat's stands in the genesis, with network zero and unsigned.
//
// # Text
//
// Names, titles and agreements are in Unicode normal form C, of the scripts
// that a fixed table lists, without control or formatting characters. Two
// names that differ only in case, spaces, punctuation or compatibility forms
// are one name, and a name is never used again.
//
// # Leaf, tree, checkpoint
//
// A leaf is {1 time, 2 operation, 3 approvals sorted by key}. The tree is RFC
// 6962's with SHA-256. Time never goes back. A checkpoint is a C2SP signed
// note with the origin "alliance/v1/" and the network's ID in hex, the size in
// decimal, and the root in base64; a signer's name is its node ID in hex, its
// key the node's checkpoint key (Ed25519, note algorithm 1). It is valid with
// signatures of more than half of the signers named in the state that it
// signs, who are active nodes there; where the signers differ from those at
// the checkpoint accepted before, more than half of both ([Accept]). Lines of
// unknown keys are ignored, and a line twice counts once. What a checkpoint
// key signs here can be read as nothing else that it signs: a note goes on in
// hex digits where a labelled message has its label and a zero byte.
//
// # Entry
//
// Before the secretariat's leader proposes a leaf, more than half of the
// signers endorse it: label "endorse", with the node's author key, over
//
//	root before, 32 bytes ‖ leaf time, 8 big-endian ‖ operation's hash, 32
//
// Each does so only if the operation applies to its own state and the time is
// within five minutes of its clock. The state machine skips an entry that
// lacks this or follows another root ([ApplyEntry]).
//
// # What is always possible
//
// Apply refuses an operation after which fewer than a majority of the named
// signers, or of the secretariat's voters, would be active, and a set that can
// never reach its threshold. So from every valid state the register can move
// on and be signed.
package register
