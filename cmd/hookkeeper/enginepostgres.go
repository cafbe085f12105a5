package main

import (
	"context"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// postgresEngine is a database that many processes share.
type postgresEngine struct {
	url  string
	keys [][]byte
}

func (e postgresEngine) open(ctx context.Context, o storeOptions) (hook.Store, error) {
	s, err := postgres.Open(ctx, e.url, postgres.Options{Tables: o.tables, Search: o.search, Logger: o.log, EncryptionKeys: e.keys})
	if err != nil {
		return nil, err // not a nil *Store inside an interface
	}
	return s, nil
}

func (e postgresEngine) busy(error) bool { return false }

func (e postgresEngine) reader(ctx context.Context) (viewer, error) {
	r, err := postgres.OpenReadOnly(ctx, e.url, e.keys...)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (e postgresEngine) schema(ctx context.Context) (schemaState, error) {
	s, err := postgres.SchemaOf(ctx, e.url)
	return schemaState{s.Version, s.Known}, err
}

func (e postgresEngine) shared() bool { return true }

func (e postgresEngine) name() string { return maskURL(e.url) }
