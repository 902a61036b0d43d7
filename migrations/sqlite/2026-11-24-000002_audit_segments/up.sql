-- Audit events that were made durable together, as one value. Ids are the 16 bytes of a ULID; the
-- second, since 1970, is the one in the last id.
CREATE TABLE audit_segments (
    second BIGINT NOT NULL,
    last_id BLOB NOT NULL,
    first_id BLOB NOT NULL,
    events BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (second, last_id)
);

CREATE INDEX audit_segments_first_id ON audit_segments (first_id, last_id);

-- Whom the segments of a second mention: one byte for the kind, then the id. Many segments of a busy
-- second mention the same ones, and they are noted once.
CREATE TABLE audit_mentions (
    subject BLOB NOT NULL,
    second BIGINT NOT NULL,
    PRIMARY KEY (subject, second)
) WITHOUT ROWID;
