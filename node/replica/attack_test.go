package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/crypto/seal"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/reconcile"
)

// Two nodes with one key both write: the proof is kept, told to everyone who
// may have the feed, and both write no more, also after a restart.
func TestAttackForkByClonedFolder(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, s, p := w.run("A1"), w.run("B1"), w.run("S1"), w.run("P1")
		w.link("A1", "B1", "S1", "P1")
		a.ready("B P", "S")
		sent := a.send("B P", "S")
		w.settle()
		w.halt("P1") // P is away when it happens
		twin := w.runOn("A1'", a.disk.clone())
		// Both may write: whom they ask knows nothing newer.
		w.link("A1'", "B1")
		w.link("A1'", "S1")
		twin.ready("B P", "S")
		mine := a.send("B P", "S")
		w.cut("A1'", "S1") // the twin has not heard of that, and is heard by B alone
		w.cut("A1'", "B1")
		theirs := twin.sendDraft(draftTo("B P", "S"))
		if mine.Seq != theirs.Seq || mine.Feed != sent.Feed || theirs.Queued != 0 {
			t.Fatal("this is no fork")
		}
		w.until("one record stands", func() bool { return b.has(mine.Feed, mine.Seq) && s.has(mine.Feed, mine.Seq) })
		w.link("A1'", "B1")
		forked := func(n *tnode) func() bool { return func() bool { return len(n.Forks()) == 1 } }
		w.until("B has the proof", forked(b))
		w.until("the custodian has it", forked(s))
		w.until("its author has it", forked(a))
		w.until("the twin has it", forked(twin))
		for _, n := range []*tnode{a, twin} {
			if _, err := n.Send(t.Context(), draftTo("B", "S")); !errors.Is(err, ErrReplaced) {
				t.Errorf("%s writes on: %v", n.name, err)
			}
		}
		// One that was away hears of it.
		p = w.runOn("P1", p.disk)
		w.link("P1", "S1")
		w.until("P has it", forked(p))
		// It is on disk, verifies for anybody, and outlives a restart.
		proof := p.Forks()[mine.Feed]
		if _, seq, node, err := proof.Verify(w.reg.now()); err != nil || seq != mine.Seq || node != nodeID("A1") {
			t.Errorf("proof: %d, %v", seq, err)
		}
		w.halt("A1")
		a = w.runOn("A1", a.disk)
		if _, err := a.Send(t.Context(), draftTo("B", "S")); !errors.Is(err, ErrReplaced) {
			t.Errorf("writes after a restart: %v", err)
		}
		// What was before the fork is had by who never saw the feed.
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || got[0] != text {
			t.Errorf("%q, %v", got, err)
		}
		w.settle()
		w.places()
	})
}

// A disk put back to an older state is found out before it writes.
func TestAttackRolledBackDiskLocks(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a := w.run("A1")
		w.run("S1")
		w.link("A1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		old := a.disk.clone()
		var last Sent
		for range 3 {
			last = a.send("B", "S")
		}
		other := a.send("G", "S") // a feed of which the old disk knows nothing
		w.settle()
		w.halt("A1")
		a = w.runOn("A1", old)
		if s := a.sendDraft(draftTo("B", "S")); s.Queued == 0 {
			t.Fatal("it wrote before anybody answered")
		}
		w.link("A1", "S1")
		w.until("it is locked", a.Replaced)
		if _, err := a.Send(t.Context(), draftTo("B", "S")); !errors.Is(err, ErrReplaced) {
			t.Errorf("%v", err)
		}
		w.until("it has its own records again", func() bool { return a.has(last.Feed, last.Seq) && a.has(other.Feed, other.Seq) })
		w.settle()
		if a.Queued() != 1 || len(a.Forks()) != 0 {
			t.Error("the queued entry is not kept, or there is a fork")
		}
		// Whole again, it still does not write: what else it published, it
		// cannot know.
		w.halt("A1")
		a = w.runOn("A1", old)
		w.link("A1", "S1")
		w.settle()
		if !a.Replaced() || a.has(last.Feed, last.Seq+1) {
			t.Error("it writes again after a restart")
		}
	})
}

