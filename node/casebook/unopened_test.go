package casebook

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// keyless is a site to which the section of a key record is still to come.
type keyless struct {
	*site
	missing atomic.Bool
}

func (k *keyless) Open(rec *protocol.Record) ([]Opened, error) {
	if k.missing.Load() {
		return nil, errors.New("its key record's section is not here yet")
	}
	return k.site.Open(rec)
}

// A record that came before its key is shown when the key is whole, without
// another unlock.
func TestRecordBeforeItsKey(t *testing.T) {
	w := busy(t)
	s := w.sites[shelter]
	k := &keyless{site: s}
	b := s.open(func(o *Options) { o.Records = k })
	ctx := context.Background()
	count := func() int {
		list, err := b.List(ctx, Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return list.Total
	}
	before := count()
	k.missing.Store(true)
	late := w.send(ngo, draft(t, "emergency"))
	b.drain(ctx)
	if n := count(); n != before {
		t.Fatalf("%d referrals, with the key missing", n-before)
	}
	k.missing.Store(false)
	for feed, list := range b.unopened {
		for _, a := range list {
			rec, err := s.Record(feed, a.seq)
			if err != nil {
				t.Fatal(err)
			}
			if key, err := s.Record(feed, rec.Core().Data.Key); err != nil {
				t.Fatal(err)
			} else if err := b.take(ctx, arrived{rec: key, feed: feed, seq: rec.Core().Data.Key}); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.drain(ctx)
	if n := count(); n != before+1 || len(b.unopened) != 0 || b.held != 0 {
		t.Errorf("%d referrals more, %d feeds still wait", n-before, len(b.unopened))
	}
	if _, err := b.Show(ctx, string(late.Code)); err != nil {
		t.Error(err)
	}
}
