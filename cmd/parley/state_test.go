//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble"
	"github.com/stretchr/testify/require"
)

// stateDir is where a replica keeps its application's state.
func stateDir(dir string, i int) string {
	return filepath.Join(replicaDir(dir, i), dataDirName, "state")
}

// database is which of the databases in it is in use: another one each time that a
// snapshot was loaded into it.
func database(t *testing.T, dir string, i int) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(stateDir(dir, i), "CURRENT"))
	require.NoError(t, err)
	return strings.TrimSpace(string(b))
}

// The state is in the data folder. A replica that was killed takes it from there, and so does
// all of a cluster; one that has lost the folder, whose snapshots name what was in it, makes it
// anew from the log.
func TestStateOnDisk(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4, "--app", "kv-store", "--checkpoint-every", "8")
	p := startProcesses(t, dir, 4)
	want := map[string]string{}
	put := func(n int) {
		t.Helper()
		for range n {
			k, v := fmt.Sprintf("key%d", len(want)%30), fmt.Sprintf("value %d", len(want))
			must(t, "put", "--dir", dir, k, v)
			want[k] = v
			want[fmt.Sprintf("more%d", len(want))] = "x"
			must(t, "put", "--dir", dir, fmt.Sprintf("more%d", len(want)-1), "x")
		}
	}
	check := func(i int) {
		t.Helper()
		for k, v := range want {
			require.Eventually(t, func() bool {
				o := parley(t, "get", "--dir", dir, "--replica", itoa(i), k)
				return o.code == exitOK && o.out == v+"\n"
			}, 30*time.Second, 50*time.Millisecond, "%s at replica %d", k, i)
		}
	}
	snapshots := func(after uint64) {
		t.Helper()
		awaitStatus(t, dir, func(s *clusterState) bool {
			for i := range s.Replicas {
				if r := &s.Replicas[i]; r.Says == nil || r.Says.Snapshot <= after {
					return false
				}
			}
			return true
		})
	}
	put(12)
	snapshots(0)
	p.kill(1)
	put(12)
	p.start(1)
	check(1)
	require.Equal(t, "1", database(t, dir, 1), "what was there was good enough")

	p.stop(2)
	require.NoError(t, os.RemoveAll(stateDir(dir, 2)))
	put(2)
	p.start(2)
	check(2)
	log, err := os.ReadFile(replicaLogPath(dir, 2))
	require.NoError(t, err)
	require.Contains(t, string(log), "the state of a snapshot is not here")

	for i := range 4 {
		p.kill(i)
	}
	for i := range 4 {
		p.start(i)
	}
	check(0)
	check(3)
	put(2)
	for i := range 4 {
		require.Equal(t, "1", database(t, dir, i), "there was never a whole snapshot to be loaded")
	}

	// A state that does not open is said to be damaged, and made anew by the next start.
	p.stop(3)
	require.NoError(t, os.WriteFile(filepath.Join(stateDir(dir, 3), "CURRENT"), []byte("x"), 0o600))
	o := parley(t, "doctor", "--data", replicaDir(dir, 3))
	require.Equal(t, exitInvalid, o.code)
	require.Contains(t, o.out, "parley doctor --heal "+filepath.Join(replicaDir(dir, 3), dataDirName))
	p.start(3)
	check(3)
	require.Eventually(t, func() bool {
		o = parley(t, "doctor", "--dir", dir)
		return o.code == exitOK && strings.Contains(o.out, "DAMAGED ON THE DISK") && strings.Contains(o.out, "  healed ")
	}, 30*time.Second, 100*time.Millisecond, "%s", o.out)
}

// A value that is changed beneath everything on the disk of one of four processes is found by a
// scrub, under load, and made good; 'parley doctor' says which.
func TestDoctorOfARealCluster(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4, "--app", "kv-store", "--checkpoint-every", "8")
	p := startProcesses(t, dir, 4)
	must(t, "put", "--dir", dir, "victim", "the right value")
	for n := range 20 {
		must(t, "put", "--dir", dir, fmt.Sprint("key", n), "x")
	}
	awaitStatus(t, dir, func(s *clusterState) bool {
		return s.Replicas[2].Says != nil && s.Replicas[2].Says.Snapshot > 8
	})
	p.stop(2)
	changeValue(t, stateDir(dir, 2), "the right value", "the wrong value")
	config := replicaConfigPath(replicaDir(dir, 2))
	b, err := os.ReadFile(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, []byte(strings.Replace(string(b), "{", `{"scrubEvery": "2s",`, 1)), 0o600))
	p.start(2)
	var o outcome
	n := 0
	require.Eventually(t, func() bool {
		n++
		must(t, "put", "--dir", dir, "load", fmt.Sprint(n))
		o = parley(t, "doctor", "--dir", dir)
		return o.code == exitOK && strings.Contains(o.out, "  healed ")
	}, 60*time.Second, 50*time.Millisecond, "%s", o.out)
	for _, says := range []string{
		"DIFFERS storage", "DAMAGED ON THE DISK: a scrub of the state", "victim (damaged: no operation wrote this)",
		"there ", "REPAIRED from checkpoint", "1 of them damaged", "replica-2: scrubbed ",
	} {
		require.Contains(t, o.out, says)
	}
	require.Equal(t, "the right value\n", must(t, "get", "--dir", dir, "--replica", "2", "victim"))
}