// An author restored from an old disk that meets only peers that are behind
// does not fork: a stranger to the feed, a reader that was away, and a
// custodian's node that itself was down and has met no other.
func TestAttackRestoredAuthorStalePeer(t *testing.T) {
	inWorld(t, usual+"\nnode S2 S\nnode S3 S", func(t *testing.T, w *world) {
		a, s1, s2, s3 := w.run("A1"), w.run("S1"), w.run("S2"), w.run("S3")
		b, p := w.run("B1"), w.run("P1")
		w.link("A1", "S1", "S2", "S3", "B1", "P1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		old := a.disk.clone()
		w.halt("S3")
		w.halt("B1")
		last := a.send("B", "S")
		w.until("two custodians have it", func() bool { return a.vouched(last.Feed, last.Seq, "S1") && a.vouched(last.Feed, last.Seq, "S2") })
		for _, n := range []string{"A1", "S1", "S2"} {
			w.halt(n)
		}
		a = w.runOn("A1", old)
		b = w.runOn("B1", b.disk)
		w.link("A1", "P1", "B1")
		queued := a.sendDraft(draftTo("B", "S"))
		if queued.Queued == 0 {
			t.Fatal("it wrote after a reader's word alone")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if a.Queued() != 1 {
			t.Fatal("it wrote after a reader's word alone")
		}
		s3 = w.runOn("S3", s3.disk)
		w.link("A1", "S3", "B1", "P1")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if a.Queued() != 1 || s3.has(last.Feed, last.Seq) || a.Replaced() {
			t.Fatal("it wrote after the word of a custodian's node that was down")
		}
		s1, s2 = w.runOn("S1", s1.disk), w.runOn("S2", s2.disk)
		w.link("S1", "S2", "S3")
		w.until("the custodian's nodes know, and so does the author", func() bool { return s3.has(last.Feed, last.Seq) && a.Replaced() })
		w.settle()
		if len(a.Forks())+len(s3.Forks())+len(b.Forks())+len(p.Forks())+len(s1.Forks())+len(s2.Forks()) != 0 || a.Queued() != 1 {
			t.Error("there is a fork")
		}
	})
}

// A custodian hands the police everything but its section: no receipt of
// police says that it is durable there, until somebody else brings it.
func TestAttackCustodianStripsSection(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, s := w.run("A1"), w.run("S1")
		w.link("A1", "S1")
		a.ready("B P", "S")
		d := draftTo("B P", "S")
		d.Parts, d.Contents = [][]protocol.OrgID{orgIDs("P")}, append(body("summary, invented"), protocol.Content{Set: 1, Kind: "test/example", Body: []byte(text)})
		sent := a.sendDraft(d)
		w.until("the custodian has it", func() bool { return a.vouched(sent.Feed, sent.Seq, "S1") })
		w.halt("A1")
		p := w.run("P1")
		w.doors["S1"] = func(proto string, req []byte) ([]byte, error) {
			if proto != ProtoFetch {
				return s.ServeReceipt(context.Background(), p.self, req)
			}
			b, err := s.ServeFetch(context.Background(), p.self, req)
			if err != nil {
				return nil, err
			}
			answer, err := protocol.Decode[FetchAnswer](b, MaxFetchFrame)
			if err != nil {
				return nil, err
			}
			answer.Sections = nil
			for i := range answer.Records {
				if len(answer.Records[i].Sections) == 2 && answer.Records[i].Sections[0] != nil {
					core, _ := protocol.Decode[protocol.Core](answer.Records[i].Core, protocol.MaxCore)
					if core.Data != nil {
						answer.Records[i].Sections[1] = nil
					}
				}
			}
			return protocol.Encode(answer), nil
		}
		w.link("P1", "S1")
		w.until("P has the core", func() bool { return p.has(sent.Feed, sent.Seq) })
		w.settle()
		f := p.feed(sent.Feed)
		rc, ok := p.receipt(f)
		if !ok {
			t.Fatal("P has nothing to say")
		}
		if got, err := rc.Verify(w.reg.now()); err != nil || got.Vouches(sent.Seq) {
			t.Errorf("P vouches for a record without its section: %v", err)
		}
		if s.vouched(sent.Feed, sent.Seq, "P1") {
			t.Error("the custodian has such a receipt")
		}
		if got, err := p.reads(sent.Feed, sent.Seq); err != nil || len(got) != 1 || got[0] != "summary, invented" {
			t.Errorf("P reads %q, %v", got, err)
		}
		a = w.runOn("A1", a.disk)
		w.link("P1", "A1")
		w.until("P has its section from the author", func() bool { return a.vouched(sent.Feed, sent.Seq, "P1") })
		if got, err := p.reads(sent.Feed, sent.Seq); err != nil || len(got) != 2 || got[1] != text {
			t.Errorf("P reads %q, %v", got, err)
		}
	})
}

// deceiver writes a record for B and P under a key that P's recipient does not
// open, though the core names P a reader.
func deceiver(t *testing.T, w *world) (links []Link) {
	wr := protocol.Writer{Members: w.reg.now(), Org: orgID("A"), Node: nodeID("A1"), Key: w.reg.keys["A1"], Random: zeros{}}
	other := identity("nobody 1").Recipient()
	police := w.reg.identities("P")[0].Recipient().String()
	wr.Recipient = func(s string) (*seal.Recipient, error) {
		if s == police {
			return other, nil
		}
		return seal.ParseRecipient(s)
	}
	rec, chain, keys, err := wr.OpenFeed(protocol.Chain{}, protocol.ListAudience(orgIDs("B P")...), nil, orgIDs("S"), nil, today, today+200)
	if err != nil {
		t.Fatal(err)
	}
	links = append(links, Link{Record: rec, Chain: chain})
	rec, chain, err = wr.Write(chain, keys, body(text), today, today+100)
	if err != nil {
		t.Fatal(err)
	}
	return append(links, Link{Record: rec, Chain: chain})
}

