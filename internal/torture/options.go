package torture

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// Options describe one run. The zero values of all but Binary and Dir are the
// standard load without a fault, on one node and a SQLite file.
type Options struct {
	// Binary is a hookkeeper. Required.
	Binary string
	// Child are the arguments that make Binary a node, Effects those that make
	// it print the effects; empty means torture --child and torture --effects.
	Child, Effects []string
	// Dir takes the files of the run, a SQLite database and the logs of the
	// nodes; it is made if it does not exist and must hold no earlier run.
	// Required.
	Dir string
	// Discard removes Dir after a run that held; the report then names no files.
	Discard bool
	// Server is the URL of a PostgreSQL server on which the run makes a database
	// of its own; empty means a SQLite file in Dir, or Cluster.
	Server string
	// Cluster is a PostgreSQL server of our own, which the faults of a database
	// server need. It takes the place of Server.
	Cluster *cluster.Cluster
	// Nodes is how many nodes share the database; 0 means one. A SQLite file has
	// one.
	Nodes int
	// Events is the number of events; 0 means 5000.
	Events int
	// Seed decides the load and the moments of the faults; 0 means 1.
	Seed uint64
	// Senders work at the same time; 0 means 16.
	Senders int
	// NeedsPercent of the events of the ordered source wait for a later event
	// of their subject. The standard load has none.
	NeedsPercent int
	// SlowPercent of the handlers take between SlowMin and SlowMax; 0 means 4 %
	// and 5 to 14 ms.
	SlowPercent      int
	SlowMin, SlowMax time.Duration

	// Fault is what is done while the load runs; empty means FaultNone.
	Fault history.FaultKind
	// Faults is how many of them must land.
	Faults int
	// UptimeMin and UptimeMax bound the time between two faults; 0 means what
	// suits the fault.
	UptimeMin, UptimeMax time.Duration
	// Outage is how long the database is away each time; 0 means 6 s.
	Outage time.Duration
	// Mutant is the known-bad variant to run, and Failpoint the failpoint to
	// arm, as HK_MUTANT and HK_FAILPOINT; empty means none. Only a build with
	// the tag hktest heeds them.
	Mutant, Failpoint string
	// Env is added to the environment of the nodes.
	Env []string

	// Lease, Limit, Slots and Waiting configure the workers; 0 means 600 ms,
	// 2 s, 8 and 30 s.
	Lease, Limit, Waiting time.Duration
	Slots                 int
	// Attempts is the most that a job may have. It must be above the faults
	// that one job can meet, for lost attempts count; 0 means the faults and
	// ten more. (At most twice as many faults are made as must land, and a
	// lease outlasts a round: a lost job meets at most every second of them.)
	Attempts int
	// TakeoverWithin is how long a lapsed lease may lie about; 0 means that
	// nobody asks.
	TakeoverWithin time.Duration
	// Drain is the time that work has to end after the last fault; 0 means two
	// minutes. What is not final after it never will be.
	Drain time.Duration

	// Out takes the summary; nil means that nothing is printed.
	Out io.Writer
	// Progress is told how many of how many faults have landed, or with
	// FaultNone how many events are let through; nil means that nobody asks.
	Progress func(done, of int)
}

// senderTimeout is how long a sender waits for an answer. GitHub and Toss wait
// 10 s; with less than 5 s a late answer could not be seen.
const senderTimeout = 10 * time.Second

func (o Options) withDefaults() (Options, error) {
	o.defaultFault()
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{
		{&o.SlowMin, 5 * time.Millisecond}, {&o.SlowMax, 14 * time.Millisecond},
		{&o.Lease, 600 * time.Millisecond}, {&o.Limit, 2 * time.Second},
		{&o.Waiting, 30 * time.Second}, {&o.Drain, 2 * time.Minute}, {&o.Outage, 6 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	for _, d := range []struct {
		value *int
		zero  int
	}{
		{&o.Nodes, 1}, {&o.Events, 5000}, {&o.Senders, 16}, {&o.SlowPercent, 4}, {&o.Slots, 8}, {&o.Attempts, o.Faults + 10},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Child == nil {
		o.Child = []string{"torture", "--child"}
	}
	if o.Effects == nil {
		o.Effects = []string{"torture", "--effects"}
	}
	return o, o.check()
}

// defaultFault fills in what depends on the fault.
func (o *Options) defaultFault() {
	if o.Fault == "" {
		o.Fault = history.FaultNone
	}
	least, most := 60*time.Millisecond, 500*time.Millisecond
	switch {
	case o.Fault == history.FaultCut: // nobody has to start again
		least, most = 10*time.Millisecond, 100*time.Millisecond
	case o.Fault == history.FaultDatabaseStop, o.Fault == history.FaultDatabaseFreeze:
		least, most = time.Second, 2*time.Second
	case o.Nodes > 1:
		least, most = 200*time.Millisecond, time.Second
	}
	if o.UptimeMax == 0 {
		o.UptimeMin, o.UptimeMax = least, most
	}
}

// shared reports whether the run is on a database server.
func (o *Options) shared() bool { return o.Server != "" || o.Cluster != nil }

func (o *Options) check() error {
	switch {
	case o.Binary == "":
		return errors.New("torture: no binary: name a hookkeeper")
	case o.Dir == "":
		return errors.New("torture: no folder for the files of the run")
	case o.Events < 1 || o.Senders < 1 || o.Faults < 0 || o.Nodes < 1:
		return errors.New("torture: events, senders and nodes must be positive, faults not negative")
	case o.SlowMax < o.SlowMin:
		return errors.New("torture: the slowest handler is faster than the fastest")
	case o.UptimeMin < 0 || o.UptimeMax <= o.UptimeMin:
		return errors.New("torture: the longest uptime must be above the shortest")
	case o.Nodes > 1 && !o.shared():
		return errors.New("torture: a SQLite file has one node: several need a PostgreSQL server")
	}
	return o.checkFault()
}

func (o *Options) checkFault() error {
	switch o.Fault {
	case history.FaultNone:
		if o.Faults > 0 {
			return errors.New("torture: a number of faults, but no kind of fault")
		}
		return nil
	case history.FaultKill, history.FaultStop, history.FaultTerm:
	case history.FaultCut:
		if !o.shared() {
			return fmt.Errorf("torture: fault %s needs a PostgreSQL server: a SQLite file has no connection", o.Fault)
		}
	case history.FaultDatabaseStop, history.FaultDatabaseFreeze:
		if o.Cluster == nil {
			return fmt.Errorf("torture: fault %s needs a PostgreSQL of our own: no other is ever stopped", o.Fault)
		}
	default:
		return fmt.Errorf("torture: unknown fault %q: use kill, stop, term, cut, database-stop, database-freeze or none", o.Fault)
	}
	if o.Faults == 0 {
		return fmt.Errorf("torture: fault %s without a number of faults", o.Fault)
	}
	return nil
}
