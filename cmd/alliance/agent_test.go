package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// agentAdds is an Ed25519 key as it is added to an agent, the same for one comment.
func agentAdds(comment string) agent.AddedKey {
	seed := sha256.Sum256([]byte("an invented key of " + comment))
	return agent.AddedKey{PrivateKey: ed25519.NewKeyFromSeed(seed[:]), Comment: comment}
}

func publicOf(comment string) (ssh.PublicKey, crypto.PublicKey) {
	raw := agentAdds(comment).PrivateKey.(ed25519.PrivateKey).Public().(ed25519.PublicKey)
	k, err := ssh.NewPublicKey(raw)
	if err != nil {
		panic(err)
	}
	return k, crypto.PublicKey(raw)
}

// serveAgent serves an agent on a socket until it is stopped.
func serveAgent(socket string, a agent.Agent) (stop func(), err error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				agent.ServeAgent(a, conn)
				conn.Close()
			})
		}
	})
	return func() { l.Close(); all.Wait() }, nil
}

// A socket's path has room for a hundred bytes, so it is not in t.TempDir.
func agentFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "al")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// holdAgent makes an agent the one at SSH_AUTH_SOCK.
func holdAgent(t *testing.T, a agent.Agent) {
	t.Helper()
	socket := filepath.Join(agentFolder(t), "s")
	stop, err := serveAgent(socket, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	t.Setenv("SSH_AUTH_SOCK", socket)
}

// sshAgentProcess runs OpenSSH's agent, where it is installed, and returns its
// socket. Whom it asks for a confirmation says No.
func sshAgentProcess(t *testing.T) (socket string) {
	t.Helper()
	path, err := exec.LookPath("ssh-agent")
	if err != nil {
		return ""
	}
	socket = filepath.Join(agentFolder(t), "s")
	c := exec.Command(path, "-D", "-a", socket)
	c.Env = append(os.Environ(), "SSH_ASKPASS=false", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return socket
		}
		if time.Now().After(end) {
			t.Fatal("ssh-agent does not listen")
		}
	}
}

// fullAgent holds what people have in their agents: "asha", "twin" twice, an
// ECDSA key, a certificate.
func fullAgent(t *testing.T, a agent.Agent) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	twin := agentAdds("the other twin")
	twin.Comment = "twin"
	certified := agentAdds("certified")
	key, _ := publicOf("certified")
	ca, err := ssh.NewSignerFromKey(agentAdds("ca").PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certified.Certificate = &ssh.Certificate{Key: key, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certified.Certificate.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	for _, k := range []agent.AddedKey{agentAdds("asha"), agentAdds("twin"), twin, {PrivateKey: ec, Comment: "ecdsa"}, certified} {
		if err := a.Add(k); err != nil {
			t.Fatal(err)
		}
	}
}

// with lists a further key, and signs as it is told to.
type with struct {
	agent.Agent
	lists []*agent.Key
	signs func(key ssh.PublicKey, data []byte) (*ssh.Signature, error)
}

func (w with) List() ([]*agent.Key, error) {
	keys, err := w.Agent.List()
	return append(keys, w.lists...), err
}

func (w with) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	if w.signs != nil {
		return w.signs(key, data)
	}
	return w.Agent.Sign(key, data)
}

// says runs one command line, which ends with this code and these words.
func says(t *testing.T, code int, words string, args ...string) string {
	t.Helper()
	got, out, errs := do("", args...)
	if got != code || !strings.Contains(out+errs, words) {
		t.Errorf("%q: exit %d, want %d and %q: %s%s", args, got, code, words, out, errs)
	}
	return strings.TrimSpace(out)
}

// foundingOp is a founding operation that the person of a word signs.
func foundingOp(t *testing.T, dir, who string) string {
	t.Helper()
	_, admin, _ := do("", "key", "new", "--out", filepath.Join(dir, "admin.key"), "--no-passphrase")
	sec := filepath.Join(dir, "sec")
	if err := os.Mkdir(sec, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sec, "alliance.toml"), []byte("scrypt_work = 10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("an invented passphrase"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, 0, "", "init", "--dir", sec, "--title", "Example Alliance", "--name", "Example Secretariat", "--officer", who, "--threshold", "1", "--suspension", "1",
		"--admin", strings.TrimSpace(admin), "--admin-threshold", "1", "--passphrase-file", filepath.Join(dir, "pw"))
	return filepath.Join(sec, genesisFile)
}

