package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh/agent"
)

// The scripts in testdata are stories of real processes: the test binary runs
// itself as alliance. Beside testscript's own commands they use
//
//	node DIR…             make folders with a configuration for a test: free ports
//	                      on loopback, quick passphrases, short waits
//	key FILE…             make signing keys without passphrase
//	agent NAME COMMENT…   an ssh-agent in $SSH_AUTH_SOCK, with an Ed25519 key for
//	                      each comment; each named agent is another one
//	take NAME REGEXP      set $NAME to the first group found in the last stdout
//	until REGEXP CMD…     run alliance until its stdout or stderr matches; not
//	                      the command's success but the text is asked for
//	exits CODE CMD…       run alliance, which ends with this exit code
//	cut FILE BYTES        shorten a file
//	replace FILE OLD NEW  replace a text in a file
//	hold NAME             take a free port, for both TCP and UDP, until the end
//	founded DIR           what found.txt shows: $A, $B and $C are officers, two
//	                      of whom must sign, $D administers the secretariat;
//	                      genesis.op is what they signed
//	applied DIR NAME CLASS KIND
//	                      a ticket of the node in $N/sec, and a request; the
//	                      administrator's key is DIR.key
//	admitted DIR          the officers sign for the request that waits; then the
//	                      running node is unlocked
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"alliance": main})
}

func TestScript(t *testing.T) {
	// A socket's path has room for a hundred bytes, so it is no t.TempDir.
	nodes, err := os.MkdirTemp("", "al")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(nodes) })
	demo, err := filepath.Abs("../../deploy/demo")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ALLIANCE_DIR", "")
			e.Setenv("SSH_AUTH_SOCK", "")
			work, err := os.MkdirTemp(nodes, "")
			e.Setenv("N", work)
			e.Setenv("DEMO", demo)
			e.Setenv("SAMPLE", filepath.Join(demo, "../../protocol/alert/testdata/example.xml")) // in force until 2029
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": cmdNode, "key": cmdKey, "agent": cmdAgent, "take": cmdTake, "until": cmdUntil, "cut": cmdCut, "exits": cmdExits, "replace": cmdReplace, "hold": cmdHold,
			"founded": cmdFounded, "applied": cmdApplied, "admitted": cmdAdmitted,
		},
	})
}

const nodeConfig = `listen = ["127.0.0.1:%d"]
enrol = ["127.0.0.1:%d"]
scrypt_work = 10
min_free_mb = 1
head_wait = "1s"
repair_every = "2s"
poll_every = "1s"

[desk]
unit = "Desk for children (invented)"
role = "duty worker"
phone = "011-0000-0000"
`

func cmdNode(ts *testscript.TestScript, _ bool, args []string) {
	for _, dir := range args {
		dir = ts.MkAbs(dir)
		ts.Check(os.MkdirAll(dir, 0o700))
		listen, a := freePort(ts)
		enrol, b := freePort(ts)
		a()
		b()
		ts.Check(os.WriteFile(filepath.Join(dir, "alliance.toml"), fmt.Appendf(nil, nodeConfig, listen, enrol), 0o600))
	}
}

// freePort takes a port that is free for TCP and UDP, until it is given back.
func freePort(ts *testscript.TestScript) (port int, release func()) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		port = l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, func() { l.Close(); u.Close() }
		}
		l.Close()
	}
}

func cmdHold(ts *testscript.TestScript, _ bool, args []string) {
	port, release := freePort(ts)
	ts.Defer(release)
	ts.Setenv(args[0], strconv.Itoa(port))
}

func cmdKey(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(ts.Exec("alliance", "key", "new", "--out", ts.MkAbs(name+".key"), "--no-passphrase"))
		ts.Setenv(strings.ToUpper(name), strings.TrimSpace(ts.ReadFile("stdout")))
	}
}

