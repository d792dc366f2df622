package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/replica"

	"github.com/parley-bft/parley/crypto/roster"
)

// edit replaces text in a file; it must be there.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	require.NoError(t, os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600))
}

// Every mistake an operator can make ends with a message that names what, where
// and the remedy.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	other := makeCluster(t, 4)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		flags []string
		says  []string
	}{
		"no replica.json": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+"/replica-0/replica.json")) },
			says:  []string{"replica.json", "no such file", "parley init"},
		},
		"replica.json with an unknown field": {
			spoil: func(t *testing.T, dir string) { edit(t, dir+"/replica-0/replica.json", `"data"`, `"dat"`) },
			says:  []string{"replica.json", `unknown field "dat": correct its name or remove it; known here are: format, cluster, key, data, `},
		},
		"replica.json with a text for a number": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/replica-0/replica.json", `"reserveMiB": 256`, `"reserveMiB": "much"`)
			},
			says: []string{"replica.json", `reserveMiB is "much": write a whole number`},
		},
		"replica.json with a number for a text": {
			spoil: func(t *testing.T, dir string) { edit(t, dir+"/replica-0/replica.json", `"info"`, `1`) },
			says:  []string{"replica.json", `logLevel is 1: write text in quotes`},
		},
		"replica.json with a bad duration": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/replica-0/replica.json", `"reserveMiB"`, `"tick": "soon", "reserveMiB"`)
			},
			says: []string{"replica.json", `tick is "soon": `},
		},
		"replica.json with a field twice": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/replica-0/replica.json", `"reserveMiB"`, `"Data": "elsewhere", "reserveMiB"`)
			},
			says: []string{"replica-0/replica.json", `field "Data" is there twice: leave one`},
		},
		"replica.json that is a list": {
			spoil: func(t *testing.T, dir string) {
				require.NoError(t, os.WriteFile(dir+"/replica-0/replica.json", []byte("[]"), 0o600))
			},
			says: []string{"replica.json", "the whole file is a list: write an object"},
		},
		"replica.json with a missing comma": {
			spoil: func(t *testing.T, dir string) { edit(t, dir+"/replica-0/replica.json", `"format": 1,`, `"format": 1`) },
			says:  []string{"replica.json", "line 3, column 3: not JSON"},
		},
		"replica.json that is cut": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Truncate(dir+"/replica-0/replica.json", 50)) },
			says:  []string{"replica.json", "it ends too early, at line 4"},
		},
		"replica.json that is empty": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Truncate(dir+"/replica-0/replica.json", 0)) },
			says:  []string{"replica.json", "it ends too early, at line 1"},
		},
		"cluster file with a text for a number": {
			spoil: func(t *testing.T, dir string) { edit(t, dir+"/cluster.json", `"weight": 1`, `"weight": "one"`) },
			says:  []string{"cluster.json", `members[0].weight is "one": write a whole number from 0`},
		},
		"key file with a number for a text": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/replica-0/key.json", `"kind": "replica"`, `"kind": 7`)
			},
			says: []string{"key.json", "kind"},
		},
		"replica.json of another format": {
			spoil: func(t *testing.T, dir string) { edit(t, dir+"/replica-0/replica.json", `"format": 1`, `"format": 9`) },
			says:  []string{"replica.json", "format is 9, this program knows 1"},
		},
		"replica.json with a bad level": {
			spoil: func(t *testing.T, dir string) { edit(t, dir+"/replica-0/replica.json", `"info"`, `"loud"`) },
			says:  []string{"replica.json", `logLevel is "loud"`},
		},
		"replica.json that goes on": {
			spoil: func(t *testing.T, dir string) { edit(t, dir+"/replica-0/replica.json", "}", "}{") },
			says:  []string{"replica.json", "more than one value: leave only the first"},
		},
		"no cluster file": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+"/cluster.json")) },
			says:  []string{"cluster.json", "no such file", "parley init"},
		},
		"cluster file that is no file": {
			spoil: func(t *testing.T, dir string) {
				require.NoError(t, os.Remove(dir+"/cluster.json"))
				require.NoError(t, os.Mkdir(dir+"/cluster.json", 0o700))
			},
			says: []string{"cluster.json", "is a directory"},
		},
		"cluster file that is cut": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Truncate(dir+"/cluster.json", 700)) },
			says:  []string{"cluster.json", "malformed"},
		},
		"cluster file that contradicts itself": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/cluster.json", `"name": "replica-1"`, `"name": "replica-0"`)
			},
			says: []string{"cluster.json", `both named "replica-0"`, "rename one"},
		},
		"cluster file of others": {
			spoil: func(t *testing.T, dir string) {
				data, err := os.ReadFile(other + "/cluster.json")
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(dir+"/cluster.json", data, 0o600))
			},
			says: []string{"key.json", "cluster.json", "do not belong to a member"},
		},
		"no key file": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+"/replica-0/key.json")) },
			says:  []string{"key.json", "no such file"},
		},
		"key file open to others": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Chmod(dir+"/replica-0/key.json", 0o644)) },
			says:  []string{"key.json", "0644", "chmod 600"},
		},
		"key file of a client": {
			spoil: func(t *testing.T, dir string) {},
			flags: []string{"--key", other + "/client.key"},
			says:  []string{"client.key", "kind"},
		},
		"data of another replica": {
			spoil: func(t *testing.T, dir string) {},
			flags: []string{"--data", other + "/replica-0/data"},
			says:  []string{"another identity", other, "cluster"},
		},
		"data of the neighbour": {
			spoil: func(t *testing.T, dir string) {
				require.NoError(t, os.Rename(dir+"/replica-1/data/IDENTITY", dir+"/replica-0/data/IDENTITY"))
			},
			says: []string{"another identity", "replica-0/data", "replica 1, this replica 0"},
		},
		"data of a newer program": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/replica-0/data/IDENTITY", fmt.Sprintf(`"format": %d`, replica.StorageFormat), fmt.Sprintf(`"format": %d`, replica.StorageFormat+1))
			},
			says: []string{"replica-0/data", fmt.Sprintf("format %d", replica.StorageFormat+1), "newer"},
		},
		"damaged identity": {
			spoil: func(t *testing.T, dir string) { require.NoError(t, os.Truncate(dir+"/replica-0/data/IDENTITY", 20)) },
			says:  []string{"IDENTITY", "replica-0/data", "corrupt", "it should be an object with the fields format, cluster, ", "it ends too early, at line "},
		},
		"identity with a number for a key": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/replica-0/data/IDENTITY", `"signingKey": "`, `"signingKey": 7, "x": "`)
			},
			says: []string{"IDENTITY", "replica-0/data", "corrupt", "signingKey is 7: write text in quotes"},
		},
		"identity with a field twice": {
			spoil: func(t *testing.T, dir string) {
				edit(t, dir+"/replica-0/data/IDENTITY", `"replica": 0`, `"replica": 0, "replica": 1`)
			},
			says: []string{"IDENTITY", "replica-0/data", "corrupt", `field "replica" is there twice`},
		},
		"data that is no folder": {
			spoil: func(t *testing.T, dir string) {
				require.NoError(t, os.RemoveAll(dir+"/replica-0/data"))
				require.NoError(t, os.WriteFile(dir+"/replica-0/data", nil, 0o600))
			},
			says: []string{"replica-0/data", "is not a folder: name another"},
		},
		"full disk": {
			spoil: func(t *testing.T, dir string) {},
			flags: []string{"--reserve", "1000000000000"},
			says:  []string{"disk full", "replica-0/data", "free some space"},
		},
		"admin address that is open to all": {
			spoil: func(t *testing.T, dir string) {},
			flags: []string{"--admin", "0.0.0.0:0"},
			says:  []string{"0.0.0.0:0", "loopback"},
		},
		"no such address here": {
			spoil: func(t *testing.T, dir string) {},
			flags: []string{"--listen", "192.0.2.1:20000"},
			says:  []string{"192.0.2.1", "--listen"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := makeCluster(t, 4)
			c.spoil(t, dir)
			args := append([]string{"start", "--dir", dir + "/replica-0"}, c.flags...)
			refused(t, exitFailed, args, append(c.says, "parley start: ")...)
			require.NotRegexp(t, `Go (struct|value)|[^.]json: (cannot|unknown)|uint64|localConfig`, parley(t, args...).err)
		})
	}
}

