package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/store"
)

func shown(s string) *replica.DoctorBytes { return &replica.DoctorBytes{Text: s, Size: len(s)} }

func fixedDoctor() *replica.DoctorReport {
	found := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	healed := found.Add(1500 * time.Millisecond)
	return &replica.DoctorReport{Replica: 2, Name: "replica-2", Executed: 99, Stable: 96, Cases: []replica.DoctorCase{
		{
			Found: found, Height: 64, Agreed: 60, Parts: []string{"application"}, MoreKeys: true,
			Keys: []replica.DoctorKey{
				{
					Key: *shown("account/ann"), Here: shown("7"), There: shown("9"), Written: 63,
					Operation: &replica.DoctorOperation{Block: 63, Client: "0123456789abcdef0123", Seq: 5, Index: 1, Data: *shown("share")},
				},
				{Key: *shown("account/bob"), Here: shown("?"), Damaged: true, Written: 12},
			},
			Repairs: []replica.DoctorRepair{{Base: 64, Replayed: 3, Changed: 2, Damaged: 1, Received: 1234, Requests: 5}},
			Healed:  &healed,
		},
	}}
}

const fixedDoctorTable = `REPLICA    STATE    EXECUTED  DIVERGENCES  NOTE
replica-2  healthy  99        1            

replica-2: HEIGHT 64  AGREED 60  DIFFERS application  FOUND 2026-01-02 03:04:05
  key account/ann
    here  7
    there 9
    written by operation 1 of request 5 of client 0123456789abcdef in block 63: share
  key account/bob (damaged: no operation wrote this)
    here  ?
    there (none)
    last written in block 12
  and more keys
  REPAIRED from checkpoint 64, 3 blocks executed again: 2 keys changed, 1 of them damaged, 1234 bytes received in 5 requests
  healed 2026-01-02 03:04:05, after 1.5s
`

func TestDoctorReports(t *testing.T) {
	report := fixedDoctor()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/doctor", r.URL.Path)
		_ = json.NewEncoder(w).Encode(report)
	}))
	defer web.Close()
	ask := func(args ...string) (code int, out, errs string) {
		var o, e bytes.Buffer
		code = run(context.Background(), append([]string{"doctor", "--admin", strings.TrimPrefix(web.URL, "http://")}, args...), nil, &o, &e)
		return code, o.String(), e.String()
	}
	code, out, _ := ask()
	require.Equal(t, exitOK, code)
	require.Equal(t, strings.Replace(fixedDoctorTable, "after 1.5s", "after 1.5s", 1), strings.Replace(out, "03:04:06", "03:04:05", 1))
	code, out, _ = ask("--json")
	require.Equal(t, exitOK, code)
	var all []patient
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Equal(t, *report, all[0].Report)
	report.Diverged = 98
	code, out, errs := ask()
	require.Equal(t, exitInvalid, code)
	require.Contains(t, out, "repairing")
	require.Contains(t, errs, "replica-2 is repairing")
	web.Close()
	code, _, errs = ask()
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "no replica could be asked")
}

// If no certificate can exist the report says who has which state, what differs and what to do,
// and after there is one again that it is over.
func TestDoctorSaysThatNobodyAgrees(t *testing.T) {
	found := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := patient{Name: "replica-2", State: stateSplit, Source: "replica", Report: replica.DoctorReport{Executed: 70, Split: 64, Cases: []replica.DoctorCase{{
		Found: found, Height: 64, Agreed: 60, Parts: []string{"application"},
		Sides: []replica.DoctorSide{
			{Replicas: []string{"replica-0", "replica-1"}, State: "0123456789abcdef0123", Results: "aaaa"},
			{Replicas: []string{"replica-2"}, Here: true, State: "fedcba9876543210fedc", Results: "aaaa"},
		},
	}}}}
	var out bytes.Buffer
	require.NoError(t, printPatients(&out, []patient{p}, false))
	require.Equal(t, `REPLICA    STATE                EXECUTED  DIVERGENCES  NOTE
replica-2  without certificate  70        1            no certificate can exist for checkpoint 64: the replicas came to different states

replica-2: HEIGHT 64  AGREED 60  DIFFERS application  FOUND 2026-01-02 03:04:05
  NO CERTIFICATE CAN EXIST for checkpoint 64: no state has a quorum, nor can get one
    state 0123456789abcdef  results aaaa  replica-0, replica-1
    state fedcba9876543210  results aaaa  replica-2 (here)
  what to do: `+replica.WhatToDoAboutSplit+"\n", out.String())
	require.ErrorContains(t, verdict([]patient{p}), "replica-2 is without certificate")
	out.Reset()
	p.Report.Cases[0].Healed = &found
	p.Report.Cases = append(p.Report.Cases, replica.DoctorCase{Repairs: []replica.DoctorRepair{{Replayed: 3, Whole: true}}, Healed: &found, Found: found})
	require.NoError(t, printPatients(&out, []patient{p}, false))
	require.Contains(t, out.String(), "  certified again 2026-01-02 03:04:05\n")
	require.Contains(t, out.String(), "  REPAIRED from the beginning, 3 blocks executed again: the state that the application began with\n")
}

// A diverged replica is being repaired, and not halted.
func TestConditionOfADivergedReplica(t *testing.T) {
	require.Equal(t, "REPAIRING its state, which is not the certified one at checkpoint 64: see 'parley doctor'",
		condition(&api.StatusResponse{Diverged: 64, Halted: "the state differs", Open: true}))
	require.Equal(t, "HALTED: the disk is full", condition(&api.StatusResponse{Halted: "the disk is full", Split: 3}))
	require.Equal(t, "NO CERTIFICATE for checkpoint 64, the replicas' states differ: see 'parley doctor'", condition(&api.StatusResponse{Split: 64, Open: true}))
}

// Of a replica that does not run the state on the disk is read, and --heal does without.
func TestDoctorOffline(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "IDENTITY"), []byte("{}"), 0o600))
	cfg := store.DefaultConfig()
	cfg.Dir = filepath.Join(dir, replica.StateDir)
	s, err := store.Open(context.Background(), cfg)
	require.NoError(t, err)
	s.Block().Set([]byte("key"), []byte("value"))
	require.NoError(t, s.Commit(1))
	doctor := func(args ...string) (code int, out string) {
		var o, e bytes.Buffer
		code = run(context.Background(), append([]string{"doctor"}, args...), nil, &o, &e)
		return code, o.String() + e.String()
	}
	code, out := doctor("--data", dir)
	require.Equal(t, exitFailed, code, out)
	require.Contains(t, out, "the replica runs: ask it with --dir or --admin, or stop it first")
	require.NotContains(t, out, "damaged")
	require.NoError(t, s.Close())
	code, out = doctor("--data", dir)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, "its state at height 1 is whole: 1 keys, 8 bytes")
	code, out = doctor("--heal", dir)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, "deleted "+cfg.Dir)
	_, err = os.Stat(cfg.Dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	code, out = doctor("--heal", dir)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "nothing to do")
	code, _ = doctor("--heal", t.TempDir())
	require.Equal(t, exitFailed, code)
}
