package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

func testJournal(t *testing.T, dir string) *journal {
	t.Helper()
	j := newJournal(dir, testKey)
	if err := j.create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.close)
	return j
}

// write adds a frame with one row and returns where it stands in the file.
func writeFrame(t *testing.T, j *journal, key, value string) (at int64) {
	t.Helper()
	at = j.at
	j.begin(0)
	if value == "" {
		j.add(key, nil, newTagger(testKey))
	} else {
		j.add(key, []byte(value), newTagger(testKey))
	}
	err := j.seal()
	if err == nil {
		err = j.write()
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// recovered applies what a journal holds to a map.
func recovered(t *testing.T, dir string) (rows map[string]string, frames, missing uint64) {
	t.Helper()
	rows = map[string]string{}
	frames, missing, err := newJournal(dir, testKey).recover(func(list []journalRow) error {
		for _, r := range list {
			if r.value == nil {
				delete(rows, string(r.key))
				continue
			}
			v, _, good := newTagger(testKey).open(r.key, r.value)
			if !good {
				t.Errorf("row %s comes back with a wrong tag", r.key)
			}
			rows[string(r.key)] = string(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, frames, missing
}

func flipAt(t *testing.T, dir string, at int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x20
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func TestJournalComesBack(t *testing.T) {
	dir := t.TempDir()
	if rows, n, _ := recovered(t, dir); len(rows) != 0 || n != 0 {
		t.Errorf("no file: %v", rows)
	}
	j := testJournal(t, dir)
	if rows, n, _ := recovered(t, dir); len(rows) != 0 || n != 0 {
		t.Errorf("new file: %v", rows)
	}
	writeFrame(t, j, "a", "first")
	writeFrame(t, j, "b", "second")
	writeFrame(t, j, "a", "third")
	writeFrame(t, j, "b", "")
	rows, n, missing := recovered(t, dir)
	if want := map[string]string{"a": "third"}; !maps.Equal(rows, want) || n != 4 || missing != 0 {
		t.Errorf("%v of %d frames, %d missing", rows, n, missing)
	}
	var other [32]byte
	n, _, err := newJournal(dir, other).recover(func([]journalRow) error { t.Error("a row came under another key"); return nil })
	if n != 0 || err != nil {
		t.Errorf("another key: %d, %v", n, err)
	}
	if err := j.remove(); err != nil {
		t.Fatal(err)
	}
	if rows, n, _ := recovered(t, dir); len(rows) != 0 || n != 0 {
		t.Errorf("removed: %v", rows)
	}
}

// A damaged frame costs its own rows, and those behind it are found again.
func TestJournalDamage(t *testing.T) {
	for _, c := range []struct {
		name    string
		frame   int
		offset  int64
		want    map[string]string
		missing uint64
	}{
		{"first frame's magic", 0, 0, map[string]string{"k1": "v1", "k2": "v2"}, 1},
		{"a length", 1, 4, map[string]string{"k0": "v0", "k2": "v2"}, 1},
		{"a number", 1, 15, map[string]string{"k0": "v0", "k2": "v2"}, 1},
		{"a nonce", 1, frameHead, map[string]string{"k0": "v0", "k2": "v2"}, 1},
		{"a row", 1, frameHead + 14, map[string]string{"k0": "v0", "k2": "v2"}, 1},
		{"the newest", 2, frameHead + 14, map[string]string{"k0": "v0", "k1": "v1"}, 0},
	} {
		dir := t.TempDir()
		j := testJournal(t, dir)
		var at [3]int64
		for i := range at {
			at[i] = writeFrame(t, j, fmt.Sprintf("k%d", i), fmt.Sprintf("v%d", i))
		}
		flipAt(t, dir, at[c.frame]+c.offset)
		rows, _, missing := recovered(t, dir)
		if !maps.Equal(rows, c.want) || missing != c.missing {
			t.Errorf("%s: %v, %d missing", c.name, rows, missing)
		}
	}
}

// What an earlier round left in the file is not applied, whatever is damaged:
// it would put old rows over new ones.
func TestJournalRounds(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string, first int64)
		want   map[string]string
	}{
		{"whole", func(*testing.T, string, int64) {}, map[string]string{"new": "x"}},
		{"first frame of the round", func(t *testing.T, dir string, first int64) { flipAt(t, dir, first+frameHead+14) }, map[string]string{}},
		{"one base", func(t *testing.T, dir string, _ int64) { flipAt(t, dir, 9) }, map[string]string{"new": "x"}},
		{"the other base", func(t *testing.T, dir string, _ int64) { flipAt(t, dir, counterApart+9) }, map[string]string{"new": "x"}},
	} {
		dir := t.TempDir()
		j := testJournal(t, dir)
		for i := range 4 {
			writeFrame(t, j, "old", fmt.Sprint(i))
		}
		if err := j.restart(); err != nil {
			t.Fatal(err)
		}
		if rows, n, _ := recovered(t, dir); n != 0 {
			t.Errorf("%s: a new round has %v", c.name, rows)
		}
		c.damage(t, dir, writeFrame(t, j, "new", "x"))
		if rows, _, _ := recovered(t, dir); !maps.Equal(rows, c.want) {
			t.Errorf("%s: %v", c.name, rows)
		}
	}
}

// What a restart writes is durable in the order on which recovery relies: the
// first copy of the base alone, then the second one with the next frame. So a
// torn one always has a whole one beside it.
func TestJournalRestartsInOrder(t *testing.T) {
	dir := t.TempDir()
	j := testJournal(t, dir)
	slots := func() (first, second uint64) {
		one := func(at int64) uint64 {
			var b [counterSlot]byte
			if _, err := j.f.ReadAt(b[:], at); err != nil {
				t.Fatal(err)
			}
			return binary.BigEndian.Uint64(b[8:])
		}
		return one(0), one(counterApart)
	}
	var at [][2]uint64 // when synced
	j.sync = func(*os.File) error {
		first, second := slots()
		at = append(at, [2]uint64{first, second})
		return nil
	}
	for range 2 {
		writeFrame(t, j, "a", "1")
		if err := j.restart(); err != nil {
			t.Fatal(err)
		}
	}
	writeFrame(t, j, "a", "2")
	want := [][2]uint64{{0, 0}, {1, 0}, {1, 1}, {2, 1}, {2, 2}}
	if !slices.Equal(at, want) {
		t.Errorf("bases at each sync %v, want %v", at, want)
	}
	flipAt(t, dir, 12) // the first copy, as if torn in the second restart
	if rows, n, _ := recovered(t, dir); n != 1 || rows["a"] != "2" {
		t.Errorf("%d frames, %v", n, rows)
	}
}

// What fails is not taken for durable.
func TestJournalSyncFails(t *testing.T) {
	j := testJournal(t, t.TempDir())
	j.sync = func(*os.File) error { return errors.New("an invented fault") }
	j.begin(0)
	j.add("k", []byte("v"), newTagger(testKey))
	if err := j.seal(); err != nil {
		t.Fatal(err)
	}
	if err := j.write(); err == nil || j.last != 0 {
		t.Errorf("%v, newest %d", err, j.last)
	}
	if err := j.restart(); err == nil {
		t.Error("it began anew")
	}
}

// A batch of any number of rows is one that badger takes.
func TestManyRows(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const n = 80
	commit(t, s, func(b *Batch) {
		for i := range n {
			b.Outbox(fmt.Sprint(i), invented(64<<10))
		}
	})
	commit(t, s, func(b *Batch) {
		for i := range 5000 {
			b.MetaUint(fmt.Sprintf("value %05d", i), uint64(i))
		}
		for i := range 5000 {
			b.Meta(fmt.Sprintf("value %05d", i), nil)
		}
		for i := range n {
			b.OutboxDone(fmt.Sprint(i))
		}
		b.MetaUint("last", 1)
	})
	if err := s.give(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = open(t, dir)
	if v, err := s.MetaUint("last"); v != 1 || err != nil || len(s.Outbox()) != 0 || s.Damage().Any() {
		t.Errorf("%d, %v, %d entries, %v", v, err, len(s.Outbox()), s.Damage())
	}
}

func TestJournalFull(t *testing.T) {
	j := testJournal(t, t.TempDir())
	value := string(invented(1 << 20))
	for i := 0; ; i++ {
		if i > journalSize>>20 {
			t.Fatal("it never gets full")
		}
		j.begin(0)
		j.add("k", []byte(value), newTagger(testKey))
		if err := j.seal(); errors.Is(err, errJournalFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if err := j.write(); err != nil {
			t.Fatal(err)
		}
	}
}

// Badger's own log may lose everything that was not synced: the journal has it.
func TestJournalOutlivesBadgersLog(t *testing.T) {
	live := t.TempDir()
	s := open(t, live)
	links := authorOf(t, 1).some(t, 20, 500)
	for _, l := range links {
		commit(t, s, l.put)
	}
	if err := s.give(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "db", "*.mem"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no log to damage", err)
	}
	for _, path := range logs {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		clear(raw[min(len(raw), 200):]) // all behind the first entry's beginning
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, dir)
	if c.Damage().Any() {
		t.Error(c.Damage())
	}
	for _, l := range links {
		l.same(t, c)
	}
}

// A kill while badger makes or removes a log leaves an empty one.
func TestEmptyLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := authorOf(t, 1).some(t, 1, 100)
	commit(t, s, l[0].put)
	mustClose(t, s)
	for _, name := range []string{"00000.mem", "00009.mem", "000002.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, "db", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir)
	l[0].same(t, s)
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
}

// When its list of tables cannot be synced badger writes the table again under
// another number, and leaves the first one on the list.
func TestTableThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := authorOf(t, 1).some(t, 3, 100)
	commit(t, s, func(b *Batch) { l[0].put(b); l[1].put(b) })
	mustClose(t, s)
	f, err := os.OpenFile(filepath.Join(dir, "db", badger.ManifestFilename), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []byte{77, 78} {
		set := []byte{1<<3 | 2, 2, 1 << 3, id} // made, at level 0
		b := binary.BigEndian.AppendUint32(nil, uint32(len(set)))
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(set, castagnoli))
		if _, err := f.Write(append(b, set...)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Write([]byte{0, 0}); err != nil { // and a torn entry
		t.Fatal(err)
	}
	f.Close()
	for range 2 {
		s = open(t, dir)
		if s.Damage().Any() {
			t.Error(s.Damage())
		}
		l[0].same(t, s)
		l[1].same(t, s)
		if c, _ := s.Chain(l[0].rec.Feed()); c.Seq == 2 {
			commit(t, s, l[2].put)
		}
		mustClose(t, s)
	}
}

// A failed sync may spoil what was acknowledged before and stands in the same
// page of the file: memory still has it.
func TestFailedSyncSpoilsAPage(t *testing.T) {
	s := open(t, t.TempDir())
	l := authorOf(t, 1).some(t, 3, 100)
	commit(t, s, l[0].put)
	if err := s.give(); err != nil {
		t.Fatal(err)
	}
	at := s.journal.at
	commit(t, s, l[1].put)
	whole := s.journal.sync
	s.journal.sync = func(f *os.File) error {
		s.journal.sync = whole
		_, err := f.WriteAt(make([]byte, 64), at)
		return errors.Join(errors.New("an invented fault"), err)
	}
	wantErr(t, "failed sync", try(s, l[2].put), ErrUncertain)
	for s.Writable() != nil {
		runtime.Gosched()
	}
	l[0].same(t, s)
	l[1].same(t, s)
}

// A commit that stands damaged in the journal, with others behind it, shows.
func TestDamagedCommitShows(t *testing.T) {
	live := t.TempDir()
	s := open(t, live)
	at := s.journal.at
	l := authorOf(t, 1).some(t, 2, 100)
	commit(t, s, l[0].put)
	commit(t, s, l[1].put)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	flipAt(t, dir, at+frameHead+20)
	c := open(t, dir)
	if d := c.Damage(); d.Journal != 1 {
		t.Errorf("damage %+v", d)
	}
	if _, err := c.Record(l[0].rec.Feed(), 1); err != nil && !errors.Is(err, ErrLost) {
		t.Error(err)
	}
}

// A database that takes nothing more is opened again, and what the journal has
// is put back.
func TestDatabaseFails(t *testing.T) {
	s := open(t, t.TempDir())
	l := authorOf(t, 1).some(t, 3, 100)
	commit(t, s, l[0].put)
	s.fresh.giving.Lock()
	s.fresh.failed = errors.New("an invented fault")
	s.fresh.giving.Unlock()
	for _, x := range l[1:] { // the first is durable in the journal
		for err := try(s, x.put); err != nil; err = try(s, x.put) {
			if !errors.Is(err, ErrDisk) {
				t.Fatal(err)
			}
		}
		s.fresh.poke()
	}
	for s.Writable() == nil && s.fresh.failure() != nil {
		runtime.Gosched()
	}
	for s.Writable() != nil {
		runtime.Gosched()
	}
	for _, x := range l {
		x.same(t, s)
	}
	if s.Damage().Any() {
		t.Error(s.Damage())
	}
}

func (f *fresh) failure() error {
	f.giving.Lock()
	defer f.giving.Unlock()
	return f.failed
}

// Decoding what a disk gives back never panics and accepts only what was sealed.
func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	j := newJournal(dir, testKey)
	if err := j.create(); err != nil {
		f.Fatal(err)
	}
	j.begin(0)
	j.add("k", []byte("v"), newTagger(testKey))
	if err := j.seal(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add([]byte(frameMagic))
	f.Add(j.frame)
	f.Add(binary.BigEndian.AppendUint32([]byte(frameMagic), 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, rows, size := j.open(b)
		if size != 0 && (n != 1 || len(rows) != 1 || string(rows[0].key) != "k") {
			t.Errorf("a frame that was never sealed: %d, %v", n, rows)
		}
	})
}
