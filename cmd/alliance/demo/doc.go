// Package demo runs a whole alliance of real processes on this machine's
// loopback and holds it to what the program promises. Everything in it is
// invented: it is a trial network, for practice only.
//
// # The story
//
//  1. Three officers, of whom two must agree, found the alliance. The
//     secretariat runs three nodes: two further ones join with tickets, and its
//     administrator makes all three voters and signers.
//  2. Two NGOs and a police unit join: ticket, join, fingerprint compared,
//     signatures of two officers, each on a copy of their own.
//  3. A referral goes from one NGO to the other and to police, identity and
//     evidence to police alone. One side completes it, police accept, a second
//     referral is declined and closed.
//  4. The secretariat issues an alert from a CAP 1.2 document to all members,
//     and all acknowledge it.
//  5. The secretariat's leading node is killed with an operation in flight. The
//     other two admit a ministry; the killed one comes back; all agree.
//  6. An NGO is away while another writes to it and goes away too: it gets the
//     record from the custodian, locked at first, and reads it once unlocked.
//  7. All nodes are stopped and their disks read.
//
// What people do runs the same program's commands (init, invite, join, op,
// referral, alert, unlock, verify), each as a process of its own; how the nodes
// stand is asked of their API. Nothing is waited for by time: every wait is for
// a condition and has an end.
//
// # What is expected
//
// Every expectation is printed with its outcome, and one that does not hold
// makes the demo fail: receipts of every reader and custodian; police hold only
// what they wrote or what names them; a part opens for its readers and for no
// one else; the secretariat reads no referral; an operation that was
// acknowledged is in the register exactly once, whoever was killed; all roots
// are equal; and no text of the input lies readable in any file of any node.
//
// # Where it runs
//
// The input is read from deploy/demo, or where --input says. The nodes live in
// $DEMO_DIR, or --at, which must be new or empty; without it in a temporary
// folder that is removed at the end. With KEEP=1, or --keep, the folder stays:
// one folder for each node, stopped; passphrases, people (signing keys), papers
// (tickets and operations) and logs beside them; and nodes.json, an array of
// {name, org, class, dir, passphrase_file}, org being the organisation's ID in
// hex and both paths absolute.
package demo
