package casebook

import (
	"container/list"

	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/referral"
)

// cacheBytes bounds the bodies held of cases that were read of late, counted
// as they are sealed; decoded they take about four times that.
const cacheBytes = 3 << 20

// eventBytes is what an event costs beside its body.
const eventBytes = 512

// item holds all events of one case.
type item struct {
	events []referral.Event
	places []place // of events
	size   int     // of bodies
	folded *folded // nil until somebody asks
	kase   *kase
}

// folded is a case added up. It is shared and never changed.
type folded struct {
	referral.Referral
	at      map[protocol.RecordID]place // of each event
	missing int                         // records that cannot be read now
}

// cache holds the cases that were read last.
type cache struct {
	order *list.List // of *item, newest first
	items map[*kase]*list.Element
	bytes int
	limit int
}

func newCache() cache {
	return cache{order: list.New(), items: map[*kase]*list.Element{}, limit: cacheBytes}
}

func (c *cache) get(k *kase) *item {
	el, ok := c.items[k]
	if !ok {
		return nil
	}
	c.order.MoveToFront(el)
	return el.Value.(*item)
}

func (c *cache) put(k *kase, it *item) {
	c.drop(k)
	it.kase = k
	it.size += eventBytes * len(it.events)
	c.items[k] = c.order.PushFront(it)
	c.bytes += it.size
}

// grow counts one more event of a case.
func (c *cache) grow(k *kase, size int) {
	it := c.items[k].Value.(*item)
	it.size += size + eventBytes
	c.bytes += size + eventBytes
}

func (c *cache) drop(k *kase) {
	if el, ok := c.items[k]; ok {
		c.bytes -= el.Value.(*item).size
		c.order.Remove(el)
		delete(c.items, k)
	}
}

// oldest returns what is to go, or nil while there is room.
func (c *cache) oldest() *item {
	if c.bytes <= c.limit || c.order.Len() <= 1 {
		return nil
	}
	return c.order.Back().Value.(*item)
}

// keep puts a case's events into the cache, and evicts others.
func (x *index) keep(k *kase, it *item) {
	x.cache.put(k, it)
	x.evict()
}

// evict makes room. A case whose row is due gets it before its events go, so
// that they need not be opened again for it.
func (x *index) evict() {
	for it := x.cache.oldest(); it != nil; it = x.cache.oldest() {
		if _, due := x.dirty[it.kase]; due {
			it.fold()
			x.setRow(it.kase, it.folded)
		}
		x.cache.drop(it.kase)
	}
}

func (it *item) fold() {
	if it.folded != nil {
		return
	}
	f := &folded{Referral: referral.Fold(it.kase.id, it.events), at: make(map[protocol.RecordID]place, len(it.events))}
	for i, e := range it.events {
		f.at[e.ID] = it.places[i]
	}
	it.folded = f
}
