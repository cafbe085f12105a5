package bench

import (
	"fmt"
	"net/http"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept from a microsecond to this, to three digits.
const longestLatency = time.Minute

// Result is what one run measured.
type Result struct {
	Answered int           // honest deliveries answered 200
	Refused  int           // honest deliveries answered otherwise, or not at all
	Caught   int           // forgeries answered 4xx
	Believed int           // forgeries answered otherwise
	Elapsed  time.Duration // from the first delivery to the last answer

	load      *Load
	codes     []uint16
	latencies []time.Duration
	histogram *hdrhistogram.Histogram // of honest deliveries answered 200, in microseconds
}

func newResult(load *Load) *Result {
	return &Result{load: load, codes: make([]uint16, load.Len()), latencies: make([]time.Duration, load.Len()),
		histogram: hdrhistogram.New(1, longestLatency.Microseconds(), 3)}
}

// count sorts the answers once all are there.
func (r *Result) count() {
	for i, code := range r.codes {
		switch {
		case r.load.forged[i] && code >= 400 && code < 500:
			r.Caught++
		case r.load.forged[i]:
			r.Believed++
		case code != http.StatusOK:
			r.Refused++
		default:
			r.Answered++
			us := min(max(r.latencies[i].Microseconds(), 1), longestLatency.Microseconds())
			_ = r.histogram.RecordValue(us) // cannot fail: us is within its bounds
		}
	}
}

// Rate is the number of deliveries a second that were answered as they should
// be: honest ones 200, forgeries 4xx.
func (r *Result) Rate() float64 { return float64(r.Answered+r.Caught) / r.Elapsed.Seconds() }

// Quantile is the latency that the share q of the honest deliveries answered 200
// stays below.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.histogram.ValueAtQuantile(q*100)) * time.Microsecond
}

// Latencies are the quantiles that a chart shows, of several runs together.
func Latencies(runs ...*Result) []Point {
	all := hdrhistogram.New(1, longestLatency.Microseconds(), 3)
	for _, r := range runs {
		all.Merge(r.histogram)
	}
	var points []Point
	for _, b := range all.CumulativeDistribution() {
		if b.Quantile < 100 { // the last has no place on a scale of nines
			points = append(points, Point{Quantile: b.Quantile / 100, Latency: time.Duration(b.ValueAt) * time.Microsecond})
		}
	}
	return points
}

// Statuses counts the honest deliveries by how they were answered at last; 0 is
// no answer.
func (r *Result) Statuses() map[int]int {
	counts := map[int]int{}
	for i, code := range r.codes {
		if !r.load.forged[i] {
			counts[int(code)]++
		}
	}
	return counts
}

// Check compares what was answered with what is kept: every event answered 200
// must be found, and no event of a forgery. has reports whether an event is kept,
// deliveries is how often events of this load were delivered by the database's
// own account. It returns how many acknowledged events are missing.
func (r *Result) Check(has func(id string) bool, deliveries int) (missing int, err error) {
	acknowledged := map[string]bool{}
	for i, code := range r.codes {
		id := r.load.ID(i)
		switch {
		case r.load.forged[i]:
			if has(id) {
				return 0, fmt.Errorf("event %s is kept although its signature was forged", id)
			}
		case code == http.StatusOK && !acknowledged[id]:
			acknowledged[id] = true
			if !has(id) {
				missing++
			}
		}
	}
	if missing > 0 {
		return missing, fmt.Errorf("%d of %d acknowledged events were not found afterwards", missing, len(acknowledged))
	}
	if deliveries != r.Answered {
		return 0, fmt.Errorf("acknowledged %d deliveries, found %d afterwards", r.Answered, deliveries)
	}
	return 0, nil
}

// Events gives the ids of the honest events, each once, in order.
func (l *Load) Events() []string {
	var ids []string
	seen := map[int32]bool{}
	for i, event := range l.events {
		if !l.forged[i] && !seen[event] {
			seen[event] = true
			ids = append(ids, l.ID(i))
		}
	}
	return ids
}

// Unanswered is a load of the deliveries that were not answered 200, with the
// same bytes; forgeries are left out.
func (r *Result) Unanswered() *Load {
	l := &Load{tail: r.load.tail, series: r.load.series}
	for i, code := range r.codes {
		if code != http.StatusOK && !r.load.forged[i] {
			l.heads = append(l.heads, r.load.heads[i])
			l.events = append(l.events, r.load.events[i])
			l.forged = append(l.forged, false)
		}
	}
	return l
}

// String sums the run up in one line.
func (r *Result) String() string {
	return fmt.Sprintf("%d answered, %d refused, %d forgeries caught, %d believed in %s",
		r.Answered, r.Refused, r.Caught, r.Believed, r.Elapsed.Round(time.Millisecond))
}
