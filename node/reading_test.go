package node

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/register"
)

// A further node of an organisation gets its reading identity from a colleague,
// sealed to its own key, and keeps it under a passphrase of its own; nobody
// else gets it.
func TestReadingIdentityIsHandedOver(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(file, []byte("another invented passphrase\nthis line is not read\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, sec := opened(t, func(name string, o *Options) {
		o.Config.ScryptWork = 10
		if name == "sec3" {
			o.Config.PassphraseFile = file
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	two, three := a.further(ctx, "sec2"), a.further(ctx, "sec3")
	until(t, "the identity at both", func() bool { return !two.Locked() && !three.Locked() })
	if !two.warned(t, "alliance unlock") {
		t.Errorf("nothing says that the identity is not kept: %q", two.status(t).Warnings)
	}
	if _, err := os.Stat(readingKeyPath(two.dir)); err == nil {
		t.Fatal("it was written without a passphrase")
	}

	// On its way it is sealed to the one node that asked.
	ids, _ := sec.ring.Identities()
	for range 20 {
		b, err := two.group.RequestIdentity(ctx, sec.ID())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), ids[0].Secret()) || strings.Contains(string(b), "AGE-SECRET") {
			t.Fatal("the identity travels in the clear")
		}
		if keys, err := openHandover(sec.id.Network, two.ID(), two.keys.Sealing, b); err != nil || len(keys) != 1 || keys[0].Identity.Secret() != ids[0].Secret() {
			t.Fatalf("the node that asked does not open it: %v", err)
		}
		if _, err := openHandover(sec.id.Network, two.ID(), three.keys.Sealing, b); err == nil {
			t.Fatal("another node opens it")
		}
		if _, err := openHandover(sec.id.Network, three.ID(), two.keys.Sealing, b); err == nil {
			t.Fatal("it opens as another node's")
		}
	}

	// One is kept by a passphrase that a person gives, one by a file's.
	unlock := func(at *running, p string) (api.Kind, string) {
		return problem(at.client().Do(ctx, "POST", "/unlock", api.Passphrase{Passphrase: p}, nil))
	}
	if kind, _ := unlock(two, ""); kind != api.Invalid {
		t.Errorf("an empty passphrase: %s", kind)
	}
	kind, text := problem(two.client().Do(ctx, "POST", "/lock", nil, nil))
	if kind != api.Conflict || !strings.Contains(text, "nothing was changed") || !strings.Contains(text, "alliance unlock") || two.Locked() {
		t.Errorf("locked before the identity is kept: %s %q, locked %v", kind, text, two.Locked())
	}
	if kind, text := unlock(two, passphrase); text != "" {
		t.Fatal(kind, text)
	}
	until(t, "the file's passphrase keeps it", func() bool { _, err := os.Stat(readingKeyPath(three.dir)); return err == nil })
	if two.warned(t, "alliance unlock") {
		t.Errorf("it still warns: %q", two.status(t).Warnings)
	}
	for _, n := range []*running{two, three} {
		if fi, err := os.Stat(readingKeyPath(n.dir)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("the kept identity: %v %v", fi, err)
		}
	}
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")

	// Nobody to hand it over again: what is on the disk must do.
	a.stop("sec")
	a.stop("sec2")
	a.stop("sec3")
	two, three = a.again("sec2"), a.again("sec3")
	until(t, "the file opens it at the start", func() bool { return !three.Locked() })
	if !two.Locked() {
		t.Error("it opened without a passphrase")
	}
	if kind, _ := unlock(two, "another invented passphrase"); kind != api.Refused {
		t.Errorf("a wrong passphrase: %s", kind)
	}
	if kind, text := unlock(two, passphrase); text != "" {
		t.Error(kind, text)
	}

	// Nobody but an active colleague in an accepted checkpoint gets it.
	sec = a.again("sec")
	a.nodes["sec"] = sec
	if err := sec.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	refused := func(who string, id protocol.NodeID) {
		t.Helper()
		if b, err := sec.handOver(ctx, id); err == nil || b != nil {
			t.Errorf("%s gets the identity", who)
		}
	}
	refused("another organisation's node", alpha.ID())
	refused("a node that the register does not have", protocol.NodeID{1})
	until(t, "alpha and the secretariat are connected", func() bool { return alpha.tr.Connected(sec.ID()) })
	if c, err := alpha.tr.Conn(ctx, sec.ID(), protoRaft); err == nil {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		for kind := range byte(8) {
			c.Write([]byte{kind, 0, 0, 0, 0})
		}
		if b, err := io.ReadAll(c); err == nil || len(b) > 0 {
			t.Errorf("another organisation's node gets %d bytes of the Raft protocol: %v", len(b), err)
		}
		c.Close()
	}
	until(t, "the colleagues are connected", func() bool { return two.tr.Connected(sec.ID()) && three.tr.Connected(sec.ID()) })
	if _, err := two.group.RequestIdentity(ctx, sec.ID()); err != nil {
		t.Errorf("an active colleague: %v", err)
	}
	for _, c := range []struct {
		who   string
		node  *running
		body  register.Body
		about register.Subject
	}{
		{"a suspended node", two, register.Suspend{}, register.OfNode(two.ID())},
		{"a revoked node", three, register.RevokeNode{Node: three.ID()}, register.OfNode(three.ID())},
	} {
		if err := a.op(ctx, sec, c.about, c.body, a.officers...); err != nil {
			t.Fatal(err)
		}
		refused(c.who, c.node.ID())
		if _, err := c.node.group.RequestIdentity(ctx, sec.ID()); err == nil {
			t.Errorf("%s is handed the identity", c.who)
		}
	}
}
