package store

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// trim lets go of the pages of badger's tables that this process has mapped
// and no longer needs. They belong to the page cache, but count as the
// process's memory, and reading everything once (VerifyAll) would keep all of
// it mapped. MADV_PAGEOUT changes no content, so that a mapping that goes away
// meanwhile does no harm. It does nothing while little is mapped.
func trim(dir string) {
	const enough = 24 << 20
	db, err := filepath.Abs(filepath.Join(dir, "db"))
	if err != nil {
		return
	}
	if db, err = filepath.EvalSymlinks(db); err != nil {
		return
	}
	if mapped() < enough {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		i := strings.Index(line, db+"/")
		if i < 0 || !strings.HasSuffix(line, ".sst") {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil || to <= from {
			continue
		}
		syscall.Syscall(syscall.SYS_MADVISE, from, to-from, unix.MADV_PAGEOUT)
	}
}

// mapped is how many bytes of files this process has in memory.
func mapped() (n int) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		var kb int
		if _, err := fmt.Sscanf(line, "RssFile: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}
