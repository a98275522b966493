// Package casebook shows records as people see them: referrals and alerts,
// folded from the records that this organisation may open, and makes the
// records by which a person moves them.
//
// # What is kept
//
// Nothing on disk, and no body in memory but those read of late. After an
// unlock [Book.Load] opens every record once and keeps, of each that speaks of
// a referral or an alert, where it stands (feed and number) and of which case
// it speaks; of each referral one row with its codes and clocks, so that a list
// needs no body; of each alert record what lists show of it. A body is opened
// again when somebody reads it. While the node is locked the book is empty and
// says [ErrLocked].
//
// Records come in any order and more than once, from the disk, from peers and
// from the own hand: the same records make the same book. A record that is
// refused or held, or that this organisation does not read, is never shown. A
// section that does not open is told to [Options.Unreadable], once.
//
// # What is seen
//
// Sealing decides what an organisation may see, and the folds of protocol/referral
// and protocol/alert what it makes of it. The book adds names, what is late, what
// may be done next, how far each record has come (from receipts, which only
// authors and custodians have), and who can read which part (from the key
// record that a record is under). Web addresses are shown so that they cannot
// be followed.
//
// # What is sent
//
// A move is checked by the rules with which every reader folds it, names the
// events that this organisation has seen, and goes to the leg's other side
// alone; a referral and its amendments go to recipients and watchers, each part
// to its own readers. Nothing is sent to an organisation that is not active with
// a usable key. Custodians are the secretariat, and where it may not be one,
// those that offered; never a body that the alleged person belongs to.
//
// An alert to more than [protocol.MaxAudience] members is several records with
// one alert in them; the book shows them as one. Members are divided by their
// place in the register, so that the same members share a feed each time.
package casebook