// zeros is a source of randomness that differs in every block, for records
// that only tests write.
type zeros struct{}

var zerosAt uint64

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		zerosAt++
		b[i] = byte(zerosAt ^ zerosAt>>8)
	}
	return len(b), nil
}

func TestAttackUnreadableReported(t *testing.T) {
	identity("nobody 1")
	inWorld(t, usual+"\nkey P", func(t *testing.T, w *world) {
		a, p, b := w.run("A1"), w.run("P1"), w.run("B1")
		w.run("S1")
		w.link("A1", "P1", "S1", "B1")
		links := deceiver(t, w)
		f := a.lockFeed(links[0].Record.Feed())
		f.tip = links[1].Chain
		wait := a.o.Disk.Enqueue(Change{Links: links})
		f.mu.Unlock()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		f.settle(links[1].Chain, false)
		a.announceOwn(f, links)
		w.until("P has it", func() bool { return p.has(f.id, 2) })
		if got, err := b.reads(f.id, 2); err != nil || got[0] != text {
			t.Fatalf("B reads %q, %v", got, err)
		}
		rec := p.record(f.id, 2)
		list, err := p.Open(rec)
		if err != nil || len(list) != 1 || !errors.Is(list[0].Err, protocol.ErrUnreadable) {
			t.Fatalf("P: %+v, %v", list, err)
		}
		p.ready("A", "S")
		// Told once, whoever asks and how often, also after a restart.
		errs := make(chan error, 8)
		for range 8 {
			go func() { errs <- p.Report(context.Background(), rec, 0, orgIDs("S")) }()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		w.halt("P1")
		p = w.runOn("P1", p.disk)
		w.link("P1", "A1", "S1")
		if err := p.Report(t.Context(), rec, 0, orgIDs("S")); err != nil {
			t.Fatal(err)
		}
		report := protocol.FeedIDOf(w.reg.network, nodeID("P1"), protocol.ListAudience(orgID("A")))
		w.until("A has the report", func() bool { return a.has(report, 2) })
		w.settle()
		if a.has(report, 3) {
			t.Error("it was told twice")
		}
		opened, err := a.Open(a.record(report, 2))
		if err != nil || len(opened) != 1 {
			t.Fatal(err)
		}
		c, err := ReadReport(a.record(report, 2).Core().Author, opened[0].Time, opened[0].Body)
		if err != nil || opened[0].Kind != KindUnreadable || c.By != orgID("P") || c.Feed != f.id || c.Seq != 2 || c.Section != 0 || c.Record != rec.ID() {
			t.Errorf("%+v", c)
		}
		if s := w.node("S1"); !s.has(report, 2) {
			t.Error("the custodian has no copy")
		} else if _, err := s.reads(report, 2); !errors.Is(err, ErrNotAReader) {
			t.Errorf("the custodian reads the report: %v", err)
		}
		// One who is not at fault is not blamed: an identity that is not here.
		p.ring.mu.Lock()
		p.ring.ids = p.ring.ids[1:]
		p.ring.mu.Unlock()
		if _, err := p.Open(rec); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("without the identity: %v", err)
		}
	})
}

