-- Secrets from before the one before the last, as JSON: a list of pairs of the time until which one signs
-- and its sealed bytes.
ALTER TABLE webhook_endpoints ADD COLUMN older_secrets TEXT;
