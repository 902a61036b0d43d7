-- Segments are numbered in the order in which they were committed, so that it is known which of them
-- the index covers. What was there before is numbered by its ids, and covered from the first start on.
CREATE TABLE numbered_segments (
    number INTEGER PRIMARY KEY,
    second BIGINT NOT NULL,
    last_id BLOB NOT NULL,
    first_id BLOB NOT NULL,
    events BIGINT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (second, last_id)
);

INSERT INTO numbered_segments (second, last_id, first_id, events, body)
SELECT second, last_id, first_id, events, body
FROM audit_segments
ORDER BY second, last_id;

DROP TABLE audit_segments;
DROP TABLE audit_mentions;
ALTER TABLE numbered_segments RENAME TO audit_segments;
CREATE INDEX audit_segments_first_id ON audit_segments (first_id, last_id);

-- Sorted runs of an index: of the segments of these numbers, whom they mention in which slots of time.
-- A run is being built, live, or dropped, and then its pages are yet to be deleted. An id is never given
-- twice, for whoever reads runs to merge them knows them by their ids.
CREATE TABLE audit_index_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('building', 'live', 'dropped')),
    tier BIGINT NOT NULL,
    first_number BIGINT NOT NULL,
    last_number BIGINT NOT NULL,
    first_slot BIGINT NOT NULL,
    last_slot BIGINT NOT NULL,
    pages BIGINT NOT NULL
);

-- The pages of a run, by whom and what they begin with.
CREATE TABLE audit_index_pages (
    id INTEGER PRIMARY KEY,
    run BIGINT NOT NULL REFERENCES audit_index_runs (id),
    first BLOB NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (run, first)
);
