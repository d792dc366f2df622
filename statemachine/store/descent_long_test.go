package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/store/proof"
)

// longValue is random, and the same for the same seed.
func longValue(size int, seed uint64) string {
	b := make([]byte, size)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return string(b)
}

// Values up to the longest come in pieces, no answer is long, and peers share the work.
func TestSyncOfLongValues(t *testing.T) {
	there := numbered(300, "there")
	for i, size := range []int{proof.PieceBytes, proof.PieceBytes + 1, 2 * proof.PieceBytes, 5*proof.PieceBytes - 1, MaxValueBytes} {
		there[fmt.Sprint("long ", i)] = longValue(size, uint64(i))
	}
	for name, there := range map[string]model{"many": there, "one": {"only": longValue(3*proof.PieceBytes+7, 9)}} {
		t.Run(name, func(t *testing.T) {
			a := storeOf(t, memory(3), 9, there)
			b := storeOf(t, memory(3), 9, numbered(300, "here"))
			var mu sync.Mutex
			pieces := map[int]int{} // by peer
			var peers []Peer
			for i := range 3 {
				peers = append(peers, peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
					answer, err := a.Serve(q)
					if len(answer) >= 2*answerBytes {
						t.Errorf("an answer of %d bytes", len(answer))
					}
					if r, err := decodeRequest(q); err == nil && r.asks[0].piece > 0 {
						mu.Lock()
						defer mu.Unlock()
						pieces[i]++
					}
					return answer, err
				}))
			}
			want, _ := manual(wants(t, a, peers...))
			want.Lied = func(peer int, err error) { t.Error(err) }
			_, err := b.Sync(t.Context(), want)
			require.NoError(t, err)
			require.Equal(t, content(t, a), content(t, b))
			require.Len(t, pieces, 3, "%v", pieces)
			// A comparison gets them, too.
			c := storeOf(t, memory(3), 9, numbered(300, "here"))
			ds, _, _, err := c.Compare(t.Context(), want, 1000)
			require.NoError(t, err)
			for _, d := range ds {
				if d.IsThere {
					require.Equal(t, there[string(d.Key)], string(d.There))
				}
			}
		})
	}
}

// A peer that sends a wrong piece is named, and does no harm; so is one that says that the value
// is made of others.
func TestWrongPieces(t *testing.T) {
	long := longValue(6*proof.PieceBytes+9, 1)
	a := storeOf(t, memory(3), 9, model{"long": long, "short": "value"})
	for name, twist := range map[string]func(q *request, answer []byte) []byte{
		"a bit of a piece": func(q *request, b []byte) []byte {
			if q.asks[0].piece > 0 {
				b[len(b)/2] ^= 1
			}
			return b
		},
		"another piece": func(q *request, b []byte) []byte {
			if q.asks[0].piece == 0 {
				return b
			}
			other := q.asks[0].piece%6 + 1
			q.asks[0].piece, q.asks[0].digest = other, proof.PieceDigest(proof.Piece([]byte(long), other-1))
			b, _ = a.Serve(q.encode())
			return b
		},
		"the leaf in place of a piece": func(q *request, _ []byte) []byte {
			q.asks[0].piece = 0
			b, _ := a.Serve(q.encode())
			return b
		},
		"a bit of the list": func(q *request, b []byte) []byte {
			if i := bytes.IndexByte(b, answerLong); q.asks[0].piece == 0 && i == 4 {
				b[len(b)-1] ^= 1
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := storeOf(t, memory(3), 9, model{"short": "other"})
			var lied atomic.Bool
			liar := peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
				answer, err := a.Serve(q)
				if err != nil {
					return nil, err
				}
				r, err := decodeRequest(q)
				require.NoError(t, err)
				before := bytes.Clone(answer)
				if answer = twist(r, answer); !bytes.Equal(before, answer) {
					lied.Store(true)
				}
				return answer, nil
			})
			want := wants(t, a, liar, peerFunc(func(ctx context.Context, q []byte) ([]byte, error) {
				if r, err := decodeRequest(q); err == nil && len(r.asks[0].turns) > 0 && !lied.Load() {
					return nil, errSilent // so that the liar has its turn
				}
				return a.Serve(q)
			}))
			want = passing(want)
			named := 0
			want.Lied = func(peer int, _ error) { require.Zero(t, peer); named++ }
			_, err := b.Sync(t.Context(), want)
			require.NoError(t, err)
			require.Equal(t, content(t, a), content(t, b))
			require.Equal(t, 1, named)
		})
	}
}

// One long value is put together at a time, whatever comes of others meanwhile; pieces that
// do not come are asked for again.
func TestOneLongValueAtATime(t *testing.T) {
	there := model{}
	for i := range 6 {
		there[fmt.Sprint("long ", i)] = longValue(3*proof.PieceBytes, uint64(i))
	}
	a := storeOf(t, memory(3), 9, there)
	b := open(t, memory(3))
	var mu sync.Mutex
	got := map[string]map[int]bool{} // pieces that were sent, by value
	last, n := "", 0
	shaky := peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
		r, err := decodeRequest(q)
		require.NoError(t, err)
		if x := r.asks[0]; x.piece > 0 {
			mu.Lock()
			defer mu.Unlock()
			turns := string(x.turns)
			if got[turns] == nil {
				if last != "" && len(got[last]) != 3 {
					t.Errorf("pieces of a second value are asked for, and of the first there are %v", got[last])
				}
				last, got[turns] = turns, map[int]bool{}
			}
			if n++; n%4 == 0 {
				return nil, errSilent
			}
			got[turns][x.piece] = true
		}
		return a.Serve(q)
	})
	_, err := b.Sync(t.Context(), passing(wants(t, a, shaky, shaky, shaky)))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
	require.Len(t, got, 6)
}

// What the storage changed of a long value is not sent, and does not make a liar.
func TestDamageOfALongValueIsNotServed(t *testing.T) {
	long := longValue(3*proof.PieceBytes, 1)
	sound := storeOf(t, memory(3), 9, model{"long": long, "short": "value"})
	for _, list := range []bool{true, false} {
		a := storeOf(t, memory(3), 9, model{"long": long, "short": "value"})
		want := wants(t, a, honest(a))
		want.Lied = func(int, error) { t.Error("it is damaged, and no liar") }
		if list {
			damageValue(t, a, "long", flipLast)
		} else { // once the list was sent
			var once sync.Once
			want.Peers = []Peer{peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
				if r, err := decodeRequest(q); err == nil && r.asks[0].piece == 3 {
					once.Do(func() { damageValue(t, a, "long", flipLast) })
				}
				return a.Serve(q)
			})}
		}
		b := open(t, memory(3))
		_, err := b.Sync(t.Context(), passing(want))
		require.ErrorIs(t, err, ErrPeers)
		require.NoError(t, a.err())
		_, err = b.Sync(t.Context(), wants(t, sound, honest(sound)))
		require.NoError(t, err)
		require.Equal(t, content(t, sound), content(t, b))
	}
}
