package hookkeeper

import "github.com/hookkeeper/hookkeeper/internal/ingest"

// MemoryLimit returns how many bytes this process may use: the smallest of
// GOMEMLIMIT, the limit of its control group, and the machine's memory. The
// default of Config.MaxBytesInFlight is an eighth of it.
func MemoryLimit() int64 { return ingest.MemoryLimit() }
