package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/keyfile"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
)

// handover is the organisation's reading identities on their way to a further
// node: a fresh key sealed to that node's own sealing key, and the identities
// sealed under it.
type handover struct {
	Key   []byte   `cbor:"1,keyasint"`
	Nonce [32]byte `cbor:"2,keyasint"`
	Body  []byte   `cbor:"3,keyasint"` // the identities' texts, newest first
}

func handoverPlace(network protocol.NetworkID, to protocol.NodeID, nonce [32]byte) seal.Place {
	return seal.Place{Network: crypto.Hash(network), Feed: crypto.Hash(to), Seq: 0, Nonce: nonce}
}

func sealHandover(network protocol.NetworkID, to protocol.NodeID, r *seal.Recipient, ids []*seal.Identity) ([]byte, error) {
	var texts []string
	for _, id := range ids {
		texts = append(texts, id.Secret())
	}
	key, err := seal.NewFeedKey(random)
	if err != nil {
		return nil, err
	}
	var h handover
	if _, err := io.ReadFull(random, h.Nonce[:]); err != nil {
		return nil, err
	}
	if h.Key, err = seal.SealKey(key, []*seal.Recipient{r}); err != nil {
		return nil, err
	}
	if h.Body, err = seal.SealSection(key, handoverPlace(network, to, h.Nonce), protocol.Encode(texts)); err != nil {
		return nil, err
	}
	return protocol.Encode(h), nil
}

func openHandover(network protocol.NetworkID, self protocol.NodeID, own *seal.Identity, b []byte) ([]keyfile.ReadingKey, error) {
	h, err := protocol.Decode[handover](b, protocol.MaxFrame)
	if err != nil {
		return nil, err
	}
	key, err := seal.OpenKey(h.Key, own)
	if err != nil {
		return nil, err
	}
	plain, err := seal.OpenSection(key, handoverPlace(network, self, h.Nonce), h.Body)
	if err != nil {
		return nil, err
	}
	texts, err := protocol.Decode[[]string](plain, protocol.MaxFrame)
	if err != nil {
		return nil, err
	}
	var out []keyfile.ReadingKey
	for i := len(texts) - 1; i >= 0; i-- {
		id, err := seal.ParseIdentity(texts[i])
		if err != nil {
			return nil, err
		}
		out = append(out, keyfile.ReadingKey{Identity: id})
	}
	return out, nil
}

// askIdentity asks the other nodes of the organisation for the reading
// identity, where this node has none on disk; it reports whether it is open now.
func (n *Node) askIdentity(ctx context.Context) bool {
	if n.group == nil || !n.Locked() {
		return !n.Locked()
	}
	if _, err := os.Stat(n.ring.path); err == nil {
		return false // it waits for a person's passphrase
	}
	s := n.reg.State()
	own, _ := s.Org(n.id.Org)
	for _, p := range s.Nodes(n.id.Org) {
		if p.ID == n.id.Node || p.Status != protocol.Active || !n.tr.Connected(p.ID) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		b, err := n.group.RequestIdentity(ctx, p.ID)
		cancel()
		if err != nil {
			continue
		}
		keys, err := openHandover(n.id.Network, n.id.Node, n.keys.Sealing, b)
		if err != nil || len(keys) == 0 {
			n.log.Warn("a handed-over reading identity does not open", "from", p.ID.Short())
			continue
		}
		for i := range keys { // oldest first, the newest of the present epoch
			keys[i].Epoch = own.Epoch - uint64(len(keys)-1-i)
		}
		if keys[len(keys)-1].Identity.Recipient().String() != own.Recipient {
			n.log.Warn("a handed-over reading identity is not the organisation's", "from", p.ID.Short())
			continue
		}
		n.turn.Lock()
		n.ring.set(keys)
		n.handed(keys)
		n.turn.Unlock()
		return true
	}
	return false
}

// handed keeps handed-over identities until a passphrase saves them. Called
// with turn held.
func (n *Node) handed(keys []keyfile.ReadingKey) {
	n.mu.Lock()
	n.handedOver = keys
	n.mu.Unlock()
	n.log.Info("the organisation's reading identity was handed over; 'alliance unlock' sets the passphrase under which this node keeps it")
	if n.cfg.PassphraseFile != "" {
		p, err := readPassphrase(n.cfg.PassphraseFile)
		if err == nil {
			err = n.saveHandedOver(p)
		}
		if err != nil {
			n.log.Warn("reading identity not saved", "err", err)
		}
	}
	n.unlocked()
}

func (n *Node) saveHandedOver(passphrase string) error {
	n.mu.Lock()
	keys := n.handedOver
	n.mu.Unlock()
	if len(keys) == 0 {
		return errors.New("unlock: nothing was handed over")
	}
	if err := CheckPassphrase(passphrase); err != nil {
		return fmt.Errorf("unlock: %w; nothing was changed", err)
	}
	if err := keyfile.SaveReading(n.ring.path, keys, passphrase, n.cfg.ScryptWork); err != nil {
		return err
	}
	n.mu.Lock()
	n.handedOver = nil
	n.mu.Unlock()
	return nil
}

// readPassphrase reads a passphrase file's first line.
func readPassphrase(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read passphrase file: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
