package node

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/config"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/store"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// copied is a copy of a stopped node's folder, with its file modes.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "n")
	if out, err := exec.Command("cp", "-a", dir, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

func edit(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func replaced(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return []byte(strings.Replace(string(b), old, new, 1)) }
}

// A folder in which something is wrong does not start, says what and which
// file, and is left as it was.
func TestFoldersThatDoNotStart(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Log("NOT TESTED: Windows has no file modes")
		return
	}
	a, sec := opened(t)
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")
	a.stop("alpha")
	other := found(t)
	other.stop("sec")

	start := func(dir string) error {
		n, err := New(dir, Options{})
		if err == nil {
			n.Close()
		}
		return err
	}
	for _, c := range []struct {
		name  string
		spoil func(dir string)
		is    error
		says  []string
	}{
		{"a node key that others can read", func(d string) { os.Chmod(nodeKeyPath(d), 0o644) }, keyfile.ErrExposed, []string{"node.key"}},
		{"a damaged node key", func(d string) { edit(t, nodeKeyPath(d), func(b []byte) []byte { return b[:len(b)/2] }) }, keyfile.ErrDamaged, []string{"node.key"}},
		{"no node key", func(d string) { os.Remove(nodeKeyPath(d)) }, os.ErrNotExist, []string{"node.key"}},
		{"another node's key", func(d string) {
			b, err := os.ReadFile(nodeKeyPath(filepath.Join(other.dir, "sec")))
			if err != nil {
				t.Fatal(err)
			}
			edit(t, nodeKeyPath(d), func([]byte) []byte { return b })
		}, store.ErrKey, []string{"key file"}},
		{"no node.json", func(d string) { os.Remove(identityPath(d)) }, nil, []string{"alliance init", "alliance join"}},
		{"a damaged node.json", func(d string) { edit(t, identityPath(d), func(b []byte) []byte { return b[:len(b)/2] }) }, nil, []string{"node.json is damaged"}},
		{"a folder of a newer program", func(d string) { edit(t, identityPath(d), replaced(`"version": 1`, `"version": 2`)) }, nil, []string{"newer program", "left as it is", "install"}},
		{"a folder of no version", func(d string) { edit(t, identityPath(d), replaced(`"version": 1,`, "")) }, nil, []string{"node.json is damaged"}},
		{"a node key of a newer program", func(d string) { edit(t, nodeKeyPath(d), replaced(`"version": 1`, `"version": 2`)) }, nil, []string{"node.key", "newer program", "upgrade"}},
		{"a folder where the node key should be", func(d string) { os.Remove(nodeKeyPath(d)); os.Mkdir(nodeKeyPath(d), 0o700) }, nil, []string{"node.key"}},
		{"another network in node.json", func(d string) {
			edit(t, identityPath(d), replaced(sec.id.Network.String(), protocol.NetworkID{7}.String()))
		}, store.ErrNetwork, nil},
		{"a mistyped setting", func(d string) {
			os.WriteFile(filepath.Join(d, config.FileName), []byte("lissten = [\"127.0.0.1:0\"]\n"), 0o600)
		}, nil, []string{config.FileName, "unknown setting lissten"}},
		{"a setting out of bounds", func(d string) {
			os.WriteFile(filepath.Join(d, config.FileName), []byte("keep_days = 5000\n"), 0o600)
		}, nil, []string{config.FileName, "keep_days"}},
		{"an address that is none", func(d string) {
			os.WriteFile(filepath.Join(d, config.FileName), []byte("listen = [\"nowhere\"]\n"), 0o600)
		}, nil, []string{"nowhere"}},
		{"a peer that is no node", func(d string) {
			os.WriteFile(filepath.Join(d, config.FileName), []byte("[peers]\nabc = [\"127.0.0.1:4410\"]\n"), 0o600)
		}, nil, []string{"abc", "node's ID"}},
		{"a file in the socket's place", func(d string) { os.WriteFile(filepath.Join(d, "api.sock"), []byte("x"), 0o600) }, nil, []string{"api.sock", "left as it is"}},
	} {
		dir := copied(t, alpha.dir)
		c.spoil(dir)
		before := tree(t, dir)
		err := start(dir)
		if err == nil {
			t.Errorf("%s: it starts", c.name)
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v does not say %q", c.name, err, s)
			}
		}
		for path, b := range before {
			if now, err := os.ReadFile(path); err != nil || string(now) != b {
				t.Errorf("%s: %s was changed (%v)", c.name, path, err)
			}
		}
	}
	if err := start(copied(t, alpha.dir)); err != nil {
		t.Errorf("a copy that nothing was done to: %v", err)
	}

	checkpoint := copied(t, filepath.Join(other.dir, "sec"))
	os.Chmod(checkpointKeyPath(checkpoint), 0o640)
	if err := start(checkpoint); !errors.Is(err, keyfile.ErrExposed) || !strings.Contains(err.Error(), "checkpoint.key") {
		t.Errorf("a checkpoint key that others can read: %v", err)
	}
	if err := start(sec.dir); !InUse(err) {
		t.Errorf("a second node on one folder: %v", err)
	}
	if s := sec.status(t); s.State != "serving" {
		t.Errorf("the first node is %s after a second tried", s.State)
	}
	taken := copied(t, alpha.dir)
	if err := os.WriteFile(filepath.Join(taken, config.FileName), []byte("socket = \""+SocketPath(sec.dir, sec.cfg)+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start(taken); err == nil || !strings.Contains(err.Error(), "another process serves it") {
		t.Errorf("a socket in use: %v", err)
	}
	if s := sec.status(t); s.Node != sec.ID().String() {
		t.Error("the socket was taken over")
	}
}

// tree is what the files of a folder hold that a person or a key stands for;
// the store's own are left out, since opening it may tidy them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.json", "*.toml", "keys/*"} {
		list, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, p := range list {
			if fi, err := os.Stat(p); err == nil && fi.IsDir() {
				continue
			}
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			out[p] = string(b)
		}
	}
	return out
}

