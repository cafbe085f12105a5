-- What the checkout sells, who is buying, and where the money is. Money is
-- whole won.

-- taken counts the holds and the live registrations of a product. Every change
-- of the two happens under the lock of the product's row.
CREATE TABLE products (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    price      bigint NOT NULL CHECK (price > 0),
    currency   text NOT NULL DEFAULT 'KRW',
    seats      bigint CHECK (seats > 0),           -- null: without limit
    taken      bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),
    one_each   boolean NOT NULL DEFAULT FALSE,          -- one registration a buyer
    opens_at   timestamptz,
    closes_at  timestamptz,
    closed     boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL,
    version    bigint NOT NULL DEFAULT 0,
    CHECK (seats IS NULL OR taken <= seats)
);

-- One purchase of one buyer, with as many orders as it has attempts. Its row is
-- the lock of its orders.
CREATE TABLE checkouts (
    id           text PRIMARY KEY,
    product      text NOT NULL,
    buyer        text NOT NULL,                     -- the application's name of the buyer; empty: a guest
    customer_key text NOT NULL,
    lang         text NOT NULL,
    return_url   text NOT NULL DEFAULT '',
    opened_at    timestamptz,
    created_at   timestamptz NOT NULL,
    version      bigint NOT NULL DEFAULT 0
);
CREATE INDEX checkouts_unopened ON checkouts (created_at) WHERE opened_at IS NULL;

CREATE TABLE orders (
    id            text PRIMARY KEY,
    checkout      text NOT NULL,
    product       text NOT NULL,
    attempt       bigint NOT NULL,
    request_key   text NOT NULL,                    -- of the request that issued it: a repeat finds it
    amount        bigint NOT NULL,
    currency      text NOT NULL,
    state         text NOT NULL,
    reason        text NOT NULL DEFAULT '',
    payment_key   text NOT NULL DEFAULT '',
    confirm_key   text NOT NULL DEFAULT '',         -- Idempotency-Key of the intent to confirm
    confirm_no    bigint NOT NULL DEFAULT 0,
    confirm_until timestamptz,                          -- confirm is not sent after this
    sent          boolean NOT NULL DEFAULT FALSE,       -- a confirm may have been sent
    toss_status   text NOT NULL DEFAULT '',         -- of the newest answer
    method        text NOT NULL DEFAULT '',
    captured      bigint NOT NULL DEFAULT 0,       -- what Toss says was taken
    refunded      bigint NOT NULL DEFAULT 0,       -- what Toss says was given back
    secret        text NOT NULL DEFAULT '',         -- of a virtual account's deliveries
    account       text NOT NULL DEFAULT '',
    due_at        timestamptz,
    attention     text NOT NULL DEFAULT '',         -- why a person is needed
    asked_at      timestamptz,                          -- when the newest answer was asked for
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    prepared_at   timestamptz,                          -- the buyer pressed pay
    settled_at    timestamptz,
    version       bigint NOT NULL DEFAULT 0
);
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
    checkout   text PRIMARY KEY,
    product    text NOT NULL,
    held_until timestamptz NOT NULL
);
CREATE INDEX holds_end ON holds (product, held_until);

-- Who has a seat: pending while the order is being confirmed or waits for a
-- deposit, registered once it is paid. A pending one that fails is deleted.
CREATE TABLE registrations (
    order_id      text PRIMARY KEY,
    checkout      text NOT NULL,
    product       text NOT NULL,
    buyer         text NOT NULL,
    sole_buyer    text,                             -- the buyer where one registration a buyer is the rule
    state         text NOT NULL,
    amount        bigint NOT NULL DEFAULT 0,       -- what is kept for the seat
    created_at    timestamptz NOT NULL,
    registered_at timestamptz,
    canceled_at   timestamptz
);
CREATE UNIQUE INDEX registrations_checkout ON registrations (checkout) WHERE canceled_at IS NULL;
CREATE UNIQUE INDEX registrations_buyer ON registrations (product, sole_buyer)
    WHERE canceled_at IS NULL AND sole_buyer IS NOT NULL;

-- What Toss shows of money given back, by its own transaction.
CREATE TABLE order_cancels (
    order_id        text NOT NULL,
    transaction_key text NOT NULL,
    amount          bigint NOT NULL,
    reason          text NOT NULL,
    noted_at        timestamptz NOT NULL,
    PRIMARY KEY (order_id, transaction_key)
);

-- The outbox of refunds: one row an order and purpose, whose id is the
-- Idempotency-Key of all its attempts.
CREATE TABLE refunds (
    id         text PRIMARY KEY,
    order_id   text NOT NULL,
    purpose    text NOT NULL,
    amount     bigint,                             -- null: all that is left
    reason     text NOT NULL,
    receiver   text NOT NULL DEFAULT '',            -- account for a deposit's refund, JSON; emptied once accepted
    state      text NOT NULL,                       -- open, accepted, refused
    actor      text NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at    timestamptz,
    next_at    timestamptz NOT NULL,
    attempts   bigint NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX refunds_once ON refunds (order_id, purpose);
CREATE INDEX refunds_due ON refunds (next_at) WHERE state = 'open';

-- What operators want to know of a purchase beside its states.
CREATE TABLE order_notes (
    checkout text NOT NULL,
    order_id text NOT NULL,
    noted_at timestamptz NOT NULL,
    kind     text NOT NULL,
    code     text NOT NULL,
    detail   text NOT NULL
);
CREATE INDEX order_notes_checkout ON order_notes (checkout, noted_at);
