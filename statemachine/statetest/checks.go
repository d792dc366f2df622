package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

func checkCount(h *history) error {
	m := h.New()
	for _, b := range h.blocks {
		if got := len(m.Apply(copyOf(b))); got != len(b.Ops) {
			return fmt.Errorf("block %d: %d results for %d operations", b.Height, got, len(b.Ops))
		}
	}
	return nil
}

// repeats is how often a history is run again: enough for the order of a map of a
// few keys to show.
const repeats = 5

func checkDeterminism(h *history) error {
	first := h.New()
	want := apply(first, h.blocks)
	for i := range repeats {
		again := h.New()
		if err := differ(want, apply(again, h.blocks)); err != nil {
			return fmt.Errorf("run %d: %w", i+2, err)
		}
		if err := same(first, again); err != nil {
			return fmt.Errorf("run %d: %w", i+2, err)
		}
	}
	// A digest that is asked for after each block must not depend on that.
	step := h.New()
	all := digests(step, h.blocks)
	if last := all[len(all)-1]; last != first.Digest() {
		return fmt.Errorf("digest %v if it is asked for after each block, %v if only at the end", last, first.Digest())
	}
	return nil
}

func checkDigestStable(h *history) error {
	m := h.New()
	for _, b := range h.blocks {
		m.Apply(copyOf(b))
		d := m.Digest()
		if _, err := snapshot(m); err != nil {
			return err
		}
		if again := m.Digest(); again != d {
			return fmt.Errorf("block %d: digest %v, then %v, with nothing but a snapshot in between", b.Height, d, again)
		}
	}
	return nil
}

