package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine/access"
)

// dirVariable names the cluster's folder where --dir is not given.
const dirVariable = "PARLEY_DIR"

// target are the flags that say which cluster to talk to, as whom, and for how
// long to wait.
type target struct {
	app               string // what the cluster must run, empty if any will do
	dir, cluster, key string
	timeout           time.Duration
}

func (t *target) flags(cmd *cobra.Command, timeout time.Duration) {
	f := cmd.Flags()
	f.StringVar(&t.dir, "dir", "", "the cluster's folder, with cluster.json and client.key (default $"+dirVariable+", or here)")
	f.StringVar(&t.cluster, "cluster", "", "cluster file (default cluster.json in --dir)")
	f.StringVar(&t.key, "key", "", "the client's key file (default client.key in --dir)")
	if timeout > 0 {
		f.DurationVar(&t.timeout, "timeout", timeout, "how long to wait for the outcome")
	}
}

// resolve finds the files.
func (t *target) resolve(cmd *cobra.Command) error {
	if t.timeout < 0 {
		return usagef(cmd, "--timeout is %v: give a positive duration, such as 10s", t.timeout)
	}
	if t.dir == "" {
		t.dir = os.Getenv(dirVariable)
	}
	if t.dir == "" && (t.cluster == "" || t.key == "") {
		if _, err := os.Stat(clusterFileName); err == nil {
			t.dir = "."
		}
	}
	if t.cluster == "" {
		if t.dir == "" {
			return usagef(cmd, "--dir is missing: name the cluster's folder (or give --cluster and --key, or set %s)", dirVariable)
		}
		t.cluster = clusterFilePath(t.dir)
	}
	return nil
}

// load loads the cluster file, and refuses a cluster that runs something else than the
// command is for.
func (t *target) load() (*roster.Roster, error) {
	ros, err := roster.Load(t.cluster)
	if err != nil {
		return nil, err
	}
	if runs := applicationName(ros.Cluster); t.app != "" && t.app != runs && !(isKV(t.app) && isKV(runs)) {
		return nil, fmt.Errorf("the cluster of %s runs %q, and this command is for %q: name another cluster", t.cluster, runs, t.app)
	}
	return ros, nil
}

// identity is a client's key that no other process uses.
type identity struct {
	client *keyfile.Client
	lock   *flock.Flock
}

// close lets others use the key.
func (i *identity) close() {
	if i.lock != nil {
		_ = i.lock.Close()
	}
}

// maxSpareKeys bounds the keys beside client.key for commands that run at the same
// time.
const maxSpareKeys = 64

// keyPath is the key file that is used when none is named.
func (t *target) keyPath() string {
	dir := t.dir
	if dir == "" {
		dir = filepath.Dir(t.cluster)
	}
	return filepath.Join(dir, clientKeyName)
}

// identity loads a key and reserves it for this process: the cluster takes two
// processes with one key for one that started anew. Where no key was named and the
// first is in use, a spare one that the cluster serves will do, and if it serves
// anybody one is made.
func (t *target) identity(ctx context.Context, ros *roster.Roster) (*identity, error) {
	// The other process may be as short as this one.
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		id, err := t.tryIdentity(ros)
		if err != nil || id != nil {
			return id, err
		}
		select {
		case <-ctx.Done():
			if t.key != "" {
				return nil, fmt.Errorf("key file %s is in use by another process: give each its own, or wait for that one", t.key)
			}
			return nil, fmt.Errorf("key file %s and all spare ones beside it are in use by other processes: wait for one of them ('parley init --client-keys' makes a cluster with more)", t.keyPath())
		case <-ticker.C:
		}
	}
}

// tryIdentity is identity without waiting: nil without an error if every key is in use.
func (t *target) tryIdentity(ros *roster.Roster) (*identity, error) {
	if t.key != "" {
		return lockIdentity(t.key)
	}
	first := t.keyPath()
	id, err := lockIdentity(first)
	if err != nil || id != nil {
		return id, err
	}
	for i := 2; i <= maxSpareKeys; i++ {
		path := spareKeyPath(first, i)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if ros.Cluster.Clients.Admission != crypto.AdmitOpen {
				break
			}
			k, err := keyfile.GenerateClient(rand.Reader)
			if err != nil {
				return nil, err
			}
			if err := k.Write(path); err != nil && !errors.Is(err, keyfile.ErrExists) {
				return nil, err
			}
		}
		id, err := lockIdentity(path)
		switch {
		case err != nil:
			return nil, err
		case id != nil && ros.Admits(id.client.Signing.Public()):
			return id, nil
		case id != nil:
			id.close() // a stranger's key
		}
	}
	return nil, nil
}

// spareKeyPath is the i-th key file of those beside the first.
func spareKeyPath(first string, i int) string {
	if i == 1 {
		return first
	}
	return fmt.Sprintf("%s.%d", first, i)
}

// lockIdentity returns nil without an error if another process uses the key.
func lockIdentity(path string) (*identity, error) {
	k, err := keyfile.LoadClient(path)
	if err != nil {
		return nil, err
	}
	lock := flock.New(path)
	if ok, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock key file %s: %w", path, err)
	} else if !ok {
		return nil, nil
	}
	return &identity{client: k, lock: lock}, nil
}

// session is a connection to a cluster as a client.
type session struct {
	*client.Client
	roster   *roster.Roster
	identity *identity
}

// Do is that of the client; what an access policy refuses is an error, an
// *access.Refusal, beside the answer.
func (s *session) Do(ctx context.Context, op []byte) (client.Answer, error) {
	a, err := s.Client.Do(ctx, op)
	if err == nil {
		if r := access.RefusalOf(a.Result); r != nil {
			return a, r
		}
	}
	return a, err
}

func (s *session) close() {
	_ = s.Close()
	s.identity.close()
}

// connect loads the files and dials. ctx bounds only that.
func (t *target) connect(ctx context.Context, edit func(*client.Config)) (*session, error) {
	ros, err := t.load()
	if err != nil {
		return nil, err
	}
	id, err := t.identity(ctx, ros)
	if err != nil {
		return nil, err
	}
	cfg := client.Config{Roster: ros, Key: id.client.Signing}
	if edit != nil {
		edit(&cfg)
	}
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		id.close()
		return nil, err
	}
	return &session{Client: c, roster: ros, identity: id}, nil
}
