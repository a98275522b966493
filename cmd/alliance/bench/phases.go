package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/national-alliance/alliance/protocol"
)

const ngoKind = "ngo"

func newcomer(name string, work int) Newcomer {
	return Newcomer{Name: name, Class: protocol.ClassNGO, Kind: ngoKind, Work: work}
}

// node starts a place's node and returns how long it took until it served.
func (b *bench) node(ctx context.Context, p Place) (*process, time.Duration, error) {
	start := time.Now()
	w, err := b.start(ctx, "node", p.Dir, b.Profiles)
	if err != nil {
		return nil, 0, fmt.Errorf("node of %s: %w", p.Name, err)
	}
	return w, time.Since(start), nil
}

func unlock(p *process) (time.Duration, error) {
	a, err := p.ask(request{Do: "unlock", Text: Passphrase})
	return time.Duration(a.Seconds * float64(time.Second)), err
}

// to is a request to send to places, kept by custodians.
func to(do string, n, flight int, to []Place, custodians ...Place) request {
	r := request{Do: do, N: n, Flight: flight}
	for _, p := range to {
		r.Orgs = append(r.Orgs, p.Org.String())
		r.Nodes = append(r.Nodes, p.Node.String())
	}
	for _, p := range custodians {
		r.Custodians = append(r.Custodians, p.Org.String())
	}
	return r
}

// opening sends until the node may write: after a start it waits for others.
func opening(ctx context.Context, p *process, r request) error {
	r.N, r.Flight = 1, 1
	for end := time.Now().Add(time.Minute); ; {
		_, err := p.ask(r)
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// profiled runs f with the profilers of nodes on.
func (b *bench) profiled(what string, f func() error, nodes ...*process) error {
	if b.Profiles == "" {
		return f()
	}
	toggle := func() (err error) {
		for _, n := range nodes {
			_, e := n.ask(request{Do: "profile", Text: what})
			err = errors.Join(err, e)
		}
		return err
	}
	if err := toggle(); err != nil {
		return err
	}
	return errors.Join(f(), toggle())
}

// deliver measures the fresh node, and then baseline and product by turns.
func (b *bench) deliver(ctx context.Context) (err error) {
	b.say("founding a network of two")
	sec, members, err := Found(ctx, filepath.Join(b.dir, "two"), b.Work, newcomer("alpha", b.Work))
	if err != nil {
		return err
	}
	r := b.report
	var starts []float64
	for i := range b.Rounds {
		p, took, err := b.node(ctx, sec)
		if err != nil {
			return err
		}
		starts = append(starts, took.Seconds())
		if i == 0 {
			pause(ctx, b.Settle)
			r.IdleRSS, r.IdleOwn = resident(p.cmd.Process.Pid)
			took, err := unlock(p)
			if err != nil {
				return err
			}
			r.Unlock = took.Seconds()
		}
		if err := p.stop(); err != nil {
			return err
		}
	}
	r.Start = median(starts)

	to1 := []Place{sec}
	secp, _, err := b.node(ctx, sec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, secp.stop()) }()
	author, _, err := b.node(ctx, members[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, author.stop()) }()
	if _, err := unlock(author); err != nil {
		return err
	}
	base, recipient, err := b.baseline(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.stop(), recipient.stop()) }()

	b.say("warming up")
	if err := opening(ctx, author, to("send", 1, 1, to1, sec)); err != nil {
		return err
	}
	warm := max(b.Load/4, flight)
	for _, w := range []*process{base, author} {
		if _, err := w.ask(to("send", warm, flight, to1, sec)); err != nil {
			return err
		}
	}
	var s series
	for round := range b.Rounds {
		for _, at := range []int{1, flight} {
			n := b.Latency
			if at > 1 {
				n = b.Load
			}
			var parts, was, is answer
			if at == 1 {
				if parts, err = base.ask(request{Do: "parts", N: max(n/4, 20)}); err != nil {
					return fmt.Errorf("baseline: %w", err)
				}
			}
			var baseCPU, authorCPU, recipientCPU float64
			name := fmt.Sprintf("flight%d-round%d", at, round)
			// The two take turns within a round: a machine is not the same for a
			// second on end.
			for _, part := range turns(n, at) {
				cpu := cpuTime(base, recipient)
				a, err := base.ask(request{Do: "send", N: part, Flight: at})
				if err != nil {
					return fmt.Errorf("baseline: %w", err)
				}
				was.add(a)
				baseCPU += cpuTime(base, recipient) - cpu
				authorCPU -= cpuTime(author)
				recipientCPU -= cpuTime(secp)
				err = b.profiled(name, func() (err error) {
					a, err = author.ask(to("send", part, at, to1, sec))
					return err
				}, author, secp)
				if err != nil {
					return err
				}
				is.add(a)
				authorCPU += cpuTime(author)
				recipientCPU += cpuTime(secp)
			}
			if at == 1 {
				s.latency(*parts.Parts, was, is)
			} else {
				s.sustained(was, is)
				s.baseCPU = append(s.baseCPU, baseCPU/float64(n))
				s.authorCPU = append(s.authorCPU, authorCPU/float64(n))
				s.recipientCPU = append(s.recipientCPU, recipientCPU/float64(n))
			}
		}
		b.say("round %d of %d: baseline %.2f ms, %.0f/s; product %.2f ms, %.0f/s", round+1, b.Rounds,
			last(s.baseP50), last(s.basePerS), last(s.p50), last(s.perS))
	}
	s.into(r)
	return nil
}

