CREATE TABLE subscriptions (
    org_id TEXT NOT NULL PRIMARY KEY REFERENCES orgs (id),
    status TEXT NOT NULL,
    current_period_start BIGINT NOT NULL,
    current_period_end BIGINT NOT NULL,
    cancel_at BIGINT
) WITHOUT ROWID;

INSERT INTO subscriptions (org_id, status, current_period_start, current_period_end, cancel_at)
SELECT id, subscription_status, subscription_start, subscription_end, subscription_cancel_at
FROM orgs
WHERE subscription_status IS NOT NULL;

ALTER TABLE orgs DROP COLUMN subscription_cancel_at;
ALTER TABLE orgs DROP COLUMN subscription_end;
ALTER TABLE orgs DROP COLUMN subscription_start;
ALTER TABLE orgs DROP COLUMN subscription_status;
