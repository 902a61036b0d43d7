-- The processes that serve this database. Each writes its row every second.
CREATE TABLE instances (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    admin_key_id TEXT,
    last_seen_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    lag_ms BIGINT,
    clock_skew_ms BIGINT NOT NULL
);

-- Whether every instance is to confirm at once that it has applied the change.
ALTER TABLE key_changes ADD COLUMN confirm BOOLEAN NOT NULL DEFAULT FALSE;
