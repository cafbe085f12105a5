CREATE TABLE webhook_events (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_id     text UNIQUE NOT NULL,
    type         text NOT NULL,
    payload      jsonb,
    processed_at timestamptz DEFAULT now()
);
CREATE TABLE effects (event_id text NOT NULL);
