// Command alliance is a member's node, and everything that people do with it:
// the daemon, the operator's commands, and those of the officers and
// administrators who sign.
//
// What is online asks the node's API over the Unix socket in its folder, which
// --dir or $ALLIANCE_DIR names; whoever may open the socket is the operator.
// Signing keys are files of their own, or held by an ssh-agent, and never go
// near the node: 'alliance op sign' needs no node.
//
// # Output
//
// Results go to stdout, everything else to stderr. With --json the result is
// JSON, the same as the API's, and an error is one line of RFC 9457 problem
// JSON on stderr. Without it an error is a sentence, and where there is more
// to say, a hint on a line of its own. On a trial network every command says on
// stderr that only invented data belongs there.
//
// # Exit codes
//
//	0  done
//	1  a fault of the program or the machine; 'verify': damage was found
//	2  the command or its input is wrong
//	3  what was named does not exist
//	4  a rule does not allow it, a passphrase is wrong, or an ssh-agent refused
//	5  it does not fit what is there now
//	6  the reading identity is locked, or an ssh-agent is
//	7  not now: no node or ssh-agent answers, no peer, no leader, disk full, port or folder in use
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