// changeValue replaces a value in the database of a store that is closed.
func changeValue(t *testing.T, dir, from, to string) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(dir, "*", "*", "CURRENT"))
	require.NoError(t, err)
	require.Len(t, folders, 1)
	db, err := pebble.Open(filepath.Dir(folders[0]), &pebble.Options{})
	require.NoError(t, err)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("l"), UpperBound: []byte("m")})
	require.NoError(t, err)
	changed := 0
	for it.First(); it.Valid(); it.Next() {
		if v := string(it.Value()); strings.HasSuffix(v, from) {
			changed++
			require.NoError(t, db.Set(bytes.Clone(it.Key()), []byte(strings.TrimSuffix(v, from)+to), pebble.Sync))
		}
	}
	require.NoError(t, it.Close())
	require.Equal(t, 1, changed)
	require.NoError(t, db.Close())
}

// What replica.json and the flags say of the state is for applications that have one
// there.
func TestStateSettings(t *testing.T) {
	t.Parallel()
	plain, stored := makeCluster(t, 4), makeCluster(t, 4, "--app", "ledger")
	data, err := os.ReadFile(replicaConfigPath(replicaDir(stored, 0)))
	require.NoError(t, err)
	require.Contains(t, string(data), `"cacheMiB": 256`)
	data, err = os.ReadFile(replicaConfigPath(replicaDir(plain, 0)))
	require.NoError(t, err)
	require.NotContains(t, string(data), "cacheMiB")
	refused(t, exitFailed, []string{"start", "--dir", replicaDir(plain, 0), "--state-cache", "64"}, "keeps its state in memory: leave it out")
	for _, c := range []struct{ flag, value, remedy string }{
		{"--state-cache", "1", "give 2 to 1048576"},
		{"--state-cache", "0", "give 2 to 1048576"},
		{"--state-cache", "-1", "give 2 to 1048576"},
		{"--state-cache", "1048577", "give 2 to 1048576"},
		{"--state-flush", "0", "give 1 to 1024"},
		{"--state-flush", "1025", "give 1 to 1024"},
		{"--state-heights", "0", "give 1 to 100000, or -1 for none"},
		{"--state-heights", "-2", "give 1 to 100000, or -1 for none"},
		{"--state-heights", "100001", "give 1 to 100000, or -1 for none"},
		{"--state-feed", "0", "give 1 to 1048576, or -1 for none"},
		{"--state-feed", "-2", "give 1 to 1048576, or -1 for none"},
		{"--reserve", "0", "give the MiB to keep free, from 1, or -1 for no guard"},
	} {
		refused(t, exitUsage, []string{"start", "--dir", replicaDir(stored, 0), c.flag, c.value}, c.flag+" is "+c.value+": "+c.remedy)
	}
	for field, c := range map[string]struct {
		was, value int
		remedy     string
	}{
		"cacheMiB": {256, 1, "write 2 to 1048576"},
		"flushMiB": {8, 9999, "write 1 to 1024"},
		"heights":  {128, -2, "write 1 to 100000, or -1 for none"},
		"feedMiB":  {64, -2, "write 1 to 1048576, or -1 for none"},
	} {
		path := replicaConfigPath(replicaDir(stored, 0))
		edit(t, path, fmt.Sprintf("%q: %d", field, c.was), fmt.Sprintf("%q: %d", field, c.value))
		refused(t, exitFailed, []string{"start", "--dir", replicaDir(stored, 0)}, "replica.json", fmt.Sprintf("state.%s is %d: %s", field, c.value, c.remedy))
		edit(t, path, fmt.Sprintf("%q: %d", field, c.value), fmt.Sprintf("%q: %d", field, c.was))
	}

	c := stateConfig{CacheMiB: 64, FlushMiB: 8, Heights: -1, FeedMiB: 9}
	s := c.store("somewhere", nil)
	require.NoError(t, s.Validate())
	require.EqualValues(t, 64<<20, s.CacheBytes+s.DatabaseCacheBytes)
	require.EqualValues(t, 8<<20, s.FlushBytes)
	require.Zero(t, s.Keep)
	require.EqualValues(t, 9<<20, s.FeedBytes)
	c.FeedMiB = -1
	require.Zero(t, c.store("", nil).FeedBytes)
	c.FeedMiB = 0
	require.EqualValues(t, 64<<20, c.store("", nil).FeedBytes)
	require.Equal(t, "somewhere", s.Dir)
}

