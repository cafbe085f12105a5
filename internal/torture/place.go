package torture

import (
	"context"
	"errors"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
	"github.com/hookkeeper/hookkeeper/internal/history"
	"github.com/hookkeeper/hookkeeper/internal/wire"
)

// place is where a run keeps its events: a file, or a database of its own on a
// server, each node through a proxy of its own if connections are to be cut.
type place struct {
	url      string            // for exports
	urls     []string          // for each node
	database *cluster.Database // nil: a file
	proxies  []*wire.Proxy     // one for each node, or none
	server   *cluster.Cluster  // ours, or nil
	earlier  int               // deadlocks in its log from before the run
}

// tidyWithin bounds what a run does after itself.
const tidyWithin = 20 * time.Second

func newPlace(ctx context.Context, o *Options) (*place, error) {
	p := &place{url: "sqlite:" + inDir(o.Dir, "hookkeeper.db"), server: o.Cluster}
	if o.shared() {
		server := o.Server
		if o.Cluster != nil {
			server = o.Cluster.URL("postgres")
		}
		var err error
		if p.database, err = cluster.Own(ctx, server, "torture"); err != nil {
			return nil, err
		}
		p.url = p.database.URL()
	}
	if p.server != nil {
		var err error
		if p.earlier, err = p.server.Deadlocks(); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	for range o.Nodes {
		url := p.url
		if o.Fault == history.FaultCut {
			proxied, err := p.through()
			if err != nil {
				return nil, errors.Join(err, p.close())
			}
			url = proxied
		}
		p.urls = append(p.urls, url)
	}
	return p, nil
}

// through begins another proxy before the database.
func (p *place) through() (string, error) {
	proxy, err := wire.Listen(p.database.Dial)
	if err != nil {
		return "", err
	}
	p.proxies = append(p.proxies, proxy)
	return p.database.Through(proxy.Addr())
}

func (p *place) kind() string {
	if p.database != nil {
		return "PostgreSQL"
	}
	return "SQLite"
}

// deadlocks counts those of the run: by the log where we can read it, for a
// crash of the server clears its own count.
func (p *place) deadlocks() (int, error) {
	if p.server != nil {
		n, err := p.server.Deadlocks()
		return n - p.earlier, err
	}
	if p.database == nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyWithin)
	defer cancel()
	return p.database.Deadlocks(ctx)
}

// close ends the proxies and drops the database. A file stays.
func (p *place) close() error {
	var all []error
	for _, proxy := range p.proxies {
		all = append(all, proxy.Close())
	}
	if p.database != nil {
		ctx, cancel := context.WithTimeout(context.Background(), tidyWithin)
		defer cancel()
		all = append(all, p.database.Drop(ctx))
	}
	return errors.Join(all...)
}
