CREATE TABLE orgs (
    id TEXT NOT NULL PRIMARY KEY,
    partner_id TEXT NOT NULL REFERENCES partners (id),
    created_by_key_id TEXT NOT NULL REFERENCES partner_keys (id),
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    plan TEXT NOT NULL,
    status TEXT NOT NULL,
    external_id TEXT,
    labels TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ready_at BIGINT,
    deleted_at BIGINT,
    failure_code TEXT,
    failure_message TEXT,
    attempts BIGINT NOT NULL,
    due_at BIGINT,
    lease_token TEXT,
    lease_until BIGINT
);

CREATE INDEX orgs_partner ON orgs (partner_id, id);
CREATE INDEX orgs_partner_status ON orgs (partner_id, status);
CREATE INDEX orgs_slug ON orgs (slug);
CREATE INDEX orgs_external_id ON orgs (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX orgs_due ON orgs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX orgs_lease ON orgs (lease_token) WHERE lease_token IS NOT NULL;

-- The labels of orgs once more, one a row, for lists that ask for some of them.
CREATE TABLE org_labels (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    partner_id TEXT NOT NULL,
    label_key TEXT NOT NULL,
    label_value TEXT NOT NULL,
    PRIMARY KEY (org_id, label_key)
) WITHOUT ROWID;

CREATE INDEX org_labels_value ON org_labels (partner_id, label_key, label_value);

-- A slug is claimed before its org is there, so it refers to none.
CREATE TABLE slugs (
    slug TEXT NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    freed_at BIGINT
) WITHOUT ROWID;

CREATE INDEX slugs_org ON slugs (org_id);

CREATE TABLE org_steps (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (org_id, position)
) WITHOUT ROWID;

CREATE TABLE workspaces (
    id TEXT NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (org_id, slug)
);

CREATE INDEX workspaces_org ON workspaces (org_id, id);

CREATE TABLE subscriptions (
    org_id TEXT NOT NULL PRIMARY KEY REFERENCES orgs (id),
    status TEXT NOT NULL,
    current_period_start BIGINT NOT NULL,
    current_period_end BIGINT NOT NULL,
    cancel_at BIGINT
) WITHOUT ROWID;