// Junk in another's name is paid by whoever brings it.
func TestAttackJunkSpendsPushersQuota(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.run("G1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		sent := a.send("B", "S")
		w.settle()
		honest := b.authors.of(nodeID("A1")).Tokens()
		rec := a.record(sent.Feed, sent.Seq)
		env := protocol.Envelope{Core: rec.CoreBytes()} // unsigned
		newer := *rec.Core()
		newer.Size += 1000 // cannot be checked at all
		junk := [][]byte{
			protocol.Encode(Push{Record: &env, Feed: sent.Feed, Seq: sent.Seq}),
			protocol.Encode(Push{Record: &protocol.Envelope{Core: protocol.Encode(&newer)}, Feed: sent.Feed, Seq: sent.Seq}),
			protocol.Encode(Push{Record: &protocol.Envelope{Core: []byte("junk")}}),
			protocol.Encode(Push{Feed: sent.Feed, Seq: sent.Seq, Sections: []Section{{0, []byte("junk")}}}),
		}
		from, _ := w.reg.now().NodeAt(nodeID("G1"), w.reg.now().Size())
		mine, theirs := newPipe(nil, "G1", "B1", ProtoPush)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { b.ServePush(ctx, from, theirs); close(ended) }()
		go func() { // whatever is answered
			for {
				if _, err := mine.Read(); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		for i := range 2000 {
			if mine.Write(junk[i%len(junk)]) != nil {
				break
			}
		}
		synctest.Wait()
		if got := b.pushers.of(nodeID("G1")).Tokens(); got > pushBurst/2 && time.Since(began) < time.Second {
			t.Errorf("the pusher has %v tokens left", got)
		}
		if got := b.authors.of(nodeID("A1")).Tokens(); got < honest {
			t.Errorf("the author named paid %v", honest-got)
		}
		if got := b.pushers.of(nodeID("A1")).Tokens(); got < pushBurst-1 {
			t.Errorf("the author's own pushes paid: %v left", got)
		}
		next := a.send("B", "S")
		if err := a.Await(t.Context(), next.Feed, next.Seq, nodeID("B1")); err != nil {
			t.Fatal(err)
		}
		if b.disk.rows.chains[sent.Feed].Seq != next.Seq || len(b.allFeeds()) != 1 {
			t.Error("junk was kept")
		}
		cancel()
		mine.Close()
		<-ended
	})
}

// withhold lets no section reach a node that does not come with its record.
func (w *world) withhold(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = func(from, _, proto string) bool { return from == node && proto == ProtoFetch }
	w.chaos = func(_, to, proto string, frame []byte) [][]byte {
		if p, err := protocol.Decode[Push](frame, MaxPushFrame); to == node && proto == ProtoPush && err == nil && p.Record == nil {
			return nil
		}
		return [][]byte{frame}
	}
}

// A receipt is signed while the disk works, for what will be true if nothing
// else lacks. Where an earlier record lacks a section it says no more than is
// here.
func TestAttackEarlyReceipt(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		w.withhold("B1")
		d := draftTo("B", "S")
		d.Contents = body(strings.Repeat("invented ", 20_000))
		large := a.sendDraft(d)
		w.settle()
		a.send("B", "S") // from here on they come one by one
		w.settle()
		small := a.send("B", "S")
		w.settle()
		if !b.has(small.Feed, small.Seq) {
			t.Fatal("the second record was not taken")
		}
		list, err := a.Delivery(small.Feed, small.Seq)
		for _, h := range list {
			if h.Node == nodeID("B1") && h.Seq != large.Seq-1 {
				t.Errorf("B's receipt reaches %d; a section of record %d is not there", h.Seq, large.Seq)
			}
		}
		if len(list) != 2 || err != nil {
			t.Errorf("%d receipts, of B and S: %v", len(list), err)
		}
	})
}

// A record that is none of a node's business costs whoever brings it, however
// often, and not its author.
func TestAttackStrangersRecordSpendsPushersQuota(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.run("G1")
		w.link("A1", "S1")
		a.ready("P", "S")
		sent := a.send("P", "S") // nothing of it is B's
		w.settle()
		rec := a.record(sent.Feed, 1)
		p := protocol.Encode(Push{Record: &protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature()}, Feed: sent.Feed, Seq: 1})
		from, _ := w.reg.now().NodeAt(nodeID("G1"), w.reg.now().Size())
		mine, theirs := newPipe(nil, "G1", "B1", ProtoPush)
		ended := make(chan struct{})
		author, pusher := b.authors.of(nodeID("A1")).Tokens(), b.pushers.of(nodeID("G1")).Tokens()
		go func() { b.ServePush(t.Context(), from, theirs); close(ended) }()
		go func() {
			for {
				if _, err := mine.Read(); err != nil {
					return
				}
			}
		}()
		const times = 100
		for range times {
			if err := mine.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		author, pusher = author-b.authors.of(nodeID("A1")).Tokens(), pusher-b.pushers.of(nodeID("G1")).Tokens()
		if author > 0 || pusher < times*waitCost {
			t.Errorf("the author paid %v, the pusher %v", author, pusher)
		}
		if len(b.allFeeds()) != 0 {
			t.Error("it was kept")
		}
		mine.Close()
		<-ended
	})
}

