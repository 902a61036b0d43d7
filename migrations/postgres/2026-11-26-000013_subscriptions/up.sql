-- An org has one subscription at the most, from its creation on: it stands in the org's row, which is
-- written then anyway. Without a status there is none.
ALTER TABLE orgs ADD COLUMN subscription_status TEXT;
ALTER TABLE orgs ADD COLUMN subscription_start BIGINT;
ALTER TABLE orgs ADD COLUMN subscription_end BIGINT;
ALTER TABLE orgs ADD COLUMN subscription_cancel_at BIGINT;

UPDATE orgs
SET
    subscription_status = subscriptions.status,
    subscription_start = subscriptions.current_period_start,
    subscription_end = subscriptions.current_period_end,
    subscription_cancel_at = subscriptions.cancel_at
FROM subscriptions
WHERE subscriptions.org_id = orgs.id;

DROP TABLE subscriptions;
