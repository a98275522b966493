// Package referral is what organisations say to each other about a child who
// needs help: the four parts of a referral, the events by which it moves, and
// the pure function that adds them up to where it stands. No clock, no disk.
//
// # Bodies
//
// A send and an amend are records of four sections, in this order: summary,
// case, identity, evidence ([Parts]), each sealed to its own readers, an empty
// one too. Every other event is a record of one section. A body is
// deterministic CBOR with the integer keys of its type's tags; fields that a
// newer program added are passed over when read and kept with the bytes. The
// kind ("referral/accept") stands in the record's inner header with the
// author's own time, the staff pseudonym and the events its author had seen.
// The bodies of a leg's events all have the send's record ID under key 1 and
// the recipient's organisation under key 2, so that an older program can place
// an event it cannot read. A key is never given another meaning or type; fields
// are only added, under new keys. testdata/vectors.json pins the bytes.
//
// A referral is known by the ID of the record that sent it. Its Summary.ID is
// only what people see, with the [Code] that follows from it: a second send
// with the same Summary.ID is another referral and takes nobody's place; that
// there are two is a mistake, or an attempt, and is shown to people.
//
// # Legs
//
// Each recipient organisation has one leg. A send or an amend is one record
// to all recipients and watchers, so that all fold alike; of an amend, who
// declined or whose leg is over ([State.Over]) reads the summary alone. Every
// other event goes to the leg's other side alone, so no recipient learns from
// the records what another does. The table of moves is data:
//
//	from                                event        by         to            must give
//	–                                   send         sender     sent          what [Validate] asks
//	sent                                acknowledge  recipient  acknowledged  desk, decision by
//	sent, acknowledged, info-needed     accept       recipient  accepted      unit, desk, first contact by; in part: a reason
//	sent, acknowledged, info-needed     decline      recipient  declined      reason, and another body where that could help
//	accepted, on-hold                   start        recipient  in-progress   when first contact was made
//	accepted, in-progress, on-hold      complete     recipient  completed     outcome, services, why not all
//	completed                           confirm      sender     closed
//	completed                           dispute      sender     in-progress   what is missing
//	declined, returned, withdrawn       close        sender     closed        next step for the child
//	undecided, past the expiry          close        sender     closed        the same
//	any but closed and void             message      both       the same      text
//	any but closed and void             amend        sender     the same      changed fields, reason
//
// # The fold
//
// [Fold] gives the same result for the same events at every node, in whatever
// order and however often they arrive:
//
//  1. The send must be by the sender that its summary names; a recipient
//     outside the record's audience gets no leg.
//  2. Whether an event may ever count is decided on it and the send alone: it
//     names a recipient's leg, is by the right side of that leg, went to the
//     other side alone, and gives what it must. Otherwise it is rejected. An
//     amend must be by the sender, to the send's own addressees, and leave the
//     fixed fields alone.
//  3. An event counts once all events that it names are here: of a leg event,
//     those of its own leg and amends; of an amend, the send and amends only.
//     Until then it is pending. A rejected event is never here.
//  4. Each leg takes its events, and the amends, in the order of what they
//     name; concurrent ones by rank of safety (mark-wrong, withdraw,
//     consent-withdrawn, decline, return, the rest) and then by record ID.
//  5. An event that does not fit the state when its turn comes is kept as
//     overtaken. Times are compared with the event's own time, never with a
//     clock.
//  6. Amends merge field by field in that order, at all addressees alike,
//     whatever the legs do; two that change a field without having seen each
//     other are marked as contested. Earlier values stay in the versions.
//
// What depends on the reader's now, expiry, silence as confirmation, missed
// clocks, is a view ([Referral.View]) and never a record.
//
// # What is refused
//
// [Validate] and [Check] name the field and the rule of each fault and never
// repeat what was written. Pictures, films, sound and archives do not travel,
// not even inside a text; web addresses stand in the evidence part alone; of
// identity numbers the last four digits are kept; a body that the alleged
// person belongs to is neither recipient nor watcher.
package referral
