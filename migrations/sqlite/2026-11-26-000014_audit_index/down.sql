DROP TABLE audit_index_pages;
DROP TABLE audit_index_runs;

CREATE TABLE audit_mentions (
    subject BLOB NOT NULL,
    second BIGINT NOT NULL,
    PRIMARY KEY (subject, second)
) WITHOUT ROWID;

-- A body begins with a byte for its version, the length of all subjects, 7 bits in each byte and the
-- lowest first, and the subjects, 17 bytes each.
WITH RECURSIVE
heads (number, hex) AS (SELECT number, hex(substr(body, 2, 3)) FROM audit_segments),
digits (number, a, b, c, d, e, f) AS (
    SELECT
        number,
        instr('123456789ABCDEF', substr(hex, 1, 1)),
        instr('123456789ABCDEF', substr(hex, 2, 1)),
        instr('123456789ABCDEF', substr(hex, 3, 1)),
        instr('123456789ABCDEF', substr(hex, 4, 1)),
        instr('123456789ABCDEF', substr(hex, 5, 1)),
        instr('123456789ABCDEF', substr(hex, 6, 1))
    FROM heads
),
lengths (number, length, bytes) AS (
    SELECT number, a * 16 + b, 1 FROM digits WHERE a < 8
    UNION ALL
    SELECT number, (a % 8) * 16 + b + 128 * (c * 16 + d), 2 FROM digits WHERE a >= 8 AND c < 8
    UNION ALL
    SELECT number, (a % 8) * 16 + b + 128 * ((c % 8) * 16 + d) + 16384 * (e * 16 + f), 3
    FROM digits
    WHERE a >= 8 AND c >= 8
),
pieces (number, at, until) AS (
    SELECT number, bytes + 2, bytes + 2 + length FROM lengths WHERE length > 0
    UNION ALL
    SELECT number, at + 17, until FROM pieces WHERE at + 17 < until
)
INSERT OR IGNORE INTO audit_mentions (subject, second)
SELECT substr(audit_segments.body, pieces.at, 17), audit_segments.second
FROM pieces
INNER JOIN audit_segments ON audit_segments.number = pieces.number;

CREATE TABLE unnumbered_segments (
    second BIGINT NOT NULL,
    last_id BLOB NOT NULL,
    first_id BLOB NOT NULL,
    events BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (second, last_id)
);

INSERT INTO unnumbered_segments (second, last_id, first_id, events, body)
SELECT second, last_id, first_id, events, body
FROM audit_segments
ORDER BY number;

DROP TABLE audit_segments;
ALTER TABLE unnumbered_segments RENAME TO audit_segments;
CREATE INDEX audit_segments_first_id ON audit_segments (first_id, last_id);