// Bytes that are not a section's are paid by whoever brings them, though the
// record that they come with, or for, is its author's; so is that record
// brought again.
func TestAttackJunkSectionsSpendPushersQuota(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, s := w.run("A1"), w.run("B1"), w.run("S1")
		w.run("G1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		w.withhold("B1")
		d := draftTo("B", "S")
		d.Contents = body(strings.Repeat("invented ", 20_000))
		sent := a.sendDraft(d)
		w.until("B lacks the section", func() bool { return b.has(sent.Feed, sent.Seq) && s.has(sent.Feed, sent.Seq) })
		w.cut("A1", "B1")
		next := a.send("B", "S") // B's next, which it has not seen

		section := a.record(sent.Feed, sent.Seq).Section(0)
		junk := bytes.Clone(section)
		junk[len(junk)/2]++
		of := func(x Sent, sections ...[]byte) Push {
			rec := a.record(x.Feed, x.Seq)
			return Push{Record: &protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature(), Sections: sections}, Feed: x.Feed, Seq: x.Seq}
		}
		from, _ := w.reg.now().NodeAt(nodeID("G1"), w.reg.now().Size())
		push := func(times int, p Push) (author, pusher float64) {
			mine, theirs := newPipe(nil, "G1", "B1", ProtoPush)
			ended := make(chan struct{})
			author, pusher = b.authors.of(nodeID("A1")).Tokens(), b.pushers.of(nodeID("G1")).Tokens()
			go func() { b.ServePush(t.Context(), from, theirs); close(ended) }()
			for range times {
				if err := mine.Write(protocol.Encode(p)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			author, pusher = author-b.authors.of(nodeID("A1")).Tokens(), pusher-b.pushers.of(nodeID("G1")).Tokens()
			mine.Close()
			<-ended
			return author, pusher
		}
		const times = 20
		for _, x := range []struct {
			what         string
			push         Push
			author, peer float64 // at most, at least
		}{
			{"what was wanted", Push{Feed: sent.Feed, Seq: sent.Seq, Sections: []Section{{0, junk}}}, 0, times * dropCost},
			{"with a record that lacks it", of(sent, junk[:60_000]), 0, times * dropCost},
			{"none, with a record that lacks one", of(sent), 0, times},
			{"with a new record", of(next, junk[:60_000]), 4096, dropCost}, // the others may come while it goes to the disk
		} {
			if author, peer := push(times, x.push); author > x.author || peer < x.peer {
				t.Errorf("%s: the author paid %v, the pusher %v", x.what, author, peer)
			}
		}
		if !b.has(next.Feed, next.Seq) {
			t.Error("the new record was not taken")
		}
		good := Push{Feed: sent.Feed, Seq: sent.Seq, Sections: []Section{{0, section}}}
		if author, _ := push(1, good); author != float64(len(section)) {
			t.Errorf("a section of %d bytes cost its author %v", len(section), author)
		}
		if author, _ := push(times, good); author != 0 {
			t.Errorf("one that is here cost its author %v", author)
		}
		if got, err := b.reads(sent.Feed, sent.Seq); err != nil || len(got) != 1 {
			t.Errorf("%d sections, %v", len(got), err)
		}
	})
}

// An author pays for what its own signature brings, by the byte, whoever
// brings it; then it waits, and nothing is lost.
func TestAuthorsPayByTheByte(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		before := b.authors.of(nodeID("A1")).Tokens()
		d := draftTo("B", "S")
		d.Contents = body(strings.Repeat("invented ", 200_000))
		sent := a.sendDraft(d)
		if err := a.Await(t.Context(), sent.Feed, sent.Seq, nodeID("B1")); err != nil {
			t.Fatal(err)
		}
		if paid := before - b.authors.of(nodeID("A1")).Tokens(); paid < 1_500_000 {
			t.Errorf("1.8 MB cost the author %v", paid)
		}
		b.authors.of(nodeID("A1")).ReserveN(time.Now(), authorBurst) // it has used up what it may
		last := a.send("B", "S")
		time.Sleep(time.Second)
		synctest.Wait()
		if b.has(last.Feed, last.Seq) {
			t.Fatal("taken beyond the quota")
		}
		w.until("it is taken when there is quota again", func() bool { return a.vouched(last.Feed, last.Seq, "B1") })
		// What is brought again, by anybody, costs its author nothing.
		rec := a.record(last.Feed, last.Seq)
		env := protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature(), Sections: [][]byte{rec.Section(0)}}
		before = b.authors.of(nodeID("A1")).Tokens()
		for range 1000 {
			if got := b.takePush(Push{Record: &env, Feed: last.Feed, Seq: last.Seq}); got.verdict != Have {
				t.Fatalf("a replay: %+v", got)
			}
		}
		if now := b.authors.of(nodeID("A1")).Tokens(); now < before {
			t.Errorf("replays cost the author %v", before-now)
		}
	})
}

