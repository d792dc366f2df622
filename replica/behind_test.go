package replica

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// heldMachine executes nothing until it is let go.
type heldMachine struct {
	statemachine.StateMachine
	hold *sync.RWMutex
}

func (m *heldMachine) Apply(b statemachine.Block) []statemachine.Result {
	m.hold.RLock()
	defer m.hold.RUnlock()
	return m.StateMachine.Apply(b)
}

// A replica that executes more slowly than blocks are committed knows that it is behind,
// and by how much.
func TestBehind(t *testing.T) {
	var hold sync.RWMutex
	var made atomic.Int32
	c, err := StartLocal(t.Context(), LocalConfig{Dir: t.TempDir(), NewMachine: func() statemachine.StateMachine {
		if made.Add(1) == 4 {
			return &heldMachine{newJournal(), &hold}
		}
		return newJournal()
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	submit := func() {
		_, err := c.Servers[0].Submit(t.Context(), []byte("x"))
		require.NoError(t, err)
	}
	eventually := func(what string, ok func(executed, known uint64, behind bool) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return ok(c.Servers[3].Behind(t.Context())) }, time.Minute, time.Millisecond, what)
	}
	submit()
	eventually("one block is nothing", func(executed, known uint64, behind bool) bool {
		return !behind && executed >= 1 && known >= executed
	})
	window := c.Roster.Cluster.Parameters.Window
	hold.Lock()
	release := sync.OnceFunc(hold.Unlock)
	defer release()
	var stuck uint64
	for range window + 8 {
		submit()
	}
	eventually("it is behind", func(executed, known uint64, behind bool) bool {
		stuck = executed
		return behind && known > executed+window
	})
	release()
	eventually("it has caught up", func(executed, known uint64, behind bool) bool {
		return !behind && executed > stuck+window
	})
}
