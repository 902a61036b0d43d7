DROP TABLE audit_index_pages;
DROP TABLE audit_index_runs;

ALTER TABLE audit_segments DROP COLUMN number;

CREATE TABLE audit_mentions (
    subject BYTEA NOT NULL,
    second BIGINT NOT NULL,
    PRIMARY KEY (subject, second)
);
COMMENT ON TABLE audit_mentions IS 'whom the segments of a second mention; SQLite has audit_index_runs';

-- A body begins with a byte for its version, the length of all subjects, 7 bits in each byte and the
-- lowest first, and the subjects, 17 bytes each.
WITH heads (second, body, bytes) AS (
    SELECT
        second,
        body,
        CASE WHEN get_byte(body, 1) < 128 THEN 1 WHEN get_byte(body, 2) < 128 THEN 2 ELSE 3 END
    FROM audit_segments
),
lengths (second, body, bytes, length) AS (
    SELECT
        second,
        body,
        bytes,
        CASE bytes
            WHEN 1 THEN get_byte(body, 1)
            WHEN 2 THEN get_byte(body, 1) % 128 + 128 * get_byte(body, 2)
            ELSE
                get_byte(body, 1) % 128 + 128 * (get_byte(body, 2) % 128)
                + 16384 * get_byte(body, 3)
        END
    FROM heads
)
INSERT INTO audit_mentions (subject, second)
SELECT DISTINCT substring(body FROM at FOR 17), second
FROM lengths, generate_series(bytes + 2, bytes + 1 + length, 17) AS at;
