-- Answers that are kept for a day, sealed, so that a call that is sent again gets the same one.
CREATE TABLE replies (
    credential TEXT COLLATE "C" NOT NULL,
    call BYTEA NOT NULL,
    body BYTEA NOT NULL,
    sealed BYTEA,
    issued_key TEXT COLLATE "C",
    begun_at BIGINT NOT NULL,
    PRIMARY KEY (credential, call)
);

CREATE INDEX replies_issued_key ON replies (issued_key) WHERE issued_key IS NOT NULL;
CREATE INDEX replies_begun_at ON replies (begun_at);