// A port in use stops the node with the port's number, and it leaves nothing
// behind.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	a := found(t)
	a.ready(a.nodes["sec"])
	dir := a.nodes["sec"].dir
	a.stop("sec")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	run := func(listen, enrol string) (*Node, error) {
		cfg := config.Default()
		cfg.Listen, cfg.Enrol, cfg.MinFree = []string{listen}, []string{enrol}, 1
		n, err := New(dir, Options{Config: &cfg})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		select {
		case err := <-done:
			return n, err
		case <-n.Ready():
		case <-time.After(30 * time.Second):
			t.Fatal("it neither runs nor ends")
		}
		_, err = n.Invite(ctx, time.Hour)
		cancel()
		<-done
		return n, err
	}
	for what, addr := range map[string]string{"TCP": ln.Addr().String(), "UDP": pc.LocalAddr().String()} {
		n, err := run(addr, "127.0.0.1:0")
		if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("a %s port in use: %v", what, err)
		}
		if _, err := os.Stat(SocketPath(n.dir, n.cfg)); err == nil {
			t.Error("the socket is left behind")
		}
	}
	if _, err := run("127.0.0.1:0", ln.Addr().String()); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("an enrolment port in use: %v", err)
	}
	if _, err := run("127.0.0.1:0", "127.0.0.1:0"); err != nil {
		t.Errorf("with free ports: %v", err)
	}
}

