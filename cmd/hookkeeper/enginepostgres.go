package main

import (
	"context"
	"errors"

	"github.com/hookkeeper/hookkeeper/hook"
)

// postgresEngine is a database that many processes share.
type postgresEngine struct{ url string }

var errPostgresSoon = errors.New("this binary has no PostgreSQL engine, use sqlite:PATH")

func (e postgresEngine) open(context.Context, storeOptions) (hook.Store, error) {
	return nil, errPostgresSoon
}
func (e postgresEngine) busy(error) bool                        { return false }
func (e postgresEngine) reader(context.Context) (viewer, error) { return nil, errPostgresSoon }
func (e postgresEngine) schema(context.Context) (schemaState, error) {
	return schemaState{}, errPostgresSoon
}
func (e postgresEngine) shared() bool { return true }
func (e postgresEngine) name() string { return maskURL(e.url) }