// What crosses to a stranger and to a partial peer names no feed that is not
// theirs, and asking for one that exists and one that does not gives the same
// bytes at the same cost.
func TestAttackInterestDisclosure(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b, s, g := w.run("A1"), w.run("B1"), w.run("S1"), w.run("G1")
		p := w.run("P1")
		var secret, shared Sent
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		secret = a.send("B", "S")
		shared = a.send("B P", "S")
		w.settle()
		frames := w.tap(func() {
			w.link("A1", "G1") // a stranger to both
			w.link("A1", "P1") // shares one
			w.link("B1", "G1")
			w.link("S1", "G1", "P1")
			w.settle()
			next := a.send("B", "S")
			secret.Seq = next.Seq
			w.settle()
		})
		for _, f := range frames {
			if (f.to == "G1" || f.to == "P1" && f.from != "G1") && bytes.Contains(f.body, secret.Feed[:]) {
				t.Errorf("%s told %s of a feed that is not its business, on %s", f.from, f.to, f.proto)
			}
			if f.to == "G1" && bytes.Contains(f.body, shared.Feed[:]) {
				t.Errorf("%s told the stranger of a feed, on %s", f.from, f.proto)
			}
		}
		if !p.has(shared.Feed, shared.Seq) || len(g.allFeeds()) != 0 || len(p.allFeeds()) != 1 {
			t.Error("the partial peer has not its feed, or another")
		}
		// The same bytes, and the same way: no disk is read for either.
		unknown := protocol.FeedID(crypto.Sum("test-feed", crypto.Hash{}, nil))
		for _, n := range []*tnode{a, b, s} {
			for _, q := range []FetchRequest{{From: 1, To: 9}, {From: 2, To: 2}, {From: 2, Sections: []uint64{0}}, {Own: true}} {
				q.Feed = secret.Feed
				n.disk.mu.Lock()
				reads := n.disk.reads
				n.disk.mu.Unlock()
				got, err := n.ServeFetch(t.Context(), g.self, protocol.Encode(q))
				q.Feed = unknown
				want, err2 := n.ServeFetch(t.Context(), g.self, protocol.Encode(q))
				if err != nil || err2 != nil || !bytes.Equal(got, want) || len(got) != 1 {
					t.Errorf("%s answers %x for one that exists and %x for one that does not, %v", n.name, got, want, err)
				}
				n.disk.mu.Lock()
				if n.disk.reads != reads {
					t.Errorf("%s read its disk for a stranger", n.name)
				}
				n.disk.mu.Unlock()
			}
			for _, id := range []protocol.FeedID{secret.Feed, unknown} { // a pusher learns nothing by a refusal
				if got := n.takePush(Push{Feed: id, Seq: 2, Sections: []Section{{0, []byte("x")}}}); n != s && id == unknown && got.code != RefusedNotOurs {
					t.Errorf("%+v", got)
				}
			}
			f, err := n.frontier(orgID("G"))
			if err != nil || f.Len() != 0 {
				t.Errorf("%s would tell a stranger of %d feeds, %v", n.name, f.Len(), err)
			}
		}
	})
}

