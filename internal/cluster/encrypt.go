package cluster

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// sslRequest is the code by which a client of PostgreSQL asks for encryption.
const sslRequest = 80877103

// encrypted asks the server for encryption and begins it.
func encrypted(ctx context.Context, conn net.Conn, c *pgconn.Config) (net.Conn, error) {
	ask := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), sslRequest)
	if _, err := conn.Write(ask); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if answer[0] != 'S' {
		return nil, errors.Join(errors.New("the server takes no encrypted connections"), conn.Close())
	}
	secure := tls.Client(conn, c.TLSConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}
