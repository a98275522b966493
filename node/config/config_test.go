package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDefaultsWriteAndRead(t *testing.T) {
	text, err := Default().Text()
	if err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := Parse(text, "defaults", &c); err != nil {
		t.Fatal(err)
	}
	again, _ := c.Text()
	if again != text {
		t.Errorf("defaults do not survive writing and reading:\n%s\n%s", text, again)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"lissten = []", "unknown setting lissten"},
		{"listen = 3", "line 1"},
		{"head_wait = \"soon\"", "head_wait"},
		{"head_wait = \"-1s\"", "longer than zero"},
		{"keep_days = 2000", "keep_days must be from 1 to 1069"},
		{"log_level = \"loud\"", "log_level must be"},
		{"min_free_mb = -1", "min_free_mb"},
		{"[peers\n", "line"},
		{`listen = ["127.0.0.1"]`, `listen has "127.0.0.1", which is no host and port: write it such as "127.0.0.1:4410"`},
		{`listen = ["::1"]`, `write it such as "[::1]:4410"`},
		{`announce = ["node.example.org"]`, `announce has "node.example.org"`},
		{`enrol = ["127.0.0.1:"]`, `enrol has "127.0.0.1:" without a port`},
		{`enrol_announce = ["127.0.0.1:http"]`, "without a port from 0 to 65535"},
		{`listen = ["127.0.0.1:70000"]`, "without a port from 0 to 65535"},
		{`listen = [""]`, "without a port"},
		{"[peers]\n\"NODE-ID\" = []", `[peers] "NODE-ID" is no node's ID: those are 64 hex digits`},
		{"[peers]\n\"" + strings.Repeat("0a", 32) + "\" = [\"192.0.2.7\"]", `[peers] 0a0a0a0a… has "192.0.2.7"`},
	} {
		cfg := Default()
		err := Parse(c.text, "x.toml", &cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "x.toml") {
			t.Errorf("%q: got %v, want it to say %q and name the file", c.text, err, c.want)
		}
	}
}

// Addresses as people write them are taken.
func TestAddresses(t *testing.T) {
	for _, a := range []string{"127.0.0.1:0", "0.0.0.0:4410", ":4410", "[::1]:4410", "node.example.org:4410", "/ip4/127.0.0.1/tcp/4410"} {
		cfg := Default()
		if err := Parse(fmt.Sprintf("listen = [%q]", a), "x.toml", &cfg); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	c, err := Load(dir)
	if err != nil || c.HeadWait.Duration != 30*time.Second {
		t.Fatalf("a folder without a file: %v, %v", c, err)
	}
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, []byte("head_wait = \"2s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = Load(dir); err != nil || c.HeadWait.Duration != 2*time.Second || c.KeepDays != 400 {
		t.Errorf("one setting over the defaults: %+v, %v", c, err)
	}
}
