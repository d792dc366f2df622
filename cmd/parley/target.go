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
)

// dirVariable names the cluster's folder where --dir is not given.
const dirVariable = "PARLEY_DIR"

// target are the flags that say which cluster to talk to, as whom, and for how
// long to wait.
type target struct {
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

// maxSpareKeys bounds the keys made beside client.key for commands that run at the
// same time.
const maxSpareKeys = 64

// identity loads a key and reserves it for this process: the cluster takes two
// processes with one key for one that started anew. Where clients need not be
// listed, and no key was named, a spare one is made if the first is in use.
func (t *target) identity(ctx context.Context, ros *roster.Roster) (*identity, error) {
	path := t.key
	if path == "" {
		dir := t.dir
		if dir == "" {
			dir = filepath.Dir(t.cluster)
		}
		path = filepath.Join(dir, clientKeyName)
	}
	id, err := lockIdentity(path)
	if err != nil || id != nil {
		return id, err
	}
	if t.key == "" && ros.Cluster.Clients.Admission == crypto.AdmitOpen {
		return spareIdentity(path)
	}
	// The other process may be as short as this one.
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("key file %s is in use by another process: give each its own (parley keygen, and list it in the cluster file), or wait for that one", path)
		case <-ticker.C:
		}
		if id, err := lockIdentity(path); err != nil || id != nil {
			return id, err
		}
	}
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

func spareIdentity(first string) (*identity, error) {
	for i := 2; i <= maxSpareKeys; i++ {
		path := fmt.Sprintf("%s.%d", first, i)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			k, err := keyfile.GenerateClient(rand.Reader)
			if err != nil {
				return nil, err
			}
			if err := k.Write(path); err != nil && !errors.Is(err, keyfile.ErrExists) {
				return nil, err
			}
		}
		if id, err := lockIdentity(path); err != nil || id != nil {
			return id, err
		}
	}
	return nil, fmt.Errorf("%d processes use the keys beside %s: give --key", maxSpareKeys, first)
}

// session is a connection to a cluster as a client.
type session struct {
	*client.Client
	roster   *roster.Roster
	identity *identity
}

func (s *session) close() {
	_ = s.Close()
	s.identity.close()
}

// connect loads the files and dials. ctx bounds only that.
func (t *target) connect(ctx context.Context, edit func(*client.Config)) (*session, error) {
	ros, err := roster.Load(t.cluster)
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