// Both the agent that people have, where it is installed, and the one in memory
// name keys, sign and refuse as the help says.
func TestAgents(t *testing.T) {
	installed := sshAgentProcess(t)
	for name, start := range map[string]func(t *testing.T) agent.Agent{
		"in memory": func(t *testing.T) agent.Agent {
			a := agent.NewKeyring()
			holdAgent(t, a)
			return a
		},
		"ssh-agent": func(t *testing.T) agent.Agent {
			if installed == "" {
				return nil
			}
			t.Setenv("SSH_AUTH_SOCK", installed)
			conn, err := net.Dial("unix", installed)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return agent.NewClient(conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t)
			if a == nil {
				return
			}
			dir := t.TempDir()
			in := func(name string) string { return filepath.Join(dir, name) }
			says(t, 6, "it is locked, or none was added", "key", "agent")
			fullAgent(t, a)
			sshKey, public := publicOf("asha")

			says(t, 0, "2 other keys in the ssh-agent cannot sign here", "key", "agent")
			var list []listedKey
			if err := json.Unmarshal([]byte(says(t, 0, "", "key", "agent", "--json")), &list); err != nil || len(list) != 3 ||
				list[0] != (listedKey{public.ID().String(), ssh.FingerprintSHA256(sshKey), "asha"}) {
				t.Fatalf("list %v, %v", list, err)
			}

			// However it is named, it is the same key, and each file has an ID of its own.
			persons := map[protocol.PersonID]bool{}
			for i, which := range []string{"asha", list[0].Fingerprint, list[0].Key, list[0].Key[:8], string(ssh.MarshalAuthorizedKey(sshKey)),
				strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshKey))) + " another comment"} {
				file := in(string(rune('a'+i)) + ".key")
				word := says(t, 0, "", "key", "new", "--agent", which, "--out", file)
				m, err := node.ParsePerson(word)
				if err != nil || m.Key != public || persons[m.Person] {
					t.Errorf("%q: %v, %v", which, m, err)
				}
				persons[m.Person] = true
				if shown := says(t, 0, "", "key", "show", file); shown != word {
					t.Errorf("%q: shown as %s, made as %s", which, shown, word)
				}
			}
			says(t, 5, "it was left as it is", "key", "new", "--agent", "asha", "--out", in("a.key"))
			says(t, 2, "2 keys in the ssh-agent are \"twin\"", "key", "new", "--agent", "twin", "--out", in("n.key"))
			says(t, 2, "name one by its fingerprint: SHA256:", "key", "new", "--agent", "twin", "--out", in("n.key"))
			says(t, 2, "names no key", "key", "new", "--agent", "", "--out", in("n.key"))
			says(t, 2, "--no-passphrase is for a key in a file", "key", "new", "--agent", "asha", "--no-passphrase", "--out", in("n.key"))
			says(t, 3, "no key in the ssh-agent is \"nobody\"", "key", "new", "--agent", "nobody", "--out", in("n.key"))
			says(t, 3, "no key in the ssh-agent is \""+list[0].Key[:7], "key", "new", "--agent", list[0].Key[:7], "--out", in("n.key"))
			says(t, 4, "of the type ecdsa-sha2-nistp256 and cannot sign here: operations are signed with Ed25519", "key", "new", "--agent", "ecdsa", "--out", in("n.key"))
			says(t, 4, "it is a certificate", "key", "new", "--agent", "certified", "--out", in("n.key"))
			if _, err := os.Lstat(in("n.key")); err == nil {
				t.Error("a file was written all the same")
			}

			op := foundingOp(t, dir, says(t, 0, "", "key", "show", in("a.key")))
			before, err := os.ReadFile(op)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Lock([]byte("invented")); err != nil {
				t.Fatal(err)
			}
			says(t, 6, "it is locked, or none was added", "op", "sign", op, "--key", in("a.key"))
			if err := a.Unlock([]byte("invented")); err != nil {
				t.Fatal(err)
			}
			if after, err := os.ReadFile(op); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file changed though nothing was signed: %v", err)
			}
			says(t, 0, "the ssh-agent is asked to sign with key "+list[0].Key[:8], "op", "sign", op, "--key", in("a.key"))
			says(t, 0, "Signed ", "op", "sign", op, "--key", in("admin.key"))
			says(t, 0, "Founded", "init", "--dir", in("sec"), "--genesis", op)

			// Proofs of possession are the same as a key file's.
			network := protocol.NetworkID(crypto.Sum("test", crypto.Hash{}))
			word := says(t, 0, "", "key", "show", in("a.key"), "--network", network.String(), "--purpose", "officer")
			m, err := node.ParsePerson(word)
			if err != nil {
				t.Fatal(err)
			}
			k, err := crypto.NewPrivateKey(agentAdds("asha").PrivateKey.(ed25519.PrivateKey).Seed())
			if err != nil || m.Proof != register.Prove(k, network, register.ForOfficer, protocol.OrgID{}, m.Person) {
				t.Errorf("another proof than with the key at hand: %v", err)
			}

			if name == "ssh-agent" { // the one in memory asks nobody
				asks := agentAdds("asks")
				asks.ConfirmBeforeUse = true
				if err := a.Add(asks); err != nil {
					t.Fatal(err)
				}
				says(t, 0, "", "key", "new", "--agent", "asks", "--out", in("asks.key"))
				says(t, 4, "refused to sign with key", "key", "show", in("asks.key"), "--network", network.String(), "--purpose", "officer")
			}
			if err := a.Remove(sshKey); err != nil {
				t.Fatal(err)
			}
			says(t, 3, "does not hold key "+list[0].Key[:8], "key", "show", in("a.key"), "--network", network.String(), "--purpose", "officer")
			says(t, 0, "alliance-person-1-", "key", "show", in("a.key"))
		})
	}
}

