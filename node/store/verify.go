package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/national-alliance/alliance/protocol"
)

// Want is what this node lacks of a record though its chain says that it
// should have it.
type Want struct {
	Seq uint64
	// ID is the record's, zero where damage took that too: then the record
	// after it is to be restored first.
	ID       protocol.RecordID
	Core     bool  // the record itself is lost; put it back with Batch.Restore
	Sections []int // lost or owed; put them back with Batch.Section
}

// Wants returns what of a feed is lost or owed, by seq. What is lost becomes
// known when it is read, or by [Store.VerifyAll].
func (s *Store) Wants(feed protocol.FeedID) []Want {
	by := make(map[uint64]*Want)
	at := func(seq uint64) *Want {
		if by[seq] == nil {
			by[seq] = &Want{Seq: seq}
		}
		return by[seq]
	}
	s.mu.RLock()
	for seq, l := range s.lost[feed] {
		w := at(seq)
		w.Core = l.Core
		w.Sections = append(w.Sections, l.Sections...)
	}
	s.mu.RUnlock()
	for _, k := range s.names(keyFeed(rowOwed, feed)) {
		if len(k) != 41 {
			continue
		}
		_, seq, ok := place([]byte(k[1:]))
		if !ok {
			continue
		}
		v, err := s.summedRow([]byte(k))
		if err != nil || len(v) != 4 {
			continue
		}
		w := at(seq)
		w.Sections = append(w.Sections, bitList(uint32(v[0])<<24|uint32(v[1])<<16|uint32(v[2])<<8|uint32(v[3]))...)
	}
	out := make([]Want, 0, len(by))
	for _, w := range by {
		w.ID, _ = s.ID(feed, w.Seq)
		slices.Sort(w.Sections)
		w.Sections = slices.Compact(w.Sections)
		out = append(out, *w)
	}
	slices.SortFunc(out, func(a, b Want) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	return out
}

// lose remembers what was found lost, and returns it.
func (s *Store) lose(l *Lost) *Lost {
	s.mu.Lock()
	defer s.mu.Unlock()
	if noteLost(s.lost, l) {
		s.log.Error("damage in the store; peers are asked for it", "feed", l.Feed.Short(), "seq", l.Seq, "record", l.Core, "sections", len(l.Sections))
	}
	return l
}

// whole forgets a loss that was none: a read that failed for the moment.
func (s *Store) whole(feed protocol.FeedID, seq uint64) {
	s.mu.RLock()
	_, ok := s.lost[feed][seq]
	s.mu.RUnlock()
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lost[feed], seq)
	if len(s.lost[feed]) == 0 {
		delete(s.lost, feed)
	}
}

func noteLost(lost map[protocol.FeedID]map[uint64]*Lost, l *Lost) (isNew bool) {
	if lost[l.Feed] == nil {
		lost[l.Feed] = make(map[uint64]*Lost)
	}
	_, was := lost[l.Feed][l.Seq]
	lost[l.Feed][l.Seq] = l
	return !was
}

// refound takes off the list what is here again; s.mu is held.
func (s *Store) refound(f found) {
	l, ok := s.lost[f.feed][f.seq]
	if !ok {
		return
	}
	now := *l
	if f.section < 0 {
		now.Core = false
	} else {
		now.Sections = slices.DeleteFunc(slices.Clone(l.Sections), func(i int) bool { return i == f.section })
	}
	if now.Core || len(now.Sections) > 0 {
		s.lost[f.feed][f.seq] = &now
		return
	}
	delete(s.lost[f.feed], f.seq)
	if len(s.lost[f.feed]) == 0 {
		delete(s.lost, f.feed)
	}
}

// Report is what [Store.VerifyAll] found.
type Report struct {
	Records, Sections, Leaves uint64
	LostRecords, LostSections uint64
	LostLeaves                []uint64
	Refused                   uint64 // records that the caller's check refused
	Mended                    uint64 // records whose index rows were written again
	Tables                    error  // badger's own checksums
}

// VerifyAll reads everything and checks every hash. progress, if not nil, is
// called now and then with how many records and leaves are done, of how many.
// check, if not nil, is called for every whole record, for signatures, say; an
// error of it is counted as refused and logged. What is lost goes to
// [Store.Wants]; index rows that are lost are written again.
func (s *Store) VerifyAll(ctx context.Context, progress func(done, total uint64), check func(*protocol.Record) error) (Report, error) {
	var r Report
	feeds := s.Feeds()
	leaves := s.LeafCount()
	done, total := uint64(0), leaves
	for _, f := range feeds {
		total += f.Chain.Seq
	}
	step := func() {
		if done++; progress != nil && (done%1024 == 0 || done == total) {
			progress(done, total)
		}
	}
	r.Tables = s.checksums()
	for _, f := range feeds {
		for seq := uint64(1); seq <= f.Chain.Seq; seq++ {
			if err := ctx.Err(); err != nil {
				return r, fmt.Errorf("verify store: %w", err)
			}
			rec, err := s.Record(f.Feed, seq)
			var l *Lost
			switch {
			case errors.As(err, &l) && l.Core:
				r.LostRecords++
			case errors.As(err, &l):
				r.LostSections += uint64(len(l.Sections))
			case err != nil:
				return r, fmt.Errorf("verify store: %w", err)
			}
			if rec != nil {
				r.Records++
				for i := range rec.Core().Sections() {
					if rec.Section(i) != nil {
						r.Sections++
					}
				}
				mended, err := s.mend(ctx, rec)
				if err != nil {
					s.log.Warn("an index row could not be written again", "error", err)
				}
				r.Mended += mended
				if check != nil {
					if err := check(rec); err != nil {
						r.Refused++
						s.log.Error("a stored record does not verify", "feed", f.Feed.Short(), "seq", seq, "error", err)
					}
				}
			}
			step()
			if done%4096 == 0 {
				trim(s.opt.Dir)
			}
		}
	}
	for i := uint64(0); i < leaves; i++ {
		if err := ctx.Err(); err != nil {
			return r, fmt.Errorf("verify store: %w", err)
		}
		switch _, err := s.get(keyNumber(rowLeaf, i)); {
		case errors.Is(err, ErrLost):
			r.LostLeaves = append(r.LostLeaves, i)
		case err != nil:
			return r, fmt.Errorf("verify store: %w", err)
		default:
			r.Leaves++
		}
		step()
	}
	return r, nil
}

// mend writes a record's index rows again where one is lost.
func (s *Store) mend(ctx context.Context, rec *protocol.Record) (uint64, error) {
	id := rec.ID()
	a, err1 := s.get(keySeq(rowID, rec.Feed(), rec.Core().Seq))
	if err1 == nil && string(a) == string(id[:]) {
		return 0, nil
	}
	var batch Batch
	batch.add(1024, func(d *draft) error {
		r, _, err := d.stored(rec.Feed(), rec.Core().Seq)
		if err != nil || r.id != id {
			return err
		}
		d.putRecord(rec.Feed(), rec.Core().Seq, r)
		return nil
	})
	if err := s.Commit(ctx, &batch); err != nil {
		return 0, err
	}
	return 1, nil
}

// checksums runs badger's own check of its tables.
func (s *Store) checksums() (err error) {
	s.files.RLock()
	defer s.files.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w (%v)", ErrLost, p)
		}
	}()
	if err := s.db.VerifyChecksum(); err != nil {
		return fmt.Errorf("%w (%v)", ErrLost, err)
	}
	return nil
}
