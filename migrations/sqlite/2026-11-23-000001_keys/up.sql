-- Times are microseconds since 1970. Ids are texts that sort by time of making.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE partners (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    plan TEXT NOT NULL,
    rate_limit BIGINT,
    rate_window BIGINT,
    max_orgs BIGINT,
    labels TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE admin_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    origin TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE partner_keys (
    id TEXT NOT NULL PRIMARY KEY,
    partner_id TEXT NOT NULL REFERENCES partners (id),
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    org_id TEXT REFERENCES orgs (id),
    org_plans TEXT,
    allowed_cidrs TEXT,
    rate_limit BIGINT,
    rate_window BIGINT,
    expires_at BIGINT,
    disabled BOOLEAN NOT NULL,
    labels TEXT NOT NULL,
    key_prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX partner_keys_partner ON partner_keys (partner_id, id);
