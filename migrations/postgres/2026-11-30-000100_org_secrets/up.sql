-- What the provisioner of an org has handed back, an object of strings as JSON, and the names
-- of its secrets, separated by spaces.
ALTER TABLE orgs ADD COLUMN outputs TEXT;
ALTER TABLE orgs ADD COLUMN secret_names TEXT;

-- The secrets themselves, sealed under a pepper, and which one that was.
CREATE TABLE org_secrets (
    org_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES orgs (id),
    sealed BYTEA NOT NULL,
    pepper_id TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX org_secrets_pepper ON org_secrets (pepper_id, org_id);
