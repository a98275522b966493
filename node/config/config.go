// Package config is a node's configuration: one commented struct with its
// defaults in code, read from a TOML file in which an unknown key is an error.
//
// A node's folder holds
//
//	alliance.toml     this file; may be absent, all has defaults
//	node.json         which network, organisation and node this is
//	join.json         while a request to join is pending: the ticket and the request
//	keys/node.key     transport, author, sealing and disk keys; open unattended
//	keys/reading.age  the organisation's reading identity, under a passphrase
//	store/ raft/      records and register; the secretariat's Raft log
//	api.sock          the operator's socket, while the node runs
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Config is what an operator may set. Durations are texts such as "30s".
type Config struct {
	// Listen is where members' nodes reach this one, by QUIC and by TCP on
	// the same port number. Empty: this node only dials out.
	Listen []string `toml:"listen"`
	// Announce is what others are told to dial, where that differs from
	// Listen: a public name or address.
	Announce []string `toml:"announce"`
	// Enrol is where a secretariat's node listens for newcomers while a
	// ticket is open. Other nodes ignore it.
	Enrol []string `toml:"enrol"`
	// EnrolAnnounce is what tickets name, where that differs from Enrol.
	EnrolAnnounce []string `toml:"enrol_announce"`
	// Peers are addresses of nodes by node ID, beside those that the
	// secretariat tells.
	Peers map[string][]string `toml:"peers"`
	// Socket is the operator's Unix socket; empty: api.sock in the folder.
	Socket string `toml:"socket"`
	// PassphraseFile, where set, unlocks the reading identity at start: for
	// a machine that must come back by itself after a power cut. Whoever can
	// read it and the disk can read the records.
	PassphraseFile string `toml:"passphrase_file"`
	// ScryptWork is the work factor of passphrases that this node sets: 0 is
	// the default, 18, about a second on a desk computer.
	ScryptWork int `toml:"scrypt_work"`
	// NodeKeyFile is where the unattended keys are; empty: keys/node.key in
	// the folder. A systemd credential goes here.
	NodeKeyFile string `toml:"node_key_file"`
	// MinFree is in MB: with less free than this, nothing is written and
	// nothing receipted, and reading goes on.
	MinFree int64 `toml:"min_free_mb"`
	// HeadWait is how long after a start the nodes of an audience are waited
	// for before this node writes. RepairEvery is how often connected nodes
	// compare what they hold.
	HeadWait    Duration `toml:"head_wait"`
	RepairEvery Duration `toml:"repair_every"`
	PollEvery   Duration `toml:"poll_every"` // of the register
	// LogLevel is debug, info, warn or error.
	LogLevel string `toml:"log_level"`
	// KeepDays is how long a record's sections are kept by custodians when
	// its author says nothing else: at most 1,100.
	KeepDays int `toml:"keep_days"`
	// Desk is this organisation's desk in the referrals that it sends.
	Desk Desk `toml:"desk"`
}

// Desk is the desk that others call, as referrals from here name it.
type Desk struct {
	Unit     string `toml:"unit"`
	Role     string `toml:"role"`
	Phone    string `toml:"phone"`    // the desk's, not a person's
	Language string `toml:"language"` // of free text: en, hi, …
}

// Duration is a time.Duration that reads as text.
type Duration struct{ time.Duration }

// UnmarshalText reads "1m30s".
func (d *Duration) UnmarshalText(b []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(b))
	if err == nil && d.Duration <= 0 {
		err = errors.New("must be longer than zero")
	}
	return err
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Default is the configuration of a node without a file.
func Default() Config {
	return Config{
		Listen:      []string{"0.0.0.0:4410"},
		Enrol:       []string{"0.0.0.0:4411"},
		MinFree:     256,
		HeadWait:    Duration{30 * time.Second},
		RepairEvery: Duration{30 * time.Second},
		PollEvery:   Duration{30 * time.Second},
		LogLevel:    "info",
		KeepDays:    400,
	}
}

// FileName is the configuration's name in a node's folder.
const FileName = "alliance.toml"

// Load reads a node's folder's configuration over the defaults; a missing file
// is all defaults. An unknown key, or a value out of bounds, is an error that
// names the file and the key.
func Load(dir string) (Config, error) {
	c := Default()
	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	err = Parse(string(b), path, &c)
	return c, err
}

// Parse reads TOML text over c. name stands in errors.
func Parse(text, name string, c *Config) error {
	meta, err := toml.Decode(text, c)
	if err != nil {
		var at toml.ParseError
		if errors.As(err, &at) {
			msg := at.Message
			if msg == "" {
				msg = at.Error()
			}
			return fmt.Errorf("read configuration %s, line %d, %s: %s", name, at.Position.Line, at.LastKey, msg)
		}
		return fmt.Errorf("read configuration %s: %w", name, err)
	}
	if un := meta.Undecoded(); len(un) > 0 {
		var keys []string
		for _, k := range un {
			keys = append(keys, k.String())
		}
		return fmt.Errorf("read configuration %s: unknown setting %s: correct or remove it; the sample file lists all there are", name, strings.Join(keys, ", "))
	}
	return c.check(name)
}

func (c Config) check(name string) error {
	bad := func(key, why string) error {
		return fmt.Errorf("read configuration %s: %s %s", name, key, why)
	}
	for key, list := range map[string][]string{"listen": c.Listen, "announce": c.Announce, "enrol": c.Enrol, "enrol_announce": c.EnrolAnnounce} {
		for _, addr := range list {
			if why := noPort(addr); why != "" {
				return bad(key, why)
			}
		}
	}
	for id, list := range c.Peers {
		if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" {
			return bad(fmt.Sprintf("[peers] %q", id), "is no node's ID: those are 64 hex digits, and 'alliance org show NAME' prints them")
		}
		for _, addr := range list {
			if why := noPort(addr); why != "" {
				return bad(fmt.Sprintf("[peers] %.8s…", id), why)
			}
		}
	}
	switch {
	case c.MinFree < 0:
		return bad("min_free_mb", "must not be negative")
	case c.ScryptWork != 0 && (c.ScryptWork < 10 || c.ScryptWork > 20):
		return bad("scrypt_work", "must be 0 or from 10 to 20")
	case c.KeepDays < 1 || c.KeepDays > 1069:
		return bad("keep_days", "must be from 1 to 1069")
	case c.LogLevel != "debug" && c.LogLevel != "info" && c.LogLevel != "warn" && c.LogLevel != "error":
		return bad("log_level", "must be debug, info, warn or error")
	}
	return nil
}

// noPort says why an address is none; "" where it is one. A multiaddr is left
// to the transport.
func noPort(addr string) string {
	if strings.HasPrefix(addr, "/") {
		return ""
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil && addr != "" && !strings.HasSuffix(addr, ":") {
		with := net.JoinHostPort(strings.Trim(addr, "[]"), "4410")
		if strings.Count(addr, ":") == 1 {
			with = "0.0.0.0:4410"
		}
		return fmt.Sprintf("has %q, which is no host and port: write it such as %q", addr, with)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("has %q without a port from 0 to 65535: write it such as \"0.0.0.0:4410\"", addr)
	}
	return ""
}

// Text writes a configuration as a file that Parse reads.
func (c Config) Text() (string, error) {
	b, err := toml.Marshal(c)
	return string(b), err
}
