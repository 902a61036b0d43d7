-- Answers that are kept for a day, sealed, so that a call that is sent again gets the same one.
CREATE TABLE replies (
    credential TEXT NOT NULL,
    call BLOB NOT NULL,
    body BLOB NOT NULL,
    sealed BLOB,
    issued_key TEXT,
    begun_at BIGINT NOT NULL,
    PRIMARY KEY (credential, call)
) WITHOUT ROWID;

CREATE INDEX replies_issued_key ON replies (issued_key) WHERE issued_key IS NOT NULL;
CREATE INDEX replies_begun_at ON replies (begun_at);
