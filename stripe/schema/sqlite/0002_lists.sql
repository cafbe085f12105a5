-- What operators page through, the newest first.
CREATE INDEX subscriptions_updated ON subscriptions (source, updated_at, subscription_id);
CREATE INDEX notifications_created ON notifications (source, created_at, id);
