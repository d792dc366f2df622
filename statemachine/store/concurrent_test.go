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
	enough := make(chan struct{}) // states were read, and proved of
	tell := sync.OnceFunc(func() { close(enough) })
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
				if read > 0 && proved > 0 {
					tell()
				}
				mu.Unlock()
			}
		}()
	}
	for h := uint64(2); h < 120; h++ {
		write(h)
		if h == 60 { // however little the readers were let run until then
			select {
			case <-enough:
			case err := <-faults:
				faults <- err
			}
		}
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

// A scrub and a comparison beside blocks that are committed, flushed and pruned.
func TestLookingForDamageBesideBlocks(t *testing.T) {
	c := onDisk(3, vfs.NewMem())
	c.FlushBytes = 8 << 10
	s := open(t, c)
	peer := open(t, memory(100))
	write := func(h uint64) {
		for _, s := range []*Store{peer, s} {
			for i := range 30 {
				s.Block().Set(fmt.Append(nil, "key ", (h*7+uint64(i))%200), fmt.Append(nil, h))
			}
			require.NoError(t, s.Commit(h))
			_, err := s.Digest()
			require.NoError(t, err)
		}
	}
	write(1)
	done := make(chan struct{})
	faults := make(chan error, 2)
	var wg sync.WaitGroup
	var looked []chan struct{} // closed when one has looked
	notYet := errors.New("there is nothing to compare with yet")
	look := func(f func() error) {
		first := make(chan struct{})
		tell := sync.OnceFunc(func() { close(first) })
		looked = append(looked, first)
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				err := f()
				if errors.Is(err, ErrPruned) || errors.Is(err, ErrNoProof) || errors.Is(err, notYet) {
					continue
				}
				if err != nil {
					faults <- err
					return
				}
				tell()
			}
		})
	}
	look(func() error {
		r, err := s.Scrub(t.Context(), 10)
		if err == nil && (len(r.Damages) > 0 || r.More || r.Values < 30) {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
	look(func() error {
		_, last := s.Heights()
		v, err := peer.At(last)
		if err != nil {
			return err
		}
		d, err := v.Digest()
		if err != nil {
			return notYet
		}
		ds, _, _, err := s.Compare(t.Context(), Sync{Height: last, Digest: d, Peers: []Peer{honest(peer)}, Scrub: true}, 10)
		if err == nil && len(ds) > 0 {
			err = fmt.Errorf("%+v", ds)
		}
		return err
	})
	for h := uint64(2); h < 150; h++ {
		write(h)
		if h != 75 {
			continue
		}
		for _, first := range looked { // however little they were let run until now
			select {
			case <-first:
			case err := <-faults:
				faults <- err
			}
		}
	}
	close(done)
	wg.Wait()
	select {
	case err := <-faults:
		t.Fatal(err)
	default:
	}
	require.NoError(t, s.Close())
}

// hooked calls a function when a batch is in the database and its writer does not know yet.
type hooked struct {
	inMemory
	written func()
}

func (d *hooked) current() (database, error) {
	db, err := d.inMemory.current()
	return hookedDB{db, d}, err
}

type hookedDB struct {
	database
	d *hooked
}

func (h hookedDB) newBatch() batch { return hookedBatch{h.database.newBatch(), h.d} }

type hookedBatch struct {
	batch
	d *hooked
}

func (b hookedBatch) write(sync bool) error {
	err := b.batch.write(sync)
	b.d.written()
	return err
}

// A view of what was the last height, read at the moment at which a flush has replaced
// the last values and the store has not noted it:
//
//  1. The view of height 1 is made; nothing younger is in the database.
//  2. Height 2 is committed and flushed: its values are in the database.
//  3. The view is read. It must not believe that the database is still what it was.
func TestViewDuringAFlush(t *testing.T) {
	d := &hooked{written: func() {}}
	c := memory(3)
	c.disks = func(Config, func(error)) (disks, error) { return d, nil }
	s := storeOf(t, c, 1, model{"changed": "1", "deleted": "1", "stays": "1"})
	require.NoError(t, s.Flush())
	v, err := s.Last()
	require.NoError(t, err)
	s.Block().Set([]byte("changed"), []byte("2"))
	s.Block().Set([]byte("new"), []byte("2"))
	s.Block().Delete([]byte("deleted"))
	require.NoError(t, s.Commit(2))
	looked := false
	d.written = func() {
		looked = true
		require.Equal(t, []string{"changed=1", "deleted=1", "stays=1"}, entries(v.Range(nil, nil)))
		for _, k := range []string{"changed", "deleted", "stays"} {
			got, ok := v.Get([]byte(k))
			require.True(t, ok, k)
			require.Equal(t, "1", string(got))
		}
		_, ok := v.Get([]byte("new"))
		require.False(t, ok)
	}
	require.NoError(t, s.Flush())
	require.True(t, looked)
}

// Whoever reads while a state is repaired gets what was there, or what is there then, or
// an error.
func TestReadsDuringARepair(t *testing.T) {
	there := numbered(600, "v")
	a := storeOf(t, memory(3), 9, there)
	for _, node := range []bool{false, true} {
		b := storeOf(t, memory(3), 4, there)
		require.NoError(t, b.Flush())
		poke(t, b, lastKey("key 7"), gone)
		if node {
			all := liveNodes(t, b)
			id := all[len(all)-1].id()
			poke(t, b, id.key(), gone)
		}
		done := make(chan struct{})
		ready := make(chan struct{}, 1)
		wrong := make(chan string, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if v, err := b.Last(); err == nil {
					_ = Catch(func() {
						if got, ok := v.Get([]byte("key 8")); !ok || string(got) != "v" {
							wrong <- fmt.Sprintf("%t %q", ok, got)
						}
					})
				}
				if n == 3 {
					ready <- struct{}{}
				}
			}
		})
		<-ready
		_, err := b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
		require.NoError(t, err)
		close(done)
		wg.Wait()
		require.Empty(t, wrong)
		require.Equal(t, content(t, a), content(t, b))
	}
}
