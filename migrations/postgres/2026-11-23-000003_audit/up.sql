-- It refers to nothing: an event outlives what it tells of.
CREATE TABLE audit_events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    occurred_at BIGINT NOT NULL,
    actor_type TEXT NOT NULL,
    actor_id TEXT COLLATE "C",
    partner_id TEXT COLLATE "C",
    action TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT COLLATE "C",
    org_id TEXT COLLATE "C",
    outcome TEXT NOT NULL,
    status_code BIGINT,
    method TEXT,
    route TEXT,
    request_id TEXT,
    ip TEXT,
    user_agent TEXT,
    details TEXT NOT NULL
);

CREATE INDEX audit_events_partner ON audit_events (partner_id, id) WHERE partner_id IS NOT NULL;
CREATE INDEX audit_events_actor ON audit_events (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_org ON audit_events (org_id, id) WHERE org_id IS NOT NULL;
