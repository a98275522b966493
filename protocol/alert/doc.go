// Package alert is what the alliance's members warn each other with: an
// alert in the shape of the Common Alerting Protocol 1.2 (CAP, OASIS Standard
// of 1 July 2010), its acknowledgements, and the fold that turns records into
// what a person sees. It is pure: bytes and times come in as arguments.
//
// # Body of a record
//
// Four kinds of record speak of alerts. The body of each is one deterministic
// CBOR map with integer keys, [Body]; unknown keys are kept by whoever keeps
// the bytes.
//
//	alert/issue   {1: alert}   msgType Alert; opens a thread
//	alert/update  {1: alert}   msgType Update; takes the place of the records it references
//	alert/cancel  {1: alert}   msgType Cancel; withdraws them, finally
//	alert/ack     {2: ack}     a recipient organisation's answer, to the issuer
//
// Acknowledgements go to the issuer alone, who may know who answered. Key 3 and
// the kind alert/tally are kept for the counts that the issuer tells everyone
// else; a program that does not know a kind keeps the record and says so.
//
// The record's own references (in its inner header) name the records that an
// update, a cancel or an acknowledgement is about. The alert also carries
// CAP's references, for readers of the XML outside.
//
// An alert is a map of CAP's elements under the numbers in [Alert]'s tags;
// codes of CAP's lists are their text ("Actual"), times are CAP's text with
// the offset as the author wrote it, and absent optional elements are left
// out.
//
// # XML
//
// [ParseCAP] reads one CAP 1.2 document, UTF-8, at most [MaxCAP] bytes. It
// holds the schema (names, order, number, types) and those rules of the
// standard's text that a schema cannot say; a broken rule is a [*Finding]
// that names it. There is no document type, and no entity but the five of XML
// and character numbers; nothing is fetched. Four things are passed over with
// a warning: XML signatures (the record's signature is the one that counts),
// processing instructions, optional elements that are empty, and a file inside
// the document (derefUri), since files never travel in an alert.
// [Alert.CAP] writes a document that reads back as the same alert.
//
// [Alert.Profile] holds what the alliance asks beyond CAP, and [MayIssue] who
// may warn whom of what.
package alert
