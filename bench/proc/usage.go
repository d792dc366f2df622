// Package proc starts replicas as processes and reads what they use.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what processes have used since they began.
type Usage struct {
	CPU     time.Duration // user and system
	PeakMiB float64       // resident, of the largest
	Written int64         // bytes given to the block layer
}

// clockTick is the unit of the kernel's processor times.
const clockTick = 10 * time.Millisecond

// Read adds up what processes used. One that has ended counts as nothing.
func Read(pids []int) (u Usage) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		for _, f := range fields[11:13] {
			ticks, _ := strconv.ParseInt(f, 10, 64)
			u.CPU += time.Duration(ticks) * clockTick
		}
		u.PeakMiB = max(u.PeakMiB, float64(value(pid, "status", "VmHWM:"))/1024)
		u.Written += value(pid, "io", "write_bytes:")
	}
	return u
}

// ForgetPeak lets the peak sizes begin anew.
func ForgetPeak(pids []int) {
	for _, pid := range pids {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
	}
}

// RSS is the resident size of the largest process, in MiB.
func RSS(pids []int) (largest float64) {
	for _, pid := range pids {
		largest = max(largest, float64(value(pid, "status", "VmRSS:"))/1024)
	}
	return largest
}

func value(pid int, file, name string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			v, _ := strconv.ParseInt(f[1], 10, 64)
			return v
		}
	}
	return 0
}
