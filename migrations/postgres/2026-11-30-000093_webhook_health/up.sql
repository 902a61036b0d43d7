ALTER TABLE webhook_endpoints ADD COLUMN disabled_reason TEXT;
UPDATE webhook_endpoints SET disabled_reason = 'gone' WHERE disabled_at IS NOT NULL;

-- Since when nothing has been delivered, and how many attempts have failed since.
ALTER TABLE webhook_endpoints ADD COLUMN failing_since BIGINT;
ALTER TABLE webhook_endpoints ADD COLUMN failed_attempts BIGINT NOT NULL DEFAULT 0;

-- What can be sent again.
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (endpoint_id, created_at)
    WHERE status = 'failed';
