package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What ends with which exit code, as the head of main.go has it, of all that
// needs no running network; the scripts have the rest.
func TestExitCodeOfEverySituation(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, text string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(in(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return in(name)
	}
	must := func(args ...string) string {
		t.Helper()
		code, out, errs := do("an invented passphrase", args...)
		if code != 0 {
			t.Fatalf("%q: exit %d: %s", args, code, errs)
		}
		return strings.TrimSpace(out)
	}
	const settings = "scrypt_work = 10\nmin_free_mb = 1\nlisten = [\"127.0.0.1:0\"]\n"
	pw, short, other := put("pw", "an invented passphrase"), put("short", "short"), put("other", "another passphrase")
	key, locked := in("a.key"), in("l.key")
	who := must("key", "new", "--out", key, "--no-passphrase")
	admin := must("key", "new", "--out", in("b.key"), "--no-passphrase")
	must("key", "new", "--out", locked, "--passphrase-file", pw, "--scrypt-work", "10")
	exposed, damaged := put("e.key", ""), put("d.key", "{")
	if b, err := os.ReadFile(key); err != nil || os.WriteFile(exposed, b, 0o600) != nil || os.Chmod(exposed, 0o644) != nil {
		t.Fatal(err)
	}
	found := func(name string) []string {
		put(name+"/alliance.toml", settings)
		return []string{"init", "--dir", in(name), "--title", "Example Alliance", "--name", "Example Secretariat", "--officer", who, "--threshold", "1",
			"--suspension", "1", "--admin", admin, "--admin-threshold", "1", "--passphrase-file", pw}
	}
	must(found("prepared")...)
	must(found("sec")...)
	genesis := in("sec/genesis.op")
	unsigned := put("unsigned.op", "")
	if b, err := os.ReadFile(in("prepared/genesis.op")); err != nil || os.WriteFile(unsigned, b, 0o600) != nil {
		t.Fatal(err)
	}
	must("op", "sign", genesis, "--key", key)
	must("op", "sign", genesis, "--key", in("b.key"))
	if b, err := os.ReadFile(genesis); err != nil {
		t.Fatal(err)
	} else {
		genesis = put("signed.op", string(b))
	}
	must("init", "--dir", in("sec"), "--genesis", in("sec/genesis.op"))
	if _, err := os.Lstat(in("sec/genesis.op")); !os.IsNotExist(err) {
		t.Errorf("the founding operation stays in the folder: %v", err)
	}
	for name, toml := range map[string]string{"typo": "lisen = []", "port": "listen = [\"127.0.0.1\"]", "multi": "listen = [\"/ip4/127.0.0.1\"]"} {
		if err := os.CopyFS(in(name), os.DirFS(in("sec"))); err != nil {
			t.Fatal(err)
		}
		put(name+"/alliance.toml", toml)
	}
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.CopyFS(in("inuse"), os.DirFS(in("sec"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keys/node.key", "keys/checkpoint.key", "keys/reading.age", "node.json"} {
		if err := os.Chmod(in("inuse/"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("inuse/alliance.toml", "min_free_mb = 1\nlisten = [\""+held.Addr().String()+"\"]\n")
	put("cut.json", "{")
	join := func(more ...string) []string {
		return append([]string{"join", "--dir", in("new"), "--name", "Example Home", "--admin-key", key, "--threshold", "1", "--passphrase-file", pw}, more...)
	}
	ticket := put("ticket", "alliance-ticket-1-AAAA")

	for _, c := range []struct {
		code int
		args []string
	}{
		{0, []string{"version"}}, {0, []string{"--help"}}, {0, []string{"codes", "service"}}, {0, []string{"key", "show", locked, "--passphrase-file", pw}},
		{0, []string{"op", "show", genesis}}, {0, []string{"verify", "--dir", in("sec"), "--passphrase-file", pw}},

		{2, []string{"statsu"}}, {2, []string{"status", "--bogus"}}, {2, []string{"status"}}, {2, []string{"status", "more"}}, {2, []string{"op", "sgin"}},
		{2, []string{"help", "statsu"}}, {2, []string{"completion", "csh"}}, {2, []string{"demo", "more"}}, {2, []string{"bench", "--bogus"}},
		{2, []string{"op", "sign", genesis}}, {2, []string{"op", "sign", put("junk.op", "junk"), "--key", key}}, {2, []string{"op", "show", pw}},
		{2, []string{"key", "new"}}, {2, []string{"key", "new", "--agent", "x", "--no-passphrase", "--out", in("n.key")}}, {2, []string{"key", "new", "--out", in("n.key")}}, {2, []string{"key", "new", "--out", in("n.key"), "--passphrase-file", short}},
		{2, []string{"key", "new", "--out", in("n.key"), "--passphrase-file", pw, "--scrypt-work", "99"}},
		{2, []string{"key", "show", key, "--network", "x", "--purpose", "officer"}},
		{2, []string{"init", "--dir", in("new")}}, {2, append(found("new"), "--threshold", "2")}, {2, append(found("new"), "--admin", who)}, {2, []string{"init", "--dir", in("prepared"), "--genesis", pw}},
		{2, join("--ticket", ticket, "--class", "ngo")}, {2, join("--class", "ngo")},
		{2, []string{"daemon", "--dir", in("sec"), "--log", "xml"}}, {2, []string{"daemon", "--dir", in("typo")}}, {2, []string{"status", "--dir", in("typo")}},
		{2, []string{"daemon", "--dir", in("port")}}, {2, []string{"daemon", "--dir", in("multi")}},
		{2, []string{"referral", "send", in("cut.json"), "--dir", in("sec")}}, {2, []string{"referral", "accept", "X", "--file", in("cut.json"), "--dir", in("sec")}},
		{2, []string{"referral", "ack", "X", "--decide-by", "tomorrow", "--dir", in("sec")}}, {2, []string{"alert", "issue", pw, "--dir", in("sec")}},
		{2, []string{"codes", "a", "b"}}, {2, []string{"op", "draft", "set-kind", "--code", "helplin", "--out", in("k.op"), "--dir", in("sec")}},
		{2, join("--ticket", ticket, "--class", "ngo", "--kind", "helplin")},

		{3, []string{"status", "--dir", in("nowhere")}}, {3, []string{"daemon", "--dir", in("nowhere")}}, {3, []string{"verify", "--dir", in("nowhere")}},
		{3, []string{"key", "show", in("none.key")}}, {3, []string{"key", "show", locked, "--passphrase-file", in("none")}}, {3, []string{"op", "show", in("none.op")}},
		{3, []string{"referral", "send", in("none.json"), "--dir", in("sec")}}, {3, []string{"alert", "issue", in("none.xml"), "--to", "members", "--dir", in("sec")}},
		{3, []string{"init", "--dir", in("new"), "--genesis", genesis}}, {3, []string{"init", "--dir", in("new"), "--genesis", in("none.op")}},
		{3, join("--ticket", in("none"), "--class", "ngo")}, {3, []string{"codes", "shoe-size"}},

		{4, []string{"key", "show", locked, "--passphrase-file", other}}, {4, []string{"verify", "--dir", in("sec"), "--passphrase-file", other}},
		{4, []string{"init", "--dir", in("prepared"), "--genesis", unsigned}},

		{5, []string{"key", "show", exposed}}, {5, []string{"key", "show", damaged}}, {5, []string{"key", "new", "--out", key, "--no-passphrase"}},
		{5, found("sec")}, {5, found("prepared")}, {5, []string{"init", "--dir", in("sec"), "--genesis", genesis}}, {5, []string{"init", "--dir", in("sec"), "--genesis", in("sec/genesis.op")}},
		{5, []string{"join", "--dir", in("sec"), "--ticket", ticket}}, {5, []string{"join", "--dir", in("prepared"), "--ticket", ticket}},
		{5, []string{"op", "draft", "time", "--out", pw, "--dir", in("sec")}},

		{7, []string{"key", "agent"}}, {7, []string{"key", "new", "--agent", "x", "--out", in("n.key")}},
		{7, []string{"status", "--dir", in("sec")}}, {7, []string{"unlock", "--dir", in("sec"), "--passphrase-file", pw}}, {7, []string{"lock", "--dir", in("sec")}}, {7, []string{"org", "list", "--dir", in("sec")}},
		{7, []string{"op", "submit", genesis, "--dir", in("sec")}}, {7, []string{"daemon", "--dir", in("inuse")}},
	} {
		code, _, errs := do("", c.args...)
		if code != c.code {
			t.Errorf("%q: exit %d, want %d: %s", c.args, code, c.code, errs)
		}
		if code != 0 && !strings.HasPrefix(errs, "alliance: ") && !strings.Contains(errs, "\nalliance: ") && c.args[0] != "bench" {
			t.Errorf("%q: no sentence says why: %q", c.args, errs)
		}
	}
	if _, err := os.Stat(in("n.key")); err == nil {
		t.Error("a key was written all the same")
	}
	if _, err := os.Stat(in("new/keys")); err == nil {
		t.Error("keys were made all the same")
	}
}
