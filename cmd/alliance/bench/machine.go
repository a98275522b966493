package bench

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/national-alliance/alliance/crypto/seal"
)

// Limits are what this machine does at best, one thing at a time, measured in
// the same run: medians, in milliseconds unless a unit is named. Empty or zero
// where the system does not say.
type Limits struct {
	Cores       int     `json:"cores"`
	MemoryMB    float64 `json:"memory_mb"`
	CPU         string  `json:"cpu"`
	Kernel      string  `json:"kernel"`
	System      string  `json:"system"`
	Go          string  `json:"go"`
	FileSystem  string  `json:"file_system"`
	Load        float64 `json:"load_before"` // runnable tasks over the last minute, before the run
	Sync1K      float64 `json:"append_fdatasync_1k_ms"`
	Sync4K      float64 `json:"append_fdatasync_4k_ms"`
	Sync256K    float64 `json:"append_fdatasync_256k_ms"`
	Sign        float64 `json:"sign_ms"`
	Verify      float64 `json:"verify_ms"`
	Seal1K      float64 `json:"seal_1k_ms"`
	SHA256      float64 `json:"sha256_gb_per_s"`
	RoundTrip   float64 `json:"tls_round_trip_ms"`
	GoMaxProcs  int     `json:"gomaxprocs"`
	StrippedBin bool    `json:"stripped"`
}

func measureLimits(dir string, n int) (l Limits, err error) {
	l = Limits{Cores: runtime.NumCPU(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, GoMaxProcs: runtime.GOMAXPROCS(0),
		Kernel: firstLine("/proc/sys/kernel/osrelease"), CPU: field("/proc/cpuinfo", "model name"), FileSystem: fileSystem(dir)}
	kb, _ := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64)
	l.MemoryMB = kb / 1024
	l.Load, _ = strconv.ParseFloat(strings.SplitN(firstLine("/proc/loadavg"), " ", 2)[0], 64)

	set := func(to *float64, n int, f func() error) {
		v, e := timed(n, f)
		*to = v
		err = errors.Join(err, e)
	}
	path := filepath.Join(dir, "limits.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return l, fmt.Errorf("measure limits: %w", err)
	}
	defer os.Remove(path)
	defer f.Close()
	for _, s := range []struct {
		to   *float64
		size int
	}{{&l.Sync1K, 1 << 10}, {&l.Sync4K, 4 << 10}, {&l.Sync256K, 256 << 10}} {
		b := make([]byte, s.size)
		rand.Read(b)
		set(s.to, n, func() error {
			if _, err := f.Write(b); err != nil {
				return err
			}
			return datasync(f)
		})
	}
	_, key, e := ed25519.GenerateKey(rand.Reader)
	if e != nil {
		return l, e
	}
	msg := make([]byte, baseCore)
	sig := baseSign(key, labelRecord, msg)
	set(&l.Sign, n, func() error { baseSign(key, labelRecord, msg); return nil })
	set(&l.Verify, n, func() error { return baseVerify(public(key), labelRecord, msg, sig) })
	var feed seal.FeedKey
	rand.Read(feed[:])
	plain := make([]byte, seal.PaddedLen(bodySize))
	set(&l.Seal1K, n, func() error {
		at := seal.Place{Seq: 1}
		rand.Read(at.Nonce[:])
		_, err := seal.SealSection(feed, at, plain)
		return err
	})
	block := make([]byte, 1<<20)
	var per float64
	set(&per, n, func() error { sha256.Sum256(block); return nil })
	l.SHA256 = 1 / per * 1000 * float64(len(block)) / 1e9
	rtt, e := roundTrip(n)
	l.RoundTrip = rtt
	return l, errors.Join(err, e)
}

// roundTrip is one byte there and back over TLS 1.3 on loopback.
func roundTrip(n int) (float64, error) {
	addr, stop, err := serveTLS(func(c net.Conn) error {
		_, err := io.Copy(c, c)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer stop()
	c, err := dialTLS(addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := make([]byte, 1)
	return timed(n, func() error {
		if _, err := c.Write(b); err != nil {
			return err
		}
		_, err := io.ReadFull(c, b)
		return err
	})
}

// binarySize is the size of the running program and whether it is stripped.
func binarySize(path string) (mb float64, stripped bool, err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, false, err
	}
	if f, err := elf.Open(path); err == nil {
		stripped = f.Section(".symtab") == nil && f.Section(".debug_info") == nil && f.Section(".zdebug_info") == nil
		f.Close()
	}
	return float64(fi.Size()) / (1 << 20), stripped, nil
}

// resident is a process's memory, in MB: all of it, and what is its own alone
// (the rest are mapped files, which the system takes back when it needs room).
func resident(pid int) (all, own float64) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	mb := func(name string) float64 {
		v, _ := strconv.ParseFloat(strings.TrimSuffix(field(path, name), " kB"), 64)
		return v / 1024
	}
	return mb("VmRSS"), mb("RssAnon")
}

// cpuTime is how much processor time processes have used, in milliseconds; to
// the hundredth of a second, which is what the system counts in.
func cpuTime(ps ...*process) (total float64) {
	for _, p := range ps {
		line := firstLine(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		f := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
		if len(f) < 13 {
			continue
		}
		user, _ := strconv.ParseFloat(f[11], 64)
		system, _ := strconv.ParseFloat(f[12], 64)
		total += 10 * (user + system)
	}
	return total
}

// diskUse is how many bytes of disk a folder takes.
func diskUse(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			n += allocated(fi)
		}
		return err
	})
	return n, err
}

func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// field is the value of a line "name : value".
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// fileSystem names the kind of file system that holds a folder.
func fileSystem(dir string) (kind string) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return ""
	}
	defer f.Close()
	longest := -1
	for s := bufio.NewScanner(f); s.Scan(); {
		p := strings.Fields(s.Text())
		if len(p) < 3 || len(p[1]) <= longest {
			continue
		}
		if p[1] == "/" || dir == p[1] || strings.HasPrefix(dir, p[1]+"/") {
			longest, kind = len(p[1]), p[2]
		}
	}
	return kind
}
