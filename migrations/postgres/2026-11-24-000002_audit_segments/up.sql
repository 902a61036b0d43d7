-- Audit events that were made durable together, as one value. Ids are the 16 bytes of a ULID; the
-- second, since 1970, is the one in the last id.
CREATE TABLE audit_segments (
    second BIGINT NOT NULL,
    last_id BYTEA NOT NULL,
    first_id BYTEA NOT NULL,
    events BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (second, last_id)
);

-- Ids don't compress, and trying takes time.
ALTER TABLE audit_segments ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE INDEX audit_segments_first_id ON audit_segments (first_id, last_id);

-- Whom the segments of a second mention: one byte for the kind, then the id. Many segments of a busy
-- second mention the same ones, and they are noted once.
CREATE TABLE audit_mentions (
    subject BYTEA NOT NULL,
    second BIGINT NOT NULL,
    PRIMARY KEY (subject, second)
);
