-- Where partners want to be told of what. Secrets are sealed; a deleted endpoint has none.
CREATE TABLE webhook_endpoints (
    id TEXT NOT NULL PRIMARY KEY,
    partner_id TEXT NOT NULL REFERENCES partners (id),
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret BLOB,
    old_secret BLOB,
    old_secret_until BIGINT,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    deleted_at BIGINT,
    hold_token TEXT,
    hold_until BIGINT
);

CREATE INDEX webhook_endpoints_partner ON webhook_endpoints (partner_id, id);
CREATE INDEX webhook_endpoints_hold ON webhook_endpoints (hold_token) WHERE hold_token IS NOT NULL;
CREATE INDEX webhook_endpoints_deleted ON webhook_endpoints (deleted_at) WHERE deleted_at IS NOT NULL;

-- Messages on their way and for a while after. They are written with the change that they tell of.
CREATE TABLE webhook_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
    partner_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    answered_at BIGINT,
    answer_status BIGINT,
    answer_excerpt TEXT,
    answer_error TEXT,
    due_at BIGINT,
    created_at BIGINT NOT NULL,
    delivered_at BIGINT,
    ended_at BIGINT
);

CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_endpoint_due ON webhook_deliveries (endpoint_id, due_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- Of what it has been told that it ends, so that it is told once.
CREATE TABLE webhook_announcements (
    subject TEXT NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (subject, ends_at)
) WITHOUT ROWID;

CREATE INDEX webhook_announcements_ends_at ON webhook_announcements (ends_at);
CREATE INDEX partner_keys_expires_at ON partner_keys (expires_at) WHERE expires_at IS NOT NULL;
