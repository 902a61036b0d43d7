-- Times are microseconds since 1970.

ALTER TABLE orgs ADD COLUMN expires_at BIGINT;

CREATE INDEX orgs_expires ON orgs (status, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX orgs_status_due ON orgs (status, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX orgs_maker ON orgs (created_by_key_id, status);

ALTER TABLE partner_keys ADD COLUMN max_live_orgs BIGINT;
ALTER TABLE partner_keys ADD COLUMN on_revoke TEXT NOT NULL DEFAULT 'keep';
-- Set when a key is revoked whose orgs go with it, until they are on their way.
ALTER TABLE partner_keys ADD COLUMN orgs_to_go_since BIGINT;

CREATE INDEX partner_keys_orgs_to_go ON partner_keys (orgs_to_go_since)
    WHERE orgs_to_go_since IS NOT NULL;
