package store

import "slices"

// MetaNames lists the names of values that begin with a prefix, sorted.
func (s *Store) MetaNames(prefix string) []string {
	var out []string
	for _, k := range s.names(keyName(rowMeta, prefix)) {
		out = append(out, k[1:])
	}
	slices.Sort(out)
	return out
}
