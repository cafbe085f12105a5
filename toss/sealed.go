package toss

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Places of sealed texts; the id of the row follows. What a buyer is called, pays
// into and is paid back to is nobody's to read in a copy of the database.
const (
	placeBuyer      = "checkouts.buyer/"
	placeRegistered = "registrations.buyer/"
	placeSole       = "registrations.sole_buyer"
	placeSecret     = "orders.secret/"
	placeAccount    = "orders.account/"
	placeReceiver   = "refunds.receiver/"
)

// openInto opens a text where it stands.
func openInto(ctx context.Context, text *string, place string) (err error) {
	if *text == "" {
		return nil
	}
	if *text, err = hook.SealerOf(ctx).OpenText(place, *text); err != nil {
		return fmt.Errorf("read %s: %w", place, err)
	}
	return nil
}

// soleBuyer is what the unique index of registrations holds of a buyer: a keyed
// hash where names are sealed.
func soleBuyer(ctx context.Context, buyer string) string {
	if index := hook.SealerOf(ctx).TextIndex(placeSole, buyer); index != "" {
		return index
	}
	return buyer
}

// hasSeat reports whether a buyer has a live registration, also one from before
// names were sealed.
func hasSeat(ctx context.Context, tx hook.Tx, product, buyer string) (bool, error) {
	return exists(ctx, tx, `SELECT 1 FROM registrations WHERE product = $1 AND sole_buyer IN ($2, $3) AND canceled_at IS NULL`,
		product, soleBuyer(ctx, buyer), buyer)
}

// column is one that is sealed, with the key of its table.
type column struct{ table, key, name, place string }

func sealedColumns() []column {
	return []column{
		{"checkouts", "id", "buyer", placeBuyer},
		{"registrations", "order_id", "buyer", placeRegistered},
		{"orders", "id", "secret", placeSecret},
		{"orders", "id", "account", placeAccount},
		{"refunds", "id", "receiver", placeReceiver},
	}
}

// sealedAtOnce bounds one step.
const sealedAtOnce = 100

// SealColumns seals some of the texts that were stored before encryption was on,
// behind a cursor that is empty at first. It may be cut at any point; whoever begins
// again passes over what is sealed. Where nothing is encrypted it does nothing.
func SealColumns(ctx context.Context, store hook.Applier, cursor string) (step hook.SealStep, err error) {
	number, after, _ := strings.Cut(cursor, "/")
	at := 0
	if number != "" {
		at, err = strconv.Atoi(number)
	}
	all := sealedColumns()
	if err != nil || at < 0 || at >= len(all) {
		return step, fmt.Errorf("seal cursor %.80q: begin without one: %w", cursor, hook.ErrBadFilter)
	}
	err = store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		step = hook.SealStep{}
		last, err := sealColumn(ctx, tx, all[at], after, &step)
		switch {
		case step.Looked == sealedAtOnce:
			step.Next = strconv.Itoa(at) + "/" + last
		case at+1 < len(all):
			step.Next = strconv.Itoa(at+1) + "/"
		}
		return err
	})
	return step, err
}

func sealColumn(ctx context.Context, tx hook.Tx, c column, after string, step *hook.SealStep) (last string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+c.key+`, `+c.name+` FROM `+c.table+`
		WHERE `+c.key+` > $1 AND `+c.name+` <> '' AND `+c.name+` NOT LIKE 'hk1:%' ORDER BY `+c.key+` LIMIT $2`, after, sealedAtOnce)
	if err != nil {
		return "", err
	}
	var plain [][2]string
	for rows.Next() {
		var row [2]string
		if err := rows.Scan(&row[0], &row[1]); err != nil {
			rows.Close()
			return "", err
		}
		plain = append(plain, row)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return "", err
	}
	for _, row := range plain {
		n, err := sealText(ctx, tx, c, row[0], row[1])
		if err != nil {
			return "", fmt.Errorf("seal %s%s: %w", c.place, row[0], err)
		}
		last, step.Looked, step.Sealed = row[0], step.Looked+1, step.Sealed+int(n)
	}
	return last, nil
}

// sealText seals one text where nobody has meanwhile.
func sealText(ctx context.Context, tx hook.Tx, c column, key, stored string) (int64, error) {
	sealer := hook.SealerOf(ctx)
	text, err := sealer.OpenText(c.place+key, stored) // without its mark, if it has one
	if err != nil {
		return 0, err
	}
	sealed, err := sealer.SealText(c.place+key, text)
	if err != nil || sealed == stored {
		return 0, err
	}
	if c.table == "registrations" {
		_, err := exec(ctx, tx, `UPDATE registrations SET sole_buyer = $1 WHERE order_id = $2 AND sole_buyer = $3`,
			soleBuyer(ctx, text), key, text)
		if err != nil {
			return 0, err
		}
	}
	return exec(ctx, tx, `UPDATE `+c.table+` SET `+c.name+` = $1 WHERE `+c.key+` = $2 AND `+c.name+` = $3`, sealed, key, stored)
}
