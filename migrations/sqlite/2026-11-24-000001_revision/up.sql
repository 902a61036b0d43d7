-- The number of the last change that whoever remembers keys must know of, in one row.
CREATE TABLE key_revision (
    id BIGINT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO key_revision (id, value) VALUES (1, 0);

-- What changed, by revision; the oldest are forgotten.
CREATE TABLE key_changes (
    revision BIGINT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL
);
