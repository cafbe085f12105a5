-- Billing, as the sender's events tell it. Every row belongs to a source and a
-- mode. Money is in the currency's smallest unit. Tables that begin with billing_
-- are this department's own; the others are for applications to read and join.

-- Who a customer is. user_rank says how good the evidence is, user_at how new.
CREATE TABLE customers (
    source      text NOT NULL,
    mode        text NOT NULL,
    customer_id text NOT NULL,
    user_id     text,
    user_rank   bigint NOT NULL DEFAULT 0,
    user_at     timestamptz NOT NULL DEFAULT 'epoch',
    email       text,
    email_at    timestamptz NOT NULL DEFAULT 'epoch',
    deleted_at  timestamptz,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (source, mode, customer_id)
);
CREATE INDEX customers_user ON customers (user_id);

-- One row a subscription. version_at and version_key name the state that the row
-- shows; ties holds the states of that second, for events carry whole seconds;
-- unsure: which of them is the newest cannot be told. revision guards writes.
CREATE TABLE subscriptions (
    source                text NOT NULL,
    mode                  text NOT NULL,
    subscription_id       text NOT NULL,
    customer_id           text NOT NULL,
    user_id               text NOT NULL,
    plan                  text NOT NULL,
    price_id              text NOT NULL,
    quantity              bigint NOT NULL,
    status                text NOT NULL,
    current_period_start  timestamptz NOT NULL,
    current_period_end    timestamptz NOT NULL,
    cancel_at             timestamptz,
    cancel_at_period_end  boolean NOT NULL,
    canceled_at           timestamptz,
    ended_at              timestamptz,
    trial_end             timestamptz,
    latest_invoice        text NOT NULL,
    latest_invoice_status text NOT NULL,
    latest_invoice_at     timestamptz,
    version_at            timestamptz NOT NULL,
    version_key           text NOT NULL,
    ties                  text NOT NULL,
    unsure                boolean NOT NULL,
    revision              bigint NOT NULL,
    updated_at            timestamptz NOT NULL,
    PRIMARY KEY (source, mode, subscription_id)
);
CREATE INDEX subscriptions_user ON subscriptions (user_id);
CREATE INDEX subscriptions_customer ON subscriptions (source, mode, customer_id);
CREATE INDEX subscriptions_invoice ON subscriptions (source, mode, latest_invoice);
CREATE INDEX subscriptions_unsure ON subscriptions (source, mode) WHERE unsure;

-- One row a payment, folded from its parts.
CREATE TABLE payments (
    source         text NOT NULL,
    mode           text NOT NULL,
    payment_intent text NOT NULL,
    customer_id    text,
    user_id        text,
    amount         bigint NOT NULL DEFAULT 0,
    currency       text NOT NULL DEFAULT '',
    status         text NOT NULL DEFAULT '',
    captured       bigint NOT NULL DEFAULT 0,
    refunded       bigint NOT NULL DEFAULT 0,
    disputed       bigint NOT NULL DEFAULT 0,
    dispute_status text NOT NULL DEFAULT '',
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (source, mode, payment_intent)
);
CREATE INDEX payments_user ON payments (user_id);

-- What users are told, once per fact. data is JSON: both languages and the
-- figures. read_at is the application's to set.
CREATE TABLE notifications (
    id         text PRIMARY KEY,
    source     text NOT NULL,
    mode       text NOT NULL,
    user_id    text NOT NULL,
    kind       text NOT NULL,
    fact       text NOT NULL,
    title      text NOT NULL,
    body       text NOT NULL,
    data       text NOT NULL,
    created_at timestamptz NOT NULL,
    read_at    timestamptz
);
CREATE UNIQUE INDEX notifications_fact ON notifications (source, mode, fact);
CREATE INDEX notifications_user ON notifications (user_id, created_at);

-- The newest known state of each invoice.
CREATE TABLE billing_invoices (
    source          text NOT NULL,
    mode            text NOT NULL,
    invoice_id      text NOT NULL,
    subscription_id text NOT NULL,
    status          text NOT NULL,
    grade           bigint NOT NULL,
    invoiced_at     timestamptz NOT NULL,
    PRIMARY KEY (source, mode, invoice_id)
);

-- What a payment consists of: its intent, charges, refunds, disputes and the
-- checkout session that it came from.
CREATE TABLE billing_payment_parts (
    source         text NOT NULL,
    mode           text NOT NULL,
    part_id        text NOT NULL,
    payment_intent text NOT NULL,
    kind           text NOT NULL,
    status         text NOT NULL,
    grade          bigint NOT NULL,
    amount         bigint NOT NULL,
    total          bigint NOT NULL,
    currency       text NOT NULL,
    customer_id    text,
    user_id        text,
    version_at     timestamptz NOT NULL,
    PRIMARY KEY (source, mode, part_id)
);
CREATE INDEX billing_payment_parts_payment ON billing_payment_parts (source, mode, payment_intent);

-- How far the comparison with the sender's API has come, and what it found.
CREATE TABLE billing_progress (
    source     text NOT NULL,
    name       text NOT NULL,
    reached_at timestamptz NOT NULL,
    PRIMARY KEY (source, name)
);
CREATE TABLE billing_reports (
    source      text NOT NULL,
    finished_at timestamptz NOT NULL,
    report      text NOT NULL,
    PRIMARY KEY (source, finished_at)
);

-- The configured times that the view below adds.
CREATE TABLE billing_settings (
    source         text PRIMARY KEY,
    grace_seconds  bigint NOT NULL,
    margin_seconds bigint NOT NULL
);

-- Who may use what, until when and why. A subscription that renews keeps its
-- access for margin_seconds past its period, in which the news of the next one
-- may still be on its way; one whose payment failed keeps it for grace_seconds
-- from the invoice.
CREATE VIEW access AS
SELECT u.source, u.mode, u.user_id, u.subscription_id, u.plan, u.quantity, u.status,
       u.until IS NOT NULL AND u.until > clock_timestamp() AS has_access,
       u.until,
       CASE WHEN u.until IS NULL THEN u.status
            WHEN u.until <= clock_timestamp() THEN 'ended'
            WHEN u.status = 'past_due' THEN 'grace'
            ELSE u.status END AS why
FROM (
    SELECT s.source, s.mode, s.user_id, s.subscription_id, s.plan, s.quantity, s.status,
           CASE WHEN s.status IN ('active', 'trialing') AND s.cancel_at IS NOT NULL THEN s.cancel_at
                WHEN s.status IN ('active', 'trialing') AND s.cancel_at_period_end THEN s.current_period_end
                WHEN s.status IN ('active', 'trialing')
                     THEN s.current_period_end + coalesce(c.margin_seconds, 86400) * interval '1 second'
                WHEN s.status = 'past_due'
                     THEN coalesce(s.latest_invoice_at, s.current_period_start)
                          + coalesce(c.grace_seconds, 259200) * interval '1 second'
           END AS until
    FROM subscriptions s LEFT JOIN billing_settings c ON c.source = s.source
) u;