// A security key's signature is over other bytes; it is told apart by its type.
func TestAgentRefusesSecurityKeys(t *testing.T) {
	_, public := publicOf("asha")
	blob := ssh.Marshal(struct {
		Format, Key, Application string
	}{ssh.KeyAlgoSKED25519, string(public[:]), "ssh:"})
	small := ssh.Marshal(struct{ Format, Key string }{ssh.KeyAlgoED25519, string(append([]byte{1}, make([]byte, 31)...))})
	holdAgent(t, with{Agent: agent.NewKeyring(), lists: []*agent.Key{
		{Format: ssh.KeyAlgoSKED25519, Blob: blob, Comment: "yubi\x1b[2J"}, {Format: ssh.KeyAlgoED25519, Blob: small, Comment: "small"}}})
	out := filepath.Join(t.TempDir(), "a.key")
	says(t, 4, `"yubi?[2J" is of the type sk-ssh-ed25519@openssh.com and cannot sign here: a security key signs other bytes`, "key", "new", "--agent", "yubi\x1b[2J", "--out", out)
	says(t, 4, "it is no sound Ed25519 key", "key", "new", "--agent", "small", "--out", out)
	says(t, 0, "2 other keys", "key", "agent")
	if _, err := os.Lstat(out); err == nil {
		t.Error("a file was written all the same")
	}
}

