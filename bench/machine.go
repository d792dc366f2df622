package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine says in one line where it was measured.
func machine() string {
	parts := []string{fmt.Sprintf("%d processors", runtime.NumCPU()), runtime.GOOS + "/" + runtime.GOARCH}
	if m := fileField("/proc/cpuinfo", "model name"); m != "" {
		parts = append(parts, m)
	}
	if m, err := strconv.Atoi(strings.TrimSuffix(fileField("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		parts = append(parts, fmt.Sprintf("%d GiB", (m+1<<19)>>20))
	}
	if k, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		parts = append(parts, "Linux "+strings.TrimSpace(string(k)))
	}
	return strings.Join(parts, ", ")
}

// loadAverage is the machine's of the last minute: above the number of processors
// before a run, others were at work.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	v, _ := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	return v
}

// fileField is what follows "name:" in a file of such lines.
func fileField(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// loopback is how many bytes the loopback interface has carried.
func loopback() int64 {
	fields := strings.Fields(fileField("/proc/net/dev", "lo"))
	if len(fields) == 0 {
		return 0
	}
	v, _ := strconv.ParseInt(fields[0], 10, 64)
	return v
}
