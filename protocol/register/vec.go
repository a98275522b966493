package register

import (
	"sort"
	"sync/atomic"
)

// vec is a list that only grows, in constant time, while every older value of
// it stays valid and may be read at the same time. Values that grew from one
// another share a block; the first to grow claims the next slot, and a second
// branch from the same value copies. The zero vec is empty.
type vec[T any] struct {
	b *block[T]
	n int
}

type block[T any] struct {
	used atomic.Int64
	v    []T
}

func (x vec[T]) len() int { return x.n }

func (x vec[T]) get(i int) T { return x.b.v[:x.n][i] }

func (x vec[T]) all() []T {
	if x.n == 0 {
		return nil
	}
	return x.b.v[:x.n:x.n]
}

// with returns x with one more element.
func (x vec[T]) with(v T) vec[T] {
	n := x.n
	if x.b != nil && n < len(x.b.v) && x.b.used.CompareAndSwap(int64(n), int64(n+1)) {
		x.b.v[n] = v
		return vec[T]{x.b, n + 1}
	}
	b := &block[T]{v: make([]T, max(1, 2*n))}
	copy(b.v, x.all())
	b.v[n] = v
	b.used.Store(int64(n + 1))
	return vec[T]{b, n + 1}
}

// replace returns a copy of x with element i replaced.
func (x vec[T]) replace(i int, v T) vec[T] {
	b := &block[T]{v: make([]T, x.n)}
	copy(b.v, x.all())
	b.v[i] = v
	b.used.Store(int64(x.n))
	return vec[T]{b, x.n}
}

// dated is a value that holds from a size of the register on.
type dated[T any] struct {
	from uint64
	v    T
}

// hist is what a value was at every size.
type hist[T any] struct{ vec[dated[T]] }

// set returns the history with v from size from on.
func (h hist[T]) set(from uint64, v T) hist[T] { return hist[T]{h.with(dated[T]{from, v})} }

// index returns which entry holds at size, -1 before the first.
func (h hist[T]) index(size uint64) int {
	if h.n > 0 && h.get(h.n-1).from <= size {
		return h.n - 1
	}
	return sort.Search(h.n, func(i int) bool { return h.get(i).from > size }) - 1
}

// at returns the value at size, the zero value before the first.
func (h hist[T]) at(size uint64) (v T) {
	if i := h.index(size); i >= 0 {
		return h.get(i).v
	}
	return v
}

// count is how many of a growing list of sizes are at most size.
func count(sizes vec[uint64], size uint64) uint64 {
	if n := sizes.len(); n == 0 || sizes.get(n-1) <= size {
		return uint64(n)
	}
	return uint64(sort.Search(sizes.len(), func(i int) bool { return sizes.get(i) > size }))
}
