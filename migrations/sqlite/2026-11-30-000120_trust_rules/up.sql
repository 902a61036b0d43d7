-- Whose tokens are exchanged for a key. `claims` and `refuse` are objects as JSON.
-- A deleted rule stays, so that it can be deleted again.
CREATE TABLE trust_rules (
    id TEXT NOT NULL PRIMARY KEY,
    partner_id TEXT NOT NULL REFERENCES partners (id),
    name TEXT NOT NULL,
    issuer TEXT NOT NULL,
    audience TEXT NOT NULL,
    claims TEXT NOT NULL,
    refuse TEXT NOT NULL,
    scopes TEXT NOT NULL,
    org_plans TEXT,
    max_live_orgs BIGINT,
    max_ttl_seconds BIGINT,
    rate_limit BIGINT,
    rate_window BIGINT,
    token_ttl_seconds BIGINT NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    keys_to_revoke BOOLEAN NOT NULL
);

CREATE INDEX trust_rules_partner ON trust_rules (partner_id, id);
CREATE INDEX trust_rules_keys_to_revoke ON trust_rules (id) WHERE keys_to_revoke;

-- Tokens that were exchanged, by a digest, until they are refused anyway.
CREATE TABLE token_uses (
    digest BLOB NOT NULL PRIMARY KEY,
    used_until BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX token_uses_used_until ON token_uses (used_until);
