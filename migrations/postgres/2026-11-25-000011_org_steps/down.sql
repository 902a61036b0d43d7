CREATE INDEX orgs_lease ON orgs (lease_token) WHERE lease_token IS NOT NULL;

CREATE TABLE org_steps (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (org_id, position)
);

INSERT INTO org_steps (org_id, position, name, status, attempts, started_at, finished_at)
SELECT
    orgs.id,
    step.position - 1,
    step.value ->> 0,
    step.value ->> 1,
    (step.value ->> 2)::BIGINT,
    (step.value ->> 3)::BIGINT,
    (step.value ->> 4)::BIGINT
FROM orgs, json_array_elements(orgs.steps::JSON) WITH ORDINALITY AS step (value, position);

ALTER TABLE orgs DROP COLUMN steps;
