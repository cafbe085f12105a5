-- Billing, as the sender's events tell it. Every row belongs to a source and a
-- mode. Times are microseconds since 1970 UTC, money is in the currency's
-- smallest unit. Tables that begin with billing_ are this department's own;
-- the others are for applications to read and join.

-- Who a customer is. user_rank says how good the evidence is, user_at how new.
CREATE TABLE customers (
    source      TEXT NOT NULL,
    mode        TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    user_id     TEXT,
    user_rank   INTEGER NOT NULL DEFAULT 0,
    user_at     INTEGER NOT NULL DEFAULT 0,
    email       TEXT,
    email_at    INTEGER NOT NULL DEFAULT 0,
    deleted_at  INTEGER,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (source, mode, customer_id)
) WITHOUT ROWID;
CREATE INDEX customers_user ON customers (user_id);

-- One row a subscription. version_at and version_key name the state that the row
-- shows; ties holds the states of that second, for events carry whole seconds;
-- unsure: which of them is the newest cannot be told. revision guards writes.
CREATE TABLE subscriptions (
    source                TEXT NOT NULL,
    mode                  TEXT NOT NULL,
    subscription_id       TEXT NOT NULL,
    customer_id           TEXT NOT NULL,
    user_id               TEXT NOT NULL,
    plan                  TEXT NOT NULL,
    price_id              TEXT NOT NULL,
    quantity              INTEGER NOT NULL,
    status                TEXT NOT NULL,
    current_period_start  INTEGER NOT NULL,
    current_period_end    INTEGER NOT NULL,
    cancel_at             INTEGER,
    cancel_at_period_end  INTEGER NOT NULL,
    canceled_at           INTEGER,
    ended_at              INTEGER,
    trial_end             INTEGER,
    latest_invoice        TEXT NOT NULL,
    latest_invoice_status TEXT NOT NULL,
    latest_invoice_at     INTEGER,
    version_at            INTEGER NOT NULL,
    version_key           TEXT NOT NULL,
    ties                  TEXT NOT NULL,
    unsure                INTEGER NOT NULL,
    revision              INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    PRIMARY KEY (source, mode, subscription_id)
) WITHOUT ROWID;
CREATE INDEX subscriptions_user ON subscriptions (user_id);
CREATE INDEX subscriptions_customer ON subscriptions (source, mode, customer_id);
CREATE INDEX subscriptions_invoice ON subscriptions (source, mode, latest_invoice);
CREATE INDEX subscriptions_unsure ON subscriptions (source, mode) WHERE unsure = 1;

-- One row a payment, folded from its parts.
CREATE TABLE payments (
    source         TEXT NOT NULL,
    mode           TEXT NOT NULL,
    payment_intent TEXT NOT NULL,
    customer_id    TEXT,
    user_id        TEXT,
    amount         INTEGER NOT NULL DEFAULT 0,
    currency       TEXT NOT NULL DEFAULT '',
    status         TEXT NOT NULL DEFAULT '',
    captured       INTEGER NOT NULL DEFAULT 0,
    refunded       INTEGER NOT NULL DEFAULT 0,
    disputed       INTEGER NOT NULL DEFAULT 0,
    dispute_status TEXT NOT NULL DEFAULT '',
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (source, mode, payment_intent)
) WITHOUT ROWID;
CREATE INDEX payments_user ON payments (user_id);

-- What users are told, once per fact. data is JSON: both languages and the
-- figures. read_at is the application's to set.
CREATE TABLE notifications (
    id         TEXT PRIMARY KEY,
    source     TEXT NOT NULL,
    mode       TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    fact       TEXT NOT NULL,
    title      TEXT NOT NULL,
    body       TEXT NOT NULL,
    data       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    read_at    INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX notifications_fact ON notifications (source, mode, fact);
CREATE INDEX notifications_user ON notifications (user_id, created_at);

-- The newest known state of each invoice.
CREATE TABLE billing_invoices (
    source          TEXT NOT NULL,
    mode            TEXT NOT NULL,
    invoice_id      TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    status          TEXT NOT NULL,
    grade           INTEGER NOT NULL,
    invoiced_at     INTEGER NOT NULL,
    PRIMARY KEY (source, mode, invoice_id)
) WITHOUT ROWID;

-- What a payment consists of: its intent, charges, refunds, disputes and the
-- checkout session that it came from.
CREATE TABLE billing_payment_parts (
    source         TEXT NOT NULL,
    mode           TEXT NOT NULL,
    part_id        TEXT NOT NULL,
    payment_intent TEXT NOT NULL,
    kind           TEXT NOT NULL,
    status         TEXT NOT NULL,
    grade          INTEGER NOT NULL,
    amount         INTEGER NOT NULL,
    total          INTEGER NOT NULL,
    currency       TEXT NOT NULL,
    customer_id    TEXT,
    user_id        TEXT,
    version_at     INTEGER NOT NULL,
    PRIMARY KEY (source, mode, part_id)
) WITHOUT ROWID;
CREATE INDEX billing_payment_parts_payment ON billing_payment_parts (source, mode, payment_intent);

-- How far the comparison with the sender's API has come, and what it found.
CREATE TABLE billing_progress (
    source     TEXT NOT NULL,
    name       TEXT NOT NULL,
    reached_at INTEGER NOT NULL,
    PRIMARY KEY (source, name)
) WITHOUT ROWID;
CREATE TABLE billing_reports (
    source      TEXT NOT NULL,
    finished_at INTEGER NOT NULL,
    report      TEXT NOT NULL,
    PRIMARY KEY (source, finished_at)
) WITHOUT ROWID;

-- The configured times that the view below adds.
CREATE TABLE billing_settings (
    source         TEXT PRIMARY KEY,
    grace_seconds  INTEGER NOT NULL,
    margin_seconds INTEGER NOT NULL
) WITHOUT ROWID;

-- Who may use what, until when and why. A subscription that renews keeps its
-- access for margin_seconds past its period, in which the news of the next one
-- may still be on its way; one whose payment failed keeps it for grace_seconds
-- from the invoice.
CREATE VIEW access AS
SELECT u.source, u.mode, u.user_id, u.subscription_id, u.plan, u.quantity, u.status,
       u.until IS NOT NULL AND u.until > CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS has_access,
       u.until,
       CASE WHEN u.until IS NULL THEN u.status
            WHEN u.until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) THEN 'ended'
            WHEN u.status = 'past_due' THEN 'grace'
            ELSE u.status END AS why
FROM (
    SELECT s.source, s.mode, s.user_id, s.subscription_id, s.plan, s.quantity, s.status,
           CASE WHEN s.status IN ('active', 'trialing') AND s.cancel_at IS NOT NULL THEN s.cancel_at
                WHEN s.status IN ('active', 'trialing') AND s.cancel_at_period_end = 1 THEN s.current_period_end
                WHEN s.status IN ('active', 'trialing')
                     THEN s.current_period_end + coalesce(c.margin_seconds, 86400) * 1000000
                WHEN s.status = 'past_due'
                     THEN coalesce(s.latest_invoice_at, s.current_period_start) + coalesce(c.grace_seconds, 259200) * 1000000
           END AS until
    FROM subscriptions s LEFT JOIN billing_settings c ON c.source = s.source
) u;