func TestStartPortInUse(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4)
	ros, err := roster.Load(dir + "/cluster.json")
	require.NoError(t, err)
	m := ros.Member(0)
	local, err := loadLocalConfig(dir + "/replica-0/replica.json")
	require.NoError(t, err)
	for _, address := range []string{m.PeerAddress, m.ClientAddress, local.AdminListen} {
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		refusedAfterLog(t, []string{"start", "--dir", dir + "/replica-0"}, address, "in use", "another program listens there")
		require.NoError(t, l.Close())
	}
}

// refusedAfterLog is refused for a failure that some lines of log may precede.
func refusedAfterLog(t *testing.T, args []string, says ...string) {
	t.Helper()
	o := parley(t, args...)
	require.Equal(t, exitFailed, o.code, o.err)
	last := o.err[strings.LastIndex(strings.TrimSpace(o.err), "\n")+1:]
	require.Equal(t, strings.Count(last, "listens there"), strings.Count(strings.Join(says, " "), "listens there"), "one remedy is enough: %s", last)
	for _, s := range says {
		require.Contains(t, last, s)
	}
}

// A store that was damaged ends in a message, whichever of its files it is.
func TestStartDamagedStore(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 1)
	p := startProcesses(t, dir, 1)
	must(t, "put", "--dir", dir, "a", "b")
	p.kill(0)
	damaged := 0
	store := filepath.Join(dir, "replica-0", "data", "store")
	require.NoError(t, filepath.WalkDir(store, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "MANIFEST") {
			damaged++
			err = os.WriteFile(path, []byte("not what was written here"), 0o600)
		}
		return err
	}))
	require.NotZero(t, damaged)
	refusedAfterLog(t, []string{"start", "--dir", dir + "/replica-0"}, "parley start: ", store)
}

