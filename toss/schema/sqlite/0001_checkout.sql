-- What the checkout sells, who is buying, and where the money is. Times are
-- microseconds since 1970 UTC, money is whole won, 0 and 1 are false and true.

-- taken counts the holds and the live registrations of a product. Every change
-- of the two happens under the lock of the product's row.
CREATE TABLE products (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    price      INTEGER NOT NULL CHECK (price > 0),
    currency   TEXT NOT NULL DEFAULT 'KRW',
    seats      INTEGER CHECK (seats > 0),           -- null: without limit
    taken      INTEGER NOT NULL DEFAULT 0 CHECK (taken >= 0),
    one_each   INTEGER NOT NULL DEFAULT 0,          -- one registration a buyer
    opens_at   INTEGER,
    closes_at  INTEGER,
    closed     INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    version    INTEGER NOT NULL DEFAULT 0,
    CHECK (seats IS NULL OR taken <= seats)
) WITHOUT ROWID;

-- One purchase of one buyer, with as many orders as it has attempts. Its row is
-- the lock of its orders.
CREATE TABLE checkouts (
    id           TEXT PRIMARY KEY,
    product      TEXT NOT NULL,
    buyer        TEXT NOT NULL,                     -- the application's name of the buyer; empty: a guest
    customer_key TEXT NOT NULL,
    lang         TEXT NOT NULL,
    return_url   TEXT NOT NULL DEFAULT '',
    opened_at    INTEGER,
    created_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX checkouts_unopened ON checkouts (created_at) WHERE opened_at IS NULL;

CREATE TABLE orders (
    id            TEXT PRIMARY KEY,
    checkout      TEXT NOT NULL,
    product       TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    request_key   TEXT NOT NULL,                    -- of the request that issued it: a repeat finds it
    amount        INTEGER NOT NULL,
    currency      TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    payment_key   TEXT NOT NULL DEFAULT '',
    confirm_key   TEXT NOT NULL DEFAULT '',         -- Idempotency-Key of the intent to confirm
    confirm_no    INTEGER NOT NULL DEFAULT 0,
    confirm_until INTEGER,                          -- confirm is not sent after this
    sent          INTEGER NOT NULL DEFAULT 0,       -- a confirm may have been sent
    toss_status   TEXT NOT NULL DEFAULT '',         -- of the newest answer
    method        TEXT NOT NULL DEFAULT '',
    captured      INTEGER NOT NULL DEFAULT 0,       -- what Toss says was taken
    refunded      INTEGER NOT NULL DEFAULT 0,       -- what Toss says was given back
    secret        TEXT NOT NULL DEFAULT '',         -- of a virtual account's deliveries
    account       TEXT NOT NULL DEFAULT '',
    due_at        INTEGER,
    attention     TEXT NOT NULL DEFAULT '',         -- why a person is needed
    asked_at      INTEGER,                          -- when the newest answer was asked for
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    prepared_at   INTEGER,                          -- the buyer pressed pay
    settled_at    INTEGER,
    version       INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
-- At most one order of a purchase is being confirmed or holds money.
CREATE UNIQUE INDEX orders_one_winner ON orders (checkout) WHERE state IN ('confirming', 'paid', 'awaiting_deposit');
CREATE UNIQUE INDEX orders_attempt ON orders (checkout, attempt);
CREATE UNIQUE INDEX orders_request ON orders (checkout, request_key);
CREATE UNIQUE INDEX orders_payment ON orders (payment_key) WHERE payment_key <> '';
CREATE INDEX orders_list ON orders (created_at, id);
CREATE INDEX orders_open ON orders (state, updated_at)
    WHERE state IN ('issued', 'prepared', 'authorized', 'confirming', 'awaiting_deposit', 'compensating');
CREATE INDEX orders_attention ON orders (created_at, id) WHERE attention <> '';

-- A seat kept for a purchase until held_until, while its buyer pays.
CREATE TABLE holds (
    checkout   TEXT PRIMARY KEY,
    product    TEXT NOT NULL,
    held_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX holds_end ON holds (product, held_until);

-- Who has a seat: pending while the order is being confirmed or waits for a
-- deposit, registered once it is paid. A pending one that fails is deleted.
CREATE TABLE registrations (
    order_id      TEXT PRIMARY KEY,
    checkout      TEXT NOT NULL,
    product       TEXT NOT NULL,
    buyer         TEXT NOT NULL,
    sole_buyer    TEXT,                             -- the buyer where one registration a buyer is the rule
    state         TEXT NOT NULL,
    amount        INTEGER NOT NULL DEFAULT 0,       -- what is kept for the seat
    created_at    INTEGER NOT NULL,
    registered_at INTEGER,
    canceled_at   INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX registrations_checkout ON registrations (checkout) WHERE canceled_at IS NULL;
CREATE UNIQUE INDEX registrations_buyer ON registrations (product, sole_buyer)
    WHERE canceled_at IS NULL AND sole_buyer IS NOT NULL;

-- What Toss shows of money given back, by its own transaction.
CREATE TABLE order_cancels (
    order_id        TEXT NOT NULL,
    transaction_key TEXT NOT NULL,
    amount          INTEGER NOT NULL,
    reason          TEXT NOT NULL,
    noted_at        INTEGER NOT NULL,
    PRIMARY KEY (order_id, transaction_key)
) WITHOUT ROWID;

-- The outbox of refunds: one row an order and purpose, whose id is the
-- Idempotency-Key of all its attempts.
CREATE TABLE refunds (
    id         TEXT PRIMARY KEY,
    order_id   TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    amount     INTEGER,                             -- null: all that is left
    reason     TEXT NOT NULL,
    receiver   TEXT NOT NULL DEFAULT '',            -- account for a deposit's refund, JSON; emptied once accepted
    state      TEXT NOT NULL,                       -- open, accepted, refused
    actor      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    sent_at    INTEGER,
    next_at    INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE UNIQUE INDEX refunds_once ON refunds (order_id, purpose);
CREATE INDEX refunds_due ON refunds (next_at) WHERE state = 'open';

-- What operators want to know of a purchase beside its states.
CREATE TABLE order_notes (
    checkout TEXT NOT NULL,
    order_id TEXT NOT NULL,
    noted_at INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    code     TEXT NOT NULL,
    detail   TEXT NOT NULL
);
CREATE INDEX order_notes_checkout ON order_notes (checkout, noted_at);
