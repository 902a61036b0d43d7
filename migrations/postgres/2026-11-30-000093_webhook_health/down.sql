DROP INDEX webhook_deliveries_failed;
ALTER TABLE webhook_endpoints DROP COLUMN failed_attempts;
ALTER TABLE webhook_endpoints DROP COLUMN failing_since;
ALTER TABLE webhook_endpoints DROP COLUMN disabled_reason;
