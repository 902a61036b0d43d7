CREATE INDEX webhook_endpoints_deleted ON webhook_endpoints (deleted_at) WHERE deleted_at IS NOT NULL;
DROP INDEX webhook_endpoints_forget_after;
ALTER TABLE webhook_endpoints DROP COLUMN forget_after;

CREATE INDEX partner_keys_expires_at ON partner_keys (expires_at) WHERE expires_at IS NOT NULL;
DROP INDEX partner_keys_end_to_announce;
DROP INDEX orgs_end_to_announce;
ALTER TABLE partner_keys DROP COLUMN end_to_announce;
ALTER TABLE orgs DROP COLUMN end_to_announce;

CREATE INDEX orgs_live_expires ON orgs (expires_at, id)
    WHERE expires_at IS NOT NULL AND status <> 'deleted';
DROP INDEX orgs_staying_partner_expires;
DROP INDEX orgs_staying_expires;
