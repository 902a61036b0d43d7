-- Audit events that were made durable together, as one value; ids are the 16 bytes of a ULID.
CREATE TABLE audit_segments (
    last_id BLOB NOT NULL PRIMARY KEY,
    first_id BLOB NOT NULL,
    events BIGINT NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX audit_segments_first_id ON audit_segments (first_id, last_id);

-- Whom the events of a segment mention: one byte for the kind, then the id.
CREATE TABLE audit_mentions (
    subject BLOB NOT NULL,
    last_id BLOB NOT NULL,
    PRIMARY KEY (subject, last_id)
) WITHOUT ROWID;
