package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database is a database of our own on some server.
type Database struct {
	server string // URL of the database from which it was made
	name   string
	url    string
}

// Own makes a new, empty database on the server of the URL, whose role needs the
// right to do so; the purpose, a word of a-z, stands in its name, so that one left
// behind by a killed program can be told from others. The database that the URL
// names is only connected to.
func Own(ctx context.Context, server, purpose string) (*Database, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the server's address must look like postgres://user@host:5432/name") // it may hold a password
	}
	suffix := make([]byte, 6)
	_, _ = rand.Read(suffix) // never fails
	d := &Database{server: server, name: "hookkeeper_" + purpose + "_" + hex.EncodeToString(suffix)}
	u.Path = "/" + d.name
	d.url = u.String()
	err = d.order(ctx, "CREATE DATABASE "+d.name+" TEMPLATE template0 ENCODING 'UTF8'")
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" {
		return nil, errors.New("the role may not make a database of its own: GRANT it CREATEDB, or name another role")
	}
	if err != nil {
		return nil, fmt.Errorf("make a database of our own: %w", err)
	}
	return d, nil
}

// URL is the address of the database.
func (d *Database) URL() string { return d.url }

// Drop removes the database, also from under connections that are left. A repeat
// does nothing.
func (d *Database) Drop(ctx context.Context) error {
	if err := d.order(ctx, "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", d.name, err)
	}
	return nil
}

func (d *Database) order(ctx context.Context, sql string) error {
	config, err := pgx.ParseConfig(d.server)
	if err != nil {
		return errors.New("the server's address cannot be read") // it may hold a password
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // works through poolers
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// Deadlocks is how many deadlocks the server has broken up in this database. A
// crash of the server forgets the earlier ones.
func (d *Database) Deadlocks(ctx context.Context) (n int, err error) {
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	return n, errors.Join(err, conn.Close(ctx))
}

// Through is the URL of the database for clients that connect to address, where
// somebody without encryption passes on what they say.
func (d *Database) Through(address string) (string, error) {
	u, err := url.Parse(d.url)
	if err != nil {
		return "", err
	}
	u.Host = address
	q := u.Query()
	for _, of := range []string{"host", "port", "sslrootcert", "sslcert", "sslkey", "channel_binding", "sslnegotiation"} {
		q.Del(of)
	}
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Dial connects to the server as far as a client would before its first word:
// with encryption if the URL asks for it.
func (d *Database) Dial(ctx context.Context) (net.Conn, error) {
	c, err := pgconn.ParseConfig(d.url)
	if err != nil {
		return nil, errors.New("database: its URL is not understood")
	}
	network, address := pgconn.NetworkAddress(c.Host, c.Port)
	conn, err := c.DialFunc(ctx, network, address)
	if err != nil || c.TLSConfig == nil || network == "unix" {
		return conn, err
	}
	return encrypted(ctx, conn, c)
}
