package store

import "strings"

// MetaNames lists the names of values that begin with a prefix, sorted.
func (s *Store) MetaNames(prefix string) []string {
	var out []string
	for _, k := range s.names([]byte{rowMeta}) {
		if name := k[1:]; strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out
}