// What an agent answers is checked before anything is done with it.
func TestAttackAgentLies(t *testing.T) {
	dir := t.TempDir()
	keyring := agent.NewKeyring()
	for _, c := range []string{"asha", "ravi"} {
		if err := keyring.Add(agentAdds(c)); err != nil {
			t.Fatal(err)
		}
	}
	ravi, _ := publicOf("ravi")
	var answer func(key ssh.PublicKey, data []byte) (*ssh.Signature, error)
	holdAgent(t, with{Agent: keyring, signs: func(key ssh.PublicKey, data []byte) (*ssh.Signature, error) { return answer(key, data) }})
	file := filepath.Join(dir, "a.key")
	op := foundingOp(t, dir, says(t, 0, "", "key", "new", "--agent", "asha", "--out", file))
	before, err := os.ReadFile(op)
	if err != nil {
		t.Fatal(err)
	}
	bent := func(bend func(*ssh.Signature)) func(ssh.PublicKey, []byte) (*ssh.Signature, error) {
		return func(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
			sig, err := keyring.Sign(key, data)
			if err == nil {
				bend(sig)
			}
			return sig, err
		}
	}
	for name, lie := range map[string]func(ssh.PublicKey, []byte) (*ssh.Signature, error){
		"another key's":    func(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) { return keyring.Sign(ravi, data) },
		"over other bytes": func(key ssh.PublicKey, data []byte) (*ssh.Signature, error) { return keyring.Sign(key, data[1:]) },
		"a bit is wrong":   bent(func(s *ssh.Signature) { s.Blob[40] ^= 1 }),
		"cut short":        bent(func(s *ssh.Signature) { s.Blob = s.Blob[:63] }),
		"empty":            bent(func(s *ssh.Signature) { s.Blob = nil }),
		"of another type":  bent(func(s *ssh.Signature) { s.Format = ssh.KeyAlgoSKED25519 }),
	} {
		answer = lie
		t.Log(name)
		says(t, 4, "is no signature of key", "op", "sign", op, "--key", file)
	}
	answer = func(ssh.PublicKey, []byte) (*ssh.Signature, error) { return nil, errors.New("told No") }
	says(t, 4, "refused to sign with key", "op", "sign", op, "--key", file)
	answer = func(ssh.PublicKey, []byte) (*ssh.Signature, error) {
		return nil, errors.Join(keyring.RemoveAll(), errors.New("gone"))
	}
	says(t, 6, "it is locked, or none was added", "op", "sign", op, "--key", file)
	if after, err := os.ReadFile(op); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed though nothing was signed: %v", err)
	}
	says(t, 6, "", "op", "sign", op, "--key", file, "--json")
}

// Where no agent answers, a command says so, and soon.
func TestNoAgent(t *testing.T) {
	dir := agentFolder(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	t.Setenv("SSH_AUTH_SOCK", "")
	says(t, 7, "SSH_AUTH_SOCK is not set", "key", "agent")
	says(t, 7, "SSH_AUTH_SOCK is not set", "key", "new", "--agent", "asha", "--out", in("a.key"))
	t.Setenv("SSH_AUTH_SOCK", in("none"))
	says(t, 7, "'ssh-add -l' says whether it runs", "key", "agent")

	// One that hangs up, and one that talks nonsense.
	for i, talk := range []string{"", "\x00\x00\x00\x01\x05", "\x00\x00\x00\x05\x0c\xff\xff\xff\xff", "\xff\xff\xff\xff"} {
		socket := in(string(rune('0' + i)))
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				io.ReadFull(conn, make([]byte, 5))
				io.WriteString(conn, talk)
				conn.Close()
			}
		}()
		t.Setenv("SSH_AUTH_SOCK", socket)
		says(t, 7, "ask the ssh-agent at "+socket, "key", "agent")
	}

	// One that never answers: time passes, and nothing was signed.
	l, err := net.Listen("unix", in("mute"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = sshAgent{in("mute"), time.Millisecond, time.Millisecond}.keys()
	if kindOf(err) != api.Unavailable || !strings.Contains(err.Error(), "did not answer within 1ms; nothing was signed") {
		t.Errorf("mute: %v", err)
	}

	// It lists the key, and then waits for a person who does not come.
	keyring := agent.NewKeyring()
	if err := keyring.Add(agentAdds("asha")); err != nil {
		t.Fatal(err)
	}
	never := make(chan struct{})
	holdAgent(t, with{Agent: keyring, signs: func(ssh.PublicKey, []byte) (*ssh.Signature, error) { <-never; return nil, errors.New("late") }})
	t.Cleanup(func() { close(never) })
	_, public := publicOf("asha")
	_, err = sshAgent{os.Getenv("SSH_AUTH_SOCK"), time.Minute, 50 * time.Millisecond}.signature(public, []byte("invented"))
	if kindOf(err) != api.Unavailable || !strings.Contains(err.Error(), "did not answer within 50ms") {
		t.Errorf("nobody comes: %v", err)
	}
}