// turns cuts a round's deliveries with one in flight into eight, and those with
// many in flight, which take long to get going, into two.
func turns(n, flight int) (parts []int) {
	many := 8
	if flight > 1 {
		many = 2
	}
	for i := many; i > 0; i-- {
		if part := n / i; part >= flight {
			parts = append(parts, part)
			n -= part
		}
	}
	return parts
}

// add joins what another turn of the same measured.
func (a *answer) add(b answer) {
	a.Each, a.Seconds, a.N = append(a.Each, b.Each...), a.Seconds+b.Seconds, a.N+b.N
}

func last(v []float64) float64 { return v[len(v)-1] }

// baseline starts the two baseline processes.
func (b *bench) baseline(ctx context.Context) (author, recipient *process, err error) {
	dir := filepath.Join(b.dir, "baseline")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, err
	}
	var secret [16]byte
	rand.Read(secret[:])
	most := fmt.Sprint((b.Latency+b.Load)*(b.Rounds+1) + flight)
	if recipient, err = b.start(ctx, "recipient", dir, hex.EncodeToString(secret[:]), most); err != nil {
		return nil, nil, err
	}
	author, err = b.start(ctx, "author", dir, hex.EncodeToString(secret[:]), most, recipient.hello.Text)
	if err != nil {
		return nil, nil, errors.Join(err, recipient.stop())
	}
	return author, recipient, nil
}

