CREATE INDEX orgs_lease ON orgs (lease_token) WHERE lease_token IS NOT NULL;

CREATE TABLE org_steps (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (org_id, position)
) WITHOUT ROWID;

INSERT INTO org_steps (org_id, position, name, status, attempts, started_at, finished_at)
SELECT
    orgs.id,
    step.key,
    json_extract(step.value, '$[0]'),
    json_extract(step.value, '$[1]'),
    json_extract(step.value, '$[2]'),
    json_extract(step.value, '$[3]'),
    json_extract(step.value, '$[4]')
FROM orgs, json_each(orgs.steps) AS step;

ALTER TABLE orgs DROP COLUMN steps;
