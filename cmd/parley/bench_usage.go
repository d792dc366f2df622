package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// benchUsage is what the replicas' processes used within a measurement.
type benchUsage struct {
	Processes int `json:"processes"`
	// CPUPerThousand is processor seconds, user and system, of all replicas together
	// for 1000 operations, ClientCPUPerThousand those of the measuring process.
	CPUPerThousand       float64 `json:"cpuSecondsPer1000"`
	ClientCPUPerThousand float64 `json:"clientCPUSecondsPer1000"`
	// PeakMiB is the largest resident size of any replica.
	PeakMiB float64 `json:"peakRSSMiB"`
	// WrittenPerOperation is the bytes that all replicas gave to the block layer.
	WrittenPerOperation float64 `json:"writtenBytesPerOperation"`
}

// processUsage is what processes have used since they began.
type processUsage struct {
	cpu     time.Duration
	written int64
	peakMiB float64
}

// clockTick is the unit of /proc's processor times on every Linux there is.
const clockTick = 10 * time.Millisecond

// replicaPIDs are the processes of the cluster's replicas on this machine: those
// that --pids names, else those whose numbers stand in the cluster's folder and that
// are what they should be.
func (b *bench) replicaPIDs(replicas int) []int {
	if len(b.pids) > 0 || b.dir == "" {
		return b.pids
	}
	var pids []int
	for i := range replicas {
		text, err := os.ReadFile(pidPath(b.dir, i))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || !runsReplica(pid, replicaName(i)) {
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}

// runsReplica tells whether the process was started as 'parley start' of this
// replica: the number may be another's by now.
func runsReplica(pid int, name string) bool {
	line, err := os.ReadFile(procFile(pid, "cmdline"))
	if err != nil {
		return false
	}
	args := bytes.Split(line, []byte{0})
	started := false
	for _, a := range args {
		started = started || string(a) == "start"
		if started && filepath.Base(string(a)) == name {
			return true
		}
	}
	return false
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// forgetPeak lets a process's peak size begin anew, where that is permitted.
func forgetPeak(pid int) { _ = os.WriteFile(procFile(pid, "clear_refs"), []byte("5"), 0o200) }

// readUsage adds up what the processes used. Those that have ended count as nothing.
func readUsage(pids []int) (u processUsage) {
	for _, pid := range pids {
		one, err := readProcess(pid)
		if err != nil {
			continue
		}
		u.cpu += one.cpu
		u.written += one.written
		u.peakMiB = max(u.peakMiB, one.peakMiB)
	}
	return u
}

func readProcess(pid int) (u processUsage, err error) {
	stat, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return u, err
	}
	// The name in parentheses may hold anything; user and system time are the 14th
	// and 15th field, of which two come before the end of the name.
	_, after, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return u, fmt.Errorf("/proc/%d/stat has %d fields after the name", pid, len(fields))
	}
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(ticks) * clockTick
	}
	u.peakMiB = float64(procValue(pid, "status", "VmHWM:")) / 1024
	u.written = procValue(pid, "io", "write_bytes:")
	return u, nil
}

// procValue is the number after a name in one of /proc's tables, 0 if it is not there.
func procValue(pid int, file, name string) int64 {
	text, err := os.ReadFile(procFile(pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			v, _ := strconv.ParseInt(fields[1], 10, 64)
			return v
		}
	}
	return 0
}

// usageMeter reads what processes use at the beginning and end of a window.
type usageMeter struct {
	pids         []int
	before, self processUsage
}

func newUsageMeter(pids []int) *usageMeter { return &usageMeter{pids: pids} }

func (m *usageMeter) begin() {
	for _, pid := range m.pids {
		forgetPeak(pid)
	}
	m.before, m.self = readUsage(m.pids), readUsage([]int{os.Getpid()})
}

// end returns what was used for so many operations, nil if that is not known.
func (m *usageMeter) end() func(operations int64) *benchUsage {
	after, self := readUsage(m.pids), readUsage([]int{os.Getpid()})
	return func(operations int64) *benchUsage {
		if len(m.pids) == 0 || operations == 0 {
			return nil
		}
		per := 1000 / float64(operations)
		return &benchUsage{
			Processes:            len(m.pids),
			CPUPerThousand:       (after.cpu - m.before.cpu).Seconds() * per,
			ClientCPUPerThousand: (self.cpu - m.self.cpu).Seconds() * per,
			PeakMiB:              after.peakMiB,
			WrittenPerOperation:  float64(after.written-m.before.written) / float64(operations),
		}
	}
}
