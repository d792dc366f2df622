package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/stretchr/testify/require"
)

// Readers of many heights, while blocks are committed, flushed and pruned, see whole
// states: each block adds one to every one of some counters. Proofs of what they see hold.
func TestConcurrentReads(t *testing.T) {
	c := onDisk(5, vfs.NewMem())
	c.FlushBytes = 8 << 10
	s := open(t, c)
	const counters = 40
	write := func(h uint64) {
		for i := range counters {
			s.Block().Set(fmt.Append(nil, "counter", i), binary.BigEndian.AppendUint64(nil, h))
		}
		k := fmt.Append(nil, "only ", h%3)
		if _, there := s.Block().Get(k); there {
			s.Block().Delete(k)
		} else {
			s.Block().Set(k, nil)
		}
		require.NoError(t, s.Commit(h))
		if h%2 == 0 {
			_, err := s.Digest()
			require.NoError(t, err)
		}
	}
	write(1)
	done := make(chan struct{})
	var wg sync.WaitGroup
	faults := make(chan error, 100)
	pruned, read, proved := 0, 0, 0
	var mu sync.Mutex
	for reader := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := uint64(0); ; n++ {
				select {
				case <-done:
					return
				default:
				}
				oldest, last := s.Heights()
				v, err := s.At(oldest + n%(last-oldest+1))
				if errors.Is(err, ErrPruned) {
					continue
				}
				if err == nil {
					err = Catch(func() {
						seen := 0
						seq := v.Range
						if n%2 == 0 {
							seq = v.Backward
						}
						for k, val := range seq([]byte("counter"), []byte("d")) {
							if seen++; binary.BigEndian.Uint64(val) != v.Height() {
								panic(&Failure{Op: "test", Err: fmt.Errorf("%s is %d at height %d", k, binary.BigEndian.Uint64(val), v.Height())})
							}
						}
						if seen != counters {
							panic(&Failure{Op: "test", Err: fmt.Errorf("%d counters", seen)})
						}
						if val, ok := v.Get(fmt.Append(nil, "counter", reader)); !ok || binary.BigEndian.Uint64(val) != v.Height() {
							panic(&Failure{Op: "test", Err: fmt.Errorf("a counter is %x at height %d", val, v.Height())})
						}
						for i := range uint64(3) { // there after an odd number of blocks of its own
							_, ok := v.Get(fmt.Append(nil, "only ", i))
							blocks := (v.Height() + 3 - i) / 3
							if i == 0 {
								blocks = v.Height() / 3
							}
							if ok != (blocks%2 == 1) {
								panic(&Failure{Op: "test", Err: fmt.Errorf("key %d is there: %t, at height %d", i, ok, v.Height())})
							}
						}
					})
				}
				d, derr := v.Digest()
				if err == nil && derr == nil {
					key := fmt.Append(nil, "counter", n%counters)
					p, perr := v.Prove(key)
					if perr == nil {
						perr = p.Verify(d, key)
					}
					if !errors.Is(perr, ErrPruned) && perr != nil {
						err = perr
					}
					mu.Lock()
					proved++
					mu.Unlock()
				}
				mu.Lock()
				if errors.Is(err, ErrPruned) {
					pruned++
				} else if err != nil {
					faults <- err
					mu.Unlock()
					return
				} else {
					read++
				}
				mu.Unlock()
			}
		}()
	}
	for h := uint64(2); h < 120; h++ {
		write(h)
	}
	close(done)
	wg.Wait()
	require.NoError(t, s.Close())
	select {
	case err := <-faults:
		t.Fatal(err)
	default:
	}
	t.Logf("%d states were read, %d were proved of, %d were pruned meanwhile", read, proved, pruned)
	require.Positive(t, read)
	require.Positive(t, proved)
}
