-- The steps of an org as one value, for they are read and written together. Each is a list of its
-- name, status, attempts, start and end; times are microseconds since 1970.
ALTER TABLE orgs ADD COLUMN steps TEXT NOT NULL DEFAULT '[]';

UPDATE orgs
SET steps = (
    SELECT json_group_array(
        json_array(name, status, attempts, started_at, finished_at) ORDER BY position
    )
    FROM org_steps
    WHERE org_steps.org_id = orgs.id
);

DROP TABLE org_steps;

-- Whoever asks for a lease's token names the org as well.
DROP INDEX orgs_lease;