func TestStartTwice(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 1)
	startProcesses(t, dir, 1)
	must(t, "put", "--dir", dir, "a", "b")
	refusedAfterLog(t, []string{"start", "--dir", dir + "/replica-0"}, "data folder is in use", "replica-0/data", "stop that process first")
}

func TestStartLogsJSON(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 1)
	edit(t, dir+"/replica-0/replica.json", `"logFormat": "text"`, `"logFormat": "json"`)
	p := startProcesses(t, dir, 1)
	must(t, "put", "--dir", dir, "a", "b")
	p.stop(0)
	data, err := os.ReadFile(replicaLogPath(dir, 0))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.NotEmpty(t, lines)
	for _, line := range lines {
		var entry struct {
			Time  time.Time
			Level string
			Msg   string
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		require.NotEmpty(t, entry.Msg)
	}
	require.Contains(t, lastLine(dir, 0), "replica stopped")
}

// Of a log only the end is read.
func TestLastLine(t *testing.T) {
	dir := t.TempDir()
	require.Empty(t, lastLine(dir, 0))
	require.NoError(t, os.Mkdir(replicaDir(dir, 0), 0o700))
	for text, want := range map[string]string{
		"": "", "\n\n": "", "only": "only", "first\nlast\n\n": "last",
		strings.Repeat("line\n", maxLastLine) + "last\n": "last",
		strings.Repeat("x", 2*maxLastLine):               strings.Repeat("x", maxLastLine),
	} {
		require.NoError(t, os.WriteFile(replicaLogPath(dir, 0), []byte(text), 0o600))
		require.Equal(t, want, lastLine(dir, 0))
	}
}

func FuzzLocalConfig(f *testing.F) {
	path := filepath.Join(f.TempDir(), "replica.json")
	require.NoError(f, defaultLocalConfig().write(path))
	example, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(example)
	f.Add([]byte(`{"format":1,"tick":"5ms"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "replica.json")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		c, err := loadLocalConfig(path)
		if err == nil {
			require.NoError(t, c.validate())
			require.Equal(t, localFormat, c.Format)
		}
	})
}