// One replica proves what the state has, and a file shows it to others.
func TestCertifiedReads(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4, "--app", "kv-store", "--checkpoint-every", "8")
	startProcesses(t, dir, 4)
	tmp := t.TempDir()
	o := parley(t, "put", "--dir", dir, "--json", "colour", "green")
	require.Equal(t, exitOK, o.code, o.err)
	_, rest, ok := strings.Cut(o.out, `"block":`)
	require.True(t, ok, o.out)
	block, _, _ := strings.Cut(strings.TrimRight(rest, "}\n"), ",")
	proof := filepath.Join(tmp, "colour.proof")
	require.Equal(t, "green\n", must(t, "get", "--dir", dir, "--certified", "--min-height", block, "--proof", proof, "colour"))
	out := must(t, "verify-state", "--dir", dir, proof)
	require.Contains(t, out, "VALID")
	require.Contains(t, out, "colour = green, changed at revision 1, version 1")
	require.Contains(t, out, "signed by replica-")
	require.Contains(t, must(t, "verify-state", "--dir", dir, "--json", proof), `"value":"green"`)
	require.Contains(t, must(t, "read-certified", "--dir", dir, "kcolour"), "colour = green")
	require.Contains(t, must(t, "read-certified", "--dir", dir, "--hex", "6b636f6c6f7572"), "colour = green")
	absent := filepath.Join(tmp, "taste.proof")
	refused(t, exitAbsent, []string{"get", "--dir", dir, "--certified", "--proof", absent, "taste"}, "there is no key taste")
	o = parley(t, "verify-state", "--dir", dir, absent)
	require.Equal(t, exitAbsent, o.code)
	require.Contains(t, o.out, "there is no key taste")

	// Of which key, whoever made the file chose, and whoever verifies it says.
	must(t, "verify-state", "--dir", dir, "--about", "colour", proof)
	must(t, "verify-state", "--dir", dir, "--about", "636f6c6f7572", "--hex", proof)
	refused(t, exitInvalid, []string{"verify-state", "--dir", dir, "--about", "taste", proof}, "INVALID", "it is about key colour, and not about the key taste")
	refused(t, exitInvalid, []string{"verify-state", "--dir", dir, "--about", "", proof}, "it is about key colour")
	refused(t, exitInvalid, []string{"verify-state", "--dir", dir, "--about", "colour", absent}, "it is about key taste, and not about the key colour")
	require.Equal(t, exitAbsent, parley(t, "verify-state", "--dir", dir, "--about", "taste", absent).code)
	refused(t, exitUsage, []string{"verify-state", "--dir", dir, "--about", "xy", "--hex", proof}, "hexadecimal")
	refused(t, exitUsage, []string{"verify-state", "--dir", dir, "--hex", proof}, "add --about")
	// The state has the key under another name. That there is nothing under this one is
	// true, and looks like no proof about the key.
	trap := filepath.Join(tmp, "trap.proof")
	o = parley(t, "read-certified", "--dir", dir, "--proof", trap, "colour")
	require.Equal(t, exitAbsent, o.code, o.err)
	require.Contains(t, o.out, "there is no entry colour of the state")
	require.Contains(t, parley(t, "verify-state", "--dir", dir, "--json", trap).out, `"entry":true`)
	refused(t, exitInvalid, []string{"verify-state", "--dir", dir, "--about", "colour", trap}, "it is about entry colour of the state")

	// Package stateproof flips every bit.
	for _, file := range []string{proof, absent} {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		flipped := filepath.Join(tmp, "flipped.proof")
		for bit := 0; bit < 8*len(data); bit += 97 {
			data[bit/8] ^= 1 << (bit % 8)
			require.NoError(t, os.WriteFile(flipped, data, 0o600))
			refused(t, exitInvalid, []string{"verify-state", "--dir", dir, flipped}, "INVALID")
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
	refused(t, exitInvalid, []string{"verify-state", "--dir", makeCluster(t, 4), proof}, "INVALID", "another cluster")
	refused(t, exitFailed, []string{"verify-state", "--dir", dir, tmp + "/none"}, "no such file")

	refused(t, exitUsage, []string{"get", "--dir", dir, "--proof", proof, "colour"}, "add --certified")
	refused(t, exitUsage, []string{"get", "--dir", dir, "--certified", "--replica", "1", "colour"}, "--certified goes without --replica")
	refused(t, exitFailed, []string{"get", "--dir", dir, "--certified", "--proof", proof, "colour"}, "exists already")
	refused(t, exitUsage, []string{"read-certified", "--dir", dir, "--hex", "xy"}, "hexadecimal")
	refused(t, exitFailed, []string{"get", "--dir", dir, "--certified", "--max-age", "1ns", "colour"}, "no certified state is new enough")
}
