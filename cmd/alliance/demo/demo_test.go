package demo

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/referral"
)

// The input is what the program takes, says that it is invented, and names no
// organisation in a way that the search for texts would take for one.
func TestInput(t *testing.T) {
	p, err := readPlan(filepath.Join(inputDir, "network.json"))
	if err != nil {
		t.Fatal(err)
	}
	words, err := canaries(inputDir)
	if err != nil || len(words) < 20 {
		t.Fatalf("%d texts, %v", len(words), err)
	}
	names := []string{p.Title, p.Secretariat, p.Members.North.Name, p.Members.South.Name, p.Members.Police.Name, p.Members.Ministry.Name}
	for _, n := range names {
		if n == "" || slices.Contains(words, n) {
			t.Errorf("the name %q is missing, or long enough to be taken for a text of a case", n)
		}
	}
	list, err := os.ReadDir(inputDir)
	if err != nil {
		t.Fatal(err)
	}
	drafts := 0
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(inputDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.ToLower(string(b)), "invented") {
			t.Errorf("%s does not say that it is invented", e.Name())
		}
		if strings.HasPrefix(e.Name(), "referral") {
			drafts++
			if _, err := referral.ParseDraft(b); err != nil {
				t.Errorf("%s: %v", e.Name(), err)
			}
		}
	}
	if drafts != 3 {
		t.Errorf("%d referrals", drafts)
	}
}

func TestDatedAlert(t *testing.T) {
	now := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	d := &demo{input: inputDir, dir: t.TempDir()}
	if err := d.folders(); err != nil {
		t.Fatal(err)
	}
	path, err := d.datedAlert("alert.xml", now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := alert.ParseCAP(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Profile(); err != nil {
		t.Error(err)
	}
	if a.Sent.Unix() != now.Unix() || a.Status != alert.StatusExercise {
		t.Errorf("sent %d, status %s", a.Sent.Unix(), a.Status)
	}
}

// A text is found wherever it lies in a file, in each of its forms, also where
// blocks of zeros stand around it.
func TestSearch(t *testing.T) {
	const word = "An invented text, with a word in हिन्दी."
	for i, form := range forms(word) {
		for _, at := range []int{0, 1, 4095, 4096, 8192 - len(form)/2, 20000} {
			b := make([]byte, 40000)
			copy(b[at:], form)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			files, found, err := search([]string{"Another invented text", word}, dir)
			if err != nil || files != 1 || len(found) != 1 || found[0].text != word {
				t.Errorf("form %d at %d: %d files, %v, %v", i, at, files, found, err)
			}
		}
	}
	if n := len(squeeze(make([]byte, 1<<20))); n > 1<<10 {
		t.Errorf("%d bytes are left of a megabyte of zeros", n)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	teller := &teller{w: &out}
	teller.table([]string{"what", "A"}, [][]string{{"a case", "reads"}, {"b", "-"}})
	const want = `   what    A
   ------  -----
   a case  reads
   b       -
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

// The relay tells when a second request was passed on, and counts
// good answers.
func TestRelay(t *testing.T) {
	dir, err := os.MkdirTemp("", "al")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	to := filepath.Join(dir, "to")
	l, err := net.Listen("unix", to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 4)
		for _, says := range []string{"200", "503"} { // and never answers the third
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 %s %s", says, b)
		}
	}()
	r, err := newRelay(filepath.Join(dir, "relay"), to)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	c, err := net.Dial("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, len("HTTP/1.1 200 ask0"))
	for i := range 2 {
		if i == 1 {
			select {
			case <-r.second:
				t.Fatal("a second request was told of before there was one")
			default:
			}
		}
		fmt.Fprintf(c, "ask%d", i)
		if _, err := io.ReadFull(c, b); err != nil || !strings.HasSuffix(string(b), fmt.Sprintf("ask%d", i)) {
			t.Fatalf("%q, %v", b, err)
		}
	}
	fmt.Fprint(c, "ask2")
	<-r.second
	if n := r.answers(); n != 1 {
		t.Errorf("%d good answers, not 1", n)
	}
}