// A reading identity that is exposed, damaged or gone keeps the node locked,
// not down.
func TestReadingIdentityFileFaults(t *testing.T) {
	t.Parallel()
	a, _ := opened(t)
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")
	a.stop("alpha")
	path := readingKeyPath(alpha.dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	alpha = a.again("alpha")
	for _, c := range []struct {
		name  string
		spoil func() error
		kind  api.Kind
		says  string
	}{
		{"exposed", func() error { return os.Chmod(path, 0o644) }, api.Conflict, "others can read"},
		{"damaged", func() error { return os.WriteFile(path, whole[:len(whole)-20], 0o600) }, api.Conflict, "damaged"},
		{"gone", func() error { return os.Remove(path) }, api.Unavailable, "put your copy of the file back"},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		kind, text := problem(alpha.client().Do(t.Context(), "POST", "/unlock", api.Passphrase{Passphrase: passphrase}, nil))
		if kind != c.kind || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s %q", c.name, kind, text)
		}
		if s := alpha.status(t); s.State != "serving" || !s.Locked {
			t.Errorf("%s: %s, locked %v", c.name, s.State, s.Locked)
		}
		os.Remove(path)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := alpha.Unlock(passphrase); err != nil {
		t.Errorf("put back: %v", err)
	}
}

// loseLeaf takes one leaf of the register out of a stopped node's store.
func loseLeaf(t *testing.T, dir string, index byte) {
	t.Helper()
	loseRow(t, dir, []byte{'o', 0, 0, 0, 0, 0, 0, 0, index})
}

// loseRow takes a row out of a stopped node's store, as a flipped byte would.
func loseRow(t *testing.T, dir string, key []byte) {
	t.Helper()
	keys, err := keyfile.LoadNodeKeys(nodeKeyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(storePath(dir), "db")).WithLogger(nil).WithEncryptionKey(keys.StoreKey[:]).WithIndexCacheSize(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(txn *badger.Txn) error {
		if _, err := txn.Get(key); err != nil {
			return err
		}
		return txn.Delete(key)
	}); err != nil {
		t.Fatal(err)
	}
}

// A member whose register is damaged shows and serves its records, says so,
// and fetches the register anew.
func TestDamagedRegister(t *testing.T) {
	t.Parallel()
	a, _ := opened(t)
	alpha, beta := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo")
	if _, err := alpha.refer(t.Context(), referTo("Example beta")); err != nil {
		t.Fatal(err)
	}
	until(t, "the referral", func() bool { return beta.sees(t) == 1 && outstanding(t, alpha) == 0 })
	size := beta.reg.State().Size()
	a.stop("sec")
	a.stop("beta")
	loseLeaf(t, beta.dir, 2)
	beta = a.again("beta")
	if !beta.warned(t, "register on this disk is damaged") {
		t.Errorf("it does not say so: %q", beta.status(t).Warnings)
	}
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "the referral shown", func() bool { return beta.sees(t) == 1 })
	a.nodes["sec"] = a.again("sec")
	until(t, "the register whole again", func() bool {
		return !beta.warned(t, "register on this disk is damaged") && beta.reg.State().Size() == size
	})
	a.stop("beta")
	if v, _ := verify(t, beta.dir); len(v.Faults) > 0 || v.Leaves != size {
		t.Errorf("after it was fetched anew: %d leaves, %q", v.Leaves, v.Faults)
	}
}

// A secretariat's node with a damaged register serves what it has and signs
// nothing.
func TestDamagedRegisterAtTheSecretariat(t *testing.T) {
	t.Parallel()
	a, sec := opened(t)
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")
	a.stop("sec")
	loseLeaf(t, sec.dir, 1)
	sec = a.again("sec")
	a.nodes["sec"] = sec
	if !sec.warned(t, "damaged") {
		t.Errorf("it does not say so: %q", sec.status(t).Warnings)
	}
	err := a.op(t.Context(), sec, register.OfGroup("example"), register.DefineGroup{Title: "Example group", Members: []protocol.OrgID{alpha.Org()}}, a.officers...)
	if err == nil {
		t.Error("a damaged register takes an operation")
	}
	if _, err := sec.Invite(t.Context(), time.Hour); err == nil {
		t.Error("a node with a damaged register invites")
	}
}