func cmdAgent(ts *testscript.TestScript, _ bool, args []string) {
	keyring := agent.NewKeyring()
	for _, comment := range args[1:] {
		ts.Check(keyring.Add(agentAdds(comment)))
	}
	socket := filepath.Join(ts.Getenv("N"), args[0]+".sock")
	stop, err := serveAgent(socket, keyring)
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("SSH_AUTH_SOCK", socket)
}

// alliance runs the program and takes its success for granted.
func alliance(ts *testscript.TestScript, args ...string) string {
	ts.Check(ts.Exec("alliance", args...))
	return ts.ReadFile("stdout")
}

func cmdFounded(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	cmdNode(ts, false, args)
	cmdKey(ts, false, []string{"a", "b", "c", "d"})
	genesis := ts.MkAbs(genesisFile)
	alliance(ts, "init", "--dir", dir, "--title", "Example Alliance", "--name", "Example Secretariat", "--officer", ts.Getenv("A"), "--officer", ts.Getenv("B"),
		"--officer", ts.Getenv("C"), "--threshold", "2", "--suspension", "1", "--admin", ts.Getenv("D"), "--admin-threshold", "1", "--passphrase-file", ts.MkAbs("pw"))
	b, err := os.ReadFile(filepath.Join(dir, genesisFile))
	ts.Check(err)
	ts.Check(os.WriteFile(genesis, b, 0o600))
	for _, k := range []string{"a", "b", "c", "d"} {
		alliance(ts, "op", "sign", genesis, "--key", ts.MkAbs(k+".key"))
	}
	alliance(ts, "init", "--dir", dir, "--genesis", genesis)
}

func cmdApplied(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	cmdNode(ts, false, args[:1])
	name := filepath.Base(dir)
	cmdKey(ts, false, []string{name})
	ts.Setenv(strings.ToUpper(name)+"KEY", ts.Getenv(strings.ToUpper(name)))
	ticket := ts.MkAbs(name + ".ticket")
	alliance(ts, "invite", "--dir", ts.MkAbs(filepath.Join(ts.Getenv("N"), "sec")), "--out", ticket)
	alliance(ts, "join", "--dir", dir, "--ticket", ticket, "--name", args[1], "--class", args[2], "--kind", args[3],
		"--admin-key", ts.MkAbs(name+".key"), "--threshold", "1", "--passphrase-file", ts.MkAbs("pw"))
}

func cmdAdmitted(ts *testscript.TestScript, _ bool, args []string) {
	dir, sec := ts.MkAbs(args[0]), filepath.Join(ts.Getenv("N"), "sec")
	cmdUntil(ts, false, []string{" waits ", "op", "requests", "--dir", sec})
	cmdTake(ts, false, []string{"REQUEST", `(?m)^([0-9a-f]{12}) +waits`})
	file := ts.MkAbs(filepath.Base(dir) + ".op")
	alliance(ts, "op", "draft", "enrol", "--request", ts.Getenv("REQUEST"), "--out", file, "--dir", sec)
	alliance(ts, "op", "sign", file, "--key", ts.MkAbs("a.key"))
	alliance(ts, "op", "sign", file, "--key", ts.MkAbs("c.key"))
	alliance(ts, "op", "submit", file, "--dir", sec)
	cmdUntil(ts, false, []string{": serving", "status", "--dir", dir})
	alliance(ts, "unlock", "--dir", dir, "--passphrase-file", ts.MkAbs("pw"))
}

func cmdTake(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("%s is not in:\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], m[1])
}

func cmdUntil(ts *testscript.TestScript, _ bool, args []string) {
	re := regexp.MustCompile(args[0])
	end := time.Now().Add(time.Minute)
	for {
		ts.Exec("alliance", args[1:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if re.MatchString(out) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("never came: %s\nthe last answer:\n%s", args[0], out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("alliance", args[1:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

func cmdCut(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

func cmdReplace(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(ts.ReadFile(path), args[1], args[2])), 0o600))
}
