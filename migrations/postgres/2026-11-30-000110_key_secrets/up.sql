-- The digest of a key changes with its secret. A unique index that covers every row is one that a foreign key
-- could refer to, so that such a change would wait for every transaction that uses the key.
ALTER TABLE partner_keys DROP CONSTRAINT partner_keys_digest_key;
CREATE UNIQUE INDEX partner_keys_digest ON partner_keys (digest) WHERE digest IS NOT NULL;

-- Whether a key was ever rotated; then key_rotations has a row of it.
ALTER TABLE partner_keys ADD COLUMN rotated BOOLEAN NOT NULL DEFAULT FALSE;

-- The times of the newest secret of a key, whose digest is in partner_keys, and the secret before it. Until
-- check_at a worker need not look at the rotation; without one it is over.
CREATE TABLE key_rotations (
    key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES partner_keys (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    older_digest BYTEA NOT NULL,
    older_pepper_id TEXT COLLATE "C",
    older_prefix TEXT NOT NULL,
    older_created_at BIGINT NOT NULL,
    older_expires_at BIGINT NOT NULL,
    older_used_at BIGINT,
    finish_when_idle BIGINT,
    check_at BIGINT
);

CREATE UNIQUE INDEX key_rotations_older_digest ON key_rotations (older_digest) WHERE older_digest IS NOT NULL;
CREATE INDEX key_rotations_check_at ON key_rotations (check_at, key_id) WHERE check_at IS NOT NULL;

-- When the secret was made that a kept answer shows.
ALTER TABLE replies ADD COLUMN issued_at BIGINT;

-- The first characters of the secret that a request was authenticated by.
ALTER TABLE audit_events ADD COLUMN key_prefix TEXT;
