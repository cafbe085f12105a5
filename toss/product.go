package toss

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Product is what a checkout sells.
type Product struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Price     int64      `json:"price"` // whole won
	Currency  string     `json:"currency"`
	Seats     *int64     `json:"seats"`    // null: without limit
	Taken     int64      `json:"taken"`    // held, being paid or registered
	OneEach   bool       `json:"one_each"` // one registration a buyer
	OpensAt   *time.Time `json:"opens_at"`
	ClosesAt  *time.Time `json:"closes_at"`
	Closed    bool       `json:"closed"`
	CreatedAt time.Time  `json:"created_at"`
}

// open reports whether a new purchase may begin.
func (p *Product) open(now time.Time) bool {
	return !p.Closed && (p.OpensAt == nil || !now.Before(*p.OpensAt)) && (p.ClosesAt == nil || now.Before(*p.ClosesAt))
}

var productID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// maxPrice keeps amounts exact in every JSON reader, with room for sums.
const maxPrice = 1_000_000_000_000

func (p *Product) check() error {
	bad := func(format string, args ...any) error {
		return &hook.Problem{Status: 400, Detail: fmt.Sprintf("product %s: ", cut(p.ID, 80)) + fmt.Sprintf(format, args...)}
	}
	switch {
	case !productID.MatchString(p.ID):
		return bad("id: want 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit")
	case p.Name == "" || utf8.RuneCountInString(p.Name) > 100 || !utf8.ValidString(p.Name):
		return bad("name: want 1 to 100 characters")
	case p.Price < 1 || p.Price > maxPrice:
		return bad("price: want whole won, 1 or more")
	case p.Currency != "KRW":
		return bad("currency: the widget sells in KRW")
	case p.Seats != nil && (*p.Seats < 1 || *p.Seats > 1_000_000_000):
		return bad("seats: want 1 or more, or none for no limit")
	case p.OpensAt != nil && p.ClosesAt != nil && !p.OpensAt.Before(*p.ClosesAt):
		return bad("closes_at: is not after opens_at")
	}
	return nil
}

// Shop is the catalogue: what is sold, on any store. The zero Now is the
// process's clock.
type Shop struct {
	Applier hook.Applier
	Viewer  hook.Viewer
	Now     func() time.Time
}

func (s *Shop) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

const productColumns = `id, name, price, currency, seats, taken, one_each, opens_at, closes_at, closed, created_at`

type scanner interface{ Scan(dest ...any) error }

func scanProduct(row scanner) (*Product, error) {
	var p Product
	var seats sql.NullInt64
	var opens, closes, created hook.Timestamp
	err := row.Scan(&p.ID, &p.Name, &p.Price, &p.Currency, &seats, &p.Taken, &p.OneEach, &opens, &closes, &p.Closed, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hook.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if seats.Valid {
		p.Seats = &seats.Int64
	}
	p.OpensAt, p.ClosesAt, p.CreatedAt = timeOf(opens), timeOf(closes), created.Time
	return &p, nil
}

func timeOf(t hook.Timestamp) *time.Time {
	if !t.Valid {
		return nil
	}
	return &t.Time
}

// nullTime is a time for a column that may be null.
func nullTime(t *time.Time) any {
	if t == nil || t.IsZero() {
		return nil
	}
	return *t
}

// AddProduct keeps a new product. It is a Problem for one that cannot be, and
// for an id that is taken.
func (s *Shop) AddProduct(ctx context.Context, p Product) (*Product, error) {
	if p.Currency == "" {
		p.Currency = "KRW"
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.CreatedAt, p.Taken = s.now().UTC(), 0
	err := s.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		var seats any
		if p.Seats != nil {
			seats = *p.Seats
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO products
			(id, name, price, currency, seats, one_each, opens_at, closes_at, closed, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
			p.ID, p.Name, p.Price, p.Currency, seats, p.OneEach, nullTime(p.OpensAt), nullTime(p.ClosesAt), p.Closed, p.CreatedAt)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, &hook.Problem{Status: 409, Detail: fmt.Sprintf("product %s: exists already", p.ID)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// Products gives all products, by id.
func (s *Shop) Products(ctx context.Context) (all []*Product, err error) {
	err = s.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		all = nil
		rows, err := tx.QueryContext(ctx, `SELECT `+productColumns+` FROM products ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			p, err := scanProduct(rows)
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		return rows.Err()
	})
	return all, err
}

// Product gives one product; ErrNotFound if there is none.
func (s *Shop) Product(ctx context.Context, id string) (p *Product, err error) {
	err = s.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		p, err = scanProduct(tx.QueryRowContext(ctx, `SELECT `+productColumns+` FROM products WHERE id = $1`, id))
		return err
	})
	return p, err
}

// CloseProduct ends the sale: no new seat is held. Whoever holds one may still
// pay. A repeat does nothing; ErrNotFound if there is no such product.
func (s *Shop) CloseProduct(ctx context.Context, id string) (*Product, error) {
	err := s.Applier.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE products SET closed = TRUE, version = version + 1 WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, hook.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.Product(ctx, id)
}
