-- What becomes of a key whose secret is reported as leaked: revoke or notify.
ALTER TABLE partner_keys ADD COLUMN on_leak TEXT NOT NULL DEFAULT 'revoke';

-- Reports of leaked tokens that wait to be handled. The digests of their tokens, 32 bytes each, stand one behind
-- the other.
CREATE TABLE leak_reports (
    id TEXT NOT NULL PRIMARY KEY,
    received_at BIGINT NOT NULL,
    source TEXT,
    url TEXT,
    partner_digests BLOB NOT NULL,
    admin_digests BLOB NOT NULL
);

-- Of which leaks that did not end a key somebody was told, and when: the key, and SHA-256 of the address.
CREATE TABLE leak_notices (
    subject TEXT NOT NULL,
    location BLOB NOT NULL,
    told_at BIGINT NOT NULL,
    PRIMARY KEY (subject, location)
) WITHOUT ROWID;