// Every role over every protocol, as the bytes come and go.
func TestAttackEntitlementMatrixOnTheWire(t *testing.T) {
	script := usual + "\norg D ngo\noffer D\norg X police\norg Q ngo"
	inWorld(t, script, func(t *testing.T, w *world) {
		a, s := w.run("A1"), w.run("S1")
		w.link("A1", "S1")
		a.ready("B P Q", "S")
		// Records 1 and 2 under custodian D, 3 and on without it.
		d := draftTo("B P Q", "D S")
		d.Parts = [][]protocol.OrgID{orgIDs("P")}
		d.Contents = append(body("for all, invented"), protocol.Content{Set: 1, Kind: "test/example", Body: []byte("for police, invented")})
		w.run("D1")
		w.link("A1", "D1")
		w.settle()
		first := a.sendDraft(d)
		d.Custodians = orgIDs("S")
		second := a.sendDraft(d)
		if first.Seq != 2 || second.Seq != 4 {
			t.Fatalf("seqs %d and %d", first.Seq, second.Seq)
		}
		w.settle()
		w.leaves("suspend Q")
		feed := first.Feed
		from := func(name string) protocol.Node {
			n, _ := w.reg.now().NodeAt(nodeID(name), w.reg.now().Size())
			return n
		}
		roles := []struct {
			role, name string
			upTo       uint64 // cores
			all        uint64 // section 0 of data records, up to
			police     uint64 // section 1 of data records, up to
		}{
			{"author", "A1", 4, 4, 4}, {"addressee", "B1", 4, 4, 0}, {"police", "P1", 4, 4, 4},
			{"custodian", "S1", 4, 4, 4}, {"former custodian", "D1", 2, 2, 2},
			{"stranger", "X1", 0, 0, 0}, {"offered, never named", "C1", 0, 0, 0}, {"suspended addressee", "Q1", 0, 0, 0},
		}
		for _, holder := range []*tnode{a, s} {
			for _, role := range roles {
				where := fmt.Sprintf("%s of %s", role.role, holder.name)
				// Fetch.
				b, err := holder.ServeFetch(t.Context(), from(role.name), protocol.Encode(FetchRequest{Feed: feed, From: 1, To: 100}))
				suspended := role.name == "Q1"
				if suspended != errors.Is(err, ErrPeer) {
					t.Errorf("%s: %v", where, err)
				}
				var got FetchAnswer
				if err == nil {
					if got, err = protocol.Decode[FetchAnswer](b, MaxFetchFrame); err != nil {
						t.Fatal(err)
					}
				}
				if uint64(len(got.Records)) != role.upTo {
					t.Errorf("%s: %d cores, want %d", where, len(got.Records), role.upTo)
				}
				for i, env := range got.Records {
					seq := uint64(i + 1)
					if seq%2 == 1 {
						continue // key records: checked by what opens
					}
					for section, want := range []bool{seq <= role.all, seq <= role.police} {
						has := section < len(env.Sections) && env.Sections[section] != nil
						if has != want {
							t.Errorf("%s: section %d of record %d crossed: %v", where, section, seq, has)
						}
					}
				}
				for seq := uint64(1); seq <= 5; seq++ {
					for section := uint64(0); section < 2; section++ {
						b, err := holder.ServeFetch(t.Context(), from(role.name), protocol.Encode(FetchRequest{Feed: feed, From: seq, Sections: []uint64{section}}))
						if suspended {
							continue
						}
						got, derr := protocol.Decode[FetchAnswer](b, MaxFetchFrame)
						if err != nil || derr != nil {
							t.Fatal(err, derr)
						}
						want := seq <= role.all && section == 0 || seq <= role.police && section == 1
						if seq%2 == 0 && (len(got.Sections) == 1) != want {
							t.Errorf("%s: section %d of record %d by itself: %v", where, section, seq, len(got.Sections) == 1)
						}
						if want := seq <= role.all && section == 0 || seq <= role.police && section == 1; seq%2 == 1 && seq <= 4 && (len(got.Sections) == 1) != want {
							t.Errorf("%s: feed key %d of record %d: %v", where, section, seq, len(got.Sections) == 1)
						}
					}
				}
				// Frontier.
				f, err := holder.frontier(from(role.name).Org)
				if err != nil {
					t.Fatal(err)
				}
				if (f.Len() == 1) != (role.upTo > 0) {
					t.Errorf("%s: frontier of %d feeds", where, f.Len())
				}
				mine, theirs := newPipe(nil, role.name, holder.name, ProtoFrontier)
				go holder.ServeFrontier(t.Context(), from(role.name), theirs)
				res, err := ask(w, mine)
				if err != nil && !suspended {
					t.Fatal(err)
				}
				if role.upTo == 0 && len(res.Want) != 0 || role.upTo > 0 && (len(res.Want) != 1 || res.Want[0].To != role.upTo) {
					t.Errorf("%s: the frontier says %+v", where, res.Want)
				}
				// Push: what would go out to it.
				if role.name == "A1" {
					continue
				}
				for seq := uint64(1); seq <= 4; seq++ {
					rec := holder.record(feed, seq)
					e := holder.entitled(holder.feed(feed), rec, from(role.name).Org)
					if e.Core != (seq <= role.upTo) {
						t.Errorf("%s: record %d is pushed: %v", where, seq, e.Core)
					}
					p := &peer{node: from(role.name)}
					frame := holder.pushFrame(p, item{feed: holder.feed(feed), seq: seq, rec: rec})
					if seq > role.upTo {
						if frame != nil {
							t.Errorf("%s: record %d goes out", where, seq)
						}
						continue
					}
					pushed, err := protocol.Decode[Push](frame, MaxPushFrame)
					if err != nil {
						t.Fatal(err)
					}
					for section, want := range []bool{seq <= role.all, seq <= role.police} {
						if has := section < len(pushed.Record.Sections) && pushed.Record.Sections[section] != nil; has != want {
							t.Errorf("%s: section %d of record %d is pushed: %v", where, section, seq, has)
						}
					}
				}
			}
		}
		// And what comes: nobody keeps what is not his to have, whoever pushes
		// it with all sections.
		for _, role := range roles[1:] {
			if role.name == "S1" || role.name == "D1" {
				continue
			}
			n := w.run(role.name)
			for seq := uint64(1); seq <= 4; seq++ {
				rec := a.record(feed, seq)
				env := protocol.Envelope{Core: rec.CoreBytes(), Signature: rec.Signature()}
				for i := range rec.Core().Sections() {
					env.Sections = append(env.Sections, rec.Section(i))
				}
				n.settlePage([]taken{n.takePush(Push{Record: &env, Feed: feed, Seq: seq})}, nil)
			}
			if n.has(feed, 1) != (role.upTo > 0) {
				t.Errorf("%s keeps it: %v", role.role, n.has(feed, 1))
			}
		}
		w.places()
	})
}

// ask compares an empty frontier with a holder's.
func ask(w *world, s Stream) (reconcile.Result, error) {
	f, err := reconcile.NewFrontier(w.reg.network, nil)
	if err != nil {
		return reconcile.Result{}, err
	}
	return converse(s, reconcile.New(f), true)
}

// A peer that is behind and holds another record at its newest place finds the
// fork when it asks for more.
func TestForkAtAPeerThatIsBehind(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a := w.run("A1")
		b, s := w.run("B1"), w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		twin := w.runOn("A1'", a.disk.clone(), func(o *Options) { o.HeadWait = time.Nanosecond })
		w.cut("A1", "B1")
		w.cut("S1", "B1")
		w.link("A1'", "S1")
		twin.ready("B", "S")
		w.cut("A1'", "S1")
		w.link("A1'", "B1")
		theirs := twin.send("B", "S") // B has this one,
		w.until("B has the twin's", func() bool { return b.has(theirs.Feed, theirs.Seq) })
		w.halt("A1'")
		w.cut("A1", "S1") // to S the two are one node
		w.link("A1", "S1")
		for range 3 { // and S another one at its place, and more
			a.send("B", "S")
		}
		w.until("S has A's", func() bool { return s.has(theirs.Feed, theirs.Seq+2) })
		w.link("B1", "S1")
		w.until("all know", func() bool { return len(b.Forks()) == 1 && len(s.Forks()) == 1 && a.Replaced() })
	})
}