// checkDigestSensitive: states whose snapshots differ have different digests. It
// looks at the states along the history, and at states that are one operation
// apart: from one beginning, each of many single operations, done once and twice.
func checkDigestSensitive(h *history) error {
	seen := make(map[crypto.Digest][]byte)
	note := func(m statemachine.StateMachine) error {
		if keeps(m) {
			return nil // its snapshots name digest and height, and tell nothing of the state
		}
		b, err := snapshot(m)
		if err != nil {
			return err
		}
		d := m.Digest()
		if old, ok := seen[d]; ok && !bytes.Equal(old, b) {
			return fmt.Errorf("two states with different snapshots have the digest %v", d)
		}
		seen[d] = b
		return nil
	}
	m := h.New()
	if err := note(m); err != nil {
		return err
	}
	for _, b := range h.blocks {
		m.Apply(copyOf(b))
		if err := note(m); err != nil {
			return fmt.Errorf("block %d: %w", b.Height, err)
		}
	}
	common := h.blocks[:min(2, len(h.blocks))]
	for range 60 {
		op := statemachine.Op{Seq: 1, Data: h.Gen(h.rand)}
		for times := 1; times <= 2; times++ {
			b := statemachine.Block{Height: uint64(len(common)) + 1, Time: common[len(common)-1].Time}
			for range times {
				b.Ops = append(b.Ops, op)
			}
			m := h.New()
			apply(m, common)
			m.Digest()
			m.Apply(copyOf(b))
			if err := note(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkInputAliasing(h *history) error {
	plain, scribbled := h.New(), h.New()
	for _, b := range h.blocks {
		want := clone(plain.Apply(copyOf(b)))
		mine := copyOf(b)
		got := scribbled.Apply(mine)
		for _, op := range mine.Ops {
			for i := range op.Data {
				op.Data[i] ^= 0xa5
			}
		}
		if err := differ(want, got); err != nil {
			return fmt.Errorf("block %d: after its operations were overwritten: %w", b.Height, err)
		}
	}
	if err := same(plain, scribbled); err != nil {
		return fmt.Errorf("after operations were overwritten: %w", err)
	}
	return nil
}

func checkResultAliasing(h *history) error {
	plain, scribbled := h.New(), h.New()
	var kept, copies []statemachine.Result
	for _, b := range h.blocks {
		want := plain.Apply(copyOf(b))
		kept, copies = append(kept, want...), append(copies, clone(want)...)
		got := scribbled.Apply(copyOf(b))
		if err := differ(want, got); err != nil {
			return fmt.Errorf("block %d: after earlier results were overwritten: %w", b.Height, err)
		}
		for _, r := range got {
			for i := range r.Data {
				r.Data[i] ^= 0xa5
			}
		}
	}
	if err := differ(copies, kept); err != nil {
		return fmt.Errorf("results change after they were returned: %w", err)
	}
	if err := same(plain, scribbled); err != nil {
		return fmt.Errorf("after results were overwritten: %w", err)
	}
	return nil
}

func checkSnapshotEqual(h *history) error {
	a, b := h.New(), h.New()
	for _, blk := range h.blocks {
		a.Apply(copyOf(blk))
		b.Apply(copyOf(blk))
		// b is asked for its digest and for one more snapshot: reading is no change.
		b.Digest()
		if _, err := snapshot(b); err != nil {
			return err
		}
		if err := same(a, b); err != nil {
			return fmt.Errorf("block %d: %w", blk.Height, err)
		}
	}
	return nil
}

func checkSnapshotFrozen(h *history) error {
	m := h.New()
	half := len(h.blocks) / 2
	apply(m, h.blocks[:half])
	want, err := snapshot(m)
	if err != nil {
		return err
	}
	later, err := m.Snapshot()
	if err != nil {
		return err
	}
	concurrent, err := m.Snapshot()
	if err != nil {
		return err
	}
	unused, err := m.Snapshot()
	if err != nil {
		return err
	}
	type outcome struct {
		b   []byte
		err error
	}
	done := make(chan outcome)
	go func() {
		b, err := written(concurrent)
		done <- outcome{b, err}
	}()
	apply(m, h.blocks[half:])
	m.Digest()
	if o := <-done; o.err != nil {
		return o.err
	} else if !bytes.Equal(o.b, want) {
		return errors.New("written while blocks were applied, it has other bytes")
	}
	got, err := written(later)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("written after more blocks, it has other bytes")
	}
	if err := unused.Close(); err != nil {
		return fmt.Errorf("closing without writing: %w", err)
	}
	return nil
}

func checkRestore(h *history) error {
	m := h.New()
	half := len(h.blocks) / 2
	apply(m, h.blocks[:half])
	return h.restoresInto(m, h.New(), h.blocks[half:])
}

func checkRestoreOver(h *history) error {
	m, other := h.New(), h.New()
	half := len(h.blocks) / 2
	apply(m, h.blocks[:half])
	apply(other, h.blocks[half:])
	other.Digest()
	return h.restoresInto(m, other, h.blocks[half:])
}

// restoresInto restores m's state into other and lets both go on.
func (h *history) restoresInto(m, other statemachine.StateMachine, future []statemachine.Block) error {
	b, err := snapshot(m)
	if err != nil {
		return err
	}
	// A reader that returns one byte at a time is a legal reader.
	r := bytes.NewReader(b)
	if err := restore(m, other, len(h.blocks)-len(future), io.MultiReader(oneByte{r}, r)); err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	if r.Len() > 0 {
		return fmt.Errorf("restoring left %d bytes unread", r.Len())
	}
	if err := same(m, other); err != nil {
		return fmt.Errorf("after restoring: %w", err)
	}
	if err := differ(apply(m, future), apply(other, future)); err != nil {
		return fmt.Errorf("after restoring and the same blocks: %w", err)
	}
	if err := same(m, other); err != nil {
		return fmt.Errorf("after restoring and the same blocks: %w", err)
	}
	return nil
}

// oneByte returns what it reads in the smallest pieces.
type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) {
	if len(p) > 1 {
		p = p[:1]
	}
	return o.Reader.Read(p)
}

// checkDamaged: a snapshot with a piece missing or changed either is refused or
// leads to another digest; it never panics, and a good one still restores.
func checkDamaged(h *history) error {
	m := h.New()
	apply(m, h.blocks)
	good, err := snapshot(m)
	if err != nil {
		return err
	}
	want := m.Digest()
	victim := h.New()
	try := func(what string, b []byte) error {
		if err := victim.Restore(bytes.NewReader(b)); err == nil && victim.Digest() == want {
			return fmt.Errorf("%s: restored without an error, and the digest is the same", what)
		}
		return nil
	}
	for i := range 60 {
		cut := i
		if i >= 30 && len(good) > 0 {
			cut = h.rand.IntN(len(good))
		}
		if cut < len(good) {
			if err := try(fmt.Sprintf("cut to %d of %d bytes", cut, len(good)), good[:cut]); err != nil {
				return err
			}
		}
		if len(good) > 0 {
			bad := append([]byte(nil), good...)
			at := h.rand.IntN(len(bad))
			bad[at] ^= byte(1 + h.rand.IntN(255))
			if err := try(fmt.Sprintf("byte %d of %d changed", at, len(good)), bad); err != nil {
				return err
			}
		}
	}
	if err := try("bytes added at the end", append(append([]byte(nil), good...), "more"...)); err != nil {
		return err
	}
	broken := errors.New("the disk is gone")
	if err := victim.Restore(io.MultiReader(bytes.NewReader(good[:len(good)/2]), failing{broken})); err == nil {
		return errors.New("the reader failed half way and restoring returned no error")
	}
	if err := restore(m, victim, len(h.blocks), bytes.NewReader(good)); err != nil {
		return fmt.Errorf("a good snapshot after bad ones: %w", err)
	}
	return same(m, victim)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func checkSplit(h *history) error {
	if !h.SplitInvariant {
		return nil
	}
	whole, single := h.New(), h.New()
	want := apply(whole, h.blocks)
	var got []statemachine.Result
	height := uint64(0)
	for _, b := range h.blocks {
		for _, op := range b.Ops {
			height++
			one := statemachine.Block{Height: height, Time: b.Time, Ops: []statemachine.Op{op}}
			got = append(got, clone(single.Apply(copyOf(one)))...)
		}
	}
	if err := differ(want, got); err != nil {
		return fmt.Errorf("one operation to a block: %w", err)
	}
	return same(whole, single)
}
