package ingest

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// MemoryLimit is what the process may use: the smallest of GOMEMLIMIT, its
// cgroup's limit (v2 or v1) and the machine's memory.
func MemoryLimit() int64 {
	limit := int64(math.MaxInt64)
	if n := debug.SetMemoryLimit(-1); n > 0 {
		limit = min(limit, n)
	}
	for _, dir := range cgroupDirs("/proc/self/cgroup") {
		if n, ok := readBytes(dir); ok {
			limit = min(limit, n)
		}
	}
	if n, ok := machineMemory(); ok {
		limit = min(limit, n)
	}
	if limit == math.MaxInt64 {
		return 1 << 30 // nothing known: a small machine
	}
	return limit
}

// cgroupDirs lists the files that may hold this process's limit, of its own
// group and of every group above it.
func cgroupDirs(path string) []string {
	files := []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
	text, err := os.ReadFile(path)
	if err != nil {
		return files
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for group := parts[2]; group != "" && group != "/"; group = group[:max(strings.LastIndexByte(group, '/'), 0)] {
			switch parts[1] {
			case "":
				files = append(files, "/sys/fs/cgroup"+group+"/memory.max")
			case "memory":
				files = append(files, "/sys/fs/cgroup/memory"+group+"/memory.limit_in_bytes")
			}
		}
	}
	return files
}

// readBytes reads a limit; "max", an absurdly large number (v1's way to say
// none) and a missing file are no limit.
func readBytes(path string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n > 0 && n < 1<<50
}

func machineMemory() (int64, bool) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}