// A wrong ticket, or a request that was altered on its way, admits nobody and
// says why.
func TestWrongTickets(t *testing.T) {
	t.Parallel()
	a, sec := opened(t)
	ctx := t.Context()
	ticket, err := sec.Invite(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(name, text string) (string, error) {
		dir := filepath.Join(a.dir, name)
		_, err := Apply(dir, Application{Ticket: text, Name: "Example " + name, Class: protocol.ClassNGO, Kind: "ngo",
			Admins: []Person{asPerson(a.admin)}, Threshold: 1, Passphrase: passphrase, Work: 10}, time.Now())
		return dir, err
	}
	for what, text := range map[string]string{"truncated": ticket.Text()[:len(ticket.Text())-9], "empty": "", "another word": "alliance-person-1-AAAA",
		"with a typing error": strings.Replace(ticket.Text(), "1-", "1-!", 1)} {
		dir, err := apply("none", text)
		if err == nil || !strings.Contains(err.Error(), "alliance-ticket-1-") {
			t.Errorf("a ticket %s: %v", what, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("a ticket %s leaves a folder behind", what)
		}
	}

	expired := ticket
	if expired, err = sec.Invite(ctx, -time.Hour); err == nil {
		t.Error("a ticket is made that ended an hour ago")
	}
	expired.Network, expired.Doors, expired.Token, expired.Expires = ticket.Network, ticket.Doors, [32]byte{9}, time.Now().Add(-time.Hour).Unix()
	foreign := ticket
	foreign.Network = protocol.NetworkID{7}
	unknown := ticket
	unknown.Token[0] ^= 1
	door := ticket
	door.Doors = []membership.Door{{Transport: a.admin.Key.Public(), Addrs: ticket.Doors[0].Addrs}}
	for _, c := range []struct {
		name   string
		ticket membership.Ticket
		state  string
		says   string
	}{
		{"expired", expired, "refused", "expired"}, {"foreign", foreign, "refused", "not asked any more"}, {"unknown", unknown, "refused", "not known"}, {"door", door, "pending", "does not answer"},
	} {
		dir, err := apply(c.name, c.ticket.Text())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		r := a.start(c.name, dir)
		until(t, "a word on the "+c.name+" ticket", func() bool {
			s := r.status(t)
			return s.State == c.state && s.Answer != "" && strings.Contains(s.Answer, c.says)
		})
		if err := r.client().Do(ctx, "GET", "/orgs", nil, nil); api.KindOf(err) != api.Unavailable {
			t.Errorf("%s: a node that is no member answers %v", c.name, err)
		}
		a.stop(c.name)
	}

	// Altered between the newcomer and the desk.
	dir, err := apply("altered", ticket.Text())
	if err != nil {
		t.Fatal(err)
	}
	var j joining
	if err := readJSON(joiningPath(dir), &j); err != nil {
		t.Fatal(err)
	}
	right := string(j.Org)
	j.Org = []byte(strings.Replace(right, "Example altered", "Example Altered", 1))
	if string(j.Org) == right {
		t.Fatal("nothing was altered")
	}
	put := func() {
		edit(t, joiningPath(dir), func([]byte) []byte {
			b, _ := json.Marshal(j)
			return b
		})
	}
	put()
	r := a.start("altered", dir)
	until(t, "a word on the altered request", func() bool {
		return strings.Contains(r.status(t).Answer, "signature")
	})
	a.stop("altered")
	if list, err := sec.Register().Enrolments(); err != nil || len(list) != 0 {
		t.Errorf("at the desk: %d requests, %v", len(list), err)
	}

	// The first request that came with a ticket is the only one.
	j.Org = []byte(right)
	put()
	a.start("altered", dir)
	until(t, "the right request at the desk", func() bool {
		list, err := sec.Register().Enrolments()
		return err == nil && len(list) == 1
	})
	again, err := apply("again", ticket.Text())
	if err != nil {
		t.Fatal(err)
	}
	second := a.start("again", again)
	until(t, "a word on the used ticket", func() bool {
		return strings.Contains(second.status(t).Answer, "used for another request")
	})
	if list, err := sec.Register().Enrolments(); err != nil || len(list) != 1 {
		t.Errorf("at the desk: %d requests, %v", len(list), err)
	}
}
