package alert

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// splitList reads the items of addresses and incidents: parted by white
// space, those with white space between double quotes.
func splitList(s string) (items []string, err error) {
	for rest := strings.TrimLeft(s, blanks); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		var item string
		if rest[0] == '"' {
			end := strings.IndexByte(rest[1:], '"') + 1
			if end == 0 {
				return nil, errors.New("a quoted item does not end")
			}
			item, rest = rest[1:end], rest[end+1:]
			if rest != "" && !strings.ContainsRune(blanks, rune(rest[0])) {
				return nil, errors.New("something follows a quoted item without a space")
			}
		} else {
			end := strings.IndexAny(rest, blanks)
			if end < 0 {
				end = len(rest)
			}
			item, rest = rest[:end], rest[end:]
		}
		if err := checkItem(item); err != nil {
			return nil, err
		}
		if items = append(items, item); len(items) > MaxList {
			return nil, errors.New("the list has more than 4096 items")
		}
	}
	return items, nil
}

func checkItem(item string) error {
	switch {
	case blank(item):
		return errors.New("an item is empty")
	case strings.Contains(item, `"`):
		return fmt.Errorf("item %q has a quotation mark inside", clip(item))
	}
	return nil
}

func joinList(items []string) string {
	quoted := make([]string, len(items))
	for n, item := range items {
		if strings.ContainsAny(item, blanks) {
			item = `"` + item + `"`
		}
		quoted[n] = item
	}
	return strings.Join(quoted, " ")
}

// checkIdentifier holds CAP's rule for identifier and sender.
func checkIdentifier(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case strings.ContainsFunc(s, unicode.IsSpace) || strings.ContainsAny(s, ",<&"):
		return fmt.Errorf("%q has a space, a comma, '<' or '&'", clip(s))
	}
	return nil
}

// checkLanguage holds the form of xs:language, which is that of RFC 3066.
func checkLanguage(s string) error {
	for n, sub := range strings.Split(s, "-") {
		bad := func(c rune) bool {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			return !letter && (n == 0 || c < '0' || c > '9')
		}
		if sub == "" || len(sub) > 8 || strings.ContainsFunc(sub, bad) {
			return fmt.Errorf("%q is not a language tag such as en-IN", clip(s))
		}
	}
	return nil
}

// absolute says whether a URI begins with a scheme (RFC 3986 §3.1).
func absolute(uri string) bool {
	scheme, rest, ok := strings.Cut(uri, ":")
	return ok && rest != "" && scheme != "" && !strings.ContainsFunc(scheme, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("+-.", c))
	}) && (scheme[0] < '0' || scheme[0] > '9')
}

// decimal reads xs:decimal: digits with at most one point, a sign allowed.
func decimal(s string) (float64, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || strings.Trim(digits, "0123456789.") != "" || !strings.ContainsAny(digits, "0123456789") {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && !math.IsInf(v, 0)
}

type point struct{ lat, lon float64 }

func parsePoint(s string) (p point, err error) {
	lat, lon, ok := strings.Cut(s, ",")
	var okLat, okLon bool
	p.lat, okLat = decimal(lat)
	p.lon, okLon = decimal(lon)
	if !ok || !okLat || !okLon {
		return p, fmt.Errorf("%q is not a pair of latitude,longitude in decimal degrees", clip(s))
	}
	if math.Abs(p.lat) > 90 || math.Abs(p.lon) > 180 {
		return p, fmt.Errorf("%q lies outside latitude -90 to 90, longitude -180 to 180", clip(s))
	}
	return p, nil
}

func checkPolygon(s string) error {
	pairs := strings.Split(s, " ")
	if len(pairs) < 4 {
		return errors.New("a polygon has four pairs of coordinates at least")
	}
	var first, last point
	for n, pair := range pairs {
		p, err := parsePoint(pair)
		if err != nil {
			return err
		}
		if last = p; n == 0 {
			first = p
		}
	}
	if first != last {
		return errors.New("the first and the last pair of a polygon are not the same")
	}
	return nil
}

func checkCircle(s string) error {
	centre, radius, ok := strings.Cut(s, " ")
	if !ok {
		return fmt.Errorf("circle %q is not a pair, a space and a radius in kilometres", clip(s))
	}
	if _, err := parsePoint(centre); err != nil {
		return err
	}
	if r, ok := decimal(radius); !ok || r < 0 {
		return fmt.Errorf("radius %q is not a number of kilometres", clip(radius))
	}
	return nil
}
