package merkle

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/parley-bft/parley/crypto"
)

// position stands for an entry: the first sixteen digits of its key and where it is.
type position struct {
	prefix uint64
	index  int32
}

// sorted is entries in ascending order of their keys.
type sorted struct {
	order   []position
	entries []Entry
}

func (s *sorted) len() int                 { return len(s.order) }
func (s *sorted) entry(i int) *Entry       { return &s.entries[s.order[i].index] }
func (s *sorted) key(i int) *crypto.Digest { return &s.entry(i).Key }
func (s *sorted) slice(i, j int) sorted    { return sorted{s.order[i:j], s.entries} }

// digit is digit number at of the i-th key.
func (s *sorted) digit(i, at int) int {
	if at < 16 {
		return int(s.order[i].prefix>>(60-4*at)) & (ways - 1)
	}
	return digit(s.key(i), at)
}

// sorter has the memory for sorting.
type sorter struct{ order, other []position }

// maxScratch bounds the memory that is kept for the next time.
const maxScratch = 1 << 16

// radixFrom is the number of entries from which on counting beats comparing.
const radixFrom = 64

// sort leaves the entries where they are. What it returns is valid until it is called
// again.
func (s *sorter) sort(entries []Entry) sorted {
	if cap(s.order) > maxScratch {
		*s = sorter{}
	}
	s.order = slices.Grow(s.order[:0], len(entries))[:len(entries)]
	for i := range entries {
		s.order[i] = position{entries[i].Key.Uint64(), int32(i)}
	}
	compare := func(a, b position) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(entries[a.index].Key[:], entries[b.index].Key[:])
	}
	if len(entries) < radixFrom {
		slices.SortFunc(s.order, compare)
		return sorted{s.order, entries}
	}
	// Two rounds, by the second byte and by the first; then what agrees in both.
	s.other = slices.Grow(s.other[:0], len(entries))[:len(entries)]
	distribute(s.other, s.order, 48)
	distribute(s.order, s.other, 56)
	for from := 0; from < len(s.order); {
		to := from + 1
		for to < len(s.order) && s.order[to].prefix>>48 == s.order[from].prefix>>48 {
			to++
		}
		if to-from > 1 {
			slices.SortFunc(s.order[from:to], compare)
		}
		from = to
	}
	return sorted{s.order, entries}
}

// distribute copies from to to in the order of the byte at shift, stably.
func distribute(to, from []position, shift int) {
	var next [256]int32
	for i := range from {
		next[byte(from[i].prefix>>shift)]++
	}
	at := int32(0)
	for i, n := range next {
		next[i] = at
		at += n
	}
	for i := range from {
		b := byte(from[i].prefix >> shift)
		to[next[b]] = from[i]
		next[b]++
	}
}