// Both that write under one key hear of it on their push streams, where nothing
// else gets through.
func TestForkProofComesWithTheRefusal(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a, b := w.run("A1"), w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		a.send("B", "S")
		w.settle()
		twin := w.runOn("A1'", a.disk.clone())
		w.link("A1'", "B1")
		w.link("A1'", "S1")
		twin.ready("B", "S")
		w.mu.Lock()
		w.fails = func(_, _, proto string) bool { return proto != ProtoPush }
		w.mu.Unlock()
		mine := a.send("B", "S")
		w.until("B has one", func() bool { return b.has(mine.Feed, mine.Seq) })
		if theirs := twin.send("B", "S"); theirs.Feed != mine.Feed || theirs.Seq != mine.Seq {
			t.Fatal("this is no fork")
		}
		w.until("both know", func() bool { return a.Replaced() && twin.Replaced() })
	})
}

// A proof for a feed that is none of an organisation's business is not kept.
func TestForkOfOthersIsNotKept(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		g := w.run("G1")
		b := w.run("B1")
		var envs []protocol.Envelope
		for range 2 {
			links := deceiver(t, w)
			envs = append(envs, links[0].Record.Envelope(protocol.Entitlement{}))
		}
		if envs[0].Core == nil || bytes.Equal(envs[0].Core, envs[1].Core) {
			t.Fatal("no fork")
		}
		batch := protocol.Encode(ReceiptBatch{Forks: []protocol.Fork{{A: envs[0], B: envs[1]}}})
		for _, n := range []*tnode{g, b} {
			from, _ := w.reg.now().NodeAt(nodeID("C1"), w.reg.now().Size())
			if _, err := n.ServeReceipt(t.Context(), from, batch); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(g.Forks()) != 0 || len(b.Forks()) != 1 {
			t.Errorf("G keeps %d, B %d", len(g.Forks()), len(b.Forks()))
		}
		// It proves nothing with its two sides equal.
		same := protocol.Encode(ReceiptBatch{Forks: []protocol.Fork{{A: envs[0], B: envs[0]}}})
		before := g.pushers.of(nodeID("B1")).Tokens()
		g.ServeReceipt(t.Context(), b.self, same)
		if before-g.pushers.of(nodeID("B1")).Tokens() < dropCost {
			t.Error("a false proof is free")
		}
	})
}

// A receipt counts only from whom it names, for a feed that it may have, and
// never goes back.
func TestAttackReceipts(t *testing.T) {
	inWorld(t, usual, func(t *testing.T, w *world) {
		a := w.run("A1")
		w.run("B1")
		w.run("S1")
		w.link("A1", "B1", "S1")
		a.ready("B", "S")
		sent := a.send("B", "S")
		w.settle()
		head := a.record(sent.Feed, sent.Seq).ID()
		good := protocol.Receipt{Version: 1, Network: w.reg.network, Org: orgID("B"), Node: nodeID("B1"), Feed: sent.Feed, Seq: sent.Seq, Head: head}
		try := func(by string, change func(*protocol.Receipt)) error {
			r := good
			change(&r)
			return a.keepReceipt(protocol.SignReceipt(w.reg.keys[by], r), true)
		}
		for name, err := range map[string]error{
			"signed by another": try("P1", func(*protocol.Receipt) {}),
			"of a stranger":     try("P1", func(r *protocol.Receipt) { r.Org, r.Node = orgID("P"), nodeID("P1") }),
			"of a wrong head":   try("B1", func(r *protocol.Receipt) { r.Head, r.Seq = protocol.RecordID{1}, 1 }),
			"beyond ours":       try("B1", func(r *protocol.Receipt) { r.Seq += 5 }),
			"of no feed":        try("B1", func(r *protocol.Receipt) { r.Feed = protocol.FeedID{1} }),
			"older":             try("B1", func(r *protocol.Receipt) { r.Seq, r.Head = 1, a.record(sent.Feed, 1).ID() }),
			"taking back":       try("B1", func(r *protocol.Receipt) { r.Held = []protocol.Range{{From: 1, To: 2}} }),
			"other network":     try("B1", func(r *protocol.Receipt) { r.Network = protocol.NetworkID{1} }),
		} {
			if err == nil {
				t.Errorf("a receipt %s was kept", name)
			}
		}
		if list, _ := a.Delivery(sent.Feed, sent.Seq); len(list) != 2 || !a.vouched(sent.Feed, sent.Seq, "B1") {
			t.Errorf("%+v", list)
		}
		if i := slices.IndexFunc(w.all(), func(n *tnode) bool { return n.vouched(sent.Feed, sent.Seq, "P1") }); i >= 0 {
			t.Error("a stranger's receipt spread")
		}
	})
}
