package demo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Canaries are the texts of the input: what must not be found readable where
// nodes keep their files.

// canaries collects every text of at least 16 characters with a space in it
// from the JSON and XML files of a folder, sorted.
func canaries(dir string) (out []string, err error) {
	add := func(s string) {
		if s = strings.TrimSpace(s); utf8.RuneCountInString(s) >= 16 && strings.Contains(s, " ") {
			out = append(out, s)
		}
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch filepath.Ext(path) {
		case ".json":
			var v any
			if err := json.Unmarshal(b, &v); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			texts(v, add)
		case ".xml":
			for dec := xml.NewDecoder(bytes.NewReader(b)); ; {
				t, err := dec.Token()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				if c, ok := t.(xml.CharData); ok {
					add(string(c))
				}
			}
		}
		return nil
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

func texts(v any, add func(string)) {
	switch v := v.(type) {
	case string:
		add(v)
	case []any:
		for _, x := range v {
			texts(x, add)
		}
	case map[string]any:
		for _, x := range v {
			texts(x, add)
		}
	}
}

// forms are the bytes by which a text may lie readable in a file.
func forms(s string) [][]byte {
	u := utf16.Encode([]rune(s))
	little, big := make([]byte, 0, 2*len(u)), make([]byte, 0, 2*len(u))
	for _, c := range u {
		little, big = binary.LittleEndian.AppendUint16(little, c), binary.BigEndian.AppendUint16(big, c)
	}
	return [][]byte{[]byte(s), little, big}
}

// finding is a canary in a file.
type finding struct{ path, text string }

func (f finding) String() string { return f.path + ": " + f.text[:min(len(f.text), 24)] }

// search looks for canaries in every file of some folders.
func search(words []string, dirs ...string) (files int, found []finding, err error) {
	var all [][][]byte
	for _, w := range words {
		all = append(all, forms(w))
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			b = squeeze(b)
			for i, w := range words {
				if slices.ContainsFunc(all[i], func(form []byte) bool { return bytes.Contains(b, form) }) {
					found = append(found, finding{path, w})
				}
			}
			return nil
		})
		if err != nil {
			return files, found, err
		}
	}
	return files, found, nil
}

// squeeze makes blocks of zeros short: files that a database made larger than
// what it holds are mostly those. A few stay, since a text in UTF-16 may begin
// or end with one.
func squeeze(b []byte) []byte {
	const block = 4096
	zero := make([]byte, block)
	var out []byte
	for len(b) > 0 {
		n := min(block, len(b))
		if bytes.Equal(b[:n], zero[:n]) {
			out = append(out, zero[:min(n, 4)]...)
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}

// unreadable expects that no text of the input lies readable in any file of
// any node, nor in the logs.
func (d *demo) unreadable() error {
	words, err := canaries(d.input)
	if err != nil {
		return fmt.Errorf("look for texts: %w", err)
	}
	_, control, err := search(words, d.input)
	if err != nil {
		return fmt.Errorf("look for texts: %w", err)
	}
	seen := map[string]bool{}
	for _, f := range control {
		seen[f.text] = true
	}
	dirs := []string{d.path("logs")}
	for _, n := range d.nodes {
		dirs = append(dirs, n.dir)
	}
	files, found, err := search(words, dirs...)
	if err != nil {
		return fmt.Errorf("look for texts: %w", err)
	}
	d.t.expect(len(found) == 0 && len(seen) == len(words) && len(words) >= 5, found, "none of %d texts of the input lies readable in any of %d files of the nodes and their logs", len(words), files)
	return nil
}
