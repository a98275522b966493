// Package vocab holds the alliance's code lists as dated, sourced data: what
// a referral or an alert may say in a code, and the English words for it.
//
// A code is lower-case ASCII, digits and hyphens (TLP and the basis list carry
// the punctuation of their source). Codes are never renamed or reused; a list
// only grows, and [Version] grows with it. A code that a program does not know
// comes from a newer version: it is kept, shown raw, and never mapped to
// another code.
//
// The data stand in the CSV files under data/:
//
//	lists.csv   list, since, source
//	codes.csv   list, code, label, attr (the meaning of attr is in the list's source)
//	clocks.csv  the suggested hours per priority
//	facts.csv   legal hours, phone numbers and defaults, with the source and who reviewed them
//
// Legal hours, sections and phone numbers change; they stand in facts.csv and
// never in code. A fact without reviewer has not been read by a lawyer.
//
// States carry the codes of the Local Government Directory. Districts are not
// shipped (see [ValidDistrict]).
//
// Labels avoid the words that blame a child or describe abuse as trade or
// entertainment; a test searches every label for them.
package vocab
