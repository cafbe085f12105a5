package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// scratchPrefix begins the name of every database that a bench makes, so that one
// left by a killed bench can be told from others.
const scratchPrefix = "hookkeeper_bench_"

// Scratch is a PostgreSQL database made for one run.
type Scratch struct {
	URL string // of the new database

	server, name string
}

// NewScratch makes an empty database on the server that the URL names, which is
// itself never written to. The role needs the right to make databases.
func NewScratch(ctx context.Context, server string) (*Scratch, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the server's address must look like postgres://user@host:5432/name") // it may hold a password
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails
	s := &Scratch{server: server, name: scratchPrefix + hex.EncodeToString(random)}
	u.Path = "/" + s.name
	s.URL = u.String()
	err = s.command(ctx, "CREATE DATABASE "+s.name+" TEMPLATE template0 ENCODING 'UTF8'")
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" {
		return nil, errors.New("the role may not make a database of its own to measure in: GRANT it CREATEDB, or name another role")
	}
	if err != nil {
		return nil, fmt.Errorf("make a database to measure in: %w", err)
	}
	return s, nil
}

// Drop removes the database, also under connections that are still open. A repeat
// does nothing.
func (s *Scratch) Drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also after ctx has ended
	defer cancel()
	if err := s.command(ctx, "DROP DATABASE IF EXISTS "+s.name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop the database %s, which was only for measuring: %w", s.name, err)
	}
	return nil
}

func (s *Scratch) command(ctx context.Context, text string) error {
	config, err := pgx.ParseConfig(s.server)
	if err != nil {
		return errors.New("the server's address cannot be read")
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // works through poolers
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = c.Exec(ctx, text)
	return errors.Join(err, c.Close(ctx))
}