// toTen measures one record to ten.
func (b *bench) toTen(ctx context.Context) (err error) {
	b.say("founding a network of a secretariat and %d NGOs", b.Ten)
	var who []Newcomer
	for i := range b.Ten {
		who = append(who, newcomer(fmt.Sprintf("ngo%d", i+1), leastWork))
	}
	sec, members, err := Found(ctx, filepath.Join(b.dir, "ten"), leastWork, who...)
	if err != nil {
		return err
	}
	var all []*process
	defer func() {
		for _, p := range all {
			err = errors.Join(err, p.stop())
		}
	}()
	for _, m := range append(members, sec) {
		p, _, err := b.node(ctx, m)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	author := all[len(all)-1]
	if _, err := unlock(author); err != nil {
		return err
	}
	if err := opening(ctx, author, to("send", 1, 1, members)); err != nil {
		return err
	}
	n := max(b.Load/6, flight)
	var per []float64
	for round := range b.Rounds {
		var a answer
		err := b.profiled(fmt.Sprintf("ten-round%d", round), func() (err error) {
			a, err = author.ask(to("send", n, flight, members))
			return err
		}, author, all[0])
		if err != nil {
			return err
		}
		per = append(per, float64(n)/a.Seconds)
		b.say("round %d of %d: %.0f/s to %d", round+1, b.Rounds, last(per), b.Ten)
	}
	b.report.SustainedTen = median(per)
	return nil
}

const leastWork = 10

// late measures a backlog: catching up, what it takes, and damage in it.
func (b *bench) late(ctx context.Context) error {
	b.say("founding a network of two for a backlog")
	sec, members, err := Found(ctx, filepath.Join(b.dir, "late"), leastWork, newcomer("alpha", leastWork))
	if err != nil {
		return err
	}
	author := members[0]
	secp, _, err := b.node(ctx, sec)
	if err != nil {
		return err
	}
	ap, _, err := b.node(ctx, author)
	if err != nil {
		return err
	}
	if _, err := unlock(ap); err != nil {
		return err
	}
	// The head check needs a custodian's answer once; then it may go.
	if err := opening(ctx, ap, to("send", 1, 1, []Place{sec}, sec)); err != nil {
		return err
	}
	if err := secp.stop(); err != nil {
		return err
	}
	fresh, err := diskUse(filepath.Join(sec.Dir, "store"))
	if err != nil {
		return err
	}
	before := filepath.Join(b.dir, "before")
	if err := os.CopyFS(before, os.DirFS(sec.Dir)); err != nil {
		return err
	}
	b.say("writing %d records while the recipient is away", b.Records)
	var backlog answer
	err = b.profiled("write", func() (err error) {
		backlog, err = ap.ask(to("write", b.Records, 2*flight, []Place{sec}, sec))
		return err
	}, ap)
	if err != nil {
		return err
	}
	r := b.report
	r.WritePerS = float64(b.Records) / backlog.Seconds
	// The author goes on sorting what it wrote into its lists for a while.
	if _, err := pollUntil(ctx, ap, request{Do: "held", Feed: backlog.Feed}, func(a answer) bool { return a.Queued == 0 }); err != nil {
		return err
	}
	rounds := (b.Rounds + 1) / 2
	var per, busy, servers []float64
	for round := range rounds {
		if round > 0 { // the recipient as it was before; it has written nothing of its own
			if err := errors.Join(os.RemoveAll(sec.Dir), os.CopyFS(sec.Dir, os.DirFS(before)), private(sec.Dir)); err != nil {
				return err
			}
		}
		if secp, _, err = b.node(ctx, sec); err != nil {
			return err
		}
		authorCPU := cpuTime(ap)
		var a answer
		err := b.profiled(fmt.Sprintf("catchup-round%d", round), func() (err error) {
			a, err = secp.ask(request{Do: "await", Feed: backlog.Feed, Seq: backlog.Seq})
			return err
		}, secp, ap)
		if err != nil {
			return err
		}
		per = append(per, float64(b.Records)/a.Seconds)
		busy = append(busy, cpuTime(secp)/float64(b.Records)*1000)
		servers = append(servers, (cpuTime(ap)-authorCPU)/float64(b.Records)*1000)
		b.say("round %d of %d: caught up at %.0f/s", round+1, rounds, last(per))
		if round == rounds-1 {
			pause(ctx, b.Settle)
			r.AfterCatchupRSS, _ = resident(secp.cmd.Process.Pid)
		}
		if err := secp.stop(); err != nil {
			return err
		}
	}
	r.CatchupPerS, r.CatchupCPU, r.CatchupServerCPU = median(per), median(busy), median(servers)
	used, err := diskUse(filepath.Join(sec.Dir, "store"))
	if err != nil {
		return err
	}
	r.BytesPerRecord = float64(used-fresh) / float64(b.Records)
	if err := ap.stop(); err != nil {
		return err
	}
	if err := b.loaded(ctx, sec); err != nil {
		return err
	}
	return b.damaged(ctx, sec, author, backlog)
}

// loaded measures start and memory with the backlog on disk.
func (b *bench) loaded(ctx context.Context, sec Place) error {
	var starts []float64
	for i := range b.Rounds {
		p, took, err := b.node(ctx, sec)
		if err != nil {
			return err
		}
		starts = append(starts, took.Seconds())
		if i == 0 {
			pause(ctx, b.Settle)
			b.report.LoadedRSS, b.report.LoadedOwn = resident(p.cmd.Process.Pid)
		}
		if err := p.stop(); err != nil {
			return err
		}
	}
	b.report.StartLoaded = median(starts)
	return nil
}

// damaged flips a bit in the recipient's files, sees that it finds the damage,
// and that the author fills it again.
func (b *bench) damaged(ctx context.Context, sec, author Place, backlog answer) error {
	b.say("flipping a bit in the middle of the recipient's files")
	held := request{Do: "held", Feed: backlog.Feed}
	var secp *process
	var found answer
	for n := 0; ; n++ {
		more, err := flip(filepath.Join(sec.Dir, "store", "db"), n)
		if err != nil {
			return err
		}
		if secp, _, err = b.node(ctx, sec); err != nil {
			return err
		}
		found, err = pollUntil(ctx, secp, held, func(a answer) bool { return a.Lost > 0 || a.Whole })
		if err != nil {
			return fmt.Errorf("damage was not found: %w", err)
		}
		if found.Lost > 0 {
			break
		}
		// It struck an index, which a node mends by itself.
		if err := secp.stop(); err != nil {
			return err
		}
		if !more {
			return errors.New("damage was not found")
		}
	}
	ap, _, err := b.node(ctx, author)
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := pollUntil(ctx, secp, held, func(a answer) bool { return a.Lost == 0 }); err != nil {
		return fmt.Errorf("damage was not filled again: %w", err)
	}
	b.report.DamagedFound, b.report.RefillSeconds = found.Lost, time.Since(start).Seconds()
	whole, err := secp.ask(request{Do: "check", Feed: backlog.Feed, Seq: backlog.Seq})
	if err != nil {
		return err
	}
	if whole.Lost > 0 || uint64(whole.N) != backlog.Seq {
		return fmt.Errorf("%d of %d records are not whole after the refill", whole.Lost, backlog.Seq)
	}
	b.say("%d records were damaged, found and filled again; all %d verified", found.Lost, whole.N)
	return errors.Join(ap.stop(), secp.stop())
}

func pollUntil(ctx context.Context, p *process, r request, good func(answer) bool) (answer, error) {
	for end := time.Now().Add(2 * time.Minute); ; {
		a, err := p.ask(r)
		if err != nil || good(a) {
			return a, err
		}
		if time.Now().After(end) {
			return a, fmt.Errorf("not within two minutes (%d lacking)", a.Lost)
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// flip changes one bit in the middle of the largest of a database's tables, or
// of the n-th after it, and says whether there are more. Nearly all bytes are
// records, in order, so it strikes one in the middle of the backlog.
func flip(dir string, n int) (more bool, err error) {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || n >= len(tables) {
		return false, errors.Join(err, fmt.Errorf("no table to damage in %s", dir))
	}
	size := map[string]int64{}
	for _, path := range tables {
		fi, err := os.Stat(path)
		if err != nil {
			return false, err
		}
		size[path] = fi.Size()
	}
	slices.SortFunc(tables, func(a, b string) int { return int(size[b] - size[a]) })
	f, err := os.OpenFile(tables[n], os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	b := make([]byte, 1)
	if _, err = f.ReadAt(b, size[tables[n]]/2); err == nil {
		b[0] ^= 0x10
		_, err = f.WriteAt(b, size[tables[n]]/2)
	}
	return n+1 < min(len(tables), 8), errors.Join(err, f.Close())
}

// private takes from a copied folder what others could read.
func private(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(path, 0o700)
		case d.Type().IsRegular():
			return os.Chmod(path, 0o600)
		}
		return nil
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
