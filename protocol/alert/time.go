package alert

import (
	"fmt"
	"time"
)

// DateTime is a time as CAP writes it (§3.3.2), "2026-11-23T15:04:05+05:30":
// seconds without fraction and a numeric offset, never Z, kept as its author
// wrote it. The empty DateTime means that none is given.
type DateTime string

const dateTimeLayout = "2006-01-02T15:04:05-07:00"

// ParseDateTime reads a CAP time and refuses every other form.
func ParseDateTime(s string) (DateTime, error) {
	if len(s) == len(dateTimeLayout) && s[len(s)-2] <= '5' { // time.Parse lets an offset of 60 minutes pass
		t, err := time.Parse(dateTimeLayout, s)
		if _, off := t.Zone(); err == nil && off >= -14*3600 && off <= 14*3600 && s[:4] != "0000" {
			return DateTime(s), nil
		}
	}
	return "", fmt.Errorf("time %q is not of the form 2026-11-23T15:04:05+05:30 (numeric offset, never Z, no fraction)", clip(s))
}

// DateTimeOf returns the CAP form of a Unix time at an offset from UTC in
// minutes, 330 in India. UTC itself is written -00:00, as CAP asks. The time
// must lie in the years 1 to 9999, the offset within 14 hours.
func DateTimeOf(unix int64, offset int) (DateTime, error) {
	s := time.Unix(unix, 0).In(time.FixedZone("", offset*60)).Format(dateTimeLayout)
	if offset == 0 {
		s = s[:len(s)-6] + "-00:00"
	}
	return ParseDateTime(s)
}

// Unix returns the seconds since 1970, and 0 for an empty or invalid time.
func (d DateTime) Unix() int64 {
	t, err := time.Parse(dateTimeLayout, string(d))
	if err != nil {
		return 0
	}
	return t.Unix()
}

func (d DateTime) valid() bool {
	_, err := ParseDateTime(string(d))
	return err == nil
}
