-- SQLite has an index of its own from here on, for it has one writer, who would wait for each page of
-- a large tree. Here pages are written beside those who commit.
COMMENT ON TABLE audit_mentions IS 'whom the segments of a second mention; SQLite has audit_index_runs';
