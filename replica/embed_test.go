package replica

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/statemachine"
)

func newJournal() statemachine.StateMachine { return &journal{} }

func TestLocalCluster(t *testing.T) {
	verifyNoLeaks(t)
	ctx := t.Context()
	cfg := LocalConfig{Dir: filepath.Join(t.TempDir(), "new", "cluster"), NewMachine: newJournal}
	c, err := StartLocal(ctx, cfg)
	require.NoError(t, err)
	require.Len(t, c.Servers, 4)
	r, err := c.Servers[0].Submit(ctx, []byte("first"))
	require.NoError(t, err)
	require.Equal(t, "1", string(r.Data))
	id := c.Roster.ID

	// The folder is taken as long as the cluster runs, and its file stays true.
	before, err := os.ReadFile(filepath.Join(cfg.Dir, localCluster))
	require.NoError(t, err)
	_, err = StartLocal(ctx, cfg)
	require.ErrorIs(t, err, ErrLocked)
	after, err := os.ReadFile(filepath.Join(cfg.Dir, localCluster))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))

	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	_, err = c.Servers[0].Submit(ctx, []byte("late"))
	require.ErrorIs(t, err, ErrStopped)

	// It goes on where it stopped, also for clients.
	var edited []int
	cfg.Edit = func(i int, _ *Config) { edited = append(edited, i) }
	c, err = StartLocal(ctx, cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	require.Equal(t, []int{0, 1, 2, 3}, edited)
	require.Equal(t, id, c.Roster.ID)
	onDisk, err := crypto.LoadCluster(filepath.Join(cfg.Dir, localCluster))
	require.NoError(t, err)
	require.Equal(t, c.Roster.Cluster, onDisk)
	cl, err := client.Dial(ctx, client.Config{Roster: c.Roster, Key: clientTestKey(1)})
	require.NoError(t, err)
	r, err = cl.Submit(ctx, []byte("second"))
	require.NoError(t, err)
	require.NoError(t, cl.Close())
	require.Equal(t, "2", string(r.Data))
	for _, s := range c.Servers {
		require.False(t, s.Status().Follower)
	}
}

func TestLocalClusterRefusals(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	for name, cfg := range map[string]LocalConfig{
		"Dir":        {NewMachine: newJournal},
		"Replicas":   {Dir: dir, NewMachine: newJournal, Replicas: -1},
		"NewMachine": {Dir: dir},
	} {
		_, err := StartLocal(ctx, cfg)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, name)
	}
	c, err := StartLocal(ctx, LocalConfig{Dir: dir, NewMachine: newJournal, Replicas: 1})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = StartLocal(ctx, LocalConfig{Dir: dir, NewMachine: newJournal, Replicas: 4})
	require.ErrorIs(t, err, ErrConfig)

	// Keys are never replaced.
	require.NoError(t, os.Remove(filepath.Join(dir, localCluster)))
	_, err = StartLocal(ctx, LocalConfig{Dir: dir, NewMachine: newJournal, Replicas: 1})
	require.ErrorIs(t, err, keyfile.ErrExists)

	// A start that fails half way leaves nothing behind that runs.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = StartLocal(ended, LocalConfig{Dir: filepath.Join(dir, "other"), NewMachine: newJournal})
	require.ErrorIs(t, err, context.Canceled)
}
