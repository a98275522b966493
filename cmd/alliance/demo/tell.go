package demo

import (
	"fmt"
	"io"
	"strings"
)

// teller prints the run, and counts its expectations.
type teller struct {
	w            io.Writer
	chapters     int
	held, failed int
}

func (t *teller) chapter(format string, a ...any) {
	t.chapters++
	fmt.Fprintf(t.w, "\n%d. %s\n", t.chapters, fmt.Sprintf(format, a...))
}

func (t *teller) say(format string, a ...any) { fmt.Fprintf(t.w, "   "+format+"\n", a...) }

func (t *teller) note(format string, a ...any) { fmt.Fprintf(t.w, "\n"+format+"\n", a...) }

// expect prints an expectation and whether it held; what there was instead is
// told where it did not.
func (t *teller) expect(ok bool, instead any, format string, a ...any) {
	if ok {
		t.held++
		t.say("  ok    "+format, a...)
		return
	}
	t.failed++
	t.say("  FAILED  "+format, a...)
	t.say("          instead: %v", instead)
}

// table prints rows under heads, the first column to the left.
func (t *teller) table(heads []string, rows [][]string) {
	width := make([]int, len(heads))
	for _, row := range append([][]string{heads}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	line := func(row []string) {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell + strings.Repeat(" ", width[i]-len([]rune(cell))+2))
		}
		t.say("%s", strings.TrimRight(b.String(), " "))
	}
	line(heads)
	for i := range width {
		width[i] = max(width[i], 1)
	}
	rule := make([]string, len(heads))
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
}
