package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/stateproof"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func inMemory(t testing.TB) statemachine.StateMachine {
	m, err := open(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.(interface{ Close() error }).Close()) })
	return m
}

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{New: func() statemachine.StateMachine { return inMemory(t) }, Gen: func(r *rand.Rand) []byte {
		o := operation{take: r.IntN(2) == 0, item: []byte{'a' + byte(r.IntN(4))}, n: r.Uint64N(9)}
		if r.IntN(8) == 0 {
			return o.encode()[:r.IntN(5)]
		}
		return o.encode()
	}})
}

func TestRefusals(t *testing.T) {
	m := inMemory(t)
	height := uint64(0)
	apply := func(op string) statemachine.Result {
		height++
		return m.Apply(statemachine.Block{Height: height, Ops: []statemachine.Op{{Data: []byte(op)}}})[0]
	}
	require.Equal(t, statemachine.OK([]byte("3")), apply("put bolts 3"))
	require.Equal(t, statemachine.Reject(codeTooFew, []byte("3")), apply("take bolts 4"))
	require.Equal(t, statemachine.Reject(codeTooFew, []byte("0")), apply("take nuts 1"))
	require.Equal(t, statemachine.OK([]byte("0")), apply("take bolts 3"))
	for _, bad := range []string{"", "put", "put bolts", "put bolts -1", "put bolts 01", "put  1", "put bolts 1 ", "sell bolts 1", "put bolts 99999999999"} {
		require.Equal(t, statemachine.CodeMalformed, apply(bad).Code, "%q", bad)
	}
	// Keys of the store itself are nobody's.
	require.Equal(t, statemachine.CodeReservedKey, apply("put \xffparley/x 1").Code)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("put bolts 40"))
	f.Add([]byte("take bolts 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, ok := decode(data); ok {
			require.Equal(t, data, o.encode())
		}
	})
}

// The program: operations, a proof that is checked offline, a watch that goes on.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), dir, &out))
	story := regexp.MustCompile(`block \d+`).ReplaceAllString(out.String(), "block N")
	story = regexp.MustCompile(`as [34] replicas`).ReplaceAllString(story, "as a quorum")
	require.Equal(t, `put bolts 40: now there are 40
take bolts 50: refused, there are 40
take bolts 15: now there are 25
the auditor, offline: after block N there were 25 bolts, as a quorum have signed
the shop begins after block N
the shop hears: 40 bolts
the shop hears: 25 bolts
the shop ends, with 1 kinds of items
put nuts 7: now there are 7
take bolts 25: now there are 0
the shop begins after block N
the shop hears: 7 nuts
the shop hears: no bolts any more
the shop ends, with 1 kinds of items
`, story)

	// The shop's copy is the stock, and its cursor is behind the last change.
	book, err := load(filepath.Join(dir, "shop.json"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"nuts": "7"}, book.Stock)
	require.NotEqual(t, client.FromBeginning(), book.Cursor)

	// A proof is about what it says, and about nothing else.
	cluster, file := filepath.Join(dir, "cluster.json"), filepath.Join(dir, "bolts.proof")
	_, err = audit(cluster, file, "nuts")
	require.ErrorContains(t, err, "about another item")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(file, data, 0o600))
	_, err = audit(cluster, file, "bolts")
	require.ErrorIs(t, err, stateproof.ErrDamaged)
}
