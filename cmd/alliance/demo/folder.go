package demo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	random "math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/national-alliance/alliance/crypto/keyfile"
	ours "github.com/national-alliance/alliance/node"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/config"
)

// maxSocket is a length that every system takes as the path of a Unix socket.
const maxSocket = 100

// quick is the work factor of the demo's passphrases: a thousand times weaker
// than the default, so that seven nodes open in no time.
const quick = 10

const secretariatClass = "secretariat"

// folder makes a node's folder with its settings, and its passphrase beside
// it. A node of the secretariat opens its reading identity at start and has a
// second port, for newcomers; in the others a person unlocks.
func (d *demo) folder(name string, m member) (*node, error) {
	n := &node{name: name, org: m.Name, class: m.Class, desk: m.Desk.Phone, dir: d.path(name), pass: d.path("passphrases", name)}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, err
	}
	if err := keyfile.WriteFile(n.pass, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	c := config.Default()
	c.Listen, c.Enrol = []string{ports[0]}, nil
	if m.Class == secretariatClass {
		c.Enrol, c.PassphraseFile = []string{ports[1]}, n.pass
	}
	c.ScryptWork, c.MinFree, c.Desk = quick, 32, config.Desk{Unit: m.Desk.Unit, Role: m.Desk.Role, Phone: m.Desk.Phone}
	for _, t := range []*config.Duration{&c.HeadWait, &c.RepairEvery, &c.PollEvery} {
		t.Duration = 2 * time.Second
	}
	text, err := c.Text()
	if err != nil {
		return nil, err
	}
	if _, err := d.write(text, name, config.FileName); err != nil {
		return nil, err
	}
	n.socket = ours.SocketPath(n.dir, c)
	if len(n.socket) > maxSocket {
		return nil, fmt.Errorf("%s is longer than the %d bytes that a socket's path may have: choose a shorter folder", n.socket, maxSocket)
	}
	n.api = api.NewClient(n.socket)
	d.nodes = append(d.nodes, n)
	return n, nil
}

// freePorts returns loopback addresses whose ports are free for TCP and UDP.
// They lie below those that systems give to outgoing connections, so that
// nobody takes one while a node is away.
func freePorts(count int) ([]string, error) {
	var out []string
	for range 1000 {
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+random.IntN(12000)))
		l, err := net.Listen("tcp4", at)
		if err != nil {
			continue
		}
		defer l.Close() // so that none is chosen twice
		u, err := net.ListenPacket("udp4", at)
		if err != nil {
			continue
		}
		defer u.Close()
		if out = append(out, at); len(out) == count {
			return out, nil
		}
	}
	return nil, errors.New("choose ports: none is free for TCP and UDP")
}

// kept is a line of nodes.json.
type kept struct {
	Name       string `json:"name"`
	Org        string `json:"org"`
	Class      string `json:"class"`
	Dir        string `json:"dir"`
	Passphrase string `json:"passphrase_file"`
}

func (d *demo) writeNodes() error {
	var list []kept
	for _, n := range d.nodes {
		list = append(list, kept{n.name, n.orgID, n.class, n.dir, n.pass})
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	_, err = d.write(string(b)+"\n", "nodes.json")
	return err
}
