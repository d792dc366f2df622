package main

import (
	"bytes"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// fixedTrace is ten blocks at replica 0, the first eight its own. In each every stage
// takes as many ms as its number, in the tenth ten times as long.
func fixedTrace() *replica.TraceReport {
	r := &replica.TraceReport{Replica: 0, Name: "replica-0"}
	for i := range 10 {
		b := replica.BlockTrace{
			Height: pbft.Height(101 + i), Requests: 16, Operations: 320, Bytes: 90 << 10,
			Syncs: uint64(7 + 2*i), Batches: uint64(9 + 3*i),
		}
		first := replica.StageReceived
		if i >= 8 {
			b.Proposer, first = 1, replica.StageProposal
		}
		at := time.Duration(i+1) * time.Second
		for s := first; s < replica.Stages; s++ {
			if s == replica.StageVerified && i < 8 {
				continue
			}
			took := time.Duration(s) * time.Millisecond
			if i == 9 {
				took *= 10
			}
			at += took
			b.Times[s] = at
		}
		if i < 2 {
			// The others' Commits were there before the own was on the disk.
			b.Times[replica.StageCommitted] = b.Times[replica.StagePrepared] + time.Millisecond
		}
		r.Blocks = append(r.Blocks, b)
	}
	return r
}

const fixedTable = `replica-0, primary: 8 blocks, 101 to 108; 16.0 requests, 320.0 operations and 90.0 KiB a block; 2.00 syncs a block, 1.50 batches a sync
STAGE              BLOCKS  MEDIAN MS  P90      P99       SHARE
received           -       -          -        -            -
signature checked  8       1.000      1.000    1.000      1.0%
taken up           8       2.000      2.000    2.000      2.0%
proposed           8       3.000      3.000    3.000      3.0% #
block durable      8       5.000      5.000    5.000      5.0% #
Prepare sent       8       6.000      6.000    6.000      5.9% #
prepared           8       7.000      7.000    7.000      6.9% ##
prepared, durable  6       8.000      8.000    8.000      5.9% #
Commit sent        6       9.000      9.000    9.000      6.7% ##
committed          8       10.000     10.000   10.000     7.7% ##
execution begun    8       11.000     37.000   37.000    17.3% ####
executed           8       12.000     12.000   12.000    11.9% ###
reply queued       8       13.000     13.000   13.000    12.9% ###
reply written      8       14.000     14.000   14.000    13.9% ###
total              8       101.000    101.000  101.000  100.0%

replica-0, backup: 2 blocks, 109 to 110; 16.0 requests, 320.0 operations and 90.0 KiB a block; 2.00 syncs a block, 1.50 batches a sync
STAGE              BLOCKS  MEDIAN MS  P90      P99       SHARE
proposal received  -       -          -        -            -
proposal verified  2       4.000      40.000   40.000     4.0% #
block durable      2       5.000      50.000   50.000     5.1% #
Prepare sent       2       6.000      60.000   60.000     6.1% ##
prepared           2       7.000      70.000   70.000     7.1% ##
prepared, durable  2       8.000      80.000   80.000     8.1% ##
Commit sent        2       9.000      90.000   90.000     9.1% ##
committed          2       10.000     100.000  100.000   10.1% ###
execution begun    2       11.000     110.000  110.000   11.1% ###
executed           2       12.000     120.000  120.000   12.1% ###
reply queued       2       13.000     130.000  130.000   13.1% ###
reply written      2       14.000     140.000  140.000   14.1% ####
total              2       99.000     990.000  990.000  100.0%

replica-1: has executed no block since it was started

replica-2: UNREACHABLE: connection refused
`

func TestTraceTable(t *testing.T) {
	replicas := []tracedReplica{
		{Name: "replica-0", Roles: summariseTrace(fixedTrace())},
		{Name: "replica-1"},
		{Name: "replica-2", Error: "connection refused"},
	}
	var out bytes.Buffer
	require.NoError(t, printTraces(&out, replicas, false))
	require.Equal(t, fixedTable, out.String())
}

func TestTraceOutOfReach(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := l.Addr().String()
	require.NoError(t, l.Close())
	o := parley(t, "trace", "--admin", gone)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, gone+": UNREACHABLE: ")
	require.Contains(t, o.out, "connection refused")
	require.Contains(t, o.err, "no replica could be asked")

	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "/debug/trace?blocks=7", r.URL.String())
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	o = parley(t, "trace", "--blocks", "7", "--admin", answer(404, "tracing is switched off"), "--admin", answer(200, "{"), "--admin", gone)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, "404 Not Found: tracing is switched off")
	require.Contains(t, o.out, "gives no trace: ")
	report, err := json.Marshal(fixedTrace())
	require.NoError(t, err)
	o = parley(t, "trace", "--blocks", "7", "--admin", gone, "--admin", answer(200, string(report)))
	require.Equal(t, exitOK, o.code)
	require.Contains(t, o.out, "UNREACHABLE")
	require.Contains(t, o.out, "replica-0, backup: 2 blocks, 109 to 110")

	refused(t, exitUsage, []string{"trace", "--blocks", "0", "--admin", gone}, "--blocks is 0")
	refused(t, exitUsage, []string{"trace", "--timeout", "0s", "--admin", gone}, "--timeout is 0s")
	refused(t, exitUsage, []string{"trace", "x"}, "unexpected argument")
	dir := makeCluster(t, 1)
	edit(t, dir+"/replica-0/replica.json", `"adminListen"`, `"pprof": false, "listen"`)
	o = parley(t, "trace", "--dir", dir)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, "names no admin address")
}

// A cluster of processes: every replica tells its stages.
func TestTraceOfProcesses(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4)
	startProcesses(t, dir, 4)
	type answer struct{ Replicas []tracedReplica }
	var a answer
	seen := func(role *tracedRole, stages ...string) bool {
		return !slices.ContainsFunc(stages, func(stage string) bool {
			return !slices.ContainsFunc(role.Stages, func(s tracedStage) bool { return s.Stage == stage })
		})
	}
	// A request may reach the primary by way of another replica, where its client was sooner
	// connected to that: until one came straight there are more.
	require.Eventually(t, func() bool {
		must(t, "put", "--dir", dir, "colour", "green")
		a = answer{}
		require.NoError(t, json.Unmarshal([]byte(must(t, "trace", "--dir", dir, "--json")), &a))
		least, straight := math.MaxInt, false
		for _, r := range a.Replicas {
			blocks := 0
			for _, role := range r.Roles {
				blocks += role.Blocks
				straight = straight || role.Role == rolePrimary && seen(&role, "received", "proposed", "block durable", "Prepare sent")
			}
			least = min(least, blocks)
		}
		return straight && least >= 3
	}, 60*time.Second, 50*time.Millisecond)
	require.Len(t, a.Replicas, 4)
	roles := make(map[string]int)
	for i, r := range a.Replicas {
		require.Equal(t, replicaName(i), r.Name)
		require.Empty(t, r.Error)
		for _, role := range r.Roles {
			roles[role.Role]++
			share := 0.0
			for _, s := range role.Stages {
				share += s.Share
			}
			require.InDelta(t, 1, share, 1e-9)
			require.True(t, seen(&role, "execution begun", "executed"), "%v", role.Stages)
		}
	}
	require.Positive(t, roles[rolePrimary])
	require.Positive(t, roles[roleBackup])
	table := must(t, "trace", "--dir", dir, "--blocks", "2")
	require.Contains(t, table, "replica-3, ")
	require.Contains(t, table, "2 blocks, ")
}
